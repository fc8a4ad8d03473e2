//! Fixes are data: every fix of every fixture, page and mistake makes its diagnostic go away, adds no
//! error, and changes nothing when it is applied again. `BLESS=1` rewrites the table of codes; read the
//! diff.
#![expect(clippy::unwrap_used, reason = "a test")]

#[path = "../../tests/bless.rs"]
mod bless;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use konductor_compiler::{Compiled, Options, check, repair};
use konductor_dsl::{CODES, Code, Diagnostic, Fix, SourceId, Sources, apply, apply_fixes, tokens};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn read_import(path: &str) -> Result<String, String> {
    let file = folder().join("fixtures").join(path);
    std::fs::read_to_string(file).map_err(|_| "no such file".to_owned())
}

fn options(text: &str) -> Options<'_> {
    let mut options = Options::at("2026-01-31T02:03:04Z".parse().unwrap());
    options.read_import = &read_import;
    for line in text.lines() {
        if let Some(set) = line.strip_prefix("# --set ") {
            let (name, text) = set.split_once('=').unwrap();
            options.set.push((name.to_owned(), text.to_owned()));
        } else if let Some(run) = line.strip_prefix("# --run ") {
            options.run = Some(run.to_owned());
        }
    }
    options
}

/// Every text with mistakes that there is: its name, and what is written.
fn texts() -> Vec<(String, String)> {
    let mut texts = Vec::new();
    let kept = ["fixtures", "../../dsl/tests/fixtures"];
    for path in kept
        .iter()
        .flat_map(|kept| bless::fixtures(&folder().join(kept), ""))
    {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        texts.push((name, std::fs::read_to_string(&path).unwrap()));
    }
    for code in CODES.iter().filter(|code| **code != Code::K0107) {
        for (index, example) in code.page().split("```kon\n").skip(1).enumerate() {
            let text = example.split("```").next().unwrap();
            texts.push((format!("{code} {index}"), text.to_owned()));
        }
    }
    for path in bless::fixtures(&folder().join("mistakes"), "") {
        let all = std::fs::read_to_string(path).unwrap();
        for piece in all.split("### ").skip(1) {
            let (heading, body) = piece.split_once('\n').unwrap();
            let begins = |line: &str| {
                let word = line.split_whitespace().next();
                matches!(word, Some("pipeline" | "template" | "import"))
            };
            let is_whole = heading.starts_with("file: ") || body.lines().any(begins);
            let text = match is_whole {
                true => body.to_owned(),
                false => format!("pipeline p {{\n  defaults {{ image = \"b:1\" }}\n{body}}}\n"),
            };
            texts.push((heading.to_owned(), text));
        }
    }
    texts
}

fn checked(text: &str, options: &Options<'_>) -> Compiled {
    let mut sources = Sources::default();
    sources.add("test.kon", text);
    check(sources, options)
}

type Count = BTreeMap<(Code, String), usize>;

/// How often each is reported.
fn count<'d>(diagnostics: impl IntoIterator<Item = &'d Diagnostic>) -> Count {
    let mut count = Count::new();
    for diagnostic in diagnostics {
        *count
            .entry((diagnostic.code, diagnostic.message.clone()))
            .or_default() += 1;
    }
    count
}

/// The places, in the text with a fix, of what the fix wrote.
fn wrote(fix: &Fix, sources: &Sources) -> impl Iterator<Item = (u32, u32)> {
    let mut moved = 0_i64;
    let places = fix.text_edits(sources).into_iter().map(move |edit| {
        let start = i64::from(edit.span.start) + moved;
        let length = i64::try_from(edit.text.len()).unwrap();
        moved += length - i64::from(edit.span.end - edit.span.start);
        let at = |place: i64| u32::try_from(place).unwrap();
        (at(start), at(start + length))
    });
    places.filter(|(start, end)| start < end)
}

/// Whether a diagnostic is about a place.
fn touches(diagnostic: &Diagnostic, (start, end): (u32, u32)) -> bool {
    let span = diagnostic.span();
    span.start < end && start < span.end
}

/// Whether what is behind it could not be looked at before: where text can't be read, or a name is
/// unknown, more is found once it is corrected.
fn hides_others(code: Code) -> bool {
    code < Code::K0202 || matches!(code, Code::K0203 | Code::K0205 | Code::K0301 | Code::K0304)
}

