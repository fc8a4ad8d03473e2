//! What fuzzing found: for every text that is kept in `fuzz/seeds`, the laws that the fuzz targets
//! look at hold.

use std::path::Path;

#[path = "laws/compile.rs"]
mod compile;
#[path = "laws/format.rs"]
mod format;
#[path = "laws/parse.rs"]
mod parse;

#[test]
fn every_kept_text_keeps_the_laws() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    let files = std::fs::read_dir(&folder).expect("fuzz/seeds is there");
    let mut played = 0;
    for file in files {
        let path = file.expect("it is listed").path();
        let text = std::fs::read_to_string(&path).expect("only texts are kept");
        println!("{}", path.display());
        parse::holds(&text);
        format::holds(&text);
        compile::holds(&text);
        played += 1;
    }
    assert!(played >= 100, "{played} texts");
}

/// Characters that look like others, and such that no keyboard has.
const STRANGE: [&str; 10] = [
    "\u{a0}",
    "\u{2003}",
    "\u{2028}",
    "\u{85}",
    "\u{3000}",
    "\u{200b}",
    "“",
    "é",
    "\u{1f680}",
    "\u{0}",
];

/// What a mutation puts into a text, beside strange characters.
const TOKENS: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "\"",
    "\"\"\"",
    "${",
    "}",
    "$${",
    "#",
    "\n",
    "\\",
    "=",
    ",",
    "..",
    "stage ",
    "after ",
    "when ",
    "for x in ",
    "any(",
    "run.outcome",
    "-1",
];

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }
}

/// The texts that mutations begin with: what fuzzing kept, fixtures, mistakes and examples.
fn real_texts() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<_> = [
        "../fuzz/seeds",
        "tests/fixtures",
        "tests/mistakes",
        "../examples",
    ]
    .map(|folder| root.join(folder))
    .into();
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("it is there") {
            let path = entry.expect("it is listed").path();
            match path.is_dir() {
                true => folders.push(path),
                false => texts.extend(std::fs::read_to_string(path).ok()),
            }
        }
    }
    texts.retain(|text| text.len() < 4_000);
    texts.sort();
    texts
}

/// Changes some bytes of a text; what is no UTF-8 then becomes U+FFFD.
fn mutated(text: &str, other: &str, random: &mut Random) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        let end = at + random.below(12).min(bytes.len() - at);
        let piece: Vec<u8> = match random.below(6) {
            0 => Vec::new(),
            1 => STRANGE[random.below(STRANGE.len())].into(),
            2 => TOKENS[random.below(TOKENS.len())].into(),
            3 => vec![random.below(256) as u8],
            4 => bytes[at..end].repeat(2),
            _ => {
                let from = random.below(other.len());
                let length = random.below(80).min(other.len() - from);
                other.as_bytes()[from..from + length].to_vec()
            }
        };
        // Replaces as often as it inserts.
        let end = if random.below(2) == 0 { at } else { end };
        bytes.splice(at..end, piece);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `KONDUCTOR_MUTATIONS` says how many, and `KONDUCTOR_SEED` which; else as many as end soon.
#[test]
fn mutated_texts_keep_the_laws() {
    let number = |name: &str| {
        let text = std::env::var(name).ok();
        text.map(|text| text.parse::<u64>().expect("a number"))
    };
    let count = number("KONDUCTOR_MUTATIONS").unwrap_or(1_000);
    let mut random = Random(number("KONDUCTOR_SEED").unwrap_or(11));
    let texts = real_texts();
    for _ in 0..count {
        let text = &texts[random.below(texts.len())];
        let other = &texts[random.below(texts.len())];
        let text = mutated(text, other, &mut random);
        let held = std::panic::catch_unwind(|| {
            parse::holds(&text);
            format::holds(&text);
            compile::holds(&text);
        });
        assert!(held.is_ok(), "a law does not hold for {text:?}");
    }
}
