//! What the viewer may do, by the API server's word: the actions of the pages.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;

/// Which actions the viewer may take in a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rights {
    /// Cancel, pause and resume runs.
    pub(super) decide: bool,
    /// Retry runs: what failed is deleted and created again.
    pub(super) retry: bool,
    /// Answer approvals.
    pub(super) approve: bool,
}

impl Rights {
    /// Asks for them. Who may not ask may do nothing here; the API server decides about each request anyway.
    pub(super) async fn of(client: &konductor::Client) -> Self {
        let (patch, delete, create, arrive, approve) = tokio::join!(
            may(client, "patch", "konductor.io", "runs"),
            may(client, "delete", "batch", "jobs"),
            may(client, "create", "batch", "jobs"),
            may(client, "create", "konductor.io", "arrivals"),
            may(client, "approve", "konductor.io", "barriers"),
        );
        Self {
            decide: patch,
            retry: patch && delete && create,
            approve: arrive && approve,
        }
    }
}

async fn may(client: &konductor::Client, verb: &str, group: &str, resource: &str) -> bool {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(client.namespace().to_owned()),
                verb: Some(verb.to_owned()),
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                ..ResourceAttributes::default()
            }),
            non_resource_attributes: None,
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.kube().clone());
    let answer = reviews.create(&PostParams::default(), &review).await;
    let status = answer.ok().and_then(|review| review.status);
    status.is_some_and(|status| status.allowed)
}