#[test]
fn each_fix_alone_makes_its_diagnostic_go_away_and_adds_no_error() {
    let mut wrong = String::new();
    let mut applied = 0;
    for (name, text) in texts() {
        let options = options(&text);
        let before = checked(&text, &options);
        let errors = |compiled: &Compiled| {
            count(
                compiled
                    .diagnostics
                    .iter()
                    .filter(|diagnostic| diagnostic.is_error()),
            )
        };
        for diagnostic in &before.diagnostics {
            for fix in &diagnostic.fixes {
                applied += 1;
                let fixed = apply(&text, fix.text_edits(&before.sources));
                let after = checked(&fixed, &options);
                let key = (diagnostic.code, diagnostic.message.clone());
                let left = count(&after.diagnostics)
                    .get(&key)
                    .copied()
                    .unwrap_or_default();
                let mut problem = String::new();
                let mut same = after.diagnostics.iter();
                let at = diagnostic.span().start;
                let is_here = same.any(|other| other.code == key.0 && other.span().start == at);
                // Of several mistakes in what can't be read, the first is reported.
                let moves = diagnostic.code < Code::K0201 && !is_here;
                if left >= count(&before.diagnostics)[&key] && !moves {
                    problem = "is still reported".to_owned();
                }
                let errors_before = errors(&before);
                let new = errors(&after)
                    .into_keys()
                    .find(|key| !errors_before.contains_key(key));
                let is_there = |other: &&Diagnostic| {
                    other.is_error()
                        && wrote(fix, &before.sources).any(|place| touches(other, place))
                };
                let there = after.diagnostics.iter().find(is_there);
                let there = there.map(|other| (other.code, other.message.clone()));
                // What is read for the first time is checked by the later phases for the first time.
                let phase = diagnostic.code.phase();
                let there =
                    there.filter(|key| !errors_before.contains_key(key) && key.0.phase() == phase);
                let new = new.filter(|_| !hides_others(diagnostic.code)).or(there);
                if let Some((code, message)) = new {
                    write!(problem, " and now {code} {message}").unwrap();
                }
                if !problem.is_empty() {
                    let (code, message) = (diagnostic.code, &diagnostic.message);
                    writeln!(
                        wrong,
                        "--- {name}: {code} {message}: {}: {problem}\n{fixed}",
                        fix.message
                    )
                    .unwrap();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(applied > 200, "{applied}");
}

#[test]
fn fixing_a_file_ends_and_twice_changes_nothing() {
    for (name, text) in texts() {
        let options = options(&text);
        let once = repair("test.kon", text.clone(), &options);
        let left = &once.compiled;
        let more = apply_fixes(&left.sources, SourceId::default(), &left.diagnostics);
        assert!(more.is_none(), "{name}\n{}", once.text);
        assert_eq!(once.repairs.is_empty(), once.text == text, "{name}");
        let twice = repair("test.kon", once.text.clone(), &options);
        assert_eq!(
            (twice.text, twice.repairs),
            (once.text, Vec::new()),
            "{name}"
        );
        let errors = |compiled: &Compiled| {
            let all = compiled.diagnostics.iter();
            all.filter(|diagnostic| diagnostic.is_error()).count()
        };
        let (before, after) = (errors(&checked(&text, &options)), errors(&once.compiled));
        let reveals = once.repairs.iter().any(|repair| hides_others(repair.code));
        assert!(
            after <= before || reveals,
            "{name}: {before} errors, then {after}"
        );
    }
}

/// Correct files. Each declares what its other lines use.
const CORRECT: [&str; 3] = [
    r#"pipeline p {
  defaults { image = "b:1" }
  param regions: list<string> = ["eu", "us"]
  stage a for r in regions { run = "echo \"${r}\"" output n: int }
  stage b for r in regions after a[r] { run = "echo \"${r}\" ${a[r].n}" }
  stage c after b { run = "true" }
}
"#,
    r#"pipeline p {
  defaults { image = "b:1" }
  semaphore db { permits = 2 }
  lease schema { ttl = 30s }
  workspace data { size = 1Gi }
  param day: string = "monday"
  stage load holding db(2), schema { run = "echo \"${day}\" ${token.schema}" mount data at "/data" output rows: int }
  stage check after load when load.rows > 0 { run = "true" }
  stage loads after load { run = "echo ${load.rows}" }
}
"#,
    r#"template t(day: string, region: string) {
  image = "b:1"
  run = "echo \"${day}\" \"${region}\""
}
pipeline p {
  param mode: "fast" | "full" = "full"
  param table: {name: string, size: int} = { name = "a", size = 1 }
  approval go
  stage a for region in ["eu", "us"], i in 1..3 after go when mode == "full" { use t { day = table.name, region = region } }
  finally stage end when run.outcome == "failed" { image = "b:1" run = "echo ${table.size}" }
}
"#,
];

#[test]
fn fixes_of_a_line_with_a_missing_token_leave_all_correct_lines_as_they_are() {
    let options = options("");
    let mut damaged = 0;
    for text in CORRECT {
        let compiled = checked(text, &options);
        assert!(
            compiled.diagnostics.is_empty(),
            "{:?}",
            compiled.diagnostics
        );
        for token in tokens(text) {
            let mut broken = text.to_owned();
            broken.replace_range(token.start..token.end, "");
            damaged += 1;
            let repaired = repair("test.kon", broken.clone(), &options);
            let line = text[..token.start].matches('\n').count();
            let others = |text: &str| {
                let lines = text.lines().enumerate().filter(|(at, _)| *at != line);
                lines.map(|(_, line)| line.to_owned()).collect::<Vec<_>>()
            };
            assert_eq!(
                others(&repaired.text),
                others(&broken),
                "without the token at {}\n{broken}",
                token.start
            );
        }
    }
    assert!(damaged > 200, "{damaged}");
}

#[test]
fn repairs_are_at_their_places_in_the_original_file() {
    let text = r#"pipeline p {
  defaults { imgae = "b:1" }
  stage load { run: "x" retrys = 2 }
  stage b after laod { run = 'x' }
}
"#;
    let repaired = repair("test.kon", text.to_owned(), &options(""));
    for repair in &repaired.repairs {
        let line = text.lines().nth(repair.line - 1).unwrap();
        let wrong = ["imgae", "run:", "retrys", "laod", "'x'", ":"];
        let at = &line[repair.column - 1..];
        assert!(
            wrong.iter().any(|wrong| at.starts_with(wrong)),
            "{repair:?} is at {at}"
        );
    }
    assert_eq!(repaired.repairs.len(), 5, "{}", repaired.text);
}

