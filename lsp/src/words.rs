//! The words of the language with what they mean, for hovers and completion.

use crate::names::Kind;

/// Where attributes stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Pipeline,
    Body,
    Semaphore,
    Lease,
    Workspace,
    Store,
    Approval,
    Schedule,
    Resources,
    Node,
}

/// A word, and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) name: &'static str,
    /// The type of its value, or how it continues.
    pub(crate) shape: &'static str,
    pub(crate) meaning: &'static str,
}

const fn word(name: &'static str, shape: &'static str, meaning: &'static str) -> Word {
    Word {
        name,
        shape,
        meaning,
    }
}

const EXTERNAL: Word = word(
    "external",
    "bool",
    "Whether it exists in the cluster under its bare name: nothing is created.",
);

const PIPELINE: &[Word] = &[
    word(
        "description",
        "string",
        "Becomes the annotation `kubernetes.io/description`.",
    ),
    word(
        "timeout",
        "duration",
        "Of the whole run; everything that is still running then is cancelled.",
    ),
    word(
        "keep",
        "duration",
        "How long after its end the run and its objects are kept. Without it they stay.",
    ),
    word(
        "fail-fast",
        "bool",
        "Cancels the other main stages at the first failure of a stage without `may-fail`.",
    ),
    word(
        "store",
        "{ url, secret, endpoint, region }",
        "Where `file` and `dir` outputs are kept. `koncli run` uses a folder.",
    ),
];

const BODY: &[Word] = &[
    word(
        "image",
        "string",
        "The container's image. A tag `latest`, or none, is a warning.",
    ),
    word(
        "run",
        "string",
        "A script for `/bin/sh -eu -c`, or for what `shell` names. `${x}` reads a variable: no value becomes code.",
    ),
    word(
        "exec",
        "list<string>",
        "A program and its arguments, without a shell.",
    ),
    word(
        "shell",
        "string",
        "What executes `run`: `\"bash\"`, `\"python3\"`, …",
    ),
    word(
        "env",
        "{ NAME = … }",
        "Environment variables: texts, or whole values `secret(\"name\", \"key\")` and `config(\"name\", \"key\")`.",
    ),
    word(
        "retries",
        "int",
        "How many more pods an item gets if one fails. The default is 0.",
    ),
    word(
        "timeout",
        "duration",
        "From the start of the Job to its end, retries included; below the pipeline's.",
    ),
    word(
        "pending",
        "duration",
        "How long its pods may be unable to start: no node, no image, no Secret. Then it fails. By default the operator's limit.",
    ),
    word(
        "may-fail",
        "bool",
        "Its own failure does not make the run fail. The default is false.",
    ),
    word(
        "resources",
        "{ cpu, memory }",
        "CPU is requested; memory is requested and limited.",
    ),
    word(
        "security",
        "\"baseline\" | \"restricted\"",
        "The Pod Security Standard that its pods meet. The default is `\"baseline\"`.",
    ),
    word(
        "service-account",
        "string",
        "The service account of the pod.",
    ),
    word("priority-class", "string", "The priority class of the pod."),
    word("queue", "string", "A Kueue LocalQueue."),
    word("labels", "{ NAME = … }", "Labels of Job and pod."),
    word("annotations", "{ NAME = … }", "Annotations of Job and pod."),
    word("node", "{ selector, tolerations }", "Where pods may run."),
];

