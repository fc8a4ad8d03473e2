//! The cluster behind the web view: what pages show is kept by watches while somebody looks, and is read with the viewer's
//! own rights.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{Run, label};
use konductor_operator::{Listed, explain};
use konductor_web::model::{Log, Place, ProblemKind, Stage};
use konductor_web::{Action, Address, Cluster, LogChunk, Page, Problem};
use kube::ResourceExt;
use kube::api::{ListParams, LogParams};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::model::{self, Look, problem};
use super::primitives::{self, Objects};
use super::rights::Rights;
use super::tail::{CONTAINER, LOG_LINES, Tail};
use super::watched::{Subject, Watched, all, owned};
use crate::command::objects::{Meant, Reasons, completed};
use crate::command::{api, lifecycle, retry, why};
use crate::exit::Failure;
use crate::output;
use crate::read;
use crate::view::run_ended;

/// The most that is read of a log at first, in bytes.
const LOG_BYTES: i64 = 256 * 1024;
/// How many pieces of a log are sent at once, at most.
const PIECES_AT_ONCE: usize = 8;
/// How long what nobody looks at is kept up to date: a click away, and back.
const IDLE: Duration = Duration::from_secs(60);
/// How many subjects are kept up to date at once.
const SUBJECTS: usize = 16;
/// How long the reasons that no watch reports are used again, and how far behind the titles of logs may be.
const STALE: Duration = Duration::from_secs(5);
/// How long the viewer's permissions are believed.
const RIGHTS: Duration = Duration::from_secs(60);

/// What is known of a run, and the turn of whoever looks again: meanwhile others get what is known, if it is new
/// enough for them.
#[derive(Default)]
struct LastLook {
    looked: Mutex<Option<Looked>>,
    turn: tokio::sync::Mutex<()>,
}

/// A run as it was looked at.
struct Looked {
    version: u64,
    look: Arc<Look>,
    /// Reasons that no watch reports, and since when they may be behind.
    reasons: Reasons,
    since: Instant,
}

impl LastLook {
    fn looked(&self) -> MutexGuard<'_, Option<Looked>> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run as it is known, if nothing has changed since, and what no watch reports is new enough.
    fn current(&self, version: u64, behind: Duration) -> Option<Arc<Look>> {
        let looked = self.looked();
        let looked = looked.as_ref()?;
        let is_over = run_ended(&looked.look.run).is_some();
        let is_new = is_over || looked.since.elapsed() < behind;
        (looked.version == version && is_new).then(|| Arc::clone(&looked.look))
    }
}

/// What is watched for one subject.
struct Entry {
    subject: Subject,
    watched: Arc<Watched>,
    look: Arc<LastLook>,
    used: Instant,
}

type Shared<T> = Arc<Mutex<T>>;

/// A namespace of a cluster, as its viewer sees it.
pub(super) struct Browsed {
    client: konductor::Client,
    place: Place,
    entries: Shared<Vec<Entry>>,
    rights: Mutex<(Instant, Arc<OnceCell<Rights>>)>,
}

impl Browsed {
    pub(super) fn new(client: konductor::Client, cluster: &str) -> Self {
        let place = Place {
            cluster: cluster.to_owned(),
            namespace: client.namespace().to_owned(),
        };
        Self {
            client,
            place,
            entries: Arc::default(),
            rights: Mutex::new((Instant::now(), Arc::default())),
        }
    }

    /// What is watched for a subject, from now on if it was not.
    fn entry(&self, subject: &Subject) -> (Arc<Watched>, Arc<LastLook>) {
        let now = Instant::now();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.iter_mut().find(|entry| entry.subject == *subject) {
            entry.used = now;
            return (Arc::clone(&entry.watched), Arc::clone(&entry.look));
        }
        if entries.is_empty() {
            tokio::spawn(sweep(Arc::clone(&self.entries)));
        }
        if entries.len() >= SUBJECTS {
            let oldest = entries
                .iter()
                .enumerate()
                .min_by_key(|(_, entry)| entry.used);
            if let Some(oldest) = oldest.map(|(place, _)| place) {
                entries.swap_remove(oldest);
            }
        }
        let watched = Arc::new(Watched::start(&self.client, subject));
        let look = Arc::<LastLook>::default();
        entries.push(Entry {
            subject: subject.clone(),
            watched: Arc::clone(&watched),
            look: Arc::clone(&look),
            used: now,
        });
        (watched, look)
    }

    async fn rights(&self) -> Rights {
        let rights = {
            let mut rights = self.rights.lock().unwrap_or_else(PoisonError::into_inner);
            if rights.0.elapsed() > RIGHTS {
                *rights = (Instant::now(), Arc::default());
            }
            Arc::clone(&rights.1)
        };
        *rights.get_or_init(|| Rights::of(&self.client)).await
    }

