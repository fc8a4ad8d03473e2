//! What a path and a query name: which page, and which part of it.
//!
//! What enters: the target of a request. What leaves: an [`Address`], or nothing if there is no such page; and the same
//! text again. What must never happen here: a name that leaves its segment of the path.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What stays as it is in a segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Which runs are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Only runs of this pipeline.
    pub pipeline: Option<String>,
    /// Only runs in this phase, such as `failed`.
    pub phase: Option<String>,
    /// Only runs that were created within so many hours.
    pub hours: Option<u32>,
    /// The page, from 0.
    pub page: usize,
}

/// Which stages of a run are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageFilter {
    /// Only stages in this state, such as `failed`.
    pub state: Option<String>,
    /// Only stages whose name contains this.
    pub name: Option<String>,
    /// The page, from 0.
    pub page: usize,
}

/// A page of the web view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// All runs.
    Runs(RunFilter),
    /// One run.
    Run(String, StageFilter),
    /// A stage of a run, or one item of it, such as `read[a]`.
    Stage(String, String, usize),
    /// Semaphores, leases, barriers and gates.
    Primitives,
    /// Schedules.
    Schedules,
}

impl Address {
    /// Returns the page that a path and a query name.
    pub fn parse(target: &str) -> Option<Self> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query: Vec<(String, String)> = serde_urlencoded::from_str(query).ok()?;
        let value = |key: &str| {
            let mut values = query.iter().filter(|(name, _)| name == key);
            let value = values.next().map(|(_, value)| value.trim().to_owned());
            value.filter(|value| !value.is_empty())
        };
        // People count pages from 1.
        let page = value("page").and_then(|page| page.parse::<usize>().ok());
        let page = page.map_or(0, |page| page.saturating_sub(1));
        let segments: Vec<String> = path
            .strip_prefix('/')?
            .split('/')
            .map(|segment| {
                let decoded = percent_decode_str(segment).decode_utf8().ok();
                decoded.map(|decoded| decoded.into_owned())
            })
            .collect::<Option<_>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            [""] | ["runs"] => Some(Self::Runs(RunFilter {
                pipeline: value("pipeline"),
                phase: value("phase"),
                hours: value("hours").and_then(|hours| hours.parse().ok()),
                page,
            })),
            ["runs", run] if !run.is_empty() => Some(Self::Run(
                (*run).to_owned(),
                StageFilter {
                    state: value("state"),
                    name: value("name"),
                    page,
                },
            )),
            ["runs", run, stage] if !run.is_empty() && !stage.is_empty() => {
                Some(Self::Stage((*run).to_owned(), (*stage).to_owned(), page))
            }
            ["primitives"] => Some(Self::Primitives),
            ["schedules"] => Some(Self::Schedules),
            _ => None,
        }
    }

    /// Returns the path and the query of the page.
    pub fn link(&self) -> String {
        let mut query: Vec<(&str, String)> = Vec::new();
        let mut add = |key: &'static str, value: &Option<String>| {
            query.extend(value.clone().map(|value| (key, value)));
        };
        let (path, page) = match self {
            Self::Runs(filter) => {
                add("pipeline", &filter.pipeline);
                add("phase", &filter.phase);
                add("hours", &filter.hours.map(|hours| hours.to_string()));
                ("/".to_owned(), filter.page)
            }
            Self::Run(run, filter) => {
                add("state", &filter.state);
                add("name", &filter.name);
                (format!("/runs/{}", segment(run)), filter.page)
            }
            Self::Stage(run, stage, page) => {
                (format!("/runs/{}/{}", segment(run), segment(stage)), *page)
            }
            Self::Primitives => ("/primitives".to_owned(), 0),
            Self::Schedules => ("/schedules".to_owned(), 0),
        };
        if page > 0 {
            query.push(("page", (page + 1).to_string()));
        }
        match serde_urlencoded::to_string(&query) {
            Ok(query) if !query.is_empty() => format!("{path}?{query}"),
            _ => path,
        }
    }

    /// Returns the page of a run.
    pub fn run(name: &str) -> Self {
        Self::Run(name.to_owned(), StageFilter::default())
    }

    /// Returns the page of a stage or an item.
    pub fn stage(run: &str, stage: &str) -> Self {
        Self::Stage(run.to_owned(), stage.to_owned(), 0)
    }

    /// Returns the page of the runs of a pipeline.
    pub fn pipeline(name: &str) -> Self {
        Self::Runs(RunFilter {
            pipeline: Some(name.to_owned()),
            ..RunFilter::default()
        })
    }
}

fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        let table = [
            Address::Runs(RunFilter::default()),
            Address::Runs(RunFilter {
                pipeline: Some("a&b=c".into()),
                phase: Some("failed".into()),
                hours: Some(24),
                page: 3,
            }),
            Address::run("nightly"),
            Address::Run(
                "..".into(),
                StageFilter {
                    state: Some("failed".into()),
                    name: Some("ä /?#".into()),
                    page: 1,
                },
            ),
            Address::stage("nightly", "read[a/b?c#d]"),
            Address::Stage("nightly".into(), "read".into(), 2),
            Address::Primitives,
            Address::Schedules,
        ];
        for address in table {
            assert_eq!(Address::parse(&address.link()), Some(address));
        }
    }

    #[test]
    fn what_names_no_page_has_no_address() {
        for target in [
            "",
            "x",
            "//evil.example",
            "/runs/",
            "/runs/a/",
            "/runs/a/b/c",
            "/runs/%ff",
            "/other",
        ] {
            assert_eq!(Address::parse(target), None, "{target}");
        }
        let page = Address::parse("/?page=0&hours=x&phase=");
        assert_eq!(page, Some(Address::Runs(RunFilter::default())));
    }
}
