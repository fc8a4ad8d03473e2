//! `koncli lease hold` and `koncli semaphore hold` as processes: whatever dies, hangs or goes away, never
//! do two commands run at once. Each command writes into a file that it has begun, and looks whether anybody
//! who did so before is still there.
//!
//! `KONDUCTOR_ROUNDS=200 cargo test --test holds -- --nocapture` plays so many rounds of each.
#![expect(clippy::print_stderr, reason = "the figures are for people")]

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use konductor_api::{Lease, Semaphore};
use konductor_tests::built::koncli;
use konductor_tests::cluster::Cluster;
use konductor_tests::front::Front;
use konductor_tests::operator::Operator;
use konductor_tests::watching::WITHIN;
use kube::Api;
use kube::api::PostParams;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::process::{Child, Command};

const TTL: Duration = Duration::from_secs(3);
/// How many want to run their command at a time.
const CONTENDERS: usize = 3;
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a command does. It writes who it is, when it was started, and by whom; then looks for all that
/// wrote that before and are still there, in whatever state but dead; then waits until it may go. A process
/// id is given away again, but not with the same start. A deaf one does not listen to SIGTERM.
const COMMAND: &str = r#"
trap '[ -e deaf ] || exit 143' TERM
started() { cut -d' ' -f22 "/proc/$1/stat" 2>/dev/null; }
echo "$$ $PPID $(started $$)" >> begun
while read -r other _ start; do
  if [ "$other" != $$ ] && [ "$(started "$other")" = "$start" ] &&
    grep -qs '^State:.[^ZX]' "/proc/$other/status"; then
    echo "$$ runs beside $other" >> violations
  fi
done < begun
while [ ! -e "go-$$" ]; do sleep 0.02; done
"#;

/// What happens to a command, or to what is around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Blow {
    None,
    CommandCrashes,
    KoncliIsTerminated,
    KoncliIsKilled,
    ApiServerIsGoneForLong,
    ApiServerRestarts,
}

const BLOWS: [Blow; 6] = [
    Blow::CommandCrashes,
    Blow::KoncliIsKilled,
    Blow::ApiServerRestarts,
    Blow::KoncliIsTerminated,
    Blow::ApiServerIsGoneForLong,
    Blow::None,
];

/// A lease or a semaphore of one permit named `one`; koncli reaches it by the front.
struct Stage {
    cluster: Cluster,
    namespace: String,
    kind: &'static str,
    front: Front,
    folder: PathBuf,
    _operator: Operator,
}

impl Stage {
    async fn set(kind: &'static str) -> Self {
        let cluster = Cluster::embedded().await;
        let namespace = cluster.namespace("holds").await;
        let operator = Operator::start(&cluster, &namespace);
        let front = Front::start(&cluster.client);
        front.write_kubeconfig(&cluster.folder().join("front"));
        let folder = cluster.folder().join("shared");
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join("begun"), "").expect("a file");
        if kind == "lease" {
            let lease = json!({"metadata": {"name": "one"}, "spec": {"ttl": "3s"}});
            let lease: Lease = serde_json::from_value(lease).expect("a lease");
            let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), &namespace);
            let created = leases.create(&PostParams::default(), &lease).await;
            created.expect("a lease");
        } else {
            let semaphore = json!({"metadata": {"name": "one"}, "spec": {"permits": 1}});
            let semaphore: Semaphore = serde_json::from_value(semaphore).expect("a semaphore");
            let semaphores: Api<Semaphore> = Api::namespaced(cluster.client.clone(), &namespace);
            let created = semaphores.create(&PostParams::default(), &semaphore).await;
            created.expect("a semaphore");
        }
        Self {
            cluster,
            namespace,
            kind,
            front,
            folder,
            _operator: operator,
        }
    }

    /// `koncli KIND hold one -- sh -c SCRIPT`
    fn hold(&self, script: &str) -> Child {
        Command::new(koncli())
            .args([self.kind, "hold", "one", "--ttl", "3s"])
            .args(["--namespace", &self.namespace, "--kubeconfig"])
            .arg(self.cluster.folder().join("front"))
            .args(["--", "sh", "-c", script])
            .current_dir(&self.folder)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("koncli starts")
    }

    /// Who has begun so far, oldest first.
    fn begun(&self) -> Vec<Runner> {
        let text = std::fs::read_to_string(self.folder.join("begun")).expect("a file");
        let number = |text: &str| text.parse().expect("a process id");
        let runner = |line: &str| {
            let mut words = line.split(' ');
            Some(Runner {
                command: number(words.next()?),
                koncli: number(words.next()?),
            })
        };
        text.lines().filter_map(runner).collect()
    }

    fn go(&self, runner: Runner) {
        let file = self.folder.join(format!("go-{}", runner.command));
        std::fs::write(file, "").expect("a file");
    }

    fn violations(&self) -> String {
        std::fs::read_to_string(self.folder.join("violations")).unwrap_or_default()
    }

    /// Deals a blow to who runs; returns how its koncli must end.
    async fn strike(&mut self, blow: Blow, runner: Runner) -> Ended {
        match blow {
            Blow::None => {
                self.go(runner);
                Ended::Code(0)
            }
            Blow::CommandCrashes => {
                send(runner.command, Signal::KILL);
                Ended::Code(137)
            }
            Blow::KoncliIsTerminated => {
                send(runner.koncli, Signal::TERM);
                Ended::Code(143)
            }
            Blow::KoncliIsKilled => {
                send(runner.koncli, Signal::KILL);
                Ended::Signal(9)
            }
            Blow::ApiServerIsGoneForLong => {
                std::fs::write(self.folder.join("deaf"), "").expect("a file");
                self.front.kill();
                let command = runner.command;
                eventually("a command that lost its grant ends", || is_gone(command)).await;
                // Until somebody else may have been granted it, and longer.
                tokio::time::sleep(TTL).await;
                std::fs::remove_file(self.folder.join("deaf")).expect("a file");
                self.front.restart();
                Ended::Code(1)
            }
            Blow::ApiServerRestarts => {
                self.front.restart();
                // It is renewed after that, or it would have been lost by now.
                tokio::time::sleep(TTL + TTL / 3).await;
                assert!(
                    !is_gone(runner.command),
                    "it was not renewed after a restart"
                );
                self.go(runner);
                Ended::Code(0)
            }
        }
    }
}

