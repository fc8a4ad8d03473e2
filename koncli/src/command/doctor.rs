//! `koncli doctor`: whether what konductor needs is there, and what to do where it isn't.

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use konductor_api::{Gate, GateMode, GateSpec};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde::Serialize;

use crate::arguments::{Format, Global};
use crate::exit::{
    FAILED, Failure, NOT_FOUND, UNREACHABLE, is_namespace_missing, no_namespace_help,
    no_operator_help,
};
use crate::output::width::hanging;
use crate::suggestion::suggested;
use crate::{cluster, output, read};

/// The first minor version of Kubernetes 1 whose Jobs and admission policies do what is needed.
const KUBERNETES_MINOR: u32 = 30;

/// How long an operator may take to look at a new object: one that takes over from another needs 15 s,
/// and may do so just now.
const ANSWERS_WITHIN: Duration = Duration::from_secs(16);

/// What `koncli apply`, `wait`, `arrive`, `acquire`, `logs` and `cancel` do.
const RIGHTS: [(&str, &str, &str); 12] = [
    ("create", "konductor.io", "runs"),
    ("patch", "konductor.io", "runs"),
    ("create", "konductor.io", "gates"),
    ("create", "konductor.io", "barriers"),
    ("create", "konductor.io", "semaphores"),
    ("create", "konductor.io", "leases"),
    ("create", "konductor.io", "claims"),
    ("delete", "konductor.io", "claims"),
    ("create", "konductor.io", "arrivals"),
    ("watch", "konductor.io", "gates"),
    ("create", "batch", "jobs"),
    ("get", "", "pods/log"),
];

/// Where a help continues that is longer than a line.
const HELP_INDENTATION: usize = 8;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    /// Something works less well, or can't be looked at.
    Warn,
    Fail,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    level: Level,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    /// The exit code that it asks for.
    #[serde(skip)]
    code: u8,
}

impl Finding {
    fn new(check: &'static str, level: Level, message: impl Into<String>) -> Self {
        Self {
            check,
            level,
            message: message.into(),
            help: None,
            code: if level == Level::Fail { FAILED } else { 0 },
        }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What can't be looked at is neither good nor bad.
    fn unseen(check: &'static str, error: kube::Error) -> Self {
        let message = match error {
            kube::Error::Api(status) if status.code == 403 => {
                "you are not allowed to read it".to_owned()
            }
            error => Failure::from(error).message,
        };
        Self::new(check, Level::Warn, message)
    }
}

/// Checks everything, prints the findings, and fails if something is missing.
pub(crate) async fn doctor(global: &Global) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    let kube = client.kube().clone();
    let version = kube.apiserver_version().await?;
    let (crds, operator, rights, approvals, kueue) = tokio::join!(
        crds(&kube),
        operator(&client),
        rights(&kube, client.namespace()),
        approvals(&kube),
        kueue(&kube),
    );
    // In a namespace that does not exist everybody has the permissions of the whole cluster, which says nothing.
    let rights = (operator.code != NOT_FOUND).then_some(rights);
    let mut findings = vec![
        api_server(&version.major, &version.minor, &version.git_version),
        crds,
        operator,
    ];
    findings.extend(rights);
    findings.push(approvals);
    findings.extend(kueue);
    match global.output.unwrap_or(Format::Table) {
        Format::Json => {
            let text = serde_json::to_string_pretty(&findings);
            let text = text.map_err(|error| Failure::failed(error.to_string()))?;
            output::stdout_exact(&format!("{text}\n"));
        }
        Format::Yaml => {
            let text = serde_saphyr::to_string(&findings);
            output::stdout_exact(&text.map_err(|error| Failure::failed(error.to_string()))?);
        }
        Format::Table | Format::Wide | Format::Name | Format::Sarif | Format::Github => {
            output::stdout(&rendered(&findings, output::columns()))
        }
    }
    match findings.iter().find(|finding| finding.code != 0) {
        Some(finding) => Err(Failure::silent(finding.code)),
        None => Ok(()),
    }
}

