//! The columns of the built-in kinds, as `kubectl get` shows them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::pod_status;
use crate::age;
use crate::kind::Kind;
use crate::metadata;
use crate::schema::builtin::describe;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const POD_STATUS: &str = "io.k8s.api.core.v1.PodStatus";
const POD_SPEC: &str = "io.k8s.api.core.v1.PodSpec";
const JOB_SPEC: &str = "io.k8s.api.batch.v1.JobSpec";
const JOB_STATUS: &str = "io.k8s.api.batch.v1.JobStatus";
const CRON_SPEC: &str = "io.k8s.api.batch.v1.CronJobSpec";
const CRON_STATUS: &str = "io.k8s.api.batch.v1.CronJobStatus";
const EVENT: &str = "io.k8s.api.core.v1.Event";
const CLAIM_SPEC: &str = "io.k8s.api.core.v1.PersistentVolumeClaimSpec";
const NODE_INFO: &str = "io.k8s.api.core.v1.NodeSystemInfo";
const NODE_STATUS: &str = "io.k8s.api.core.v1.NodeStatus";
const QUOTA_REQUEST: &str =
    "Request represents a minimum amount of cpu/memory that a container may consume.";
const QUOTA_LIMIT: &str = "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.";
const CLAIM_STATUS: &str = "io.k8s.api.core.v1.PersistentVolumeClaimStatus";

