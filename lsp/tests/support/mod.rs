//! What tests of sessions share: an editor, files in memory, and edits.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use konductor_lsp::{Disk, Session};
use serde_json::{Value, json};

/// Files in memory.
#[derive(Clone, Default)]
pub(crate) struct Memory(pub(crate) Rc<RefCell<BTreeMap<PathBuf, String>>>);

impl Disk for Memory {
    fn import(&self, root: &Path, path: &str) -> Result<String, String> {
        let file = root.parent().unwrap().join(path);
        self.read(&file).ok_or_else(|| "no such file".to_owned())
    }

    fn read(&self, file: &Path) -> Option<String> {
        self.0.borrow().get(file).cloned()
    }

    fn pipelines(&self, folder: &Path) -> Vec<PathBuf> {
        let files = self.0.borrow();
        let inside = files.keys().filter(|file| file.starts_with(folder));
        inside.cloned().collect()
    }
}

pub(crate) fn uri(path: &str) -> String {
    format!("file://{path}")
}

/// A text with the edits of an answer.
pub(crate) fn edited(text: &str, edits: &Value) -> String {
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let mut edits = edits.as_array().unwrap().clone();
    edits.sort_by_key(|edit| {
        let start = &edit["range"]["start"];
        std::cmp::Reverse((start["line"].as_u64(), start["character"].as_u64()))
    });
    for edit in edits {
        let at = |which: &str, what: &str| {
            usize::try_from(edit["range"][which][what].as_u64().unwrap()).unwrap()
        };
        let byte = |line: &str, column: usize| {
            let mut units = 0;
            let mut characters = line.char_indices();
            let place = characters.find(|(_, character)| {
                let is_there = units >= column;
                units += character.len_utf16();
                is_there
            });
            place.map_or(line.len(), |(byte, _)| byte)
        };
        let (first, last) = (at("start", "line"), at("end", "line"));
        let before = lines[first][..byte(&lines[first], at("start", "character"))].to_owned();
        let behind = match lines.get(last) {
            Some(line) => line[byte(line, at("end", "character"))..].to_owned(),
            None => String::new(),
        };
        let new = format!("{before}{}{behind}", edit["newText"].as_str().unwrap());
        let end = (last + 1).min(lines.len());
        lines.splice(first..end, new.split('\n').map(str::to_owned));
    }
    lines.join("\n")
}

pub(crate) const ROOT: &str = "/flows/p.kon";

pub(crate) const LIBRARY: &str = "/flows/lib/t.kon";

pub(crate) struct Editor {
    pub(crate) session: Session,
    pub(crate) disk: Memory,
    pub(crate) shown: BTreeMap<String, Value>,
}

impl Editor {
    pub(crate) fn new(encodings: &[&str]) -> Self {
        let disk = Memory::default();
        let mut session = Session::new(Box::new(disk.clone()));
        let capabilities = json!({"general": {"positionEncodings": encodings}});
        let folders = json!([{"uri": "file:///flows", "name": "flows"}]);
        let params = json!({
            "processId": null, "rootUri": null, "capabilities": capabilities,
            "workspaceFolders": folders,
        });
        session.initialize(params).unwrap();
        Self {
            session,
            disk,
            shown: BTreeMap::new(),
        }
    }

    pub(crate) fn open(&mut self, path: &str, text: &str) {
        let document = json!({"uri": uri(path), "languageId": "kon", "version": 1, "text": text});
        self.notify("textDocument/didOpen", json!({"textDocument": document}));
    }

    pub(crate) fn notify(&mut self, method: &str, params: Value) {
        self.session.notify(method, params);
        for published in self.session.publish() {
            let published = serde_json::to_value(published).unwrap();
            let file = published["uri"].as_str().unwrap().to_owned();
            self.shown.insert(file, published["diagnostics"].clone());
        }
    }

    pub(crate) fn change(&mut self, path: &str, version: usize, changes: Value) {
        let document = json!({"uri": uri(path), "version": version});
        let params = json!({"textDocument": document, "contentChanges": changes});
        self.notify("textDocument/didChange", params);
    }

