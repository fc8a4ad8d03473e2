//! A pod's log as it is printed, in pieces of bounded size, whatever the pod prints.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream};
use futures::{AsyncRead, AsyncReadExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use kube::{Api, ResourceExt};

use super::watched::{Watched, all};

/// How many lines of a log are shown at first.
pub(in crate::command) const LOG_LINES: i64 = 300;
/// The container that a stage's step runs in.
pub(super) const CONTAINER: &str = "main";
/// How much is read at once, in bytes.
const PIECE: usize = 16 * 1024;
/// The longest line, in bytes: the rest of a longer line is left out.
const LINE_MAX: usize = 16 * 1024;
/// How long it takes until a log that broke off is opened again: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// Whole lines, each with its line feed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    /// Whether it is the first since the log was opened.
    pub(super) is_start: bool,
}

/// A pod's log that is followed.
pub(super) struct Tail {
    pods: Api<Pod>,
    pod: String,
    watched: Arc<Watched>,
    /// How long to wait before the log is opened; `None` the first time.
    pause: Option<Duration>,
    reader: Option<Pin<Box<dyn AsyncRead + Send>>>,
    lines: Lines,
    is_start: bool,
}

impl Tail {
    pub(super) fn new(pods: Api<Pod>, pod: &str, watched: Arc<Watched>) -> Self {
        Self {
            pods,
            pod: pod.to_owned(),
            watched,
            pause: None,
            reader: None,
            lines: Lines::default(),
            is_start: true,
        }
    }

    /// Returns the end of the log, and then what is printed, until the pod has ended.
    pub(super) fn pieces(self) -> impl Stream<Item = Piece> + Send {
        stream::unfold(self, |mut tail| async { Some((tail.next().await?, tail)) })
    }

    async fn next(&mut self) -> Option<Piece> {
        let mut piece = vec![0; PIECE];
        loop {
            let Some(reader) = &mut self.reader else {
                self.open().await?;
                continue;
            };
            let text = match reader.read(&mut piece).await {
                Ok(length @ 1..) => {
                    self.pause = Some(PAUSES.0);
                    self.lines.take(&piece[..length])
                }
                // The container has ended, or the connection has.
                Ok(_) | Err(_) => {
                    self.reader = None;
                    self.lines.end()
                }
            };
            if !text.is_empty() {
                let is_start = std::mem::take(&mut self.is_start);
                return Some(Piece { text, is_start });
            }
        }
    }

    /// Opens the log, after a pause if it was open before; `None` if nothing more is printed.
    async fn open(&mut self) -> Option<()> {
        let (first, longest) = PAUSES;
        let pause = self.pause.replace(first);
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
            self.pause = Some((pause * 2).min(longest));
            match Printing::at(&self.watched, &self.pod).await {
                Printing::Ended => return None,
                Printing::Paused => return Some(()),
                Printing::Going => {}
            }
        }
        let params = LogParams {
            container: Some(CONTAINER.to_owned()),
            follow: true,
            tail_lines: Some(LOG_LINES),
            ..LogParams::default()
        };
        if let Ok(reader) = self.pods.log_stream(&self.pod, &params).await {
            self.reader = Some(Box::pin(reader));
            self.is_start = true;
        }
        Some(())
    }
}

/// Whether a pod prints something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Printing {
    Going,
    /// Its container doesn't run; it may be started again.
    Paused,
    Ended,
}

impl Printing {
    async fn at(watched: &Watched, pod: &str) -> Self {
        let pods = all(&watched.pods).await.unwrap_or_default();
        let pod = pods.iter().find(|candidate| candidate.name_any() == pod);
        pod.map_or(Self::Ended, |pod| Self::of(pod))
    }

    fn of(pod: &Pod) -> Self {
        let Some(status) = &pod.status else {
            return Self::Ended;
        };
        if status.phase.as_deref() != Some("Running") {
            return Self::Ended;
        }
        let mut containers = status.container_statuses.iter().flatten();
        let main = containers.find(|container| container.name == CONTAINER);
        let state = main.and_then(|main| main.state.as_ref());
        match state.is_none_or(|state| state.running.is_some()) {
            true => Self::Going,
            false => Self::Paused,
        }
    }
}

/// Cuts what is read into lines of bounded length.
#[derive(Debug, Default)]
struct Lines {
    /// The line that has no end yet, without what is left out of it.
    line: Vec<u8>,
    is_cut: bool,
}

impl Lines {
    /// Returns the lines that end in these bytes.
    fn take(&mut self, bytes: &[u8]) -> String {
        let mut text = String::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (part, is_end) = match part.strip_suffix(b"\n") {
                Some(part) => (part, true),
                None => (part, false),
            };
            let room = LINE_MAX - self.line.len();
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            self.is_cut |= part.len() > room;
            if is_end {
                text.push_str(&self.line());
            }
        }
        text
    }

    /// Returns the last line, if it has no line feed.
    fn end(&mut self) -> String {
        match self.line.is_empty() {
            true => String::new(),
            false => self.line(),
        }
    }

    fn line(&mut self) -> String {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        match std::mem::take(&mut self.is_cut) {
            // A character may be cut as well.
            true => format!("{}…\n", line.trim_end_matches(char::REPLACEMENT_CHARACTER)),
            false => format!("{}\n", line.trim_end_matches('\r')),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_are_whole_and_bounded_however_they_are_read() {
        let long = "ä".repeat(LINE_MAX);
        let cut = format!("{}…\n", "ä".repeat(LINE_MAX / 2));
        let odd = format!("x{long}\nb");
        let odd_cut = format!("x{}…\nb\n", "ä".repeat(LINE_MAX / 2 - 1));
        let exact = "a".repeat(LINE_MAX);
        for (printed, expected) in [
            ("", ""),
            ("\n", "\n"),
            ("a\nb\r\nc", "a\nb\nc\n"),
            ("a\n\nb\n", "a\n\nb\n"),
            (long.as_str(), cut.as_str()),
            (odd.as_str(), odd_cut.as_str()),
            (exact.as_str(), format!("{exact}\n").as_str()),
        ] {
            for length in [1, 7, PIECE] {
                let mut lines = Lines::default();
                let mut text = String::new();
                for bytes in printed.as_bytes().chunks(length) {
                    text.push_str(&lines.take(bytes));
                    assert!(lines.line.len() <= LINE_MAX);
                }
                text.push_str(&lines.end());
                assert!(text == expected, "{printed:.20} by {length}");
            }
        }
    }

    #[test]
    fn a_log_is_opened_again_while_its_container_runs() {
        let running = json!({"running": {}});
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let terminated = json!({"terminated": {"exitCode": 1}});
        for (phase, state, expected) in [
            ("Running", &running, Printing::Going),
            ("Running", &json!(null), Printing::Going),
            ("Running", &waiting, Printing::Paused),
            ("Running", &terminated, Printing::Paused),
            ("Succeeded", &terminated, Printing::Ended),
            ("Failed", &terminated, Printing::Ended),
            ("Pending", &waiting, Printing::Ended),
        ] {
            let container = |name: &str, state: &serde_json::Value| json!({"name": name, "state": state, "image": "i", "imageID": "i", "ready": true, "restartCount": 0});
            let containers = [container("sidecar", &running), container(CONTAINER, state)];
            let pod = json!({"status": {"phase": phase, "containerStatuses": containers}});
            let pod: Pod = serde_json::from_value(pod).expect("a pod");
            assert_eq!(Printing::of(&pod), expected, "{phase} {state}");
        }
    }
}
