//! Names: where they are, what they mean, and renaming.
//!
//! `$0` in a text is where the cursor is. Lines and columns are counted from 0.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use konductor_lsp::Refusal;
use serde_json::{Value, json};
use support::{Editor, LIBRARY, ROOT, SALES, TEMPLATES, edited, editor, find, places, sales, uri};

#[test]
fn definitions_are_found_in_this_file_and_in_imports() {
    let mut editor = sales();
    let table = [
        ("day}", 0, "3:8-11"),
        ("regions holding", 0, "4:8-15"),
        ("region}", 0, "10:20-26"),
        ("db {\n", 0, "5:12-14"),
        ("extract, sign", 0, "10:8-15"),
        ("sign-off holding", 0, "19:11-19"),
        ("schema}", 0, "6:8-14"),
        ("data at", 0, "7:12-16"),
        ("rows >", 0, "12:11-15"),
        ("python {", 0, "t.kon:0:9-15"),
        ("module =", 0, "t.kon:0:16-22"),
        ("lib/t", 0, "t.kon:0:0-0"),
    ];
    for (word, nth, expected) in table {
        let answer = editor.ask_at("textDocument/definition", find(SALES, word, nth));
        assert_eq!(places(&answer), [expected], "{word}");
    }
    let answer = editor.ask_at("textDocument/definition", (1, 0));
    assert_eq!(places(&answer), Vec::<String>::new());
}

#[test]
fn references_are_all_places_also_in_other_files() {
    let mut editor = sales();
    let params = |at: (u32, u32), declaration: bool| {
        json!({
            "position": {"line": at.0, "character": at.1},
            "context": {"includeDeclaration": declaration},
        })
    };
    let at = find(SALES, "extract for", 0);
    let answer = editor.ask("textDocument/references", ROOT, params(at, true));
    assert_eq!(
        places(&answer),
        ["10:8-15", "15:19-26", "19:26-33", "20:20-27"]
    );
    let answer = editor.ask("textDocument/references", ROOT, params(at, false));
    assert_eq!(places(&answer), ["15:19-26", "19:26-33", "20:20-27"]);
    // From the library, the pipelines that import it are found, open or not.
    let answer = editor.ask("textDocument/references", LIBRARY, params((0, 10), true));
    assert_eq!(places(&answer), ["t.kon:0:9-15", "16:8-14"]);
    let highlights = editor.ask_at("textDocument/documentHighlight", at);
    assert_eq!(
        places(&highlights),
        ["10:8-15", "15:19-26", "19:26-33", "20:20-27"]
    );
    assert_eq!(highlights[0]["kind"], 3);
    assert_eq!(highlights[1]["kind"], 2);
}

#[test]
fn a_rename_changes_every_file_and_nothing_else() {
    let mut editor = sales();
    let prepared = editor.ask_at("textDocument/prepareRename", find(SALES, "python {", 0));
    assert_eq!(prepared["placeholder"], "python");
    let params = |at: (u32, u32), name: &str| json!({"position": {"line": at.0, "character": at.1}, "newName": name});
    let table = [
        (
            "extract for",
            "pull",
            vec![
                ("extract for", "pull for"),
                ("after extract", "after pull"),
                ("when extract[", "when pull["),
            ],
        ),
        (
            "region in",
            "r",
            vec![("for region in", "for r in"), ("${region}", "${r}")],
        ),
        (
            "rows: int",
            "lines",
            vec![("rows: int", "lines: int"), (".rows", ".lines")],
        ),
        (
            "schema {",
            "s",
            vec![
                ("lease schema", "lease s"),
                ("holding schema", "holding s"),
                ("token.schema", "token.s"),
            ],
        ),
        (
            "day: string",
            "date",
            vec![
                ("param day", "param date"),
                ("${day}", "${date}"),
                ("DAY = day", "DAY = date"),
            ],
        ),
        ("python {", "py", vec![("use python", "use py")]),
        ("module =", "m", vec![("module =", "m =")]),
    ];
    for (word, name, changes) in table {
        let answer = editor.ask(
            "textDocument/rename",
            ROOT,
            params(find(SALES, word, 0), name),
        );
        let mut expected = SALES.to_owned();
        for (old, new) in changes {
            assert!(expected.contains(old), "{old}");
            expected = expected.replace(old, new);
        }
        assert_eq!(
            edited(SALES, &answer["changes"][uri(ROOT)]),
            expected,
            "{word}"
        );
    }
    let answer = editor.ask(
        "textDocument/rename",
        ROOT,
        params(find(SALES, "module =", 0), "m"),
    );
    let library = edited(TEMPLATES, &answer["changes"][uri(LIBRARY)]);
    assert_eq!(
        library,
        TEMPLATES
            .replace("module:", "m:")
            .replace("${module}", "${m}")
    );
}

