//! Exports Runs that have ended as traces of OpenTelemetry, where that is asked for.
//!
//! What enters: the names of Runs that have ended, and what their objects say, read live. What leaves: OTLP requests,
//! and `status.traceId` of the Run, by which no operator exports it again. What must never happen here: a decision or a
//! reconcile that waits for a collector; a Run that is kept in memory.

mod otlp;
mod queue;
mod settings;

use std::fmt;
use std::sync::Arc;

use futures::TryStreamExt;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use konductor_api::{Lenient, Run};
use konductor_core::trace::TraceId;
use konductor_core::{ObjectName, run_end, trace};
use kube::api::PostParams;
use kube::client::Body;
use kube::config::{
    AuthInfo, Cluster, Context as ConfigContext, KubeConfigOptions, Kubeconfig, NamedAuthInfo,
    NamedCluster, NamedContext,
};
use kube::runtime::reflector::Store;
use kube::{Api, Client, Config};
use tokio::time::timeout;

use crate::FIELD_MANAGER;
use crate::index::Watched;
use crate::live::Live;
use crate::needed::Read;
use crate::options::Clock;
use crate::telemetry::Telemetry;
use queue::{Limits, Queue, Waiting};
pub use settings::TraceSettings;

/// A Run that ended longer ago is not exported any more: its collector was away for long, or traces were switched on
/// later.
const EXPORT_WITHIN: SignedDuration = SignedDuration::from_hours(1);
/// How many Runs are kept in memory by name, and by trace.
const LIMITS: Limits = Limits {
    waiting: 1000,
    given_up: 10_000,
};
/// How often the mark is tried where another write comes first.
const MARKS: usize = 5;
/// How much of a refusal is logged.
const ANSWER_MAX: usize = 300;

/// Where Runs go as traces. Clones share the connection.
#[derive(Clone)]
pub struct Traces {
    client: Client,
    settings: Arc<TraceSettings>,
}

impl fmt::Debug for Traces {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers may have a password.
        let endpoint = &self.settings.endpoint;
        write!(formatter, "Traces({endpoint})")
    }
}

/// Why a trace was not exported.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the collector did not answer in time")]
    NoAnswer,
    #[error("the collector can't be reached: {0}")]
    Unreachable(kube::Error),
    #[error("the collector answered {0}: {1}")]
    Refused(StatusCode, String),
    #[error("the request can't be made: {0}")]
    Request(#[from] http::Error),
    #[error("its objects can't be read: {0}")]
    Read(kube::Error),
    #[error("its status can't be written: {0}")]
    Mark(kube::Error),
}

impl Failure {
    /// Whether the same may succeed later: what OTLP says of each status, and Kubernetes of its own.
    fn passes(&self) -> bool {
        match self {
            Self::Refused(code, _) => matches!(code.as_u16(), 429 | 502 | 503 | 504),
            Self::Read(kube::Error::Api(status)) | Self::Mark(kube::Error::Api(status)) => {
                matches!(status.code, 429 | 500..)
            }
            Self::Request(_) => false,
            Self::NoAnswer | Self::Unreachable(_) | Self::Read(_) | Self::Mark(_) => true,
        }
    }
}

impl Traces {
    /// Prepares a connection to a collector; it is made with the first export.
    ///
    /// # Errors
    /// If a certificate can't be read.
    pub async fn new(settings: TraceSettings) -> Result<Self, kube::Error> {
        let mut config =
            Config::from_custom_kubeconfig(server(&settings), &KubeConfigOptions::default())
                .await
                .map_err(|error| kube::Error::Service(error.into()))?;
        if settings.endpoint.scheme_str() == Some("http") {
            // The image has no CA certificates, and needs none.
            config.root_cert = Some(Vec::new());
        }
        config.connect_timeout = Some(settings.timeout);
        config.read_timeout = Some(settings.timeout);
        let agent = concat!("konductor/", env!("CARGO_PKG_VERSION"));
        let agent = (header::USER_AGENT, http::HeaderValue::from_static(agent));
        config.headers.push(agent);
        config.headers.extend(settings.headers.iter().cloned());
        Ok(Self {
            client: Client::try_from(config)?,
            settings: Arc::new(settings),
        })
    }

