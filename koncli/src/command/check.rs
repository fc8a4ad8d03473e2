//! `koncli check`

use std::path::PathBuf;

use crate::arguments::{Format, Global, Params};
use crate::exit::{Failure, USAGE};
use crate::manifests::{self, Checker};
use crate::{diagnostics, load, merged, output};

/// Checks all files, and reports every diagnostic.
pub(crate) async fn check(
    global: &Global,
    files: &[PathBuf],
    params: &Params,
) -> Result<(), Failure> {
    let mut all = Vec::new();
    let mut json = Vec::new();
    let mut checker = None;
    for file in files {
        let (sources, reported) = if manifests::is_manifest(file) {
            let checker = match &checker {
                Some(checker) => checker,
                None => checker.insert(Checker::start().await?),
            };
            checker.check(file).await?
        } else {
            let compiled = load::checked(file, params)?;
            let mut reported = merged::refused(&compiled).await?;
            reported.extend(compiled.diagnostics);
            reported.sort_by_key(konductor_dsl::Diagnostic::span);
            (compiled.sources, reported)
        };
        if global.output == Some(Format::Json) {
            let files = diagnostics::Files::of(&sources);
            json.extend(
                reported
                    .iter()
                    .map(|diagnostic| diagnostics::as_json(&files, diagnostic)),
            );
        } else {
            diagnostics::tell_all(&sources, &reported);
        }
        all.extend(reported);
    }
    if global.output == Some(Format::Json) {
        let text = serde_json::to_string_pretty(&json);
        let text = text.map_err(|error| Failure::failed(error.to_string()))?;
        output::exact(&format!("{text}\n"));
    } else if !all.is_empty() {
        output::talk(&diagnostics::summary(&all));
    }
    match all.iter().any(konductor_dsl::Diagnostic::is_error) {
        true => Err(Failure::silent(USAGE)),
        false => Ok(()),
    }
}
