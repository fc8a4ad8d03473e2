//! What must hold on every cluster: each scenario is one function of a cluster, run on the embedded
//! API server and on a real one.

pub mod adoption;
pub mod attempts;
pub mod availability;
pub mod breakdown;
pub mod cases;
pub mod causes;
pub mod chart;
pub mod coordination;
pub mod deletion;
pub mod deployed;
pub mod field;
pub mod files;
mod history;
pub mod interference;
pub mod items;
pub mod kubectl;
pub mod leaders;
pub mod outage;
pub mod outputs;
pub mod owners;
pub mod pipeline;
pub mod pod_security;
pub mod policies;
pub mod readme;
pub mod refused;
pub mod retry;
pub mod rights;
pub mod rules;
pub mod schedule;
pub mod seed;
pub mod succession;
pub mod takeover;

use crate::cluster::Cluster;

/// One scenario: its name is a claim.
pub struct Scenario {
    /// The claim.
    pub name: &'static str,
    /// Whether it needs what the embedded API server does not have: users and their rights.
    pub real_only: bool,
    /// Runs it; a panic is a failure.
    pub run: for<'a> fn(&'a Cluster) -> futures::future::BoxFuture<'a, ()>,
}

macro_rules! scenarios {
    ($(#[$doc:meta])* $all:ident: $($module:ident::$name:ident,)*) => {
        $(#[$doc])*
        pub fn $all() -> Vec<Scenario> {
            vec![$(Scenario {
                name: stringify!($name),
                real_only: !matches!(
                    stringify!($module),
                    "adoption"
                        | "cases"
                        | "coordination"
                        | "deletion"
                        | "field"
                        | "interference"
                        | "items"
                        | "outputs"
                        | "pipeline"
                        | "retry"
                        | "rules"
                ),
                run: |cluster| Box::pin($module::$name(cluster)),
            },)*]
        }
    };
}

scenarios! {
    /// Those that disturb nobody: each in a namespace of one cluster that they share.
    all:
    pipeline::a_pipeline_runs_to_its_end_and_hands_on_values,
    pipeline::a_failed_stage_fails_the_run_and_what_depends_on_it_is_unreached,
    pipeline::a_cancelled_run_stops_its_jobs_and_still_runs_finally,
    pipeline::an_operator_killed_in_the_middle_changes_nothing_in_the_outcome,
    pipeline::a_run_created_in_part_says_so_and_applying_again_completes_it,
    outputs::a_stage_whose_outputs_are_wrong_fails_and_names_each,
    outputs::a_stage_whose_outputs_are_cut_off_fails,
    outputs::items_that_are_left_out_count_as_skipped,
    outputs::outputs_of_a_fan_out_are_gathered_in_the_order_of_its_items,
    items::a_list_that_is_found_at_run_time_is_gone_over,
    items::a_retry_of_a_list_runs_only_the_items_that_failed,
    retry::a_retry_runs_what_failed_again_and_keeps_the_rest,
    retry::a_retry_of_a_range_runs_only_the_indexes_that_failed,
    deletion::a_job_that_is_deleted_while_it_runs_ends_its_run,
    deletion::jobs_with_an_injected_ttl_run_to_the_end_of_their_run,
    cases::a_pipeline_that_is_applied_twice_succeeds_once,
    cases::ledgers_of_two_pipelines_are_two,
    cases::nothing_is_created_of_a_run_that_is_refused,
    cases::a_semaphore_that_somebody_scales_stays_so_until_its_file_changes,
    cases::a_file_that_is_deleted_and_applied_again_runs_from_its_beginning,
    adoption::a_run_leaves_the_jobs_alone_that_are_older_than_it,
    coordination::fifty_claims_on_two_permits_never_hold_three,
    coordination::two_operators_grant_no_more_than_one_does,
    coordination::progress_of_a_large_gate_is_written_now_and_then,
    coordination::a_barrier_opens_for_its_waiters_when_the_last_party_arrives,
    coordination::a_barrier_created_again_counts_from_zero,
    coordination::a_lease_passes_on_when_it_is_not_renewed,
    coordination::who_does_not_wait_is_denied_and_leaves_no_claim,
    coordination::a_dropped_wait_leaves_no_claim,
    coordination::jobs_that_hold_by_annotation_run_one_at_a_time,
    coordination::a_gate_by_hand_starts_a_suspended_job,
    field::a_job_that_is_deleted_while_it_works_releases_its_lease_when_its_pod_is_gone,
    field::what_is_deleted_while_the_operator_is_down_is_released,
    field::a_restarted_operator_grants_nothing_beyond_the_ledger,
    field::nobody_enters_between_two_tries_of_a_job,
    field::a_large_request_is_not_starved_by_small_ones,
    field::a_permit_ends_with_the_pod_whose_node_vanished,
    field::jobs_of_one_cron_job_never_overlap,
    field::a_job_that_its_ttl_has_deleted_still_counts,
    interference::a_job_that_something_else_suspends_is_started_again_and_completes,
    interference::a_hold_that_is_edited_while_its_job_waits_leaks_nothing,
    interference::a_semaphore_that_is_created_again_waits_for_pods_of_jobs_that_are_gone,
    interference::items_that_share_one_permit_run_in_the_order_of_their_ordinals,
    interference::a_job_and_a_claim_that_wait_for_nothing_real_say_so,
    interference::a_job_that_is_created_from_a_stored_copy_waits_for_its_gate,
    interference::a_deleted_job_that_a_finalizer_keeps_releases_its_permit_and_ends_its_run,
    interference::a_run_whose_jobs_lose_their_labels_still_ends_right,
    rules::the_api_server_refuses_a_ledger_beyond_its_permits,
    rules::the_api_server_refuses_to_reopen_and_to_lower_tokens,
    rules::the_api_server_refuses_specs_that_make_no_sense,
    rules::the_api_server_refuses_texts_that_could_mean_something_else,
    rules::the_api_server_installs_the_definitions_without_a_warning,
    kubectl::kubectl_prints_what_its_page_shows,
    kubectl::a_pipeline_that_kubectl_applies_every_second_while_it_runs_ends_right,
    kubectl::jobs_that_a_ttl_deletes_and_kubectl_creates_again_run_once,
    chart::the_chart_lints_and_every_set_of_values_is_accepted,
    chart::the_chart_comes_and_goes_and_leaves_what_people_made,
    chart::the_api_server_refuses_what_the_charts_policies_forbid,
    refused::who_refuses_the_pods_of_a_stage_is_named,
    policies::only_the_operator_starts_a_waiting_job,
    policies::whoever_may_not_approve_takes_no_approval_away,
    policies::a_job_takes_part_only_if_its_author_may,
    policies::a_bound_holder_is_its_author,
    policies::hostile_values_stay_texts_and_long_names_stay_different,
    pod_security::a_restricted_stage_is_admitted_where_pod_security_is_restricted,
    takeover::only_those_who_may_create_jobs_make_a_run,
    takeover::whoever_may_create_pods_may_name_a_job_as_their_controller,
    rights::each_role_allows_what_it_is_for_and_nothing_else,
    rights::the_operator_uses_each_right_of_the_chart_and_no_other,
    schedule::the_pods_of_a_schedule_do_all_they_must_and_may_do_nothing_else,
    schedule::a_schedule_is_installed_by_who_has_the_rights_that_it_gives,
}

scenarios! {
    /// Those that take something away from everybody, or must not be disturbed: one after another.
    outages:
    readme::the_first_readme_works_command_by_command,
    outage::the_api_server_is_killed_and_everything_continues,
    outage::etcd_is_killed_and_everything_continues,
    outage::one_of_two_operators_is_stopped_and_everything_continues,
    outage::the_only_operator_is_stopped_and_nobody_loses_what_it_renewed,
    leaders::leaders_of_each_sdk_stand_by_while_the_api_server_is_away,
    succession::the_leader_is_replaced_when_it_ends,
    succession::a_leader_that_is_stopped_and_continued_writes_nothing_and_stands_by,
    chart::what_koncli_installs_is_what_the_chart_installs,
    outage::two_thousand_primitives_are_left_alone,
}

scenarios! {
    /// Those that need a node, with the operator from the chart: one after another.
    on_a_node:
    seed::ten_extracts_complete_before_five_transforms_start,
    seed::ten_extracts_complete_before_five_transforms_start_by_a_pipeline,
    seed::a_cron_job_that_still_runs_is_not_run_again,
    seed::reports_of_several_runs_never_overlap,
    seed::a_job_starts_when_two_others_have_completed,
    seed::a_job_starts_when_two_others_have_completed_by_a_pipeline,
    seed::a_hundred_jobs_run_ten_at_a_time,
    seed::a_hundred_jobs_run_ten_at_a_time_by_a_pipeline,
    breakdown::values_and_tokens_reach_real_containers,
    breakdown::a_job_whose_container_is_killed_releases_its_permit,
    breakdown::the_lease_of_a_killed_pod_passes_on_after_its_ttl,
    causes::each_cause_is_said_of_real_containers,
    files::files_of_the_examples_pass_by_way_of_s3,
    files::files_of_restricted_containers_pass_by_way_of_s3,
    breakdown::a_silent_node_keeps_the_permits_of_what_may_still_run,
    deployed::the_chart_s_own_test_passes,
    availability::the_leader_is_ended_again_and_again_and_nothing_is_lost,
}

/// A client that panics where a test would.
pub(crate) fn api<K>(cluster: &Cluster, namespace: &str) -> kube::Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    kube::Api::namespaced(cluster.client.clone(), namespace)
}