    async fn send(&self, body: String) -> Result<(), Failure> {
        let path = self.settings.endpoint.path_and_query();
        let request = Request::post(path.map_or("/", |path| path.as_str()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.into_bytes()))?;
        let answer = async {
            let answer = self.client.send(request).await;
            let answer = answer.map_err(Failure::Unreachable)?;
            let code = answer.status();
            let text = text(answer.into_body()).await;
            Ok::<_, Failure>((code, text))
        };
        let answer = timeout(self.settings.timeout, answer).await;
        let (code, text) = answer.map_err(|_| Failure::NoAnswer)??;
        match code.is_success() {
            true => Ok(()),
            false => Err(Failure::Refused(code, text)),
        }
    }
}

/// A collector, as kube connects to a server: with the certificates that are named.
fn server(settings: &TraceSettings) -> Kubeconfig {
    let endpoint = &settings.endpoint;
    let scheme = endpoint.scheme_str().unwrap_or("http");
    let authority = endpoint
        .authority()
        .map_or("", |authority| authority.as_str());
    let name = || "otlp".to_owned();
    let cluster = Cluster {
        server: Some(format!("{scheme}://{authority}")),
        certificate_authority: settings.authority.clone(),
        ..Cluster::default()
    };
    let user = AuthInfo {
        client_certificate: settings.certificate.clone(),
        client_key: settings.key.clone(),
        ..AuthInfo::default()
    };
    Kubeconfig {
        clusters: vec![NamedCluster {
            name: name(),
            cluster: Some(cluster),
            ..NamedCluster::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: name(),
            auth_info: Some(user),
            ..NamedAuthInfo::default()
        }],
        contexts: vec![NamedContext {
            name: name(),
            context: Some(ConfigContext {
                cluster: name(),
                user: Some(name()),
                ..ConfigContext::default()
            }),
            ..NamedContext::default()
        }],
        current_context: Some(name()),
        ..Kubeconfig::default()
    }
}

/// The begin of an answer: it says why.
async fn text(body: Body) -> String {
    let mut bytes = Vec::new();
    let mut data = std::pin::pin!(body.into_data_stream());
    while let Ok(Some(part)) = data.try_next().await {
        bytes.extend_from_slice(&part);
        if bytes.len() >= ANSWER_MAX {
            break;
        }
    }
    bytes.truncate(ANSWER_MAX);
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// Where an export reads, and what it is counted by.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) client: &'a Client,
    pub(crate) live: &'a Live,
    pub(crate) runs: &'a Store<Run>,
    pub(crate) clock: &'a Clock,
    pub(crate) telemetry: &'a Telemetry,
}

impl Sources<'_> {
    /// A Run is not exported any more.
    fn gives_up(self, namespace: &str, name: &str, error: &dyn fmt::Display) {
        tracing::warn!(namespace, name, %error, "a trace was not exported");
        self.telemetry.exported(false);
    }
}

/// The Runs of one operator that are to be exported.
pub(crate) struct Exports {
    traces: Traces,
    queue: Queue,
}

impl Exports {
    pub(crate) fn new(traces: Traces) -> Self {
        Self {
            traces,
            queue: Queue::new(LIMITS),
        }
    }

    /// Queues a Run if it has ended and is not exported.
    pub(crate) fn saw(&self, run: &Run, now: Timestamp) {
        if is_owed(run, now) {
            let name = ObjectName::of(&run.metadata);
            self.queue.push(name, TraceId::of(run));
        }
    }

