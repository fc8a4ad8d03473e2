//! Attacks that the chart's admission policies refuse, each tried on a real API server beside what people do.

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::api;
use super::attempts::{ADMIN, Attempts, ODD, annotated, policies, send, uninstall, with};
use super::chart::{job, rendered};
use crate::cluster::Cluster;

/// Whoever may patch a Job can't start it before its turn, nor take away what it waits for.
pub async fn only_the_operator_starts_a_waiting_job(cluster: &Cluster) {
    let namespace = policies(cluster, "starts", &["--set", ADMIN]).await;
    let mut attempts = Attempts::new(&namespace);
    let waits = json!({"konductor.io/gate": "g", "konductor.io/hold": "lease/l"});
    let mut queued = waits.clone();
    queued["kueue.x-k8s.io/admission-gated-by"] = "other.io/gate, konductor.io/gate".into();
    let queue = json!({"kueue.x-k8s.io/queue-name": "q"});
    attempts.create(
        "alice",
        "creates it",
        "jobs",
        &with(job("waits", true, waits), json!({})),
        "",
    );
    attempts.create(
        "alice",
        "creates it in a queue",
        "jobs",
        &with(job("queued", true, queued), queue),
        "",
    );
    let start = json!({"spec": {"suspend": false}});
    let words = "is started by the operator";
    attempts.patch("alice", "starts it", "jobs/waits", &start, words);
    attempts.patch(
        "alice",
        "starts it in the queue",
        "jobs/queued",
        &start,
        // Two policies refuse it; either may answer.
        "denied request",
    );
    let gate = "konductor.io/gate can't be changed";
    for place in ["jobs/waits", "jobs/waits/status"] {
        attempts.patch(
            "alice",
            "removes its gate",
            place,
            &annotated("konductor.io/gate", Value::Null),
            gate,
        );
        attempts.patch(
            "alice",
            "changes its gate",
            place,
            &annotated("konductor.io/gate", "h".into()),
            gate,
        );
    }
    let hold = "konductor.io/hold can't be removed";
    attempts.patch(
        "alice",
        "removes its hold",
        "jobs/waits",
        &annotated("konductor.io/hold", Value::Null),
        hold,
    );
    attempts.patch(
        "alice",
        "empties its hold",
        "jobs/waits",
        &annotated("konductor.io/hold", " ".into()),
        hold,
    );
    attempts.patch(
        "alice",
        "corrects its hold",
        "jobs/waits",
        &annotated("konductor.io/hold", "lease/m".into()),
        "",
    );
    its_place_in_the_queue(&mut attempts, &start);
    attempts.patch("operator", "starts it", "jobs/waits", &start, "");
    attempts.make(cluster).await;
    uninstall(cluster, "starts", &namespace);
}

/// Only the operator removes our word from Kueue's list; afterwards the Job is Kueue's.
fn its_place_in_the_queue(attempts: &mut Attempts, start: &Value) {
    let list = |words: Value| annotated("kueue.x-k8s.io/admission-gated-by", words);
    let word = "is removed by the operator";
    attempts.patch(
        "alice",
        "removes our word",
        "jobs/queued",
        &list("other.io/gate".into()),
        word,
    );
    attempts.patch(
        "alice",
        "removes the list",
        "jobs/queued",
        &list(Value::Null),
        word,
    );
    attempts.patch(
        "alice",
        "removes another word",
        "jobs/queued",
        &list("konductor.io/gate".into()),
        "",
    );
    attempts.patch(
        "operator",
        "starts it against our word",
        "jobs/queued",
        start,
        "the Job waits for konductor",
    );
    let running = json!({"metadata": {"annotations": {
        "konductor.io/phase": "Running", "kueue.x-k8s.io/admission-gated-by": null,
    }}});
    attempts.patch(
        "operator",
        "lets Kueue start it",
        "jobs/queued",
        &running,
        "",
    );
    attempts.patch(
        "alice",
        "starts it, as Kueue does",
        "jobs/queued",
        start,
        "",
    );
    attempts.patch(
        "alice",
        "evicts it, as Kueue does",
        "jobs/queued",
        &json!({"spec": {"suspend": true}}),
        "",
    );
}

