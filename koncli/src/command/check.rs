//! `koncli check`

use std::path::PathBuf;

use crate::arguments::{Format, Global, Params};
use crate::exit::{Failure, USAGE};
use crate::{diagnostics, load, output};

/// Checks files, all of them, and tells everything.
pub(crate) fn check(global: &Global, files: &[PathBuf], params: &Params) -> Result<(), Failure> {
    let mut all = Vec::new();
    let mut json = Vec::new();
    for file in files {
        let compiled = load::checked(file, params)?;
        if global.output == Some(Format::Json) {
            let told = compiled.diagnostics.iter();
            json.extend(told.map(|told| diagnostics::as_json(&compiled.sources, told)));
        } else {
            diagnostics::tell(&compiled);
        }
        all.extend(compiled.diagnostics);
    }
    if global.output == Some(Format::Json) {
        let text = serde_json::to_string_pretty(&json);
        let text = text.map_err(|error| Failure::failed(error.to_string()))?;
        output::data(&format!("{text}\n"));
    } else if !all.is_empty() {
        output::talk(&diagnostics::summary(&all));
    }
    match all.iter().any(konductor_dsl::Diagnostic::is_error) {
        true => Err(Failure::silent(USAGE)),
        false => Ok(()),
    }
}