/// What a column says it shows.
enum About {
    Text(&'static str),
    /// The description of a field of a definition.
    Field(&'static str, &'static str),
}

use About::{Field, Text};

/// A column: its name, its type, whether it shows only on a wide screen, and what it is about.
type Column = (&'static str, &'static str, bool, About);

const NAME: Column = ("Name", "string", false, Field(META, "name"));
const AGE: Column = ("Age", "string", false, Field(META, "creationTimestamp"));
const CONTAINERS: Column = (
    "Containers",
    "string",
    true,
    Text("Names of each container in the template."),
);
const IMAGES: Column = (
    "Images",
    "string",
    true,
    Text("Images referenced by each container in the template."),
);
const SELECTOR: Column = ("Selector", "string", true, Field(JOB_SPEC, "selector"));

fn definitions(kind: &Kind) -> Vec<Column> {
    match (kind.group(), kind.kind.as_ref()) {
        ("", "Pod") => pod_columns(),
        ("batch", "Job") => vec![
            NAME,
            ("Status", "string", false, Text("Status of the job.")),
            (
                "Completions",
                "string",
                false,
                Field(JOB_STATUS, "succeeded"),
            ),
            (
                "Duration",
                "string",
                false,
                Text("Time required to complete the job."),
            ),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        ("batch", "CronJob") => vec![
            NAME,
            ("Schedule", "string", false, Field(CRON_SPEC, "schedule")),
            ("Timezone", "string", false, Field(CRON_SPEC, "timeZone")),
            ("Suspend", "boolean", false, Field(CRON_SPEC, "suspend")),
            ("Active", "integer", false, Field(CRON_STATUS, "active")),
            (
                "Last Schedule",
                "string",
                false,
                Field(CRON_STATUS, "lastScheduleTime"),
            ),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        ("", "Namespace") => vec![
            NAME,
            (
                "Status",
                "string",
                false,
                Text("The status of the namespace"),
            ),
            AGE,
        ],
        ("", "Secret") => vec![
            NAME,
            (
                "Type",
                "string",
                false,
                Field("io.k8s.api.core.v1.Secret", "type"),
            ),
            (
                "Data",
                "string",
                false,
                Field("io.k8s.api.core.v1.Secret", "data"),
            ),
            AGE,
        ],
        ("", "ConfigMap") => vec![
            NAME,
            (
                "Data",
                "string",
                false,
                Field("io.k8s.api.core.v1.ConfigMap", "data"),
            ),
            AGE,
        ],
        ("", "ServiceAccount") => vec![NAME, AGE],
        ("", "PersistentVolumeClaim") => claim_columns(),
        ("" | "events.k8s.io", "Event") => event_columns(),
        ("", "Node") => node_columns(),
        ("", "ResourceQuota") => vec![
            NAME,
            ("Request", "string", false, Text(QUOTA_REQUEST)),
            ("Limit", "string", false, Text(QUOTA_LIMIT)),
            AGE,
        ],
        ("coordination.k8s.io", "Lease") => {
            let about = Field("io.k8s.api.coordination.v1.LeaseSpec", "holderIdentity");
            vec![NAME, ("Holder", "string", false, about), AGE]
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            let about = Field("io.k8s.api.rbac.v1.RoleBinding", "roleRef");
            vec![NAME, ("Role", "string", false, about), AGE]
        }
        _ => vec![
            NAME,
            (
                "Created At",
                "date",
                false,
                Field(META, "creationTimestamp"),
            ),
        ],
    }
}

fn pod_columns() -> Vec<Column> {
    vec![
        NAME,
        (
            "Ready",
            "string",
            false,
            Text("The aggregate readiness state of this pod for accepting traffic."),
        ),
        (
            "Status",
            "string",
            false,
            Text("The aggregate status of the containers in this pod."),
        ),
        (
            "Restarts",
            "string",
            false,
            Text(
                "The number of times the containers in this pod have been restarted and when the \
                 last container in this pod has restarted.",
            ),
        ),
        AGE,
        ("IP", "string", true, Field(POD_STATUS, "podIP")),
        ("Node", "string", true, Field(POD_SPEC, "nodeName")),
        (
            "Nominated Node",
            "string",
            true,
            Field(POD_STATUS, "nominatedNodeName"),
        ),
        (
            "Readiness Gates",
            "string",
            true,
            Field(POD_SPEC, "readinessGates"),
        ),
    ]
}

fn claim_columns() -> Vec<Column> {
    vec![
        NAME,
        ("Status", "string", false, Field(CLAIM_STATUS, "phase")),
        ("Volume", "string", false, Field(CLAIM_SPEC, "volumeName")),
        ("Capacity", "string", false, Field(CLAIM_STATUS, "capacity")),
        (
            "Access Modes",
            "string",
            false,
            Field(CLAIM_STATUS, "accessModes"),
        ),
        (
            "StorageClass",
            "string",
            false,
            Text("StorageClass of the pvc"),
        ),
        (
            "VolumeAttributesClass",
            "string",
            false,
            Text("VolumeAttributesClass of the pvc"),
        ),
        AGE,
        (
            "VolumeMode",
            "string",
            true,
            Field(CLAIM_SPEC, "volumeMode"),
        ),
    ]
}

fn node_columns() -> Vec<Column> {
    vec![
        NAME,
        ("Status", "string", false, Text("The status of the node")),
        ("Roles", "string", false, Text("The roles of the node")),
        AGE,
        (
            "Version",
            "string",
            false,
            Field(NODE_INFO, "kubeletVersion"),
        ),
        (
            "Internal-IP",
            "string",
            true,
            Field(NODE_STATUS, "addresses"),
        ),
        (
            "External-IP",
            "string",
            true,
            Field(NODE_STATUS, "addresses"),
        ),
        ("OS-Image", "string", true, Field(NODE_INFO, "osImage")),
        (
            "Kernel-Version",
            "string",
            true,
            Field(NODE_INFO, "kernelVersion"),
        ),
        (
            "Container-Runtime",
            "string",
            true,
            Field(NODE_INFO, "containerRuntimeVersion"),
        ),
    ]
}

fn event_columns() -> Vec<Column> {
    vec![
        ("Last Seen", "string", false, Field(EVENT, "lastTimestamp")),
        ("Type", "string", false, Field(EVENT, "type")),
        ("Reason", "string", false, Field(EVENT, "reason")),
        ("Object", "string", false, Field(EVENT, "involvedObject")),
        ("Subobject", "string", true, Text("")),
        ("Source", "string", true, Field(EVENT, "source")),
        ("Message", "string", false, Field(EVENT, "message")),
        ("First Seen", "string", true, Field(EVENT, "firstTimestamp")),
        ("Count", "string", true, Field(EVENT, "count")),
        ("Name", "string", true, Field(META, "name")),
    ]
}

/// Returns the columns of a kind, as a table has them.
pub(crate) fn columns(kind: &Kind) -> Value {
    let columns = definitions(kind).into_iter();
    let columns = columns.map(|(name, of_type, wide, about)| {
        json!({
            "name": name,
            "type": of_type,
            "format": if name == "Name" { "name" } else { "" },
            "description": match about {
                Text(text) => text,
                Field(definition, field) => describe(definition, field),
            },
            "priority": i32::from(wide),
        })
    });
    Value::Array(columns.collect())
}

/// The cells of an object, in the order of the columns.
pub(crate) fn cells(kind: &Kind, value: &Value, now: Timestamp) -> Vec<Value> {
    let name = json!(metadata::name(value));
    let age = json!(age::since(metadata::text(value, "creationTimestamp"), now));
    let text = |value: &Value| json!(value.as_str().unwrap_or_default());
    let count = |value: &Value| {
        let count = value.as_object().map_or(0, serde_json::Map::len);
        json!(count)
    };
    match (kind.group(), kind.kind.as_ref()) {
        ("", "Pod") => pod(value, now),
        ("batch", "Job") => job(value, now),
        ("batch", "CronJob") => cron_job(value, now),
        ("", "Namespace") => vec![name, text(&value["status"]["phase"]), age],
        ("", "Secret") => vec![name, text(&value["type"]), count(&value["data"]), age],
        ("", "ConfigMap") => {
            let of = |field: &str| value[field].as_object().map_or(0, serde_json::Map::len);
            vec![name, json!(of("data") + of("binaryData")), age]
        }
        ("", "ServiceAccount") => vec![name, age],
        ("", "PersistentVolumeClaim") => claim(value, now),
        ("" | "events.k8s.io", "Event") => event(value, now),
        ("", "Node") => node(value, name, age),
        ("", "ResourceQuota") => {
            let [request, limit] = quota(value);
            vec![name, json!(request), json!(limit), age]
        }
        ("coordination.k8s.io", "Lease") => {
            vec![name, text(&value["spec"]["holderIdentity"]), age]
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            let field = |field: &str| value["roleRef"][field].as_str().unwrap_or_default();
            let role = format!("{}/{}", field("kind"), field("name"));
            vec![name, json!(role), age]
        }
        _ => vec![name, json!(metadata::text(value, "creationTimestamp"))],
    }
}

fn or_none(value: &Value) -> Value {
    match value.as_str() {
        Some(text) if !text.is_empty() => json!(text),
        _ => json!("<none>"),
    }
}

fn pod(value: &Value, now: Timestamp) -> Vec<Value> {
    let summary = pod_status::summary(value, now);
    vec![
        json!(metadata::name(value)),
        json!(format!("{}/{}", summary.ready, summary.containers)),
        json!(summary.reason),
        json!(summary.restarts),
        json!(age::since(metadata::text(value, "creationTimestamp"), now)),
        or_none(&value["status"]["podIPs"][0]["ip"]),
        or_none(&value["spec"]["nodeName"]),
        or_none(&value["status"]["nominatedNodeName"]),
        json!(summary.readiness_gates),
    ]
}

fn job(value: &Value, now: Timestamp) -> Vec<Value> {
    let status = &value["status"];
    let succeeded = status["succeeded"].as_i64().unwrap_or_default();
    let completions = match value["spec"]["completions"].as_i64() {
        Some(completions) => format!("{succeeded}/{completions}"),
        None => match value["spec"]["parallelism"].as_i64() {
            Some(parallelism @ 2..) => format!("{succeeded}/1 of {parallelism}"),
            _ => format!("{succeeded}/1"),
        },
    };
    let is = |condition_type: &str| {
        let mut conditions = status["conditions"].as_array().into_iter().flatten();
        conditions
            .any(|condition| condition["type"] == condition_type && condition["status"] == "True")
    };
    let deleting = metadata::is_deleting(value);
    let phase = match () {
        () if is("Complete") => "Complete",
        () if is("Failed") => "Failed",
        () if deleting => "Terminating",
        () if is("Suspended") => "Suspended",
        () if is("FailureTarget") => "FailureTarget",
        () if is("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    };
    let time = |field: &str| status[field].as_str()?.parse::<Timestamp>().ok();
    let duration = time("startTime").map_or(String::new(), |start| {
        age::short(time("completionTime").unwrap_or(now).duration_since(start))
    });
    let mut cells = vec![
        json!(metadata::name(value)),
        json!(phase),
        json!(completions),
        json!(duration),
        json!(age::since(metadata::text(value, "creationTimestamp"), now)),
    ];
    cells.extend(template(&value["spec"]));
    cells
}

fn cron_job(value: &Value, now: Timestamp) -> Vec<Value> {
    let suspend = match value["spec"]["suspend"].as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    let active = value["status"]["active"].as_array().map_or(0, Vec::len);
    let last = value["status"]["lastScheduleTime"].as_str();
    let mut cells = vec![
        json!(metadata::name(value)),
        value["spec"]["schedule"].clone(),
        or_none(&value["spec"]["timeZone"]),
        json!(suspend),
        json!(active),
        last.map_or(json!("<none>"), |last| json!(age::since(last, now))),
        json!(age::since(metadata::text(value, "creationTimestamp"), now)),
    ];
    cells.extend(template(&value["spec"]["jobTemplate"]["spec"]));
    cells
}

/// The names and images of a Job's containers, and its selector.
fn template(spec: &Value) -> [Value; 3] {
    let containers = spec["template"]["spec"]["containers"].as_array();
    let all = |field: &str| {
        let containers = containers.into_iter().flatten();
        let texts: Vec<_> = containers
            .map(|container| container[field].as_str().unwrap_or_default())
            .collect();
        json!(texts.join(","))
    };
    let labels = spec["selector"]["matchLabels"].as_object();
    let labels: Vec<_> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    let selector = if labels.is_empty() {
        "<none>".to_owned()
    } else {
        labels.join(",")
    };
    [all("name"), all("image"), json!(selector)]
}

fn claim(value: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&value["spec"], &value["status"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let phase = if metadata::is_deleting(value) {
        "Terminating".to_owned()
    } else {
        text(&status["phase"])
    };
    let bound = spec["volumeName"].is_string();
    let modes = status["accessModes"].as_array().into_iter().flatten();
    let modes: Vec<_> = modes
        .filter_map(|mode| match mode.as_str()? {
            "ReadWriteOnce" => Some("RWO"),
            "ReadOnlyMany" => Some("ROX"),
            "ReadWriteMany" => Some("RWX"),
            "ReadWriteOncePod" => Some("RWOP"),
            _ => None,
        })
        .collect();
    let unset = |value: &Value| value.as_str().map_or(json!("<unset>"), |text| json!(text));
    vec![
        json!(metadata::name(value)),
        json!(phase),
        json!(text(&spec["volumeName"])),
        json!(if bound {
            text(&status["capacity"]["storage"])
        } else {
            String::new()
        }),
        json!(if bound {
            modes.join(",")
        } else {
            String::new()
        }),
        json!(text(&spec["storageClassName"])),
        unset(&spec["volumeAttributesClassName"]),
        json!(age::since(metadata::text(value, "creationTimestamp"), now)),
        unset(&spec["volumeMode"]),
    ]
}

fn node(value: &Value, name: Value, age: Value) -> Vec<Value> {
    let status = &value["status"];
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let ready = conditions
        .clone()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    let address = |kind: &str| {
        let addresses = status["addresses"].as_array().into_iter().flatten();
        let address = addresses.clone().find(|address| address["type"] == kind);
        address.map_or(json!("<none>"), |address| or_none(&address["address"]))
    };
    let info = |field: &str| match status["nodeInfo"][field].as_str() {
        Some(text) if !text.is_empty() => json!(text),
        _ => json!("<unknown>"),
    };
    vec![
        name,
        json!(if ready { "Ready" } else { "NotReady" }),
        json!("<none>"),
        age,
        json!(
            status["nodeInfo"]["kubeletVersion"]
                .as_str()
                .unwrap_or_default()
        ),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

/// What a quota limits, and how much of it is used.
fn quota(value: &Value) -> [String; 2] {
    let mut columns = [Vec::new(), Vec::new()];
    let hard = value["status"]["hard"].as_object();
    for (resource, limit) in hard.into_iter().flatten() {
        let used = value["status"]["used"][resource].as_str().unwrap_or("0");
        let text = format!("{resource}: {used}/{}", limit.as_str().unwrap_or_default());
        columns[usize::from(resource.starts_with("limits."))].push(text);
    }
    columns.map(|mut column| {
        column.sort();
        column.join(", ")
    })
}

fn event(value: &Value, now: Timestamp) -> Vec<Value> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let event_time = || age::since(value["eventTime"].as_str().unwrap_or_default(), now);
    let first = match value["firstTimestamp"].as_str() {
        Some(time) => age::since(time, now),
        None => event_time(),
    };
    let series = &value["series"];
    let last = match (
        series["lastObservedTime"].as_str(),
        value["lastTimestamp"].as_str(),
    ) {
        (Some(time), _) | (None, Some(time)) => age::since(time, now),
        (None, None) => first.clone(),
    };
    let count = series["count"].as_i64().or(value["count"].as_i64());
    let object = &value["involvedObject"];
    let mut target = text(&object["kind"]).to_lowercase();
    if object["name"].is_string() {
        target = format!("{target}/{}", text(&object["name"]));
    }
    let named = |first: &Value, second: &Value| match text(first) {
        name if name.is_empty() => text(second),
        name => name,
    };
    let component = named(&value["source"]["component"], &value["reportingComponent"]);
    let host = named(&value["source"]["host"], &value["reportingInstance"]);
    let source = match host.is_empty() {
        true => component,
        false => format!("{component}, {host}"),
    };
    vec![
        json!(last),
        json!(text(&value["type"])),
        json!(text(&value["reason"])),
        json!(target),
        json!(text(&object["fieldPath"])),
        json!(source),
        json!(text(&value["message"]).trim()),
        json!(first),
        json!(count.unwrap_or(1)),
        json!(metadata::name(value)),
    ]
}
