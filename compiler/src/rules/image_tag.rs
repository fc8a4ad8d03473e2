//! K0317: an image without a fixed version.

use std::collections::BTreeSet;

use konductor_dsl::{Code, Diagnostic};

use super::kube_text::Kind;
use crate::pipeline::Pipeline;

/// Reports images without a tag, or with `latest`, once for each place.
pub(crate) fn check(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    let mut reported = BTreeSet::new();
    for image in pipeline
        .stages
        .iter()
        .filter_map(|stage| stage.body.image.as_ref())
    {
        let Some(text) = image.plain() else { continue };
        let name = text.rsplit('/').next().unwrap_or(text);
        let floats = match (name.contains('@'), name.split_once(':')) {
            (true, _) => false,
            (false, None) => true,
            (false, Some((_, tag))) => tag == "latest",
        };
        if floats && Kind::Image.takes(text) && reported.insert(image.span) {
            let bare = text.strip_suffix(":latest").unwrap_or(text);
            let diagnostic = Diagnostic::warning(
                Code::K0317,
                image.span,
                "this image can change under your feet",
            )
            .here("no fixed version")
            .help(format!(
                "name a version, such as \"{bare}:1.0\", or a digest"
            ));
            diagnostics.push(diagnostic);
        }
    }
}