#[test]
fn renaming_an_output_renames_it_where_the_script_writes_it() {
    let text = "pipeline p {\n  stage a {\n    image = \"b:1\"\n    run = \"\"\"\n      rows=$(wc -l < in)\n      \
                echo \"rows=$rows\" >> \"$KON_OUTPUT\"\n    \"\"\"\n    output rows: int\n  }\n  stage b when a.rows > 1 { image = \"b:1\" }\n}\n";
    let (mut editor, _) = support::editor(&format!("$0{text}"));
    let (line, character) = find(text, "rows: int", 0);
    let params = json!({"position": {"line": line, "character": character}, "newName": "lines"});
    let answer = editor.ask("textDocument/rename", ROOT, params);
    let expected = text
        .replace("rows: int", "lines: int")
        .replace("a.rows", "a.lines");
    let expected = expected.replace("echo \"rows=", "echo \"lines=");
    assert_eq!(edited(text, &answer["changes"][uri(ROOT)]), expected);
}

#[test]
fn a_rename_to_what_is_no_name_or_has_a_meaning_is_refused() {
    let mut editor = sales();
    let at = find(SALES, "extract for", 0);
    for (name, problem) in [
        (
            "load",
            "`load` is already declared in /flows/p.kon: a stage",
        ),
        (
            "region",
            "`region` is already declared in /flows/p.kon: a loop variable",
        ),
        ("Load", "`Load` can't be a name"),
        ("run", "`run` can't be a name"),
        ("", "`` can't be a name"),
    ] {
        let params = json!({
            "textDocument": {"uri": uri(ROOT)},
            "position": {"line": at.0, "character": at.1},
            "newName": name,
        });
        match editor.session.request("textDocument/rename", params) {
            Err(Refusal::Impossible(message)) => assert!(message.starts_with(problem), "{message}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// A pipeline that imports both templates would have two of one name, although it uses only the other one.
#[test]
fn a_rename_is_refused_for_a_file_that_only_imports_what_is_renamed() {
    let mut editor = sales();
    let other = "import \"lib/t.kon\"\n\ntemplate mine() { image = \"b:1\" }\n\npipeline q {\n  stage a { use mine { } }\n}\n";
    let path = "/flows/other.kon";
    let mut files = editor.disk.0.borrow_mut();
    files.insert(path.into(), other.to_owned());
    drop(files);
    let at = find(SALES, "python {", 0);
    let params = |name: &str| {
        json!({
            "textDocument": {"uri": uri(ROOT)},
            "position": {"line": at.0, "character": at.1},
            "newName": name,
        })
    };
    match editor
        .session
        .request("textDocument/rename", params("mine"))
    {
        Err(Refusal::Impossible(message)) => {
            assert_eq!(
                message,
                "`mine` is already declared in /flows/other.kon: a template"
            );
        }
        other => panic!("{other:?}"),
    }
    let renamed = editor
        .session
        .request("textDocument/rename", params("snake"));
    assert!(renamed.is_ok(), "{renamed:?}");
}

#[test]
fn hovers_describe_names_and_attributes() {
    let mut editor = sales();
    let table = [
        ("day}", "param day: string = \"2026-01-31\""),
        (
            "extract, sign",
            "2 items, runs before load, report, sign-off, holds db",
        ),
        ("rows >", "output rows: int"),
        ("schema}", "lease schema { ttl = 1m }"),
        ("region}", "of stage `extract`"),
        ("permits", "How many permits there are"),
        ("image", "A tag `latest`, or none"),
        (
            "extract for",
            "Becomes one Indexed Job, or a Job for each item.",
        ),
        ("load after", "Becomes a Job."),
        ("after extract", "Starts when all dependencies hold."),
        ("holding db", "Has permits of a semaphore"),
        ("approval sign", "People who must agree."),
        ("string =", "Any text."),
        (
            "python {",
            "template python(module: string, version: string = \"3.13\")",
        ),
    ];
    for (word, expected) in table {
        let answer = editor.ask_at("textDocument/hover", find(SALES, word, 0));
        let text = answer["contents"]["value"].as_str().unwrap_or_default();
        assert!(text.contains(expected), "{word}: {answer}");
    }
    let nothing = editor.ask_at("textDocument/hover", (1, 0));
    assert_eq!(nothing, Value::Null);
}

#[test]
fn hover_describes_the_star_of_an_address_in_a_header_and_in_a_text() {
    let texts = [
        "stage b after a[$0*] { run = \"x\" }",
        "stage b { run = \"echo \\\"${a[$0*].n}\\\"\" }",
    ];
    for text in texts {
        let before = "stage a for x in [1] { run = \"x\", output n: int }";
        let (mut editor, at) = support::editor(&format!("pipeline p {{\n{before}\n{text}\n}}\n"));
        let answer = editor.ask_at("textDocument/hover", at);
        let shown = answer["contents"]["value"].as_str().unwrap_or_default();
        assert!(
            shown.contains("Each value of the variable"),
            "{text}: {answer}"
        );
    }
}

#[test]
fn the_outline_has_every_declaration_also_beside_what_is_broken() {
    let mut editor = sales();
    let names = |editor: &mut Editor| {
        let answer = editor.ask("textDocument/documentSymbol", ROOT, json!({}));
        let names = |all: &Value| -> Vec<String> {
            let all = all.as_array().into_iter().flatten();
            all.map(|symbol| symbol["name"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(names(&answer), ["sales"]);
        names(&answer[0]["children"])
    };
    let all = [
        "day", "regions", "db", "schema", "data", "extract", "load", "sign-off", "report",
    ];
    assert_eq!(names(&mut editor), all);
    for (version, (whole, broken)) in [
        ("lease schema { ttl = 1m }", "lease schema { ttl = = }"),
        ("image = \"busybox:1.36\"", "image = \"\"\"busybox"),
        ("stage load after", "stage load load after"),
        ("run = \"extract", "run = extract"),
        ("workspace data {", "workspace data {{{{{{"),
    ]
    .into_iter()
    .enumerate()
    {
        let text = SALES.replace(whole, broken);
        assert_ne!(text, SALES);
        editor.change(ROOT, version + 2, json!([{"text": text}]));
        assert_ne!(editor.messages(ROOT), Vec::<String>::new());
        assert_eq!(names(&mut editor), all, "{broken}");
    }
    let symbols = editor
        .session
        .request("workspace/symbol", json!({"query": "pyth"}))
        .unwrap();
    assert_eq!(symbols[0]["name"], "python");
}

#[test]
fn folds_cover_brackets_blocks_and_comments() {
    let text =
        "# a\n# b\n$0pipeline p {\n  stage a {\n    run = \"\"\"\n      x\n    \"\"\"\n  }\n}\n";
    let (mut editor, _) = editor(text);
    let answer = editor.ask("textDocument/foldingRange", ROOT, json!({}));
    let folds = answer.as_array().unwrap().iter();
    let folds: Vec<(u64, u64)> = folds
        .map(|fold| {
            (
                fold["startLine"].as_u64().unwrap(),
                fold["endLine"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(folds, [(0, 1), (2, 7), (3, 6), (4, 6)]);
}

#[test]
fn semantic_tokens_follow_each_other() {
    let (mut editor, _) =
        editor("$0pipeline p {\n  param d: int = 1\n  stage a { retries = d }\n}\n");
    let answer = editor.ask("textDocument/semanticTokens/full", ROOT, json!({}));
    let expected = json!([0, 9, 1, 0, 1, 1, 8, 1, 3, 1, 1, 8, 1, 2, 1, 0, 14, 1, 3, 0]);
    assert_eq!(answer["data"], expected);
}

#[test]
fn hints_and_lenses_count_items_and_name_neighbours() {
    let mut editor = sales();
    let range = json!({"start": {"line": 0, "character": 0}, "end": {"line": 99, "character": 0}});
    let hints = editor.ask("textDocument/inlayHint", ROOT, json!({"range": range}));
    let hints = hints.as_array().unwrap().iter().map(|hint| {
        let at = &hint["position"];
        let label = hint["label"].as_str().unwrap();
        format!("{}:{} {label}", at["line"], at["character"])
    });
    let hints: Vec<String> = hints.collect();
    let expected = [
        "10:37 2 items",
        "10:37 = [\"eu\", \"us\"]",
        "17:53 = \"2026-01-31\"",
        "19:19 approvers = 1",
    ];
    assert_eq!(hints, expected);
    let range = json!({"start": {"line": 18, "character": 0}, "end": {"line": 20, "character": 0}});
    let hints_of_lines = editor.ask("textDocument/inlayHint", ROOT, json!({"range": range}));
    assert_eq!(hints_of_lines.as_array().unwrap().len(), 1);
    let lenses = editor.ask("textDocument/codeLens", ROOT, json!({}));
    let titles: Vec<&str> = lenses
        .as_array()
        .unwrap()
        .iter()
        .map(|lens| lens["command"]["title"].as_str().unwrap())
        .collect();
    assert_eq!(titles[1], "runs after extract, sign-off · holds schema");
}
