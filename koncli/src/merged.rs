//! What an API server would refuse of a pipeline's `pod` and `job` blocks: it knows more than the
//! schema does, which the compiler looks at.

use konductor_compiler::{Compiled, Merged};
use konductor_dsl::{Code, Diagnostic, Sources, Span};
use konductor_local::{ApiServer, ServerOptions};
use kube::Client;
use kube::core::Status;
use serde_json::Value;

use crate::exit::Failure;
use crate::local::NAMESPACE;

/// Asks an API server in memory about every Job with YAML of the author in it.
pub(crate) async fn refused(compiled: &Compiled) -> Result<Vec<Diagnostic>, Failure> {
    let mut reported = Vec::new();
    if compiled.merged.is_empty() {
        return Ok(reported);
    }
    let api = ApiServer::new(ServerOptions::default());
    let client = Client::new(api.router(), NAMESPACE);
    for merged in &compiled.merged {
        if let Err(status) = create(&client, merged).await? {
            diagnostics(&compiled.sources, merged, &status, &mut reported);
        }
    }
    Ok(reported)
}

/// The answer to a dry run.
async fn create(client: &Client, merged: &Merged) -> Result<Result<(), Status>, Failure> {
    let failed = |problem: String| Failure::failed(problem);
    let mut job = merged.job.clone();
    // Which namespaces there are is not the file's business.
    job.metadata.namespace = None;
    let body = serde_json::to_vec(&job).map_err(|error| failed(error.to_string()))?;
    let path = format!("/apis/batch/v1/namespaces/{NAMESPACE}/jobs?dryRun=All");
    let request = axum::http::Request::post(path)
        .header("content-type", "application/json")
        .body(body)
        .map_err(|error| failed(error.to_string()))?;
    match client.request::<Value>(request).await {
        Ok(_) => Ok(Ok(())),
        Err(kube::Error::Api(status)) => Ok(Err(*status)),
        Err(error) => Err(error.into()),
    }
}

/// Each cause at its field, where that is written in one of the blocks.
fn diagnostics(
    sources: &Sources,
    merged: &Merged,
    status: &Status,
    reported: &mut Vec<Diagnostic>,
) {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    // `<nil>` says only that there may be more, once this is mended.
    let causes = causes.filter(|cause| cause.field != "<nil>");
    let mut causes: Vec<(Span, String)> = causes
        .map(|cause| {
            let message = format!("{}: {}", cause.field, cause.message);
            (place(sources, merged, &cause.field), message)
        })
        .collect();
    if causes.is_empty() {
        causes.push((place(sources, merged, ""), status.message.clone()));
    }
    for (at, message) in causes {
        let message = format!("Kubernetes does not take this: {message}");
        let is_without_image =
            message.contains("containers[") && message.ends_with(".image: Required value");
        let diagnostic = Diagnostic::error(Code::K0508, at, message).help(match is_without_image {
            true => "call it `main`, as the stage's own container, or add `image: …`",
            false => "compare it with `kubectl explain job.spec`",
        });
        // Every item of a stage, and every stage that uses a template, says the same.
        if !reported.contains(&diagnostic) {
            reported.push(diagnostic);
        }
    }
}

/// The line that sets a field, or the nearest thing around it where only one line does; else the beginning of the last
/// block.
fn place(sources: &Sources, merged: &Merged, field: &str) -> Span {
    let parts: Vec<&str> = field.split('.').collect();
    let element_at = |index: usize| element(sources, merged, &parts[..=index]);
    let line = (0..parts.len()).rev().find_map(|index| {
        // Within a list, what is known of the element is its name.
        if let Some((name, _)) = element_at(index) {
            return Some(name);
        }
        let key = parts[index].split('[').next().unwrap_or_default();
        // A `spec` and a `template` have everything in them.
        if matches!(key, "spec" | "template" | "") {
            return None;
        }
        let within = (0..index).rev().find_map(element_at);
        line(sources, merged, key, None, within.map(|(_, lines)| lines))
    });
    line.unwrap_or_else(|| {
        let quotes = u32::try_from("\"\"\"".len()).unwrap_or_default();
        let last = merged.blocks.last().copied().unwrap_or_default();
        let end = last.end.min(last.start + quotes);
        Span { end, ..last }
    })
}

/// The element of a list that a path ends with: the line of its `name`, and all its lines.
fn element(sources: &Sources, merged: &Merged, path: &[&str]) -> Option<(Span, Span)> {
    let name = element_name(&merged.job, path)?;
    let at = line(sources, merged, "name", Some(&name), None)?;
    let is_around =
        |block: &&Span| block.source == at.source && block.start <= at.start && at.end <= block.end;
    let block = merged.blocks.iter().find(is_around)?;
    let mut end = block.start;
    let lines = sources.get(block.source)?.slice(*block);
    let lines = lines.split_inclusive('\n').map(|line| {
        let start = end;
        end += u32::try_from(line.len()).unwrap_or_default();
        let text = line.trim_start_matches(' ');
        let column = start + u32::try_from(line.len() - text.len()).unwrap_or_default();
        (start, end, column - start, text.trim().is_empty())
    });
    let lines: Vec<(u32, u32, u32, bool)> = lines.collect();
    let own = lines.iter().position(|(_, end, ..)| at.start < *end)?;
    let name_column = at.start - lines[own].0;
    // The dash of an element stands before its keys.
    let is_outside =
        |(_, _, column, is_blank): &(u32, u32, u32, bool)| !is_blank && *column < name_column;
    let first = lines[..=own].iter().rfind(|line| is_outside(line))?.0;
    let after = lines[own + 1..].iter().find(|line| is_outside(line));
    let whole = Span {
        source: block.source,
        start: first,
        end: after.map_or(block.end, |(start, ..)| *start),
    };
    Some((at, whole))
}

