//! Where traces go, by a flag and the variables of OpenTelemetry.

use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;

/// What a base address is followed by.
const PATH: &str = "/v1/traces";

/// Where traces go, and what they carry.
#[derive(Clone, PartialEq)]
pub struct TraceSettings {
    /// The address that takes traces.
    pub(super) endpoint: Uri,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// How long an export may take.
    pub(super) timeout: Duration,
    pub(super) service_name: String,
    /// What else is said of the operator.
    pub(super) resource: Vec<(String, String)>,
    /// Files with certificates: whom the collector is trusted by, and who the operator is.
    pub(super) authority: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
}

impl fmt::Debug for TraceSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers may have a password.
        write!(formatter, "TraceSettings({})", self.endpoint)
    }
}

impl TraceSettings {
    /// Reads `OTEL_*` variables, after the base address of a flag; `None` if no address is named, or exports are
    /// switched off. `variable` returns the value of an environment variable.
    ///
    /// # Errors
    /// Which variable can't be followed, why, and what to write.
    pub fn read(
        base: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, String> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        // Each of these has a variable of its own for traces.
        let either = |end: &str| {
            let [own, common] = ["TRACES_", ""].map(|of| format!("OTEL_EXPORTER_OTLP_{of}{end}"));
            set(&own)
                .map(|value| (own, value))
                .or_else(|| Some((common.clone(), set(&common)?)))
        };
        let is_off = set("OTEL_SDK_DISABLED")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || set("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
        let Some(endpoint) = endpoint(base, &set).filter(|_| !is_off) else {
            return Ok(None);
        };
        for (end, fits) in [("PROTOCOL", "http/json"), ("COMPRESSION", "none")] {
            if let Some((name, value)) = either(end)
                && value != fits
            {
                let own = format!("OTEL_EXPORTER_OTLP_TRACES_{end}");
                return Err(format!(
                    "{name} is {value}, which konductor does not speak: set {own}={fits}"
                ));
            }
        }
        let headers = match either("HEADERS") {
            None => Vec::new(),
            Some((name, text)) => headers(&name, &text)?,
        };
        let timeout = match either("TIMEOUT") {
            None => 10_000,
            Some((name, text)) => text
                .parse()
                .map_err(|_| format!("{name} is {text}: write milliseconds, such as 10000"))?,
        };
        let name = "OTEL_RESOURCE_ATTRIBUTES";
        let mut resource = pairs(name, &set(name).unwrap_or_default())?;
        let named = resource.iter().position(|(key, _)| key == "service.name");
        let named = named.map(|index| resource.remove(index).1);
        let service_name = set("OTEL_SERVICE_NAME").or(named);
        Ok(Some(Self {
            endpoint: address(&endpoint)?,
            headers,
            timeout: Duration::from_millis(timeout),
            service_name: service_name.unwrap_or_else(|| "konductor".to_owned()),
            resource,
            authority: either("CERTIFICATE").map(|(_, path)| path),
            certificate: either("CLIENT_CERTIFICATE").map(|(_, path)| path),
            key: either("CLIENT_KEY").map(|(_, path)| path),
        }))
    }
}

/// The address that takes traces. One for traces only is taken as it is; a base is followed by the path.
fn endpoint(base: Option<&str>, set: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let under = |base: &str| format!("{}{PATH}", base.trim_end_matches('/'));
    base.map(under)
        .or_else(|| set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
        .or_else(|| set("OTEL_EXPORTER_OTLP_ENDPOINT").map(|base| under(&base)))
}

fn address(text: &str) -> Result<Uri, String> {
    if text.contains('@') {
        // What stands before it may be a password, so nothing of the address is printed.
        return Err(
            "the collector's address has an @: pass a user and a password as \
             OTEL_EXPORTER_OTLP_HEADERS=authorization=Basic%20BASE64, and write an @ of a path as %40"
                .to_owned(),
        );
    }
    let uri: Option<Uri> = text.parse().ok();
    let is_http = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https"));
    uri.filter(is_http).ok_or_else(|| {
        format!("{text} is no address of a collector: write one such as http://otel-collector:4318")
    })
}

/// `key=value,key=value`, where a value may have `%2C`.
fn pairs(variable: &str, text: &str) -> Result<Vec<(String, String)>, String> {
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let pairs = parts.map(|part| {
        let (key, value) = part.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        Some((key.trim().to_owned(), value.into_owned()))
    });
    let pairs: Option<Vec<_>> = pairs.collect();
    // The value may be a password.
    pairs.ok_or_else(|| format!("{variable} can't be read: write KEY=VALUE,KEY=VALUE"))
}

fn headers(variable: &str, text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let header = |(key, value): (String, String)| {
        let name = HeaderName::try_from(key).ok()?;
        let mut value = HeaderValue::try_from(value).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    };
    let all: Option<Vec<_>> = pairs(variable, text)?.into_iter().map(header).collect();
    all.ok_or_else(|| format!("{variable} has what can't be a header: write NAME=VALUE,NAME=VALUE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        base: Option<&str>,
        variables: &[(&str, &str)],
    ) -> Result<Option<TraceSettings>, String> {
        TraceSettings::read(base, |name| {
            let variable = variables.iter().find(|(key, _)| *key == name);
            variable.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn address_is_that_of_the_flag_of_traces_or_of_all() {
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://own:1/x");
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318/");
        for (base, variables, expected) in [
            (None, &[][..], None),
            (None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")], None),
            (None, &[all], Some("http://all:4318/v1/traces")),
            (None, &[all, own], Some("http://own:1/x")),
            (
                Some("https://flag/otlp"),
                &[all, own],
                Some("https://flag/otlp/v1/traces"),
            ),
            (Some("http://flag"), &[("OTEL_SDK_DISABLED", "TRUE")], None),
            (
                Some("http://flag"),
                &[("OTEL_TRACES_EXPORTER", "none")],
                None,
            ),
        ] {
            let read = read(base, variables).expect("settings");
            let endpoint = read.map(|settings| settings.endpoint.to_string());
            assert_eq!(endpoint.as_deref(), expected, "{base:?} {variables:?}");
        }
    }

    #[test]
    fn what_can_t_be_followed_is_named_with_what_to_write() {
        for (variables, expected) in [
            (
                [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
                "OTEL_EXPORTER_OTLP_PROTOCOL is grpc, which konductor does not speak: set \
                 OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/json",
            ),
            (
                [("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")],
                "OTEL_EXPORTER_OTLP_COMPRESSION is gzip, which konductor does not speak: set \
                 OTEL_EXPORTER_OTLP_TRACES_COMPRESSION=none",
            ),
            (
                [("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "10s")],
                "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT is 10s: write milliseconds, such as 10000",
            ),
            (
                [("OTEL_EXPORTER_OTLP_HEADERS", "secret")],
                "OTEL_EXPORTER_OTLP_HEADERS can't be read: write KEY=VALUE,KEY=VALUE",
            ),
            (
                [("OTEL_EXPORTER_OTLP_HEADERS", "a b=secret")],
                "OTEL_EXPORTER_OTLP_HEADERS has what can't be a header: write NAME=VALUE,NAME=VALUE",
            ),
        ] {
            let error = read(Some("http://a"), &variables).expect_err("no settings");
            assert_eq!(error, expected);
        }
        let variable = |value| [("OTEL_EXPORTER_OTLP_ENDPOINT", value)];
        for error in [
            read(Some("http://me:hidden@a:4318"), &[]),
            read(Some("me:hidden@a:4318"), &[]),
            read(Some("http://me:hid/den@a"), &[]),
            read(None, &variable("https://me:hid den@a")),
        ] {
            let expected = "the collector's address has an @: pass a user and a password as \
                            OTEL_EXPORTER_OTLP_HEADERS=authorization=Basic%20BASE64, and write an @ \
                            of a path as %40";
            assert_eq!(error, Err(expected.to_owned()));
        }
        let error = read(Some("collector:4318"), &[]).expect_err("no settings");
        let expected = "collector:4318/v1/traces is no address of a collector: write one such as \
                        http://otel-collector:4318";
        assert_eq!(error, expected);
    }

    #[test]
    fn headers_and_attributes_are_decoded() {
        let variables = [
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "authorization=Bearer%20a, x-scope = b",
            ),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "service.name=mine,deployment.environment.name=a%2Cb",
            ),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
        ];
        let settings = read(Some("http://a"), &variables)
            .expect("right")
            .expect("some");
        let headers = settings.headers.iter();
        let headers: Vec<_> = headers
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default()))
            .collect();
        assert_eq!(headers, [("authorization", "Bearer a"), ("x-scope", "b")]);
        assert_eq!(settings.service_name, "mine");
        let attribute = ("deployment.environment.name".to_owned(), "a,b".to_owned());
        assert_eq!(settings.resource, [attribute]);
        assert_eq!(settings.timeout, Duration::from_millis(250));
        assert!(!format!("{settings:?}").contains("Bearer"));
    }
}
