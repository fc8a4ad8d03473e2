//! Pages as HTML: pure functions of what they show.
//!
//! What enters: a [`Page`] and the time. What leaves: HTML, in sections that can be replaced one by one. What must never
//! happen here: a text of the cluster that is taken for markup. Only a [`Picture`] is inserted as it is, and its renderer
//! has escaped its texts.

mod primitives;
mod problem;
mod run;
mod runs;
mod schedules;
mod stage;

use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::{SignedDuration, Timestamp};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::address::Address;
use crate::model::{Action, Badge, Log, Output, Page, Picture, Place, Tone, Took};

pub(crate) use problem::problem;
pub(crate) use run::{failures, outputs, stages_of_report, summary};

/// How many rows a page has.
pub(crate) const ROWS: usize = 100;

/// What a page is made with besides what it shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// The page's own address.
    pub(crate) address: &'a Address,
    /// When it is shown.
    pub(crate) now: Timestamp,
    /// What its forms carry.
    pub(crate) form: &'a str,
}

/// A part of a page.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    /// Its id in the document.
    pub(crate) id: &'static str,
    /// Whether it is replaced when something changes. What the viewer types into is not.
    pub(crate) is_live: bool,
    /// What it shows.
    pub(crate) body: Markup,
    /// What it shows, in short: another text if it shows something else.
    version: String,
}

impl Section {
    fn live(id: &'static str, body: Markup) -> Self {
        let version = hashed(&body.0);
        Self {
            id,
            is_live: true,
            body,
            version,
        }
    }

    /// A section that is replaced only when what it is about changes.
    fn about(id: &'static str, what: impl Hash, body: Markup) -> Self {
        Self {
            version: hashed(what),
            ..Self::live(id, body)
        }
    }

    fn fixed(id: &'static str, body: Markup) -> Self {
        Self {
            is_live: false,
            ..Self::live(id, body)
        }
    }
}

fn hashed(what: impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// A section as a browser gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) id: &'static str,
    pub(crate) is_live: bool,
    pub(crate) version: String,
    pub(crate) html: String,
}

/// Returns the sections of a page. What only the time has changed has the same version.
pub(crate) fn shown(page: &Page, logs: &[Log], context: Context<'_>) -> Vec<Shown> {
    let still = Context {
        now: Timestamp::UNIX_EPOCH,
        ..context
    };
    let sections = sections(page, logs, context).into_iter();
    let still = self::sections(page, logs, still);
    let sections = sections.zip(still).map(|(section, still)| {
        let version = still.version;
        let Section {
            id, is_live, body, ..
        } = section;
        let html = html! { section id=(id) data-v=(version) { (body) } };
        Shown {
            id,
            is_live,
            version,
            html: html.into_string(),
        }
    });
    sections.collect()
}

fn sections(page: &Page, logs: &[Log], context: Context<'_>) -> Vec<Section> {
    match page {
        Page::Runs(runs) => runs::sections(runs, context),
        Page::Run(run) => run::sections(run, context),
        Page::Stage(stage) => stage::sections(stage, logs, context),
        Page::Primitives(primitives) => primitives::sections(primitives, context),
        Page::Schedules(schedules) => schedules::sections(schedules),
    }
}

/// Returns the title of a page.
pub(crate) fn title(page: &Page) -> String {
    match page {
        Page::Runs(_) => "Runs".to_owned(),
        Page::Run(run) => format!("{} {}", run.badge.mark, run.name),
        Page::Stage(stage) => format!(
            "{} {} · {}",
            stage.row.state.mark(),
            stage.row.name,
            stage.run
        ),
        Page::Primitives(_) => "Primitives".to_owned(),
        Page::Schedules(_) => "Schedules".to_owned(),
    }
}

/// What was done, or failed, just before a page is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice(pub(crate) String);

/// Returns the whole document.
pub(crate) fn document(
    title: &str,
    place: &Place,
    address: Option<&Address>,
    notice: Option<&Notice>,
    main: &Markup,
) -> String {
    let live = address.map(|address| {
        let of = serde_urlencoded::to_string([("of", address.link())]);
        format!("/live?{}", of.unwrap_or_default())
    });
    let here = |tab: &Address| {
        let is_here = match (tab, address) {
            (Address::Runs(_), Some(Address::Runs(_) | Address::Run(..) | Address::Stage(..))) => {
                true
            }
            (tab, Some(address)) => tab == address,
            (_, None) => false,
        };
        is_here.then_some("page")
    };
    let tabs = [
        ("Runs", Address::Runs(Default::default())),
        ("Primitives", Address::Primitives),
        ("Schedules", Address::Schedules),
    ];
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · konductor" }
                link rel="icon" type="image/svg+xml" href="/assets/icon.svg";
                link rel="stylesheet" href="/assets/style.css";
                script src="/assets/live.js" defer {}
            }
            body data-live=[&live] {
                a.skip href="#main" { "Skip to content" }
                header.bar {
                    div.wide {
                        a.brand href="/" { (logo()) "konductor" }
                        nav aria-label="Pages" {
                            @for (name, tab) in &tabs {
                                a href=(tab.link()) aria-current=[here(tab)] { (name) }
                            }
                        }
                        p.place {
                            span.muted { (place.cluster) " / " }
                            span.strong { (place.namespace) }
                        }
                        @if live.is_some() {
                            p #live.live role="status" { "reload to update" }
                        }
                    }
                }
                main #main.wide tabindex="-1" {
                    @if let Some(Notice(text)) = notice {
                        p.notice role="status" { span.mark aria-hidden="true" { "✓" } (text) }
                    }
                    (main)
                }
            }
        }
    };
    document.into_string()
}

