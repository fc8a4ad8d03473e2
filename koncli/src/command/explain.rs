//! `koncli explain`: a diagnostic by its code, or a kind of object.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray,
};

use serde_json::json;

use crate::arguments::Global;
use crate::exit::Failure;
use crate::output;

/// What each kind is for, with an example. The fields are those of its schema.
const KINDS: [(&str, &str); 8] = [
    ("barrier", include_str!("../../kinds/barrier.md")),
    ("gate", include_str!("../../kinds/gate.md")),
    ("semaphore", include_str!("../../kinds/semaphore.md")),
    ("lease", include_str!("../../kinds/lease.md")),
    ("claim", include_str!("../../kinds/claim.md")),
    ("arrival", include_str!("../../kinds/arrival.md")),
    ("run", include_str!("../../kinds/run.md")),
    ("job", include_str!("../../kinds/job.md")),
];

/// Prints the page of a code or a kind.
pub(crate) fn explain(global: &Global, what: &str) -> Result<(), Failure> {
    if let Ok(code) = what.parse::<konductor_dsl::Code>() {
        return page(global, code.name(), code.page());
    }
    let name = what.to_lowercase();
    let is_meant = |kind: &str| name == kind || name.strip_suffix('s') == Some(kind);
    if let Some((kind, page)) = KINDS.iter().find(|(kind, _)| is_meant(kind)) {
        return self::page(global, kind, &with_fields(kind, page));
    }
    Err(unknown(what))
}

fn page(global: &Global, name: &str, text: &str) -> Result<(), Failure> {
    let title = text.lines().next().unwrap_or_default();
    let title = title.trim_start_matches("# ");
    let report = json!({"name": name, "title": title, "text": text});
    if !output::document(global, &report)? {
        output::stdout(text);
    }
    Ok(())
}

/// What can be explained.
pub(crate) fn topics() -> impl Iterator<Item = &'static str> {
    let codes = konductor_dsl::CODES.iter().map(|code| code.name());
    KINDS.iter().map(|(kind, _)| *kind).chain(codes)
}

fn unknown(what: &str) -> Failure {
    let upper = what.to_uppercase();
    let codes = konductor_dsl::CODES.iter().map(|code| code.name());
    let lower = what.to_lowercase();
    let kinds = KINDS.iter().map(|(kind, _)| *kind);
    let near = konductor_dsl::did_you_mean(&upper, codes)
        .or_else(|| konductor_dsl::did_you_mean(&lower, kinds.clone()));
    let help = near.map_or_else(
        || {
            let kinds: Vec<&str> = kinds.collect();
            format!(
                "codes are printed in brackets, as in `error[K0203]`; kinds are {}",
                kinds.join(", ")
            )
        },
        |near| format!("did you mean {near}?"),
    );
    let first = what.chars().next();
    let is_code = first.is_some_and(|c| c == 'K' || c == 'k')
        && what.chars().skip(1).all(|c| c.is_ascii_digit());
    let message = match is_code {
        true => format!("{what} is not a code of a diagnostic"),
        false => format!("{what} is neither a code of a diagnostic nor a kind"),
    };
    Failure::usage(message).help(help)
}

/// The page, with the fields before its example.
fn with_fields(kind: &str, page: &str) -> String {
    let Some((before, example)) = page.split_once("\n## Example") else {
        return page.to_owned();
    };
    let fields = fields(kind);
    format!("{before}{fields}\n## Example{example}")
}

/// The fields of a kind's spec and status, from its schema; none where the kind is Kubernetes' own.
fn fields(kind: &str) -> String {
    let crds = konductor_api::crds();
    let crd = crds
        .iter()
        .find(|crd| crd.spec.names.singular.as_deref() == Some(kind));
    let version = crd.and_then(|crd| crd.spec.versions.first());
    let schema = version.and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
    let mut text = String::new();
    for (part, heading) in [("spec", "Spec"), ("status", "Status")] {
        let part_schema = schema.and_then(|schema| schema.properties.as_ref()?.get(part));
        let Some(part_schema) = part_schema else {
            continue;
        };
        let mut rows = Vec::new();
        add(part_schema, "", &mut rows);
        text.push_str(&format!("\n## {heading}\n\n"));
        text.push_str(&output::table(&["FIELD", "TYPE", ""], &rows, true));
    }
    text
}

fn add(schema: &JSONSchemaProps, path: &str, rows: &mut Vec<Vec<String>>) {
    for (name, field) in schema.properties.iter().flatten() {
        let is_required = schema
            .required
            .iter()
            .flatten()
            .any(|required| required == name);
        let path = format!("{path}{name}");
        let item = items(field);
        let kind = match item {
            Some(item) => format!("list of {}", word(item)),
            None => word(field),
        };
        let text = field.description.as_deref().unwrap_or_default();
        let first = text.split("\n\n").next().unwrap_or_default();
        let first = first.replace('\n', " ");
        let required = if is_required { " (required)" } else { "" };
        rows.push(vec![path.clone(), format!("{kind}{required}"), first]);
        let is_condition = item.is_some_and(|item| {
            let fields = item.properties.as_ref();
            fields.is_some_and(|fields| fields.contains_key("lastTransitionTime"))
        });
        // Kubernetes' own are known.
        if !is_condition {
            let below = item.unwrap_or(field);
            let mark = if item.is_some() { "[]." } else { "." };
            add(below, &format!("{path}{mark}"), rows);
        }
    }
}

fn items(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.items.as_ref()? {
        JSONSchemaPropsOrArray::Schema(item) => Some(item),
        JSONSchemaPropsOrArray::Schemas(_) => None,
    }
}

fn word(schema: &JSONSchemaProps) -> String {
    let words: Vec<&str> = schema
        .enum_
        .iter()
        .flatten()
        .filter_map(|value| value.0.as_str())
        .collect();
    if !words.is_empty() {
        return words.join("|");
    }
    match (schema.format.as_deref(), schema.type_.as_deref()) {
        (Some("date-time"), _) => "time".to_owned(),
        (_, Some(type_)) => type_.to_owned(),
        (_, None) => "any".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_page_with_all_of_its_fields() {
        for crd in konductor_api::crds() {
            let kind = crd.spec.names.singular.clone().unwrap_or_default();
            let page = KINDS.iter().find(|(name, _)| *name == kind);
            let (_, page) = page.unwrap_or_else(|| panic!("{kind} has no page"));
            let text = with_fields(&kind, page);
            let short = crd.spec.names.short_names.unwrap_or_default();
            let short: String = short.iter().map(|short| format!(" ({short})")).collect();
            let head = format!("# {}{short}\n", crd.spec.names.kind);
            assert!(text.starts_with(&head), "{text}");
            assert!(
                text.contains("\n## Spec\n") && text.contains("\n## Example\n"),
                "{text}"
            );
        }
        let gate = fields("gate");
        for field in ["conditions ", "conditions[].type ", "decision ", "phase "] {
            assert!(gate.contains(&format!("\n{field}")), "{field}: {gate}");
        }
    }
}
