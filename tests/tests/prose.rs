//! Plain English, as CONTRIBUTING.md asks for: phrases that readers have to translate do not come back.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use regex::{Regex, RegexBuilder};

/// What not to write, in names and in text. CONTRIBUTING.md says what to write instead.
const PHRASES: [&str; 12] = [
    "told",
    "tells?|telling",
    "(?:go|goes|going|went|gone)[ _]on",
    "anew",
    r"(?:gives?|gave|given|giving)[ _](?:\w+[ _])?back",
    "for[ _]ever",
    "who(?:ever)?[ _](?:leads?|holds?|waits?|asks?)",
    "there[ _]already",
    "(?:come|came)[ _](?:too[ _]late|in[ _]time)",
    "where (?:one|none) (?:is|are|has|was)",
    "what[ _]there[ _]is",
    "all[ _]the[ _]same",
];

/// Lines that may have one.
const EXCEPTIONS: [(&str, &str); 4] = [
    ("CONTRIBUTING.md", "| "),
    // The name of a mutant, and its rule.
    ("docs/evidence.md", "strike-before-telling"),
    // A stage that is called so.
    ("tests/src/simulation/stories.rs", "tell"),
    // A wrong duration.
    ("tests/transcripts/operator/wait.md", "--for ever"),
];

/// Names that do not say what they hold.
const VAGUE: &str = "(?:told|found|known|one|wanted)";

/// Where names are bound. VAGUE stands for those above, and BEFORE for others in front of them.
const BINDINGS: [&str; 6] = [
    r"\blet (?:mut )?[\[(]*BEFORE(?:mut )?VAGUE\b",
    // Parameters of closures, the first and the second.
    r"\|[&(]*BEFORE(?:mut )?VAGUE[,:)|]",
    r"\|[a-z_]+(?:: [^|]*)?, VAGUE(?:: [^|]*)?\|",
    // Patterns such as `Some(..)`.
    r"\b[A-Z]\w*\(+BEFORE(?:ref |mut )*VAGUE[,)]",
    r"\bfor [&(]*BEFORE(?:mut )?VAGUE\b.* in ",
    r"\bfn \w+.*[(, ](?:mut )?VAGUE: ",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Sources and pages below a folder, with their paths from the root.
fn files(folder: &str, texts: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(root().join(folder)).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{folder}{name}");
        let is_built = name == "target" || name == "node_modules" || name.starts_with('.');
        if entry.path().is_dir() {
            if !is_built {
                files(&format!("{path}/"), texts);
            }
        } else if [".rs", ".md", ".go"].iter().any(|end| name.ends_with(end)) {
            let text = std::fs::read_to_string(entry.path()).expect("text");
            texts.insert(path, text);
        }
    }
}

/// Whether a line may have a phrase.
fn is_exception(path: &str, line: &str) -> bool {
    let exceptions = EXCEPTIONS.iter();
    exceptions
        .filter(|(file, _)| *file == path)
        .any(|(_, part)| line.contains(part))
}

#[test]
fn phrases_that_readers_have_to_translate_do_not_come_back() {
    let phrases = format!("(?:^|[^A-Za-z])(?:{})(?:[^A-Za-z]|$)", PHRASES.join("|"));
    let phrases = RegexBuilder::new(&phrases).case_insensitive(true).build();
    let phrases = phrases.expect("a pattern");
    let mut all = BTreeMap::new();
    files("", &mut all);
    all.remove("tests/tests/prose.rs");
    assert!(all.len() > 500, "only {} files", all.len());
    let mut wrong = String::new();
    for (path, text) in &all {
        for (index, line) in text.lines().enumerate() {
            if phrases.is_match(line) && !is_exception(path, line) {
                let _ = writeln!(wrong, "{path}:{}: {}", index + 1, line.trim());
            }
        }
    }
    assert_eq!(wrong, "", "CONTRIBUTING.md says what to write instead");
}

#[test]
fn bindings_say_what_they_hold() {
    let pattern = |text: &str| {
        let text = text.replace("BEFORE", "(?:[a-z_]+, )*");
        Regex::new(&text.replace("VAGUE", VAGUE)).expect("a pattern")
    };
    let vague = pattern(r"\bVAGUE\b");
    let bindings = pattern(&BINDINGS.join("|"));
    let parameter = pattern(r"^\s+(?:mut )?VAGUE: ");
    // Strings and comments.
    let noise = pattern(r#"'\\?"'|"(?:\\.|[^"\\])*"|//.*"#);
    let mut all = BTreeMap::new();
    files("", &mut all);
    all.retain(|path, _| path.ends_with(".rs"));
    assert!(all.len() > 300, "only {} files", all.len());
    let mut wrong = String::new();
    for (path, text) in &all {
        let mut is_signature = false;
        for (index, line) in text.lines().enumerate() {
            if line.contains("fn ") && line.ends_with('(') {
                is_signature = true;
            } else if line.trim_start().starts_with(')') {
                is_signature = false;
            }
            if !vague.is_match(line) {
                continue;
            }
            let code = noise.replace_all(line, "");
            if bindings.is_match(&code) || is_signature && parameter.is_match(&code) {
                let _ = writeln!(wrong, "{path}:{}: {}", index + 1, line.trim());
            }
        }
    }
    assert_eq!(wrong, "", "CONTRIBUTING.md: bindings say what they hold");
}

/// The row of numbers between two marks of a page.
fn numbers(text: &str, mark: &str) -> Vec<usize> {
    let (_, rest) = text
        .split_once(&format!("<!-- {mark} -->"))
        .expect("a mark");
    let (table, _) = rest.split_once("<!-- end -->").expect("its end");
    let row = table.trim_end().lines().next_back().expect("a row");
    let cells = row
        .split('|')
        .map(str::trim)
        .filter(|cell| !cell.is_empty());
    cells.map(|cell| cell.parse().expect("a number")).collect()
}

#[test]
fn the_numbers_of_the_comparison_are_those_of_its_files() {
    let folder = root().join("tests/differential");
    let (mut requests, mut broken) = (0, 0);
    for entry in std::fs::read_dir(folder.join("answers")).expect("answers") {
        let entry = entry.expect("an entry");
        let answers = std::fs::read_to_string(entry.path()).expect("text");
        let count = answers.lines().count();
        requests += count;
        if entry.file_name().to_string_lossy().starts_with("broken-") {
            broken += count;
        }
    }
    let listed = std::fs::read_to_string(folder.join("differences.yaml")).expect("text");
    let listed: Vec<serde_json::Value> = serde_saphyr::from_str(&listed).expect("differences");
    let differ = listed
        .iter()
        .map(|difference| difference["requests"].as_array().map_or(0, Vec::len));
    let page = std::fs::read_to_string(root().join("local/README.md")).expect("text");
    let expected = [requests, broken, differ.sum(), listed.len()];
    assert_eq!(numbers(&page, "comparison"), expected, "local/README.md");
}
