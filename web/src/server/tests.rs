use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::http::Request;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http_body_util::BodyExt;
use tokio::sync::watch;
use tower::ServiceExt;

use super::*;
use crate::cluster::LogChunk;
use crate::model::{Badge, Log, Place, RunRow, Runs, Stage, StageRow};
use konductor_core::standing::State as Standing;

const HOST: &str = "127.0.0.1:7000";

/// A namespace with one run, whose name says how often it has changed.
#[derive(Clone)]
struct Fake {
    changes: watch::Sender<usize>,
    is_forbidden: Arc<AtomicBool>,
    acted: Arc<Mutex<Vec<Action>>>,
    requests: Arc<AtomicUsize>,
}

impl Fake {
    fn new() -> Self {
        Self {
            changes: watch::channel(0).0,
            is_forbidden: Arc::default(),
            acted: Arc::default(),
            requests: Arc::default(),
        }
    }

    fn acted(&self) -> Vec<Action> {
        self.acted.lock().unwrap().clone()
    }
}

impl Cluster for Fake {
    fn place(&self) -> Place {
        Place::default()
    }

    async fn page(&self, address: &Address, _behind: Duration) -> Result<Page, Problem> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        match address {
            Address::Runs(_) => Ok(Page::Runs(Runs {
                rows: vec![RunRow {
                    name: format!("change-{}", *self.changes.borrow()),
                    pipeline: "p".to_owned(),
                    badge: Badge::from(Standing::Running),
                    done: 0,
                    jobs: 1,
                    failed: 0,
                    created: None,
                    took: None,
                    why: String::new(),
                }],
            })),
            // Its first change brings its first pod, and every second one another.
            Address::Stage(run, stage, _) if run == "nightly" => {
                let change = *self.changes.borrow();
                Ok(Page::Stage(Box::new(Stage {
                    run: run.clone(),
                    row: StageRow {
                        name: stage.clone(),
                        state: Standing::Running,
                        ended: 0,
                        items: 1,
                        took: None,
                        since: None,
                        why: String::new(),
                    },
                    why: vec![(0, format!("change-{change}"))],
                    items: Vec::new(),
                    spans: Vec::new(),
                    pods: (change > 0)
                        .then(|| format!("pod-{}", change.div_ceil(2)))
                        .into_iter()
                        .collect(),
                    outputs: Vec::new(),
                    yaml: Vec::new(),
                })))
            }
            _ => Err(Problem {
                kind: ProblemKind::NotFound,
                message: "run/gone does not exist".to_owned(),
                help: None,
            }),
        }
    }

    fn changes(&self, _: &Address) -> BoxStream<'static, ()> {
        let receiver = self.changes.subscribe();
        let changes = stream::unfold(receiver, |mut receiver| async {
            receiver.changed().await.ok()?;
            Some(((), receiver))
        });
        changes.boxed()
    }

    async fn logs(&self, stage: &Stage) -> Vec<Log> {
        let logs = stage.pods.iter().map(|pod| Log {
            title: format!("title of {pod}"),
            text: format!("printed when change {}\n", *self.changes.borrow()),
        });
        logs.collect()
    }

    fn follow(&self, _: &Stage) -> BoxStream<'static, LogChunk> {
        stream::empty().boxed()
    }

    async fn act(&self, action: &Action) -> Result<String, Problem> {
        if self.is_forbidden.load(Ordering::Relaxed) {
            return Err(Problem {
                kind: ProblemKind::Forbidden,
                message: "you may not patch runs".to_owned(),
                help: None,
            });
        }
        self.acted.lock().unwrap().push(action.clone());
        Ok(format!("{} {} <done>", action.word(), action.on()))
    }
}

/// A browser that has opened the address.
struct Browser {
    router: Router,
    cookie: String,
    form: String,
}

impl Browser {
    async fn open(fake: &Fake) -> Self {
        let access = Access::generate();
        let form = access.form_token().to_owned();
        let link = access.link(HOST.parse().unwrap());
        let router = router(fake.clone(), access);
        let target = link.strip_prefix(&format!("http://{HOST}")).unwrap();
        let request = Request::get(target).header(header::HOST, HOST);
        let request = request.body(Body::empty()).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        assert_eq!(answer.headers()[header::LOCATION], "/");
        let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"));
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self {
            router,
            cookie,
            form,
        }
    }

