//! A Claim on its way to a grant.

use std::time::Duration;

use konductor_api::Claim;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::Instrument;

use crate::claimed::Claimed;
use crate::error::unreachable;
use crate::guard::TIDY_WITHIN;
use crate::request::{create_named, decoded, delete};
use crate::{Client, LastSeen};

/// How long a call may last beyond its timeout, or a request after its caller is gone.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(2);

/// A Claim that may exist, and is deleted when it is no longer wanted.
pub(crate) struct Pending {
    client: Client,
    pub(crate) claimed: Claimed,
    /// A task of its own: also where its caller is gone, it must be known how it ends.
    creating: Option<JoinHandle<Result<Claim, kube::Error>>>,
    is_wanted: bool,
}

impl Pending {
    /// Creates a Claim in the background, and reports why that has not been answered.
    pub(crate) fn begin(client: &Client, claim: Claim, last_seen: watch::Sender<LastSeen>) -> Self {
        let (to, limit) = (client.api(), client.limits.requests.clone());
        let name = claim.metadata.name.clone().unwrap_or_default();
        let params = client.settings.post_params();
        let creating = async move {
            let created = create_named(&limit, &to, &claim, &params, |error| {
                last_seen.send_replace(LastSeen::Unreachable(unreachable(error)));
                true
            });
            let created = created.await?;
            last_seen.send_replace(LastSeen::Undecided);
            Ok(created)
        };
        Self {
            client: client.clone(),
            claimed: Claimed {
                name,
                uid: String::new(),
                token: None,
            },
            creating: Some(tokio::spawn(creating.in_current_span())),
            is_wanted: true,
        }
    }

    /// Waits until it is created.
    pub(crate) async fn created(&mut self) -> Result<Claim, kube::Error> {
        let Some(creating) = &mut self.creating else {
            let api = self.client.api();
            return api.get(&self.claimed.name).await.and_then(decoded);
        };
        let created = creating.await;
        self.creating = None;
        let created = created.unwrap_or_else(|error| Err(kube::Error::Service(error.into())));
        match &created {
            Ok(claim) => self.claimed.uid = claim.metadata.uid.clone().unwrap_or_default(),
            // It was refused, so there is nothing to delete.
            Err(_) => self.is_wanted = false,
        }
        created
    }

    /// Leaves its deletion to the new owner.
    pub(crate) fn keep(mut self) -> Claimed {
        self.is_wanted = false;
        self.claimed.clone()
    }

    /// Deletes it, and waits until that is done.
    pub(crate) async fn give_up(mut self) {
        if let Some(tidying) = self.tidy() {
            let _ = tidying.await;
        }
    }

    /// What is left of it would stand in the queue.
    fn tidy(&mut self) -> Option<JoinHandle<()>> {
        if !std::mem::take(&mut self.is_wanted) {
            return None;
        }
        let (client, name) = (self.client.clone(), self.claimed.name.clone());
        let uid = Some(self.claimed.uid.clone()).filter(|uid| !uid.is_empty());
        let creating = self.creating.take();
        self.client.tidying.spawn(async move {
            if let Some(mut creating) = creating
                && timeout(LAST_WORDS, &mut creating).await.is_err()
            {
                creating.abort();
            }
            let (limit, api) = (&client.limits.requests, client.api::<Claim>());
            if let Err(error) = delete(limit, &api, &name, uid, TIDY_WITHIN).await {
                tracing::warn!(claim = name, %error, "it could not be deleted; its TTL ends it");
            }
        })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        drop(self.tidy());
    }
}
