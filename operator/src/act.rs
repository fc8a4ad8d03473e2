//! All writes, in the order of rule A: before, status, after.

use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use konductor_api::{Arrival, Barrier, Claim, Gate, Lenient, Participant, Run};
use konductor_core::{Decision, Event, EventType, Kind, ObjectName, Write};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Request;
use kube::runtime::events;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use crate::FIELD_MANAGER;
use crate::context::{Context, Retry};
use crate::decide::Decide;
use crate::done;
use crate::index::{Refers, Watched};
use crate::reference::reference;

/// How many writes of one decision are under way at once.
const WRITES_AT_ONCE: usize = 32;

/// Carries out a decision. What can be written is written; the first thing that could not be is the
/// error, and the object is then observed again.
pub(crate) async fn act<K: Decide>(
    context: &Context,
    object: &K,
    decision: Decision<K::Status>,
    now: Timestamp,
) -> Result<(), Retry> {
    // Without `..`, so that what a decision gains can't be forgotten here.
    let Decision {
        before,
        status,
        progress,
        after,
        events,
        wake: _,
        waits: _,
    } = decision;
    let mut result = write_all(context, before, now).await;
    let written = match status {
        None => Ok(()),
        Some(status) => write_status(context, object, (status, progress), now).await,
    };
    if written.is_ok() {
        result = result.and(write_all(context, after, now).await);
    }
    result.and(written)?;
    for event in events {
        publish(context, object, event);
    }
    Ok(())
}

async fn write_status<K: Decide>(
    context: &Context,
    object: &K,
    (status, progress): (K::Status, Option<Duration>),
    now: Timestamp,
) -> Result<(), Retry> {
    let name = ObjectName::of(object.meta());
    let api: Api<Lenient<K>> = Api::namespaced(context.client.clone(), &name.namespace);
    let next = object.with_status(status.clone());
    let written = api
        .replace_status(&name.name, &posted(), &next.into())
        .await;
    if written.is_ok() {
        let uid = object.meta().uid.as_deref().unwrap_or_default();
        context.memory.remember_status(uid, &status);
        context.memory.rest_for(uid, K::rests_after(&status));
        let progress = progress.unwrap_or_default();
        context.memory.progress_rests_for(uid, progress);
        object.measure(&status, context, now);
        if done::is_logged() {
            let done = object.done(&status);
            done.iter().for_each(|done| done.log(K::KIND, &name));
        }
    }
    remember(context, written)
}

/// Remembers the version that was written. An object that is gone needs nothing any more.
fn remember<K: Refers + Resource>(
    context: &Context,
    written: Result<Lenient<K>, kube::Error>,
) -> Result<(), Retry> {
    match written {
        Ok(object) => {
            context.telemetry.wrote(K::KIND);
            let meta = object.meta();
            let uid = meta.uid.as_deref().unwrap_or_default();
            context
                .memory
                .remember_written(uid, meta.resource_version.as_deref());
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(kube::Error::Api(status)) if status.is_conflict() => Err(Retry::Conflict),
        Err(error) => Err(error.into()),
    }
}

async fn write_all(context: &Context, writes: Vec<Write>, now: Timestamp) -> Result<(), Retry> {
    let under_way = writes.into_iter().map(|change| write(context, change, now));
    let results = futures::stream::iter(under_way).buffer_unordered(WRITES_AT_ONCE);
    results
        .fold(Ok(()), |all, result| std::future::ready(all.and(result)))
        .await
}

async fn write(context: &Context, write: Write, now: Timestamp) -> Result<(), Retry> {
    match write {
        Write::Patch {
            kind,
            name,
            status,
            body,
        } => {
            let done = done::is_logged().then(|| done::by_patch(kind, &body));
            let watched = patch_one(context, kind, &name, (status, body), now).await?;
            if let Some(done) = done.flatten() {
                done.log(watched, &name);
            }
            Ok(())
        }
        Write::Adopt { kind, name, body } => {
            adopt(context, kind, &name, body).await;
            Ok(())
        }
        Write::CreateArrival(arrival) => {
            let namespace = arrival.metadata.namespace.as_deref().unwrap_or_default();
            let api: Api<Lenient<Arrival>> = Api::namespaced(context.client.clone(), namespace);
            match api.create(&posted(), &(*arrival).into()).await {
                // Its name is made of the Barrier's uid and the holder: it has arrived already.
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
                created => remember(context, created),
            }
        }
        Write::Delete {
            kind,
            name,
            uid,
            version,
        } => match kind {
            Kind::Job => delete::<Participant>(context, &name, uid, version).await,
            Kind::Arrival => delete::<Arrival>(context, &name, uid, version).await,
            Kind::Claim => delete::<Claim>(context, &name, uid, version).await,
            Kind::Gate => delete::<Gate>(context, &name, uid, version).await,
            Kind::Barrier => delete::<Barrier>(context, &name, uid, version).await,
            Kind::Run => delete::<Run>(context, &name, uid, version).await,
        },
    }
}

/// Patches an object of a kind, and returns that kind.
async fn patch_one(
    context: &Context,
    kind: Kind,
    name: &ObjectName,
    (status, body): (bool, serde_json::Value),
    now: Timestamp,
) -> Result<Watched, Retry> {
    match kind {
        Kind::Job => {
            patch_job(context, name, status, body, now).await?;
            Ok(Watched::Job)
        }
        Kind::Arrival => patch::<Arrival>(context, name, status, body).await,
        Kind::Claim => {
            let granted = body["status"]["phase"] == "Granted";
            patch::<Claim>(context, name, status, body).await?;
            if granted && let Some(claim) = context.cache.claims.get(&reference(name)) {
                context
                    .telemetry
                    .waited(Watched::Claim, &claim.metadata, now);
            }
            Ok(Watched::Claim)
        }
        Kind::Gate => patch::<Gate>(context, name, status, body).await,
        Kind::Barrier => patch::<Barrier>(context, name, status, body).await,
        Kind::Run => patch::<Run>(context, name, status, body).await,
    }
}

async fn patch<K>(
    context: &Context,
    name: &ObjectName,
    status: bool,
    body: serde_json::Value,
) -> Result<Watched, Retry>
where
    K: Refers
        + Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let api: Api<Lenient<K>> = Api::namespaced(context.client.clone(), &name.namespace);
    let (params, body) = (patched(), Patch::Merge(body));
    let written = match status {
        true => api.patch_status(&name.name, &params, &body).await,
        false => api.patch(&name.name, &params, &body).await,
    };
    remember(context, written)?;
    Ok(K::KIND)
}

