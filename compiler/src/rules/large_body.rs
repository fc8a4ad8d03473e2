//! K0505: a stage that is too large for one object.

use konductor_api::limits::INPUTS_BYTES_MAX;
use konductor_dsl::{Code, Diagnostic, Span, ast};

use crate::eval::Values;
use crate::limits::{
    BODY_BYTES_MAX, ENTRIES_MAX, INPUTS_MAX, OUTPUT_BYTES_MAX, TEXT_REFERENCES_MAX,
    VALUE_BYTES_MAX, WHEN_MAX, WORD_BYTES_MAX, WORK_BYTES_MAX,
};
use crate::pipeline::{Action, Name, Pipeline, Source, Stage, Term, Text};
use crate::plan::job::Jobs;
use crate::plan::{Plan, varies};

/// Reports stages whose Jobs an API server would refuse, and pipelines that are too large together.
pub(crate) fn check(pipeline: &Pipeline, jobs: &Jobs, diagnostics: &mut Vec<Diagnostic>) {
    let mut total: usize = 0;
    for (index, stage) in pipeline.stages.iter().enumerate() {
        let varies = texts(stage).any(varies::of_text);
        let planned = jobs.of_stage(index);
        let looked_at = if varies {
            planned.len()
        } else {
            planned.len().min(1)
        };
        let sizes = jobs.list[planned.start..planned.start + looked_at]
            .iter()
            .map(|job| size(stage, job.values(pipeline)));
        let (sum, largest) = sizes.fold((0_usize, 0), |(sum, most), size| {
            (sum.saturating_add(size), most.max(size))
        });
        let values = jobs.list[planned.start..planned.start + looked_at].iter();
        let values = values.map(|job| job.values(pipeline));
        diagnostics.extend(values.filter_map(|values| long_word(stage, values)).next());
        let repeated = if varies { 1 } else { planned.len() };
        total = total.saturating_add(sum.saturating_mul(repeated));
        if largest > BODY_BYTES_MAX {
            diagnostics.push(report(
                &stage.name,
                largest,
                BODY_BYTES_MAX,
                "bytes of text",
            ));
        }
    }
    if total > OUTPUT_BYTES_MAX {
        diagnostics.push(report(
            &pipeline.name,
            total,
            OUTPUT_BYTES_MAX,
            "bytes of text",
        ));
    }
}

/// Reports lists of outputs that can't reach a stage, however short their values are.
pub(crate) fn check_gathered(pipeline: &Pipeline, jobs: &Jobs, diagnostics: &mut Vec<Diagnostic>) {
    for (index, stage) in pipeline.stages.iter().enumerate() {
        let references = texts(stage).flat_map(Text::references);
        let mut lists: Vec<(&Source, Span)> = Vec::new();
        references.for_each(|reference| gathered(&reference.source, reference.span, &mut lists));
        diagnostics.extend(lists.into_iter().filter_map(|(source, span)| {
            let Source::Output {
                stage: from,
                address,
                output,
            } = source
            else {
                return None;
            };
            let planned = jobs.list[jobs.of_stage(index)].iter();
            let several = |values| jobs.several(*from, address, values);
            let items = planned.filter_map(|job| several(job.values(pipeline)));
            let items = items.map(|(_, items)| items).max()?;
            let output = &pipeline.stages[*from].body.outputs[*output];
            let bytes = items.saturating_mul(output.ty.json_bytes_min() + 1);
            (bytes > INPUTS_BYTES_MAX).then(|| of_list(span, items, bytes))
        }));
    }
}

/// Collects the lists of outputs that a reference stands for.
fn gathered<'p>(source: &'p Source, span: Span, lists: &mut Vec<(&'p Source, Span)>) {
    match source {
        Source::Output { address, .. } if Term::are_several(address) => lists.push((source, span)),
        Source::Argument { value, .. } => match value.as_ref() {
            Term::Reference(reference) => gathered(&reference.source, span, lists),
            Term::Text(text) => text
                .references()
                .for_each(|reference| gathered(&reference.source, span, lists)),
            Term::Value(_) | Term::List(_) | Term::Every | Term::Unknown => {}
        },
        Source::Output { .. }
        | Source::OwnOutput { .. }
        | Source::Constant { .. }
        | Source::Param { .. }
        | Source::Loop { .. }
        | Source::Token { .. }
        | Source::Workspace { .. }
        | Source::RunOutcome => {}
    }
}

/// A list of outputs that is too long.
fn of_list(span: Span, items: usize, bytes: usize) -> Diagnostic {
    let message = format!(
        "the values of {items} items have {bytes} bytes or more: at most {INPUTS_BYTES_MAX}"
    );
    Diagnostic::error(Code::K0505, span, message)
        .help("let the items write into a workspace, or gather a part of them")
}