    /// A run and everything around it: as it was, if nothing has changed and that is new enough.
    async fn look(&self, run: &str, behind: Duration) -> Result<Arc<Look>, Problem> {
        let (watched, last) = self.entry(&Subject::Run(run.to_owned()));
        if let Some(look) = last.current(watched.version(), behind) {
            return Ok(look);
        }
        // One at a time: whoever comes meanwhile gets the same.
        let _turn = last.turn.lock().await;
        if let Some(look) = last.current(watched.version(), behind) {
            return Ok(look);
        }
        let runs = all(&watched.runs).await?;
        let Some(itself) = runs.first() else {
            return Err(Problem {
                kind: ProblemKind::NotFound,
                message: format!(
                    "run/{run} in namespace {} does not exist",
                    self.place.namespace
                ),
                help: Some("it may have been deleted".to_owned()),
            });
        };
        let jobs = owned(&watched.jobs).await?;
        let version = watched.version();
        // To look at a run needs no right on what only explains it.
        let pods = all(&watched.pods).await.unwrap_or_default();
        let listed = Listed {
            run: Some(Run::clone(itself)),
            jobs,
            gates: owned(&watched.gates).await?,
            barriers: owned(&watched.barriers).await?,
            semaphores: owned(&watched.semaphores).await.unwrap_or_default(),
            leases: owned(&watched.leases).await.unwrap_or_default(),
            pods: pods.iter().map(|pod| Pod::clone(pod)).collect(),
            events: Vec::new(),
            workloads: Vec::new(),
        };
        // Each change of a busy run would list them again.
        let reasons = last
            .looked()
            .as_ref()
            .map(|looked| (looked.reasons.clone(), looked.since));
        let reasons = reasons.filter(|(_, since)| since.elapsed() < STALE);
        let (mut reasons, since) = reasons.unwrap_or_else(|| (Reasons::default(), Instant::now()));
        let objects = completed(&self.client, listed, &mut reasons).await;
        let look = Arc::new(Look::new(Run::clone(itself), objects, pods));
        *last.looked() = Some(Looked {
            version,
            look: Arc::clone(&look),
            reasons,
            since,
        });
        Ok(look)
    }

    async fn stage(&self, run: &str, name: &str, behind: Duration) -> Result<Stage, Problem> {
        let look = self.look(run, behind).await?;
        let why = why::explained(&self.client, &look.run, &look.objects, name).await;
        let why = why.map_err(problem)?;
        model::stage_page(&look, name, why).ok_or_else(|| Problem {
            kind: ProblemKind::NotFound,
            message: format!("run/{run} has no stage {name}"),
            help: None,
        })
    }

    async fn primitives(&self) -> Result<konductor_web::model::Primitives, Problem> {
        let (watched, _) = self.entry(&Subject::Primitives);
        let mut objects = Objects {
            semaphores: all(&watched.semaphores).await?,
            leases: all(&watched.leases).await?,
            barriers: all(&watched.barriers).await?,
            gates: all(&watched.gates).await?,
            claims: all(&watched.claims).await.unwrap_or_default(),
            jobs: Vec::new(),
        };
        if objects.may_have_waiters() {
            let of_runs = ListParams::default().labels(label::RUN);
            let jobs = read::list_metadata(&api::<Job>(&self.client), &of_runs).await;
            let jobs = jobs.unwrap_or_default().into_iter();
            objects.jobs = jobs.map(|job| job.metadata).collect();
        }
        Ok(primitives::page(&objects, self.rights().await))
    }

    /// The title of a pod's log, by its Job.
    fn titles(&self, look: &Look, stage: &Stage) -> Vec<(String, String)> {
        let pods = look.pods_of(Meant::of(&stage.row.name)).into_iter();
        let named = pods.map(|(title, pod)| (pod.name_any(), title));
        named.collect()
    }
}

/// Ends the watches of what nobody looks at any more, until none is left.
async fn sweep(entries: Shared<Vec<Entry>>) {
    loop {
        tokio::time::sleep(IDLE / 4).await;
        let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever follows a page has the watches, too.
        entries
            .retain(|entry| Arc::strong_count(&entry.watched) > 1 || entry.used.elapsed() < IDLE);
        if entries.is_empty() {
            return;
        }
    }
}

/// Returns the last lines that a pod printed; nothing if it has no log.
pub(in crate::command) async fn log_end(
    client: &konductor::Client,
    pod: &str,
    lines: i64,
) -> String {
    let params = LogParams {
        container: Some(CONTAINER.to_owned()),
        tail_lines: Some(lines),
        limit_bytes: Some(LOG_BYTES),
        ..LogParams::default()
    };
    let text = api::<Pod>(client).logs(pod, &params).await;
    plain(&text.unwrap_or_default())
}

/// A log without colours, and without what a reader could be deceived by.
pub(super) fn plain(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let mut plain = String::with_capacity(line.len() + 1);
        let mut rest = line;
        while let Some(place) = rest.find('\u{1b}') {
            plain.push_str(&rest[..place]);
            rest = &rest[place..];
            let color = explain::color(rest).map_or(0, str::len);
            // What is no colour is spelled out below.
            let length = color.max('\u{1b}'.len_utf8());
            if color == 0 {
                plain.push('\u{1b}');
            }
            rest = &rest[length..];
        }
        plain.push_str(rest);
        format!("{}\n", output::clean(&plain))
    });
    lines.collect()
}