/// The `name` of the element of a list that a path such as `spec.template.spec.containers[1]` ends with.
fn element_name(job: &impl serde::Serialize, path: &[&str]) -> Option<String> {
    path.last().filter(|last| last.ends_with(']'))?;
    let mut node = serde_json::to_value(job).ok()?;
    for part in path {
        let (key, index) = match part.split_once('[') {
            Some((key, index)) => (key, index.strip_suffix(']')?.parse::<usize>().ok()),
            None => (*part, None),
        };
        node = node.get_mut(key)?.take();
        if let Some(index) = index {
            node = node.get_mut(index)?.take();
        }
    }
    Some(node.get("name")?.as_str()?.to_owned())
}

/// The line that sets a key, perhaps to a value, where only one does in the lines of an element or of all blocks. What
/// stands further to the right is in something else.
fn line(
    sources: &Sources,
    merged: &Merged,
    name: &str,
    value: Option<&str>,
    within: Option<Span>,
) -> Option<Span> {
    let lines = merged.blocks.iter().flat_map(|block| {
        let text = sources.get(block.source).map(|source| source.slice(*block));
        let mut at = block.start;
        text.unwrap_or_default()
            .split_inclusive('\n')
            .filter_map(move |line| {
                let start = at;
                at += u32::try_from(line.len()).unwrap_or_default();
                let written = line.trim_start_matches([' ', '-']);
                let set = written.strip_prefix(name)?.trim_start().strip_prefix(':')?;
                let set = set.trim().trim_matches(['"', '\'']);
                let sets = value.is_none_or(|value| value == set);
                let indent = u32::try_from(line.len() - written.len()).unwrap_or_default();
                let length = u32::try_from(written.trim_end().len()).unwrap_or_default();
                let span = Span {
                    source: block.source,
                    start: start + indent,
                    end: start + indent + length,
                };
                sets.then_some((indent, span))
            })
    });
    let is_within = |span: &Span| {
        within.is_none_or(|lines| {
            span.source == lines.source && lines.start <= span.start && span.end <= lines.end
        })
    };
    let lines: Vec<(u32, Span)> = lines.filter(|(_, span)| is_within(span)).collect();
    let least = lines.iter().map(|(indent, _)| *indent).min()?;
    let mut outermost = lines.into_iter().filter(|(indent, _)| *indent == least);
    match (outermost.next(), outermost.next()) {
        (Some((_, only)), None) => Some(only),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use konductor_compiler::{Options, check};

    use super::*;

    async fn reported(kind: &str, yaml: &str) -> Vec<(String, String)> {
        let yaml = yaml.replace('\n', "\n      ");
        let text = format!(
            "pipeline p {{\n  stage s {{\n    image = \"busybox:1.36\"\n    run = \"true\"\n    \
             {kind} \"\"\"\n      {yaml}\n    \"\"\"\n  }}\n}}\n"
        );
        let mut sources = Sources::default();
        sources.add("pipeline.kon", text);
        let compiled = check(sources, &Options::at(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(compiled.diagnostics, [], "{yaml}");
        let refused = refused(&compiled).await.unwrap();
        let places = refused.iter().map(|reported| {
            let source = compiled.sources.get(reported.span().source).unwrap();
            (
                source.slice(reported.span()).to_owned(),
                reported.message.clone(),
            )
        });
        places.collect()
    }

    #[tokio::test]
    async fn what_an_api_server_refuses_of_a_block_is_reported_at_its_line() {
        let table = [
            (
                "pod",
                "restartPolicy: Always",
                "restartPolicy: Always",
                "restartPolicy",
            ),
            (
                "pod",
                "initContainers:\n  - name: sidecar\n    restartPolicy: Always",
                "name: sidecar",
                "spec.template.spec.initContainers[0].image",
            ),
            (
                "pod",
                "initContainers:\n  - name: Main_X\n    image: busybox:1.36",
                "name: Main_X",
                "spec.template.spec.initContainers[0].name",
            ),
            // The second has an image, and the first has none.
            (
                "pod",
                "initContainers:\n  - restartPolicy: Always\n    name: sidecar\n  - name: other\n    \
                 image: busybox:1.36",
                "name: sidecar",
                "spec.template.spec.initContainers[0].image",
            ),
            // The pod's, and not that of what is in it.
            (
                "pod",
                "initContainers:\n  - name: sidecar\n    image: b:1\n    restartPolicy: Always\n\
                 restartPolicy: Always",
                "restartPolicy: Always",
                "spec.template.spec.restartPolicy",
            ),
            (
                "pod",
                "containers:\n  - name: main\n    resources: {requests: {cpu: 2}, limits: {cpu: 500m}}",
                "resources: {requests: {cpu: 2}, limits: {cpu: 500m}}",
                "must be less than or equal to cpu limit of 500m",
            ),
            (
                "pod",
                "containers:\n  - name: main\n    resources: {limits: {gpu: 1}}",
                "resources: {limits: {gpu: 1}}",
                "must be a standard resource for containers",
            ),
            (
                "pod",
                "containers:\n  - name: side\n    image: b:1\n    ports: [{containerPort: 99999}]",
                "ports: [{containerPort: 99999}]",
                "must be between 1 and 65535",
            ),
            (
                "job",
                "spec:\n  backoffLimit: -1",
                "backoffLimit: -1",
                "spec.backoffLimit",
            ),
        ];
        for (kind, yaml, place, field) in table {
            let reported = reported(kind, yaml).await;
            let is_reported = reported
                .iter()
                .any(|(at, message)| at == place && message.contains(field));
            assert!(is_reported, "{yaml}: {reported:?}");
        }
        assert_eq!(reported("pod", "hostNetwork: true").await, []);
    }
}
