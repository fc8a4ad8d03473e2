//! The server: loopback only, for one viewer, with the permissions of that viewer.
//!
//! What enters: requests, and a [`Cluster`]. What leaves: pages, their changes, and what actions did. What must never
//! happen here: an answer before [`Access`] has let the request in, a script or a style inside of a page, a change by
//! anything but a form of this start.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use maud::Markup;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::access::{Access, Entry};
use crate::address::Address;
use crate::bounded::Bounded;
use crate::cluster::Cluster;
use crate::live;
use crate::model::{Action, Page, Problem, ProblemKind};
use crate::page::{self, Context, Notice};

/// The style of all pages, and of the pictures in them.
pub(crate) const STYLE: &str = concat!(
    include_str!("../assets/style.css"),
    "\n.timeline {\n",
    include_str!("../assets/timeline.css"),
    "}\n.timeline .bg { fill: none; }\n"
);
const SCRIPT: &str = include_str!("../assets/live.js");
const ICON: &str = include_str!("../assets/icon.svg");

/// No script and no style but our own files, nothing from elsewhere, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// The largest body of a form, in bytes.
const FORM_MAX: usize = 16 * 1024;
/// How far a page that is opened may be behind in what no watch reports: it is followed from then on.
const OPENED: Duration = Duration::from_secs(60);
/// How many notices wait to be shown.
const NOTICES: usize = 16;

/// A server of pages.
struct Site<C> {
    cluster: Arc<C>,
    access: Access,
    /// What was done and not shown yet, by an id that is in the address.
    notices: Mutex<VecDeque<(String, Notice)>>,
}

/// Serves the pages of a cluster until `stop` is ready.
///
/// # Errors
/// If the listener fails.
pub async fn serve<C: Cluster>(
    listener: TcpListener,
    cluster: C,
    access: Access,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let router = router(cluster, access);
    tokio::select! {
        served = async { axum::serve(Bounded::new(listener), router).await } => served,
        () = stop => Ok(()),
    }
}

/// Returns the router of all pages.
fn router<C: Cluster>(cluster: C, access: Access) -> Router {
    let site = Site {
        cluster: Arc::new(cluster),
        access,
        notices: Mutex::default(),
    };
    Router::new()
        .fallback(answer::<C>)
        .with_state(Arc::new(site))
}

async fn answer<C: Cluster>(State(site): State<Arc<Site<C>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = match site.access.check(&parts) {
        Entry::Refused(code, why) => (code, format!("konductor: {why}\n")).into_response(),
        Entry::Exchanged { cookie, target } => {
            let headers = [(header::SET_COOKIE, cookie), (header::LOCATION, target)];
            (StatusCode::SEE_OTHER, headers).into_response()
        }
        Entry::Allowed => site.respond(&parts, body).await,
    };
    protect(&mut response);
    response
}

/// What every answer says about itself.
fn protect(response: &mut Response) {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: then forms would have the origin `null`.
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
}

