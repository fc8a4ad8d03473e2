//! Any text compiles, to errors or to objects, and twice to the same.
#![no_main]

use konductor_compiler::{Compiled, Options, compile};
use konductor_dsl::Sources;
use libfuzzer_sys::fuzz_target;

fn compiled(text: &str) -> Compiled {
    let mut sources = Sources::default();
    sources.add("fuzz.kon", text);
    let now = jiff::Timestamp::UNIX_EPOCH;
    let mut options = Options::at(now);
    options.read_import = &|path| match path {
        "lib/python.kon" => Ok("template python(module: string) { run = module }".to_owned()),
        _ => Err("no such file".to_owned()),
    };
    compile(sources, &options)
}

fuzz_target!(|text: &str| {
    let (one, two) = (compiled(text), compiled(text));
    assert_eq!(one.diagnostics, two.diagnostics);
    let is_whole = one.manifests.is_some() || one.schedule.is_some();
    assert_ne!(one.has_errors(), is_whole);
    let yaml = |compiled: Compiled| compiled.manifests.map(|manifests| manifests.to_yaml());
    assert_eq!(yaml(one), yaml(two));
});
