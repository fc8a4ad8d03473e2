//! What runs around the command of a container: `koncli step -- COMMAND…`.
//!
//! What enters: the variables of the container, one of which is the [`StepSpec`], and the command. What leaves: an
//! exit code, and values of outputs in the termination message. What must never happen here: a shell, a file
//! outside the paths that the spec names, and credentials of the store where the command sees them.

mod archive;
mod command;
mod digest;
mod expansion;
mod file;
mod install;
mod item;
pub mod limits;
mod message;
mod plan;
mod secrecy;
mod store;
mod transfer;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use konductor_api::step::NO_ITEM;
use konductor_api::{FileValue, StepSpec};

pub use archive::{ArchiveError, pack, unpack};
pub use install::install;
pub use store::{Store, StoreError};
pub use transfer::{Transfer, TransferError};

use command::Signals;
use plan::Plan;

/// Names and values of a process.
pub type Variables = BTreeMap<OsString, OsString>;

/// What the wrapper exits with if not the command but the wrapper failed.
pub const WRAPPER_FAILED: u8 = 125;
/// What it exits with if the command is not executable, as shells do.
const NOT_EXECUTABLE: u8 = 126;
/// What it exits with if the command does not exist, as shells do.
const NOT_FOUND: u8 = 127;

/// Why the wrapper failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// What the compiler wrote can't be read, or is not there.
    #[error("{0}")]
    Spec(String),
    /// The item can't be picked.
    #[error("{0}")]
    Item(String),
    /// An input can't be fetched.
    #[error("input {name} can't be fetched: {error}")]
    Input {
        /// As the pipeline file names it.
        name: String,
        /// Why.
        error: TransferError,
    },
    /// An output can't be stored.
    #[error("output {name} can't be stored: {error}")]
    Output {
        /// Its name.
        name: String,
        /// Why.
        error: TransferError,
    },
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The values of outputs can't be reported.
    #[error("{0}")]
    Message(String),
    /// A signal came while files were on their way.
    #[error("signal {signal} while {what}")]
    Interrupted {
        /// Its number.
        signal: i32,
        /// What was being done.
        what: String,
    },
    /// The command can't be started.
    #[error("{program} can't be started: {error}")]
    Start {
        /// Its first word.
        program: String,
        /// Why.
        error: std::io::Error,
    },
    /// The system takes no command of this length.
    #[error("{program} can't be started: {what}")]
    Long {
        /// Its first word.
        program: String,
        /// What is long.
        what: String,
    },
}

impl StepError {
    /// Returns the exit code that reports it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Interrupted { signal, .. } => u8::try_from(128 + signal).unwrap_or(u8::MAX),
            Self::Start { error, .. } => match error.kind() {
                std::io::ErrorKind::NotFound => NOT_FOUND,
                std::io::ErrorKind::PermissionDenied => NOT_EXECUTABLE,
                _ => WRAPPER_FAILED,
            },
            _ => WRAPPER_FAILED,
        }
    }
}

/// Runs a command as the [`StepSpec`] in `variables` says, and returns the exit code. `say` gets lines for the log.
pub async fn run(variables: Variables, command: Vec<OsString>, say: &(dyn Fn(&str) + Sync)) -> u8 {
    let message_file = message::file(&variables);
    match run_plan(variables, command, say).await {
        Ok(code) => code,
        Err(error) => {
            let reason = format!("konductor: {error}");
            say(&reason);
            // What the command wrote would hide why its step has failed.
            if let Some(file) = message_file
                && let Err(unwritten) = message::replace(&file, &reason)
            {
                say(&format!("konductor: {}: {unwritten}", file.display()));
            }
            error.exit_code()
        }
    }
}