fn rendered(findings: &[Finding], columns: Option<usize>) -> String {
    let mut text = String::new();
    for finding in findings {
        let level = match finding.level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        };
        let lead = format!("{level:<4}  {:<11}  ", finding.check);
        let message = output::clean(&finding.message);
        text.push_str(&hanging(&lead, &message, lead.len(), columns));
        if let Some(help) = &finding.help {
            let help = output::clean(help);
            text.push_str(&hanging("      help: ", &help, HELP_INDENTATION, columns));
        }
    }
    text
}

fn api_server(major: &str, minor: &str, version: &str) -> Finding {
    // Some providers write 30+.
    let digits = minor.trim_end_matches(|c: char| !c.is_ascii_digit());
    let old = major == "1"
        && digits
            .parse()
            .is_ok_and(|minor: u32| minor < KUBERNETES_MINOR);
    if old {
        let message = format!("Kubernetes {version} is older than 1.{KUBERNETES_MINOR}");
        return Finding::new("API server", Level::Fail, message)
            .help("its Jobs start pods again before the old ones have ended; upgrade the cluster");
    }
    Finding::new("API server", Level::Ok, format!("Kubernetes {version}"))
}

async fn crds(client: &Client) -> Finding {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    match read::list(&api, &ListParams::default()).await {
        Ok(installed) => compare(&installed, &konductor_api::crds()),
        Err(error) => Finding::unseen("CRDs", error),
    }
}

/// Compares what is installed with what this koncli is built with.
fn compare(installed: &[CustomResourceDefinition], own: &[CustomResourceDefinition]) -> Finding {
    let help = || {
        let apply = suggested("koncli crds | kubectl apply --server-side -f -");
        format!("{apply}, or upgrade the chart")
    };
    let mut missing = Vec::new();
    let mut other = Vec::new();
    for own in own {
        let name = own.name_any();
        match installed.iter().find(|crd| crd.name_any() == name) {
            None => missing.push(name),
            Some(crd) if crd.spec.versions != own.spec.versions => other.push(name),
            Some(_) => {}
        }
    }
    if !missing.is_empty() {
        let message = format!("not installed: {}", missing.join(", "));
        return Finding::new("CRDs", Level::Fail, message).help(help());
    }
    if !other.is_empty() {
        let message = format!("of another version than this koncli: {}", other.join(", "));
        return Finding::new("CRDs", Level::Warn, message).help(help());
    }
    let message = format!("{} installed, as this koncli has them", own.len());
    Finding::new("CRDs", Level::Ok, message)
}

/// Asks the operator itself: a Gate without conditions is created, and deleted when an operator has
/// looked at it. That also finds an operator that takes part in no election, or watches another namespace,
/// and compares no clocks.
async fn operator(client: &konductor::Client) -> Finding {
    let gates: Api<Gate> = super::api(client);
    let created = gates.create(&cluster::post_params(), &probe()).await;
    let name = match created {
        Err(kube::Error::Api(status)) if status.code == 403 => {
            let message = "you may not create gates, by which it could be asked";
            return Finding::new("operator", Level::Warn, message);
        }
        Err(kube::Error::Api(status)) if is_namespace_missing(&status) => {
            let message = format!("namespace {} does not exist", client.namespace());
            return Finding {
                code: NOT_FOUND,
                ..Finding::new("operator", Level::Fail, message)
            }
            .help(no_namespace_help());
        }
        Err(error) => return Finding::unseen("operator", error),
        Ok(created) => created.name_any(),
    };
    let looked = |gate: &Gate| gate.status.as_ref()?.observed_generation.map(|_| Ok(()));
    // The finding says that it does not answer.
    let silent = client.clone().on_notice(|_| {});
    let answered = silent.wait_until("gate", &name, Some(ANSWERS_WITHIN), looked);
    let answered = answered.await;
    // What can't be deleted ends with its time.
    let _ = gates.delete(&name, &DeleteParams::default()).await;
    let namespace = client.namespace();
    match answered {
        Ok(()) => {
            let message = format!("it answers in namespace {namespace}");
            Finding::new("operator", Level::Ok, message)
        }
        Err(konductor::Error::TimedOut { .. }) => {
            let message = format!("no operator answers in namespace {namespace}");
            Finding {
                code: UNREACHABLE,
                ..Finding::new("operator", Level::Fail, message)
            }
            .help(format!(
                "{}; one may watch other namespaces only",
                no_operator_help()
            ))
        }
        Err(error) => Finding::new("operator", Level::Warn, error.to_string()),
    }
}

