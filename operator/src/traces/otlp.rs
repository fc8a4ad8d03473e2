//! A trace as OTLP writes it in JSON.
//!
//! The crates of OpenTelemetry would bring their own runtime, their own HTTP client and protobuf; what is sent here is
//! one message of a format that does not change.

use jiff::Timestamp;
use konductor_core::trace::{SpanOf, Trace, TraceSpan};
use serde_json::{Value, json};

use super::settings::TraceSettings;

/// How many spans one request has: as many as the SDKs of OpenTelemetry send.
const SPANS_MAX: usize = 512;
/// How many bytes one request has, unless it has a single span: a collector takes 4 MiB by default.
const BYTES_MAX: usize = 2 << 20;
/// `SPAN_KIND_INTERNAL`, `SPAN_KIND_SERVER` and `STATUS_CODE_ERROR` of OTLP.
const INTERNAL: u32 = 1;
const SERVER: u32 = 2;
const ERROR: u32 = 2;

/// Returns the bodies of the requests that export a trace, each made when it is asked for. A request has at most
/// [`SPANS_MAX`] spans and [`BYTES_MAX`] bytes; a span that is larger is sent alone.
pub(super) fn requests<'a>(
    trace: &'a Trace,
    settings: &'a TraceSettings,
) -> impl Iterator<Item = String> + 'a {
    let resource = resource(trace, settings);
    let scope = json!({"name": "konductor", "version": env!("CARGO_PKG_VERSION")});
    let begin = format!(
        r#"{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[{{"scope":{scope},"spans":["#
    );
    let end = "]}]}]}";
    let spans = trace.spans.iter();
    let mut spans = spans
        .map(|trace_span| span(trace, trace_span).to_string())
        .peekable();
    std::iter::from_fn(move || {
        let mut body = begin.clone();
        body.push_str(&spans.next()?);
        for _ in 1..SPANS_MAX {
            let room = BYTES_MAX.saturating_sub(body.len() + ",".len() + end.len());
            let Some(span) = spans.next_if(|span| span.len() <= room) else {
                break;
            };
            body.push(',');
            body.push_str(&span);
        }
        body.push_str(end);
        Some(body)
    })
}

fn resource(trace: &Trace, settings: &TraceSettings) -> Value {
    let service = [("service.name", settings.service_name.as_str())];
    let own = settings.resource.iter();
    let own = own.map(|(key, value)| (key.as_str(), value.as_str()));
    let of_run = trace.resource.iter();
    let of_run = of_run.map(|(key, value)| (*key, value.as_str()));
    let version = [("service.version", env!("CARGO_PKG_VERSION"))];
    let all = service.into_iter().chain(version).chain(of_run).chain(own);
    json!({"attributes": attributes(all)})
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
    fn counts(sizes: &[usize]) -> Vec<usize> {
        let run = json!({
            "metadata": {"name": "r", "namespace": "n", "uid": "u"},
            "spec": {"pipeline": "p", "jobs": 1},
        });
        let run: Run = serde_json::from_value(run).expect("a Run");
        let mut trace = trace::trace(&run, &RunObjects::default(), Timestamp::UNIX_EPOCH);
        let root = trace.spans.remove(0);
        let spans = sizes.iter().enumerate().map(|(index, size)| TraceSpan {
            name: index.to_string(),
            failure: Some("x".repeat(*size)),
            ..root.clone()
        });
        trace.spans = spans.collect();
        let settings = TraceSettings::read(Some("http://a"), |_| None);
        let settings = settings.expect("right").expect("some");
        let mut names = Vec::new();
        let counts = requests(&trace, &settings).map(|body| {
            let read: Value = serde_json::from_str(&body).expect("JSON");
            let read = &read["resourceSpans"][0];
            let service = &read["resource"]["attributes"][0]["value"]["stringValue"];
            assert_eq!(service, "konductor");
            assert_eq!(read["scopeSpans"][0]["scope"]["name"], "konductor");
            let spans = read["scopeSpans"][0]["spans"].as_array().expect("spans");
            names.extend(spans.iter().map(|span| span["name"].clone()));
            let bytes = body.len();
            assert!(bytes <= BYTES_MAX || spans.len() == 1, "{bytes}");
            spans.len()
        });
        let counts = counts.collect();
        let expected: Vec<Value> = (0..sizes.len())
            .map(|name| name.to_string().into())
            .collect();
        assert_eq!(names, expected, "each once, in their order");
        counts
    }

    #[test]
    fn requests_are_bounded_by_spans_and_by_bytes() {
        assert_eq!(counts(&[]), [0; 0]);
        assert_eq!(counts(&[10; SPANS_MAX]), [SPANS_MAX]);
        assert_eq!(counts(&[10; SPANS_MAX + 1]), [SPANS_MAX, 1]);
        assert_eq!(counts(&[BYTES_MAX / 4; 7]), [3, 3, 1]);
        assert_eq!(counts(&[10, 2 * BYTES_MAX, 10]), [1, 1, 1]);
    }
}