/// Codes that no edit of the file can fix, with the reason why.
const NONE_IS_POSSIBLE: [(&[Code], &str); 6] = [
    (
        &[Code::K0208, Code::K0209, Code::K0303],
        "it is about what the command line gives",
    ),
    (
        &[
            Code::K0103,
            Code::K0107,
            Code::K0418,
            Code::K0501,
            Code::K0505,
        ],
        "something is too large, and a person has to split it",
    ),
    (
        &[
            Code::K0108,
            Code::K0202,
            Code::K0502,
            Code::K0504,
            Code::K0302,
            Code::K0320,
            Code::K0407,
        ],
        "a person has to choose another name, path or value",
    ),
    (
        &[
            Code::K0210,
            Code::K0212,
            Code::K0215,
            Code::K0311,
            Code::K0313,
            Code::K0316,
            Code::K0317,
        ],
        "what is missing is known to a person only",
    ),
    (
        &[
            Code::K0213,
            Code::K0214,
            Code::K0305,
            Code::K0330,
            Code::K0331,
            Code::K0333,
            Code::K0401,
            Code::K0413,
            Code::K0416,
        ],
        "the pipeline has to be designed in another way",
    ),
    (
        &[Code::K0404, Code::K0506, Code::K0511],
        "what was meant can't be known",
    ),
];

#[test]
fn most_codes_that_an_edit_can_fix_have_a_fix() {
    let mut most: BTreeMap<Code, &str> = BTreeMap::new();
    for (_, text) in texts() {
        for diagnostic in &checked(&text, &options(&text)).diagnostics {
            let kind = match diagnostic.certain_fix() {
                Some(_) => "fix",
                None if diagnostic.fixes.is_empty() => continue,
                None => "choice",
            };
            let best = most.entry(diagnostic.code).or_insert(kind);
            *best = (*best).max(kind);
        }
    }
    let impossible = |code: Code| {
        let mut all = NONE_IS_POSSIBLE.iter();
        let row = all.find(|(codes, _)| codes.contains(&code));
        row.map(|(_, reason)| *reason)
    };
    let mut table = String::new();
    let (mut fixed, mut choices, mut possible) = (0, 0, 0);
    for code in CODES {
        let kind = most.get(code).copied();
        assert!(
            kind.is_none() || impossible(*code).is_none(),
            "{code} has a fix"
        );
        fixed += usize::from(kind == Some("fix"));
        choices += usize::from(kind == Some("choice"));
        possible += usize::from(impossible(*code).is_none());
        let kind = kind.unwrap_or(match impossible(*code) {
            Some(_) => "-",
            None => "none yet",
        });
        writeln!(table, "{code}  {kind:<8}  {}", code.title()).unwrap();
    }
    writeln!(
        table,
        "\n{} codes: {possible} can have a fix, {fixed} have one, {choices} more a choice of several",
        CODES.len()
    )
    .unwrap();
    bless::compare(&folder().join("fixes.txt"), &table);
    assert!(
        (fixed + choices) * 10 >= possible * 6,
        "{fixed} + {choices} of {possible}"
    );
}

#[test]
fn no_unused_declaration_is_removed() {
    let text = "pipeline p {\n  param day: string\n  lease schema { ttl = 30s }\n  stage a { image = \"b:1\", run = \"true\" }\n}\n";
    let repaired = repair("test.kon", text.to_owned(), &options(text));
    assert_eq!((&*repaired.text, repaired.repairs.len()), (text, 0));
    let offered = |diagnostic: &Diagnostic| {
        diagnostic
            .fixes
            .iter()
            .any(|fix| fix.message == "remove it")
    };
    assert!(repaired.compiled.diagnostics.iter().all(offered));
}
