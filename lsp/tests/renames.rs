//! A rename never changes what a pipeline means: of every fixture and example that is right, each name is renamed,
//! and what is reported stays the same.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use konductor_lsp::Session;
use serde_json::{Value, json};
use support::{Memory, edited, uri};

/// A name that nothing has.
const NEW: &str = "zz";

fn session(files: &BTreeMap<PathBuf, String>, root: &Path) -> Session {
    let disk = Memory::default();
    disk.0.borrow_mut().extend(files.clone());
    let mut session = Session::new(Box::new(disk));
    let params = json!({"processId": null, "rootUri": null, "capabilities": {}});
    session.initialize(params).unwrap();
    let document = json!({"uri": uri(root.to_str().unwrap()), "languageId": "kon", "version": 1, "text": files[root]});
    session.notify("textDocument/didOpen", json!({"textDocument": document}));
    session
}

/// The codes of everything that is reported, sorted.
fn codes(session: &mut Session) -> Vec<Value> {
    let published = serde_json::to_value(session.publish()).unwrap();
    let files = published.as_array().unwrap().iter();
    let all = files.flat_map(|file| file["diagnostics"].as_array().unwrap().clone());
    let mut codes: Vec<Value> = all.map(|diagnostic| diagnostic["code"].clone()).collect();
    codes.sort_by_key(Value::to_string);
    codes
}

/// Where names are declared, and their kinds.
fn declared(symbols: &Value, declarations: &mut Vec<(Value, String)>) {
    for symbol in symbols.as_array().into_iter().flatten() {
        let kind = format!("{} {}", symbol["detail"].as_str().unwrap(), symbol["name"]);
        declarations.push((symbol["selectionRange"]["start"].clone(), kind));
        declared(&symbol["children"], declarations);
    }
}

fn pipelines(folder: &Path, files: &mut BTreeMap<PathBuf, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pipelines(&path, files);
        } else if path.extension().is_some_and(|end| end == "kon") {
            let text = std::fs::read_to_string(&path).unwrap();
            files.insert(path, text);
        }
    }
}

#[test]
fn a_rename_changes_nothing_that_is_reported() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut renamed = 0;
    for folder in ["compiler/tests/fixtures", "examples"] {
        let mut files = BTreeMap::new();
        pipelines(&tree.join(folder), &mut files);
        let roots: Vec<&PathBuf> = files.keys().collect();
        for root in roots {
            let shown = root.display();
            if root
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("err_")
            {
                continue;
            }
            let mut session = session(&files, root);
            let before = codes(&mut session);
            let document = json!({"uri": uri(root.to_str().unwrap())});
            let params = json!({"textDocument": document});
            let outline = session
                .request("textDocument/documentSymbol", params)
                .unwrap();
            let mut names = Vec::new();
            declared(&outline, &mut names);
            for (position, name) in names {
                let params =
                    json!({"textDocument": document, "position": position, "newName": NEW});
                let answer = session.request("textDocument/rename", params).unwrap();
                let mut changed = files.clone();
                for (path, text) in &mut changed {
                    if let Some(edits) = answer["changes"].get(uri(path.to_str().unwrap())) {
                        *text = edited(text, edits);
                    }
                }
                assert_ne!(changed, files, "{shown}: {name}");
                let after = codes(&mut self::session(&changed, root));
                assert_eq!(after, before, "{shown}: {name}");
                renamed += 1;
            }
        }
    }
    assert!(renamed > 200, "{renamed}");
}
