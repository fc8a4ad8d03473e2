//! For unit tests of programs that hold something, without a cluster: a [`Guard`] of which the test says when it is
//! lost. And [`Dev`], a cluster in memory with the operator, for tests against the real API.
//!
//! ```
//! use konductor::{Error, Guard, testing};
//!
//! /// What is tested: it writes for as long as it leads.
//! fn write(guard: &Guard, written: &mut Vec<i64>) -> Result<(), Error> {
//!     guard.check()?;
//!     written.extend(guard.token());
//!     Ok(())
//! }
//!
//! let (guard, hold) = testing::lease(7);
//! let mut written = Vec::new();
//! write(&guard, &mut written).expect("it leads");
//! hold.lose();
//! assert!(matches!(write(&guard, &mut written), Err(Error::Lost { .. })));
//! assert_eq!(written, [7]);
//! ```

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Error};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::claimed::Claimed;
use crate::renewal::Standing;
use crate::{Client, Guard, Object};

/// Returns a guard of a Lease that is held until it is dropped, or the test loses it.
pub fn lease(token: i64) -> (Guard, Hold) {
    hold("lease", Some(token))
}

/// Returns a guard of a permit that is held until it is dropped, or the test loses it.
pub fn permit() -> (Guard, Hold) {
    hold("semaphore", None)
}

fn hold(kind: &'static str, token: Option<i64>) -> (Guard, Hold) {
    let (send, standing) = watch::channel(Standing::Until(Duration::MAX));
    let claimed = Claimed {
        name: "fake".to_owned(),
        uid: String::new(),
        token,
    };
    let guard = Guard::fake(Object::new(kind, "fake", "test"), claimed, standing);
    (guard, Hold(send))
}

/// The other side of a guard in a test. The guard is lost when it is dropped.
#[derive(Debug)]
pub struct Hold(watch::Sender<Standing>);

impl Hold {
    /// Loses the hold, as when it is revoked.
    pub fn lose(&self) {
        let lost = Standing::Lost("the test has taken it back");
        self.0.send_replace(lost);
    }
}

/// A cluster in memory with konductor's operator, by `koncli dev`, until it is dropped. It starts in a fraction
/// of a second.
///
/// ```no_run
/// # async fn test() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// use konductor::testing::Dev;
/// use konductor::{Lease, LeaseSpec};
///
/// let dev = Dev::start()?;
/// let client = dev.client().await?;
/// client.ensure(&Lease::new("report", LeaseSpec { ttl: "5s".parse()? })).await?;
/// client.lease("report").acquire().await?.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Dev {
    process: Child,
    kubeconfig: PathBuf,
    _folder: TempDir,
}

impl Dev {
    /// Starts `$KONCLI`, or the `koncli` of `$PATH`.
    ///
    /// # Errors
    /// If that can't be started.
    pub fn start() -> Result<Self, Error> {
        Self::start_program(std::env::var_os("KONCLI").unwrap_or_else(|| "koncli".into()))
    }

    /// Starts this `koncli`.
    ///
    /// # Errors
    /// If that can't be started.
    pub fn start_program(koncli: impl AsRef<OsStr>) -> Result<Self, Error> {
        let program = koncli.as_ref();
        let folder = tempfile::tempdir()?;
        let kubeconfig = folder.path().join("kubeconfig");
        let mut process = Command::new(program)
            .args(["dev", "--write-kubeconfig"])
            .arg(&kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| {
                let program = program.to_string_lossy();
                let message = format!(
                    "{program} can't be started: {error}; put koncli on PATH, or name it with KONCLI"
                );
                Error::new(error.kind(), message)
            })?;
        // A line says that it is up.
        let mut line = String::new();
        if let Some(stdout) = &mut process.stdout {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let dev = Self {
            process,
            kubeconfig,
            _folder: folder,
        };
        match line.is_empty() {
            true => Err(Error::other(
                "`koncli dev` ended before it was up; its stderr says why",
            )),
            false => Ok(dev),
        }
    }

    /// Returns the path of its kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Connects to it.
    ///
    /// # Errors
    /// As for [`Client::from_config`].
    pub async fn client(&self) -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        let config =
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Client::from_config(config)?)
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It keeps nothing outside of its memory.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