    /// The messages that the editor shows of a file.
    pub(crate) fn messages(&self, path: &str) -> Vec<String> {
        let shown = self.shown.get(&uri(path)).and_then(Value::as_array);
        let all = shown.into_iter().flatten();
        let first = |diagnostic: &Value| {
            diagnostic["message"]
                .as_str()
                .unwrap()
                .lines()
                .next()
                .unwrap()
                .to_owned()
        };
        all.map(first).collect()
    }

    pub(crate) fn ask(&mut self, method: &str, path: &str, mut params: Value) -> Value {
        params["textDocument"] = json!({"uri": uri(path)});
        self.session.request(method, params).unwrap()
    }

    pub(crate) fn ask_at(&mut self, method: &str, at: (u32, u32)) -> Value {
        let position = json!({"line": at.0, "character": at.1});
        self.ask(method, ROOT, json!({"position": position}))
    }
}

/// An editor with a text, and where its cursor is.
pub(crate) fn editor(text: &str) -> (Editor, (u32, u32)) {
    let (before, behind) = text.split_once("$0").unwrap();
    let line = before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap().encode_utf16().count();
    let mut editor = Editor::new(&["utf-16"]);
    editor.open(ROOT, &format!("{before}{behind}"));
    let at = |number: usize| u32::try_from(number).unwrap();
    (editor, (at(line), at(column)))
}

/// The places of an answer, as `LINE:COLUMN-COLUMN`, with the file if it is not the root.
pub(crate) fn places(answer: &Value) -> Vec<String> {
    let all = match answer {
        Value::Array(all) => all.clone(),
        Value::Null => Vec::new(),
        location => vec![location.clone()],
    };
    let place = |location: &Value| {
        let (start, end) = (&location["range"]["start"], &location["range"]["end"]);
        let place = format!(
            "{}:{}-{}",
            start["line"], start["character"], end["character"]
        );
        match location["uri"].as_str() {
            Some(file) if file != uri(ROOT) => {
                format!("{}:{place}", file.rsplit('/').next().unwrap())
            }
            _ => place,
        }
    };
    all.iter().map(place).collect()
}

pub(crate) const SALES: &str = r#"import "lib/t.kon"

pipeline sales {
  param day: string = "2026-01-31"
  param regions: list<string> = ["eu", "us"]
  semaphore db { permits = 2 }
  lease schema { ttl = 1m }
  workspace data { size = 1Gi, access = many }
  defaults { image = "busybox:1.36" }

  stage extract for region in regions holding db {
    run = "extract \"${day}\" \"${region}\""
    output rows: int
    mount data at "/data"
  }
  stage load after extract, sign-off holding schema {
    use python { module = "load" }
    env { TOKEN_NUMBER = "${token.schema}", DAY = day }
  }
  approval sign-off after extract
  stage report when extract["eu"].rows > 0 { run = "x" }
}
"#;

pub(crate) const TEMPLATES: &str = r#"template python(module: string, version: string = "3.13") {
  image = "python:${version}-slim"
  exec  = ["python", "-m", "${module}"]
}
"#;

/// An editor with the pipeline, whose library is on disk.
pub(crate) fn sales() -> Editor {
    let mut editor = Editor::new(&["utf-16"]);
    let files = editor.disk.0.clone();
    files
        .borrow_mut()
        .insert(LIBRARY.into(), TEMPLATES.to_owned());
    files.borrow_mut().insert(ROOT.into(), SALES.to_owned());
    editor.open(ROOT, SALES);
    editor
}

/// Where a word stands in a text, the so-manieth time.
pub(crate) fn find(text: &str, word: &str, nth: usize) -> (u32, u32) {
    let (at, _) = text.match_indices(word).nth(nth).unwrap();
    let before = &text[..at];
    let line = before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap().len();
    (u32::try_from(line).unwrap(), u32::try_from(column).unwrap())
}