/// Whoever may edit but not approve can't take an approval away, nor the Gate that waits for it, nor open either.
pub async fn whoever_may_not_approve_takes_no_approval_away(cluster: &Cluster) {
    let namespace = policies(cluster, "approves", &["--set", ADMIN]).await;
    let mut attempts = Attempts::new(&namespace);
    let object = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "konductor.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    let verified = object(
        "Barrier",
        "sign-off",
        json!({"expected": 1, "arrivals": "Verified"}),
    );
    let condition =
        json!({"type": "Barrier", "name": "sign-off", "state": "Open", "verified": true});
    let gate = object("Gate", "ship", json!({"conditions": [condition]}));
    let anyone = object("Barrier", "any", json!({"expected": 1}));
    let plain = object("Gate", "plain", json!({}));
    attempts.create("alice", "creates an approval", "barriers", &verified, "");
    attempts.create("alice", "creates its gate", "gates", &gate, "");
    attempts.create("alice", "creates a barrier", "barriers", &anyone, "");
    attempts.create("alice", "creates a gate", "gates", &plain, "");
    let words = "may not approve, so may not change or delete";
    attempts.delete("alice", "deletes the approval", "barriers/sign-off", words);
    attempts.patch(
        "alice",
        "times it out",
        "barriers/sign-off",
        &json!({"spec": {"timeout": "1s"}}),
        words,
    );
    let label = json!({"metadata": {"labels": {"konductor.io/run": "other"}}});
    attempts.patch(
        "alice",
        "gives it to another run",
        "barriers/sign-off",
        &label,
        words,
    );
    attempts.delete("alice", "deletes the gate", "gates/ship", words);
    attempts.patch(
        "alice",
        "opens the gate",
        "gates/ship",
        &json!({"spec": {"decision": "Open"}}),
        words,
    );
    attempts.patch(
        "alice",
        "annotates the gate",
        "gates/ship",
        &annotated("team", "a".into()),
        "",
    );
    attempts.patch(
        "alice",
        "opens another gate",
        "gates/plain",
        &json!({"spec": {"decision": "Open"}}),
        "",
    );
    attempts.delete("alice", "deletes another gate", "gates/plain", "");
    attempts.delete("alice", "deletes another barrier", "barriers/any", "");
    let collector = "system:serviceaccount:kube-system:generic-garbage-collector";
    attempts.delete(collector, "deletes the gate with its run", "gates/ship", "");
    attempts.delete("bob", "deletes the approval", "barriers/sign-off", "");
    attempts.make(cluster).await;
    uninstall(cluster, "approves", &namespace);
}

/// By a Job's labels and annotations nobody takes part who may not do so by the objects for it.
pub async fn a_job_takes_part_only_if_its_author_may(cluster: &Cluster) {
    let namespace = policies(cluster, "authors", &["--set", ADMIN]).await;
    let mut attempts = Attempts::new(&namespace);
    let run = || json!({"konductor.io/run": "r"});
    let with_annotation =
        |key: &str, value: &str| with(job("mine", true, json!({key: value})), json!({}));
    let (join, arrive) = (
        "so may not give a Job to a Run",
        "so may not let a Job arrive",
    );
    let hold = "so may not let a Job hold permits";
    let joins = with(job("mine", true, json!({})), run());
    attempts.create("jobber", "joins a run", "jobs", &joins, join);
    attempts.create(
        "jobber",
        "arrives",
        "jobs",
        &with_annotation("konductor.io/arrive", "b"),
        arrive,
    );
    attempts.create(
        "jobber",
        "holds",
        "jobs",
        &with_annotation("konductor.io/hold", "lease/l"),
        hold,
    );
    let words = "written by the operator only";
    attempts.create(
        "jobber",
        "arrives as skipped",
        "jobs",
        &with_annotation("konductor.io/phase", "Skipped"),
        words,
    );
    attempts.create(
        "jobber",
        "waits for a gate",
        "jobs",
        &with_annotation("konductor.io/gate", "g"),
        "",
    );
    attempts.patch(
        "jobber",
        "joins a run later",
        "jobs/mine",
        &json!({"metadata": {"labels": run()}}),
        join,
    );
    let owner = json!({"apiVersion": "konductor.io/v1", "kind": "Run", "name": "r", "uid": "u"});
    let owned = json!({"metadata": {"ownerReferences": [owner]}});
    attempts.patch(
        "jobber",
        "names a run as its owner",
        "jobs/mine",
        &owned,
        join,
    );
    for (key, refusal) in [
        ("arrive", arrive),
        ("hold", hold),
        ("outputs", words),
        ("phase", words),
    ] {
        let key = format!("konductor.io/{key}");
        for place in ["jobs/mine", "jobs/mine/status"] {
            attempts.patch(
                "jobber",
                "annotates it later",
                place,
                &annotated(&key, "lease/l".into()),
                refusal,
            );
        }
    }
    by_a_cron_job(&mut attempts, arrive);
    let all = json!({"konductor.io/arrive": "b", "konductor.io/hold": "lease/l"});
    attempts.create(
        "alice",
        "does all of it",
        "jobs",
        &with(job("hers", true, all), run()),
        "",
    );
    let skipped = json!({"konductor.io/phase": "Skipped"});
    attempts.create(
        "alice",
        "creates a skipped stage",
        "jobs",
        &with(job("skipped", true, skipped), run()),
        "",
    );
    attempts.make(cluster).await;
    uninstall(cluster, "authors", &namespace);
}

