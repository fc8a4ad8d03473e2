//! The queries: each compiles, and colours, injects and folds what is listed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use tree_sitter::{Node, Query, QueryCursor, StreamingIterator as _};
use tree_sitter_konductor::{
    FOLDS_QUERY, HIGHLIGHTS_QUERY, INJECTIONS_QUERY, LANGUAGE, LOCALS_QUERY,
};

use crate::{bless, folder, parse};

/// The captures of a query in the order in which they are found: the place, the name, and the index of its pattern.
fn captures(query: &str, text: &str) -> Vec<(std::ops::Range<usize>, String, usize)> {
    let query = Query::new(&LANGUAGE.into(), query).unwrap();
    let names = query.capture_names();
    let tree = parse(text);
    let mut cursor = QueryCursor::new();
    let mut matches = cursor.matches(&query, tree.root_node(), text.as_bytes());
    let mut captures = Vec::new();
    while let Some(found_match) = matches.next() {
        for capture in found_match.captures() {
            let name = names[usize::try_from(capture.index).unwrap()];
            captures.push((
                capture.node.byte_range(),
                name.to_owned(),
                found_match.pattern_index,
            ));
        }
    }
    captures
}

fn example() -> String {
    fs::read_to_string(folder().join("../../tests/textmate/pipeline.kon")).unwrap()
}

/// Every leaf, whatever its depth.
fn leaves<'a>(node: Node<'a>, nodes: &mut Vec<Node<'a>>) {
    if node.child_count() == 0 && !node.byte_range().is_empty() {
        nodes.push(node);
    }
    let mut cursor = node.walk();
    for child in node.children(&mut cursor) {
        leaves(child, nodes);
    }
}

/// The colour of each byte: of nested captures the innermost.
fn colours(text: &str) -> Vec<Option<String>> {
    let mut captures = captures(HIGHLIGHTS_QUERY, text);
    captures.sort_by_key(|(range, _, _)| std::cmp::Reverse(range.len()));
    let mut colours = vec![None; text.len()];
    for (range, name, _) in captures {
        colours[range].fill(Some(name));
    }
    colours
}

#[test]
fn a_pipeline_is_coloured_as_listed() {
    let text = example();
    let colours = colours(&text);
    let mut listing = String::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        listing.push_str(line);
        let end = at + line.len();
        while at < end {
            let colour = &colours[at];
            let run = colours[at..end].iter().take_while(|other| *other == colour);
            let next = at + run.count();
            let piece = text[at..next].trim();
            if !piece.is_empty() {
                let colour = colour.as_deref().unwrap_or("-");
                writeln!(listing, "    {piece} → {colour}").unwrap();
            }
            at = next;
        }
    }
    bless::compare(&folder().join("test/highlight.txt"), &listing);
}

/// Some editors let the first of two patterns win, others the last.
#[test]
fn no_node_is_coloured_twice() {
    let folder = folder().join("../../../examples");
    let mut texts: Vec<String> = vec![example()];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path().join("pipeline.kon");
        texts.extend(fs::read_to_string(path));
    }
    assert!(texts.len() > 5);
    for text in texts {
        let mut seen = BTreeMap::new();
        for (range, name, _) in captures(HIGHLIGHTS_QUERY, &text) {
            let piece = &text[range.clone()];
            let other = seen.insert((range.start, range.end), name.clone());
            assert_eq!(other, None, "`{piece}` is {name} too");
        }
    }
}

#[test]
fn every_token_but_indentation_has_a_colour() {
    let text = example();
    let colours = colours(&text);
    let tree = parse(&text);
    let mut nodes = Vec::new();
    leaves(tree.root_node(), &mut nodes);
    assert!(nodes.len() > 200);
    for leaf in nodes {
        let range = leaf.byte_range();
        assert!(
            colours[range.clone()].iter().all(Option::is_some),
            "{:?}, a {}, has no colour",
            &text[range],
            leaf.kind()
        );
    }
}

#[test]
fn what_runs_is_shell_and_what_is_merged_into_an_object_is_yaml() {
    let text = example();
    let query = Query::new(&LANGUAGE.into(), INJECTIONS_QUERY).unwrap();
    let mut texts: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (range, name, pattern) in captures(INJECTIONS_QUERY, &text) {
        if name == "injection.content" {
            let settings = query.property_settings(pattern);
            let language = settings
                .iter()
                .find(|setting| &*setting.key == "injection.language")
                .and_then(|setting| setting.value.as_deref());
            let language = language.unwrap().to_owned();
            texts.entry(language).or_default().push(text[range].trim());
        }
    }
    assert_eq!(texts["yaml"], ["restartPolicy: Never", "spec: {}"]);
    let [run] = texts["bash"][..] else {
        panic!("{texts:?}");
    };
    assert!(
        run.starts_with("extract") && run.ends_with("\"$KON_OUTPUT\""),
        "{run}"
    );
    assert_eq!(texts["comment"].len(), 2, "{texts:?}");
}

#[test]
fn names_are_found_in_the_scope_that_declares_them() {
    let text = "template t(a: int) { run = \"${a}\" }\npipeline p { lease l stage s for i in a holding l {} }\n";
    let names: Vec<(String, &str)> = captures(LOCALS_QUERY, text)
        .into_iter()
        .filter(|(_, name, _)| name != "local.scope")
        .map(|(range, name, _)| (name, &text[range]))
        .collect();
    let expected = [
        ("local.definition.parameter", "a"),
        ("local.reference", "a"),
        ("local.definition.var", "l"),
        ("local.definition.var", "i"),
        ("local.reference", "a"),
        ("local.reference", "l"),
    ];
    let expected = expected.map(|(name, text)| (name.to_owned(), text));
    assert_eq!(names, expected);
}

#[test]
fn bodies_maps_and_blocks_fold() {
    let text = example();
    let lines = |range: std::ops::Range<usize>| text[range].lines().count();
    let folded: Vec<usize> = captures(FOLDS_QUERY, &text)
        .into_iter()
        .map(|(range, _, _)| lines(range))
        .filter(|lines| *lines > 1)
        .collect();
    // The pipeline; stage extract and its two blocks; stage load.
    assert_eq!(folded, [38, 14, 4, 3, 4]);
}
