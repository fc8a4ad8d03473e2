//! What was measured, as rows of a table.

use std::fmt;
use std::time::Duration;

/// One row: a figure of ours beside its floor.
pub(crate) struct Row {
    pub(crate) id: &'static str,
    pub(crate) what: String,
    pub(crate) floor: String,
    pub(crate) ours: String,
    pub(crate) ratio: String,
    pub(crate) target: &'static str,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "| {} | {} | {} | {} | {} | {} |",
            self.id, self.what, self.floor, self.ours, self.ratio, self.target
        )
    }
}

/// The value below which this share of them lies, from 0 to 1.
pub(crate) fn quantile(times: &[Duration], share: f64) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    let last = times.len() - 1;
    times[((last as f64) * share).round() as usize]
}

/// Milliseconds, with one decimal.
pub(crate) fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// How many of these in a second.
pub(crate) fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// The median of several rates.
pub(crate) fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// How many times the floor a time is.
pub(crate) fn times(ours: Duration, floor: Duration) -> String {
    format!("{:.2}×", ours.as_secs_f64() / floor.as_secs_f64())
}
