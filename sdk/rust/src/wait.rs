//! Waiting for one object: a read, then a watch from that version on, or a list and a watch where the
//! object does not exist or the API server has forgotten that version; never a poll.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use konductor_api::{Run, label};
use kube::Resource;
use kube::api::{GetParams, ListParams};
use kube::core::Request;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::instrument;

use crate::answered::is_answered;
use crate::backoff::{Backoff, LONGEST};
use crate::error::unreachable;
use crate::event::{Event, progress};
use crate::lenient::{Found, List};
use crate::request::{bounded, is_not_served, is_transient};
use crate::shared::{Change, Ending, Selector, Subscription};
use crate::{Client, Error, LastSeen, Notice, Object, runtime};

/// So long may an API server that has answered once, or was away, deny rights and resources: one that
/// has just started does, until it has read its roles and CustomResourceDefinitions.
const PATIENCE: Duration = Duration::from_secs(10);
/// After this long without a word of an operator, that is reported.
const OPERATOR_WITHIN: Duration = Duration::from_secs(5);
/// On a Job the operator writes why it waits when that has lasted for five seconds.
const OPERATOR_WITHIN_ON_A_JOB: Duration = Duration::from_secs(8);
/// The kind of a Job, as errors name it.
const JOB: &str = "job";
/// So long is waited for the Run that shows it.
const RUN_WITHIN: Duration = Duration::from_secs(2);

impl Client {
    /// Waits until `verdict` has an answer about an object of a kind, which is named in lower case for
    /// errors; `None` waits as long as the client's [`Client::timeout`], zero looks once.
    ///
    /// # Guarantees
    /// No request is made while nothing happens. An object that does not exist yet, an API server that
    /// is away or restarts, a cut watch and 410 Gone are waited out within the timeout. An object that
    /// can't be read as `K`, such as one with a phase of a newer version, is undecided. One that was
    /// deleted and created again is not taken for the same.
    ///
    /// # Errors
    /// The verdict's own; [`Error::NotFound`] if the object is deleted meanwhile;
    /// [`Error::TimedOut`], with what was known at last; [`Error::Unauthorized`],
    /// [`Error::Forbidden`]; [`Error::Invalid`]. With a timeout of zero also [`Error::NotFound`] and
    /// [`Error::Unreachable`], as with [`Client::fail_if_missing`] and
    /// [`Client::fail_if_unreachable`].
    #[instrument(name = "wait", level = "debug", skip_all, fields(on = %self.object(kind, name)))]
    pub async fn wait_until<K, T>(
        &self,
        kind: &'static str,
        name: &str,
        timeout: Option<Duration>,
        verdict: impl FnMut(&K) -> Option<Result<T, Error>>,
    ) -> Result<T, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        runtime()?;
        let object = self.object(kind, name).checked()?;
        let last_seen = watch::Sender::new(LastSeen::unheard());
        let selector = Selector::Name(name.to_owned());
        let mut waiting = Waiting::new(self, object, selector, last_seen, verdict);
        match timeout.or(self.settings.timeout) {
            None => waiting.until_decided().await,
            Some(Duration::ZERO) => waiting.look_once().await,
            Some(after) => waiting.within(after).await,
        }
    }
}

pub(crate) struct Waiting<K, V> {
    client: Client,
    requests: Request,
    object: Object,
    changes: Subscription,
    verdict: V,
    /// That of the object which was seen first.
    uid: Option<String>,
    /// Whether the API server was away since this began.
    was_away: bool,
    /// Since when the API server denies what it has granted before.
    denied: Option<Instant>,
    /// A read has no version to watch from: the object does not exist, or has not changed for so long
    /// that the API server has forgotten its version. A list has one.
    by_list: bool,
    last_seen: watch::Sender<LastSeen>,
    /// What the operator has said last.
    progress: String,
    /// What that is reported about, if it is not the object.
    about: Option<Object>,
    /// Whether the absence of the API server was reported.
    is_away_reported: bool,
    kind: PhantomData<fn(&K)>,
}

enum Looked<T> {
    Decided(Result<T, Error>),
    /// Undecided at this version.
    NotYet(String),
    /// It does not exist.
    Missing(String),
}

enum Watched<T> {
    Decided(Result<T, Error>),
    /// It ended, or broke.
    Ended,
    /// Others have begun it after the object was read.
    Uncovered,
    /// The version it was to begin at is too old.
    Forgotten,
}

