//! Where files are kept: S3 and what is compatible with it, or a folder.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use konductor_api::StoreSpec;
use konductor_api::step::{
    STORE_FOLDER_VARIABLE, STORE_SECRET_PREFIX, WORKSPACE_SCHEME, is_key_part,
};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};
use tokio::task::JoinHandle;

use crate::Variables;
use crate::limits::{
    CONNECT_TIME, RETRIES_MAX, RETRY_GROWTH, RETRY_WAIT_MAX, RETRY_WAIT_MIN, SILENCE_TIME,
};

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
    /// The folder that it is, if it is one.
    folder: Option<PathBuf>,
    /// As the pipeline says it.
    url: String,
    /// What deletes the parts of uploads that were interrupted.
    aborts: Mutex<Vec<JoinHandle<()>>>,
}

impl Store {
    /// Opens a store. Its credentials are in `variables`: those of its Secret, with the prefix
    /// [`STORE_SECRET_PREFIX`], or without a Secret what the cloud's own tools use. For as long as `retry_time`, a request
    /// is repeated that it does not answer or refuses for the moment.
    ///
    /// # Errors
    /// If the URL names no store; if its folder can't be made. No request is sent.
    pub fn open(
        spec: &StoreSpec,
        variables: &Variables,
        retry_time: Duration,
    ) -> Result<Self, StoreError> {
        let unusable = |reason: String| StoreError::Unusable {
            url: spec.url.clone(),
            reason,
        };
        let url = spec.url.trim_end_matches('/');
        if let Some(below) = url.strip_prefix("s3://") {
            let (bucket, prefix) = below.split_once('/').unwrap_or((below, ""));
            if !prefix.is_empty() && !prefix.split('/').all(is_key_part) {
                return Err(unusable(
                    "its prefix may have letters, digits, `.`, `_` and `-` between the slashes"
                        .to_owned(),
                ));
            }
            let bucket = s3(spec, bucket, variables, retry_time).map_err(unusable)?;
            return Ok(Self {
                objects: Arc::new(bucket),
                prefix: prefix.to_owned(),
                folder: None,
                url: spec.url.clone(),
                aborts: Mutex::default(),
            });
        }
        let folder: PathBuf = if let Some(folder) = url.strip_prefix("file://") {
            folder.into()
        } else if url.starts_with(WORKSPACE_SCHEME) {
            let folder = variables.get(OsStr::new(STORE_FOLDER_VARIABLE));
            let folder = folder.ok_or_else(|| {
                unusable(format!("only a stage has it, by {STORE_FOLDER_VARIABLE}"))
            })?;
            folder.into()
        } else {
            return Err(unusable(
                "it is neither s3://, workspace: nor file://".to_owned(),
            ));
        };
        Ok(Self {
            objects: Arc::new(folder_store(&folder).map_err(unusable)?),
            prefix: String::new(),
            folder: Some(folder),
            url: spec.url.clone(),
            aborts: Mutex::default(),
        })
    }

    /// The folder that it is, if it is one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Returns the whole key of what is called `name` here.
    pub(crate) fn key(&self, name: &str) -> String {
        match self.prefix.is_empty() {
            true => name.to_owned(),
            false => format!("{}/{name}", self.prefix),
        }
    }

    /// Deletes all files of a run, and returns how many there were. Of a folder, nothing is deleted that is only linked
    /// to from there.
    ///
    /// # Errors
    /// If they can't be listed, or one of them can't be deleted; if a folder on the way to them is a link.
    pub async fn delete_run(&self, namespace: &str, run: &str) -> Result<usize, StoreError> {
        if let Some(folder) = &self.folder {
            return delete_below(folder, [namespace, run]).map_err(StoreError::Request);
        }
        let folder = Key::from(self.key(&format!("{namespace}/{run}")));
        let listed = self.objects.list(Some(&folder));
        let locations = listed.map_ok(|object| object.location).boxed();
        let mut deleted = self.objects.delete_stream(locations);
        let mut files = 0;
        while let Some(deletion) = deleted.next().await {
            match deletion {
                Ok(_) => files += 1,
                // Somebody else was faster.
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Ok(files)
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
                "{url} denies access to {path} (403): check the keys of the store's Secret, or the permissions of the \
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

/// Deletes the folder that is called `parts` below another one, and returns how many files it had.
fn delete_below(folder: &Path, parts: [&str; 2]) -> Result<usize, String> {
    let mut place = folder.to_owned();
    for part in parts {
        if !is_key_part(part) {
            return Err(format!("{part:?} is no name of a folder"));
        }
        place.push(part);
        match fs::symlink_metadata(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(format!("{}: {error}", place.display())),
            Ok(metadata) if !metadata.is_dir() => {
                return Err(format!(
                    "{} is no folder, or a link to one: nothing was deleted",
                    place.display()
                ));
            }
            Ok(_) => {}
        }
    }
    let failed = |error: io::Error| format!("{}: {error}", place.display());
    let files = count(&place).map_err(failed)?;
    // Links are deleted, but not followed.
    fs::remove_dir_all(&place).map_err(failed)?;
    Ok(files)
}

/// How many files are below a folder. Links are not followed.
fn count(folder: &Path) -> io::Result<usize> {
    let mut files = 0;
    let mut pending = vec![folder.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => pending.push(entry.path()),
                false => files += 1,
            }
        }
    }
    Ok(files)
}

fn folder_store(folder: &Path) -> Result<LocalFileSystem, String> {
    let failed = |error: &dyn std::error::Error| format!("{}: {}", folder.display(), chain(error));
    fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    LocalFileSystem::new_with_prefix(folder).map_err(|error| failed(&error))
}

/// How a request is repeated that a store did not answer, or refused for the moment.
fn retries_within(time: Duration) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: RETRY_WAIT_MIN,
            max_backoff: RETRY_WAIT_MAX,
            base: RETRY_GROWTH,
        },
        max_retries: RETRIES_MAX,
        retry_timeout: time,
    }
}