async fn run_plan(
    variables: Variables,
    command: Vec<OsString>,
    say: &(dyn Fn(&str) + Sync),
) -> Result<u8, StepError> {
    let message_file = message::file(&variables);
    let plan = Plan::read(variables, command, |path| std::fs::read_to_string(path))?;
    if plan.has_credentials() {
        secrecy::hide().map_err(|error| {
            StepError::Spec(format!(
                "the store's credentials can't be hidden from the command: {error}"
            ))
        })?;
    }
    let mut signals = Signals::listen().map_err(|error| StepError::Spec(error.to_string()))?;
    let has_files = !plan.spec.inputs.is_empty() || !plan.spec.outputs.is_empty();
    let store = match has_files {
        true => Some(plan.open_store()?),
        false => None,
    };
    if let Some(store) = &store {
        let fetching = fetch_inputs(&plan, store, say);
        tokio::select! {
            fetched = fetching => fetched?,
            signal = command::end_asked(&mut signals) => {
                let what = "inputs were being fetched".to_owned();
                return Err(StepError::Interrupted { signal, what });
            }
        }
        plan.prepare_outputs()?;
    }
    let code = command::execute(&plan, &mut signals).await?;
    let Some(store) = store.filter(|_| code == 0 && !plan.spec.outputs.is_empty()) else {
        return Ok(code);
    };
    let storing = store_outputs(&plan, &store, say);
    let values = tokio::select! {
        stored = storing => stored,
        signal = command::end_asked(&mut signals) => {
            let what = "outputs were being stored".to_owned();
            Err(StepError::Interrupted { signal, what })
        }
    };
    if values.is_err() {
        store.settled().await;
    }
    let values = values?;
    let file = message_file.ok_or_else(|| {
        StepError::Spec("KON_OUTPUT is not set, so outputs can't be reported".to_owned())
    })?;
    message::append(&file, &values)?;
    Ok(0)
}

/// Fetches all inputs, one after the other: each may fill the memory that there is.
async fn fetch_inputs(
    plan: &Plan,
    store: &Store,
    say: &(dyn Fn(&str) + Sync),
) -> Result<(), StepError> {
    for input in &plan.spec.inputs {
        let failed = |error| StepError::Input {
            name: input.name.clone(),
            error,
        };
        let path = plan.path(&input.path)?;
        let values = plan.input_values(input)?;
        if values.is_empty() && !input.gathered {
            say(&format!(
                "konductor: {} was not written: nothing to fetch",
                input.name
            ));
            continue;
        }
        if input.gathered {
            std::fs::create_dir_all(&path)
                .map_err(|error| failed(TransferError::of_file(&path, &error)))?;
        }
        for value in values {
            let target = match input.gathered {
                true => path.join(value.item()),
                false => path.clone(),
            };
            let name = match input.gathered {
                true => format!("{} of {}", input.name, value.item()),
                false => input.name.clone(),
            };
            let transfer = Transfer {
                store,
                name: &name,
                kind: input.kind,
                path: &target,
                say,
            };
            transfer.fetch(&value).await.map_err(failed)?;
        }
    }
    Ok(())
}

/// Stores all outputs, and returns their names and values.
async fn store_outputs(
    plan: &Plan,
    store: &Store,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Vec<(String, FileValue)>, StepError> {
    let mut values = Vec::with_capacity(plan.spec.outputs.len());
    for output in &plan.spec.outputs {
        let path = plan.path(&output.path)?;
        let key = plan.key(&output.name)?;
        let transfer = Transfer {
            store,
            name: &output.name,
            kind: output.kind,
            path: &path,
            say,
        };
        let value = transfer.store(&key).await;
        let value = value.map_err(|error| StepError::Output {
            name: output.name.clone(),
            error,
        })?;
        values.push((output.name.clone(), value));
    }
    Ok(values)
}

/// Returns the key of an output without the store's prefix: `NAMESPACE/RUN/STAGE/ITEM/POD-UID/NAME`.
fn key(spec: &StepSpec, item: Option<&str>, namespace: &str, pod_uid: &str, name: &str) -> String {
    let item = item.or(spec.item.as_deref()).unwrap_or(NO_ITEM);
    format!(
        "{namespace}/{}/{}/{item}/{pod_uid}/{name}",
        spec.run, spec.stage
    )
}

/// Whether there is something at a path, which may be a broken link.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
