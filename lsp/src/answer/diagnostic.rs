//! Diagnostics as an editor shows them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use gen_lsp_types::{
    Code, CodeDescription, Diagnostic, DiagnosticRelatedInformation, DiagnosticSeverity,
    DiagnosticTag, Location, Message, Uri,
};
use konductor_dsl::{Code as Kon, Diagnostic as Reported, Severity};

use crate::analysis::Analysis;
use crate::world::World;

/// Where the pages of the codes are.
const PAGES: &str = "https://github.com/LogicIQ/konductor/blob/main/dsl/codes";

/// Everything that is reported about the open files and what they import, by file. What several roots
/// report about one place is reported once.
pub(crate) fn all(world: &World) -> BTreeMap<PathBuf, Vec<Diagnostic>> {
    let mut all: BTreeMap<PathBuf, Vec<Diagnostic>> = BTreeMap::new();
    for (root, _) in world.open() {
        all.entry(root.to_owned()).or_default();
        let Some(analysis) = world.analysis(root) else {
            continue;
        };
        for reported in &analysis.compiled.diagnostics {
            let file = analysis.path(reported.span().source);
            let diagnostic = of(world, &analysis, reported);
            let of_file = all.entry(file).or_default();
            if !of_file.contains(&diagnostic) {
                of_file.push(diagnostic);
            }
        }
    }
    all
}

/// One diagnostic.
pub(crate) fn of(world: &World, analysis: &Analysis, reported: &Reported) -> Diagnostic {
    let message = match &reported.help {
        Some(help) => format!("{}\nhelp: {help}", reported.message),
        None => reported.message.clone(),
    };
    let others = reported.labels.iter().filter(|label| !label.primary);
    let others = others.map(|label| DiagnosticRelatedInformation {
        location: Location {
            uri: world.uri(&analysis.path(label.span.source)),
            range: analysis.range(label.span),
        },
        message: label.text.clone(),
    });
    let others: Vec<DiagnosticRelatedInformation> = others.collect();
    Diagnostic {
        range: analysis.range(reported.span()),
        severity: Some(match reported.severity {
            Severity::Error => DiagnosticSeverity::Error,
            Severity::Warning => DiagnosticSeverity::Warning,
            Severity::Note => DiagnosticSeverity::Information,
        }),
        code: Some(Code::String(reported.code.name().to_owned())),
        code_description: Some(CodeDescription {
            href: Uri(format!("{PAGES}/{}.md", reported.code)),
        }),
        source: Some("konductor".to_owned()),
        message: Message::String(message),
        // Editors fade out what nothing uses.
        tags: (reported.code == Kon::K0601).then(|| vec![DiagnosticTag::Unnecessary]),
        related_information: (!others.is_empty()).then_some(others),
        data: None,
    }
}
