//! Schedules: when they start runs, and what became of the last ones.

use maud::{Markup, html};

use super::{Section, badge, empty};
use crate::address::Address;
use crate::model::{Badge, Schedule, Tone};

pub(super) fn sections(schedules: &[Schedule]) -> Vec<Section> {
    let help = html! { "A pipeline with a " code { "schedule" } " installs one: " code { "koncli apply FILE" } "." };
    vec![
        Section::fixed("heading", html! { h1 { "Schedules" } }),
        Section::live(
            "schedules",
            html! {
                @if schedules.is_empty() {
                    (empty("No schedules", &help))
                } @else {
                    ul.objects { @for schedule in schedules { li.object { (self::schedule(schedule)) } } }
                }
            },
        ),
    ]
}

fn schedule(schedule: &Schedule) -> Markup {
    let state = match schedule.is_suspended {
        true => Badge {
            mark: '‖',
            word: "suspended".to_owned(),
            tone: Tone::Late,
        },
        false => Badge {
            mark: '●',
            word: "active".to_owned(),
            tone: Tone::Busy,
        },
    };
    html! {
        div.object-head {
            h2 { a href=(Address::pipeline(&schedule.name).link()) { (schedule.name) } }
            (badge(&state))
            code { (schedule.cron) }
            span.muted { (schedule.zone) }
        }
        div.columns {
            div {
                h3 { "Last" }
                @if schedule.last.is_empty() { p.muted { "No run was started yet." } }
                ul.slots {
                    @for (slot, run, outcome) in &schedule.last {
                        li {
                            (badge(outcome))
                            a href=(Address::run(run).link()) { (run) }
                            span.muted.num { (slot) }
                        }
                    }
                }
            }
            div {
                h3 { "Next" }
                @if schedule.next.is_empty() { p.muted { "Nothing is due." } }
                ol.slots { @for slot in &schedule.next { li.num { (slot) } } }
            }
        }
    }
}