fn s3(
    spec: &StoreSpec,
    bucket: &str,
    variables: &Variables,
    retry_time: Duration,
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
    builder = builder
        .with_bucket_name(bucket)
        .with_retry(retries_within(retry_time));
    if let Some(endpoint) = &spec.endpoint {
        client = client.with_allow_http(endpoint.starts_with("http://"));
        // Not every server can delete many files with one request.
        builder = builder
            .with_endpoint(endpoint)
            .with_config(AmazonS3ConfigKey::DisableBulkDelete, "true");
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

/// What tests need of a server that speaks S3.
#[cfg(test)]
pub(crate) mod testing {
    use std::io::{BufRead as _, BufReader};
    use std::net::TcpStream;

    use super::*;

    /// A bucket of the server at `url`.
    pub(crate) fn bucket(url: String, retry_time: Duration) -> Store {
        let spec = StoreSpec {
            endpoint: Some(url),
            ..StoreSpec::of("s3://bucket/runs")
        };
        let keys = [
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "key"),
        ];
        let keys = keys.map(|(name, value)| (name.into(), value.into()));
        Store::open(&spec, &Variables::from(keys), retry_time).unwrap()
    }

    /// Reads a request that has no body: it ends with an empty line.
    pub(crate) fn read_request(connection: &TcpStream) {
        let lines = BufReader::new(connection).lines().map_while(Result::ok);
        lines.take_while(|line| !line.is_empty()).for_each(drop);
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use object_store::ObjectStoreExt as _;

    use super::testing::{bucket, read_request};
    use super::*;
    use crate::limits::RETRY_TIME;

    #[tokio::test]
    async fn nothing_is_deleted_outside_of_a_store() {
        let root = tempfile::tempdir().unwrap();
        let beside = root.path().join("beside");
        let below = root.path().join("store/ns/r/s/-/u");
        fs::create_dir_all(&below).unwrap();
        fs::create_dir_all(beside.join("r2")).unwrap();
        for kept in [beside.join("kept"), beside.join("r2/kept")] {
            fs::write(kept, "1").unwrap();
        }
        fs::write(below.join("lines"), "1").unwrap();
        symlink(&beside, below.join("link")).unwrap();
        symlink(&beside, root.path().join("store/other")).unwrap();
        symlink(&beside, root.path().join("store/ns/linked")).unwrap();
        let spec = StoreSpec::of(&format!("file://{}/store", root.path().display()));
        let store = Store::open(&spec, &Variables::new(), RETRY_TIME).unwrap();
        for (namespace, run, expected) in [
            ("ns", "r", Ok(2)),
            ("ns", "r", Ok(0)),
            ("ns", "gone", Ok(0)),
            ("ns", "linked", Err("ns/linked is no folder")),
            ("other", "r2", Err("store/other is no folder")),
            ("ns", "..", Err("\"..\" is no name of a folder")),
        ] {
            match (store.delete_run(namespace, run).await, expected) {
                (Ok(files), Ok(expected)) => assert_eq!(files, expected, "{namespace}/{run}"),
                (Err(error), Err(expected)) => {
                    assert!(error.to_string().contains(expected), "{error}");
                }
                (deleted, expected) => panic!("{namespace}/{run}: {deleted:?}, not {expected:?}"),
            }
        }
        assert!(beside.join("kept").is_file() && beside.join("r2/kept").is_file());
    }

    /// A server that answers every request with 503, and counts them.
    fn busy() -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                read_request(&connection);
                counted.fetch_add(1, Ordering::SeqCst);
                let answer =
                    "HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                connection.write_all(answer.as_bytes()).unwrap();
            }
        });
        (url, requests)
    }

    #[tokio::test]
    async fn a_store_that_is_busy_is_asked_again_until_its_time_is_over() {
        let (url, requests) = busy();
        let store = bucket(url, Duration::from_secs(2));
        let key = Key::from("runs/ns/r/s/-/u/lines");
        let error = store.objects.get(&key).await.unwrap_err();
        let words = store.words(&error);
        assert!(words.starts_with("s3://bucket/runs: "), "{words}");
        assert!(words.contains("503"), "{words}");
        assert!(requests.load(Ordering::SeqCst) > 1, "{requests:?}");
    }

    #[test]
    fn a_store_that_is_away_is_asked_for_two_minutes_and_not_all_the_time() {
        let RetryConfig {
            backoff,
            max_retries,
            retry_timeout,
        } = retries_within(RETRY_TIME);
        assert_eq!(retry_timeout, Duration::from_secs(120));
        let fewest = retry_timeout.div_duration_f64(backoff.max_backoff);
        let most = retry_timeout.div_duration_f64(backoff.init_backoff);
        assert!((5.0..20.0).contains(&fewest), "{fewest}");
        assert!(most < max_retries as f64, "{most}");
    }

    #[test]
    fn a_prefix_has_parts_of_keys() {
        for (url, is_one) in [
            ("s3://b", true),
            ("s3://b/a.b/c_d-e/", true),
            ("s3://b/a b", false),
            ("s3://b/a//b", false),
            ("s3://b/../b", false),
        ] {
            let opened = Store::open(&StoreSpec::of(url), &Variables::new(), RETRY_TIME);
            assert_eq!(opened.is_ok(), is_one, "{url}: {opened:?}");
        }
    }
}
