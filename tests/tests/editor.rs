//! `koncli lsp` as an editor starts it: messages over stdin and stdout, and files on disk.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

use konductor_tests::built;
use serde_json::{Value, json};

struct Client {
    server: Child,
    input: ChildStdin,
    /// What the server sends, read as it comes: it would wait if nobody did.
    messages: Receiver<Value>,
    next: i64,
    /// Notifications that came while an answer was awaited.
    notified: Vec<Value>,
}

impl Client {
    /// Starts the server; nothing is sent yet.
    fn silent() -> Self {
        let mut server = Command::new(built::koncli())
            .arg("lsp")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("koncli starts");
        let input = server.stdin.take().expect("stdin");
        let output = BufReader::new(server.stdout.take().expect("stdout"));
        let (sender, messages) = channel();
        std::thread::spawn(move || read_all(output, &sender));
        Self {
            server,
            input,
            messages,
            next: 0,
            notified: Vec::new(),
        }
    }

    /// Starts a session in a folder; returns what the server can do, too.
    fn start(folder: &Path) -> (Self, Value) {
        let mut client = Self::silent();
        let params = json!({
            "processId": std::process::id(),
            "rootUri": format!("file://{}", folder.display()),
            "capabilities": {
                "general": {"positionEncodings": ["utf-8", "utf-16"]},
                "workspace": {"didChangeWatchedFiles": {"dynamicRegistration": true}},
            },
        });
        let capabilities = client.ask("initialize", params);
        client.notify("initialized", json!({}));
        (client, capabilities)
    }

    fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string());
    }

    fn send_text(&mut self, text: &str) {
        write!(self.input, "Content-Length: {}\r\n\r\n{text}", text.len()).expect("it reads");
        self.input.flush().expect("it reads");
    }

    fn read(&mut self) -> Value {
        self.messages.recv().expect("the server has ended")
    }

    fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// The answer to a request, an error included.
    fn response(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = self.next;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let message = self.read();
            if message["id"] == id {
                return message;
            }
            self.notified.push(message);
        }
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        let response = self.response(method, params);
        assert_eq!(response["error"], Value::Null, "{method}");
        response["result"].clone()
    }

    /// The next message that is a call of this method.
    fn called(&mut self, method: &str) -> Value {
        loop {
            let message = match self.notified.is_empty() {
                true => self.read(),
                false => self.notified.remove(0),
            };
            if message["method"] == method {
                return message;
            }
        }
    }

    /// The diagnostics of a version of a file, once they are published.
    fn diagnostics(&mut self, uri: &str, version: u64) -> Vec<Value> {
        loop {
            let message = self.called("textDocument/publishDiagnostics");
            let params = &message["params"];
            if params["uri"] == uri && params["version"] == version {
                return params["diagnostics"].as_array().expect("a list").clone();
            }
        }
    }

    fn codes(&mut self, uri: &str, version: u64) -> Vec<String> {
        let all = self.diagnostics(uri, version);
        let code = |diagnostic: &Value| diagnostic["code"].as_str().expect("a code").to_owned();
        all.iter().map(code).collect()
    }

    fn open(&mut self, uri: &str, text: &str) {
        let document = json!({"uri": uri, "languageId": "konductor", "version": 1, "text": text});
        self.notify("textDocument/didOpen", json!({"textDocument": document}));
    }

    fn change(&mut self, uri: &str, version: u64, changes: &Value) {
        let document = json!({"uri": uri, "version": version});
        let params = json!({"textDocument": document, "contentChanges": changes});
        self.notify("textDocument/didChange", params);
    }

    /// Ends the session as editors do.
    fn end(mut self) {
        self.ask("shutdown", Value::Null);
        self.notify("exit", Value::Null);
        let status = self.server.wait().expect("it ends");
        assert!(status.success(), "{status}");
    }
}

