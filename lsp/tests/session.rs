//! What an editor is shown, and how a session behaves.
//!
//! `$0` in a text is where the cursor is. Lines and columns are counted from 0.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use konductor_lsp::Refusal;
use serde_json::{Value, json};
use support::{Editor, LIBRARY, ROOT, TEMPLATES, edited, editor, sales, uri};

#[test]
fn diagnostics_have_places_related_places_and_a_page() {
    let (editor, _) = editor("$0pipeline p {\n  lease a\n  lease a\n}\n");
    let shown = &editor.shown[&uri(ROOT)];
    let second = shown
        .as_array()
        .unwrap()
        .iter()
        .find(|diagnostic| diagnostic["code"] == "K0202")
        .unwrap();
    assert_eq!(
        second["range"],
        json!({
            "start": {"line": 2, "character": 8}, "end": {"line": 2, "character": 9},
        })
    );
    assert_eq!(second["severity"], 1);
    assert_eq!(second["source"], "konductor");
    assert!(
        second["codeDescription"]["href"]
            .as_str()
            .unwrap()
            .ends_with("K0202.md")
    );
    let related = &second["relatedInformation"][0];
    assert_eq!(related["message"], "first declared here");
    assert_eq!(related["location"]["range"]["start"]["line"], 1);
}

#[test]
fn every_version_of_an_open_file_is_published_under_its_name_in_the_editor() {
    let mut editor = Editor::new(&[]);
    // Editors differ in what they escape.
    let name = "file:///flows/a%2db.kon";
    let document = json!({"uri": name, "languageId": "kon", "version": 1, "text": ""});
    let opened = json!({"textDocument": document});
    editor.session.notify("textDocument/didOpen", opened);
    let published = editor.session.publish();
    assert_eq!(published.len(), 1);
    assert_eq!(
        (&*published[0].uri.0, published[0].version),
        (name, Some(1))
    );
    for version in [2, 5] {
        let document = json!({"uri": name, "version": version});
        let params = json!({"textDocument": document, "contentChanges": [{"text": "# no more"}]});
        editor.session.notify("textDocument/didChange", params);
        let published = editor.session.publish();
        assert_eq!(published.len(), 1);
        assert_eq!(published[0].version, Some(version));
        assert_eq!(editor.session.publish(), []);
    }
}

#[test]
fn positions_ranges_and_files_that_do_not_exist_are_answered() {
    let mut editor = sales();
    let far = json!({"line": u32::MAX, "character": u32::MAX});
    let inside = json!({"line": 3, "character": u32::MAX});
    for position in [far, inside] {
        let backwards = json!({"start": position, "end": {"line": 0, "character": 0}});
        for file in [
            uri(ROOT),
            uri("/no/such.kon"),
            "untitled:1".into(),
            "?%zz".into(),
        ] {
            for method in METHODS {
                let params = json!({
                    "textDocument": {"uri": file}, "position": position, "newName": "x", "query": "\u{0}",
                    "range": backwards, "context": {"includeDeclaration": true, "diagnostics": []},
                    "options": {"tabSize": 0, "insertSpaces": false},
                });
                let answered = editor.session.request(method, params);
                assert!(
                    !matches!(answered, Err(Refusal::Parameters(_) | Refusal::Unknown)),
                    "{method}: {answered:?}"
                );
            }
        }
        let document = json!({"uri": uri(ROOT), "version": 2});
        let change = json!({"textDocument": document, "contentChanges": [{"range": backwards, "text": "#"}]});
        editor.notify("textDocument/didChange", change);
    }
    for method in METHODS {
        for params in [json!(null), json!([]), json!({"textDocument": 3})] {
            let answered = editor.session.request(method, params);
            assert!(
                matches!(answered, Err(Refusal::Parameters(_))),
                "{method}: {answered:?}"
            );
        }
    }
}

/// Every method with an answer.
const METHODS: [&str; 16] = [
    "textDocument/codeAction",
    "textDocument/codeLens",
    "textDocument/completion",
    "textDocument/definition",
    "textDocument/documentHighlight",
    "textDocument/documentSymbol",
    "textDocument/foldingRange",
    "textDocument/formatting",
    "textDocument/hover",
    "textDocument/inlayHint",
    "textDocument/prepareRename",
    "textDocument/references",
    "textDocument/rename",
    "textDocument/semanticTokens/full",
    "textDocument/signatureHelp",
    "workspace/symbol",
];

#[test]
fn the_pipeline_of_these_tests_is_right() {
    let editor = sales();
    assert_eq!(editor.messages(ROOT), Vec::<String>::new());
}

#[test]
fn an_unsaved_import_counts_and_its_diagnostics_go_with_it() {
    let mut editor = sales();
    editor.open(
        LIBRARY,
        &TEMPLATES.replace("module: string", "modul: string"),
    );
    assert_eq!(editor.messages(ROOT), ["`module` is not an attribute here"]);
    assert_eq!(editor.messages(LIBRARY), ["`module` is not declared"]);
    let closed = json!({"textDocument": {"uri": uri(LIBRARY)}});
    editor.notify("textDocument/didClose", closed);
    assert_eq!(editor.messages(ROOT), Vec::<String>::new());
    assert_eq!(editor.messages(LIBRARY), Vec::<String>::new());
}

