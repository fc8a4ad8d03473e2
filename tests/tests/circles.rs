//! Modules inside each crate: no two use each other, directly or through others.
//!
//! Read from the paths in the sources. A module may use what the modules around it declare, so paths to
//! those are left out; a module that uses one inside of it counts, and so does every other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// Where the crates are.
const CRATES: [&str; 13] = [
    "api",
    "compiler",
    "dsl",
    "grammar",
    "koncli",
    "local",
    "lsp",
    "operator",
    "operator/core",
    "sdk/rust",
    "step",
    "tests",
    "web",
];

/// Circles that there are, each with the reason why.
const EXCEPTIONS: [(&str, &[&str], &str); 2] = [
    (
        "tests",
        &["cluster", "control_plane", "node"],
        "a cluster starts its parts, which wait as long as it says",
    ),
    (
        "tests",
        &["simulation::faults", "simulation::plan"],
        "a plan is a list of faults, and injecting them follows the plan",
    ),
];

type Module = Vec<String>;
type Uses = BTreeMap<Module, BTreeSet<Module>>;

#[test]
fn modules_of_a_crate_use_each_other_in_one_direction() {
    let mut all_circles = BTreeSet::new();
    for name in CRATES {
        for circle in circles(&uses(&modules(name))) {
            all_circles.insert((name, circle));
        }
    }
    let listed = EXCEPTIONS.iter().map(|(name, modules, _)| {
        let modules = modules.iter().map(|module| (*module).to_owned());
        (*name, modules.collect::<Vec<_>>())
    });
    // An exception that is no longer needed must go, too.
    assert_eq!(all_circles, listed.collect());
}

#[test]
fn paths_are_found_however_they_are_written() {
    let crate_of = |first: &str, second: &str| {
        let sources = [("a", first), ("b", second), ("b::c", "")];
        let modules = sources.map(|(name, text)| (parts(name), uncommented(text)));
        circles(&uses(&modules.into()))
    };
    let uses_a = "use crate::a::x;";
    let circle = vec![vec!["a".to_owned(), "b".to_owned()]];
    for text in [
        "use crate::b::x;",
        "use super::b;",
        "use crate::{\n    d,\n    b::{self, e},\n};",
        "fn f() -> crate::b::X { }",
        "macro! { super::b::f() }",
        "#[cfg(test)]\nmod tests { use x; }\nuse crate::b::x;",
        "fn f() { let _ = '\"'; } use crate::b::x;",
    ] {
        assert_eq!(crate_of(text, uses_a), circle, "{text}");
    }
    for text in [
        "",
        "use crate::d::b;",
        "// use crate::b::x;",
        "/* use crate::b::x; */",
        "const X: &str = \"use crate::b::x;\";",
        "const X: &str = r#\"use crate::b::x;\"#;",
        "#[cfg(test)]\nmod tests {\n    use crate::b::x;\n}\n",
        "#[cfg(test)]\nuse crate::b::x;",
    ] {
        assert_eq!(crate_of(text, uses_a), Vec::<Vec<String>>::new(), "{text}");
    }
}

/// The modules of a crate, and their text without comments, strings and tests.
fn modules(name: &str) -> BTreeMap<Module, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(name)
        .join("src");
    let mut modules = BTreeMap::new();
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let inside = path
                .strip_prefix(&root)
                .expect("it is inside")
                .with_extension("");
            let mut module: Module = inside
                .components()
                .map(|part| part.as_os_str().to_string_lossy().into_owned())
                .collect();
            let last = module.last().map(String::as_str);
            if matches!(last, Some("tests")) || path.extension().is_none_or(|kind| kind != "rs") {
                continue;
            }
            if matches!(last, Some("mod" | "lib" | "main")) {
                module.pop();
            }
            let text = fs::read_to_string(&path).expect("a source");
            modules
                .entry(module)
                .or_insert_with(String::new)
                .push_str(&uncommented(&text));
        }
    }
    assert!(!modules.is_empty(), "{name} has no modules");
    modules
}

