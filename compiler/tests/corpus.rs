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

/// As many as `KONDUCTOR_MUTATIONS` says, else what ends soon.
#[test]
fn strange_characters_in_kept_texts_keep_the_laws() {
    let count = std::env::var("KONDUCTOR_MUTATIONS").ok();
    let count = count.map_or(500, |count| count.parse::<usize>().expect("a number"));
    let folders = ["../fuzz/seeds", "tests/fixtures"].map(|folder| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        std::fs::read_dir(folder).expect("it is there")
    });
    let paths = folders
        .into_iter()
        .flatten()
        .map(|file| file.expect("it is listed").path());
    let texts = paths.filter_map(|path| std::fs::read_to_string(path).ok());
    let mut texts: Vec<String> = texts.filter(|text| text.len() < 4_000).collect();
    texts.sort();
    let mut state: u64 = 11;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..count {
        let mut text = texts[random(texts.len())].clone();
        for _ in 0..=random(2) {
            let at = text.floor_char_boundary(random(text.len() + 1));
            text.insert_str(at, STRANGE[random(STRANGE.len())]);
        }
        format::holds(&text);
        compile::holds(&text);
    }
}