/// Reads messages until the server ends.
fn read_all(mut output: BufReader<ChildStdout>, messages: &Sender<Value>) {
    let mut length = 0;
    let mut line = String::new();
    while output.read_line(&mut line).expect("a header") > 0 {
        match line.trim_end().split_once(": ") {
            Some(("Content-Length", number)) => length = number.parse().expect("a number"),
            Some(_) => {}
            None => {
                let mut text = vec![0; length];
                output.read_exact(&mut text).expect("a message");
                let message = serde_json::from_slice(&text).expect("JSON");
                if messages.send(message).is_err() {
                    return;
                }
            }
        }
        line.clear();
    }
}

const PIPELINE: &str =
    "import \"lib/t.kon\"\n\npipeline p {\n  stage a { use shel { script = \"x\" } }\n}\n";
const TEMPLATE: &str =
    "template shell(script: string) {\n  image = \"busybox:1.36\"\n  exec  = [script]\n}\n";

#[test]
fn an_editor_sees_a_mistake_fixes_it_and_renames_across_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().canonicalize().expect("a folder");
    std::fs::create_dir(root.join("lib")).expect("a folder");
    std::fs::write(root.join("lib/t.kon"), TEMPLATE).expect("a file");
    std::fs::write(root.join("p.kon"), PIPELINE).expect("a file");
    let uri = format!("file://{}", root.join("p.kon").display());
    let library = format!("file://{}", root.join("lib/t.kon").display());
    let (mut client, initialized) = Client::start(&root);
    assert_eq!(initialized["capabilities"]["positionEncoding"], "utf-8");
    assert_eq!(initialized["serverInfo"]["name"], "koncli");

    let registered = client.called("client/registerCapability");
    let registered = &registered["params"]["registrations"][0];
    assert_eq!(registered["method"], "workspace/didChangeWatchedFiles");
    client.open(&uri, PIPELINE);
    assert_eq!(client.codes(&uri, 1), ["K0311", "K0201"]);
    let at = json!({"line": 3, "character": 17});
    let params = json!({
        "textDocument": {"uri": uri},
        "range": {"start": at, "end": at},
        "context": {"diagnostics": []},
    });
    let actions = client.ask("textDocument/codeAction", params);
    assert_eq!(actions[0]["title"], "Write `shell`");
    let edit = &actions[0]["edit"]["changes"][&uri][0];
    let changes = json!([{"range": edit["range"], "text": edit["newText"]}]);
    client.change(&uri, 2, &changes);
    assert_eq!(client.codes(&uri, 2), Vec::<String>::new());

    let position = json!({"textDocument": {"uri": uri}, "position": at});
    let hover = client.ask("textDocument/hover", position.clone());
    let text = hover["contents"]["value"].as_str().expect("a text");
    assert!(text.contains("template shell(script: string)"), "{text}");
    let definition = client.ask("textDocument/definition", position.clone());
    assert_eq!(definition["uri"], library);
    let mut renaming = position;
    renaming["newName"] = "sh".into();
    let renamed = client.ask("textDocument/rename", renaming.clone());
    let files = renamed["changes"].as_object().expect("files");
    assert_eq!(files.len(), 2);
    assert_eq!(
        renamed["changes"][&library][0]["range"]["start"]["character"],
        9
    );
    renaming["newName"] = "Sh".into();
    let refused = client.response("textDocument/rename", renaming);
    assert_eq!(refused["error"]["code"], -32803);
    assert_eq!(
        client.response("no/such", json!({}))["error"]["code"],
        -32601
    );
    client.end();
}

#[test]
fn a_change_on_disk_is_seen_when_the_editor_reports_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().canonicalize().expect("a folder");
    std::fs::create_dir(root.join("lib")).expect("a folder");
    let text = PIPELINE.replace("shel ", "shell ");
    let uri = format!("file://{}", root.join("p.kon").display());
    let (mut client, _) = Client::start(&root);
    client.open(&uri, &text);
    assert_eq!(client.codes(&uri, 1), ["K0212"]);
    let library = root.join("lib/t.kon");
    std::fs::write(&library, TEMPLATE).expect("a file");
    let changes = json!([{"uri": format!("file://{}", library.display()), "type": 1}]);
    client.notify(
        "workspace/didChangeWatchedFiles",
        json!({"changes": changes}),
    );
    assert_eq!(client.codes(&uri, 1), Vec::<String>::new());
    client.end();
}

