//! Values that a Job hands on: read from its termination message, checked against what it declares,
//! and stored on it as an annotation.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use konductor_api::limits::{OUTPUT_BYTES_MAX, POD_OUTPUT_BYTES_MAX};
use konductor_api::output::NUL_PROBLEM;
use konductor_api::{DeclaredOutput, Participant};

/// Characters of a value that a reason repeats.
const VALUE_SHOWN_MAX: usize = 40;
/// Outputs that a reason names.
pub(crate) const PROBLEMS_SHOWN_MAX: usize = 8;

/// The last words of a pod, and how many bytes of them there could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub text: &'a str,
    pub bytes_max: usize,
}

/// Reads the `name=value` lines of a termination message. Only declared names count, the last value
/// of a name wins, and everything else is ignored.
///
/// # Errors
/// Which outputs are missing or have a value of another type, in words. A message that is as long as
/// one can be was cut: nothing that it says is believed.
pub(crate) fn read_outputs(
    message: Message<'_>,
    declared: &[DeclaredOutput],
) -> Result<BTreeMap<String, String>, String> {
    if message.text.len() >= message.bytes_max {
        return Err(format!(
            "together they are {} bytes or more, and were cut by the kubelet",
            message.bytes_max
        ));
    }
    let is_declared = |name: &str| declared.iter().any(|output| output.name == name);
    let values: BTreeMap<String, String> = message
        .text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim_end_matches('\r')))
        .filter(|(name, _)| is_declared(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let problems: Vec<String> = declared
        .iter()
        .filter_map(|output| problem(output, values.get(&output.name)))
        .collect();
    if problems.is_empty() {
        return Ok(values);
    }
    let more = problems.len().saturating_sub(PROBLEMS_SHOWN_MAX);
    let mut shown = problems;
    shown.truncate(PROBLEMS_SHOWN_MAX);
    if more > 0 {
        shown.push(format!("{more} more are wrong"));
    }
    Err(shown.join("; "))
}

/// What is wrong with one output.
fn problem(output: &DeclaredOutput, value: Option<&String>) -> Option<String> {
    let name = &output.name;
    match (value, &output.ty) {
        (None, _) if output.optional => None,
        (None, _) => Some(format!("{name} was not written")),
        (Some(value), Some(ty)) if !ty.admits(value) => {
            let is = match ty {
                konductor_api::OutputType::Words(_) => "is not one of",
                _ => "is not of type",
            };
            let instead = ty.instead_of(value);
            let instead = instead.map_or_else(String::new, |instead| format!(": {instead}"));
            Some(format!("{name}={} {is} {ty}{instead}", shown(value)))
        }
        // Of a bare name, any other text is right.
        (Some(value), None) if value.contains('\0') => {
            Some(format!("{name}={}: {NUL_PROBLEM}", shown(value)))
        }
        (Some(_), _) => None,
    }
}

/// A value in quotes, shortened, without characters that a terminal would obey.
pub(crate) fn shown(value: &str) -> String {
    format!("{:?}", shortened(value))
}

/// The beginning of a value.
pub(crate) fn shortened(value: &str) -> String {
    let mut start: String = value.chars().take(VALUE_SHOWN_MAX).collect();
    if start.len() < value.len() {
        start.push('…');
    }
    start
}

/// What a Job says about itself whose pod was gone before anybody has read what it wrote.
pub(crate) const OUTPUTS_LOST: &str = "its pod was gone before its outputs were read";

/// Whether a Job has written outputs that nobody can know any more.
pub(crate) fn outputs_are_lost(job: &Participant) -> bool {
    job.reason() == Some(OUTPUTS_LOST)
}

/// What the succeeded pod's container `main` (or its only container) left as its last words.
pub(crate) fn termination_message<'a>(
    pods: impl IntoIterator<Item = &'a Pod>,
) -> Option<Message<'a>> {
    pods.into_iter().find_map(|pod| {
        let status = pod.status.as_ref()?;
        if status.phase.as_deref() != Some("Succeeded") {
            return None;
        }
        let containers = status.container_statuses.as_ref()?;
        let main = containers.iter().find(|container| container.name == "main");
        let terminated = main
            .or(containers.first())?
            .state
            .as_ref()?
            .terminated
            .as_ref()?;
        let statuses = [
            &status.container_statuses,
            &status.init_container_statuses,
            &status.ephemeral_container_statuses,
        ];
        let count: usize = statuses.into_iter().flatten().map(Vec::len).sum();
        Some(Message {
            text: terminated.message.as_deref().unwrap_or_default(),
            bytes_max: OUTPUT_BYTES_MAX.min(POD_OUTPUT_BYTES_MAX / count.max(1)),
        })
    })
}

