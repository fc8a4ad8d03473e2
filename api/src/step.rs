//! What `koncli step` does around the command of a container: the contract between the compiler, which
//! writes it into a pod, and the wrapper, which reads it there.
//!
//! Everything that depends on where the pod runs is in variables of the container: paths, because processes
//! see other folders than containers, and values known only at run time. The spec names these variables.

use std::ffi::OsStr;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The variable with the [`StepSpec`], compact JSON. The command does not get it, nor any other variable
/// with this prefix.
pub const STEP_VARIABLE: &str = "KONDUCTOR_STEP";
/// The variable with the path of the list of items, [`ITEMS_FILE`].
pub const ITEMS_VARIABLE: &str = "KONDUCTOR_STEP_ITEMS";
/// The variable with the pod's uid.
pub const POD_UID_VARIABLE: &str = "KONDUCTOR_STEP_POD_UID";
/// The variable with the pod's namespace.
pub const NAMESPACE_VARIABLE: &str = "KONDUCTOR_STEP_NAMESPACE";
/// The variable with the folder that is the store, if a workspace is.
pub const STORE_FOLDER_VARIABLE: &str = "KONDUCTOR_STEP_STORE";
/// Prefix of the variables with the values of inputs.
pub const INPUT_VARIABLE_PREFIX: &str = "KONDUCTOR_STEP_IN_";
/// Prefix of the variables with the keys of the store's Secret. The command does not get them.
pub const STORE_SECRET_PREFIX: &str = "KONDUCTOR_STORE_";
/// The variable with the index of an Indexed Job's pod, which Kubernetes sets.
pub const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";

/// The folder with `koncli`, which the command's container may only read.
pub const PROGRAM_FOLDER: &str = "/kon/bin";
/// The folder of inputs and outputs.
pub const FILES_FOLDER: &str = "/kon/files";
/// The folder of the list of items, which the command's container may only read.
pub const ITEMS_FOLDER: &str = "/kon/items";
/// The list of items, a JSON array.
pub const ITEMS_FILE: &str = "/kon/items/list";
/// The folder of a store that is a workspace.
pub const STORE_FOLDER: &str = "/kon/store";
/// What a store's URL begins with if it is a workspace: `workspace:NAME` or `workspace:NAME/PREFIX`.
pub const WORKSPACE_SCHEME: &str = "workspace:";
/// What a store's URL begins with if it is a bucket.
const BUCKET_SCHEME: &str = "s3://";
/// The item in a key of a stage that has no items.
pub const NO_ITEM: &str = "-";

/// What `koncli step` does before and after the command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StepSpec {
    /// The run's name.
    pub run: String,
    /// The stage's name.
    pub stage: String,
    /// The slug of the Job's item, if the stage has items that are known before the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// The items known only at run time, of which the wrapper picks the one of its index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<ItemSpec>,
    /// Files to fetch before the command starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<InputSpec>,
    /// Files to store after the command has succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputSpec>,
    /// Where files are. Without inputs and outputs there may be none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreSpec>,
    /// Whether the wrapper expands `$(NAME)` and `$$` in the command's words, as kubelet does: kubelet does
    /// not know the variables of the item. The compiler escapes the words once more for it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub expands_command: bool,
    /// Variables in whose values the wrapper does the same, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expands: Vec<String>,
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// The item of an Indexed Job's pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ItemSpec {
    /// The variables that the command gets.
    pub variables: Vec<ItemVariable>,
}

/// A variable that has a part of the item as its value: a string as it is, all else as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ItemVariable {
    /// Its name.
    pub name: String,
    /// The field of the record; without it, the whole item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// A file, a folder, or the files of several items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct InputSpec {
    /// As the pipeline file names it, such as `split.chunks`.
    pub name: String,
    /// The variable with the path to which it is fetched.
    pub path: String,
    /// The variable with its [`FileValue`] as JSON, or with a JSON list of them if it is gathered. Empty if the
    /// stage wrote none: then nothing is fetched, and the path does not exist.
    pub value: String,
    /// What is fetched.
    pub kind: FileKind,
    /// Whether it is a folder with an entry for each item.
    #[serde(default, skip_serializing_if = "is_false")]
    pub gathered: bool,
}

/// A file or folder that the command writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct OutputSpec {
    /// The output's name.
    pub name: String,
    /// The variable with the path to which the command writes it.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
}

/// Whether an output is one file or a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FileKind {
    /// One file.
    File,
    /// A folder, which is stored as one tar archive.
    Dir,
}

impl fmt::Display for FileKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::File => "file",
            Self::Dir => "dir",
        })
    }
}

/// Where files are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StoreSpec {
    /// `s3://BUCKET/PREFIX`, `file:///FOLDER`, or `workspace:NAME/PREFIX`.
    pub url: String,
    /// The server, if it is not that of the cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The region of the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The Secret whose keys are the credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl StoreSpec {
    /// A store with nothing but its URL.
    pub fn of(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            endpoint: None,
            region: None,
            secret: None,
        }
    }

    /// Returns the store that a URL names. If it is a bucket as this one is, it has the same server, region and Secret:
    /// only the URL is another one.
    pub fn at(&self, url: &str) -> Self {
        let is_bucket = |url: &str| url.starts_with(BUCKET_SCHEME);
        match is_bucket(url) && is_bucket(&self.url) {
            true => Self {
                url: url.to_owned(),
                ..self.clone()
            },
            false => Self::of(url),
        }
    }
}

