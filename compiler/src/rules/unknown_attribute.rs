//! K0203: an attribute that does not exist here.

use konductor_dsl::{Code, Diagnostic, Edit, ast, did_you_mean};

use super::listed;
use crate::pipeline::ATTRIBUTES;
use crate::resolve::passthrough::kube_fields;

/// A key that is not a known attribute; `is_given` says which names stand beside it.
pub(crate) fn report(
    key: &ast::Key,
    attributes: &[&str],
    is_given: impl Fn(&str) -> bool,
) -> Diagnostic {
    // Written twice it would be reported again, and which of the two goes is a choice.
    let renamed = |diagnostic: Diagnostic, name: &str| match is_given(name) {
        true => diagnostic.help(format!("remove it: `{name}` is set already")),
        false => diagnostic.fixed(format!("write `{name}`"), [Edit::replace(key.span, name)]),
    };
    let message = format!("`{}` is not an attribute here", key.text);
    let diagnostic = Diagnostic::error(Code::K0203, key.span, message);
    if key.text == "defaults" {
        let help = "write `defaults { … }` in the pipeline itself, without `=`";
        return diagnostic.here("a declaration").help(help);
    }
    if let Some((here, help)) = habit(&key.text, attributes) {
        let diagnostic = diagnostic.here(here);
        // "write `retries`" and nothing else: only the name differs.
        let name = help
            .strip_prefix("write `")
            .and_then(|rest| rest.strip_suffix('`'));
        return match name.filter(|name| attributes.contains(name)) {
            Some(name) => renamed(diagnostic, name),
            None => diagnostic.help(help),
        };
    }
    let kebab = kebab(&key.text);
    let near = attributes
        .iter()
        .find(|attribute| **attribute == kebab)
        .copied();
    if let Some(help) = of_kubernetes(&key.text, attributes).filter(|_| near.is_none()) {
        return diagnostic.here("a field of Kubernetes").help(help);
    }
    let near = near.or_else(|| did_you_mean(&key.text, attributes.iter().copied()));
    match near {
        Some(near) => renamed(diagnostic.here("unknown"), near),
        // What a pipeline calls by a name of its own is a parameter.
        None if attributes.contains(&"fail-fast") => diagnostic.here("unknown").help(format!(
            "use {}, or declare `param {}: string = \"…\"`",
            listed(attributes, "or"),
            key.text
        )),
        None => diagnostic
            .here("unknown")
            .help(format!("use {}", listed(attributes, "or"))),
    }
}

/// Where a field of a pod, of its container or of a Job goes that is no attribute. The schema of Kubernetes is the table.
fn of_kubernetes(word: &str, attributes: &[&str]) -> Option<String> {
    use ast::YamlKind::{Job, Pod};
    let in_pipeline = attributes.contains(&"fail-fast");
    if !in_pipeline
        && !["run", "tolerations"]
            .iter()
            .any(|key| attributes.contains(key))
    {
        return None;
    }
    let field = |kind, path: &[&str]| {
        let path: Vec<String> = path.iter().map(|key| (*key).to_owned()).collect();
        let mut fields = kube_fields(kind, &path).into_iter();
        let value = match fields.find(|field| field.name == word)?.shape {
            "array" => "[…]",
            "object" => "{…}",
            "boolean" => "true",
            _ => "…",
        };
        Some(format!("{word}: {value}"))
    };
    let of_pod = || Some(format!("pod \"\"\"{}\"\"\"", field(Pod, &[])?));
    let of_container = || {
        let field = field(Pod, &["containers"])?;
        Some(format!(
            "pod \"\"\"containers: [{{name: main, {field}}}]\"\"\""
        ))
    };
    let of_job = || {
        Some(format!(
            "job \"\"\"spec: {{{}}}\"\"\"",
            field(Job, &["spec"])?
        ))
    };
    let block = of_pod().or_else(of_container).or_else(of_job)?;
    Some(match in_pipeline {
        true => format!("write it as YAML for all stages: `defaults {{ {block} }}`"),
        false => format!("write it as YAML in the stage's body: `{block}`"),
    })
}

