//! Outputs of several Jobs that another Job reads as one list.

use std::collections::BTreeMap;
use std::fmt;

use crate::{is_object_name, label};

/// Outputs of the items of a stage that become one list: `count[*]/rows`, or of some of the items,
/// `count[region=eu,*]/rows`; behind it perhaps what stands for an item that wrote nothing: ` = 0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gathered {
    /// The stage.
    pub stage: String,
    /// The loop variables that are fixed, each with its value as the label of the item has it; see
    /// [`label::ITEM_PREFIX`].
    pub fixed: BTreeMap<String, String>,
    /// The output's name.
    pub output: String,
    /// What counts for an item that succeeded and did not write it.
    pub default: Option<String>,
}

impl Gathered {
    /// Returns the labels of the Jobs in a run whose outputs these are.
    pub fn labels(&self, run: &str) -> BTreeMap<String, String> {
        label::of_items(run, &self.stage, &self.fixed)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (stage, rest) = text.split_once('[')?;
        let (address, rest) = rest.split_once("]/")?;
        let fixed = match address.strip_suffix('*')? {
            "" => BTreeMap::new(),
            fixed => fixed
                .strip_suffix(',')?
                .split(',')
                .map(|pair| {
                    let (name, value) = pair.split_once('=')?;
                    let both = is_object_name(name) && is_object_name(value);
                    both.then(|| (name.to_owned(), value.to_owned()))
                })
                .collect::<Option<_>>()?,
        };
        let (output, default) = match rest.split_once(" = ") {
            Some((output, default)) => (output, Some(default.to_owned())),
            None => (rest, None),
        };
        (is_object_name(stage) && !output.is_empty()).then(|| Self {
            stage: stage.to_owned(),
            fixed,
            output: output.to_owned(),
            default,
        })
    }

    /// As a pipeline file would say it, but for variables whose values are fixed: `count[region=eu,*].rows`.
    pub fn words(&self) -> String {
        format!("{}{}.{}", self.stage, self.address(), self.output)
    }

    fn address(&self) -> String {
        let fixed = self.fixed.iter();
        let fixed = fixed.map(|(name, value)| format!("{name}={value},"));
        format!("[{}*]", fixed.collect::<String>())
    }
}

/// As the annotation [`crate::annotation::INPUTS`] has it.
impl fmt::Display for Gathered {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{}/{}", self.stage, self.address(), self.output)?;
        match &self.default {
            Some(default) => write!(out, " = {default}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gathered_outputs_are_read_back_as_they_were_written_and_nothing_else_is_one() {
        let texts = [
            "count[*]/rows",
            "count[*]/rows = 0",
            "count[*]/rows = a[*]/b = c",
            "count[os=linux,region=eu,*]/rows",
        ];
        for text in texts {
            let read = Gathered::parse(text).map(|gathered| gathered.to_string());
            assert_eq!(read.as_deref(), Some(text));
        }
        let texts = [
            "count[]/rows",
            "count[**]/rows",
            "count[*]/",
            "count[*]",
            "[*]/rows",
            "count[eu,*]/rows",
            "count[a=b]/rows",
            "count[a=b*]/rows",
            "count[a=,*]/rows",
            "a b[*]/rows",
            "count[,*]/rows",
            "count/rows",
        ];
        for text in texts {
            assert_eq!(Gathered::parse(text), None, "{text}");
        }
    }
}
