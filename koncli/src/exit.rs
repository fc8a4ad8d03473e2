//! Exit codes, and the errors behind them.

use std::fmt;
use std::time::Duration;

use konductor::LastSeen;

use crate::suggestion::suggested;

/// A gate or run failed, a claim was denied, or files or objects differ.
pub(crate) const FAILED: u8 = 1;
/// The arguments or the pipeline are not valid.
pub(crate) const USAGE: u8 = 2;
/// Timed out.
pub(crate) const TIMED_OUT: u8 = 3;
/// The object was not found.
pub(crate) const NOT_FOUND: u8 = 4;
/// The API server does not allow it.
pub(crate) const FORBIDDEN: u8 = 5;
/// No API server, operator or container engine answers.
pub(crate) const UNREACHABLE: u8 = 6;
/// Ended by Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// For `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0    done
  1    failed: a gate or run failed, a claim was denied, or files or objects differ
  2    the arguments or the pipeline are not valid
  3    timed out
  4    not found
  5    forbidden
  6    the API server, the operator or the container engine can't be reached
  130  interrupted by Ctrl-C";

/// Why a command fails.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    /// What happened, on which object. Empty if it was printed already.
    pub(crate) message: String,
    /// What to do.
    pub(crate) help: Option<String>,
    /// What is shown with `--verbose`.
    pub(crate) cause: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            help: None,
            cause: None,
        }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(FAILED, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(USAGE, message)
    }

    /// Everything was printed already.
    pub(crate) fn silent(code: u8) -> Self {
        Self::new(code, "")
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl From<konductor::Error> for Failure {
    fn from(error: konductor::Error) -> Self {
        use konductor::Error as E;
        let (code, help) = match &error {
            E::NotFound { object } => {
                (NOT_FOUND, Some(format!("look at {}", listing(object.kind))))
            }
            E::Unauthorized { .. } => (FORBIDDEN, Some(unauthorized_help())),
            E::Forbidden { .. } => (FORBIDDEN, Some(forbidden_help())),
            E::TimedOut {
                object,
                after,
                last_seen,
            } => timed_out(object, *after, last_seen),
            E::Unreachable { .. } => (UNREACHABLE, Some(unreachable_help())),
            E::Failed { object, .. } => {
                let what = format!("look at {}", showing(object));
                (FAILED, Some(what))
            }
            E::Denied { object } => {
                let what = format!("look at {}; --timeout 10m waits for it", showing(object));
                (FAILED, Some(what))
            }
            E::Invalid { .. } => (USAGE, None),
            // Lost, refused, and errors that a newer SDK may have.
            _ => (FAILED, None),
        };
        Self {
            code,
            message: error.to_string(),
            help,
            cause: None,
        }
    }
}

/// The exit code of a timeout, and what to do.
fn timed_out(object: &konductor::Object, after: Duration, seen: &LastSeen) -> (u8, Option<String>) {
    match seen {
        // A single look comes too early for that.
        LastSeen::NoOperator if !after.is_zero() => (UNREACHABLE, Some(no_operator_help())),
        LastSeen::Missing => {
            let what = format!("look at {}", listing(object.kind));
            (TIMED_OUT, Some(what))
        }
        LastSeen::Unreachable(_) => (TIMED_OUT, Some(unreachable_help())),
        _ => {
            let what = format!("look at {}", showing(object));
            (TIMED_OUT, Some(what))
        }
    }
}

/// The command that lists a kind, as it is suggested.
fn listing(kind: &str) -> String {
    match kind {
        "run" => suggested("koncli runs"),
        "barrier" | "gate" | "semaphore" | "lease" => suggested(format!("koncli {kind} list")),
        other => suggested(format!("kubectl get {other}s")),
    }
}

/// The command that shows an object, as it is suggested.
fn showing(object: &konductor::Object) -> String {
    let name = &object.name;
    match object.kind {
        "run" => suggested(format!("koncli status {name}")),
        // With the reason why it waits, or its holders.
        kind @ ("barrier" | "gate" | "semaphore") => {
            suggested(format!("koncli {kind} get {name} -o wide"))
        }
        "lease" => suggested(format!("koncli lease get {name}")),
        kind => suggested(format!("kubectl describe {kind} {name}")),
    }
}

fn forbidden_help() -> String {
    let shows = suggested("kubectl auth can-i --list");
    format!("ask for a role that allows it; {shows} shows what you may do")
}

fn unauthorized_help() -> String {
    let shows = suggested("kubectl auth whoami");
    format!("log in again, or name another kubeconfig with --kubeconfig; {shows} shows who you are")
}

/// What to do if nobody moves anything forward.
pub(crate) fn no_operator_help() -> String {
    format!("install the chart, or run {}", suggested("koncli operator"))
}

fn unreachable_help() -> String {
    let local = suggested("koncli run FILE");
    format!(
        "check --kubeconfig and --context, or that the API server runs; without a cluster, {local} needs none"
    )
}

/// What to do if the namespace itself is missing.
pub(crate) fn no_namespace_help() -> String {
    let create = suggested("kubectl create namespace");
    format!("name another with --namespace, or {create} this one")
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        let object = konductor::Object::new("request", "API", "");
        match &error {
            // What answers so is no API server: it says what it has, in a Status.
            kube::Error::Api(status) if konductor::is_foreign(status) => Self::new(
                UNREACHABLE,
                format!("no API server answers: {}", konductor::answer(status)),
            )
            .help("check --kubeconfig and --context; a proxy or another server may answer in its place"),
            kube::Error::Api(status) if status.code == 404 => {
                let help = match is_namespace_missing(status) {
                    true => no_namespace_help(),
                    false => format!(
                        "are the CRDs installed? {}",
                        suggested("koncli crds | kubectl apply -f -")
                    ),
                };
                Self::new(NOT_FOUND, status.message.clone()).help(help)
            }
            kube::Error::Api(status) if status.code == 401 => {
                Self::new(FORBIDDEN, status.message.clone()).help(unauthorized_help())
            }
            kube::Error::Api(status) if status.code == 403 => {
                Self::new(FORBIDDEN, status.message.clone()).help(forbidden_help())
            }
            // Such as an invalid selector.
            kube::Error::Api(status) if status.code == 400 => Self::usage(status.message.clone()),
            kube::Error::Api(status) => Self::failed(status.message.clone()),
            _ => object.explain(error).into(),
        }
    }
}

/// Whether what is missing is the namespace itself.
pub(crate) fn is_namespace_missing(status: &kube::core::Status) -> bool {
    status.code == 404 && status.message.starts_with("namespaces ")
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_not_an_api_servers_is_reported_as_such() {
        for (code, body, expected) in [
            (404, "", "HTTP 404 without a message"),
            (500, "", "HTTP 500 without a message"),
            (
                502,
                "<html>bad gateway</html>",
                "HTTP 502: <html>bad gateway</html>",
            ),
        ] {
            let status = kube::core::Status::failure(body, "").with_code(code);
            let failure = Failure::from(kube::Error::Api(status.boxed()));
            assert_eq!(failure.code, UNREACHABLE);
            assert!(failure.message.contains(expected), "{failure}");
        }
        let status = kube::core::Status::failure("runs \"a\" not found", "NotFound").with_code(404);
        let failure = Failure::from(kube::Error::Api(status.boxed()));
        assert_eq!(failure.code, NOT_FOUND);
    }
}
