//! The law of fan-outs: whatever part of a stage mentions the item either differs from Job to Job, is
//! filled in by the index of the pod, or is a diagnostic.

use std::collections::BTreeSet;

use konductor_dsl::{Sources, ast, parse};
use serde_json::{Value as Json, json};

use crate::pipeline::ATTRIBUTES;
use crate::{Object, Options, compile};

/// What becomes of a mention of the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// A Job for each item, and no two are the same.
    Jobs,
    /// One Indexed Job, whose pods read their index.
    Indexed,
    Refused,
}
use Outcome::{Indexed, Jobs, Refused};

/// Bodies that mention `${i}`, and what becomes of them in a fan-out over `0..<3` and over texts.
const TEXTS: [(&str, Outcome, Outcome); 37] = [
    (r#"run = "echo ${i}""#, Indexed, Jobs),
    (r#"exec = ["x", "--at=${i}"]"#, Indexed, Jobs),
    (r#"env { X = "a${i}" }"#, Indexed, Jobs),
    (r#"env { X = secret("x${i}", "key") }"#, Refused, Refused),
    (r#"env { X = config("x", "key${i}") }"#, Refused, Refused),
    (r#"env { "X${i}" = "a" }"#, Refused, Refused),
    (r#"image = "busybox:1.${i}""#, Jobs, Jobs),
    (r#"shell = "sh${i}""#, Refused, Refused),
    (r#"service-account = "a${i}""#, Jobs, Jobs),
    (r#"priority-class = "a${i}""#, Jobs, Jobs),
    (r#"queue = "a${i}""#, Jobs, Jobs),
    (r#"labels { x = "a${i}" }"#, Jobs, Jobs),
    (r#"labels { "x${i}" = "a" }"#, Refused, Refused),
    (r#"annotations { x = "a${i}" }"#, Jobs, Jobs),
    (r#"node { selector { slot = "${i}" } }"#, Jobs, Jobs),
    (
        r#"node { tolerations = [{ key = "a${i}", operator = Exists }] }"#,
        Jobs,
        Jobs,
    ),
    (
        r#"node { tolerations = [{ key = "a", value = "${i}", effect = "NoSchedule" }] }"#,
        Jobs,
        Jobs,
    ),
    (
        r#"node { tolerations = [{ key = "a", operator = "${i}" }] }"#,
        Refused,
        Refused,
    ),
    (
        r#"node { tolerations = [{ key = "a", effect = "${i}" }] }"#,
        Refused,
        Refused,
    ),
    (r#"output x: string = "${i}""#, Refused, Refused),
    (r#"mount data at "/data/${i}""#, Refused, Refused),
    (r#"use word { x = "${i}" }"#, Jobs, Jobs),
    (r#"use program { x = "${i}" }"#, Indexed, Jobs),
    (r#"use twice { x = "${i}" }"#, Jobs, Jobs),
    (r#"pod "hostname: w${i}""#, Jobs, Jobs),
    (
        r#"pod """
        # a comment
        nodeSelector: {slot: "${i}", "disk": ssd}
    """"#,
        Jobs,
        Jobs,
    ),
    (
        r#"pod """
        nodeSelector:
          ${i}: "true"
    """"#,
        Refused,
        Refused,
    ),
    (r#"pod "nodeSelector: {a${i}: b}""#, Refused, Refused),
    (
        r#"pod """
        nodeSelector:
          "a${i}b": "true"
    """"#,
        Refused,
        Refused,
    ),
    (
        r#"pod """
        nodeSelector:
          ? a${i}
          : "true"
    """"#,
        Refused,
        Refused,
    ),
    (
        r#"pod """
        nodeSelector: &all {slot: "${i}"}
        overhead: {}
    """"#,
        Jobs,
        Jobs,
    ),
    (
        r#"pod """
        tolerations:
          - {key: slot, value: "${i}", effect: NoSchedule}
    """"#,
        Jobs,
        Jobs,
    ),
    (
        r#"pod """
        containers:
          - name: side
            image: busybox:1.36
            args: ["a${i}"]
            ports: [{containerPort: 80, name: "p${i}"}]
    """"#,
        Jobs,
        Jobs,
    ),
    (
        r#"pod """
        hostAliases:
          - ip: 10.0.0.1
            hostnames:
              - |-
                w${i}
    """"#,
        Jobs,
        Jobs,
    ),
    (
        r#"job """
        spec:
          template:
            metadata:
              annotations: {x: "a${i}"}
    """"#,
        Jobs,
        Jobs,
    ),
    (
        r#"job """
        spec:
          podFailurePolicy:
            rules: [{action: FailJob, onExitCodes: {containerName: "c${i}", operator: In, values: [1]}}]
    """"#,
        Jobs,
        Jobs,
    ),
    (
        r#"job """
        spec:
          template:
            metadata:
              labels: {"x${i}": a}
    """"#,
        Refused,
        Refused,
    ),
];

/// Bodies that mention `i` as a value of some type: the type's name, and its three values.
const SETTINGS: [(&str, &str, &str, Outcome); 15] = [
    ("retries = i", "int", "[1, 2, 3]", Jobs),
    ("timeout = i", "duration", "[1m, 2m, 3m]", Jobs),
    ("pending = i", "duration", "[1m, 2m, 3m]", Jobs),
    ("may-fail = i", "bool", "[true, false]", Jobs),
    (
        "security = i",
        r#""baseline" | "restricted""#,
        r#"["baseline", "restricted"]"#,
        Jobs,
    ),
    ("resources { cpu = i }", "quantity", "[100m, 200m, 1]", Jobs),
    (
        "resources { memory = i }",
        "quantity",
        "[1Gi, 2Gi, 3Gi]",
        Jobs,
    ),
    ("image = i", "string", r#"["a:1", "b:1", "c:1"]"#, Jobs),
    (r#"output x: int = i"#, "int", "[1, 2, 3]", Refused),
    ("pod \"priority: ${i}\"", "int", "[1, 2, 3]", Jobs),
    ("pod \"hostNetwork: ${i}\"", "bool", "[true, false]", Jobs),
    (
        "job \"spec: {backoffLimit: ${i}}\"",
        "int",
        "[1, 2, 3]",
        Jobs,
    ),
    (
        "job \"spec: {completions: ${i}, parallelism: 1}\"",
        "int",
        "[1, 2, 3]",
        Jobs,
    ),
    (
        "labels { x = \"${i.a}\" }",
        "{a: string, b: string}",
        r#"[{a = "1", b = "x"}, {a = "2", b = "x"}]"#,
        Jobs,
    ),
    (
        "exec = [\"x\", \"${i.b}\"]",
        "{a: string, b: string}",
        r#"[{a = "1", b = "x"}, {a = "2", b = "y"}]"#,
        Jobs,
    ),
];

/// Headers that mention `i`.
const HEADERS: [(&str, Outcome); 5] = [
    ("after each[i]", Jobs),
    ("after any(each[i], one)", Jobs),
    ("after each[i].failed", Jobs),
    ("holding permits(i)", Jobs),
    ("quorum i", Refused),
];

#[test]
fn every_mention_of_the_item_varies_or_is_a_diagnostic() {
    let mut wrong = Vec::new();
    let mut look = |what: String, expected: Outcome| {
        let actual = outcome(&what);
        if actual != Ok(expected) {
            wrong.push(format!("{what}\n  must be {expected:?}: {actual:?}"));
        }
    };
    for (body, of_range, of_texts) in TEXTS {
        look(stage("i in 0..<3", "", body), of_range);
        look(stage("i in words", "", body), of_texts);
    }
    for (body, ty, values, expected) in SETTINGS {
        let param = format!("param values: list<{ty}> = {values}\n");
        look(param + &stage("i in values", "", body), expected);
    }
    for (header, expected) in HEADERS {
        look(stage("i in 1..3", header, ""), expected);
    }
    assert_eq!(wrong.join("\n\n"), "");
}

#[test]
fn a_fan_out_over_nothing_has_one_job_without_anything_of_an_item() {
    let texts = TEXTS.iter().map(|(body, ..)| (*body, "string"));
    let settings = SETTINGS.iter().map(|(body, ty, ..)| (*body, *ty));
    for (body, ty) in texts.chain(settings) {
        let param = format!("param nothing: list<{ty}> = []\n");
        let Ok(objects) = compiled(&(param + &stage("i in nothing", "", body))) else {
            continue;
        };
        let jobs: Vec<Json> = objects.iter().filter_map(own_part).collect();
        let [job] = jobs.as_slice() else {
            panic!("{body}: {} Jobs", jobs.len());
        };
        let phase = &job["metadata"]["annotations"][konductor_api::annotation::PHASE];
        assert_eq!(phase, "Skipped", "{body}");
        let pod = &job["spec"]["template"]["spec"];
        assert!(pod["containers"][0]["image"].is_string(), "{body}: {pod}");
        let text = pod.to_string();
        assert!(
            !text.contains(":\"\"") && !text.contains(":null"),
            "{body}: {text}"
        );
        for toleration in pod["tolerations"].as_array().into_iter().flatten() {
            assert!(toleration["key"].is_string(), "{body}: {toleration}");
        }
    }
}

#[test]
fn the_law_is_tried_on_every_attribute() {
    let bodies = TEXTS.iter().map(|(body, ..)| *body);
    let bodies = bodies.chain(SETTINGS.iter().map(|(body, ..)| *body));
    let tried: BTreeSet<String> = bodies.flat_map(attributes).collect();
    let others = ["output", "mount", "use", "pod", "job"];
    let all = ATTRIBUTES.into_iter().chain(others).map(str::to_owned);
    assert_eq!(tried, all.collect());
}

#[test]
fn characters_that_stand_for_interpolations_are_refused_however_they_are_written() {
    let bodies = [
        "pod \"\"\"\n  hostname: \"\\ue000\"\n\"\"\"",
        "pod \"\"\"\n  hostname: \"\\uE0000\\uE001\"\n\"\"\"",
        "pod \"\"\"\n  hostname: \"\\U0000e0000\\U0000E001${i}\"\n\"\"\"",
        "pod \"\"\"\n  nodeSelector: {\"\\ue0000\\ue001\": a}\n\"\"\"",
        "pod \"\"\"\n  hostname: \u{e000}0\u{e001}\n\"\"\"",
        "pod \"hostname: \\u{e000}\"",
    ];
    for body in bodies {
        let actual = outcome(&stage("i in words", "", body));
        assert_eq!(actual, Ok(Refused), "{body}");
    }
}

fn stage(over: &str, header: &str, body: &str) -> String {
    format!("stage work for {over} {header} {{ {body} }}")
}

/// The file around a declaration. Everything that it leaves out of the stage has a default.
fn compiled(declaration: &str) -> Result<Vec<Object>, ()> {
    let text = format!(
        r#"
        template word(x: string) {{ annotations {{ x = "${{x}}" }} }}
        template program(x: string) {{ exec = ["y", "${{x}}"] }}
        template twice(x: string) {{ use word {{ x = "<${{x}}>" }} }}
        pipeline p {{
            defaults {{ image = "busybox:1.36", run = "true" }}
            param words: list<string> = ["4", "5", "6"]
            semaphore permits {{ permits = 9 }}
            workspace data {{ size = 1Gi }}
            stage one {{ }}
            stage each for n in 1..3 {{ run = "true" }}
            {declaration}
        }}"#
    );
    let mut sources = Sources::default();
    sources.add("law.kon", text.as_str());
    let now = "2026-01-31T02:03:04Z".parse().map_err(|_| ())?;
    let compiled = compile(sources, &Options::at(now));
    let manifests = compiled.manifests.ok_or(())?;
    Ok(manifests.objects().collect())
}

/// What becomes of the stage `work`; an error where Jobs are the same although they must not be.
fn outcome(declaration: &str) -> Result<Outcome, String> {
    let Ok(objects) = compiled(declaration) else {
        return Ok(Refused);
    };
    let jobs: Vec<Json> = objects.iter().filter_map(own_part).collect();
    let texts: Vec<String> = jobs.iter().map(Json::to_string).collect();
    if let Some(text) = texts
        .iter()
        .find(|text| text.contains(['\u{e000}', '\u{e001}']))
    {
        return Err(format!("a placeholder is left: {text}"));
    }
    match texts.as_slice() {
        [only] if jobs[0]["spec"]["completionMode"] == "Indexed" => {
            if only.contains("job-completion-index") {
                Ok(Indexed)
            } else {
                Err(format!("no pod knows its index: {only}"))
            }
        }
        [] | [_] => Err(format!("one Job for all: {texts:?}")),
        several if several.iter().collect::<BTreeSet<_>>().len() == several.len() => Ok(Jobs),
        several => Err(format!("two Jobs are the same: {several:?}")),
    }
}

/// A Job of the stage `work` without its name, labels and annotations, which differ for each item anyway.
fn own_part(object: &Object) -> Option<Json> {
    let Object::Job(job) = object else {
        return None;
    };
    let labels = job.metadata.labels.as_ref()?;
    if labels.get(konductor_api::label::STAGE)? != "work" {
        return None;
    }
    let mut job = serde_json::to_value(job).ok()?;
    job["metadata"]["name"] = Json::Null;
    for metadata in ["/metadata", "/spec/template/metadata"] {
        let Some(metadata) = job.pointer_mut(metadata).and_then(Json::as_object_mut) else {
            continue;
        };
        for (map, ours) in [
            ("labels", konductor_api::label::ITEM),
            ("annotations", konductor_api::annotation::ITEM),
            ("annotations", konductor_api::annotation::CONTENT_HASH),
            ("annotations", konductor_api::annotation::ORDINAL),
        ] {
            if let Some(map) = metadata.get_mut(map).and_then(Json::as_object_mut) {
                map.insert(ours.to_owned(), json!(null));
            }
        }
    }
    Some(job)
}

/// What the items of a body are called.
fn attributes(body: &str) -> Vec<String> {
    let mut sources = Sources::default();
    let text = format!("pipeline p {{ stage a {{ {body} }} }}");
    let id = sources.add("attributes.kon", text.as_str());
    let (file, diagnostics) = parse(sources.get(id).expect("it was added"));
    assert_eq!(diagnostics, [], "{body}");
    let items = file.pipelines.iter().flat_map(|pipeline| &pipeline.items);
    let stages = items.filter_map(|item| match item {
        ast::Item::Stage(stage) => Some(stage),
        _ => None,
    });
    let items = stages.flat_map(|stage| &stage.body.items);
    let names = items.map(|item| match item {
        ast::BodyItem::Output(_) => "output",
        ast::BodyItem::Mount { .. } => "mount",
        ast::BodyItem::Use { .. } => "use",
        ast::BodyItem::Yaml { kind, .. } => match kind.value {
            ast::YamlKind::Pod => "pod",
            ast::YamlKind::Job => "job",
        },
        ast::BodyItem::Attribute(attribute) => &attribute.key.text,
    });
    names.map(str::to_owned).collect()
}
