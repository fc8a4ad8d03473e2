//! `koncli timeline`: when each stage of a run waited and ran, and what bounded its end.

use std::io;

use jiff::Timestamp;
use konductor_api::Run;
use konductor_operator::timeline::timeline as timeline_of;
use terminal_size::terminal_size_of;

use super::get;
use super::objects::objects_of;
use crate::arguments::{Chart, Format, Global, TimelineSelection};
use crate::exit::Failure;
use crate::timeline::{self, ROWS_MAX};
use crate::{cluster, output};

/// The width of a chart that goes to no terminal.
const COLUMNS: usize = 80;
/// The narrowest terminal that a chart is made for.
const COLUMNS_MIN: usize = 40;

/// Prints the timeline of a run.
pub(crate) async fn timeline(
    global: &Global,
    selection: &TimelineSelection,
) -> Result<(), Failure> {
    let is_document = matches!(global.output, Some(Format::Json | Format::Yaml));
    if let (true, Some(_)) = (is_document, selection.chart) {
        return Err(Failure::usage("a timeline is either a document or a chart")
            .help("leave out -o, or --as"));
    }
    let client = cluster::connect(global).await?;
    let name = selection.run.strip_prefix("run/").unwrap_or(&selection.run);
    let run: Run = get(&client, "run", name).await?;
    let objects = objects_of(&client, name).await?;
    let run_timeline = timeline_of(&run, &objects, Timestamp::now());
    if output::document(global, &run_timeline)? {
        return Ok(());
    }
    let most = (!selection.all).then_some(ROWS_MAX);
    match selection.chart.unwrap_or(Chart::Text) {
        Chart::Text => output::stdout(&timeline::text(&run_timeline, columns(), most)),
        Chart::Svg => output::stdout_exact(&timeline::svg(&run_timeline, most)),
        Chart::Perfetto => output::stdout_exact(&timeline::perfetto(&run_timeline)),
    }
    Ok(())
}

/// How wide the terminal is; of a pipe, what the shell says.
fn columns() -> usize {
    let own = terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
    let said = || std::env::var("COLUMNS").ok()?.parse().ok();
    let columns = own.or_else(said).unwrap_or(COLUMNS);
    columns.clamp(COLUMNS_MIN, 1000)
}
