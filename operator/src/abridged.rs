//! What is kept of an object of which many are read: whoever creates one decides how long its annotations are.
//!
//! What enters: an object of a list or a watch. What leaves: the same without annotations that nobody reads here. A
//! Job whose others are long keeps only what decisions about other objects read; it says so, and is read as a whole
//! before it is decided about. What must never happen here: a text that was cut and is taken for whole.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::limits::ITEM_OUTPUTS_BYTES_MAX;
use konductor_api::{
    Arrival, Barrier, Claim, Gate, Hold, Lease, LedgerKind, Participant, Run, Semaphore,
    annotation, format_holds,
};

/// In every annotation that konductor reads or writes, except Kueue's.
const OURS: &str = "konductor.io/";
/// Bytes of annotations with which a Job, with its pod template, is kept as it is: most have less.
const WHOLE_MAX: usize = 4 * 1024;
/// Bytes of a word, or of a sentence.
const TEXT_MAX: usize = 1024;
/// Bytes of lists.
const LIST_MAX: usize = 32 * 1024;
/// Bytes of outputs: a container writes 4 KiB, of which JSON makes six of some, and all items of a Job these; before
/// those that are kept stand their indexes.
const OUTPUTS_MAX: usize = ITEM_OUTPUTS_BYTES_MAX + LIST_MAX;
/// Stands at the end of what was cut. No name, hold, number or JSON ends so.
const CUT: char = '…';

/// The annotations that decisions about other objects read, and how many bytes are kept of each.
const SHARED: [(&str, usize); 20] = [
    (annotation::ALLOW_FROM, LIST_MAX),
    (annotation::ARRIVE, TEXT_MAX),
    (annotation::ATTEMPT, TEXT_MAX),
    (annotation::COMPLETED_INDEXES, LIST_MAX),
    (annotation::GATE, TEXT_MAX),
    (annotation::HELD, TEXT_MAX),
    (annotation::HOLD, TEXT_MAX),
    (annotation::ITEM, TEXT_MAX),
    (annotation::ITEMS, TEXT_MAX),
    (annotation::KUEUE_GATED_BY, TEXT_MAX),
    (annotation::NONCE, TEXT_MAX),
    (annotation::ORDINAL, TEXT_MAX),
    (annotation::OUTPUTS, OUTPUTS_MAX),
    (annotation::OUTPUTS_DECLARED, LIST_MAX),
    (annotation::OUTPUTS_KEPT, OUTPUTS_MAX),
    (annotation::PHASE, TEXT_MAX),
    (annotation::REASON, TEXT_MAX),
    (annotation::RELEASES, TEXT_MAX),
    (annotation::TIMES, LIST_MAX),
    (annotation::WHEN, TEXT_MAX),
];

/// An object of which many are kept.
pub(crate) trait Abridge {
    /// Drops what nobody reads.
    fn abridge(&mut self);
}

macro_rules! abridge {
    ($($kind:ty),*) => {
        $(impl Abridge for $kind {
            fn abridge(&mut self) {
                keep_shared(&mut self.metadata);
            }
        })*
    };
}

abridge!(Arrival, Barrier, Claim, Gate, Lease, Pod, Run, Semaphore);

impl Abridge for Participant {
    fn abridge(&mut self) {
        let template = self.spec.as_ref();
        let template = template.and_then(|spec| spec.template.metadata.as_ref());
        let template = template.and_then(|metadata| metadata.annotations.as_ref());
        let own = self.metadata.annotations.iter().flatten();
        let all = own.chain(template.into_iter().flatten());
        let read = all.filter(|(key, _)| is_read(key));
        let bytes: usize = read.map(|(key, value)| key.len() + value.len()).sum();
        let is_abridged = bytes > WHOLE_MAX;
        let (holds, tokens) = (holds(self), tokens(self));
        self.edit(|job| {
            let template = job.spec.as_mut().map(|spec| &mut spec.template);
            let template = template.and_then(|template| template.metadata.as_mut());
            let template = template.and_then(|metadata| metadata.annotations.as_mut());
            if is_abridged {
                keep_shared(&mut job.metadata);
                let annotations = job.metadata.annotations.get_or_insert_default();
                annotations.extend(holds);
            } else if let Some(annotations) = &mut job.metadata.annotations {
                annotations.retain(|key, _| is_read(key));
            }
            if let Some(annotations) = template {
                annotations.retain(|key, value| match is_abridged {
                    true => tokens.contains(key) && value.parse::<i64>().is_ok(),
                    false => is_read(key),
                });
            }
        });
        self.is_abridged = is_abridged;
    }
}