/// The same by what a CronJob's Jobs will have.
fn by_a_cron_job(attempts: &mut Attempts, arrive: &'static str) {
    let cron = |annotations: Value| {
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"},
            "spec": {"schedule": "0 0 * * *", "jobTemplate": {"metadata": {"annotations": annotations},
            "spec": job("mine", true, json!({})).spec}}})
    };
    let arrives = cron(json!({"konductor.io/arrive": "b"}));
    attempts.create(
        "jobber",
        "arrives by a CronJob",
        "cronjobs",
        &arrives,
        arrive,
    );
    attempts.create(
        "jobber",
        "creates a CronJob",
        "cronjobs",
        &cron(json!({})),
        "",
    );
    let later = json!({"spec": {"jobTemplate": arrives["spec"]["jobTemplate"]}});
    attempts.patch(
        "jobber",
        "arrives by its CronJob later",
        "cronjobs/nightly",
        &later,
        arrive,
    );
    attempts.patch("alice", "arrives by it", "cronjobs/nightly", &later, "");
    let unchanged = json!({"spec": {"schedule": "1 0 * * *"}});
    attempts.patch(
        "jobber",
        "changes its schedule",
        "cronjobs/nightly",
        &unchanged,
        "",
    );
}

/// With `boundHolders`, nobody takes part in another's name, nor releases what another holds.
pub async fn a_bound_holder_is_its_author(cluster: &Cluster) {
    let bound = ["--set", ADMIN, "--set", "policies.boundHolders=true"];
    let namespace = policies(cluster, "bound", &bound).await;
    let mut attempts = Attempts::new(&namespace);
    let claim = |name: &str, holder: &str| {
        json!({"apiVersion": "konductor.io/v1", "kind": "Claim", "metadata": {"name": name},
            "spec": {"target": {"kind": "Lease", "name": "l"}, "holder": holder}})
    };
    let arrival = |name: &str, holder: &str| {
        json!({"apiVersion": "konductor.io/v1", "kind": "Arrival", "metadata": {"name": name},
            "spec": {"barrier": "b", "holder": holder, "outcome": "Failed"}})
    };
    let words = "spec.holder must be part or part/…";
    attempts.create(
        "part",
        "claims as another",
        "claims",
        &claim("c", "alice"),
        words,
    );
    attempts.create(
        "part",
        "claims by a prefix",
        "claims",
        &claim("c", "partner"),
        words,
    );
    attempts.create(
        "part",
        "fails another's arrival",
        "arrivals",
        &arrival("a", "alice"),
        words,
    );
    attempts.create("part", "claims", "claims", &claim("of-part", "part"), "");
    attempts.create(
        "part",
        "claims again",
        "claims",
        &claim("of-part-2", "part/2"),
        "",
    );
    attempts.create(
        "part",
        "arrives",
        "arrivals",
        &arrival("of-part", "part"),
        "",
    );
    attempts.create("alice", "claims", "claims", &claim("of-alice", "alice"), "");
    let renew = json!({"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}});
    attempts.patch("part", "renews", "claims/of-part", &renew, "");
    attempts.patch("part", "renews another's", "claims/of-alice", &renew, words);
    attempts.delete("part", "releases another's", "claims/of-alice", words);
    attempts.delete("part", "releases", "claims/of-part", "");
    attempts.delete(
        "alice",
        "releases another's, as she may edit",
        "claims/of-part-2",
        "",
    );
    attempts.create(
        "operator",
        "arrives for a Job",
        "arrivals",
        &arrival("of-job", "job/x"),
        "",
    );
    attempts.make(cluster).await;
    a_pod_holds_in_its_own_name(cluster, &namespace, &claim("of-pod", "load-1-x7k2p")).await;
    uninstall(cluster, "bound", &namespace);
}

/// By a token that is bound to a pod, as every pod has one.
async fn a_pod_holds_in_its_own_name(cluster: &Cluster, namespace: &str, claim: &Value) {
    let account = json!({"metadata": {"name": "worker"}});
    let account: ServiceAccount = serde_json::from_value(account).expect("an account");
    let accounts: Api<ServiceAccount> = api(cluster, namespace);
    accounts
        .create(&PostParams::default(), &account)
        .await
        .expect("an account");
    let binding = json!({
        "metadata": {"name": "worker"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "bound-konductor-participant"},
        "subjects": [{"kind": "ServiceAccount", "name": "worker", "namespace": namespace}],
    });
    let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings");
    let made = cluster
        .client
        .request::<Value>(send("POST", path, &binding))
        .await;
    made.expect("bound");
    let text = std::fs::read_to_string(&cluster.kubeconfig).expect("a kubeconfig");
    let mut kubeconfig: Value = serde_json::from_str(&text).expect("JSON");
    let user = &mut kubeconfig["users"][0]["user"];
    user["as"] = format!("system:serviceaccount:{namespace}:worker").into();
    user["as-user-extra"] = json!({"authentication.kubernetes.io/pod-name": ["load-1-x7k2p"]});
    let file = cluster.folder().join("as-a-pod");
    std::fs::write(&file, kubeconfig.to_string()).expect("a file");
    let kubectl = |claim: &Value| {
        let made = std::process::Command::new(cluster.kubectl())
            .args(["create", "--namespace", namespace, "--filename", "-"])
            .env("KUBECONFIG", &file)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn();
        let mut made = made.expect("kubectl runs");
        let mut input = made.stdin.take().expect("a pipe");
        std::io::Write::write_all(&mut input, claim.to_string().as_bytes()).expect("written");
        drop(input);
        let output = made.wait_with_output().expect("an end");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let begun = std::time::Instant::now();
    // The authorizer learns of the binding a moment later.
    let mut said = kubectl(claim);
    while said.contains("cannot create") && begun.elapsed() < crate::watching::WITHIN {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        said = kubectl(claim);
    }
    assert_eq!(said, "");
    let as_holder = |name: &str, holder: &str| {
        let mut other = claim.clone();
        other["metadata"]["name"] = name.into();
        other["spec"]["holder"] = holder.into();
        kubectl(&other)
    };
    // By default the SDKs hold for the index, which the pod that replaces this one has too.
    assert_eq!(as_holder("of-index", "load-1"), "");
    for holder in ["load-2", "load", "load-1-y8l3q"] {
        let said = as_holder("of-another", holder);
        assert!(said.contains("must be load-1-x7k2p"), "{said}");
    }
}

/// What a value holds stays a text in the policies, and long names stay different ones.
pub async fn hostile_values_stay_texts_and_long_names_stay_different(cluster: &Cluster) {
    let users = json!([ODD, "x\"] || true || \"\" in [\""]);
    let hostile = format!("policies.operatorUsers={users}");
    let namespace = policies(cluster, "hostile", &["--set-json", &hostile]).await;
    let mut attempts = Attempts::new(&namespace);
    let forged = |name: &str| {
        with(
            job(name, true, json!({"konductor.io/phase": "Running"})),
            json!({}),
        )
    };
    let words = "written by the operator only";
    attempts.create("alice", "is no operator", "jobs", &forged("forged"), words);
    attempts.create("operator", "is not this", "jobs", &forged("forged"), words);
    attempts.create(ODD, "is one", "jobs", &forged("written"), "");
    attempts.make(cluster).await;
    uninstall(cluster, "hostile", &namespace);
    let long = "a".repeat(60);
    let watched = format!("watchNamespaces={{{long}-a,{long}-b}}");
    let arguments = [
        "template",
        &"r".repeat(53),
        "charts/konductor",
        "--kube-version",
        "1.36.0",
        "--set",
        &watched,
    ];
    let names = rendered(cluster, &arguments);
    let deployments: Vec<&String> = names
        .iter()
        .filter(|name| name.starts_with("Deployment/"))
        .collect();
    assert_eq!(deployments.len(), 2, "{names:?}");
    assert_ne!(deployments[0], deployments[1]);
    let too_long = names.iter().filter(|name| {
        name.split('/')
            .next_back()
            .is_some_and(|name| name.len() > 63)
    });
    assert_eq!(too_long.count(), 0, "{names:?}");
}
