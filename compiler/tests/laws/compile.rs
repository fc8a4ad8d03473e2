//! Any text compiles, to errors or to objects, and twice to the same.

use konductor_compiler::{Compiled, Options, check, compile};
use konductor_dsl::Sources;

fn compiled(text: &str, how: fn(Sources, &Options<'_>) -> Compiled) -> Compiled {
    let mut sources = Sources::default();
    sources.add("law.kon", text);
    let mut options = Options::at(jiff::Timestamp::UNIX_EPOCH);
    options.read_import = &|path| match path {
        "lib/python.kon" => Ok("template python(module: string) { run = module }".to_owned()),
        _ => Err("no such file".to_owned()),
    };
    how(sources, &options)
}

/// Fails where the law does not hold for this text.
pub(crate) fn holds(text: &str) {
    let (first, second) = (compiled(text, compile), compiled(text, compile));
    compiled(text, check);
    assert_eq!(first.diagnostics, second.diagnostics);
    let is_whole = first.manifests.is_some() || first.schedule.is_some();
    assert_ne!(first.has_errors(), is_whole);
    let yaml = |compiled: Compiled| {
        let run = compiled.manifests.map(|manifests| manifests.to_yaml());
        run.or(compiled.schedule.map(|schedule| schedule.to_yaml()))
    };
    assert_eq!(yaml(first), yaml(second));
}
