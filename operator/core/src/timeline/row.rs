//! The spans of one Job, from its creation to its end.

use jiff::Timestamp;
use konductor_api::{Hold, JobPhase, LedgerKind, Participant, Times};

use super::cause::{Cause, Causes, When, gate_end};
use super::{Frame, Span, SpanKind, pods};
use crate::ended::condition_since;
use crate::run_objects::RunObjects;
use crate::standing::{Standing, State};
use crate::words;

/// The spans of a Job, and which times are missing.
#[derive(Debug, Default)]
pub(super) struct Spans {
    pub(super) spans: Vec<Span>,
    pub(super) note: Option<String>,
}

/// Returns the spans of a Job that ended then; `cause` is what ended the wait for its Gate.
pub(super) fn spans(
    job: &Participant,
    objects: &RunObjects,
    (end, cause): (When, Option<&Cause>),
    standing: &Standing,
    frame: Frame,
) -> Spans {
    let Some(created) = job.metadata.creation_timestamp.as_ref() else {
        let note = "its Job was deleted, and its times with it";
        return Spans {
            spans: Vec::new(),
            note: Some(note.to_owned()),
        };
    };
    let mut writer = Writer {
        frame,
        cursor: created.0,
        spans: Vec::new(),
        note: None,
    };
    let timed_job = TimedJob {
        job,
        objects,
        standing,
        times: job.times(),
        end,
    };
    timed_job.write(cause, &mut writer);
    writer.finish(&timed_job)
}

/// A Job with its own times.
struct TimedJob<'a> {
    job: &'a Participant,
    objects: &'a RunObjects,
    standing: &'a Standing,
    times: Times,
    end: When,
}