const SEMAPHORE: &[Word] = &[
    word(
        "permits",
        "int",
        "How many permits there are; with 0 it grants nothing.",
    ),
    EXTERNAL,
];
const LEASE: &[Word] = &[
    word(
        "ttl",
        "duration",
        "Within which a Claim is renewed. A stage keeps it until its last pod has ended. The default is 30s.",
    ),
    EXTERNAL,
];
const WORKSPACE: &[Word] = &[
    word("size", "quantity", "Of the PersistentVolumeClaim."),
    word(
        "access",
        "one | many",
        "Whether many nodes mount it at once. The default is `one`.",
    ),
    word("storage-class", "string", "Of the PersistentVolumeClaim."),
    EXTERNAL,
];
const STORE: &[Word] = &[
    word(
        "url",
        "string",
        "`s3://BUCKET/PREFIX`, or `workspace:NAME/PREFIX` for a workspace that all nodes mount.",
    ),
    word(
        "secret",
        "string",
        "The Secret with `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`. Without it, the service account's rights.",
    ),
    word(
        "endpoint",
        "string",
        "The server, if it is not that of AWS, such as `\"https://minio.example.com\"`.",
    ),
    word(
        "region",
        "string",
        "Of the bucket. The default is `us-east-1`.",
    ),
];
const APPROVAL: &[Word] = &[
    word(
        "approvers",
        "int",
        "How many people must agree. The default is 1.",
    ),
    word(
        "timeout",
        "duration",
        "After which it counts as failed; below the pipeline's.",
    ),
];
const SCHEDULE: &[Word] = &[
    word(
        "timezone",
        "string",
        "Such as `\"Europe/Berlin\"`. The default is UTC.",
    ),
    word(
        "overlap",
        "allow | skip | replace",
        "What happens if the previous run is still running. The default is `allow`.",
    ),
    word(
        "catch-up",
        "duration",
        "How late a missed run still starts.",
    ),
];
const RESOURCES: &[Word] = &[
    word("cpu", "quantity", "What is requested, such as `500m`."),
    word(
        "memory",
        "quantity",
        "What is requested, and the limit, such as `1Gi`.",
    ),
];
const NODE: &[Word] = &[
    word(
        "selector",
        "{ NAME = … }",
        "Labels that the node must have.",
    ),
    word(
        "tolerations",
        "list",
        "Taints that the pod tolerates: `[{key = \"gpu\", operator = Exists, effect = NoSchedule}]`.",
    ),
];

/// The attributes of a place.
pub(crate) fn attributes(place: Place) -> &'static [Word] {
    match place {
        Place::Pipeline => PIPELINE,
        Place::Body => BODY,
        Place::Semaphore => SEMAPHORE,
        Place::Lease => LEASE,
        Place::Workspace => WORKSPACE,
        Place::Store => STORE,
        Place::Approval => APPROVAL,
        Place::Schedule => SCHEDULE,
        Place::Resources => RESOURCES,
        Place::Node => NODE,
    }
}

/// What is true of a declaration that does not name an attribute.
pub(crate) fn defaults(place: Place) -> &'static [(&'static str, &'static str)] {
    match place {
        Place::Lease => &[("ttl", "30s")],
        Place::Workspace => &[("access", "one")],
        Place::Approval => &[("approvers", "1")],
        Place::Schedule => &[("overlap", "allow")],
        Place::Pipeline
        | Place::Body
        | Place::Semaphore
        | Place::Store
        | Place::Resources
        | Place::Node => &[],
    }
}

/// The clauses of a header.
pub(crate) const CLAUSES: &[Word] = &[
    word(
        "for",
        "x in LIST",
        "Fan-out: one item for each element or combination, in source order, the last variable fastest.",
    ),
    word("after", "DEP, …", "Starts when all dependencies hold."),
    word("when", "CONDITION", "Is skipped if it is false."),
    word(
        "holding",
        "NAME, …",
        "Has permits of a semaphore, or a lease, while it runs.",
    ),
    word(
        "quorum",
        "n",
        "With `for`: dependents start after n successes; the run still waits for every item.",
    ),
    word(
        "max",
        "n",
        "With `for` over a list that a stage writes: the stage fails if the list has more elements; 1000 without it.",
    ),
    word(
        "parallel",
        "n",
        "With `for`: at most n items run at once, in their order.",
    ),
];

/// What begins in a pipeline.
pub(crate) const ITEMS: &[Word] = &[
    word(
        "param",
        "NAME: TYPE = DEFAULT",
        "A value that each run is given.",
    ),
    word(
        "stage",
        "NAME { … }",
        "What runs: a Job, or one for each item.",
    ),
    word(
        "finally stage",
        "NAME { … }",
        "Starts when every other stage has ended, also after a failure.",
    ),
    word("defaults", "{ … }", "What all stages have."),
    word(
        "semaphore",
        "NAME { permits = 2 }",
        "At most n stages at once, over all runs.",
    ),
    word(
        "lease",
        "NAME { ttl = 30s }",
        "One holder at a time, with a fencing token.",
    ),
    word(
        "workspace",
        "NAME { size = 1Gi }",
        "Storage that stages share.",
    ),
    word(
        "approval",
        "NAME { approvers = 1 }",
        "People who must agree.",
    ),
    word("schedule", "\"0 2 * * *\"", "Runs by itself."),
];

