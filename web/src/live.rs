//! What changes on an open page, as server-sent events.
//!
//! A page is made again when something changes, at most every [`PAUSE`]; the browser gets the sections that differ from
//! those that it got last, and what pods print.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::address::Address;
use crate::cluster::{Cluster, LogChunk};
use crate::model::Page;
use crate::page::{self, Context};

/// How long it takes at least from one update to the next: quicker than people notice, and slow enough for much to happen
/// in one.
const PAUSE: Duration = Duration::from_millis(100);
/// How far a page that is followed may be behind in what no watch reports.
const FOLLOWED: Duration = Duration::from_secs(5);
/// Events that a browser may be behind, before the page waits for it.
const BEHIND: usize = 16;

/// Answers with the changes of a page until the browser leaves.
pub(crate) fn stream<C: Cluster>(cluster: Arc<C>, form: String, address: Address) -> Response {
    let (sender, receiver) = mpsc::channel(BEHIND);
    tokio::spawn(async move { follow(&*cluster, &form, &address, &sender).await });
    let events = stream::unfold(receiver, |mut receiver| async {
        let event: Event = receiver.recv().await?;
        Some((Ok::<_, Infallible>(event), receiver))
    });
    Sse::new(events)
        .keep_alive(KeepAlive::default())
        .into_response()
}

/// What a browser shows of a page.
struct Following {
    /// The versions of the sections, by their ids.
    versions: BTreeMap<&'static str, String>,
    /// The pods whose logs are shown.
    pods: Option<Vec<String>>,
    chunks: BoxStream<'static, LogChunk>,
}

/// Ready when the browser has left, or nothing can change any more.
async fn follow<C: Cluster>(
    cluster: &C,
    form: &str,
    address: &Address,
    browser: &mpsc::Sender<Event>,
) {
    let mut changes = cluster.changes(address);
    let mut shown = Following {
        versions: BTreeMap::new(),
        pods: None,
        chunks: stream::pending().boxed(),
    };
    loop {
        let next = Instant::now() + PAUSE;
        let event = shown.update(cluster, form, address).await;
        if browser.send(event).await.is_err() {
            return;
        }
        loop {
            tokio::select! {
                () = browser.closed() => return,
                Some(chunk) = shown.chunks.next() => {
                    let LogChunk { place, text, is_start } = chunk;
                    let data = json!({"place": place, "text": text, "isStart": is_start});
                    if browser.send(event_of("log", &data)).await.is_err() {
                        return;
                    }
                }
                change = changes.next() => match change {
                    Some(()) => break,
                    None => return,
                },
            }
        }
        tokio::time::sleep_until(next).await;
    }
}

fn event_of(name: &str, data: &serde_json::Value) -> Event {
    Event::default().event(name).data(data.to_string())
}

impl Following {
    /// What differs from what the browser shows.
    async fn update<C: Cluster>(&mut self, cluster: &C, form: &str, address: &Address) -> Event {
        let page = match cluster.page(address, FOLLOWED).await {
            Ok(page) => page,
            Err(problem) => return event_of("problem", &json!({"message": problem.message})),
        };
        let mut logs = Vec::new();
        if let Page::Stage(stage) = &page
            && self.pods.as_ref() != Some(&stage.pods)
        {
            self.pods = Some(stage.pods.clone());
            // Also at first: the document may be older than these pods. The version of the section is that of its pods, so
            // that a browser that shows them already keeps its own.
            logs = cluster.logs(stage).await;
            self.chunks = cluster.follow(stage).chain(stream::pending()).boxed();
        }
        let context = Context {
            address,
            now: Timestamp::now(),
            form,
        };
        let sections = page::shown(&page, &logs, context).into_iter();
        let mut changed = Vec::new();
        for section in sections.filter(|section| section.is_live) {
            let previous = self.versions.insert(section.id, section.version.clone());
            if previous.as_ref() != Some(&section.version) {
                changed.push(json!({
                    "id": section.id,
                    "version": section.version,
                    "html": section.html,
                }));
            }
        }
        let title = format!("{} · konductor", page::title(&page));
        event_of("page", &json!({"title": title, "sections": changed}))
    }
}