impl TimedJob<'_> {
    /// Since when the Job is started, if it is.
    fn started(&self) -> Option<Timestamp> {
        let time = self.job.status.as_ref()?.start_time.as_ref()?;
        Some(time.0)
    }

    /// When it was started first, as far as that is stored.
    fn first_start(&self) -> Option<Timestamp> {
        let first = self.times.ran.first().map(|(from, _)| *from);
        first.or_else(|| self.started())
    }

    fn write(&self, cause: Option<&Cause>, writer: &mut Writer) {
        if !self.gate(cause, writer) {
            return;
        }
        if self.is_stopped_by_others() {
            return self.stopped_by_others(writer);
        }
        if self.first_start().is_none() && self.end != When::Open {
            // It ended while it waited.
            let (kind, on) = self.next_wait();
            return writer.close(kind, on, self.end);
        }
        if !self.holds(writer) {
            return;
        }
        let Some(first) = self.first_start() else {
            return self.not_started(writer);
        };
        let was_stopped = self.times.ran.is_empty() && self.job.resumed().is_some();
        match was_stopped {
            true => {
                writer.push(SpanKind::Started, None, first);
                writer.note("somebody suspended it while it ran; only its last start is stored");
            }
            false => writer.push(SpanKind::Starting, None, first),
        }
        self.runs(writer);
    }

    /// The wait for the Gate; `false` if nothing follows.
    fn gate(&self, cause: Option<&Cause>, writer: &mut Writer) -> bool {
        let Some(name) = self.job.gate() else {
            return true;
        };
        let gate = self.objects.gate(name);
        let opened = match (gate.map(gate_end), self.first_start()) {
            (Some(When::At(time)), _) => Some(time),
            // Its Gate is gone, or was not readable.
            (_, started) => started,
        };
        let words = cause.and_then(|cause| Causes::words(cause, self.objects));
        let words = words.unwrap_or_else(|| format!("gate/{name}"));
        let approval = cause.and_then(Cause::approval);
        let is_last =
            cause.is_some_and(|cause| cause.when != When::Open || cause.only_approval_is_open());
        if let Some((approval, since)) = approval.filter(|_| is_last) {
            if let Some(since) = since {
                writer.push(
                    SpanKind::Waiting,
                    Some(words),
                    opened.map_or(since, |end| since.min(end)),
                );
            }
            return self.waited(SpanKind::Approval, approval.to_owned(), opened, writer);
        }
        self.waited(SpanKind::Waiting, words, opened, writer)
    }

    /// A wait that ended, at this time, or lasts; `false` if nothing follows.
    fn waited(
        &self,
        kind: SpanKind,
        on: String,
        opened: Option<Timestamp>,
        writer: &mut Writer,
    ) -> bool {
        let Some(opened) = opened else {
            writer.close(kind, Some(on), self.end);
            return false;
        };
        // One that was cancelled before its Gate opened waited no longer than that.
        let opened = match self.end {
            When::At(end) if self.first_start().is_none() => opened.min(end),
            _ => opened,
        };
        writer.push(kind, Some(on), opened);
        let gate = self.job.gate().and_then(|gate| self.objects.gate(gate));
        if let (Some(span), Some(gate)) = (writer.spans.last_mut(), gate)
            && span.end == Some(opened)
        {
            span.outcome = Some(words::how_gate(gate));
        }
        // What its Gate rules out ends with it.
        let never = matches!(self.standing.state, State::Skipped | State::Unreached);
        !never
    }

    /// Whether somebody suspended it after its start, which cleared when that was.
    fn is_stopped_by_others(&self) -> bool {
        self.job.phase == Some(JobPhase::Running)
            && self.job.is_suspended()
            && self.job.queue().is_none()
            && self.first_start().is_none()
    }

    fn stopped_by_others(&self, writer: &mut Writer) {
        let since = condition_since(self.job, "Suspended");
        writer.note("somebody suspended it while it ran; when it had started is not stored");
        if let Some(since) = since {
            writer.push(SpanKind::Started, None, since);
        }
        writer.close(SpanKind::Paused, None, self.end);
    }

    /// What a Job behind its Gate waits for next.
    fn next_wait(&self) -> (SpanKind, Option<String>) {
        let holds = self.job.holds();
        match (holds, self.job.queue()) {
            ([], None) => (SpanKind::Starting, None),
            ([], Some(queue)) => (SpanKind::Queued, Some(format!("queue {queue}"))),
            (holds, _) => (SpanKind::Queued, Some(ledgers(holds))),
        }
    }

    /// The waits for permits, one after the other; `false` if one lasts.
    fn holds(&self, writer: &mut Writer) -> bool {
        let started = self.first_start();
        let holds = match started {
            Some(_) => self.job.holding(),
            None => self.job.holds(),
        };
        let mut unknown = false;
        for hold in holds {
            let ledger = ledgers(std::slice::from_ref(hold));
            match (self.granted(hold, &ledger), started) {
                (Some(time), _) => {
                    let time = started.map_or(time, |started| time.min(started));
                    writer.push(SpanKind::Queued, Some(ledger), time);
                }
                (None, Some(_)) => unknown = true,
                (None, None) => {
                    writer.close(SpanKind::Queued, Some(ledger), self.end);
                    return false;
                }
            }
        }
        if let (true, Some(started)) = (unknown, started) {
            // The ledgers have forgotten when they granted: all of it counts as queued.
            writer.push(SpanKind::Queued, Some(ledgers(holds)), started);
        }
        if let Some(queue) = self.job.queue() {
            let on = Some(format!("queue {queue}"));
            match started {
                Some(started) => writer.push(SpanKind::Queued, on, started),
                None => {
                    writer.close(SpanKind::Queued, on, self.end);
                    return false;
                }
            }
        }
        true
    }

    /// When a ledger granted: as the start stored it, or as the ledger still lists it.
    fn granted(&self, hold: &Hold, ledger: &str) -> Option<Timestamp> {
        let listed = || {
            let status = |holders: &[konductor_api::Holder]| {
                let held = holders.iter().find(|held| held.uid == self.job.uid())?;
                held.since.as_ref().map(|time| time.0)
            };
            match hold.kind {
                LedgerKind::Semaphore => {
                    status(&self.objects.semaphore(&hold.name)?.status.as_ref()?.holders)
                }
                LedgerKind::Lease => {
                    status(&self.objects.lease(&hold.name)?.status.as_ref()?.holders)
                }
            }
        };
        self.times.granted_by(ledger).or_else(listed)
    }

    /// It has all that it waits for, and is not started.
    fn not_started(&self, writer: &mut Writer) {
        match (self.standing.state, writer.frame.paused_at) {
            (State::Suspended, _) => writer.close(SpanKind::Paused, None, self.end),
            (_, Some(paused)) => {
                writer.push(SpanKind::Starting, None, paused);
                writer.close(SpanKind::Paused, None, self.end);
            }
            (_, None) => writer.close(SpanKind::Starting, None, self.end),
        }
    }

    /// From the first start on.
    fn runs(&self, writer: &mut Writer) {
        for (from, to) in &self.times.ran {
            writer.push(SpanKind::Paused, None, *from);
            // Its pods were deleted when it was suspended.
            writer.push(SpanKind::Started, None, *to);
        }
        let last = self.times.ran.last().map(|(_, to)| *to);
        let started = self
            .started()
            .filter(|started| last.is_none_or(|last| *started >= last));
        let Some(started) = started else {
            // What was ended by the stop has no time after it.
            return match self.end {
                When::At(end) if last.is_some_and(|last| end <= last) => {}
                end => writer.close(SpanKind::Paused, None, end),
            };
        };
        writer.push(SpanKind::Paused, None, started);
        let pods = self.objects.pods_of(self.job);
        let is_open = self.end == When::Open;
        let until = match self.end {
            When::At(end) => end.max(started),
            When::Open | When::Unknown => writer.frame.until.max(started),
        };
        let parts = match started < until {
            true => pods::parts(self.job, &pods, (started, until), is_open),
            false => Vec::new(),
        };
        for part in parts {
            writer.cursor = part.start;
            match part.end == until && is_open {
                true => writer.close(part.kind, None, When::Open),
                false => writer.push(part.kind, None, part.end),
            }
            if let (Some(why), Some(span)) = (part.failed, writer.spans.last_mut()) {
                span.outcome = Some(State::Failed.word());
                span.reason = why;
            }
        }
        match (started < until, is_open) {
            (true, _) => {}
            (false, true) => writer.close(SpanKind::Pending, None, When::Open),
            // It took less than the second that is stored, and yet it ran.
            (false, false) => writer.instant(match pods.is_empty() {
                true => SpanKind::Started,
                false => SpanKind::Running,
            }),
        }
        if writer
            .spans
            .iter()
            .any(|span| span.kind == SpanKind::Started)
            && pods.is_empty()
        {
            writer.note("its pods are gone, so nothing says when its first container started");
        }
    }
}

