//! What is offered while somebody types.
//!
//! `$0` in a text is where the cursor is. Lines and columns are counted from 0.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use support::editor;

/// What is offered at the cursor.
fn offered(text: &str) -> Vec<String> {
    let (mut editor, at) = editor(text);
    let answer = editor.ask_at("textDocument/completion", at);
    let labels = answer.as_array().unwrap().iter();
    labels
        .map(|item| item["label"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn completion_offers_what_can_stand_at_the_cursor_of_an_unfinished_text() {
    const BEFORE: &str = "template t(m: string) { exec = [m] }\npipeline p {\n  param day: string = \"a\"\n  \
        lease l { ttl = 1m }\n  workspace w { size = 1Gi }\n  stage a for x in [1] { output n: int }\n  ";
    let table: [(&str, &[&str], &[&str]); 16] = [
        (
            "stage b after $0",
            &["a", "any(…)", "holding"],
            &["day", "b", "after"],
        ),
        ("stage b $0", &["for", "after", "when"], &["a"]),
        ("stage b after a holding $0", &["l"], &["a", "w"]),
        ("stage b after a.$0", &["failed", "finished"], &["a"]),
        ("stage b when a[1].$0", &["n"], &["failed"]),
        (
            "stage b after a[*].$0",
            &["failed", "finished"],
            &["n", "a"],
        ),
        ("stage b { run = \"${a[*].$0\" }", &["n"], &["failed"]),
        ("stage b { run = \"${$0\" }", &["day", "a", "run"], &["l"]),
        ("stage b { run = \"${token.$0\" }", &["l"], &["day"]),
        (
            "stage b { run = \"${run.$0\" }",
            &["name", "date"],
            &["day"],
        ),
        (
            "stage b { $0 }",
            &["image", "run", "mount", "use"],
            &["stage", "ttl"],
        ),
        ("stage b { mount $0 }", &["w"], &["l"]),
        ("stage b { use $0 }", &["t"], &["a"]),
        ("stage b { use t { $0 } }", &["m"], &["image"]),
        ("workspace v { access = $0 }", &["one", "many"], &["day"]),
        ("$0", &["stage", "param", "timeout"], &["image"]),
    ];
    for (text, expected, others) in table {
        let words = offered(&format!("{BEFORE}{text}\n}}\n"));
        for word in expected {
            assert!(
                words.iter().any(|other| other == word),
                "{text}: no {word} in {words:?}"
            );
        }
        for word in others {
            assert!(
                !words.iter().any(|other| other == word),
                "{text}: {word} in {words:?}"
            );
        }
    }
    assert_eq!(offered("$0"), ["pipeline", "template", "import"]);
    assert_eq!(offered("# stage $0"), Vec::<String>::new());
}

#[test]
fn completion_in_yaml_offers_the_fields_of_kubernetes() {
    let table: [(&str, &[&str], &[&str]); 4] = [
        (
            "pod \"\"\"\n      $0\n    \"\"\"",
            &["hostNetwork", "dnsPolicy"],
            &["spec", "image"],
        ),
        (
            "pod \"\"\"\n      containers:\n        - name: main\n          $0\n    \"\"\"",
            &["securityContext", "livenessProbe"],
            &["hostNetwork"],
        ),
        (
            "job \"\"\"\n      spec:\n        $0\n    \"\"\"",
            &["backoffLimit", "template"],
            &["suspend"],
        ),
        (
            "pod \"\"\"\n      hostNetwork: $0\n    \"\"\"",
            &[],
            &["hostNetwork"],
        ),
    ];
    for (block, expected, others) in table {
        let words = offered(&format!(
            "pipeline p {{\n  stage a {{\n    {block}\n  }}\n}}\n"
        ));
        for word in expected {
            assert!(
                words.iter().any(|other| other == word),
                "{block}: no {word} in {words:?}"
            );
        }
        for word in others {
            assert!(
                !words.iter().any(|other| other == word),
                "{block}: {word} in {words:?}"
            );
        }
    }
}

#[test]
fn signatures_show_the_parameters_of_templates_and_calls() {
    let text =
        "template t(m: string, n: int = 1) { exec = [m] }\npipeline p { stage a { use t { n = $0";
    let (mut editor, at) = editor(text);
    let answer = editor.ask_at("textDocument/signatureHelp", at);
    assert_eq!(answer["signatures"][0]["label"], "t(m: string, n: int = 1)");
    assert_eq!(answer["activeParameter"], 1);
    let (mut editor, at) = self::editor("pipeline p { stage a { env { A = secret(\"x\", $0");
    let answer = editor.ask_at("textDocument/signatureHelp", at);
    assert_eq!(
        answer["signatures"][0]["label"],
        "secret(\"NAME\", \"KEY\")"
    );
    assert_eq!(answer["activeParameter"], 1);
}
