//! Requests as data, and what they are answered.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::normal::normal;

/// One request. In texts, `{ns}` is the namespace, and `${a.metadata.uid}` a field of an earlier
/// answer that was kept `as: a`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// The verb and the path.
    request: String,
    /// What is sent: as it stands where it is a text, else as JSON.
    body: Option<Value>,
    /// Its content type, JSON by default.
    r#type: Option<String>,
    /// What is accepted as an answer, JSON by default.
    accept: Option<String>,
    /// The name to keep the answer by.
    r#as: Option<String>,
}

impl Request {
    pub(crate) fn new(request: String, body: Value) -> Self {
        Self {
            request,
            body: Some(body),
            r#type: None,
            accept: None,
            r#as: None,
        }
    }

    /// What is sent.
    pub(crate) fn body(&self) -> &Value {
        self.body.as_ref().unwrap_or(&Value::Null)
    }
}

impl fmt::Display for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.request)?;
        match &self.body {
            Some(body) => write!(formatter, " {body}"),
            None => Ok(()),
        }
    }
}

/// What was answered, with fixed words for what differs each time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    status: u16,
    /// The warnings for the client.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// Objects, or each event of a watch.
    body: Vec<Value>,
}

impl Answer {
    /// Whether it is no success.
    pub(crate) fn is_refusal(&self) -> bool {
        self.status >= 300
    }
}

/// How long an answer may take, a watch's too.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Sends each request after the answer to the one before.
pub(crate) async fn speak(
    client: &Client,
    namespace: &str,
    requests: &[Request],
) -> Result<Vec<Answer>, String> {
    let mut kept: BTreeMap<String, Value> = BTreeMap::new();
    let mut answers = Vec::new();
    for request in requests {
        let filled = |text: &str| fill(text, namespace, &kept);
        let (verb, path) = request.request.split_once(' ').ok_or("VERB /path")?;
        let body = match &request.body {
            None => String::new(),
            Some(Value::String(text)) => filled(text),
            Some(body) => filled(&body.to_string()),
        };
        let mut sent = http::Request::builder().method(verb).uri(filled(path));
        let json = "application/json";
        if request.body.is_some() {
            sent = sent.header("content-type", request.r#type.as_deref().unwrap_or(json));
        }
        sent = sent.header("accept", request.accept.as_deref().unwrap_or(json));
        // The manager of the fields that are written, on either server.
        sent = sent.header("user-agent", "konductor-sdk/test");
        let sent = sent.body(Body::from(body.into_bytes()));
        let sent = sent.map_err(|error| format!("{request}: {error}"))?;
        let answer = tokio::time::timeout(ANSWER_WITHIN, async {
            let answer = client.send(sent).await.map_err(|error| error.to_string())?;
            let status = answer.status().as_u16();
            let warnings = answer.headers().get_all("warning").into_iter();
            let warnings: Vec<String> = warnings
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect();
            let body = answer.into_body().collect().await;
            Ok((
                status,
                warnings,
                body.map_err(|error| error.to_string())?.to_bytes(),
            ))
        });
        let answer = answer.await.unwrap_or_else(|late| Err(late.to_string()));
        let (status, warnings, text) = answer.map_err(|error| format!("{request}: {error}"))?;
        let body = values(&text);
        if let (Some(name), Some(body)) = (&request.r#as, body.first()) {
            kept.insert(name.clone(), body.clone());
        }
        let body = body
            .into_iter()
            .map(|value| normal(value, namespace))
            .collect();
        answers.push(Answer {
            status,
            warnings,
            body,
        });
    }
    Ok(answers)
}

/// JSON, one value after another; else the text.
fn values(text: &[u8]) -> Vec<Value> {
    let values = serde_json::Deserializer::from_slice(text).into_iter();
    let values: Result<Vec<Value>, _> = values.collect();
    values.unwrap_or_else(|_| vec![Value::String(String::from_utf8_lossy(text).into_owned())])
}

fn fill(text: &str, namespace: &str, kept: &BTreeMap<String, Value>) -> String {
    let mut filled = text.replace("{ns}", namespace);
    while let Some((before, rest)) = filled.split_once("${") {
        let (path, after) = rest.split_once('}').expect("a name ends with }");
        let (name, path) = path.split_once('.').expect("a name and a field");
        let object = kept
            .get(name)
            .unwrap_or_else(|| panic!("no answer is kept as {name}"));
        let pointer = format!("/{}", path.replace('.', "/"));
        let value = object
            .pointer(&pointer)
            .unwrap_or_else(|| panic!("{name} has no {path}"));
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        filled = format!("{before}{value}{after}");
    }
    filled
}