fn file(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

impl<C: Cluster> Site<C> {
    async fn respond(&self, parts: &Parts, body: Body) -> Response {
        let target = parts.uri.path_and_query().map_or("/", |all| all.as_str());
        match (&parts.method, parts.uri.path()) {
            (&Method::GET, "/assets/style.css") => file("text/css; charset=utf-8", STYLE),
            (&Method::GET, "/assets/live.js") => file("text/javascript; charset=utf-8", SCRIPT),
            (&Method::GET, "/assets/icon.svg") => file("image/svg+xml", ICON),
            (&Method::GET, "/live") => {
                match pairs(parts.uri.query().unwrap_or_default(), "of")
                    .and_then(|of| Address::parse(&of))
                {
                    Some(address) => {
                        let form = self.access.form_token().to_owned();
                        live::stream(Arc::clone(&self.cluster), form, address)
                    }
                    None => self.missing(),
                }
            }
            (&Method::POST, "/do") => self.act(parts, body).await,
            (&Method::GET, _) => match Address::parse(target) {
                Some(address) => {
                    let notice = pairs(parts.uri.query().unwrap_or_default(), "notice");
                    let notice = notice.and_then(|id| self.take_notice(&id));
                    self.page(&address, notice.as_ref()).await
                }
                None => self.missing(),
            },
            _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        }
    }

    async fn page(&self, address: &Address, notice: Option<&Notice>) -> Response {
        let page = match self.cluster.page(address, OPENED).await {
            Ok(page) => page,
            Err(problem) => return self.problem(&problem),
        };
        let logs = match &page {
            Page::Stage(stage) => self.cluster.logs(stage).await,
            _ => Vec::new(),
        };
        let context = Context {
            address,
            now: Timestamp::now(),
            form: self.access.form_token(),
        };
        let sections = page::shown(&page, &logs, context);
        let title = page::title(&page);
        let main = page::joined(&sections);
        self.document(StatusCode::OK, &title, Some(address), notice, &main)
    }

    /// Does what a form asks for, and leads back to its page.
    async fn act(&self, parts: &Parts, body: Body) -> Response {
        let kind = parts.headers.get(header::CONTENT_TYPE);
        let is_form = kind.is_some_and(|kind| {
            kind.as_bytes()
                .starts_with(b"application/x-www-form-urlencoded")
        });
        let Ok(body) = axum::body::to_bytes(body, FORM_MAX).await else {
            return StatusCode::PAYLOAD_TOO_LARGE.into_response();
        };
        let body = String::from_utf8_lossy(&body);
        let value = |key: &str| pairs(&body, key);
        let is_own = value("form").is_some_and(|token| self.access.is_own_form(&token));
        if !is_form || !is_own {
            return self.problem(&Problem {
                kind: ProblemKind::Forbidden,
                message: "the form is not of a page of this start of koncli".to_owned(),
                help: Some("open the page again".to_owned()),
            });
        }
        let on = value("on").unwrap_or_default();
        let action = value("what").and_then(|word| Action::parse(&word, &on));
        let Some(action) = action else {
            return self.missing();
        };
        match self.cluster.act(&action).await {
            Ok(done) => {
                let back = value("back").and_then(|back| Address::parse(&back));
                let back = back.unwrap_or(Address::Runs(Default::default())).link();
                let separator = if back.contains('?') { '&' } else { '?' };
                let id = self.keep_notice(Notice(done));
                let location = format!("{back}{separator}notice={id}");
                (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
            }
            Err(problem) => self.problem(&problem),
        }
    }

    fn keep_notice(&self, notice: Notice) -> String {
        let id = Uuid::new_v4().simple().to_string();
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if notices.len() >= NOTICES {
            notices.pop_front();
        }
        notices.push_back((id.clone(), notice));
        id
    }

    fn take_notice(&self, id: &str) -> Option<Notice> {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        let place = notices.iter().position(|(other, _)| other == id)?;
        notices.remove(place).map(|(_, notice)| notice)
    }

    fn missing(&self) -> Response {
        self.problem(&Problem {
            kind: ProblemKind::NotFound,
            message: "there is no such page".to_owned(),
            help: None,
        })
    }

    fn problem(&self, problem: &Problem) -> Response {
        let code = match problem.kind {
            ProblemKind::NotFound => StatusCode::NOT_FOUND,
            ProblemKind::Forbidden => StatusCode::FORBIDDEN,
            ProblemKind::Unreachable => StatusCode::BAD_GATEWAY,
            ProblemKind::Refused => StatusCode::CONFLICT,
        };
        self.document(code, "Problem", None, None, &page::problem(problem))
    }

    fn document(
        &self,
        code: StatusCode,
        title: &str,
        address: Option<&Address>,
        notice: Option<&Notice>,
        main: &Markup,
    ) -> Response {
        let text = page::document(title, &self.cluster.place(), address, notice, main);
        let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
        (code, kind, text).into_response()
    }
}

/// The value of a key in a query or a form.
fn pairs(text: &str, key: &str) -> Option<String> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(text).ok()?;
    let mut values = pairs.into_iter().filter(|(name, _)| name == key);
    values.next().map(|(_, value)| value)
}

#[cfg(test)]
mod tests;
