//! A pipeline of a program: one extract for each table that is named on the command line.
//!
//! ```sh
//! cargo run --example build_pipeline orders refunds "O'Brien; rm -rf /" > sales.kon
//! koncli check sales.kon
//! ```
//!
//! `--objects` prints the Kubernetes objects instead, which `kubectl apply -f -` takes.

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use jiff::Timestamp;
use konductor_compiler::{Options, compile};
use konductor_dsl::build::{
    Access, Body, Compare, Defaults, Dep, Index, Lease, Number, Param, Pipeline, Ref, Semaphore,
    Stage, Type, Workspace,
};
use konductor_dsl::{Sources, text};

fn main() -> Result<(), Box<dyn Error>> {
    let (options, tables): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|argument| argument == "--objects");
    let built = sales(tables).build("sales.kon")?;
    let mut out = std::io::stdout();
    if options.is_empty() {
        out.write_all(built.source.text.as_bytes())?;
        return Ok(());
    }
    let mut sources = Sources::default();
    sources.add(built.source.name, built.source.text);
    let compiled = compile(sources, &Options::at(Timestamp::now()));
    match compiled.manifests {
        Some(manifests) => manifests.write_yaml(&mut out)?,
        None => return Err(format!("{:?}", compiled.diagnostics).into()),
    }
    Ok(())
}

/// The pipeline: values go in as they are, however they are spelled.
fn sales(tables: Vec<String>) -> Pipeline {
    let (table, tables_given) = (Ref::to("table"), Ref::to("tables"));
    let rows = Ref::to("extract")
        .item([Index::variable("table")])
        .field("rows");
    Pipeline::new("sales")
        .description("Extract the tables of a day and load them")
        .timeout(Duration::from_secs(6 * 3600))
        .param(Param::new("day", Type::string()).default(Ref::run("date")))
        .param(Param::new("tables", Type::list(Type::string())).default(tables))
        .semaphore(Semaphore::new("source").permits(2))
        .lease(Lease::new("ledger").ttl(Duration::from_secs(30)))
        .workspace(
            Workspace::new("data")
                .size(Number::new("10Gi"))
                .access(Access::Many),
        )
        .defaults(
            Defaults::new()
                .image("busybox:1.36")
                .timeout(Duration::from_secs(120))
                .mount("data", "/data"),
        )
        .stage(
            Stage::new("extract")
                .for_each("table", tables_given.clone())
                .holding("source")
                .retries(2)
                .run(text![
                    "printf '%s\\n' ",
                    Ref::to("day").quoted(),
                    " ",
                    table.quoted(),
                    " > ",
                    text![Ref::workspace("data").quoted(), "/", table.quoted()],
                    "\necho \"rows=2\" >> \"$KON_OUTPUT\"",
                ])
                .output(Param::new("rows", Type::int())),
        )
        .stage(
            Stage::new("load")
                .for_each("table", tables_given)
                .after(Dep::on("extract").item([Index::variable("table")]))
                .when(rows.clone().more_than(0))
                .holding("ledger")
                .exec([
                    text!["echo"],
                    text!["--table=", table],
                    text!["--rows=", rows],
                    text!["--fence=", Ref::token("ledger")],
                ]),
        )
        .stage(
            Stage::finally("report")
                .when(Ref::run("outcome").equals("failed"))
                .run(text!["echo ", Ref::run("name").quoted(), " has failed"]),
        )
}