#[cfg(test)]
mod tests {
    use konductor_api::parse_declared_outputs;

    use super::*;

    fn read(message: &str, declared: &str) -> Result<Vec<(String, String)>, String> {
        let declared = parse_declared_outputs(declared).expect("a declaration");
        let message = Message {
            text: message,
            bytes_max: OUTPUT_BYTES_MAX,
        };
        read_outputs(message, &declared).map(|values| values.into_iter().collect())
    }

    #[test]
    fn outputs_are_declared_names_and_the_last_value_wins() {
        let message = "rows=1\nnoise\nsecret=x\nrows=2\r\nurl=a=b\nempty=\n";
        let expected =
            [("empty", ""), ("rows", "2"), ("url", "a=b")].map(|(k, v)| (k.into(), v.into()));
        for declared in ["rows, url,empty", "rows: int, url: string, empty: string"] {
            assert_eq!(read(message, declared), Ok(expected.to_vec()), "{declared}");
        }
    }

    #[test]
    fn every_wrong_output_is_named_with_its_value_and_type() {
        let declared = "rows: int in 0..9, ok?: bool, lvl: low|high, dur?: duration, q: quantity, \
                        acc?: number, note: string";
        let right = "rows=9\nlvl=low\nq=1Gi\nnote=\nacc=9.1e-05\n";
        assert!(read(right, declared).is_ok());
        let wrong = "rows= 12 \nok=True\nlvl=High\ndur=5 m\nq=1\u{1b}[2J\nacc=0,9\n";
        let expected = "rows=\" 12 \" is not of type int in 0..9; ok=\"True\" is not of type bool; \
             lvl=\"High\" is not one of low|high; dur=\"5 m\" is not of type duration; \
             q=\"1\\u{1b}[2J\" is not of type quantity; acc=\"0,9\" is not of type number: write a \
             point, not a comma; \
             note was not written";
        assert_eq!(read(wrong, declared), Err(expected.to_owned()));
        let long = format!("n={}", "é".repeat(1_000));
        let expected = format!("n=\"{}…\" is not of type int", "é".repeat(40));
        assert_eq!(read(&long, "n?: int"), Err(expected));
        let many: Vec<String> = (0..10).map(|index| format!("o{index}: int")).collect();
        let missing = read("", &many.join(", ")).expect_err("all are missing");
        assert!(
            missing.ends_with("o7 was not written; 2 more are wrong"),
            "{missing}"
        );
    }

    #[test]
    fn a_text_that_no_variable_can_hold_is_no_output() {
        let problem = "it has a NUL character, which no variable can hold";
        for (declared, expected) in [
            (
                "s: string",
                format!("s=\"a\\0b\" is not of type string: {problem}"),
            ),
            ("s", format!("s=\"a\\0b\": {problem}")),
        ] {
            assert_eq!(read("s=a\0b\n", declared), Err(expected), "{declared}");
        }
        // Of a list it is written as six characters.
        assert!(read("l=[\"a\\u0000b\"]\n", "l: list<string>").is_ok());
    }

    #[test]
    fn a_message_that_was_cut_is_not_believed() {
        let value = "x".repeat(OUTPUT_BYTES_MAX - 3);
        assert!(read(&format!("o={value}"), "o: string").is_ok());
        // The kubelet keeps the end.
        let cut = format!("{value}\nn=5\n");
        let read = read(&cut[cut.len() - OUTPUT_BYTES_MAX..], "o?: string, n?: int");
        let expected = "together they are 4096 bytes or more, and were cut by the kubelet";
        assert_eq!(read, Err(expected.to_owned()));
    }
}
