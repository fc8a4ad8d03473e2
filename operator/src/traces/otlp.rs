//! A trace as OTLP writes it in JSON.
//!
//! The crates of OpenTelemetry would bring their own runtime, their own HTTP client and protobuf; what is sent here is
//! one message of a format that does not change.

use jiff::Timestamp;
use konductor_core::trace::{SpanOf, Trace, TraceSpan};
use serde_json::{Value, json};

use super::settings::TraceSettings;

/// How many spans one request has: as many as the SDKs of OpenTelemetry send. A collector takes 4 MiB by default.
const SPANS_MAX: usize = 512;
/// `SPAN_KIND_INTERNAL`, `SPAN_KIND_SERVER` and `STATUS_CODE_ERROR` of OTLP.
const INTERNAL: u32 = 1;
const SERVER: u32 = 2;
const ERROR: u32 = 2;

/// Returns the bodies of the requests that export a trace.
pub(super) fn requests<'a>(
    trace: &'a Trace,
    settings: &'a TraceSettings,
) -> impl Iterator<Item = String> + 'a {
    let service = [("service.name", settings.service_name.as_str())];
    let own = settings.resource.iter();
    let own = own.map(|(key, value)| (key.as_str(), value.as_str()));
    let of_run = trace.resource.iter();
    let of_run = of_run.map(|(key, value)| (*key, value.as_str()));
    let version = [("service.version", env!("CARGO_PKG_VERSION"))];
    let resource = service.into_iter().chain(version).chain(of_run).chain(own);
    let resource = attributes(resource);
    trace.spans.chunks(SPANS_MAX).map(move |spans| {
        let spans: Vec<Value> = spans.iter().map(|one| span(trace, one)).collect();
        json!({"resourceSpans": [{
            "resource": {"attributes": resource},
            "scopeSpans": [{
                "scope": {"name": "konductor", "version": env!("CARGO_PKG_VERSION")},
                "spans": spans,
            }],
        }]})
        .to_string()
    })
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