/// Makes a Run or a Barrier own an object. Nothing depends on it: it is tried again when the object has
/// changed, unless the API server refuses it for good, as OpenShift does to those that may not delete it.
async fn adopt(context: &Context, kind: Kind, name: &ObjectName, body: serde_json::Value) {
    let uid = body["metadata"]["uid"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    if !context.memory.may_adopt(&uid) {
        return;
    }
    let adopted = match kind {
        Kind::Job => patch::<Participant>(context, name, false, body).await,
        Kind::Arrival => patch::<Arrival>(context, name, false, body).await,
        Kind::Claim => patch::<Claim>(context, name, false, body).await,
        Kind::Gate => patch::<Gate>(context, name, false, body).await,
        Kind::Barrier => patch::<Barrier>(context, name, false, body).await,
        Kind::Run => patch::<Run>(context, name, false, body).await,
    };
    if let Err(Retry::Api(error)) = adopted
        && let kube::Error::Api(status) = &*error
        && matches!(status.code, 400..=499)
        && status.code != 429
    {
        context.memory.remember_unadoptable(&uid);
        let (namespace, name) = (&name.namespace, &name.name);
        tracing::info!(?kind, namespace, name, %error, "adoption was refused; continuing without");
    }
}

/// Patches a Job. What the API server refuses for good is remembered, because a start that stays
/// refused ends the Job.
async fn patch_job(
    context: &Context,
    name: &ObjectName,
    status: bool,
    body: serde_json::Value,
    now: Timestamp,
) -> Result<(), Retry> {
    let uid = body["metadata"]["uid"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let starts = body["spec"]["suspend"] == false;
    let reason = done::reason_of(&body).to_owned();
    let api: Api<Lenient<Participant>> = Api::namespaced(context.client.clone(), &name.namespace);
    let (params, body) = (patched(), Patch::Merge(body));
    let written = match status {
        true => api.patch_status(&name.name, &params, &body).await,
        false => api.patch(&name.name, &params, &body).await,
    };
    if let Err(kube::Error::Api(status)) = &written
        && matches!(status.code, 400..=499)
        && !matches!(status.code, 404 | 409 | 429)
    {
        context
            .memory
            .remember_refusal(&uid, now, status.message.clone());
    }
    if written.is_ok() {
        context.telemetry.ended(&reason);
    }
    if let (true, Ok(job)) = (starts, &written) {
        context.telemetry.waited(Watched::Job, job.meta(), now);
    }
    remember(context, written)
}

async fn delete<K>(
    context: &Context,
    name: &ObjectName,
    uid: String,
    version: Option<String>,
) -> Result<(), Retry>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let url = K::url_path(&(), Some(&name.namespace));
    let preconditions = Preconditions {
        uid: Some(uid.clone()),
        resource_version: version,
    };
    let params = DeleteParams::background().preconditions(preconditions);
    let request = Request::new(url).delete(&name.name, &params);
    let mut request = request.map_err(kube::Error::BuildRequest)?;
    request.extensions_mut().insert("delete");
    // The answer may be the object, whatever is in it.
    match context.client.request_text(request).await {
        Ok(_) => {
            context.memory.forget(&uid);
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(kube::Error::Api(status)) if status.is_conflict() => Err(Retry::Conflict),
        Err(error) => Err(error.into()),
    }
}

fn posted() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

fn patched() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

/// Has the Event written, which nobody waits for.
fn publish<K: Decide>(context: &Context, object: &K, event: Event) {
    let published = events::Event {
        type_: match event.type_ {
            EventType::Normal => events::EventType::Normal,
            EventType::Warning => events::EventType::Warning,
        },
        reason: event.reason.to_owned(),
        note: Some(event.note.chars().take(1000).collect()),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    let object = object.object_ref(&());
    context.events.publish(published, object);
}