    /// Exports forever what is queued: first what ended before this operator led.
    pub(crate) async fn run(&self, sources: Sources<'_>) {
        sources.telemetry.exports_traces();
        loop {
            let waiting = self.queue.next().await;
            self.export(sources, waiting).await;
            if self.queue.takes_overflow() {
                let now = sources.clock.now();
                let runs = sources.runs.state();
                runs.iter().for_each(|run| self.saw(run, now));
            }
        }
    }

    /// Tries once to export a Run.
    async fn export(&self, sources: Sources<'_>, waiting: Waiting) {
        let ObjectName { namespace, name } = waiting.run.clone();
        match self.try_export(sources, &waiting).await {
            Ok(Some(())) => {
                self.queue.succeeded();
                sources.telemetry.exported(true);
            }
            Ok(None) => self.queue.settled(),
            Err(error) if error.passes() => {
                let rest = self.queue.failed(waiting);
                tracing::warn!(namespace, name, %error, wait = ?rest, "a trace can't be exported; retrying");
            }
            Err(error) => {
                self.queue.gave_up(waiting.trace);
                sources.gives_up(&namespace, &name, &error);
            }
        }
    }

    /// Exports a Run if that is owed; `None` if nothing is to be done.
    async fn try_export(
        &self,
        sources: Sources<'_>,
        waiting: &Waiting,
    ) -> Result<Option<()>, Failure> {
        let name = &waiting.run;
        let Some(run) = owed(sources, waiting).await? else {
            return Ok(None);
        };
        let objects = sources.live.around(&run).await.map_err(Failure::Read)?;
        let trace = trace::trace(&run, &objects, sources.clock.now());
        drop(objects);
        for request in otlp::requests(&trace, &self.traces.settings) {
            self.traces.send(request).await?;
        }
        for _ in 0..MARKS {
            let run = read(sources, name).await?;
            match mark(sources, name, trace.id, run).await {
                Err(kube::Error::Api(status)) if status.is_conflict() => {}
                Err(kube::Error::Api(status)) if status.is_not_found() => break,
                Err(error) => return Err(Failure::Mark(error)),
                Ok(()) => break,
            }
        }
        Ok(Some(()))
    }
}

/// Reads a Run; `None` if it is gone, or can't be understood.
async fn read(sources: Sources<'_>, name: &ObjectName) -> Result<Option<Run>, Failure> {
    let api: Api<Read<Run>> = Api::namespaced(sources.client.clone(), &name.namespace);
    let run = api.get_opt(&name.name).await.map_err(Failure::Read)?;
    Ok(run.and_then(|run| run.decoded().ok()))
}

/// Reads a Run whose export is owed; `None` if nothing is to be done. Another attempt is queued by its own end.
async fn owed(sources: Sources<'_>, waiting: &Waiting) -> Result<Option<Run>, Failure> {
    let run = read(sources, &waiting.run).await?;
    let Some(run) = run.filter(|run| TraceId::of(run) == waiting.trace) else {
        return Ok(None);
    };
    if is_owed(&run, sources.clock.now()) {
        return Ok(Some(run));
    }
    let status = run.status.as_ref();
    let is_late = status.is_some_and(|status| status.trace_id.is_none()) && run_end(&run).is_some();
    if is_late {
        let ObjectName { namespace, name } = &waiting.run;
        sources.gives_up(namespace, name, &"it ended more than an hour ago");
    }
    Ok(None)
}

/// Writes the mark, unless the Run is gone, or another attempt than the one that was exported.
async fn mark(
    sources: Sources<'_>,
    name: &ObjectName,
    exported: TraceId,
    run: Option<Run>,
) -> Result<(), kube::Error> {
    let Some(run) = run.and_then(|run| marked(run, exported)) else {
        return Ok(());
    };
    let api: Api<Lenient<Run>> = Api::namespaced(sources.client.clone(), &name.namespace);
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let run = run.into();
    api.replace_status(&name.name, &params, &run).await?;
    sources.telemetry.wrote(Watched::Run);
    Ok(())
}