/// A command that has begun.
#[derive(Clone, Copy, Debug)]
struct Runner {
    command: i32,
    koncli: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Code(i32),
    Signal(i32),
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, signal) => Self::Signal(signal.unwrap_or_default()),
        }
    }
}

fn send(id: i32, signal: Signal) {
    let id = Pid::from_raw(id).expect("a process id");
    kill_process(id, signal).expect("it is there");
}

/// Whether a process has ended; that nobody has asked how is no life.
fn is_gone(id: i32) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join("status"));
    let is_dead = |line: &str| line.starts_with("State:\tZ") || line.starts_with("State:\tX");
    status.map_or(true, |status| status.lines().any(is_dead))
}

async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < WITHIN, "{what}: not within {WITHIN:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn ended(child: &mut Child) -> Ended {
    let status = tokio::time::timeout(WITHIN, child.wait()).await;
    status.expect("it ends").expect("a status").into()
}

/// So many rounds: whoever runs is dealt a blow, and another takes its place in the queue.
async fn play(kind: &'static str) {
    let rounds = std::env::var("KONDUCTOR_ROUNDS").map(|text| text.parse().expect("a number"));
    let rounds: usize = rounds.unwrap_or(BLOWS.len());
    let mut stage = Stage::set(kind).await;
    let mut contenders: BTreeMap<i32, Child> = BTreeMap::new();
    let mut dealt: BTreeMap<Blow, usize> = BTreeMap::new();
    for round in 0..rounds {
        while contenders.len() < CONTENDERS {
            let child = stage.hold(COMMAND);
            let id = i32::try_from(child.id().expect("it runs")).expect("a process id");
            contenders.insert(id, child);
        }
        eventually("the next one begins", || stage.begun().len() > round).await;
        let runner = *stage.begun().last().expect("one has begun");
        let blow = BLOWS[round % BLOWS.len()];
        let expected = stage.strike(blow, runner).await;
        let mut child = contenders.remove(&runner.koncli).expect("a contender");
        assert_eq!(
            ended(&mut child).await,
            expected,
            "{kind}, {round}: {blow:?}"
        );
        eventually("its command ends", || is_gone(runner.command)).await;
        assert_eq!(stage.violations(), "", "{kind}, {round}: {blow:?}");
        *dealt.entry(blow).or_default() += 1;
    }
    eprintln!("{kind}: {rounds} rounds, never two commands at once: {dealt:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn holders_of_a_lease_never_run_at_once() {
    play("lease").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn holders_of_the_only_permit_never_run_at_once() {
    play("semaphore").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_commands_that_run_at_once_are_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = || {
        let mut shell = Command::new("sh");
        shell.args(["-c", COMMAND]).current_dir(folder.path());
        shell.kill_on_drop(true).spawn().expect("sh starts")
    };
    let _two = [start(), start()];
    let noticed = || folder.path().join("violations").exists();
    eventually("the second one sees the first", noticed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_are_forwarded_and_the_exit_code_is_the_commands() {
    let stage = Stage::set("lease").await;
    let table = [
        (Signal::TERM, "TERM", 11),
        (Signal::INT, "INT", 12),
        (Signal::HUP, "HUP", 13),
    ];
    for (signal, name, code) in table {
        let script =
            format!("trap 'exit {code}' {name}; touch {name}; while :; do sleep 0.02; done");
        let mut child = stage.hold(&script);
        eventually("it begins", || stage.folder.join(name).exists()).await;
        let id = i32::try_from(child.id().expect("it runs")).expect("a process id");
        send(id, signal);
        assert_eq!(ended(&mut child).await, Ended::Code(code), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_koncli_that_is_killed_leaves_nothing_of_its_command_behind() {
    let stage = Stage::set("lease").await;
    let mut child = stage.hold("sleep 600 & echo $! > new; mv new background; wait");
    let background = stage.folder.join("background");
    eventually("it begins", || background.exists()).await;
    let text = std::fs::read_to_string(background).expect("a file");
    let sleeper = text.trim().parse().expect("a process id");
    assert!(!is_gone(sleeper));
    child.kill().await.expect("it is there");
    eventually("what it has started ends", || is_gone(sleeper)).await;
}
