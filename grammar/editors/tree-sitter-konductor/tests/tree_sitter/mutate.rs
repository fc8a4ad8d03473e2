//! Files that are almost right: one to three tokens of a file lost, repeated, swapped or replaced.

use fastrand::Rng;

/// What is put between tokens or instead of them: every word and bracket of the language, and what is hard to lex.
const FOREIGN: &[&str] = &[
    "after",
    "any",
    "approval",
    "at",
    "barrier",
    "config",
    "defaults",
    "finally",
    "for",
    "gate",
    "holding",
    "import",
    "in",
    "job",
    "lease",
    "list",
    "max",
    "mount",
    "output",
    "parallel",
    "param",
    "pipeline",
    "pod",
    "quorum",
    "schedule",
    "secret",
    "semaphore",
    "stage",
    "template",
    "use",
    "when",
    "within",
    "workspace",
    "x",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "<",
    ">",
    ",",
    ".",
    "..",
    "..<",
    ":",
    "=",
    "==",
    "!=",
    "!",
    "&&",
    "||",
    "|",
    "-",
    "$",
    "\\",
    "\"",
    "\"\"",
    "\"\"\"",
    "\"a\"",
    "\"${a\"",
    "\"${a[\"}\"]}\"",
    "\"$$${a}\"",
    "\"\"\"b\"\"\"",
    "1",
    "-2",
    "1e",
    "1e+5",
    "3.x",
    "1_y",
    "#",
    "# z\n",
    "\n",
    "\r\n",
    "é",
];

/// Cuts a text where tokens end, roughly: it does not matter whether a cut is right.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let class = |c: char| match c {
            '_' | '-' => 0,
            _ if c.is_alphanumeric() => 0,
            _ if c.is_whitespace() => 1,
            _ => 2,
        };
        let length = match class(first) {
            2 if rest.starts_with("\"\"\"") => 3,
            2 => first.len_utf8(),
            kind => rest.find(|c| class(c) != kind).unwrap_or(rest.len()),
        };
        let (token, others) = rest.split_at(length);
        tokens.push(token);
        rest = others;
    }
    tokens
}

/// The text with a few mistakes in it, the same for the same seed.
pub(crate) fn mutated(text: &str, seed: u64) -> String {
    let mut rng = Rng::with_seed(seed);
    let mut tokens = tokens(text);
    for _ in 0..rng.usize(1..=3) {
        if tokens.is_empty() {
            break;
        }
        let at = rng.usize(..tokens.len());
        let other = rng.usize(..tokens.len());
        let foreign = FOREIGN[rng.usize(..FOREIGN.len())];
        match rng.usize(..6) {
            0 => drop(tokens.remove(at)),
            1 => tokens.insert(at, tokens[at]),
            2 => tokens.swap(at, other),
            3 => tokens[at] = foreign,
            4 => tokens.insert(at, foreign),
            _ => tokens[at] = tokens[other],
        }
    }
    tokens.concat()
}
