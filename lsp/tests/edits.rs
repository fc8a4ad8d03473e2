//! Random edits of every fixture: nothing crashes, and what the editor shows in the end is what a fresh
//! session shows of the same text. `KONDUCTOR_EDITS` is how many edits there are, `KONDUCTOR_SEED` where
//! they begin.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use konductor_lsp::{Disk, Session};
use serde_json::{Value, json};

struct Nothing;

impl Disk for Nothing {
    fn import(&self, _: &Path, _: &str) -> Result<String, String> {
        Err("no such file".to_owned())
    }

    fn read(&self, _: &Path) -> Option<String> {
        None
    }

    fn pipelines(&self, _: &Path) -> Vec<PathBuf> {
        Vec::new()
    }
}

const FILE: &str = "file:///p.kon";

fn session(text: &str) -> Session {
    let mut session = Session::new(Box::new(Nothing));
    let params = json!({"processId": null, "rootUri": null, "capabilities": {}});
    session.initialize(params).unwrap();
    let document = json!({"uri": FILE, "languageId": "kon", "version": 1, "text": text});
    session.notify("textDocument/didOpen", json!({"textDocument": document}));
    session
}

fn show(session: &mut Session, shown: &mut BTreeMap<String, Value>) {
    for published in session.publish() {
        let published = serde_json::to_value(published).unwrap();
        let file = published["uri"].as_str().unwrap().to_owned();
        shown.insert(file, published["diagnostics"].clone());
    }
}

/// The position of a byte, in UTF-16.
fn position(text: &str, offset: usize) -> Value {
    let before = &text[..offset];
    let line = before.matches('\n').count();
    let last = before.rsplit('\n').next().unwrap();
    json!({"line": line, "character": last.encode_utf16().count()})
}

fn boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// What somebody types or pastes.
const PIECES: [&str; 20] = [
    "",
    "{",
    "}",
    "\"",
    "\"\"\"",
    "${",
    "\n",
    " ",
    "stage x after ",
    "ü😀",
    "=",
    "[",
    "(",
    ",",
    ".",
    "#",
    "run",
    "in 1..3",
    "holding ",
    "\r\n",
];

fn number(name: &str, default: u64) -> u64 {
    let setting = std::env::var(name).ok();
    setting.map_or(default, |text| text.parse().unwrap())
}

#[test]
fn random_edits_end_as_a_fresh_session_does() {
    let edits = number("KONDUCTOR_EDITS", 60);
    let seed = number("KONDUCTOR_SEED", 1);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for folder in ["compiler/tests/fixtures", "dsl/tests/fixtures"] {
        let entries = std::fs::read_dir(root.join(folder)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        files.extend(paths.filter(|path| path.extension().is_some_and(|end| end == "kon")));
    }
    files.sort();
    assert!(files.len() > 20);
    for (index, file) in files.iter().enumerate() {
        let mut random = fastrand::Rng::with_seed(seed * 1_000 + index as u64);
        let mut text = std::fs::read_to_string(file).unwrap();
        let mut session = session(&text);
        let mut shown = BTreeMap::new();
        for version in 0..edits {
            let start = boundary(&text, random.usize(0..=text.len()));
            let end = boundary(&text, (start + random.usize(0..12)).min(text.len()));
            let (start, end) = (start.min(end), start.max(end));
            let piece = PIECES[random.usize(0..PIECES.len())];
            let range = json!({"start": position(&text, start), "end": position(&text, end)});
            // A position in the middle of `\r\n` is one before it, for every editor.
            if text[..start].ends_with('\r') || text[..end].ends_with('\r') {
                continue;
            }
            text.replace_range(start..end, piece);
            let document = json!({"uri": FILE, "version": version + 2});
            let changes = json!([{"range": range, "text": piece}]);
            let params = json!({"textDocument": document, "contentChanges": changes});
            session.notify("textDocument/didChange", params);
            if random.bool() {
                show(&mut session, &mut shown);
            }
            let place = position(&text, boundary(&text, random.usize(0..=text.len())));
            for method in [
                "hover",
                "completion",
                "definition",
                "signatureHelp",
                "documentHighlight",
            ] {
                let params = json!({"textDocument": {"uri": FILE}, "position": place});
                session
                    .request(&format!("textDocument/{method}"), params)
                    .unwrap();
            }
        }
        for method in [
            "documentSymbol",
            "foldingRange",
            "codeLens",
            "semanticTokens/full",
        ] {
            let params = json!({"textDocument": {"uri": FILE}});
            session
                .request(&format!("textDocument/{method}"), params)
                .unwrap();
        }
        show(&mut session, &mut shown);
        let mut fresh = self::session(&text);
        let mut expected = BTreeMap::new();
        show(&mut fresh, &mut expected);
        assert_eq!(
            shown,
            expected,
            "{} with seed {seed}\n{text}",
            file.display()
        );
    }
}