/// Reports conditions that are longer than a Gate takes.
pub(crate) fn check_conditions(pipeline: &Pipeline, plan: &Plan) -> Vec<Diagnostic> {
    let gate_of = |stage: usize| {
        let gates = plan
            .jobs
            .of_stage(stage)
            .filter_map(|job| plan.gates.of_job[job]);
        let lengths = gates.filter_map(|gate| plan.gates.list[gate].key.when.as_ref());
        lengths.map(String::len).max().unwrap_or_default()
    };
    let stages = pipeline.stages.iter().enumerate();
    stages
        .filter_map(|(index, stage)| Some((stage.when.as_ref()?, gate_of(index), &stage.name)))
        .filter(|(_, length, _)| *length > WHEN_MAX)
        .map(|(when, length, name)| {
            report(name, length, WHEN_MAX, "characters of `when`")
                .label(when.span, "this condition")
        })
        .collect()
}

/// A parameter's default that is too long.
pub(crate) fn of_value(span: Span, length: usize) -> Diagnostic {
    let message = format!("this value has {length} bytes: at most {VALUE_BYTES_MAX}");
    Diagnostic::error(Code::K0505, span, message)
        .help("put large values into a file in the image, or into a workspace")
}

/// A text that is too long, or has too many interpolations.
pub(crate) fn of_text(span: Span, references: usize, length: usize) -> Diagnostic {
    let message = if references > TEXT_REFERENCES_MAX {
        format!("this text has {references} interpolations: at most {TEXT_REFERENCES_MAX}")
    } else {
        format!("this text has {length} bytes: at most {BODY_BYTES_MAX}")
    };
    Diagnostic::error(Code::K0505, span, message)
        .help("put long scripts into the image, and share large values through a workspace")
}

/// A pipeline whose templates and defaults add up to too much.
pub(crate) fn of_pipeline(name: &ast::Name) -> Diagnostic {
    let message = format!("the bodies of all stages have more than {WORK_BYTES_MAX} bytes");
    Diagnostic::error(Code::K0505, name.span, message)
        .help("put long scripts into the image, and make `defaults` and templates smaller")
}

/// A stage that reads too many outputs.
pub(crate) fn of_inputs(span: Span) -> Diagnostic {
    Diagnostic::error(
        Code::K0505,
        span,
        format!("a stage reads at most {INPUTS_MAX} outputs"),
    )
    .here("one too many")
    .help("let the other stages write into a workspace, and read them from there")
}

/// A map with too many entries.
pub(crate) fn of_entries(span: Span, count: usize) -> Diagnostic {
    let message = format!("{count} entries are too many: at most {ENTRIES_MAX}");
    Diagnostic::error(Code::K0505, span, message)
        .help("put them into a file in the image, or into a ConfigMap that the stage mounts")
}

fn report(name: &Name, count: usize, max: usize, what: &str) -> Diagnostic {
    let message = format!("`{}` has {count} {what}: at most {max}", name.text);
    Diagnostic::error(Code::K0505, name.span, message).help(
        "put long scripts and data into the image, and share large values through a workspace",
    )
}

/// A script, argument or variable that Linux does not take.
fn long_word(stage: &Stage, values: Values<'_>) -> Option<Diagnostic> {
    let script = match &stage.body.action {
        Some(Action::Run(script)) => Some(&script.text),
        _ => None,
    };
    // A script has variables where values are in other texts.
    let length = |text: &Text| match script.is_some_and(|script| std::ptr::eq(script, text)) {
        true => text.literal_bytes(),
        false => values.length(text),
    };
    let mut words = words(stage).map(|text| (text, length(text)));
    let (text, length) = words.find(|(_, length)| *length > WORD_BYTES_MAX)?;
    let message = format!("this has {length} bytes: at most {WORD_BYTES_MAX} reach a container");
    let diagnostic = Diagnostic::error(Code::K0505, text.span, message)
        .help("put long scripts and data into the image, or share them through a workspace");
    Some(diagnostic)
}

/// The texts that are passed to a process, each as one.
fn words(stage: &Stage) -> impl Iterator<Item = &Text> {
    let words = stage.body.texts();
    words.filter_map(|(place, text)| place.is_of_program().then_some(text))
}

fn texts(stage: &Stage) -> impl Iterator<Item = &Text> {
    stage.body.texts().map(|(_, text)| text)
}

fn size(stage: &Stage, values: Values<'_>) -> usize {
    texts(stage)
        .map(|text| values.length(text))
        .fold(0, usize::saturating_add)
}
