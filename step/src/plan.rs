//! What the variables of a container say: the spec, the item, and what the command gets.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use konductor_api::step::{
    INDEX_VARIABLE, ITEMS_VARIABLE, NAMESPACE_VARIABLE, POD_UID_VARIABLE, STEP_VARIABLE,
    STORE_SECRET_PREFIX,
};
use konductor_api::{FileKind, FileValue, InputSpec, StepSpec};

use crate::expansion::expand;
use crate::item::{self, Item};
use crate::limits::RETRY_TIME;
use crate::store::Store;
use crate::{StepError, TransferError, Variables, exists, key};

/// The variable that the runner of `koncli run` sets for processes, which are no containers.
const PROCESS_VARIABLE: &str = "KONDUCTOR_MOUNT_KON_BIN";

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) spec: StepSpec,
    /// All variables of the container.
    variables: Variables,
    item: Option<Item>,
    /// The command's words.
    pub(crate) command: Vec<OsString>,
    /// The command's variables.
    pub(crate) environment: Variables,
}

impl Plan {
    /// Reads the variables. `read` reads the file with the items.
    ///
    /// # Errors
    /// If there is no spec, or it is not of this version; if the item can't be picked.
    pub(crate) fn read(
        variables: Variables,
        command: Vec<OsString>,
        read: impl Fn(&Path) -> io::Result<String>,
    ) -> Result<Self, StepError> {
        if command.is_empty() {
            let message = "there is no command to run: write it behind `--`";
            return Err(StepError::Spec(message.to_owned()));
        }
        let text = text(&variables, STEP_VARIABLE)?;
        let spec: StepSpec = serde_json::from_str(&text).map_err(|error| {
            StepError::Spec(format!(
                "{STEP_VARIABLE} can't be read: {error}; the image of koncli and the koncli that compiled the \
                 pipeline must have the same version"
            ))
        })?;
        let item = match &spec.items {
            None => None,
            Some(items) => Some(pick(items, &variables, read)?),
        };
        let mut environment = variables.clone();
        environment.retain(|name, _| !is_own(name));
        for (name, value) in item.iter().flat_map(|item| &item.variables) {
            environment.insert(name.into(), value.into());
        }
        for name in &spec.expands {
            let value = environment.get(OsStr::new(name));
            if let Some(value) = value.and_then(|value| value.to_str()) {
                let value = expand(value, |name| known(&environment, name));
                environment.insert(name.into(), value.into());
            }
        }
        let command = match spec.expands_command {
            false => command,
            true => command
                .into_iter()
                .map(|word| match word.to_str() {
                    Some(text) => expand(text, |name| known(&environment, name)).into(),
                    None => word,
                })
                .collect(),
        };
        Ok(Self {
            spec,
            variables,
            item,
            command,
            environment,
        })
    }

    /// Opens the store.
    pub(crate) fn open_store(&self) -> Result<Store, StepError> {
        let Some(store) = &self.spec.store else {
            let message = "the stage has files, and the pipeline no store";
            return Err(StepError::Spec(message.to_owned()));
        };
        Ok(Store::open(store, &self.variables, RETRY_TIME)?)
    }

    /// Whether this process has credentials that the command does not get.
    pub(crate) fn has_credentials(&self) -> bool {
        let mut names = self.variables.keys().map(|name| name.to_string_lossy());
        names.any(|name| name.starts_with(STORE_SECRET_PREFIX))
    }

    /// The path that a variable says.
    pub(crate) fn path(&self, variable: &str) -> Result<PathBuf, StepError> {
        let path = self.variables.get(OsStr::new(variable));
        let path = path.filter(|path| !path.is_empty());
        path.map(PathBuf::from).ok_or_else(|| {
            StepError::Spec(format!("the variable {variable} with a path is not set"))
        })
    }

    /// What an input consists of: nothing if its stage wrote none.
    pub(crate) fn input_values(&self, input: &InputSpec) -> Result<Vec<FileValue>, StepError> {
        let text = self.variables.get(OsStr::new(&input.value));
        let text = text.and_then(|text| text.to_str()).unwrap_or_default();
        let unreadable = || {
            StepError::Spec(format!(
                "the value of {} is not one that konductor writes: {text:?}",
                input.name
            ))
        };
        if text.is_empty() {
            return Ok(Vec::new());
        }
        if !input.gathered {
            return Ok(vec![FileValue::parse(text).ok_or_else(unreadable)?]);
        }
        let list: Vec<serde_json::Value> = serde_json::from_str(text).map_err(|_| unreadable())?;
        list.iter()
            .map(|value| FileValue::parse(&value.to_string()).ok_or_else(unreadable))
            .collect()
    }

    /// The key of an output, without the store's prefix.
    pub(crate) fn key(&self, name: &str) -> Result<String, StepError> {
        let namespace = text(&self.variables, NAMESPACE_VARIABLE)?;
        let uid = text(&self.variables, POD_UID_VARIABLE)?;
        let item = self.item.as_ref().map(|item| item.slug.as_str());
        Ok(key(&self.spec, item, &namespace, &uid, name))
    }

