//! A trace as OTLP writes it in JSON.
//!
//! The crates of OpenTelemetry would bring their own runtime, their own HTTP client and protobuf; what is sent here is
//! one message of a format that does not change.

use std::sync::Arc;

use jiff::Timestamp;
use konductor_core::trace::{SpanOf, Trace, TraceSpan};
use serde_json::{Value, json};

use super::settings::TraceSettings;

/// How many spans one request has: as many as the SDKs of OpenTelemetry send.
const SPANS_MAX: usize = 512;
/// How many bytes one request has, unless a single span has more: a collector takes 4 MiB by default.
const BYTES_MAX: usize = 2 << 20;
/// `SPAN_KIND_INTERNAL`, `SPAN_KIND_SERVER` and `STATUS_CODE_ERROR` of OTLP.
const INTERNAL: u32 = 1;
const SERVER: u32 = 2;
const ERROR: u32 = 2;

/// The bodies of the requests that export a trace, each made when it is asked for.
pub(super) struct Requests {
    trace: Trace,
    settings: Arc<TraceSettings>,
    /// How many spans are in those that were made.
    made: usize,
}

impl Requests {
    pub(super) fn new(trace: Trace, settings: Arc<TraceSettings>) -> Self {
        Self {
            trace,
            settings,
            made: 0,
        }
    }

    fn resource(&self) -> String {
        let service = [("service.name", self.settings.service_name.as_str())];
        let own = self.settings.resource.iter();
        let own = own.map(|(key, value)| (key.as_str(), value.as_str()));
        let of_run = self.trace.resource.iter();
        let of_run = of_run.map(|(key, value)| (*key, value.as_str()));
        let version = [("service.version", env!("CARGO_PKG_VERSION"))];
        let all = service.into_iter().chain(version).chain(of_run).chain(own);
        json!({"attributes": attributes(all)}).to_string()
    }
}

impl Iterator for Requests {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let rest = self.trace.spans.get(self.made..)?;
        let scope = json!({"name": "konductor", "version": env!("CARGO_PKG_VERSION")});
        let resource = self.resource();
        let mut body = format!(
            r#"{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[{{"scope":{scope},"spans":["#
        );
        let end = "]}]}]}";
        let mut count = 0;
        for one in rest.iter().take(SPANS_MAX) {
            let text = span(&self.trace, one).to_string();
            if count > 0 {
                if body.len() + 1 + text.len() + end.len() > BYTES_MAX {
                    break;
                }
                body.push(',');
            }
            body.push_str(&text);
            count += 1;
        }
        if count == 0 {
            return None;
        }
        self.made += count;
        body.push_str(end);
        Some(body)
    }
}

fn span(trace: &Trace, span: &TraceSpan) -> Value {
    let pairs = span.attributes.iter();
    let pairs = pairs.map(|(key, value)| (*key, value.as_str()));
    let mut body = json!({
        "traceId": trace.id.to_string(),
        "spanId": span.id.to_string(),
        "name": span.name,
        "kind": match span.of {
            SpanOf::Run => SERVER,
            SpanOf::Stage | SpanOf::Part => INTERNAL,
        },
        "startTimeUnixNano": nanoseconds(span.start),
        "endTimeUnixNano": nanoseconds(span.end),
        "attributes": attributes(pairs),
    });
    if let Some(parent) = span.parent {
        body["parentSpanId"] = parent.to_string().into();
    }
    if let Some(failure) = &span.failure {
        body["status"] = json!({"code": ERROR, "message": failure});
    }
    body
}

/// JSON has 64 bits as text.
fn nanoseconds(time: Timestamp) -> String {
    time.as_nanosecond().to_string()
}

fn attributes<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Value> {
    pairs
        .map(|(key, value)| json!({"key": key, "value": {"stringValue": value}}))
        .collect()
}

#[cfg(test)]
mod tests {
    use konductor_api::Run;
    use konductor_core::{RunObjects, trace};

    use super::*;

    /// How many spans each request has of a trace whose spans have failures of these sizes.
    fn spans(sizes: &[usize]) -> Vec<usize> {
        let run = json!({
            "metadata": {"name": "r", "namespace": "n", "uid": "u"},
            "spec": {"pipeline": "p", "jobs": 1},
        });
        let run: Run = serde_json::from_value(run).expect("a Run");
        let mut trace = trace::trace(&run, &RunObjects::default(), Timestamp::UNIX_EPOCH);
        let root = trace.spans.remove(0);
        let all = sizes.iter().enumerate().map(|(index, size)| TraceSpan {
            name: index.to_string(),
            failure: Some("x".repeat(*size)),
            ..root.clone()
        });
        trace.spans = all.collect();
        let settings = TraceSettings::read(Some("http://a"), |_| None);
        let settings = settings.expect("right").expect("some");
        let mut names = Vec::new();
        let requests = Requests::new(trace, Arc::new(settings)).map(|body| {
            let read: Value = serde_json::from_str(&body).expect("JSON");
            let of = &read["resourceSpans"][0];
            let service = &of["resource"]["attributes"][0]["value"]["stringValue"];
            assert_eq!(service, "konductor");
            let spans = of["scopeSpans"][0]["spans"].as_array().expect("spans");
            names.extend(spans.iter().map(|span| span["name"].clone()));
            assert!(
                body.len() <= BYTES_MAX || spans.len() == 1,
                "{}",
                body.len()
            );
            spans.len()
        });
        let counts = requests.collect();
        let expected: Vec<Value> = (0..sizes.len())
            .map(|name| name.to_string().into())
            .collect();
        assert_eq!(names, expected, "each once, in their order");
        counts
    }

    #[test]
    fn requests_are_bounded_by_spans_and_by_bytes() {
        assert_eq!(spans(&[]), [0; 0]);
        assert_eq!(spans(&[10; SPANS_MAX]), [SPANS_MAX]);
        assert_eq!(spans(&[10; SPANS_MAX + 1]), [SPANS_MAX, 1]);
        assert_eq!(spans(&[BYTES_MAX / 4; 7]), [3, 3, 1]);
        // What fits into none is sent alone.
        assert_eq!(spans(&[10, 2 * BYTES_MAX, 10]), [1, 1, 1]);
    }
}