/// A source without comments, strings, and what is only there for tests.
fn uncommented(text: &str) -> String {
    // Characters come before strings: one of them may be a quotation mark.
    let noise = [
        r"//[^\n]*",
        r"(?s:/\*.*?\*/)",
        r##"b?r#"(?s:.*?)"#"##,
        r#"b?r"[^"]*""#,
        r"'(?:\\.|[^\\'\n])'",
        r#"b?"(?:\\(?s:.)|[^"\\])*""#,
    ];
    let noise = Regex::new(&noise.join("|")).expect("a pattern");
    let mut text = noise.replace_all(text, " ").into_owned();
    let test = Regex::new(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*[^{};]*[{;]").expect("a pattern");
    while let Some(head) = test.find(&text) {
        let mut depth = usize::from(head.as_str().ends_with('{'));
        let mut end = head.end();
        for (offset, c) in text[head.end()..].char_indices() {
            if depth == 0 {
                break;
            }
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            end = head.end() + offset + 1;
        }
        text.replace_range(head.start()..end, " ");
    }
    text
}

/// Which modules each one uses, those around it aside.
fn uses(modules: &BTreeMap<Module, String>) -> Uses {
    let imports = Regex::new(r"\buse\s+([^;]+);").expect("a pattern");
    let paths = Regex::new(r"(?:^|[^\w:])([a-z_]\w*(?:::\w+)+)").expect("a pattern");
    let mut uses = Uses::new();
    for (module, text) in modules {
        let mut named: Vec<String> = Vec::new();
        for import in imports.captures_iter(text) {
            expand(&import[1], "", &mut named);
        }
        let rest = imports.replace_all(text, ";");
        named.extend(paths.captures_iter(&rest).map(|path| path[1].to_owned()));
        let used = named
            .iter()
            .filter_map(|path| target(module, path, modules));
        let used = used.filter(|used| !module.starts_with(used));
        uses.insert(module.clone(), used.collect());
    }
    uses
}

/// The paths of `a::{b, c::{self, d}}`, one by one.
fn expand(tree: &str, before: &str, into: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((prefix, inner)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap_or_default().trim();
        into.push(format!("{before}{name}"));
        return;
    };
    let before = format!("{before}{}", prefix.trim());
    let inner = inner.trim_end().strip_suffix('}').unwrap_or(inner);
    let (mut depth, mut start) = (0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&inner[start..at], &before, into);
                start = at + 1;
            }
            _ => {}
        }
    }
    expand(&inner[start..], &before, into);
}

/// The module that a path leads to; `None` where it leads out of the crate.
fn target(from: &Module, path: &str, modules: &BTreeMap<Module, String>) -> Option<Module> {
    let mut parts = path.split("::").map(str::trim).peekable();
    let mut at = match *parts.peek()? {
        "crate" => Module::new(),
        "self" | "super" => from.clone(),
        first => {
            let mut inside = from.clone();
            inside.push(first.to_owned());
            return modules
                .contains_key(&inside)
                .then(|| walk(from.clone(), parts, modules));
        }
    };
    while let Some(part) = parts.next_if(|part| matches!(*part, "crate" | "self" | "super")) {
        if part == "super" {
            at.pop();
        }
    }
    Some(walk(at, parts, modules))
}

fn walk<'p>(
    mut at: Module,
    parts: impl Iterator<Item = &'p str>,
    modules: &BTreeMap<Module, String>,
) -> Module {
    for part in parts {
        at.push(part.to_owned());
        if !modules.contains_key(&at) {
            at.pop();
            break;
        }
    }
    at
}

/// The groups of modules of which each uses every other, directly or through others.
fn circles(uses: &Uses) -> Vec<Vec<String>> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> = uses
        .keys()
        .map(|module| (module, reach(module, uses)))
        .collect();
    let mut circles = BTreeSet::new();
    for (module, far) in &reached {
        let with = far
            .iter()
            .filter(|other| reached.get(*other).is_some_and(|far| far.contains(module)));
        let circle: BTreeSet<String> = with.map(|other| other.join("::")).collect();
        if circle.len() > 1 {
            circles.insert(circle.into_iter().collect::<Vec<_>>());
        }
    }
    circles.into_iter().collect()
}

/// The modules that one uses, directly or through others.
fn reach<'u>(module: &Module, uses: &'u Uses) -> BTreeSet<&'u Module> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&Module> = uses[module].iter().collect();
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(uses.get(next).into_iter().flatten());
        }
    }
    reached
}

fn parts(name: &str) -> Module {
    name.split("::").map(str::to_owned).collect()
}
