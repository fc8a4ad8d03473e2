//! Any text is read, and every place that is reported is in it.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../compiler/tests/laws/parse.rs"]
mod law;

fuzz_target!(|text: &str| law::holds(text));