/// What a Job asks to hold, holds and leaves, without the blanks that make such a text as long as one likes: sixteen
/// holds with the longest names have 4,400 bytes.
fn holds(job: &Participant) -> Vec<(String, String)> {
    let holds = job.asked.as_ref().and_then(|holds| holds.as_ref().ok());
    let all: [(&str, Option<&Vec<Hold>>); 3] = [
        (annotation::HELD, job.held.as_ref()),
        (annotation::HOLD, holds),
        (annotation::RELEASES, job.releases.as_ref()),
    ];
    let holds_by_key = all
        .into_iter()
        .filter_map(|(key, holds)| Some((key, holds?)));
    holds_by_key
        .map(|(key, holds)| (key.to_owned(), format_holds(holds)))
        .collect()
}

/// The template's annotations that a Lease reads when it is created again.
fn tokens(job: &Participant) -> Vec<String> {
    let holds = job.holding().iter();
    let leases = holds.filter(|hold| hold.kind == LedgerKind::Lease);
    leases
        .map(|hold| format!("{}{}", annotation::TOKEN_PREFIX, hold.name))
        .collect()
}

/// Whether a decision about a Job reads this annotation of it; also a slip in one of them, which is reported.
fn is_read(key: &str) -> bool {
    key.to_ascii_lowercase().contains(OURS) || key == annotation::KUEUE_GATED_BY
}

fn keep_shared(metadata: &mut ObjectMeta) {
    let Some(annotations) = metadata.annotations.take() else {
        return;
    };
    let shared = SHARED.iter().filter_map(|(key, most)| {
        let value = annotations.get(*key)?;
        Some(((*key).to_owned(), shortened(value, *most)))
    });
    let shared: BTreeMap<String, String> = shared.collect();
    metadata.annotations = Some(shared).filter(|shared| !shared.is_empty());
}

fn shortened(value: &str, most: usize) -> String {
    match value.len() <= most {
        true => value.to_owned(),
        false => format!("{}{CUT}", &value[..value.floor_char_boundary(most)]),
    }
}

#[cfg(test)]
mod tests {
    use konductor_api::parse_holds;
    use serde_json::{Value, json};

    use super::*;

    /// Those that only decisions about the object itself read, and those that only koncli reads.
    const OWN: [&str; 8] = [
        annotation::CONTENT_HASH,
        annotation::INPUTS,
        annotation::LAST_APPLIED,
        annotation::PENDING_TIMEOUT,
        annotation::PRESETS,
        annotation::RESUMED,
        annotation::RETRY,
        annotation::SLOT,
    ];

    fn job(annotations: Value, template: Value) -> Participant {
        serde_json::from_value(json!({
            "metadata": {"name": "j", "annotations": annotations},
            "spec": {"template": {"metadata": {"annotations": template}}},
        }))
        .expect("a Job")
    }

    fn abridged(annotations: Value, template: Value) -> Participant {
        let mut job = job(annotations, template);
        job.abridge();
        job
    }

    fn bytes(job: &Participant) -> usize {
        serde_json::to_string(job).expect("JSON").len()
    }

    #[test]
    fn each_annotation_is_shared_or_of_the_object_alone() {
        let source = include_str!("../../api/src/annotation.rs");
        let lines = source.lines().filter(|line| line.starts_with("pub const"));
        let texts = lines.filter_map(|line| line.split('"').nth(1));
        // Prefixes, and values, are no annotations. These two stand on pod templates only.
        let keys = texts.filter(|text| text.contains('/') && !text.ends_with('/'));
        let mut count = 0;
        let of_templates = [annotation::GUARD, annotation::TRACEPARENT];
        for key in keys.filter(|key| !of_templates.contains(key)) {
            let shared = SHARED.iter().any(|(shared, _)| *shared == key);
            assert!(shared != OWN.contains(&key), "{key}");
            count += 1;
        }
        assert!(count >= 20, "only {count}");
    }

