//! The TextMate grammar that editors colour by: it is sound, it has every word of the language, and
//! it says what the listing beside the fixture says (`BLESS=1` rewrites it).
#![expect(clippy::unwrap_used, reason = "a test")]

#[path = "../../tests/bless.rs"]
mod bless;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use fancy_regex::Regex;
use serde_json::Value as Json;

const GRAMMAR: &str = include_str!("../editors/konductor.tmLanguage.json");
const PEST: &str = include_str!("../src/konductor.pest");

/// A rule of a TextMate grammar, as far as this one uses them.
enum Rule {
    Include(String),
    Match {
        regex: Regex,
        name: Option<String>,
        captures: Vec<(usize, String)>,
    },
    Region {
        begin: Regex,
        end: Regex,
        name: String,
        begin_name: Option<String>,
        end_name: Option<String>,
        patterns: Vec<Rule>,
    },
}

struct Grammar {
    patterns: Vec<Rule>,
    repository: Vec<(String, Vec<Rule>)>,
}

fn text(json: &Json, key: &str) -> Option<String> {
    json.get(key).map(|text| text.as_str().unwrap().to_owned())
}

fn regex(json: &Json, key: &str) -> Regex {
    let pattern = json[key].as_str().unwrap();
    Regex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"))
}

fn rules(json: &Json) -> Vec<Rule> {
    let patterns = json.get("patterns").and_then(Json::as_array);
    patterns.into_iter().flatten().map(rule).collect()
}

fn rule(json: &Json) -> Rule {
    let keys: Vec<&str> = json.as_object().unwrap().keys().map(|key| &**key).collect();
    if let Some(include) = text(json, "include") {
        assert_eq!(keys, ["include"]);
        return Rule::Include(include.strip_prefix('#').unwrap().to_owned());
    }
    let scope = |key: &str, group: &str| {
        let captures = json.get(key)?;
        text(captures.get(group)?, "name")
    };
    if json.get("begin").is_some() {
        return Rule::Region {
            begin: regex(json, "begin"),
            end: regex(json, "end"),
            name: text(json, "name").unwrap(),
            begin_name: scope("beginCaptures", "0"),
            end_name: scope("endCaptures", "0"),
            patterns: rules(json),
        };
    }
    for key in &keys {
        assert!(["name", "match", "captures"].contains(key), "{key}");
    }
    let captures = json.get("captures").and_then(Json::as_object);
    let captures = captures.into_iter().flatten();
    Rule::Match {
        regex: regex(json, "match"),
        name: text(json, "name"),
        captures: captures
            .map(|(group, scope)| (group.parse().unwrap(), text(scope, "name").unwrap()))
            .collect(),
    }
}

impl Grammar {
    /// Reads the grammar; every regular expression is compiled.
    fn read() -> Self {
        let json: Json = serde_json::from_str(GRAMMAR).unwrap();
        let repository = json["repository"].as_object().unwrap();
        Self {
            patterns: rules(&json),
            repository: repository
                .iter()
                .map(|(name, json)| (name.clone(), rules(json)))
                .collect(),
        }
    }

    fn named(&self, name: &str) -> &[Rule] {
        let entry = self.repository.iter().find(|(key, _)| key == name);
        &entry.unwrap_or_else(|| panic!("#{name} does not exist")).1
    }

    /// Rules with what they include in its place.
    fn flat<'a>(&'a self, rules: &'a [Rule]) -> Vec<&'a Rule> {
        let mut all = Vec::new();
        for rule in rules {
            match rule {
                Rule::Include(name) => all.extend(self.flat(self.named(name))),
                other => all.push(other),
            }
        }
        all
    }

    /// What each line consists of: pieces of text and the scopes around them, innermost last.
    fn tokenize<'a>(&'a self, text: &'a str) -> Vec<Vec<(&'a str, Vec<&'a str>)>> {
        let mut open: Vec<&Rule> = Vec::new();
        let lines = text.lines();
        lines.map(|line| self.line(line, &mut open)).collect()
    }

    fn line<'a>(&'a self, line: &'a str, open: &mut Vec<&'a Rule>) -> Vec<(&'a str, Vec<&'a str>)> {
        let mut pieces = Vec::new();
        let mut at = 0;
        loop {
            let (end, patterns) = match open.last() {
                Some(Rule::Region { end, patterns, .. }) => (Some(end), patterns),
                _ => (None, &self.patterns),
            };
            // The first match wins, and of two at one place the one that is written first.
            let find = |regex: &Regex| {
                let matched = regex.find_from_pos(line, at).unwrap();
                matched.map(|matched| (matched.start(), matched.end()))
            };
            let mut next = end.and_then(find).map(|place| (place, None));
            for rule in self.flat(patterns) {
                let (Rule::Match { regex, .. } | Rule::Region { begin: regex, .. }) = rule else {
                    continue;
                };
                if let Some(place) = find(regex)
                    && next.is_none_or(|(best, _)| place.0 < best.0)
                {
                    next = Some((place, Some(rule)));
                }
            }
            let Some(((start, stop), rule)) = next else {
                push(&mut pieces, &line[at..], scopes(open, &[]));
                return pieces;
            };
            push(&mut pieces, &line[at..start], scopes(open, &[]));
            let matched = &line[start..stop];
            match rule {
                None => {
                    let Some(Rule::Region { end_name, .. }) = open.last() else {
                        unreachable!("only a region has an end");
                    };
                    push(&mut pieces, matched, scopes(open, &[end_name.as_deref()]));
                    open.pop();
                }
                Some(region @ Rule::Region { begin_name, .. }) => {
                    open.push(region);
                    push(&mut pieces, matched, scopes(open, &[begin_name.as_deref()]));
                }
                Some(Rule::Match {
                    regex,
                    name,
                    captures,
                }) => {
                    let groups = regex.captures_from_pos(line, at).unwrap().unwrap();
                    let mut done = start;
                    for (group, scope) in captures {
                        if let Some(group) = groups.get(*group) {
                            let outer = scopes(open, &[name.as_deref()]);
                            push(&mut pieces, &line[done..group.start()], outer);
                            let inner = scopes(open, &[name.as_deref(), Some(scope)]);
                            push(&mut pieces, group.as_str(), inner);
                            done = group.end();
                        }
                    }
                    push(
                        &mut pieces,
                        &line[done..stop],
                        scopes(open, &[name.as_deref()]),
                    );
                }
                Some(Rule::Include(_)) => unreachable!("includes are flat"),
            }
            let is_stuck = stop == at && rule.is_some();
            assert!(!is_stuck, "a rule matches nothing at {at} of {line}");
            at = stop;
        }
    }
}

