//! Who gets into `koncli dev`: whoever reads its kubeconfig, and nobody else. These are attacks.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use support::{Dev, koncli};

/// Somebody on this machine who knows where the API server is, and has its certificate.
struct Stranger {
    address: String,
    config: Arc<ClientConfig>,
    token: String,
}

impl Stranger {
    fn of(kubeconfig: &Path) -> Self {
        let read = std::fs::read_to_string(kubeconfig).unwrap();
        let read: Value = serde_json::from_str(&read).unwrap();
        let cluster = &read["clusters"][0]["cluster"];
        let server = cluster["server"].as_str().unwrap();
        let pem = cluster["certificate-authority-data"].as_str().unwrap();
        let pem = String::from_utf8(STANDARD.decode(pem).unwrap()).unwrap();
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from(STANDARD.decode(body).unwrap());
        roots.add(certificate).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            address: server.strip_prefix("https://").unwrap().to_owned(),
            config: Arc::new(config),
            token: read["users"][0]["user"]["token"]
                .as_str()
                .unwrap()
                .to_owned(),
        }
    }

    /// The code of the answer to a request with these headers.
    fn ask(&self, method: &str, path: &str, headers: &[String], body: &str) -> u16 {
        let answer = self.answer(method, path, headers, body);
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The Jobs that there are, for whom has the token.
    fn jobs(&self) -> Vec<Value> {
        let host = format!("Host: {}", self.address);
        let token = format!("Authorization: Bearer {}", self.token);
        let answer = self.answer("GET", JOBS, &[host, token], "");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let list: Value = serde_json::from_str(body).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    fn answer(&self, method: &str, path: &str, headers: &[String], body: &str) -> String {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connection = ClientConnection::new(self.config.clone(), name).unwrap();
        let stream = TcpStream::connect(&self.address).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        if !body.is_empty() {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        request.push_str(body);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // The end of the stream may come without a farewell.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
const JOB: &str = r#"{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"generateName": "evil-"},
    "spec": {"template": {"spec": {"restartPolicy": "Never", "containers":
    [{"name": "main", "image": "busybox", "command": ["touch", "pwned"]}]}}}}"#;

#[test]
fn nobody_gets_in_without_the_kubeconfig() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let stranger = Stranger::of(&dev.kubeconfig);
    let host = format!("Host: {}", stranger.address);
    let token = format!("Authorization: Bearer {}", stranger.token);
    let json = "Content-Type: application/json".to_owned();
    let port = stranger.address.rsplit(':').next().unwrap();
    let elsewhere = format!("Host: evil.example:{port}");
    let header = |text: &str| text.to_owned();
    let mut requests = 0;
    // Another user of this machine: no token, a wrong one, and none that is one.
    for credentials in [
        "X-Nothing: x",
        "Authorization: Bearer ",
        "Authorization: Bearer x",
        "Authorization: Basic cm9vdDpyb290",
        "X-Remote-User: system:admin",
        "Impersonate-User: system:admin",
    ] {
        for (method, path) in [
            ("POST", JOBS),
            ("GET", JOBS),
            ("GET", "/api/v1/secrets"),
            ("GET", "/api"),
            ("GET", "/version"),
            ("GET", "/healthz"),
            ("GET", "/openapi/v3"),
            ("GET", "/api/v1/pods?watch=true"),
            ("DELETE", "/api/v1/namespaces/default"),
            ("PATCH", "/api/v1/namespaces/default"),
            ("PUT", "/api/v1/namespaces/default"),
            ("OPTIONS", JOBS),
        ] {
            let body = if method == "GET" { "" } else { JOB };
            let headers = [host.clone(), header(credentials), json.clone()];
            let code = stranger.ask(method, path, &headers, body);
            assert_eq!(code, 401, "{method} {path} with {credentials}");
            requests += 1;
        }
    }
    // A web page, even if it had the token.
    for origin in [
        "http://evil.example",
        "null",
        "http://127.0.0.1",
        "https://localhost",
    ] {
        for content in [
            "text/plain",
            "application/json",
            "multipart/form-data; boundary=x",
        ] {
            let origin = format!("Origin: {origin}");
            let content = format!("Content-Type: {content}");
            for credentials in [token.clone(), header("X-Nothing: x")] {
                let headers = [host.clone(), origin.clone(), content.clone(), credentials];
                assert_eq!(
                    stranger.ask("POST", JOBS, &headers, JOB),
                    403,
                    "{headers:?}"
                );
                requests += 1;
            }
        }
    }
    let simple = [
        host.clone(),
        header("Sec-Fetch-Mode: no-cors"),
        token.clone(),
    ];
    assert_eq!(stranger.ask("POST", JOBS, &simple, JOB), 403);
    // DNS that was turned to 127.0.0.1.
    let rebound = [elsewhere, token.clone(), json.clone()];
    assert_eq!(stranger.ask("POST", JOBS, &rebound, JOB), 403);
    // A body of no type, and of one that a form has.
    let untyped = [host.clone(), token.clone()];
    assert_eq!(stranger.ask("POST", JOBS, &untyped, JOB), 415);
    let form = [
        host.clone(),
        token.clone(),
        header("Content-Type: application/x-www-form-urlencoded"),
    ];
    assert_eq!(stranger.ask("POST", JOBS, &form, JOB), 415);
    assert!(requests + 4 >= 100, "{requests}");
    assert_eq!(stranger.jobs(), Vec::<Value>::new());
    assert!(!folder.path().join("pwned").exists());
    // With the token, from here, it is an API server.
    assert_eq!(stranger.ask("POST", JOBS, &[host, token, json], JOB), 201);
    assert_eq!(stranger.jobs().len(), 1);
}

#[test]
fn without_tls_there_is_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let stranger = Stranger::of(&dev.kubeconfig);
    let mut stream = TcpStream::connect(&stranger.address).unwrap();
    let token = &stranger.token;
    let request = format!(
        "GET /api HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\r\n",
        stranger.address
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{}", answer.escape_ascii());
    // Somebody who connects and says nothing holds up nobody.
    let silent: Vec<TcpStream> = (0..64)
        .map(|_| TcpStream::connect(&stranger.address).unwrap())
        .collect();
    assert_eq!(dev.printed(&["runs"]), "No resources found.\nexit code 0\n");
    drop(silent);
}

/// A `koncli dev` whose kubeconfig is where it puts it by itself.
fn dev_in(temporary: &Path) -> (Child, PathBuf) {
    let mut child = koncli()
        .arg("dev")
        .env("TMPDIR", temporary)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = child.stdout.as_mut().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    let path = line.trim().strip_prefix("export KUBECONFIG=").unwrap();
    (child, PathBuf::from(path))
}

/// What another user of this machine may try at files and processes: a shell's words, in which `$F` is
/// the folder of the kubeconfig and `$P` the process.
const OTHERS: [&str; 24] = [
    "cat $F/kubeconfig",
    "head -c 1 $F/kubeconfig",
    "ls $F",
    "ls -d $F/*",
    "cd $F",
    "test -r $F/kubeconfig",
    "cp $F/kubeconfig /dev/stdout",
    "ln $F/kubeconfig $T/stolen",
    "mv $F $T/moved",
    "mv $F/kubeconfig $T/moved",
    "rm -rf $F/kubeconfig && test ! -e $F/kubeconfig",
    "chmod 755 $F",
    "echo > $F/kubeconfig",
    "echo > $F/other",
    "ln -s /etc $F/link",
    "cat /proc/$P/environ",
    "cat /proc/$P/maps",
    "cat /proc/$P/mem",
    "cat /proc/$P/auxv",
    "ls /proc/$P/fd",
    "ls /proc/$P/cwd/",
    "ls /proc/$P/root/",
    "cat /proc/$P/task/$P/environ",
    "kill -TERM $P",
];

#[test]
fn another_user_finds_no_token_in_files_and_processes() {
    if !rustix::process::geteuid().is_root() {
        eprintln!(
            "skipped: another_user_finds_no_token_in_files_and_processes: only root has another user"
        );
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    std::fs::set_permissions(temporary.path(), PermissionsExt::from_mode(0o1777)).unwrap();
    let (mut child, kubeconfig) = dev_in(temporary.path());
    let token = Stranger::of(&kubeconfig).token;
    let folder = kubeconfig.parent().unwrap();
    let by = |user: u32, words: &str| {
        let output = Command::new("sh")
            .args(["-c", words])
            .env("F", folder)
            .env("P", child.id().to_string())
            .env("T", temporary.path())
            .current_dir("/")
            .uid(user)
            .gid(user)
            .output()
            .unwrap();
        let printed = [output.stdout, output.stderr].concat();
        assert!(user == 0 || !String::from_utf8_lossy(&printed).contains(&token));
        output.status.success()
    };
    for words in OTHERS {
        assert!(!by(65_534, words), "{words}");
    }
    // What everybody may read of a process, and the folder's name, hold no token.
    for words in ["cat /proc/$P/cmdline", "cat /proc/$P/status", "ls -la $T"] {
        assert!(by(65_534, words), "{words}");
    }
    // The owner can, so the words are right.
    for words in [
        "cat $F/kubeconfig",
        "ls $F",
        "cat /proc/$P/environ",
        "ls /proc/$P/fd",
    ] {
        assert!(by(0, words), "{words}");
    }
    assert!(child.try_wait().unwrap().is_none(), "it still serves");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    child.wait().unwrap();
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_kubeconfig_is_for_its_user_alone_and_goes_with_its_cluster() {
    let temporary = tempfile::tempdir().unwrap();
    // As /tmp is.
    std::fs::set_permissions(temporary.path(), PermissionsExt::from_mode(0o1777)).unwrap();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let (mut child, kubeconfig) = dev_in(temporary.path());
        let folder = kubeconfig.parent().unwrap();
        assert_eq!((mode(folder), mode(&kubeconfig)), (0o700, 0o600));
        if rustix::process::geteuid().is_root() {
            let other = Command::new("cat").arg(&kubeconfig).uid(65_534).output();
            assert!(!other.unwrap().status.success(), "another user reads it");
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        let status = child.wait().unwrap();
        let left = std::fs::read_dir(folder).into_iter().flatten();
        let left: Vec<_> = left.map(|entry| entry.unwrap().path()).collect();
        let exists = folder.exists();
        assert!(
            !exists,
            "{signal:?} ends it with {status} and leaves {left:?}"
        );
    }
    // What kill -9 leaves is removed by the next one, and only that.
    let (mut killed, abandoned) = dev_in(temporary.path());
    let (mut alive, kept) = dev_in(temporary.path());
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(abandoned.exists());
    let (mut next, _) = dev_in(temporary.path());
    assert!(!abandoned.parent().unwrap().exists());
    assert!(kept.exists());
    for child in [&mut alive, &mut next] {
        kill_process(Pid::from_child(child), Signal::TERM).unwrap();
        child.wait().unwrap();
    }
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

/// Debian's, or what is called so elsewhere.
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|program| program.exists())
}

/// A page that tries what a page can.
const PAGE: &str = include_str!("web_page.html");
/// Attempts of the page, each another one, at least.
const ATTEMPTS: usize = 100;

#[test]
fn a_web_page_in_a_browser_creates_nothing() {
    let Some(browser) = browser() else {
        // CI names the tests that it has not run: this is one of them without a browser.
        eprintln!("skipped: a_web_page_in_a_browser_creates_nothing: there is no chromium in PATH");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let stranger = Stranger::of(&dev.kubeconfig);
    let port = stranger.address.rsplit(':').next().unwrap();
    let page = PAGE.replace("PORT", port).replace("JOB", JOB);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let length = page.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(page.as_bytes());
        }
    });
    // The certificate is accepted, as if the user had clicked it away.
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--ignore-certificate-errors",
        ])
        // Somebody's DNS leads here, too.
        .arg("--host-resolver-rules=MAP evil.example 127.0.0.1")
        .args(["--virtual-time-budget=600000", "--dump-dom"])
        .arg(format!(
            "--user-data-dir={}",
            folder.path().join("profile").display()
        ))
        .arg(origin)
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    let counted = shown.split_once("done: ").expect(&shown).1;
    let (tried, rest) = counted.split_once(" attempts, in: ").expect(&shown);
    println!("{tried} attempts of a web page");
    assert!(tried.parse::<usize>().unwrap() >= ATTEMPTS, "{tried}");
    assert!(rest.starts_with("[]"), "{rest}");
    assert_eq!(stranger.jobs(), Vec::<Value>::new());
    assert!(!folder.path().join("pwned").exists());
    drop(dev);
}