impl<K, V, T> Waiting<K, V>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned,
    V: FnMut(&K) -> Option<Result<T, Error>>,
{
    pub(crate) fn new(
        client: &Client,
        object: Object,
        selector: Selector,
        last_seen: watch::Sender<LastSeen>,
        verdict: V,
    ) -> Self {
        let path = K::url_path(&(), Some(&*object.namespace));
        let watches = &client.watches;
        let changes = watches.subscribe(&client.kube, path.clone(), selector, &object.name);
        Self {
            client: client.clone(),
            requests: Request::new(path),
            object,
            changes,
            verdict,
            uid: None,
            was_away: false,
            denied: None,
            by_list: false,
            last_seen,
            progress: String::new(),
            about: None,
            is_away_reported: false,
            kind: PhantomData,
        }
    }

    async fn within(&mut self, after: Duration) -> Result<T, Error> {
        match timeout(after, self.until_decided()).await {
            Ok(answer) => answer,
            Err(_) => Err(self.object.late(after, self.last_seen(after).await)),
        }
    }

    /// What was seen last, after so long. A Job of a Run does not show whether an operator runs; its Run does.
    async fn last_seen(&self, after: Duration) -> LastSeen {
        let last_seen = self.last_seen.borrow().clone();
        let is_silent = last_seen == LastSeen::NoOperator;
        let is_early = self.object.kind == JOB && after < OPERATOR_WITHIN_ON_A_JOB;
        match is_silent && (is_early || is_answered_by_its_run(&self.client, &self.object).await) {
            true => LastSeen::Undecided,
            false => last_seen,
        }
    }

    async fn look_once(&mut self) -> Result<T, Error> {
        match self.look().await {
            Ok(Looked::Decided(answer)) => answer,
            Ok(Looked::NotYet(_)) => Err(self
                .object
                .late(Duration::ZERO, self.last_seen(Duration::ZERO).await)),
            Ok(Looked::Missing(_)) => Err(self.missing()),
            Err(error) => Err(self.object.explain(error)),
        }
    }

    async fn until_decided(&mut self) -> Result<T, Error> {
        let (client, object) = (self.client.clone(), self.object.clone());
        let within = match object.kind {
            JOB => OPERATOR_WITHIN_ON_A_JOB,
            _ => OPERATOR_WITHIN,
        };
        let silent = until_no_operator_within(within, self.last_seen.subscribe());
        let waiting = self.resume(None);
        tokio::pin!(waiting);
        let silence = async {
            silent.await;
            if !is_answered_by_its_run(&client, &object).await {
                let notice = Notice::NoOperator { object };
                client.settings.listener.report(&notice);
            }
        };
        tokio::select! {
            decided = &mut waiting => return decided,
            () = silence => {}
        }
        waiting.await
    }

    /// Reports progress as that of another object.
    pub(crate) fn about(mut self, object: Object) -> Self {
        self.about = Some(object);
        self
    }

    /// Notes that the object is about to be created, and will be shown by the answer.
    pub(crate) fn mark(&mut self) {
        self.changes.mark();
    }

    /// Waits for an object that was created or read a moment ago.
    pub(crate) async fn resume_from(&mut self, object: &Found) -> Result<T, Error> {
        let version = object.text("/metadata/resourceVersion").to_owned();
        let looked = self.looked(object, version);
        self.resume(Some(looked)).await
    }

    async fn resume(&mut self, mut looked: Option<Looked<T>>) -> Result<T, Error> {
        let mut pauses = Backoff::default();
        loop {
            let look = match looked.take() {
                Some(looked) => Ok(looked),
                None => self.look().await,
            };
            let failed = match look {
                Ok(Looked::Decided(answer)) => return answer,
                Ok(Looked::Missing(_)) if self.missing_is_final() => return Err(self.missing()),
                Ok(Looked::Missing(_)) if !self.by_list => {
                    // The next look is a list, whose version a watch can begin at.
                    self.by_list = true;
                    let object = self.object.clone();
                    let notice = Notice::Missing { object };
                    self.client.settings.listener.report(&notice);
                    continue;
                }
                Ok(Looked::NotYet(version) | Looked::Missing(version)) => {
                    let begun = Instant::now();
                    let watched = self.watch(&version).await;
                    if begun.elapsed() > LONGEST {
                        pauses = Backoff::default();
                    }
                    match watched {
                        Ok(Watched::Decided(answer)) => return answer,
                        Ok(Watched::Ended) => None,
                        Ok(Watched::Uncovered) => continue,
                        Ok(Watched::Forgotten) => {
                            self.by_list = true;
                            None
                        }
                        Err(error) => Some(error),
                    }
                }
                Err(error) => Some(error),
            };
            if let Some(error) = failed {
                if self.is_final(&error) {
                    return Err(self.object.explain(error));
                }
                self.note(&error);
                tracing::debug!(object = %self.object, %error, "still waiting");
            }
            pauses.pause().await;
        }
    }

    async fn look(&mut self) -> Result<Looked<T>, kube::Error> {
        if self.by_list {
            return self.list().await;
        }
        let request = self.requests.get(&self.object.name, &GetParams::default());
        match self.ask::<Found>(request).await {
            Ok(object) => {
                let version = object.text("/metadata/resourceVersion").to_owned();
                Ok(self.looked(&object, version))
            }
            Err(kube::Error::Api(status)) if status.code == 404 && !is_not_served(&status) => {
                Ok(self.looked_in_vain(String::new()))
            }
            Err(error) => Err(error),
        }
    }

    /// Looks by a list of this one object, which has a version of its own.
    async fn list(&mut self) -> Result<Looked<T>, kube::Error> {
        let only = ListParams::default().fields(&self.only());
        let list: List = self.ask(self.requests.list(&only)).await?;
        let version = list.metadata.resource_version;
        Ok(match list.items.first() {
            Some(object) => self.looked(object, version),
            None => self.looked_in_vain(version),
        })
    }

    async fn ask<R: DeserializeOwned>(
        &mut self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<R, kube::Error> {
        let request = request.map_err(kube::Error::BuildRequest)?;
        self.changes.mark();
        let limit = &self.client.limits.requests;
        let text = bounded(limit, self.client.kube.request_text(request)).await?;
        self.denied = None;
        serde_json::from_str(&text).map_err(kube::Error::SerdeError)
    }

    fn looked(&mut self, object: &Found, version: String) -> Looked<T> {
        match self.judge(object) {
            Some(answer) => Looked::Decided(answer),
            None => Looked::NotYet(version),
        }
    }

    fn looked_in_vain(&mut self, version: String) -> Looked<T> {
        if self.uid.is_some() {
            return Looked::Decided(Err(self.missing()));
        }
        self.last_seen.send_replace(LastSeen::Missing);
        Looked::Missing(version)
    }

    fn missing_is_final(&self) -> bool {
        self.client.settings.fail_if_missing && *self.last_seen.borrow() == LastSeen::Missing
    }

    /// The field selector of this one object.
    fn only(&self) -> String {
        format!("metadata.name={}", self.object.name)
    }

    fn judge(&mut self, object: &Found) -> Option<Result<T, Error>> {
        let uid = object.text("/metadata/uid");
        if self.uid.get_or_insert_with(|| uid.to_owned()) != uid {
            return Some(Err(self.missing()));
        }
        let (group, kind) = (K::group(&()), K::kind(&()));
        self.last_seen
            .send_replace(match is_answered(&group, &kind, &object.0) {
                true => LastSeen::Undecided,
                false => LastSeen::NoOperator,
            });
        match K::deserialize(&object.0) {
            Ok(typed) => {
                let verdict = (self.verdict)(&typed);
                if verdict.is_none() {
                    self.report_progress(object);
                }
                verdict
            }
            Err(error) => {
                tracing::debug!(object = %self.object, %error, "it can't be read as it is now");
                None
            }
        }
    }

    fn report_progress(&mut self, object: &Found) {
        let message = progress(object);
        if message.is_empty() || message == self.progress {
            return;
        }
        message.clone_into(&mut self.progress);
        self.client.settings.observer.report(|| Event::Waiting {
            object: self.about.as_ref().unwrap_or(&self.object).clone(),
            message: message.to_owned(),
        });
    }

    fn missing(&self) -> Error {
        Error::NotFound {
            object: self.object.clone(),
        }
    }

    /// Whether trying again could not change an error.
    fn is_final(&mut self, error: &kube::Error) -> bool {
        let is_known = self.uid.is_some() || self.was_away;
        let kube::Error::Api(status) = error else {
            let is_away = self.uid.is_none() && self.client.settings.fail_if_unreachable;
            return is_away || matches!(error, kube::Error::BuildRequest(_));
        };
        if is_not_served(status) && !is_known {
            // konductor may be about to be installed.
            return self.client.settings.fail_if_missing;
        }
        if !matches!(status.code, 401 | 403) && !is_not_served(status) {
            return !is_known && !is_transient(status);
        }
        if !is_known {
            return true;
        }
        self.denied.get_or_insert_with(Instant::now).elapsed() > PATIENCE
    }

    /// Notes why there is no answer about the object.
    fn note(&mut self, error: &kube::Error) {
        if let kube::Error::Api(status) = error
            && is_not_served(status)
        {
            self.last_seen.send_replace(LastSeen::Missing);
            if !std::mem::replace(&mut self.is_away_reported, true) {
                let object = self.object.clone();
                let notice = Notice::Missing { object };
                self.client.settings.listener.report(&notice);
            }
            return;
        }
        let message = unreachable(error);
        if !matches!(error, kube::Error::Api(_)) {
            self.was_away = true;
        }
        self.last_seen
            .send_replace(LastSeen::Unreachable(message.clone()));
        if self.uid.is_none() && !std::mem::replace(&mut self.is_away_reported, true) {
            let object = self.object.clone();
            let notice = Notice::Unreachable { object, message };
            self.client.settings.listener.report(&notice);
        }
    }

    /// Follows the changes from a version on.
    async fn watch(&mut self, version: &str) -> Result<Watched<T>, kube::Error> {
        if !self.changes.begin(version) {
            return Ok(Watched::Uncovered);
        }
        loop {
            let event = match self.changes.next().await {
                Change::Event(event) => event,
                Change::Ended(Ending::Broken) => return Ok(Watched::Ended),
                Change::Ended(Ending::Forgotten) => return Ok(Watched::Forgotten),
                Change::Ended(Ending::Denied(status)) => return Err(kube::Error::Api(status)),
            };
            match &*event.type_ {
                "ADDED" | "MODIFIED" => {
                    if let Some(answer) = self.judge(&event.object) {
                        return Ok(Watched::Decided(answer));
                    }
                }
                "DELETED" if self.uid.is_some() => {
                    return Ok(Watched::Decided(Err(self.missing())));
                }
                _ => {}
            }
        }
    }
}

/// Whether an operator has looked at the Run of a Job, which shows that it runs: on a Job that waits in a Run it writes
/// nothing. A Run that can't be read proves nothing, and counts as looked at.
async fn is_answered_by_its_run(client: &Client, object: &Object) -> bool {
    if object.kind != JOB {
        return false;
    }
    let read = async |path: String, name: &str| -> Result<Found, kube::Error> {
        let request = Request::new(path).get(name, &GetParams::default());
        let request = request.map_err(kube::Error::BuildRequest)?;
        let text = client.kube.request_text(request);
        let text = bounded(&client.limits.requests, text).await?;
        serde_json::from_str(&text).map_err(kube::Error::SerdeError)
    };
    let namespace = Some(&*object.namespace);
    let answered = async {
        let job = read(Job::url_path(&(), namespace), &object.name).await?;
        let labels = job.0.pointer("/metadata/labels");
        let Some(run) = labels.and_then(|all| all.get(label::RUN)?.as_str()) else {
            return Ok(false);
        };
        let run = read(Run::url_path(&(), namespace), run).await?;
        Ok(is_answered(&Run::group(&()), &Run::kind(&()), &run.0))
    };
    match timeout(RUN_WITHIN, answered).await {
        Ok(Ok(is_answered)) => is_answered,
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => false,
        Ok(Err(_)) | Err(_) => true,
    }
}

/// Waits until nothing that an operator has written was seen for some time.
pub(crate) async fn until_no_operator(last_seen: watch::Receiver<LastSeen>) {
    until_no_operator_within(OPERATOR_WITHIN, last_seen).await;
}

async fn until_no_operator_within(within: Duration, mut last_seen: watch::Receiver<LastSeen>) {
    loop {
        let is_silent = |seen: &LastSeen| *seen == LastSeen::NoOperator;
        if last_seen.wait_for(is_silent).await.is_err() {
            return std::future::pending().await;
        }
        let is_over = last_seen.wait_for(|seen| !is_silent(seen));
        if timeout(within, is_over).await.is_err() {
            return;
        }
    }
}
