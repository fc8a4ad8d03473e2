//! What is laid out parses to the same tree, and is laid out the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../compiler/tests/laws/format.rs"]
mod law;

fuzz_target!(|text: &str| law::holds(text));