    #[test]
    fn long_annotations_of_a_job_are_left_out_and_the_job_says_so() {
        let long = "x".repeat(60_000);
        for (annotations, template) in [
            (json!({"konductor.io/inputs": long}), json!({})),
            (json!({"konductor.io/presets": long}), json!({})),
            (json!({"konductor.io/not-known": long}), json!({})),
            (json!({}), json!({"konductor.io/in-0": long})),
            (json!({}), json!({"token.konductor.io/lease": long})),
        ] {
            let job = abridged(annotations, template);
            assert!(job.is_abridged && bytes(&job) < 1000, "{job:?}");
            assert!(job.inputs.is_none(), "{job:?}");
        }
    }

    #[test]
    fn whatever_a_job_is_annotated_with_little_of_it_is_kept() {
        let words = |prefix: &str, count: usize, length: usize| -> BTreeMap<String, String> {
            (0..count)
                .map(|n| (format!("{prefix}{n}"), "x".repeat(length)))
                .collect()
        };
        let foreign = abridged(
            json!(words("example.com/", 100, 2_000)),
            json!(words("a/", 100, 2_000)),
        );
        assert!(!foreign.is_abridged && bytes(&foreign) < 1000);
        let many = json!(words("konductor.io/x", 10_000, 1));
        let many = abridged(many.clone(), many);
        assert!(many.is_abridged && bytes(&many) < 1000);
        let longest = SHARED.map(|(key, _)| (key.to_owned(), "x".repeat(60_000)));
        let longest = abridged(json!(BTreeMap::from(longest)), json!({}));
        let most: usize = SHARED.iter().map(|(_, most)| most).sum();
        assert!(bytes(&longest) < most + 2_000, "{}", bytes(&longest));
    }

    #[test]
    fn what_a_job_needs_is_kept_as_it_is() {
        let annotations = json!({
            "konductor.io/inputs": "{\"in-0\":\"a/rows\"}", "konductor.io/gate": "g",
            "konductor.io/outputs": "{\"rows\":\"7\"}", "konductor.io/reason": "r".repeat(TEXT_MAX + 1),
            "kueue.x-k8s.io/admission-gated-by": "konductor.io/gate", "Konductor.io/Hodl": "lease/l",
        });
        let whole = job(
            annotations,
            json!({"konductor.io/in-0": "7", "konductor.io/guard": "waiting"}),
        );
        let mut kept = whole.clone();
        kept.abridge();
        assert_eq!(kept, whole);
    }

    #[test]
    fn what_other_objects_read_of_a_job_stays_whatever_else_is_left_out() {
        let outputs = json!({"text": "\u{1}".repeat(4_000)}).to_string();
        let job = abridged(
            json!({
                "konductor.io/held": "lease/schema", "konductor.io/outputs": outputs,
                "konductor.io/inputs": "x".repeat(WHOLE_MAX), "konductor.io/phase": "Running",
            }),
            json!({"token.konductor.io/schema": "42", "token.konductor.io/other": "43"}),
        );
        assert!(job.is_abridged && job.phase.is_some());
        assert_eq!(job.outputs().unwrap_or_default()["text"].len(), 4_000);
        let template = job.spec.as_ref().map(|spec| &spec.template);
        let metadata = template.and_then(|template| template.metadata.as_ref());
        let annotations = metadata.and_then(|metadata| metadata.annotations.as_ref());
        let token = BTreeMap::from([("token.konductor.io/schema".to_owned(), "42".to_owned())]);
        assert_eq!(annotations, Some(&token));
    }

    #[test]
    fn a_text_that_was_cut_is_never_taken_for_whole() {
        let wrong = format!("semaphore/a,{}x", " ".repeat(LIST_MAX));
        let gate = "é".repeat(TEXT_MAX);
        let job = abridged(
            json!({"konductor.io/hold": wrong, "konductor.io/gate": gate}),
            json!({}),
        );
        assert!(matches!(job.asked, Some(Err(_))), "{job:?}");
        assert!(job.gate().is_some_and(|gate| gate.ends_with(CUT)));
        // What is cut off would ask for something else, so it is written without blanks.
        let hold = format!("semaphore/a,{}lease/b", " ".repeat(LIST_MAX));
        let whole = parse_holds(&hold).expect("holds");
        let job = abridged(json!({"konductor.io/hold": hold}), json!({}));
        assert_eq!(job.holds(), whole);
        assert!(bytes(&job) < 1000);
    }
}
