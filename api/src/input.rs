//! What a Job reads of others, as its annotation writes it.

use std::collections::BTreeMap;

use crate::{Gathered, is_object_name};

/// The input of a finally stage that is not another Job's output.
const RUN_OUTCOME: &str = "run.outcome";

/// Where the value of an input comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// How its run's main stages ended.
    RunOutcome,
    /// An output of another Job of the namespace.
    Output {
        /// The Job.
        job: String,
        /// The output's name.
        output: String,
    },
    /// The list of an output's values over the items of a stage of its run that succeeded.
    Gathered(Gathered),
    /// Something else, as it was written.
    Unknown(String),
}

impl Input {
    /// Reads an entry of [`crate::annotation::INPUTS`].
    pub(crate) fn parse(from: &str) -> Self {
        match from.split_once('/') {
            _ if from == RUN_OUTCOME => Self::RunOutcome,
            Some((job, output)) if is_object_name(job) => Self::Output {
                job: job.to_owned(),
                output: output.to_owned(),
            },
            Some(_) | None => match Gathered::parse(from) {
                Some(gathered) => Self::Gathered(gathered),
                None => Self::Unknown(from.to_owned()),
            },
        }
    }
}

/// The annotation with the inputs is not a JSON object of strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotInputs;

/// Reads the annotation [`crate::annotation::INPUTS`].
///
/// # Errors
/// If it is not a JSON object of strings.
pub(crate) fn parse_inputs(text: &str) -> Result<BTreeMap<String, Input>, NotInputs> {
    let inputs: BTreeMap<String, String> = serde_json::from_str(text).map_err(|_| NotInputs)?;
    let inputs = inputs.into_iter();
    let inputs = inputs.map(|(key, from)| (key, Input::parse(&from)));
    Ok(inputs.collect())
}