/// What begins in a body, beside attributes.
pub(crate) const BODY_ITEMS: &[Word] = &[
    word(
        "output",
        "NAME: TYPE",
        "What the stage hands on: lines `NAME=VALUE` in `$KON_OUTPUT`, or files at `${output.NAME}`.",
    ),
    word(
        "mount",
        "WORKSPACE at \"/PATH\"",
        "Where a workspace is mounted; the path is absolute.",
    ),
    word("use", "TEMPLATE { … }", "Takes the body of a template."),
    word(
        "pod",
        "\"\"\"…\"\"\"",
        "Any field of a PodSpec, as YAML; it is merged last.",
    ),
    word(
        "job",
        "\"\"\"…\"\"\"",
        "Any field of a Job from `spec:` down, as YAML; it is merged last.",
    ),
];

/// What begins in a file.
pub(crate) const DECLARATIONS: &[Word] = &[
    word("pipeline", "NAME { … }", "A file has at most one."),
    word(
        "template",
        "NAME(PARAM: TYPE) { … }",
        "A part of bodies, for this file and those that import it.",
    ),
    word(
        "import",
        "\"lib/NAME.kon\"",
        "Makes the templates of another file usable in this one.",
    ),
];

/// The types of parameters and outputs.
pub(crate) const TYPES: &[Word] = &[
    word("string", "", "Any text."),
    word("int", "in a..b", "A whole number, within the range."),
    word("number", "", "A decimal number."),
    word("bool", "", "`true` or `false`."),
    word(
        "duration",
        "",
        "With the units `ms` `s` `m` `h` `d`, also combined: `1h30m`.",
    ),
    word("quantity", "", "As in Kubernetes: `500m`, `2`, `1Gi`."),
    word(
        "file",
        "= \"NAME\"",
        "Only of outputs: a file that the script writes to `${output.NAME}`.",
    ),
    word(
        "dir",
        "= \"NAME\"",
        "Only of outputs: a folder that the script writes to `${output.NAME}`.",
    ),
    word(
        "list",
        "<T>",
        "Several of one type; not of lists. An output that is a list is JSON on one line.",
    ),
];

/// What stands for all values of a loop variable.
pub(crate) const EVERY: Word = word(
    "*",
    "",
    "Each value of the variable: all items that the other indices leave. Their outputs are a list.",
);

/// The values of an attribute that are words.
pub(crate) fn values(attribute: &str) -> &'static [&'static str] {
    match attribute {
        "overlap" => &["allow", "skip", "replace"],
        "access" => &["one", "many"],
        "security" => &["\"baseline\"", "\"restricted\""],
        "shell" => &["\"bash\"", "\"python3\"", "\"node\""],
        "fail-fast" | "may-fail" | "external" => &["true", "false"],
        _ => &[],
    }
}

/// What objects a declaration becomes.
pub(crate) fn becomes(kind: Kind, is_fan_out: bool) -> &'static str {
    match kind {
        Kind::Pipeline => "Becomes a Run, which owns its Jobs, Gates, Barriers and volumes.",
        Kind::Stage if is_fan_out => "Becomes one Indexed Job, or a Job for each item.",
        Kind::Stage => "Becomes a Job.",
        Kind::Approval => "Becomes a Barrier that counts verified Arrivals.",
        Kind::Semaphore => "Becomes a Semaphore: at most n stages at once, over all runs.",
        Kind::Lease => "Becomes a Lease: one holder at a time, with a fencing token.",
        Kind::Workspace => "Becomes a PersistentVolumeClaim: storage that stages share.",
        Kind::Param | Kind::Loop | Kind::Output | Kind::Template | Kind::Argument => "",
    }
}

/// A word that begins a declaration, a clause or a part of a body, or names a type or an end.
pub(crate) fn keyword(text: &str) -> Option<&'static Word> {
    let all = [CLAUSES, ITEMS, BODY_ITEMS, DECLARATIONS, TYPES, ENDS];
    let mut all = all.into_iter().flatten();
    all.find(|word| word.name.split(' ').next() == Some(text))
}

/// The fields of `run`.
pub(crate) const RUN: &[Word] = &[
    word("name", "string", "The run's name."),
    word(
        "date",
        "string",
        "The day of `apply`, or of the schedule's slot.",
    ),
    word(
        "time",
        "string",
        "The time of `apply`, or of the schedule's slot.",
    ),
    word(
        "outcome",
        "string",
        "In finally stages: `succeeded`, `failed`, `cancelled` or `timed-out`.",
    ),
];

/// What can begin a reference, beside names.
pub(crate) const ROOTS: [&str; 4] = ["run", "token", "workspace", "output"];

/// The ends that a dependency can wait for.
pub(crate) const ENDS: &[Word] = &[
    word("failed", "", "Holds when it failed."),
    word("skipped", "", "Holds when it was skipped."),
    word("finished", "", "Holds when it ended, however."),
];

#[cfg(test)]
mod tests;
