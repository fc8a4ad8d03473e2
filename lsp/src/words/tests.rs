//! The tables against the compiler.

use konductor_compiler::{Object, Options, check, compile};
use konductor_dsl::{Code, Sources};

use super::*;

/// Whether a place has an attribute, by the compiler.
fn takes(place: Place, attribute: &str) -> bool {
    let (before, behind) = match place {
        Place::Pipeline => ("", ""),
        Place::Body => ("stage a {", "}"),
        Place::Semaphore => ("semaphore a {", "}"),
        Place::Lease => ("lease a {", "}"),
        Place::Workspace => ("workspace a {", "}"),
        Place::Store => ("store {", "}"),
        Place::Approval => ("approval a {", "}"),
        Place::Schedule => ("schedule \"@daily\" {", "}"),
        Place::Resources => ("stage a { resources {", "} }"),
        Place::Node => ("stage a { node {", "} }"),
    };
    let text = format!("pipeline p {{ {before} {attribute} = 1 {behind} }}");
    let mut sources = Sources::default();
    sources.add("a.kon", text);
    let compiled = check(sources, &Options::at(jiff::Timestamp::UNIX_EPOCH));
    let mut reported = compiled.diagnostics.iter();
    reported.all(|diagnostic| !matches!(diagnostic.code, Code::K0203 | Code::K0101))
}

#[test]
fn each_attribute_is_one_of_its_place_and_of_no_other() {
    const PLACES: [Place; 10] = [
        Place::Pipeline,
        Place::Body,
        Place::Semaphore,
        Place::Lease,
        Place::Workspace,
        Place::Store,
        Place::Approval,
        Place::Schedule,
        Place::Resources,
        Place::Node,
    ];
    let all: Vec<Word> = PLACES
        .iter()
        .flat_map(|place| attributes(*place))
        .copied()
        .collect();
    for place in PLACES {
        for word in &all {
            let listed = attributes(place)
                .iter()
                .any(|other| other.name == word.name);
            assert_eq!(
                takes(place, word.name),
                listed,
                "{} in {place:?}",
                word.name
            );
        }
    }
}

#[test]
fn every_attribute_of_a_body_is_listed() {
    let listed: Vec<&str> = BODY.iter().map(|word| word.name).collect();
    assert_eq!(listed, konductor_compiler::BODY_ATTRIBUTES);
}

/// The objects of a pipeline as JSON, without the one that has its text, whose name is a hash.
fn objects(declaration: &str) -> String {
    let text = format!(
        "pipeline p {{\n  {declaration}\n  workspace data {{ size = 1Gi }}\n  stage a {{ image = \"b:1\", run = \
         \"x\", mount data at \"/d\" }}\n}}\n"
    );
    let mut sources = Sources::default();
    sources.add("a.kon", text.clone());
    let compiled = compile(sources, &Options::at(jiff::Timestamp::UNIX_EPOCH));
    let scheduled = compiled.schedule.iter();
    let mut all: Vec<Object> = scheduled
        .flat_map(|schedule| schedule.objects().to_vec())
        .collect();
    let run = compiled.manifests.iter();
    all.extend(run.flat_map(|manifests| manifests.objects()));
    assert!(!all.is_empty(), "{text}: {:?}", compiled.diagnostics);
    let (files, others): (Vec<Object>, Vec<Object>) = all
        .into_iter()
        .partition(|object| matches!(object, Object::ConfigMap(_)));
    let mut json = serde_json::to_string(&others).expect("JSON");
    for object in files {
        let object = serde_json::to_value(object).expect("JSON");
        let name = object["metadata"]["name"].as_str().expect("a name");
        json = json.replace(name, "FILES");
    }
    json
}

#[test]
fn an_attribute_that_is_not_written_has_its_default() {
    let table = [
        (Place::Lease, "lease l"),
        (Place::Workspace, "workspace w { size = 1Gi, "),
        (Place::Approval, "approval ok"),
        (Place::Schedule, "schedule \"@daily\""),
    ];
    for (place, declaration) in table {
        for (name, value) in defaults(place) {
            let (without, with) = match declaration.ends_with(", ") {
                true => (
                    format!("{declaration} }}"),
                    format!("{declaration} {name} = {value} }}"),
                ),
                false => (
                    declaration.to_owned(),
                    format!("{declaration} {{ {name} = {value} }}"),
                ),
            };
            assert_eq!(objects(&without), objects(&with), "{with}");
        }
    }
}
