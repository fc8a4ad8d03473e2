//! What was measured: rows, each printed as one line of JSON, which `tests/benches/publish.py` makes tables of.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde::Serialize;

/// How large the measurements are, and how often they are repeated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Of the full size: a hundredth shows in seconds whether a measurement works.
    pub(crate) scale: f64,
    /// Instead of each measurement's own number.
    pub(crate) rounds: Option<usize>,
}

impl Extent {
    /// So many at the full size, at least one.
    pub(crate) fn of(self, full: usize) -> usize {
        ((full as f64 * self.scale).round() as usize).max(1)
    }

    /// The sizes of a row at this scale, each once.
    pub(crate) fn sizes(self, full: &[usize]) -> Vec<usize> {
        let mut sizes: Vec<usize> = full.iter().map(|size| self.of(*size)).collect();
        sizes.dedup();
        sizes
    }

    /// How often a measurement is repeated that is usually repeated so often, at least once.
    pub(crate) fn rounds(self, usually: usize) -> usize {
        self.rounds.unwrap_or(usually).max(1)
    }
}

/// The middle of several values of a unit, and between which eight of ten lie; with fewer than six values, between
/// which all do.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    low: f64,
    high: f64,
    /// How many values there are.
    values: usize,
}

impl Spread {
    /// # Panics
    /// If there are none.
    pub(crate) fn of(values: &[f64]) -> Self {
        Self {
            median: quantile(values, 0.5),
            low: quantile(values, 0.1),
            high: quantile(values, 0.9),
            values: values.len(),
        }
    }
}

/// What of a row is compared with its target.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Of {
    /// The median of konductor's values, in the row's unit.
    Konductor,
    /// konductor's median, divided by the floor's.
    Ratio,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Target {
    of: Of,
    #[serde(flatten)]
    bound: Bound,
}

/// How many of what a row is about: rows that differ only in this are one line of a chart.
#[derive(Clone, Copy, Debug, Serialize)]
struct Size {
    count: usize,
    of: &'static str,
}

/// One row: konductor's figures beside those of the least that could be done.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    id: &'static str,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<Size>,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    floor_is: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<Spread>,
    konductor: Spread,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<Spread>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Target>,
    /// What the figure is made of, in the row's unit.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    detail: BTreeMap<String, f64>,
}

impl Row {
    /// konductor's values, one for each repeat, in a unit.
    pub(crate) fn new(
        id: &'static str,
        what: impl Into<String>,
        unit: &'static str,
        konductor: &[f64],
    ) -> Self {
        Self {
            id,
            what: what.into(),
            size: None,
            unit,
            floor_is: None,
            floor: None,
            konductor: Spread::of(konductor),
            ratio: None,
            target: None,
            detail: BTreeMap::new(),
        }
    }

    /// The values of the least that could be done, in the same unit and measured by turns. The ratio is that of the
    /// medians; its spread is that of the pairs, if each of konductor's values has one.
    pub(crate) fn beside(
        mut self,
        floor_is: &'static str,
        floor: &[f64],
        konductor: &[f64],
    ) -> Self {
        let pairs = konductor
            .iter()
            .zip(floor)
            .map(|(ours, floor)| ours / floor);
        let mut ratio = Spread::of(&pairs.collect::<Vec<_>>());
        let floor = Spread::of(floor);
        ratio.median = self.konductor.median / floor.median;
        ratio.low = ratio.low.min(ratio.median);
        ratio.high = ratio.high.max(ratio.median);
        self.floor_is = Some(floor_is);
        self.floor = Some(floor);
        self.ratio = Some(ratio);
        self
    }

    /// It is about so many.
    pub(crate) fn sized(mut self, count: usize, of: &'static str) -> Self {
        self.size = Some(Size { count, of });
        self
    }

    /// Its target is no more than this.
    pub(crate) fn at_most(mut self, of: Of, value: f64) -> Self {
        let bound = Bound::AtMost(value);
        self.target = Some(Target { of, bound });
        self
    }

    /// Its target is no less than this.
    pub(crate) fn at_least(mut self, of: Of, value: f64) -> Self {
        let bound = Bound::AtLeast(value);
        self.target = Some(Target { of, bound });
        self
    }

    /// What the figure is made of.
    pub(crate) fn with_detail(mut self, detail: BTreeMap<String, f64>) -> Self {
        self.detail = detail;
        self
    }
}

/// The value below which this share of them lies, from 0 to 1.
///
/// # Panics
/// If there are none.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    values[((last as f64) * share).round() as usize]
}

/// Milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// How many of these in a second.
pub(crate) fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// By how much y rises for each x, on the straight line that is nearest to these points.
pub(crate) fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x_mean, y_mean) = (mean(|(x, _)| *x), mean(|(_, y)| *y));
    let both = points.iter().map(|(x, y)| (x - x_mean) * (y - y_mean));
    let square = points.iter().map(|(x, _)| (x - x_mean).powi(2));
    both.sum::<f64>() / square.sum::<f64>()
}

/// Reports on stderr how far a measurement is, with the seconds since the first report.
#[expect(clippy::print_stderr, reason = "stdout is the data")]
pub(crate) fn progress(what: &str) {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    let begun = BEGUN.get_or_init(Instant::now);
    eprintln!("[{:7.1} s] {what}", begun.elapsed().as_secs_f64());
}
