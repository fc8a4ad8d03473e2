//! Graphs of runs in a cluster.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use std::path::Path;

use serde_json::json;

use support::Dev;

const FANNED_OUT: &str = r#"pipeline fan {
  defaults { image = "busybox:1.36" }
  approval ready after zero { approvers = 1 }
  stage zero { exec = ["true"] }
  stage part for i in ["a", "b", "c"] after zero { exec = ["true"] }
  stage all after part { exec = ["true"] }
  stage ask after all, ready { exec = ["true"] }
  finally stage aa { exec = ["true"] }
}
"#;

fn written(folder: &Path, text: &str) -> String {
    let file = folder.join("pipeline.kon");
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

/// Whether a text is a time such as `1m30s`, and nothing else.
fn is_age(text: &str) -> bool {
    let pattern = regex::Regex::new("^(?:[0-9]+[dhms])+$").unwrap();
    pattern.is_match(text)
}

#[test]
fn a_run_is_drawn_with_its_states() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let file = written(folder.path(), FANNED_OUT);
    dev.printed(&["apply", &file]);
    assert_eq!(
        dev.printed(&["wait", "job/fan-all", "--timeout", "1m"]),
        "exit code 0\n"
    );
    assert_eq!(
        dev.printed(&["graph", "fan"]),
        "STAGE             STATE            AFTER       HOLDING\n\
         zero              ✓ succeeded\n\
         part [3]          ✓ succeeded 3/3  zero\n\
         all               ✓ succeeded      part\n\
         ready (approval)  ○ waiting        zero\n\
         ask               ○ waiting        all, ready\n\
         aa (finally)      ○ waiting\n\
         exit code 0\n"
    );
    dev.printed(&["approve", "fan-ready"]);
    assert_eq!(
        dev.printed(&["wait", "run/fan", "--timeout", "1m"]),
        "exit code 0\n"
    );
    let mermaid = dev.printed(&["graph", "run/fan", "--as", "mermaid"]);
    assert_eq!(
        mermaid,
        "flowchart LR\n  n0[\"zero<br/>✓ succeeded\"]:::succeeded\n  n1[\"part [3]<br/>✓ succeeded \
         3/3\"]:::succeeded\n  n2[\"all<br/>✓ succeeded\"]:::succeeded\n  n3[\"ask<br/>✓ \
         succeeded\"]:::succeeded\n  n4[/\"aa (finally)<br/>✓ succeeded\"/]:::succeeded\n  \
         n5{{\"ready (approval)<br/>✓ succeeded\"}}:::succeeded\n  n0 --> n1\n  n1 --> n2\n  n2 --> \
         n3\n  n5 --> n3\n  n0 --> n5\n  classDef succeeded fill:#dcf5e1,stroke:#1a7f37,color:#1f2328\n\
         exit code 0\n"
    );
    let picture = dev.printed(&["graph", "fan", "--as", "svg"]);
    for part in [
        "<svg ",
        ">part [3]</text>",
        ">[n]: n items</text>",
        "</svg>\n",
    ] {
        assert!(picture.contains(part), "{part}: {picture}");
    }
    let states = picture
        .lines()
        .filter(|line| line.starts_with("<text class=\"state\""));
    let states = states.filter_map(|line| line.split('>').nth(1)?.strip_suffix("</text"));
    let states: Vec<&str> = states.collect();
    for (index, state) in states[..5].iter().enumerate() {
        let start = if index == 1 {
            "✓ succeeded 3/3 "
        } else {
            "✓ succeeded "
        };
        let took = state.strip_prefix(start).unwrap_or_default();
        assert!(is_age(took), "{state}: {picture}");
    }
    // An approval takes no time of its own.
    assert_eq!(states[5..], ["✓ succeeded"]);
    let document = dev.koncli(&["graph", "fan", "-o", "json"]);
    let document: serde_json::Value = serde_json::from_slice(&document.stdout).unwrap();
    assert_eq!(
        ["run", "phase"].map(|field| &document[field]),
        ["fan", "Succeeded"]
    );
    let part = &document["nodes"][1];
    assert_eq!(
        (
            &part["name"],
            &part["state"],
            &part["ended"],
            part["seconds"].is_u64()
        ),
        (&json!("part"), &json!("succeeded"), &json!(3), true)
    );
    assert_eq!(
        dev.printed(&["graph", "gone"]),
        "error: run/gone in namespace default does not exist\n  help: look at `koncli \
         runs`\nexit code 4\n"
    );
}
