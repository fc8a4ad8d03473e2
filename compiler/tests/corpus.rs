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