/// A Gate that nobody waits for, and that goes by itself where this program is killed.
fn probe() -> Gate {
    let minute = konductor_api::Duration::from_millis(60_000);
    let spec = GateSpec {
        conditions: Vec::new(),
        mode: GateMode::All,
        when: None,
        decision: None,
        timeout: Some(minute.clone()),
        ttl_after_finished: Some(minute),
    };
    let mut gate = Gate::new("", spec);
    gate.metadata.name = None;
    gate.metadata.generate_name = Some("koncli-doctor-".to_owned());
    gate
}

async fn rights(client: &Client, namespace: &str) -> Finding {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let requests = RIGHTS.map(|(verb, group, resource)| {
        let (resource, subresource) = match resource.split_once('/') {
            Some((resource, below)) => (resource, Some(below.to_owned())),
            None => (resource, None),
        };
        let attributes = ResourceAttributes {
            verb: Some(verb.to_owned()),
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource,
            namespace: Some(namespace.to_owned()),
            ..ResourceAttributes::default()
        };
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let reviews = &reviews;
        async move { reviews.create(&PostParams::default(), &review).await }
    });
    match futures::future::try_join_all(requests).await {
        Ok(answers) => {
            let allowed = answers
                .iter()
                .map(|answer| answer.status.as_ref().is_some_and(|status| status.allowed));
            may(namespace, &allowed.collect::<Vec<_>>())
        }
        Err(error) => Finding::unseen("permissions", error),
    }
}

fn may(namespace: &str, allowed: &[bool]) -> Finding {
    let missing: Vec<String> = RIGHTS
        .iter()
        .zip(allowed)
        .filter(|(_, allowed)| !**allowed)
        .map(|((verb, _, resource), _)| format!("{verb} {resource}"))
        .collect();
    if missing.is_empty() {
        let message = format!("you may run pipelines in namespace {namespace}");
        return Finding::new("permissions", Level::Ok, message);
    }
    let message = format!(
        "in namespace {namespace} you may not {}",
        missing.join(", ")
    );
    Finding::new("permissions", Level::Warn, message)
        .help("the chart adds them to the cluster's own roles: ask to be given `edit` there")
}

async fn approvals(client: &Client) -> Finding {
    const HELP: &str = "install the chart with policies.verifiedArrivals";
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(client.clone());
    let unguarded = || {
        let message =
            "no admission policy: anyone who may create Arrivals can approve in another's name";
        Finding::new("approvals", Level::Warn, message).help(HELP)
    };
    match read::list(&policies, &ListParams::default()).await {
        Ok(policies) if policies.iter().any(guards_arrivals) => {
            let message = "an admission policy checks who approves";
            Finding::new("approvals", Level::Ok, message)
        }
        Ok(_) => unguarded(),
        Err(kube::Error::Api(status)) if status.code == 404 => unguarded(),
        Err(error) => Finding::unseen("approvals", error),
    }
}

/// Whether a policy is about Arrivals, whatever it is called.
fn guards_arrivals(policy: &ValidatingAdmissionPolicy) -> bool {
    let rules = policy
        .spec
        .as_ref()
        .and_then(|spec| spec.match_constraints.as_ref())
        .and_then(|constraints| constraints.resource_rules.as_ref());
    rules.into_iter().flatten().any(|rule| {
        let names =
            |all: &Option<Vec<String>>, name: &str| all.iter().flatten().any(|other| other == name);
        names(&rule.api_groups, "konductor.io")
            && names(&rule.resources, "arrivals")
            && !names(&rule.resources, "claims")
    })
}

