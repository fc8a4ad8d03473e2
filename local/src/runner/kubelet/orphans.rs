//! Ends what containers started even when the runner is killed and can't do it itself.
//!
//! A shell waits at the end of a pipe. It reads which process groups exist; when the pipe
//! closes, which the operating system does however the runner ends, it ends those that are left:
//! first politely, then for good.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Mutex, PoisonError};

use super::engine::{Engine, LABEL};
use crate::platform;

const SCRIPT: &str = r#"
while read -r action group; do
  case $action in
  begin) set -- "$@" "$group" ;;
  end)
    for known do
      shift
      [ "$known" = "$group" ] || set -- "$@" "$known"
    done ;;
  esac
done
[ $# -gt 0 ] || exit 0
for group do kill -s TERM -- "-$group"; done
sleep "$GRACE"
for group do kill -s KILL -- "-$group"; done
if [ -n "$ENGINE" ]; then
  for container in $("$ENGINE" ps --all --quiet --filter "label=$LABEL=$RUNNER"); do
    "$ENGINE" kill "$container" >/dev/null
    "$ENGINE" rm --force "$container" >/dev/null
  done
fi
"#;

/// How long what is left may take to end by itself.
const GRACE_SECONDS: &str = "2";

/// The shell that outlives the runner.
#[derive(Debug)]
pub(super) struct OrphanGuard {
    /// `None` once it was asked to end, without an `sh`, and where the system itself ends what is left.
    shell: Mutex<Option<Child>>,
}

impl OrphanGuard {
    /// Starts the shell. Without `sh`, nothing is guarded, and a warning says so. The containers of
    /// an engine are ended, too. `lock` stays open until then.
    pub(super) fn start(engine: Option<&Engine>, lock: Option<&File>) -> Self {
        Self::start_with(GRACE_SECONDS, engine, lock)
    }

    fn start_with(grace_seconds: &str, engine: Option<&Engine>, lock: Option<&File>) -> Self {
        let lock = lock.and_then(|lock| {
            let copied = lock.try_clone();
            copied
                .inspect_err(|error| tracing::warn!(%error, "the guard doesn't hold the lock"))
                .ok()
        });
        let program = engine.map(Engine::program).unwrap_or(Path::new(""));
        let shell = platform::guard_shell().and_then(|mut shell| {
            let spawned = shell
                .args(["-c", SCRIPT])
                .env("GRACE", grace_seconds)
                .env("ENGINE", program)
                .env("LABEL", LABEL)
                .env("RUNNER", engine.map(Engine::runner).unwrap_or_default())
                .stdin(Stdio::piped())
                // Nothing is printed: this only keeps it open.
                .stdout(lock.map_or_else(Stdio::null, Stdio::from))
                .stderr(Stdio::null())
                .spawn();
            spawned
                .inspect_err(|error| {
                    tracing::warn!(%error, "no /bin/sh: processes may outlive a killed runner");
                })
                .ok()
        });
        Self {
            shell: Mutex::new(shell),
        }
    }

    /// A process group begins to exist.
    pub(super) fn begin(&self, group: i32) {
        self.send("begin", group);
    }

    /// A process group is gone, and its number may be used by others.
    pub(super) fn end(&self, group: i32) {
        self.send("end", group);
    }

    /// Lets the shell end, after every group has, and waits for it.
    pub(super) fn close(&self) -> io::Result<()> {
        let shell = self
            .shell
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut shell) = shell {
            drop(shell.stdin.take());
            shell.wait()?;
        }
        Ok(())
    }

    fn send(&self, action: &str, group: i32) {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = match shell.as_mut().and_then(|shell| shell.stdin.as_mut()) {
            Some(stdin) => stdin.write_all(format!("{action} {group}\n").as_bytes()),
            None => Ok(()),
        };
        if let Err(error) = sent {
            tracing::warn!(%error, group, "process group {action} not noted by the guard");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

    /// A process group that ends only when it is made to.
    fn group() -> (Child, i32) {
        let child = Command::new("/bin/sh")
            .args(["-c", "sleep 600 & wait"])
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let group = i32::try_from(child.id()).unwrap();
        (child, group)
    }

    /// Returns when no process of the group has its stdout open any more.
    fn wait_for_all(child: &mut Child) {
        let mut output = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut output)
            .unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn only_groups_that_have_not_ended_are_ended() {
        let guard = OrphanGuard::start_with("0", None, None);
        let (mut left, left_group) = group();
        let (mut ended, ended_group) = group();
        guard.begin(ended_group);
        guard.begin(left_group);
        guard.end(ended_group);
        // What the operating system does when the runner is killed.
        guard.close().unwrap();
        wait_for_all(&mut left);
        assert!(ended.try_wait().unwrap().is_none());
        let ended_group = rustix::process::Pid::from_raw(ended_group).unwrap();
        rustix::process::kill_process_group(ended_group, rustix::process::Signal::KILL).unwrap();
        wait_for_all(&mut ended);
    }

    #[test]
    fn a_guard_with_nothing_left_ends_at_once() {
        let guard = OrphanGuard::start_with("600", None, None);
        guard.begin(4_000_001);
        guard.end(4_000_001);
        guard.close().unwrap();
    }
}