/// Returns the sections of a document one after the other.
pub(crate) fn joined(sections: &[Shown]) -> Markup {
    PreEscaped(
        sections
            .iter()
            .map(|section| section.html.as_str())
            .collect(),
    )
}

fn logo() -> Markup {
    html! {
        svg.logo viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" {
            path d="M5 3v14M5 10h4l6-6M9 10l6 6" {}
            circle cx="5" cy="10" r="2.2" {}
            circle cx="15" cy="4" r="2.2" {}
            circle cx="15" cy="16" r="2.2" {}
        }
    }
}

/// A picture as it is: its renderer has escaped its texts.
pub(crate) fn picture(picture: &Picture) -> Markup {
    PreEscaped(picture.0.clone())
}

pub(crate) fn tone(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Busy => "busy",
        Tone::Late => "late",
        Tone::Quiet => "quiet",
    }
}

/// A state: its mark, which needs no colour, and its word.
pub(crate) fn badge(badge: &Badge) -> Markup {
    html! {
        span class={"badge " (tone(badge.tone))} {
            span.mark aria-hidden="true" { (badge.mark) }
            (badge.word)
        }
    }
}

/// A time, which the script shows as an age.
pub(crate) fn time(time: Timestamp) -> Markup {
    let shown = time.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let exact = time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    html! { time.num datetime=(exact) data-age title={(shown) " UTC"} { (shown) } }
}

/// How long something took; the script counts on while it lasts.
pub(crate) fn took(length: Took, now: Timestamp) -> Markup {
    match length {
        Took::For(length) => html! { span.num { (duration(length)) } },
        Took::Since(since) => {
            let exact = since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            let length = duration(now.duration_since(since));
            html! { span.num.lasting data-since=(exact) { (length) } }
        }
    }
}

/// How long something took: `0s`, `2m05s`, `3h10m`.
pub(crate) fn duration(length: SignedDuration) -> String {
    let seconds = length.as_secs().max(0);
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
    }
}

/// How many of all, as a bar and in words.
pub(crate) fn progress(done: u32, all: u32, tone: Tone) -> Markup {
    let width = f64::from(done.min(all)) / f64::from(all.max(1)) * 100.0;
    html! {
        span.progress {
            svg viewBox="0 0 100 6" width="64" height="6" preserveAspectRatio="none" aria-hidden="true" {
                rect.track width="100" height="6" rx="3" {}
                rect class={"fill " (self::tone(tone))} width={(format!("{width:.1}"))} height="6" rx="3" {}
            }
            span.num { (done) "/" (all) }
        }
    }
}

/// Whether what a Barrier says is more than how many have arrived.
pub(crate) fn says_more(message: &str, arrived: u32, needed: u32) -> bool {
    !message.is_empty() && message != format!("{arrived} of {needed} arrived")
}

/// A button that does something.
pub(crate) fn button(action: &Action, label: &str, class: &str, context: Context<'_>) -> Markup {
    let id = format!("{}-{}", action.word(), action.on());
    html! {
        form.inline method="post" action="/do" {
            input type="hidden" name="form" value=(context.form);
            input type="hidden" name="what" value=(action.word());
            input type="hidden" name="on" value=(action.on());
            input type="hidden" name="back" value=(context.address.link());
            button id=(id) class={"button " (class)} type="submit" { (label) }
        }
    }
}

/// The links to the pages of a long list.
pub(crate) fn pager(
    page: usize,
    rows: usize,
    what: &str,
    link: impl Fn(usize) -> String,
) -> Markup {
    let pages = rows.div_ceil(ROWS);
    let first = page * ROWS + 1;
    let last = ((page + 1) * ROWS).min(rows);
    html! {
        @if pages > 1 {
            nav.pager aria-label={"Pages of " (what)} {
                @if page > 0 {
                    a.button id={(what) "-previous"} href=(link(page - 1)) rel="prev" { "← Previous" }
                }
                span.muted.num { (first) "–" (last) " of " (rows) }
                @if page + 1 < pages {
                    a.button id={(what) "-next"} href=(link(page + 1)) rel="next" { "Next →" }
                }
            }
        }
    }
}

/// The rows of a page, and the page that has some.
pub(crate) fn window<T>(rows: &[T], page: usize) -> (usize, &[T]) {
    let page = page.min(rows.len().div_ceil(ROWS).saturating_sub(1));
    let rows = rows.chunks(ROWS).nth(page).unwrap_or_default();
    (page, rows)
}

/// A place where nothing is, and why.
pub(crate) fn empty(what: &str, help: &Markup) -> Markup {
    html! {
        div.empty {
            p.strong { (what) }
            p.muted { (help) }
        }
    }
}

/// A text that is stored somewhere, folded.
pub(crate) fn folded(id: &str, name: &str, text: &str) -> Markup {
    html! {
        details.fold id=(id) {
            summary { (name) }
            pre.code tabindex="0" aria-label=(name) { (text) }
        }
    }
}

/// Values that Jobs hand on.
pub(crate) fn output_rows(outputs: &[Output], with_stage: bool) -> Markup {
    html! {
        div.table {
            table {
                thead {
                    tr {
                        @if with_stage { th scope="col" { "Stage" } }
                        th scope="col" { "Output" }
                        th scope="col" { "Value" }
                    }
                }
                tbody {
                    @for output in outputs {
                        tr {
                            @if with_stage { td { (output.stage) } }
                            td.strong { (output.name) }
                            td.mono.wrap { (output.value) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
