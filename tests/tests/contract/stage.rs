//! Where one scenario is played: a namespace, an operator, and a client whose requests may fail.

use std::collections::HashMap;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use konductor::{Client, Error, Guard, LastSeen};
use konductor_tests::cluster::Cluster;
use konductor_tests::fault::{Faults, How};
use konductor_tests::operator::Operator;
use kube::Api;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
    PostParams, WatchParams,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::scenario::{Object, Scenario, Step};

/// How long anything that must happen may take.
const WITHIN: Duration = Duration::from_secs(60);

type Ended = Result<Option<Guard>, Error>;

pub(crate) struct Stage<'a> {
    cluster: &'a Cluster,
    namespace: String,
    operator: Option<Operator>,
    faults: Faults,
    client: kube::Client,
    calls: HashMap<String, JoinHandle<Ended>>,
    holds: HashMap<String, Hold>,
}

/// A guard, until it is released: the type can't be released twice.
struct Hold {
    guard: Option<Guard>,
    claim: String,
    token: Option<i64>,
}

impl<'a> Stage<'a> {
    /// Plays a scenario; the error names the step that failed.
    pub(crate) async fn play(cluster: &'a Cluster, scenario: &Scenario) -> Result<(), String> {
        let namespace = cluster.namespace("contract").await;
        let operator = match scenario.operator.as_deref() {
            None => Some(Operator::start(cluster, &namespace)),
            Some("absent") => None,
            Some(other) => return Err(format!("not an operator: {other}")),
        };
        let faults = Faults::default();
        let client = faults.client(&cluster.client);
        let mut stage = Stage {
            cluster,
            namespace,
            operator,
            faults,
            client,
            calls: HashMap::new(),
            holds: HashMap::new(),
        };
        for object in &scenario.setup {
            stage.create(object).await?;
        }
        for (at, step) in scenario.steps.iter().enumerate() {
            let played = stage.step(step).await;
            played.map_err(|error| format!("step {}: {error}", at + 1))?;
        }
        for (resource, left) in &scenario.left {
            let what = format!("{left} are left");
            stage
                .observe(resource, &what, |all| all.len() == *left)
                .await?;
        }
        let operator = stage.operator.take();
        drop(stage);
        if let Some(operator) = operator {
            operator.stop().await;
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        if let Some(call) = &step.perform {
            let call = self.begin(call, step)?;
            return self.end(call, step.name.as_deref(), step).await;
        }
        if let Some(name) = &step.begin {
            let call = self.begin(step.call.as_deref().unwrap_or_default(), step)?;
            self.calls.insert(name.clone(), call);
            return Ok(());
        }
        if let Some(name) = &step.end {
            let call = self.calls.remove(name).ok_or("no such call")?;
            return self.end(call, Some(name), step).await;
        }
        if let Some(name) = &step.pending {
            let is_finished = self.calls.get(name).ok_or("no such call")?.is_finished();
            return if is_finished {
                Err(format!("{name} has ended"))
            } else {
                Ok(())
            };
        }
        if let Some(name) = &step.cancel {
            self.calls.get(name).ok_or("no such call")?.abort();
            return Ok(());
        }
        if let Some(name) = &step.release {
            let guard = self.hold(name)?.guard.take();
            let released = match guard {
                Some(guard) => guard.release().await.map(|()| None),
                None => Ok(None),
            };
            return expect(&word(&Ok(released)), step);
        }
        if let Some(name) = &step.holds {
            let guard = self.hold(name)?.guard.as_ref().ok_or("it is released")?;
            let lost = guard.lost().now_or_never().or(guard.check().err());
            return match lost {
                Some(error) => Err(format!("{name} is held no longer: {error}")),
                None => Ok(()),
            };
        }
        if let Some(names) = &step.rising {
            return self.rising(names);
        }
        if let Some(what) = &step.until {
            return self.until(what, step).await;
        }
        if let Some(expected) = &step.requests {
            let requests = self.faults.requests();
            return if requests == *expected {
                Ok(())
            } else {
                Err(format!("the requests were {requests:?}, not {expected:?}"))
            };
        }
        self.change(step).await
    }

    /// What others do: the steps that are no call.
    async fn change(&mut self, step: &Step) -> Result<(), String> {
        if step.operator.as_deref() == Some("up") {
            self.operator = Some(Operator::start(self.cluster, &self.namespace));
            return Ok(());
        }
        if let Some(object) = &step.create {
            return self.create(object).await;
        }
        if let Some(object) = &step.patch {
            return self
                .patch(object, step.with.as_ref().ok_or("no patch")?)
                .await;
        }
        if let Some(name) = &step.expire {
            let claim = format!("claim/{}", self.hold(name)?.claim);
            return self
                .patch(&claim, &json!({"status": {"phase": "Expired"}}))
                .await;
        }
        if let Some(object) = &step.delete {
            return self.delete(object).await;
        }
        let name = step.name.as_deref().unwrap_or_default();
        match (
            &step.fault,
            &step.mend,
            step.cut.as_deref(),
            step.server.as_deref(),
        ) {
            (Some(request), ..) => {
                let how = match step.how.as_deref() {
                    Some("hang") => How::Hang,
                    Some("lose-answer") => How::LoseAnswer,
                    Some("poison") => How::Poison,
                    Some("compacted") => How::Compacted(self.version(request).await?),
                    Some(code) => How::Status(code.parse().map_err(|_| "no status")?),
                    None => return Err("how?".into()),
                };
                self.faults.begin(name, request, how, step.times);
            }
            (_, Some(name), ..) => self.faults.mend(name),
            (_, _, Some("watches"), _) => self.faults.cut_watches(),
            (.., Some("down")) => self.faults.set_down(true),
            (.., Some("up")) => self.faults.set_down(false),
            _ => return Err(format!("not a step: {step:?}")),
        }
        Ok(())
    }

    /// The version of everything that a request such as `watch gates` concerns.
    async fn version(&self, request: &str) -> Result<u64, String> {
        let plural = request.rsplit(' ').next().unwrap_or_default();
        let path = format!(
            "/apis/konductor.io/v1/namespaces/{}/{plural}",
            self.namespace
        );
        let list = http::Request::get(path).body(Vec::new());
        let list = list.map_err(|error| error.to_string())?;
        let list = self.cluster.client.request::<Value>(list).await;
        let list = list.map_err(|error| error.to_string())?;
        let version = list["metadata"]["resourceVersion"].as_str();
        let version = version.and_then(|version| version.parse().ok());
        version.ok_or_else(|| format!("{plural} have no version"))
    }

    /// Runs a call in the background.
    fn begin(&self, call: &str, step: &Step) -> Result<JoinHandle<Ended>, String> {
        let namespace = step.namespace.as_ref().unwrap_or(&self.namespace);
        let mut client = Client::new(self.client.clone(), namespace);
        if step.fail_fast {
            client = client.fail_if_missing().fail_if_unreachable();
        }
        let object = step.object.as_deref().unwrap_or_default();
        let (kind, name) = object.split_once('/').ok_or("no object")?;
        let name = name.to_owned();
        let holder = step.holder.clone().unwrap_or_default();
        let timeout = step.timeout.as_ref().map(length).transpose()?;
        Ok(match (call, kind) {
            ("wait", "gate") => {
                tokio::spawn(async move { client.wait_gate(&name, timeout).await.map(|_| None) })
            }
            ("wait", "barrier") => {
                tokio::spawn(async move { client.wait_barrier(&name, timeout).await.map(|_| None) })
            }
            ("arrive", "barrier") => {
                let outcome = step.outcome.unwrap_or_default();
                let client = match timeout {
                    Some(timeout) => client.timeout(timeout),
                    None => client,
                };
                tokio::spawn(async move {
                    let arrived = client.arrive_barrier(&name, &holder, outcome).await;
                    arrived.map(|_| None)
                })
            }
            ("acquire", "semaphore" | "lease") => {
                let mut request = match kind {
                    "lease" => client.lease(&name),
                    _ => client.semaphore(&name),
                };
                let at_once = (step.wait == Some(false)).then_some(Duration::ZERO);
                request = request.holder(holder).timeout(at_once.or(timeout));
                if let Some(permits) = step.permits {
                    request = request.permits(permits);
                }
                if let Some(priority) = step.priority {
                    request = request.priority(priority);
                }
                if let Some(ttl) = &step.ttl {
                    request = request.ttl(ttl.clone());
                }
                tokio::spawn(async move { request.acquire().await.map(Some) })
            }
            _ => return Err(format!("not a call: {call} {object}")),
        })
    }

    /// Waits for a call, and keeps what it holds under a name.
    async fn end(
        &mut self,
        call: JoinHandle<Ended>,
        name: Option<&str>,
        step: &Step,
    ) -> Result<(), String> {
        let ended = tokio::time::timeout(WITHIN, call).await;
        let ended = match ended.map_err(|_| "the call has not ended")? {
            Ok(ended) => Ok(ended),
            Err(error) if error.is_cancelled() => Err(Canceled),
            Err(error) => return Err(error.to_string()),
        };
        let word = word(&ended);
        if let (Ok(Ok(Some(guard))), Some(name)) = (ended, name) {
            let hold = Hold {
                claim: guard.claim().to_owned(),
                token: guard.token(),
                guard: Some(guard),
            };
            self.holds.insert(name.to_owned(), hold);
        }
        expect(&word, step)
    }

    fn hold(&mut self, name: &str) -> Result<&mut Hold, String> {
        self.holds
            .get_mut(name)
            .ok_or(format!("{name} holds nothing"))
    }

    fn rising(&mut self, names: &[String]) -> Result<(), String> {
        let mut last = 0;
        for name in names {
            let token = self.hold(name)?.token.ok_or("it has no token")?;
            if token <= last {
                return Err(format!("{name} has the token {token} after {last}"));
            }
            last = token;
        }
        Ok(())
    }

    async fn until(&mut self, what: &str, step: &Step) -> Result<(), String> {
        let of = step.of.as_deref().unwrap_or_default();
        match what {
            "lost" => {
                let guard = self.hold(of)?.guard.as_ref().ok_or("it is released")?;
                let lost = tokio::time::timeout(WITHIN, guard.lost()).await;
                let lost = lost.map_err(|_| format!("{of} is not lost"))?;
                match (&lost, guard.check()) {
                    (Error::Lost { .. }, Err(Error::Lost { .. })) => Ok(()),
                    (lost, check) => Err(format!("{lost}; {check:?}")),
                }
            }
            "requests" => {
                let times = step.times.unwrap_or(1);
                let arrived = self.faults.arrived(of, times);
                let arrived = tokio::time::timeout(WITHIN, arrived).await;
                arrived.map_err(|_| format!("there were only {:?}", self.faults.requests()))
            }
            resource => {
                let has = step.has.as_ref().ok_or("it has what?")?;
                let any_has = |all: &[Value]| all.iter().any(|object| includes(object, has));
                self.observe(resource, &format!("one has {has}"), any_has)
                    .await
            }
        }
    }

    fn api(&self, plural: &str) -> Api<DynamicObject> {
        let singular = plural.trim_end_matches('s');
        let kind = singular[..1].to_uppercase() + &singular[1..];
        let kind = GroupVersionKind::gvk("konductor.io", "v1", &kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, plural);
        Api::namespaced_with(self.cluster.client.clone(), &self.namespace, &resource)
    }

    async fn create(&self, object: &Object) -> Result<(), String> {
        let made = json!({
            "apiVersion": "konductor.io/v1", "kind": object.kind,
            "metadata": {"name": object.name}, "spec": object.spec,
        });
        let made = serde_json::from_value(made).map_err(|error| error.to_string())?;
        let api = self.api(&format!("{}s", object.kind.to_lowercase()));
        let created = api.create(&PostParams::default(), &made).await;
        created.map(drop).map_err(|error| error.to_string())
    }

    async fn patch(&self, object: &str, with: &Value) -> Result<(), String> {
        let (kind, name) = object.split_once('/').ok_or("no name")?;
        let (api, params) = (self.api(&format!("{kind}s")), PatchParams::default());
        let patched = if with.get("status").is_some() {
            api.patch_status(name, &params, &Patch::Merge(with)).await
        } else {
            api.patch(name, &params, &Patch::Merge(with)).await
        };
        patched.map(drop).map_err(|error| error.to_string())
    }

    async fn delete(&self, object: &str) -> Result<(), String> {
        let params = DeleteParams::default();
        let deleted = if let Some(holder) = object.strip_prefix("claims of ") {
            let of = ListParams::default().fields(&format!("spec.holder={holder}"));
            self.api("claims")
                .delete_collection(&params, &of)
                .await
                .map(drop)
        } else {
            let (kind, name) = object.split_once('/').ok_or("no name")?;
            self.api(&format!("{kind}s"))
                .delete(name, &params)
                .await
                .map(drop)
        };
        deleted.map_err(|error| error.to_string())
    }

    /// Waits until the objects of a resource are as they should be: a list, then a watch.
    async fn observe(
        &self,
        resource: &str,
        what: &str,
        enough: impl Fn(&[Value]) -> bool,
    ) -> Result<(), String> {
        let api = self.api(resource);
        let mut listed = Vec::new();
        let observed = async {
            loop {
                let list = api.list(&ListParams::default()).await?;
                let version = list.metadata.resource_version.unwrap_or_default();
                let objects = list.items.iter().map(serde_json::to_value);
                listed = objects.filter_map(Result::ok).collect();
                if enough(&listed) {
                    return Ok::<(), kube::Error>(());
                }
                let changes = api.watch(&WatchParams::default(), &version).await?;
                changes.boxed().next().await;
            }
        };
        match tokio::time::timeout(WITHIN, observed).await {
            Ok(observed) => observed.map_err(|error| error.to_string()),
            Err(_) => Err(format!(
                "{resource}: not that {what}; there are {listed:#?}"
            )),
        }
    }
}

/// The caller has given the call up.
struct Canceled;

/// How a call has ended, in the words of the scenarios.
fn word(ended: &Result<Ended, Canceled>) -> String {
    let word = match ended {
        Err(Canceled) => "canceled",
        Ok(Ok(_)) => "ok",
        Ok(Err(error)) => match error {
            Error::NotFound { .. } => "not-found",
            Error::Unauthorized { .. } => "unauthorized",
            Error::Forbidden { .. } => "forbidden",
            Error::TimedOut { last_seen, .. } => match last_seen {
                LastSeen::Undecided => "timed-out Timeout",
                LastSeen::NoOperator => "timed-out NoAnswer",
                LastSeen::Missing => "timed-out NotFound",
                LastSeen::Unreachable(_) => "timed-out Unreachable",
                _ => "timed-out for a reason of no name",
            },
            Error::Failed { phase, .. } => return format!("failed {phase}"),
            Error::Denied { .. } => "denied",
            Error::Lost { .. } => "lost",
            Error::Unreachable { .. } => "unreachable",
            Error::Refused { .. } => "refused",
            Error::Invalid { .. } => "invalid",
            _ => "an error of no kind",
        },
    };
    word.to_owned()
}

fn expect(word: &str, step: &Step) -> Result<(), String> {
    let expected = step.result.as_deref().unwrap_or("ok");
    let kind = word.split(' ').next();
    if word == expected || kind == Some(expected) {
        return Ok(());
    }
    Err(format!("the result is {word}, not {expected}"))
}

fn length(text: &konductor_api::Duration) -> Result<Duration, String> {
    let length = text.parse().map_err(|error| error.to_string())?;
    Duration::try_from(length).map_err(|error| error.to_string())
}

/// Whether an object has all that is asked for.
fn includes(object: &Value, expected: &Value) -> bool {
    match expected {
        Value::Object(fields) => fields
            .iter()
            .all(|(key, value)| object.get(key).is_some_and(|field| includes(field, value))),
        other => object == other,
    }
}