#[test]
fn nonsense_is_answered_and_the_session_continues() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut client = Client::silent();
    let code = |response: &Value| response["error"]["code"].as_i64();
    // Before it has begun.
    let hover =
        json!({"textDocument": {"uri": "file:///a.kon"}, "position": {"line": 0, "character": 0}});
    assert_eq!(
        code(&client.response("textDocument/hover", hover.clone())),
        Some(-32002)
    );
    assert_eq!(
        code(&client.response("shutdown", Value::Null)),
        Some(-32002)
    );
    client.notify("textDocument/didOpen", json!({"textDocument": 1}));
    assert_eq!(code(&client.response("initialize", json!(3))), Some(-32602));
    let begin = json!({"processId": null, "rootUri": null, "capabilities": {}});
    assert_eq!(code(&client.response("initialize", begin.clone())), None);
    assert_eq!(code(&client.response("initialize", begin)), Some(-32600));
    // Not JSON, no message, and messages about nothing.
    let deep = "[".repeat(10_000);
    for (text, expected) in [
        ("{", -32700),
        (&deep, -32700),
        ("[]", -32600),
        ("{}", -32600),
    ] {
        client.send_text(text);
        assert_eq!(code(&client.read()), Some(expected), "{text:.20}");
    }
    client.send(&json!({"jsonrpc": "2.0", "id": 9_000_000_000_u64, "method": "$/no"}));
    let answered = client.read();
    assert_eq!(
        (&answered["id"], code(&answered)),
        (&json!(9_000_000_000_u64), Some(-32601))
    );
    for method in [
        "textDocument/didOpen",
        "textDocument/didChange",
        "textDocument/didClose",
        "$/cancelRequest",
        "no",
    ] {
        for params in [Value::Null, json!([]), json!({"textDocument": {"uri": 1}})] {
            client.notify(method, params);
        }
    }
    assert_eq!(
        code(&client.response("textDocument/hover", json!({}))),
        Some(-32602)
    );
    assert_eq!(
        client.response("textDocument/hover", hover)["result"],
        Value::Null
    );
    // Devices, folders and what is not a path are not read.
    for uri in [
        "file:///dev/zero",
        "file:///dev/stdin",
        "file:///proc/self/fd/0",
        "file:///",
        "file://",
        "",
        "http://a/b.kon",
    ] {
        let params = json!({"textDocument": {"uri": uri}});
        assert_eq!(
            client.ask("textDocument/documentSymbol", params),
            Value::Null,
            "{uri}"
        );
    }
    // A file that is too large, one that is nested too deeply, and ranges outside of it.
    let uri = format!("file://{}/large.kon", folder.path().display());
    client.open(&uri, &"# too large\n".repeat(2_000_000));
    assert_eq!(client.codes(&uri, 1), ["K0107"]);
    client.change(&uri, 2, &json!([{"text": "[{(".repeat(100_000)}]));
    assert_eq!(client.codes(&uri, 2), ["K0103"]);
    let far = json!({"line": u32::MAX, "character": u32::MAX});
    let range = json!({"start": far, "end": {"line": 0, "character": 0}});
    client.change(
        &uri,
        3,
        &json!([{"text": ""}, {"range": range, "text": "\u{0}"}]),
    );
    assert_eq!(client.codes(&uri, 3), ["K0101"]);
    // After its end.
    client.ask("shutdown", Value::Null);
    assert_eq!(
        code(&client.response("shutdown", Value::Null)),
        Some(-32600)
    );
    assert_eq!(
        code(&client.response("textDocument/documentSymbol", json!({}))),
        Some(-32600)
    );
    client.notify("exit", Value::Null);
    assert!(client.server.wait().expect("it ends").success());
}