    /// Makes the folders in which the command writes its outputs, and the outputs that are folders.
    pub(crate) fn prepare_outputs(&self) -> Result<(), StepError> {
        for output in &self.spec.outputs {
            let path = self.path(&output.path)?;
            let folder = match output.kind {
                FileKind::Dir => Some(path.as_path()),
                FileKind::File => path.parent(),
            };
            let Some(folder) = folder else { continue };
            if !exists(folder) {
                std::fs::create_dir_all(folder).map_err(|error| StepError::Output {
                    name: output.name.clone(),
                    error: TransferError::of_file(folder, &error),
                })?;
            }
        }
        Ok(())
    }

    /// Whether signals reach the command without being forwarded: as a process of `koncli run`, it is in the group
    /// that gets them.
    pub(crate) fn is_process(&self) -> bool {
        is_process(&self.variables)
    }
}

/// Whether this is a process of `koncli run`, not a container.
pub(crate) fn is_process(variables: &Variables) -> bool {
    variables.contains_key(OsStr::new(PROCESS_VARIABLE))
}

fn pick(
    items: &konductor_api::ItemSpec,
    variables: &Variables,
    read: impl Fn(&Path) -> io::Result<String>,
) -> Result<Item, StepError> {
    let file = PathBuf::from(text(variables, ITEMS_VARIABLE)?);
    let list = read(&file).map_err(|error| {
        StepError::Item(format!("the list of items {}: {error}", file.display()))
    })?;
    let index = text(variables, INDEX_VARIABLE)?;
    item::pick(items, &list, &index).map_err(StepError::Item)
}

/// Whether only the wrapper may see a variable.
fn is_own(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let step = name.strip_prefix(STEP_VARIABLE);
    step.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        || name.starts_with(STORE_SECRET_PREFIX)
}

fn known(variables: &Variables, name: &str) -> Option<String> {
    let value = variables.get(OsStr::new(name))?;
    value.to_str().map(str::to_owned)
}

fn text(variables: &Variables, name: &str) -> Result<String, StepError> {
    known(variables, name)
        .filter(|text| !text.is_empty())
        .ok_or_else(|| StepError::Spec(format!("the variable {name} is not set")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    fn read(pairs: &[(&str, &str)], command: &[&str]) -> Result<Plan, String> {
        let command = command.iter().map(OsString::from).collect();
        let list = |path: &Path| match path.to_str() {
            Some("/kon/items/list") => Ok("[{\"id\":\"a b\",\"n\":7}]".to_owned()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        Plan::read(variables(pairs), command, list).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_gets_its_item_and_nothing_of_the_wrapper() {
        let spec = "{\"run\":\"r\",\"stage\":\"s\",\"items\":{\"variables\":[\
                    {\"name\":\"kon_x_id\",\"field\":\"id\"}]},\"expandsCommand\":true,\"expands\":[\"NAME\"]}";
        let plan = read(
            &[
                ("KONDUCTOR_STEP", spec),
                ("KONDUCTOR_STEP_ITEMS", "/kon/items/list"),
                ("KONDUCTOR_STEP_IN_0", "{}"),
                ("KONDUCTOR_STORE_AWS_SECRET_ACCESS_KEY", "secret"),
                ("JOB_COMPLETION_INDEX", "0"),
                ("NAME", "<$(kon_x_id)>"),
                ("PATH", "/bin"),
            ],
            &["echo", "$(kon_x_id)", "$$(kon_x_id)", "$(NAME)"],
        )
        .unwrap();
        assert_eq!(plan.command, ["echo", "a b", "$(kon_x_id)", "<a b>"]);
        let expected = variables(&[
            ("JOB_COMPLETION_INDEX", "0"),
            ("NAME", "<a b>"),
            ("PATH", "/bin"),
            ("kon_x_id", "a b"),
        ]);
        assert_eq!(plan.environment, expected);
        assert_eq!(plan.item.unwrap().slug, "00000-a-b");
    }

    #[test]
    fn words_stay_as_they_are_unless_the_spec_says_otherwise() {
        let spec = "{\"run\":\"r\",\"stage\":\"s\"}";
        let plan = read(
            &[("KONDUCTOR_STEP", spec)],
            &["sh", "-c", "echo $(date) $$"],
        )
        .unwrap();
        assert_eq!(plan.command, ["sh", "-c", "echo $(date) $$"]);
    }

    #[test]
    fn a_spec_that_cannot_be_read_names_the_versions() {
        let cases = [
            (
                vec![],
                vec!["true"],
                "the variable KONDUCTOR_STEP is not set",
            ),
            (
                vec![],
                vec![],
                "there is no command to run: write it behind `--`",
            ),
        ];
        for (pairs, command, expected) in cases {
            assert_eq!(read(&pairs, &command).unwrap_err(), expected);
        }
        let newer = "{\"run\":\"r\",\"stage\":\"s\",\"later\":1}";
        let error = read(&[("KONDUCTOR_STEP", newer)], &["true"]).unwrap_err();
        assert!(error.contains("must have the same version"), "{error}");
    }

    #[test]
    fn keys_have_the_order_of_a_bucket_that_people_look_at() {
        let spec = "{\"run\":\"r\",\"stage\":\"s\",\"item\":\"eu\"}";
        let plan = read(
            &[
                ("KONDUCTOR_STEP", spec),
                ("KONDUCTOR_STEP_NAMESPACE", "ns"),
                ("KONDUCTOR_STEP_POD_UID", "u-1"),
            ],
            &["true"],
        )
        .unwrap();
        assert_eq!(plan.key("lines").unwrap(), "ns/r/s/eu/u-1/lines");
    }
}