    async fn get(&self, target: &str) -> Response {
        let request = Request::get(target)
            .header(header::HOST, HOST)
            .header(header::COOKIE, &self.cookie);
        let request = request.body(Body::empty()).unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn post(&self, headers: &[(&str, &str)], body: &str) -> Response {
        let mut request = Request::post("/do")
            .header(header::HOST, HOST)
            .header(header::COOKIE, &self.cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }
}

async fn text(answer: Response) -> String {
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn every_answer_forbids_scripts_and_styles_that_are_not_ours() {
    let browser = Browser::open(&Fake::new()).await;
    for (target, code, kind) in [
        ("/", 200, "text/html; charset=utf-8"),
        ("/runs/gone", 404, "text/html; charset=utf-8"),
        ("/nothing", 404, "text/html; charset=utf-8"),
        ("/live", 404, "text/html; charset=utf-8"),
        ("/assets/style.css", 200, "text/css; charset=utf-8"),
        ("/assets/live.js", 200, "text/javascript; charset=utf-8"),
        ("/assets/icon.svg", 200, "image/svg+xml"),
    ] {
        let answer = browser.get(target).await;
        assert_eq!(answer.status().as_u16(), code, "{target}");
        let headers = answer.headers();
        assert_eq!(headers[header::CONTENT_TYPE], kind, "{target}");
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], POLICY);
        assert!(!POLICY.contains("unsafe") && POLICY.contains("default-src 'none'"));
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(headers[header::REFERRER_POLICY], "same-origin");
    }
}

#[tokio::test]
async fn who_has_no_token_gets_nothing_and_the_cluster_is_not_asked() {
    let fake = Fake::new();
    let router = router(fake.clone(), Access::generate());
    for target in ["/", "/live?of=%2F", "/assets/live.js", "/?token=guessed"] {
        let request = Request::get(target).header(header::HOST, HOST);
        let request = request.body(Body::empty()).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{target}");
        assert!(
            answer
                .headers()
                .contains_key(header::CONTENT_SECURITY_POLICY)
        );
    }
    assert_eq!(fake.requests.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn only_a_form_of_this_start_changes_something() {
    let fake = Fake::new();
    let browser = Browser::open(&fake).await;
    let form = format!(
        "form={}&what=cancel&on=nightly&back=%2Fruns%2Fnightly",
        browser.form
    );
    let origin = ("origin", "http://127.0.0.1:7000");
    let kind = ("content-type", "application/x-www-form-urlencoded");
    for (headers, body, code) in [
        (vec![kind], form.clone(), 403),
        (vec![kind, ("origin", "null")], form.clone(), 403),
        (
            vec![kind, ("origin", "http://evil.example")],
            form.clone(),
            403,
        ),
        (
            vec![origin, ("content-type", "text/plain")],
            form.clone(),
            403,
        ),
        (vec![origin, kind], form.replace("form=", "form=x"), 403),
        (vec![origin, kind], "what=cancel&on=nightly".to_owned(), 403),
        (vec![origin, kind], form.replace("cancel", "destroy"), 404),
        (vec![origin, kind], form.replace("on=nightly", "on="), 404),
        (vec![origin, kind], "x".repeat(FORM_MAX + 1), 413),
    ] {
        let answer = browser.post(&headers, &body).await;
        assert_eq!(answer.status().as_u16(), code, "{headers:?} {body:.80}");
    }
    assert_eq!(fake.acted(), Vec::<Action>::new());
    let answer = browser.post(&[origin, kind], &form).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let run = "nightly".to_owned();
    assert_eq!(fake.acted(), [Action::Cancel { run }]);
    // What was done is shown once, on whichever page, and nobody else's text is.
    let location = answer.headers()[header::LOCATION].to_str().unwrap();
    let (back, notice) = location.split_once('?').unwrap();
    assert_eq!(back, "/runs/nightly");
    let shown = text(browser.get(&format!("/?{notice}")).await).await;
    assert!(shown.contains("cancel nightly &lt;done&gt;"), "{shown}");
    let again = text(browser.get(&format!("/?{notice}")).await).await;
    assert!(!again.contains("cancel nightly"));
    let forged = text(browser.get("/?notice=pay%20here").await).await;
    assert!(!forged.contains("pay here"));
}

#[tokio::test]
async fn what_the_viewer_may_not_do_is_said_and_not_done() {
    let fake = Fake::new();
    fake.is_forbidden.store(true, Ordering::Relaxed);
    let browser = Browser::open(&fake).await;
    let form = format!("form={}&what=pause&on=nightly", browser.form);
    let origin = ("origin", "http://127.0.0.1:7000");
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let answer = browser.post(&[origin, kind], &form).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert!(text(answer).await.contains("you may not patch runs"));
    assert_eq!(fake.acted(), Vec::<Action>::new());
}

#[tokio::test]
async fn a_way_back_leads_to_no_other_site() {
    let browser = Browser::open(&Fake::new()).await;
    let origin = ("origin", "http://127.0.0.1:7000");
    let kind = ("content-type", "application/x-www-form-urlencoded");
    for back in ["https://evil.example/", "//evil.example", "/\\evil.example"] {
        let back = serde_urlencoded::to_string([("back", back)]).unwrap();
        let form = format!("form={}&what=pause&on=nightly&{back}", browser.form);
        let answer = browser.post(&[origin, kind], &form).await;
        let location = answer.headers()[header::LOCATION].to_str().unwrap();
        assert!(location.starts_with("/?notice="), "{location}");
    }
}

#[tokio::test]
async fn a_change_reaches_an_open_page_with_the_sections_that_differ() {
    let fake = Fake::new();
    let browser = Browser::open(&fake).await;
    let answer = browser.get("/live?of=%2F").await;
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut frames = answer.into_body();
    let mut next = async || {
        let frame = frames.frame().await.unwrap().unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    };
    let first = next().await;
    assert!(first.starts_with("event: page\n"), "{first}");
    assert!(first.contains("run-change-0") && first.contains("\"pipelines\""));
    assert!(
        !first.contains("\"filter\""),
        "what is typed into stays: {first}"
    );
    fake.changes.send_modify(|count| *count += 1);
    let second = next().await;
    assert!(second.contains("run-change-1"), "{second}");
    assert!(
        !second.contains("\"pipelines\""),
        "it has not changed: {second}"
    );
}

/// The version of a section in a document or in an event.
fn version_of(text: &str, id: &str) -> Option<String> {
    let text = text.replace("\\\"", "\"");
    let (_, rest) = text.split_once(&format!("<section id=\"{id}\" data-v=\""))?;
    Some(rest.split('"').next()?.to_owned())
}

#[tokio::test]
async fn a_log_is_always_under_its_pod() {
    let fake = Fake::new();
    let browser = Browser::open(&fake).await;
    let stage = "/runs/nightly/load";
    let opened = text(browser.get(stage).await).await;
    assert!(opened.contains("No pod of this stage is left"), "{opened}");
    // A pod starts between the page and its stream, or while the tab is hidden.
    fake.changes.send_modify(|count| *count += 1);
    let live = format!(
        "/live?{}",
        serde_urlencoded::to_string([("of", stage)]).unwrap()
    );
    let mut frames = browser.get(&live).await.into_body();
    let mut next = async || {
        let frame = frames.frame().await.unwrap().unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    };
    let first = next().await;
    assert!(first.contains("title of pod-1"), "{first}");
    let version = version_of(&first, "log").unwrap();
    assert_ne!(Some(&version), version_of(&opened, "log").as_ref());
    // A browser that has this pod keeps what it shows, whatever was printed meanwhile.
    fake.changes.send_modify(|count| *count += 1);
    let second = next().await;
    assert!(second.contains("change-2"), "{second}");
    assert_eq!(version_of(&second, "log"), None, "{second}");
    let reopened = text(browser.get(stage).await).await;
    assert_eq!(version_of(&reopened, "log"), Some(version.clone()));
    // After a retry there is another pod.
    fake.changes.send_modify(|count| *count += 1);
    let third = next().await;
    assert!(third.contains("title of pod-2") && !third.contains("title of pod-1"));
    assert_ne!(version_of(&third, "log"), Some(version));
}