#[test]
fn an_exit_without_a_shutdown_is_a_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut client, _) = Client::start(folder.path());
    client.notify("exit", Value::Null);
    let status = client.server.wait().expect("it ends");
    assert_eq!(status.code(), Some(1));
}

/// A position in bytes, as was agreed.
fn position(text: &str, at: usize) -> Value {
    let before = &text.as_bytes()[..at];
    let line = before.iter().filter(|byte| **byte == b'\n').count();
    let start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    json!({"line": line, "character": at - start})
}

/// The code, the line and the message of each diagnostic of `koncli check`, sorted.
fn checked(file: &Path) -> Vec<(String, u64, String)> {
    let output = Command::new(built::koncli())
        .args(["check", "-o", "json"])
        .arg(file)
        .output();
    let output = output.expect("koncli starts");
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let of = |diagnostic: &Value| {
        let mut labels = diagnostic["labels"].as_array().expect("labels").iter();
        let primary = labels
            .find(|label| label["primary"] == true)
            .expect("a place");
        let line = primary["place"]["start"]["line"].as_u64().expect("a line") - 1;
        let message = diagnostic["message"].as_str().expect("a message");
        (
            diagnostic["code"].as_str().expect("a code").to_owned(),
            line,
            message.to_owned(),
        )
    };
    let mut all: Vec<_> = all.iter().map(of).collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn random_edits_end_equal_to_a_fresh_check() {
    const PIECES: [&str; 10] = [
        "",
        "{",
        "}",
        "\"",
        "\"\"\"",
        "\n",
        "stage x after ",
        "ü😀",
        "=",
        "in 1..3",
    ];
    let edits = std::env::var("KONDUCTOR_EDITS").map_or(40, |text| text.parse().expect("a number"));
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compiler/tests/fixtures");
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().canonicalize().expect("a folder");
    let (mut client, _) = Client::start(&root);
    let entries = std::fs::read_dir(fixtures).expect("fixtures");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "kon"));
    files.sort();
    for (index, fixture) in files.iter().enumerate() {
        let name = fixture.file_name().expect("a name");
        let mut random = fastrand::Rng::with_seed(index as u64);
        let mut text = std::fs::read_to_string(fixture).expect("a fixture");
        let file = root.join(name);
        let uri = format!("file://{}", file.display());
        client.open(&uri, &text);
        for edit in 0..edits {
            let boundary = |at: usize| (0..=at).rev().find(|at| text.is_char_boundary(*at));
            let start = boundary(random.usize(0..=text.len())).unwrap_or_default();
            let end = boundary((start + random.usize(0..12)).min(text.len())).unwrap_or(start);
            let range = json!({"start": position(&text, start), "end": position(&text, end)});
            let piece = PIECES[random.usize(0..PIECES.len())];
            client.change(&uri, edit + 2, &json!([{"range": range, "text": piece}]));
            text.replace_range(start..end.max(start), piece);
        }
        std::fs::write(&file, &text).expect("a file");
        let shown = client.diagnostics(&uri, edits + 1);
        let of = |diagnostic: &Value| {
            let message = diagnostic["message"].as_str().expect("a message");
            let message = message.split("\nhelp: ").next().unwrap_or(message);
            let line = diagnostic["range"]["start"]["line"]
                .as_u64()
                .expect("a line");
            (
                diagnostic["code"].as_str().expect("a code").to_owned(),
                line,
                message.to_owned(),
            )
        };
        let mut shown: Vec<_> = shown.iter().map(of).collect();
        shown.sort();
        shown.dedup();
        assert_eq!(shown, checked(&file), "{}\n{text}", name.display());
    }
    client.end();
}

#[test]
fn a_server_without_an_editor_ends() {
    let status = Command::new(built::koncli())
        .arg("lsp")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .expect("koncli starts");
    assert!(status.success(), "{status}");
}