/// What is usually meant by a word that is an attribute elsewhere, or a word of the language that is
/// none: what to call it here, and what to type.
fn habit(word: &str, attributes: &[&str]) -> Option<(&'static str, String)> {
    let in_body = attributes.contains(&"run");
    let in_pipeline = attributes.contains(&"fail-fast");
    let (here, help) = match word {
        "approval" | "stage" | "semaphore" | "lease" | "workspace" if in_pipeline => {
            return Some(("a declaration", format!("write `{word} NAME {{ … }}`")));
        }
        "finally" if in_pipeline => ("a declaration", "write `finally stage NAME { … }`"),
        "schedule" | "cron" if in_pipeline => ("a declaration", "write `schedule \"0 2 * * *\"`"),
        _ if in_pipeline && ATTRIBUTES.contains(&word) => {
            let help =
                format!("write `defaults {{ {word} = … }}` for all stages, or set it in each");
            return Some(("of stages", help));
        }
        // Words of GitHub Actions and GitLab.
        "runs-on" | "runs_on" | "runsOn" | "container" if in_body => (
            "of other languages",
            "write `image = \"NAME:TAG\"`, and `node { selector { KEY = \"VALUE\" } }` to choose nodes",
        ),
        "runs-on" | "runs_on" | "runsOn" | "container" if in_pipeline => (
            "of other languages",
            "write `defaults { image = \"NAME:TAG\" }` for all stages",
        ),
        "services" | "service" | "sidecars" if in_body || in_pipeline => (
            "of other languages",
            "write a sidecar as YAML in a stage's body: `pod \"\"\"initContainers: [{name: db, image: \"postgres:17\", \
             restartPolicy: Always}]\"\"\"`",
        ),
        "with" if in_body || in_pipeline => (
            "of other languages",
            "write arguments behind the template in a stage's body: `use TEMPLATE { NAME = … }`",
        ),
        "uses" | "use" if in_pipeline => (
            "of other languages",
            "write `use TEMPLATE { NAME = … }` in the body of a stage, or in `defaults { … }`",
        ),
        "permissions" | "id_tokens" | "id-token" if in_body || in_pipeline => (
            "of other languages",
            "write `service-account = \"NAME\"` in the body of a stage: Kubernetes gives it its rights",
        ),
        "needs" | "depends-on" | "depends_on" | "dependsOn" if in_pipeline => {
            ("of the header", "write `stage NAME after OTHER { … }`")
        }
        "strategy" | "matrix" if in_pipeline => (
            "of the header",
            "write `stage NAME for x in [\"a\", \"b\"] { … }`",
        ),
        "if" | "when" if in_pipeline => {
            ("of the header", "write `stage NAME when CONDITION { … }`")
        }
        "stages" | "jobs" | "tasks" if in_body => (
            "of the pipeline",
            "write `stage NAME { … }` for each in the pipeline itself",
        ),
        "priorityClassName" | "priority" if in_body => ("unknown", "write `priority-class`"),
        "tolerations" if in_body => (
            "of `node`",
            "write `node { tolerations = [{key = \"gpu\", operator = Exists, effect = NoSchedule}] }`",
        ),
        "store" if in_body => (
            "of the pipeline",
            "write `store { url = \"s3://BUCKET/PREFIX\" }` in it",
        ),
        "params" | "parameters" | "arguments" | "inputs" if attributes.contains(&"overlap") => (
            "unknown",
            "give the parameter a default, or `koncli apply --set NAME=VALUE`",
        ),
        "use" if in_body => (
            "no attribute",
            "write `use TEMPLATE { NAME = … }`, without `=`",
        ),
        "backoff" | "delay" | "retry-delay" | "retry_delay" | "retryDelay" | "interval"
            if in_body =>
        {
            (
                "unknown",
                "remove it: Kubernetes waits 10 s before the second try, and longer before each further one",
            )
        }
        "pod" | "job" if in_body => {
            let help = format!("write `{word} \"\"\"…\"\"\"`, without `=`");
            return Some(("a block of YAML", help));
        }
        "after" | "depends-on" | "depends_on" | "dependsOn" | "needs" | "requires" | "runAfter"
        | "run-after" | "run_after" | "dependencies" | "wait-for" | "waitFor" | "upstream"
            if in_body =>
        {
            ("of the header", "write `stage NAME after OTHER { … }`")
        }
        "when" | "if" if in_body => ("of the header", "write `stage NAME when CONDITION { … }`"),
        "unless" if in_body => (
            "of the header",
            "write `stage NAME when !(CONDITION) { … }`",
        ),
        "holding" | "semaphore" | "lease" | "synchronization" | "mutex" | "lock" | "locks"
        | "resource_group" | "pool"
            if in_body =>
        {
            ("of the header", "write `stage NAME holding OTHER { … }`")
        }
        "parallelism" | "parallel" | "concurrency" | "max-parallel" if in_body || in_pipeline => (
            "unknown",
            "declare `semaphore slots { permits = 4 }`, and write `holding slots` in the header",
        ),
        "for" | "matrix" | "completions" | "count" | "replicas" | "instances" | "times"
            if in_body =>
        {
            ("of the header", "write `stage NAME for i in 1..3 { … }`")
        }
        "withItems" | "withParam" | "withSequence" | "for_each" | "for-each" | "forEach"
        | "foreach" | "each" | "items" | "strategy"
            if in_body =>
        {
            (
                "of the header",
                "write `stage NAME for x in [\"a\", \"b\"] { … }`",
            )
        }
        "taskRef" | "taskSpec" | "templateRef" | "template" | "uses" | "extends" | "include"
            if in_body =>
        {
            (
                "of other languages",
                "write `use TEMPLATE { NAME = … }`, of a template of this file or an import",
            )
        }
        "results" | "result" | "output" if in_body => {
            ("a declaration", "write `output NAME: TYPE`, without `=`")
        }
        "inputs" | "parameters" | "params" if in_body => (
            "a declaration",
            "write `param NAME: string` in the pipeline; a template has its own: `template \
             t(NAME: string)`",
        ),
        "workspace" | "workspaces" if in_body => {
            ("of the pipeline", "write `mount NAME at \"/PATH\"`")
        }
        "default" if in_pipeline => ("a declaration", "write `defaults { … }`"),
        "timezone" | "tz" | "timeZone" | "time-zone" | "overlap" | "catch-up"
        | "concurrencyPolicy"
            if in_pipeline =>
        {
            (
                "of the schedule",
                "write it behind the schedule: `schedule \"0 2 * * *\" { timezone = \"Europe/Berlin\" }`",
            )
        }
        "on_failure" | "on-failure" | "onFailure" | "on_error" | "on-error" | "onError"
        | "failure" | "rescue" | "catch"
            if in_pipeline =>
        {
            (
                "unknown",
                "write `finally stage NAME when run.outcome == \"failed\" { … }`",
            )
        }
        "on_success" | "on-success" | "onSuccess" if in_pipeline => (
            "unknown",
            "write `finally stage NAME when run.outcome == \"succeeded\" { … }`",
        ),
        "always" | "finalizer" | "defer" if in_pipeline => {
            ("unknown", "write `finally stage NAME { … }`")
        }
        "entrypoint" if in_pipeline => (
            "unknown",
            "remove it: stages that wait for nothing start first",
        ),
        "onExit" | "on-exit" | "post" | "cleanup" | "after_script" | "teardown" if in_pipeline => {
            ("unknown", "write `finally stage NAME { … }`")
        }
        "workspaces" | "volumes" | "volume" if in_pipeline => (
            "a declaration",
            "write `workspace NAME { size = 1Gi }` for each",
        ),
        "semaphores" | "locks" | "mutexes" if in_pipeline => (
            "a declaration",
            "write `semaphore NAME { permits = 2 }` for each",
        ),
        "on" | "trigger" | "triggers" | "schedules" if in_pipeline => (
            "unknown",
            "write `schedule \"0 2 * * *\"`; any other start is `koncli apply`",
        ),
        "locals" if in_pipeline => (
            "a declaration",
            "write `param NAME: string = \"…\"` for each",
        ),
        "templates" if in_pipeline => (
            "a declaration",
            "write `template NAME() { … }` above the pipeline for each",
        ),
        "version" | "apiVersion" if in_pipeline => ("unknown", "remove it: a file has no version"),
        "permits" | "slots" if attributes.contains(&"ttl") => (
            "of semaphores",
            "remove it: a lease has one holder; for several, declare `semaphore NAME { permits = 3 }`",
        ),
        "cpu" | "memory" if in_body => {
            return Some((
                "of `resources`",
                format!("write `resources {{ {word} = … }}`"),
            ));
        }
        "args" | "entrypoint" if in_body => {
            ("unknown", "write `exec = [\"program\", \"argument\"]`")
        }
        "cmd" | "command" | "script" | "steps" if in_body => (
            "unknown",
            "write `run` for a script, or `exec` for a program",
        ),
        "gpu" | "gpus" | "nvidia" if attributes.contains(&"memory") => {
            let help = "`resources` has `cpu` and `memory`; other resources go into YAML: \
                        `pod \"\"\"containers: [{name: main, resources: {limits: {nvidia.com/gpu: 1}}}]\"\"\"`";
            return Some(("no resource of its own", help.to_owned()));
        }
        "requests" | "limits" if attributes.contains(&"memory") => (
            "unknown",
            "write `cpu` and `memory` right here: memory is both",
        ),
        "timeout-minutes" | "timeoutMinutes" | "timeout-in-minutes" if in_body => {
            ("unknown", "write `timeout = 30m`")
        }
        "timeoutSeconds" | "timeout-seconds" if in_body || in_pipeline => {
            ("unknown", "write `timeout = 30s`")
        }
        "schedule" | "cron" if in_body => {
            ("of the pipeline", "write `schedule \"0 2 * * *\"` in it")
        }
        "manual" | "approval" | "approvers" if in_body => (
            "a declaration",
            "declare `approval NAME` in the pipeline, and wait for it: `after NAME`",
        ),
        "mount" if in_body => (
            "no attribute",
            "write `mount NAME at \"/PATH\"`, of a workspace",
        ),
        "artifacts" | "artifact" if in_body => (
            "unknown",
            "write `output NAME: file = \"PATH\"` for each file that other stages read, or share files through a `workspace`: `mount NAME at \"/PATH\"`",
        ),
        "cache" | "caches" if in_body => (
            "unknown",
            "share files through a `workspace`: `mount NAME at \"/PATH\"`",
        ),
        "params" | "parameters" | "inputs" | "variables" | "vars" | "arguments" if in_pipeline => (
            "a declaration",
            "write `param NAME: string = \"…\"` for each",
        ),
        "stages" | "jobs" | "tasks" | "steps" | "dag" | "workflow" | "spec" if in_pipeline => {
            ("a declaration", "write `stage NAME { … }` for each")
        }
        "name" if in_body || in_pipeline => ("unknown", "the name stands before the `{`"),
        "workingDir" | "workdir" | "working-directory" if in_body => (
            "unknown",
            "write `cd PATH` in `run`, or set it in YAML: `pod \"\"\"…\"\"\"`",
        ),
        "limit" | "count" | "size" | "max" | "slots" | "capacity" | "tokens"
            if attributes.contains(&"permits") =>
        {
            ("unknown", "write `permits`")
        }
        "timeout" | "duration" | "expires" | "lifetime" if attributes.contains(&"ttl") => {
            ("unknown", "write `ttl`, within which the holder renews")
        }
        "tz" | "timeZone" | "time-zone" | "zone" if attributes.contains(&"overlap") => {
            ("unknown", "write `timezone = \"Europe/Berlin\"`")
        }
        "concurrencyPolicy" | "concurrency" | "concurrency-policy"
            if attributes.contains(&"overlap") =>
        {
            ("unknown", "write `overlap = skip`, `allow` or `replace`")
        }
        "startingDeadlineSeconds" | "catchup" | "backfill" if attributes.contains(&"overlap") => {
            ("unknown", "write `catch-up = 2h`")
        }
        "required" | "count" | "minimum" | "users" if attributes.contains(&"approvers") => {
            ("unknown", "write `approvers = 2`: how many people")
        }
        "else" => (
            "unknown",
            "write a second stage with the opposite condition: `when !(…)`",
        ),
        "retry" | "retryStrategy" | "maxRetries" if in_body => ("unknown", "write `retries = 3`"),
        "envFrom" | "env-from" | "env_from" | "secrets" if in_body => (
            "unknown",
            "write `env { NAME = secret(\"name\", \"key\") }`, or `config` of a ConfigMap",
        ),
        "backoffLimit" | "attempts" if in_body => ("unknown", "write `retries`"),
        "activeDeadlineSeconds" | "deadline" if in_body => {
            ("unknown", "write `timeout`, with a unit")
        }
        "environment" | "enviroment" | "enviornment" | "variables" | "vars" if in_body => {
            ("unknown", "write `env`")
        }
        "restartPolicy" | "restart-policy" | "restart_policy" | "restart" if in_body => (
            "unknown",
            "remove it: `retries = 3` starts a failed pod again",
        ),
        "limits" | "requests" if in_body => (
            "of `resources`",
            "write `resources { cpu = 500m, memory = 1Gi }`",
        ),
        "nodeSelector" | "node-selector" | "node_selector" if in_body => {
            ("unknown", "write `node { selector { KEY = \"VALUE\" } }`")
        }
        "securityContext" | "security-context" if in_body => (
            "unknown",
            "write `security = \"restricted\"`, or the fields that you need in `pod \"\"\"…\"\"\"`",
        ),
        "serviceAccountName" if in_body => ("unknown", "write `service-account`"),
        "allow-failure" | "allow_failure" | "continueOnError" | "continue-on-error"
        | "ignore-errors" | "ignore_errors" | "optional"
            if in_body =>
        {
            ("unknown", "write `may-fail`")
        }
        "outputs" if in_body => ("unknown", "write `output NAME: TYPE`"),
        "volumes" | "volumeMounts" if in_body => (
            "unknown",
            "declare a `workspace`, and write `mount NAME at \"/PATH\"`",
        ),
        _ => return None,
    };
    Some((here, help.to_owned()))
}

