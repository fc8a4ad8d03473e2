//! What runs share: semaphores, leases, barriers and gates.

use maud::{Markup, html};

use super::{Context, Section, badge, button, empty, progress, says_more, time};
use crate::address::Address;
use crate::model::{Action, Badge, Barrier, Gate, Lease, Party, Primitives, Semaphore, Tone};

/// How many of a kind are shown, those that wait first.
const SHOWN: usize = 100;
/// How many holders or waiters of one are shown.
const PARTIES: usize = 12;

pub(super) fn sections(all: &Primitives, context: Context<'_>) -> Vec<Section> {
    let Primitives {
        semaphores,
        leases,
        barriers,
        gates,
    } = all;
    vec![
        Section::fixed("heading", html! { h1 { "Primitives" } }),
        Section::live(
            "semaphores",
            list("Semaphores", "sem", semaphores, semaphore),
        ),
        Section::live("leases", list("Leases", "lease", leases, lease)),
        Section::live(
            "barriers",
            list("Barriers", "barrier", barriers, |object| {
                barrier(object, context)
            }),
        ),
        Section::live("gates", list("Gates", "gate", gates, gate)),
    ]
}

fn list<T>(title: &str, kind: &str, all: &[T], markup: impl Fn(&T) -> Markup) -> Markup {
    html! {
        h2 { (title) " " span.muted.num { (all.len()) } }
        @if all.is_empty() {
            (empty(&format!("No {}", title.to_lowercase()), &html! { "Nothing of this kind is in this namespace." }))
        } @else {
            ul class={"objects " (kind)} { @for object in all.iter().take(SHOWN) { li.object { (markup(object)) } } }
            @if all.len() > SHOWN {
                p.muted { (all.len() - SHOWN) " more are left out; those that wait are shown first" }
            }
        }
    }
}

fn parties(label: &str, all: &[Party]) -> Markup {
    html! {
        @if !all.is_empty() {
            div.parties {
                span.muted.small.label { (label) " " span.num { (all.len()) } }
                ul {
                    @for party in all.iter().take(PARTIES) { li { (self::party(party)) } }
                    @if all.len() > PARTIES { li.muted { (all.len() - PARTIES) " more" } }
                }
            }
        }
    }
}

fn party(party: &Party) -> Markup {
    html! {
        span.party {
            @match &party.link {
                Some(link) => { a href=(link) { (party.name) } }
                None => { span { (party.name) } }
            }
            @if !party.holder.is_empty() { span.muted { (party.holder) } }
            @if party.permits > 1 { span.num.muted { "×" (party.permits) } }
            @if let Some(since) = party.since { span.muted { (time(since)) } }
        }
    }
}

fn semaphore(semaphore: &Semaphore) -> Markup {
    let (tone, word) = match semaphore.in_use >= semaphore.permits {
        true => (Tone::Late, "full"),
        false => (Tone::Good, "free"),
    };
    let mark = if tone == Tone::Late { '◔' } else { '✓' };
    html! {
        div.object-head {
            h3 { (semaphore.name) }
            (badge(&Badge { mark, word: word.to_owned(), tone }))
            (progress(semaphore.in_use, semaphore.permits, tone))
            span.muted.small { "permits in use" }
        }
        (parties("Holders", &semaphore.holders))
        (parties("Queue", &semaphore.queue))
    }
}

fn lease(lease: &Lease) -> Markup {
    let state = match lease.holder {
        Some(_) => Badge {
            mark: '●',
            word: "held".to_owned(),
            tone: Tone::Busy,
        },
        None => Badge {
            mark: '✓',
            word: "free".to_owned(),
            tone: Tone::Good,
        },
    };
    html! {
        div.object-head {
            h3 { (lease.name) }
            (badge(&state))
            @if let Some(token) = lease.token { span { span.muted { "token " } span.num { (token) } } }
            span { span.muted { "ttl " } span.num { (lease.ttl) } }
            @if let Some(expires) = lease.expires {
                span { span.muted { "expires " } (expiry(expires)) }
            }
        }
        (parties("Holder", lease.holder.as_slice()))
        (parties("Queue", &lease.queue))
    }
}

/// A time that is still to come.
fn expiry(time: jiff::Timestamp) -> Markup {
    html! { span.num { (time.strftime("%H:%M:%S").to_string()) " UTC" } }
}

fn of_run(run: &Option<String>) -> Markup {
    html! {
        @if let Some(run) = run {
            span { span.muted { "of " } a href=(Address::run(run).link()) { (run) } }
        }
    }
}

fn barrier(barrier: &Barrier, context: Context<'_>) -> Markup {
    let state = Badge::called(barrier.state, &barrier.phase.to_lowercase());
    let tone = state.tone;
    html! {
        div.object-head {
            h3 { (barrier.name) }
            (badge(&state))
            (progress(barrier.arrived, barrier.needed, tone))
            span.muted.small { "arrived" }
            @if barrier.failed > 0 { span.bad { (barrier.failed) " failed" } }
            (of_run(&barrier.run))
            @if barrier.may_answer {
                span.actions {
                    (button(&Action::Approve { barrier: barrier.name.clone() }, "Approve", "primary", context))
                    (button(&Action::Deny { barrier: barrier.name.clone() }, "Deny", "danger", context))
                }
            }
        }
        @if says_more(&barrier.message, barrier.arrived, barrier.needed) { p.muted.small { (barrier.message) } }
    }
}

fn gate(gate: &Gate) -> Markup {
    html! {
        div.object-head {
            h3 { (gate.name) }
            (badge(&Badge::called(gate.state, &gate.phase.to_lowercase())))
            (of_run(&gate.run))
        }
        @if !gate.message.is_empty() { p.muted.small { (gate.message) } }
        @if !gate.conditions.is_empty() && !gate.state.has_ended() {
            ul.conditions {
                @for (state, text) in gate.conditions.iter().take(PARTIES) {
                    li { (badge(state)) span { (text) } }
                }
                @if gate.conditions.len() > PARTIES {
                    li.muted { (gate.conditions.len() - PARTIES) " more" }
                }
            }
        }
    }
}