fn scopes<'a>(open: &[&'a Rule], inner: &[Option<&'a str>]) -> Vec<&'a str> {
    let outer = open.iter().map(|rule| match rule {
        Rule::Region { name, .. } => Some(&**name),
        _ => None,
    });
    outer.chain(inner.iter().copied()).flatten().collect()
}

fn push<'a>(pieces: &mut Vec<(&'a str, Vec<&'a str>)>, text: &'a str, scopes: Vec<&'a str>) {
    if !text.is_empty() {
        pieces.push((text, scopes));
    }
}

/// Every word that `konductor.pest` has a rule for: `kw_after = @{ "after" ~ … }`.
fn words() -> BTreeSet<&'static str> {
    let rules = PEST
        .split("kw_")
        .filter_map(|rule| rule.split_once("= @{ \""));
    rules
        .filter(|(name, _)| name.trim().bytes().all(|byte| byte.is_ascii_lowercase()))
        .filter_map(|(_, rest)| rest.split('"').next())
        .collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/textmate")
}

#[test]
fn every_include_leads_somewhere_and_every_rule_is_used() {
    fn includes<'a>(rules: &'a [Rule], names: &mut BTreeSet<&'a str>) {
        for rule in rules {
            match rule {
                Rule::Include(name) => {
                    names.insert(name);
                }
                Rule::Region { patterns, .. } => includes(patterns, names),
                Rule::Match { .. } => {}
            }
        }
    }
    let grammar = Grammar::read();
    let mut used = BTreeSet::new();
    includes(&grammar.patterns, &mut used);
    for (_, rules) in &grammar.repository {
        includes(rules, &mut used);
    }
    let declared: BTreeSet<&str> = grammar.repository.iter().map(|(name, _)| &**name).collect();
    assert_eq!(used, declared);
}

#[test]
fn every_word_of_the_language_is_coloured_as_one() {
    let grammar = Grammar::read();
    let words = words();
    assert!(words.len() >= 31, "only {words:?}");
    for word in words.into_iter().chain(["true", "false", "run", "token"]) {
        // What may follow a word: a name, a string, a bracket, or a field.
        let texts = ["x", " x", " \"x\"", "(\"x\"", "<", " {", ".x", " stage x"];
        let is_known = texts.iter().any(|after| {
            let text = format!("{word}{after}");
            let lines = grammar.tokenize(&text);
            let (first, scopes) = &lines[0][0];
            let scope = scopes.last().copied().unwrap_or_default();
            let kinds = [
                "keyword.",
                "storage.",
                "support.",
                "variable.language.",
                "constant.",
            ];
            *first == word && kinds.iter().any(|kind| scope.starts_with(kind))
        });
        assert!(is_known, "`{word}` has no colour of its own");
    }
}

#[test]
fn every_word_of_the_language_is_known_to_the_fuzzer() {
    let dictionary = include_str!("../../fuzz/konductor.dict");
    for word in words() {
        let entry = format!("\"{word}\"");
        assert!(dictionary.lines().any(|line| line == entry), "{entry}");
    }
}

#[test]
fn a_pipeline_is_coloured_as_listed() {
    let path = folder().join("pipeline.kon");
    let text = std::fs::read_to_string(&path).unwrap();
    let grammar = Grammar::read();
    let mut listing = String::new();
    for (line, pieces) in text.lines().zip(grammar.tokenize(&text)) {
        writeln!(listing, "{line}").unwrap();
        for (piece, scopes) in pieces.iter().filter(|(piece, _)| !piece.trim().is_empty()) {
            let scopes: Vec<&str> = scopes
                .iter()
                .map(|scope| scope.strip_suffix(".konductor").unwrap())
                .collect();
            writeln!(listing, "    {piece} → {}", scopes.join(" ")).unwrap();
        }
    }
    bless::compare(&path.with_extension("txt"), &listing);
}
