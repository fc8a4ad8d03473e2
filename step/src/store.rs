//! Where files are kept: S3 and what is compatible with it, or a folder.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::TryStreamExt as _;
use konductor_api::StoreSpec;
use konductor_api::step::{STORE_FOLDER_VARIABLE, STORE_SECRET_PREFIX, WORKSPACE_SCHEME};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, ObjectStore, ObjectStoreExt as _, RetryConfig,
};
use tokio::task::JoinHandle;

use crate::Variables;
use crate::limits::{CONNECT_TIME, RETRIES_MAX, RETRY_TIME, SILENCE_TIME};

/// The key of the Secret with certificates of the store's own authority, as PEM.
const AUTHORITY: &str = "CA_CERTIFICATE";
/// The region of servers that have none.
const REGION: &str = "us-east-1";
/// How long what an interrupted upload has left may take to be deleted.
const ABORT_TIME: Duration = Duration::from_secs(5);

/// Why a store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Its URL, its credentials or its folder.
    #[error("the store {url} can't be used: {reason}")]
    Unusable {
        /// As the pipeline says it.
        url: String,
        /// Why.
        reason: String,
    },
    /// A request failed.
    #[error("{0}")]
    Request(String),
}

/// A store.
#[derive(Debug)]
pub struct Store {
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// What keys begin with, without a slash at the end.
    prefix: String,
    /// As the pipeline says it.
    url: String,
    /// What deletes the parts of uploads that were interrupted.
    aborts: Mutex<Vec<JoinHandle<()>>>,
}

impl Store {
    /// Opens a store. Its credentials are in `variables`: those of its Secret, with the prefix
    /// [`STORE_SECRET_PREFIX`], or without a Secret what the cloud's own tools use.
    ///
    /// # Errors
    /// If the URL names no store; if its folder can't be made. No request is sent.
    pub fn open(spec: &StoreSpec, variables: &Variables) -> Result<Self, StoreError> {
        let unusable = |reason: String| StoreError::Unusable {
            url: spec.url.clone(),
            reason,
        };
        let url = spec.url.trim_end_matches('/');
        let (objects, prefix): (Arc<dyn ObjectStore>, &str) =
            if let Some(below) = url.strip_prefix("s3://") {
                let (bucket, prefix) = below.split_once('/').unwrap_or((below, ""));
                let bucket = s3(spec, bucket, variables).map_err(unusable)?;
                (Arc::new(bucket), prefix)
            } else if let Some(folder) = url.strip_prefix("file://") {
                (Arc::new(folder_store(folder.into()).map_err(unusable)?), "")
            } else if url.starts_with(WORKSPACE_SCHEME) {
                let folder = variables.get(OsStr::new(STORE_FOLDER_VARIABLE));
                let folder = folder.ok_or_else(|| {
                    unusable(format!("only a stage has it, by {STORE_FOLDER_VARIABLE}"))
                })?;
                (Arc::new(folder_store(folder.into()).map_err(unusable)?), "")
            } else {
                return Err(unusable(
                    "it is neither s3://, workspace: nor file://".to_owned(),
                ));
            };
        Ok(Self {
            objects,
            prefix: prefix.to_owned(),
            url: spec.url.clone(),
            aborts: Mutex::default(),
        })
    }

    /// Returns the whole key of what is called `name` here.
    pub(crate) fn key(&self, name: &str) -> String {
        match self.prefix.is_empty() {
            true => name.to_owned(),
            false => format!("{}/{name}", self.prefix),
        }
    }

    /// Deletes all files of a run, and returns how many there were.
    ///
    /// # Errors
    /// If they can't be listed, or one of them can't be deleted.
    pub async fn delete_run(&self, namespace: &str, run: &str) -> Result<usize, StoreError> {
        let folder = Key::from(self.key(&format!("{namespace}/{run}")));
        let listed = self.objects.list(Some(&folder));
        let listed: Vec<_> = listed
            .try_collect()
            .await
            .map_err(|error| self.failed(&error))?;
        for object in &listed {
            let deleted = self.objects.delete(&object.location).await;
            match deleted {
                // Somebody else was faster.
                Err(object_store::Error::NotFound { .. }) => {}
                deleted => deleted.map_err(|error| self.failed(&error))?,
            }
        }
        Ok(listed.len())
    }

