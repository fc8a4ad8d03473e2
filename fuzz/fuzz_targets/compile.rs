//! Any text compiles, to errors or to objects, and twice to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../compiler/tests/laws/compile.rs"]
mod law;

fuzz_target!(|text: &str| law::holds(text));