/// `mayFail` and `may_fail` as they are written here.
pub(super) fn kebab(word: &str) -> String {
    let mut kebab = String::with_capacity(word.len() + 2);
    for character in word.chars() {
        match character {
            '_' => kebab.push('-'),
            'A'..='Z' => {
                kebab.push('-');
                kebab.push(character.to_ascii_lowercase());
            }
            _ => kebab.push(character),
        }
    }
    kebab
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_of_kubernetes_has_a_help_of_its_own() {
        use ast::YamlKind::{Job, Pod};
        let places: [(ast::YamlKind, &[&str]); 3] =
            [(Pod, &[]), (Pod, &["containers"]), (Job, &["spec"])];
        let of_pipeline = ["description", "timeout", "keep", "fail-fast", "store"];
        for (kind, path) in places {
            let path: Vec<String> = path.iter().map(|key| (*key).to_owned()).collect();
            let fields = kube_fields(kind, &path);
            assert!(fields.len() > 10, "{path:?}");
            for (field, attributes) in fields
                .iter()
                .flat_map(|field| [(field, &ATTRIBUTES[..]), (field, &of_pipeline[..])])
                .filter(|(field, attributes)| !attributes.contains(&field.name))
            {
                let key = ast::Key {
                    text: field.name.to_owned(),
                    quoted: false,
                    span: konductor_dsl::Span::default(),
                };
                let help = report(&key, attributes, |_| false).help.unwrap_or_default();
                assert!(
                    !help.is_empty() && !help.starts_with("use "),
                    "{}: {help}",
                    field.name
                );
            }
        }
    }
}