    fn failed(&self, error: &object_store::Error) -> StoreError {
        StoreError::Request(self.words(error))
    }

    /// What a request's error means, for people.
    pub(crate) fn words(&self, error: &object_store::Error) -> String {
        use object_store::Error;
        let url = &self.url;
        match error {
            Error::NotFound { path, .. } => format!(
                "{path} does not exist in {url} (404): the bucket has another name, or the file was deleted"
            ),
            Error::PermissionDenied { path, .. } => format!(
                "{url} denies access to {path} (403): check the keys of the store's Secret, or the rights of the \
                 service account"
            ),
            Error::Unauthenticated { path, .. } => format!(
                "{url} does not accept the credentials for {path} (401): check the keys of the store's Secret"
            ),
            error => format!("{url}: {}", shortened(&chain(error))),
        }
    }

    /// Deletes the parts of an upload later.
    pub(crate) fn abort_later(&self, abort: JoinHandle<()>) {
        let mut aborts = self.aborts.lock().unwrap_or_else(PoisonError::into_inner);
        aborts.push(abort);
    }

    /// Waits until the parts of interrupted uploads are deleted, for a moment.
    pub(crate) async fn settled(&self) {
        let aborts =
            std::mem::take(&mut *self.aborts.lock().unwrap_or_else(PoisonError::into_inner));
        let _ = tokio::time::timeout(ABORT_TIME, futures::future::join_all(aborts)).await;
    }
}

/// Whether the same request may succeed later.
pub(crate) fn is_transient(error: &object_store::Error) -> bool {
    matches!(
        error,
        object_store::Error::Generic { .. } | object_store::Error::JoinError { .. }
    )
}

/// An error with its causes, which often say what has happened.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

fn shortened(text: &str) -> String {
    const SHOWN_MAX: usize = 400;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn folder_store(folder: PathBuf) -> Result<LocalFileSystem, String> {
    let failed = |error: &dyn std::error::Error| format!("{}: {}", folder.display(), chain(error));
    fs::create_dir_all(&folder).map_err(|error| failed(&error))?;
    LocalFileSystem::new_with_prefix(&folder).map_err(|error| failed(&error))
}

fn s3(
    spec: &StoreSpec,
    bucket: &str,
    variables: &Variables,
) -> Result<object_store::aws::AmazonS3, String> {
    // reqwest asks the process for one; koncli may have chosen it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let prefix = if spec.secret.is_some() {
        STORE_SECRET_PREFIX
    } else {
        ""
    };
    let mut builder = AmazonS3Builder::new();
    let mut has_region = spec.region.is_some();
    let mut client = ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_TIME)
        .with_read_timeout(SILENCE_TIME);
    for (name, value) in variables {
        let name = name.to_str().and_then(|name| name.strip_prefix(prefix));
        let (Some(name), Some(value)) = (name, value.to_str()) else {
            continue;
        };
        if spec.secret.is_some() && name == AUTHORITY {
            let own = Certificate::from_pem_bundle(value.as_bytes());
            for certificate in own.map_err(|error| format!("{AUTHORITY}: {}", chain(&error)))? {
                client = client.with_root_certificate(certificate);
            }
        }
        let key = name.strip_prefix("AWS_").map(|_| name.to_ascii_lowercase());
        if let Some(key) = key.and_then(|key| AmazonS3ConfigKey::from_str(&key).ok()) {
            has_region |= matches!(
                key,
                AmazonS3ConfigKey::Region | AmazonS3ConfigKey::DefaultRegion
            );
            builder = builder.with_config(key, value);
        }
    }
    // A container's image may have none of its own.
    for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        let certificate = Certificate::from_der(root).map_err(|error| chain(&error))?;
        client = client.with_root_certificate(certificate);
    }
    builder = builder.with_bucket_name(bucket).with_retry(RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: RETRIES_MAX,
        retry_timeout: RETRY_TIME,
    });
    if let Some(endpoint) = &spec.endpoint {
        client = client.with_allow_http(endpoint.starts_with("http://"));
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &spec.region {
        builder = builder.with_region(region);
    } else if !has_region {
        builder = builder.with_region(REGION);
    }
    builder
        .with_client_options(client)
        .build()
        .map_err(|error| chain(&error))
}