/// `lease/a, semaphore/b`.
fn ledgers(holds: &[Hold]) -> String {
    let names = holds
        .iter()
        .map(|hold| format!("{}/{}", hold.kind, hold.name));
    names.collect::<Vec<_>>().join(", ")
}

/// Writes spans, each where the one before it ends.
struct Writer {
    frame: Frame,
    cursor: Timestamp,
    spans: Vec<Span>,
    note: Option<String>,
}

impl Writer {
    fn note(&mut self, note: &str) {
        self.note.get_or_insert_with(|| note.to_owned());
    }

    /// A span until a time; none if that is not later.
    fn push(&mut self, kind: SpanKind, on: Option<String>, end: Timestamp) {
        if end <= self.cursor {
            return;
        }
        self.spans.push(Span {
            kind,
            on,
            start: self.cursor,
            end: Some(end),
            outcome: None,
            reason: String::new(),
        });
        self.cursor = end;
    }

    /// A span without a length.
    fn instant(&mut self, kind: SpanKind) {
        self.spans.push(Span {
            kind,
            on: None,
            start: self.cursor,
            end: Some(self.cursor),
            outcome: None,
            reason: String::new(),
        });
    }

    /// The last span: until the Job's end, or as long as that is open.
    fn close(&mut self, kind: SpanKind, on: Option<String>, end: When) {
        match end {
            When::At(end) => self.push(kind, on, end),
            When::Unknown => self.note("when it ended is not stored"),
            When::Open => self.spans.push(Span {
                kind,
                on,
                start: self.cursor.min(self.frame.until),
                end: None,
                outcome: None,
                reason: String::new(),
            }),
        }
    }

    /// Cuts the spans to the Run's own time, and says how the last one ended.
    fn finish(mut self, timed_job: &TimedJob<'_>) -> Spans {
        let Frame {
            start,
            until,
            is_over,
            ..
        } = self.frame;
        let is_outside = |span: &Span| span.end.is_some_and(|end| end < start);
        let earlier = self.spans.iter().filter(|span| is_outside(span)).count();
        self.spans.retain(|span| !is_outside(span));
        for span in &mut self.spans {
            span.start = span.start.clamp(start, until);
            span.end = match span.end {
                // The Run has ended, so nothing lasts.
                None => is_over.then_some(until),
                Some(end) => Some(end.clamp(start, until)),
            };
        }
        if self.spans.is_empty() && earlier > 0 {
            self.note = Some("it ended in an earlier attempt".to_owned());
        }
        if let Some(last) = self.spans.last_mut() {
            if timed_job.standing.state.has_ended() {
                let is_end = !matches!(last.kind, SpanKind::Waiting | SpanKind::Approval);
                if is_end || last.outcome.is_none() {
                    last.outcome = Some(timed_job.standing.state.word());
                }
            }
            if last.reason.is_empty() {
                last.reason.clone_from(&timed_job.standing.why);
            }
        }
        Spans {
            spans: self.spans,
            note: self.note,
        }
    }
}
