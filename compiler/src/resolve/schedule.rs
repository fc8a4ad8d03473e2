//! Schedules: when a pipeline runs by itself.

use jiff::tz::TimeZone;
use konductor_dsl::ast;

use super::{Resolver, Scope, Time};
use crate::cron::{self, CronError};
use crate::pipeline::{Overlap, Schedule};
use crate::{rules, zone};

/// The time zone of a pipeline's schedule, before anything else of it is looked at: parameters may
/// use `run.date`.
pub(super) fn zone(pipeline: &ast::Pipeline) -> Option<TimeZone> {
    let mut attributes = pipeline.items.iter().filter_map(|item| match item {
        ast::Item::Schedule(schedule) => schedule.attributes.as_ref(),
        _ => None,
    });
    let mut entries = attributes.next()?.entries.iter();
    let timezone = entries.find(|entry| entry.key.text == "timezone")?;
    match &timezone.value {
        ast::Value::String(text) => zone::named(&text.plain()?),
        _ => None,
    }
}

impl<'a> Resolver<'a> {
    /// Resolves the schedule of a pipeline; a second one is reported.
    pub(super) fn schedule(&mut self) -> Option<Schedule> {
        let schedules = self.ast.items.iter().filter_map(|item| match item {
            ast::Item::Schedule(schedule) => Some(schedule),
            _ => None,
        });
        let schedules: Vec<&'a ast::Schedule> = schedules.collect();
        let (first, more) = schedules.split_first()?;
        for other in more {
            self.report(rules::bad_schedule::second(
                other.cron.span,
                first.cron.span,
            ));
        }
        for param in &self.params {
            let mut declared = self.names.params.iter();
            let declared = declared.find(|declared| declared.name.text == param.name.text);
            let has_default = declared.is_some_and(|declared| declared.default.is_some());
            // A default or value that is refused is reported as that.
            let is_missing =
                param.value.is_none() && !has_default && !self.options.gives(&param.name.text);
            // If a run is compiled, a missing value is reported anyway.
            if is_missing && self.options.check {
                let reported = rules::bad_schedule::param(&param.name, first.cron.span);
                self.diagnostics.push(reported);
            }
        }
        self.resolved_schedule(first)
    }

    fn resolved_schedule(&mut self, ast: &'a ast::Schedule) -> Option<Schedule> {
        let Some(cron) = ast.cron.plain() else {
            self.report(rules::bad_schedule::interpolated(ast.cron.span));
            return None;
        };
        match cron::check(&cron) {
            Ok(()) => {}
            Err(CronError::Unreadable(problem)) => {
                self.report(rules::bad_schedule::unreadable(
                    ast.cron.span,
                    &cron,
                    &problem,
                ));
            }
            Err(CronError::NeverFires) => {
                self.report(rules::never_fires::report(ast.cron.span));
            }
        }
        let mut schedule = Schedule {
            cron,
            span: ast.cron.span,
            time_zone: None,
            overlap: Overlap::Allow,
            catch_up: None,
        };
        let empty = ast::Map::default();
        let map = ast.attributes.as_ref().unwrap_or(&empty);
        for entry in self.entries(map, &["timezone", "overlap", "catch-up"]) {
            let value = &entry.value;
            match entry.key.text.as_str() {
                "timezone" => {
                    let text = self.text_value(value, Scope::PIPELINE, Time::Compile);
                    let plain = text
                        .as_ref()
                        .and_then(|text| text.plain())
                        .map(str::to_owned);
                    if plain.as_deref().and_then(zone::named).is_none() {
                        let plain = plain.as_deref();
                        self.report(rules::bad_schedule::time_zone(value.span(), plain));
                    }
                    schedule.time_zone = plain;
                }
                "overlap" => {
                    schedule.overlap = match self.word(value, &["allow", "skip", "replace"]) {
                        Some("skip") => Overlap::Skip,
                        Some("replace") => Overlap::Replace,
                        _ => Overlap::Allow,
                    };
                }
                _ => schedule.catch_up = self.duration(value, Scope::PIPELINE),
            }
        }
        Some(schedule)
    }
}
