//! `koncli check`

use std::path::{Path, PathBuf};

use konductor_dsl::{Diagnostic, Sources};
use serde_json::Value;

use crate::arguments::{Format, Global, Params};
use crate::diagnostics::sarif;
use crate::exit::{Failure, USAGE};
use crate::manifests::{self, Checker};
use crate::replace::replace;
use crate::{diagnostics, load, merged, output};

/// Checks all files, and reports every diagnostic; with `fix`, those that are left. A file that can't be read does not
/// keep the others from being reported.
pub(crate) async fn check(
    global: &Global,
    files: &[PathBuf],
    params: &Params,
    fix: bool,
) -> Result<(), Failure> {
    let mut all = Vec::new();
    let mut failed = None;
    let mut report = Report::of(global);
    let mut checker = None;
    for file in files {
        match checked(file, params, fix, &mut checker).await {
            Ok((sources, reported)) => {
                report.add(&sources, &reported);
                all.extend(reported);
            }
            Err(failure) => {
                output::report(&failure, global.verbose);
                failed.get_or_insert(failure.code);
            }
        }
    }
    report.end(&all)?;
    match failed {
        Some(code) => Err(Failure::silent(code)),
        None if all.iter().any(Diagnostic::is_error) => Err(Failure::silent(USAGE)),
        None => Ok(()),
    }
}

/// Checks one file.
async fn checked(
    file: &Path,
    params: &Params,
    fix: bool,
    checker: &mut Option<Checker>,
) -> Result<(Sources, Vec<Diagnostic>), Failure> {
    if manifests::is_manifest(file) {
        let checker = match checker {
            Some(checker) => checker,
            None => checker.insert(Checker::start().await?),
        };
        return checker.check(file).await;
    }
    let compiled = match fix {
        true => fixed(file, params)?,
        false => load::checked(file, params)?,
    };
    let mut reported = merged::refused(&compiled).await?;
    reported.extend(compiled.diagnostics);
    reported.sort_by_key(Diagnostic::span);
    Ok((compiled.sources, reported))
}

/// Fixes a file, and returns what is reported about it now.
fn fixed(file: &Path, params: &Params) -> Result<konductor_compiler::Compiled, Failure> {
    if load::is_stdin(file) {
        let failure = Failure::usage("--fix changes files, not standard input");
        return Err(failure.help("name the file"));
    }
    let (before, repaired) = load::repaired(file, params)?;
    if repaired.text != before {
        replace(file, &repaired.text)?;
    }
    for repair in &repaired.repairs {
        output::stderr(&format!(
            "fixed {}:{}:{}: {}: {}",
            file.display(),
            repair.line,
            repair.column,
            repair.code,
            repair.message
        ));
    }
    Ok(repaired.compiled)
}

/// How diagnostics are reported.
enum Report {
    /// For people, on stderr.
    Text,
    /// A list in JSON.
    Json(Vec<Value>),
    /// For code scanning.
    Sarif(sarif::Log),
    /// For GitHub Actions.
    Github,
}

impl Report {
    fn of(global: &Global) -> Self {
        match global.output {
            Some(Format::Json) => Self::Json(Vec::new()),
            Some(Format::Sarif) => Self::Sarif(sarif::Log::default()),
            Some(Format::Github) => Self::Github,
            Some(Format::Table | Format::Wide | Format::Yaml | Format::Name) | None => Self::Text,
        }
    }

    fn add(&mut self, sources: &Sources, reported: &[Diagnostic]) {
        match self {
            Self::Text => diagnostics::print_all(sources, reported),
            Self::Json(json) => {
                let files = diagnostics::Files::of(sources);
                let reported = reported.iter();
                json.extend(
                    reported.map(|diagnostic| diagnostics::as_json(&files, sources, diagnostic)),
                );
            }
            Self::Sarif(log) => log.add(sources, reported),
            Self::Github => output::stdout_exact(&diagnostics::github::lines(sources, reported)),
        }
    }

    fn end(self, all: &[Diagnostic]) -> Result<(), Failure> {
        let json = match self {
            Self::Json(json) => Value::from(json),
            Self::Sarif(log) => log.json(),
            Self::Text | Self::Github => {
                if !all.is_empty() {
                    output::stderr(&diagnostics::summary(all));
                }
                return Ok(());
            }
        };
        let text = serde_json::to_string_pretty(&json);
        let text = text.map_err(|error| Failure::failed(error.to_string()))?;
        output::stdout_exact(&format!("{text}\n"));
        Ok(())
    }
}