/// The value of an output that is a file or a folder: what travels between stages. Unknown fields are ignored: a later
/// version may write more than an earlier one reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileValue {
    /// Its name in the store: `PREFIX/NAMESPACE/RUN/STAGE/ITEM/POD-UID/NAME`.
    pub key: String,
    /// Its bytes in the store.
    pub size: u64,
    /// The SHA-256 of these bytes, in hexadecimal digits.
    pub sha256: String,
    /// Whether it is a file that may be executed; the archive of a folder says so of each of its files.
    #[serde(default, skip_serializing_if = "is_false")]
    pub executable: bool,
}

impl FileValue {
    /// Reads the value of an output; `None` if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let value: Self = serde_json::from_str(text).ok()?;
        let is_digest =
            value.sha256.len() == 64 && value.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_key = value.key.split('/').count() >= 6 && value.key.split('/').all(is_key_part);
        (is_digest && is_key).then_some(value)
    }

    /// The item in its key; `-` if its stage has none.
    pub fn item(&self) -> &str {
        self.key.rsplit('/').nth(2).unwrap_or(NO_ITEM)
    }
}

/// Whether a text may be a part of a file's name in a store, between two slashes: it means the same to each system.
pub fn is_key_part(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !matches!(text, "" | "." | "..") && text.bytes().all(is_plain)
}

/// Says which of the arguments and variables of a command is the longest, for a system that takes none as long.
pub fn longest<'t>(
    arguments: impl IntoIterator<Item = &'t OsStr>,
    variables: impl IntoIterator<Item = (&'t OsStr, &'t OsStr)>,
) -> String {
    let arguments = arguments.into_iter().enumerate();
    let arguments = arguments.map(|(index, text)| (text.len(), format!("argument {index}")));
    let variables = variables.into_iter();
    let variables = variables.map(|(name, value)| {
        let name = name.to_string_lossy();
        (value.len(), format!("the variable {name}"))
    });
    let all: Vec<(usize, String)> = arguments.chain(variables).collect();
    let bytes: usize = all.iter().map(|(bytes, _)| bytes).sum();
    let longest = all.into_iter().max_by_key(|(bytes, _)| *bytes);
    let (most, what) = longest.unwrap_or_default();
    format!(
        "its arguments and variables are too long for this system: {bytes} bytes together, of which {what} has {most}; \
         hand on what is long as a file"
    )
}

/// As the termination message has it: JSON on one line.
impl fmt::Display for FileValue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&serde_json::json!(self).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_is_compact_and_unknown_fields_are_refused() {
        let spec = StepSpec {
            run: "r".to_owned(),
            stage: "s".to_owned(),
            items: Some(ItemSpec {
                variables: vec![ItemVariable {
                    name: "kon_x".to_owned(),
                    field: None,
                }],
            }),
            outputs: vec![OutputSpec {
                name: "lines".to_owned(),
                path: "kon_output_lines".to_owned(),
                kind: FileKind::File,
            }],
            ..StepSpec::default()
        };
        let text = serde_json::to_string(&spec).unwrap();
        let expected = "{\"run\":\"r\",\"stage\":\"s\",\"items\":{\"variables\":[{\"name\":\"kon_x\"}]},\
                        \"outputs\":[{\"name\":\"lines\",\"path\":\"kon_output_lines\",\"kind\":\"file\"}]}";
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<StepSpec>(&text).unwrap(), spec);
        let newer = text.replacen("\"run\"", "\"new\":1,\"run\"", 1);
        assert!(serde_json::from_str::<StepSpec>(&newer).is_err());
    }

    #[test]
    fn another_bucket_is_one_of_the_same_server() {
        let store = StoreSpec {
            endpoint: Some("http://minio:9000".to_owned()),
            region: Some("eu".to_owned()),
            secret: Some("keys".to_owned()),
            ..StoreSpec::of("s3://a/runs")
        };
        let other = store.at("s3://b");
        assert_eq!(other.url, "s3://b");
        assert_eq!(other.at(&store.url), store);
        for url in ["file:///b", "workspace:b"] {
            assert_eq!(store.at(url), StoreSpec::of(url));
            let bucket = StoreSpec::of(url).at("s3://b");
            assert_eq!(bucket, StoreSpec::of("s3://b"));
        }
    }

    #[test]
    fn a_file_value_names_its_item_and_nothing_else_is_one() {
        let digest = "0".repeat(64);
        let value = |key: &str, digest: &str| {
            FileValue::parse(&format!(
                "{{\"key\":\"{key}\",\"size\":1,\"sha256\":\"{digest}\"}}"
            ))
        };
        let read = value("a/b/ns/run/stage/eu/uid/lines", &digest).unwrap();
        assert_eq!(read.item(), "eu");
        assert_eq!(FileValue::parse(&read.to_string()), Some(read.clone()));
        let program = FileValue {
            executable: true,
            ..read
        };
        assert!(program.to_string().ends_with(",\"executable\":true}"));
        let newer = program.to_string().replacen('{', "{\"new\":[1],", 1);
        assert_eq!(FileValue::parse(&newer), Some(program.clone()));
        assert_eq!(FileValue::parse(&program.to_string()), Some(program));
        assert_eq!(
            value("ns/run/stage/-/uid/lines", &digest).unwrap().item(),
            "-"
        );
        let wrong = [
            ("stage/-/uid/lines", digest.as_str()),
            ("ns/run/stage/../uid/lines", &digest),
            ("/run/stage/-/uid/lines", &digest),
            ("ns/run/stage/a\\\\..\\\\b/uid/lines", &digest),
            ("ns/run/stage/C:/uid/lines", &digest),
            ("ns/run/stage/a b/uid/lines", &digest),
            ("ns/run/stage/\\u001b/uid/lines", &digest),
            ("ns/run/stage/-/uid/lines", "00"),
        ];
        for (key, digest) in wrong {
            assert_eq!(value(key, digest), None, "{key}");
        }
        assert_eq!(FileValue::parse("lines.txt"), None);
    }
}
