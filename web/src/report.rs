//! A run as one file that needs nothing else: to attach to an incident, or to keep.

use jiff::Timestamp;
use maud::{DOCTYPE, PreEscaped, html};

use crate::address::Address;
use crate::model::{Log, Place, Run};
use crate::page::{Context, badge, failures, folded, outputs, picture, stages_of_report, summary};
use crate::server::STYLE;

/// How many stages are listed: more would be no document.
const STAGES: usize = 2_000;

/// What a report shows.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which cluster it is of.
    pub place: Place,
    /// The run.
    pub run: Run,
    /// The ends of logs, failed stages first.
    pub logs: Vec<Log>,
    /// How many pods have a log that is left out.
    pub logs_left_out: usize,
    /// When it was made.
    pub made: Timestamp,
    /// What made it.
    pub version: String,
}

/// Returns a run as one HTML file, without a script, and without anything to be fetched.
pub fn report(report: &Report) -> String {
    let Report { place, run, .. } = report;
    let address = Address::run(&run.name);
    let context = Context {
        address: &address,
        now: report.made,
        form: "",
    };
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
    let made = report.made.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (run.badge.mark) " " (run.name) " · konductor" }
                style { (PreEscaped(STYLE)) }
            }
            body.report {
                main.wide {
                    header {
                        p.muted {
                            "Run of pipeline " (run.pipeline) " in namespace " (place.namespace)
                            " of " (place.cluster)
                        }
                        div.title { h1 { (run.name) } (badge(&run.badge)) }
                        (summary(run, context))
                    }
                    (failures(run, false))
                    @if let Some(graph) = &run.graph {
                        h2 { "Graph" }
                        div.panel.graph tabindex="0" role="region" aria-label="Dependency graph" { (picture(graph)) }
                    }
                    h2 { "Timeline" }
                    div.panel.timeline tabindex="0" role="region" aria-label="Timeline" { (picture(&run.timeline)) }
                    h2 { "Stages" }
                    (stages_of_report(run, STAGES, context))
                    (outputs(run))
                    @if !report.logs.is_empty() {
                        h2 { "Ends of logs" }
                        @for log in &report.logs {
                            h3.log-title { (log.title) }
                            pre.log.whole tabindex="0" aria-label={"End of the log of " (log.title)} { (log.text) }
                        }
                    }
                    @if report.logs_left_out > 0 {
                        p.muted { "The logs of " (report.logs_left_out) " more pods are left out." }
                    }
                    (folded("run-yaml", "The Run as it is stored (YAML)", &run.yaml))
                    footer.muted.small { "Made by koncli " (report.version) " at " (made) "." }
                }
            }
        }
    };
    document.into_string()
}