/// A Run with the mark of its export; `None` if it is not what was exported: a retry, or another Run of this name. The
/// id is of the uid and the attempt.
fn marked(mut run: Run, exported: TraceId) -> Option<Run> {
    if run_end(&run).is_none() || TraceId::of(&run) != exported {
        return None;
    }
    let status = run.status.get_or_insert_default();
    status.trace_id = Some(exported.to_string());
    Some(run)
}

/// Whether a Run has ended not too long ago, and nobody has exported it.
fn is_owed(run: &Run, now: Timestamp) -> bool {
    let Some(status) = run.status.as_ref().filter(|_| run_end(run).is_some()) else {
        return false;
    };
    let finished = status.finished_at.as_ref();
    let is_recent = finished.is_some_and(|time| now.duration_since(time.0) <= EXPORT_WITHIN);
    status.trace_id.is_none() && is_recent
}

#[cfg(test)]
mod tests {
    use konductor_api::RunStatus;
    use serde_json::json;

    use super::*;

    #[test]
    fn run_is_exported_once_after_its_end_and_not_after_an_hour() {
        let finished: Timestamp = "2026-01-31T03:00:00Z".parse().expect("a time");
        let run = |status: serde_json::Value, attempt: u32| -> Run {
            let run = json!({
                "metadata": {"name": "r", "namespace": "n"},
                "spec": {"pipeline": "p", "jobs": 1, "attempt": attempt}, "status": status,
            });
            serde_json::from_value(run).expect("a Run")
        };
        let ended =
            json!({"phase": "Failed", "attempt": 1, "finishedAt": finished, "conditions": []});
        let mut marked = ended.clone();
        marked["traceId"] = "0".repeat(32).into();
        let running = json!(RunStatus::default());
        let second = SignedDuration::from_secs(1);
        for (status, attempt, after, expected) in [
            (&ended, 1, second, true),
            (&ended, 1, EXPORT_WITHIN, true),
            (&ended, 1, EXPORT_WITHIN + second, false),
            // A retry has begun.
            (&ended, 2, second, false),
            (&marked, 1, second, false),
            (&running, 1, second, false),
        ] {
            let run = run(status.clone(), attempt);
            assert_eq!(is_owed(&run, finished + after), expected, "{run:?}");
        }
    }

    #[test]
    fn only_the_attempt_that_was_exported_is_marked() {
        let run = |uid: &str, attempt: u32, ended: u32| -> Run {
            let run = json!({
                "metadata": {"name": "r", "namespace": "n", "uid": uid},
                "spec": {"pipeline": "p", "jobs": 1, "attempt": attempt},
                "status": {"phase": "Failed", "attempt": ended, "finishedAt": "2026-01-31T03:00:00Z"},
            });
            serde_json::from_value(run).expect("a Run")
        };
        let exported = TraceId::of(&run("a", 1, 1));
        for (run, expected) in [
            (run("a", 1, 1), true),
            // A retry has begun, or has ended, too.
            (run("a", 2, 1), false),
            (run("a", 2, 2), false),
            // Another one of this name.
            (run("b", 1, 1), false),
        ] {
            let marked = marked(run, exported);
            let mark = marked.and_then(|run| run.status?.trace_id);
            assert_eq!(mark, expected.then(|| exported.to_string()));
        }
    }

    #[test]
    fn what_a_collector_refuses_for_good_is_not_tried_again() {
        for (code, expected) in [
            (400, false),
            (401, false),
            (404, false),
            (413, false),
            (429, true),
            (503, true),
        ] {
            let code = StatusCode::from_u16(code).expect("a code");
            assert_eq!(Failure::Refused(code, String::new()).passes(), expected);
        }
        assert!(Failure::NoAnswer.passes());
        // What may not be read in one namespace keeps no other waiting.
        for (code, expected) in [(403, false), (503, true)] {
            let status = kube::core::Status::failure("no", "").with_code(code);
            let read = Failure::Read(kube::Error::Api(status.boxed()));
            assert_eq!(read.passes(), expected);
        }
    }
}