/// Of a cluster with Kueue: whether its Jobs keep their order. Which of its feature gates are on, nobody can look up.
async fn kueue(client: &Client) -> Option<Finding> {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    crds.get_opt("workloads.kueue.x-k8s.io").await.ok()??;
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(client.clone());
    let policies = match read::list(&policies, &ListParams::default()).await {
        Ok(policies) => policies,
        Err(error) => return Some(Finding::unseen("Kueue", error)),
    };
    Some(match policies.iter().any(guards_the_queue) {
        true => Finding::new(
            "Kueue",
            Level::Ok,
            "an admission policy keeps its Jobs from starting before their turn",
        ),
        false => Finding::new(
            "Kueue",
            Level::Warn,
            "Kueue up to 0.18 starts stages with `queue` before their turn, unless its feature gate \
             AdmissionGatedBy is on",
        )
        .help("install the chart with policies.kueueGate, or use Kueue 0.19"),
    })
}

/// Whether a policy is about our value in Kueue's annotation.
fn guards_the_queue(policy: &ValidatingAdmissionPolicy) -> bool {
    let validations = policy
        .spec
        .as_ref()
        .and_then(|spec| spec.validations.as_ref());
    policy.name_any().ends_with("kueue-gate")
        && validations.into_iter().flatten().any(|validation| {
            validation
                .expression
                .contains(konductor_api::annotation::KUEUE_GATED_BY)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_api_server_is_recognized_by_its_minor_version() {
        let table = [
            ("1", "36", Level::Ok),
            ("1", "30", Level::Ok),
            ("1", "30+", Level::Ok),
            ("1", "29", Level::Fail),
            ("1", "29+", Level::Fail),
            ("2", "0", Level::Ok),
        ];
        for (major, minor, level) in table {
            let finding = api_server(major, minor, &format!("v{major}.{minor}.0"));
            assert_eq!(finding.level, level, "{major}.{minor}");
        }
    }

    #[test]
    fn missing_crds_go_before_those_that_differ() {
        let own = konductor_api::crds();
        assert_eq!(compare(&own, &own).level, Level::Ok);
        let mut installed = own.clone();
        installed[0].spec.versions[0].served = false;
        let different = compare(&installed, &own);
        assert_eq!(
            (different.level, different.code),
            (Level::Warn, 0),
            "{different:?}"
        );
        installed.pop();
        let missing = compare(&installed, &own);
        let last = own[own.len() - 1].name_any();
        assert_eq!(missing.message, format!("not installed: {last}"));
        assert_eq!(missing.code, FAILED);
    }

    #[test]
    fn what_one_may_not_do_is_named() {
        let mut allowed = [true; RIGHTS.len()];
        assert_eq!(may("team", &allowed).level, Level::Ok);
        allowed[0] = false;
        allowed[11] = false;
        assert_eq!(
            may("team", &allowed).message,
            "in namespace team you may not create runs, get pods/log"
        );
    }

    #[test]
    fn what_is_said_of_a_check_stands_in_a_column_of_its_own_on_a_narrow_terminal() {
        let message = "of another version than this koncli: gates.konductor.io";
        let finding = Finding::new("CRDs", Level::Warn, message)
            .help("`koncli crds | kubectl apply --server-side -f -`, or upgrade the chart");
        let expected = "\
warn  CRDs         of another version than this koncli:
                   gates.konductor.io
      help:
        `koncli crds | kubectl apply --server-side -f -`, or
        upgrade the chart
";
        let findings = [finding];
        assert_eq!(rendered(&findings, Some(60)), expected);
        let piped = rendered(&findings, None);
        assert_eq!(piped.lines().count(), 2, "{piped}");
    }
}