impl Cluster for Browsed {
    fn place(&self) -> Place {
        self.place.clone()
    }

    async fn page(&self, address: &Address, behind: Duration) -> Result<Page, Problem> {
        match address {
            Address::Runs(_) => {
                let (watched, _) = self.entry(&Subject::Runs);
                let runs = all(&watched.runs).await?;
                Ok(Page::Runs(model::runs(&runs)))
            }
            Address::Run(run, _) => {
                let (look, rights) = (self.look(run, behind).await?, self.rights().await);
                Ok(Page::Run(Box::new(model::run_page(&look, rights))))
            }
            Address::Stage(run, stage, _) => {
                let stage = self.stage(run, stage, behind).await?;
                Ok(Page::Stage(Box::new(stage)))
            }
            Address::Primitives => Ok(Page::Primitives(self.primitives().await?)),
            Address::Schedules => {
                let (watched, _) = self.entry(&Subject::Schedules);
                let (schedules, runs) = (all(&watched.schedules).await?, all(&watched.runs).await?);
                Ok(Page::Schedules(model::schedules(&schedules, &runs)))
            }
        }
    }

    fn changes(&self, address: &Address) -> BoxStream<'static, ()> {
        let subject = Subject::of(address);
        let (watched, _) = self.entry(&subject);
        let changes = watched.changes();
        // What is looked at is watched for as long as this stream lasts.
        let changes = stream::unfold((changes, watched), |(mut changes, watched)| async move {
            changes.changed().await.ok()?;
            Some(((), (changes, watched)))
        });
        match subject {
            Subject::Run(_) => {
                let ticks = stream::unfold((), |()| async {
                    tokio::time::sleep(STALE).await;
                    Some(((), ()))
                });
                stream::select(changes, ticks).boxed()
            }
            Subject::Runs | Subject::Primitives | Subject::Schedules => changes.boxed(),
        }
    }

    async fn logs(&self, stage: &Stage) -> Vec<Log> {
        // Each pod of the page has its log, also if it has no title any more.
        let titles = match self.look(&stage.run, STALE).await {
            Ok(look) => self.titles(&look, stage),
            Err(_) => Vec::new(),
        };
        let logs = stage.pods.iter().map(|pod| {
            let title = titles.iter().find(|(name, _)| name == pod);
            let title = title.map_or(stage.row.name.as_str(), |(_, title)| title);
            let title = format!("{title} · {pod}");
            async move {
                let text = log_end(&self.client, pod, LOG_LINES).await;
                Log { title, text }
            }
        });
        futures::future::join_all(logs).await
    }

    fn follow(&self, stage: &Stage) -> BoxStream<'static, LogChunk> {
        let (watched, _) = self.entry(&Subject::Run(stage.run.clone()));
        let logs = stage.pods.iter().enumerate().map(|(place, pod)| {
            let tail = Tail::new(api::<Pod>(&self.client), pod, Arc::clone(&watched));
            let pieces = tail.pieces().ready_chunks(PIECES_AT_ONCE);
            pieces.map(move |pieces| {
                let start = pieces.iter().rposition(|piece| piece.is_start);
                let shown = pieces.iter().skip(start.unwrap_or(0));
                let text: String = shown.map(|piece| piece.text.as_str()).collect();
                LogChunk {
                    place,
                    text: plain(&text),
                    is_start: start.is_some(),
                }
            })
        });
        stream::select_all(logs.map(StreamExt::boxed)).boxed()
    }

    async fn act(&self, action: &Action) -> Result<String, Problem> {
        let client = &self.client;
        let done: Result<String, Failure> = match action {
            Action::Cancel { run } => lifecycle::cancelled(client, run, false)
                .await
                .map(|(done, _)| done),
            Action::Pause { run } => lifecycle::paused(client, run, false).await,
            Action::Resume { run } => lifecycle::resumed(client, run).await,
            Action::Retry { run } => {
                let mut said: Vec<String> = Vec::new();
                let retried = retry::retried(client, run, None, |line| said.push(line.to_owned()));
                retried.await.map(|()| said.join("; "))
            }
            Action::Approve { barrier } => lifecycle::approved(client, barrier, false).await,
            Action::Deny { barrier } => lifecycle::approved(client, barrier, true).await,
        };
        done.map_err(problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_shown_without_colours_and_without_deception() {
        for (text, expected) in [
            ("a\nb", "a\nb\n"),
            ("\u{1b}[31mred\u{1b}[0m", "red\n"),
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}\n"),
            ("<script>", "<script>\n"),
            ("", ""),
        ] {
            assert_eq!(plain(text), expected, "{text:?}");
        }
    }
}