#[test]
fn formatting_changes_only_the_lines_that_are_laid_out_differently() {
    let text = "pipeline p {\n  stage a {\n    image = \"a:1\"\n      run = \"x\"\n  }\n}\n";
    let (mut editor, _) = editor(&format!("$0{text}"));
    let options = json!({"options": {"tabSize": 2, "insertSpaces": true}});
    let edits = editor.ask("textDocument/formatting", ROOT, options.clone());
    assert_eq!(edits.as_array().unwrap().len(), 1);
    let formatted = edited(text, &edits);
    assert!(formatted.contains("\n    run"), "{formatted}");
    editor.change(ROOT, 2, json!([{"text": formatted}]));
    assert_eq!(
        editor.ask("textDocument/formatting", ROOT, options.clone()),
        json!([])
    );
    editor.change(ROOT, 3, json!([{"text": "pipeline p {"}]));
    assert_eq!(
        editor.ask("textDocument/formatting", ROOT, options),
        json!([])
    );
}

#[test]
fn a_code_action_applies_the_fix_of_its_diagnostic() {
    let text = "pipeline p {\n  stage a { imgae = \"a:1\" }\n}\n";
    let (mut editor, _) = editor(&format!("$0{text}"));
    let range = json!({"start": {"line": 1, "character": 13}, "end": {"line": 1, "character": 13}});
    let params = json!({"range": range, "context": {"diagnostics": []}});
    let actions = editor.ask("textDocument/codeAction", ROOT, params);
    assert_eq!(actions[0]["title"], "Write `image`");
    assert_eq!(actions[0]["isPreferred"], true);
    let fixed = edited(text, &actions[0]["edit"]["changes"][uri(ROOT)]);
    assert_eq!(fixed, text.replace("imgae", "image"));
    editor.change(ROOT, 2, json!([{"text": fixed}]));
    assert!(
        editor
            .messages(ROOT)
            .iter()
            .all(|message| !message.contains("imgae"))
    );
}

#[test]
fn all_fixes_that_are_certain_are_one_action_if_it_is_asked_for() {
    let text =
        "pipeline p {\n  stage a { imgae = \"a:1\" }\n  stage b afer a { image = \"a:1\" }\n}\n";
    let (mut editor, _) = editor(&format!("$0{text}"));
    let range = json!({"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0}});
    let mut actions_of = |only: Value| {
        let params = json!({"range": range, "context": {"diagnostics": [], "only": only}});
        editor.ask("textDocument/codeAction", ROOT, params)
    };
    assert_eq!(actions_of(json!(["quickfix"])), json!([]));
    assert_eq!(actions_of(json!(["refactor"])), json!([]));
    let actions = actions_of(json!(["source.fixAll"]));
    assert_eq!(actions.as_array().unwrap().len(), 1);
    let fixed = edited(text, &actions[0]["edit"]["changes"][uri(ROOT)]);
    assert_eq!(
        fixed,
        text.replace("imgae", "image").replace("afer", "after")
    );
    editor.change(ROOT, 2, json!([{"text": fixed}]));
    let params = json!({"range": range, "context": {"diagnostics": [], "only": ["source.fixAll"]}});
    assert_eq!(
        editor.ask("textDocument/codeAction", ROOT, params),
        json!([])
    );
}

#[test]
fn every_answer_calls_a_file_as_the_editor_does() {
    let name = "file:///flows/%70.kon";
    let text = "pipeline p {\n  stage a { image = \"a:1\" }\n  stage a { image = \"a:1\" }\n}\n";
    let mut editor = Editor::new(&["utf-16"]);
    editor.open("/flows/%70.kon", text);
    let position = json!({"line": 1, "character": 8});
    let range = json!({"start": {"line": 2, "character": 8}, "end": {"line": 2, "character": 8}});
    for (method, params) in [
        ("textDocument/definition", json!({"position": position})),
        (
            "textDocument/references",
            json!({"position": position, "context": {"includeDeclaration": true}}),
        ),
        (
            "textDocument/rename",
            json!({"position": position, "newName": "b"}),
        ),
        (
            "textDocument/codeAction",
            json!({"range": range, "context": {"diagnostics": []}}),
        ),
        ("workspace/symbol", json!({"query": "p"})),
    ] {
        let answer = editor.ask(method, "/flows/%70.kon", params).to_string();
        assert!(!answer.contains("/flows/p.kon"), "{method}: {answer}");
        let is_named = answer.contains(name) || method == "textDocument/codeAction";
        assert!(is_named, "{method}: {answer}");
    }
    let shown = &editor.shown[name];
    assert_eq!(shown[0]["relatedInformation"][0]["location"]["uri"], name);
}

#[test]
fn what_the_server_does_not_have_is_refused() {
    let mut editor = Editor::new(&[]);
    assert_eq!(
        editor.session.request("textDocument/moniker", json!({})),
        Err(Refusal::Unknown)
    );
    let refused = editor
        .session
        .request("textDocument/hover", json!({"position": 1}));
    assert!(
        matches!(refused, Err(Refusal::Parameters(_))),
        "{refused:?}"
    );
}
