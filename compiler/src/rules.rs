//! The rules: one file for each code that the compiler reports.
//!
//! What enters: whatever a rule needs to look at. What leaves: diagnostics. What must never happen
//! here: a change of the pipeline.

pub(crate) mod address_shape;
pub(crate) mod after_finally;
pub(crate) mod amount;
pub(crate) mod bad_import;
pub(crate) mod bad_key;
pub(crate) mod bad_schedule;
pub(crate) mod bad_type;
pub(crate) mod clause_not_here;
pub(crate) mod comparison;
pub(crate) mod cycle;
pub(crate) mod duplicate_attribute;
pub(crate) mod duplicate_clause;
pub(crate) mod duplicate_item;
pub(crate) mod duplicate_name;
pub(crate) mod empty_fan_out;
pub(crate) mod exclusive_clauses;
pub(crate) mod external_resource;
pub(crate) mod given_value;
pub(crate) mod held_twice;
pub(crate) mod image_tag;
pub(crate) mod import_cycle;
pub(crate) mod interpolated_key;
pub(crate) mod interpolated_script;
pub(crate) mod kube_text;
pub(crate) mod kube_value;
pub(crate) mod kubernetes_name;
pub(crate) mod large_body;
pub(crate) mod large_fan_out;
pub(crate) mod long_name;
pub(crate) mod long_timeout;
pub(crate) mod missing_argument;
pub(crate) mod missing_attribute;
pub(crate) mod missing_item;
pub(crate) mod missing_param;
pub(crate) mod missing_store;
pub(crate) mod mount_path;
pub(crate) mod mounted_twice;
pub(crate) mod never_fires;
pub(crate) mod never_true;
pub(crate) mod no_shell;
pub(crate) mod not_here;
pub(crate) mod one_pipeline;
pub(crate) mod open_quote;
pub(crate) mod out_of_range;
pub(crate) mod output_default;
pub(crate) mod owned_field;
pub(crate) mod parallel_lease;
pub(crate) mod plain_secret;
pub(crate) mod quorum;
pub(crate) mod quoting;
pub(crate) mod repeated_dependency;
pub(crate) mod run_and_exec;
pub(crate) mod run_time_items;
pub(crate) mod run_time_value;
pub(crate) mod self_dependency;
pub(crate) mod shared_workspace;
pub(crate) mod shell_expansion;
pub(crate) mod template_recursion;
pub(crate) mod too_many_holds;
pub(crate) mod too_many_permits;
pub(crate) mod undeclared_output;
pub(crate) mod unknown_attribute;
pub(crate) mod unknown_field;
pub(crate) mod unknown_interpreter;
pub(crate) mod unknown_kube_field;
pub(crate) mod unknown_name;
pub(crate) mod unknown_param;
pub(crate) mod unquoted;
pub(crate) mod unused;
pub(crate) mod value_as_code;
pub(crate) mod wrong_type;
pub(crate) mod yaml;

use konductor_dsl::Diagnostic;

use crate::pipeline::Pipeline;
use crate::plan::Dag;
use crate::plan::job::Jobs;

/// The rules that need nothing but the pipeline and its graph.
pub(crate) fn check(pipeline: &Pipeline, dag: &Dag, diagnostics: &mut Vec<Diagnostic>) {
    cycle::check(pipeline, dag, diagnostics);
    after_finally::check(pipeline, dag, diagnostics);
    missing_attribute::check(pipeline, diagnostics);
    missing_attribute::check_command(pipeline, diagnostics);
    image_tag::check(pipeline, diagnostics);
    too_many_permits::check(pipeline, diagnostics);
    long_timeout::check(pipeline, diagnostics);
    exclusive_clauses::check(pipeline, diagnostics);
    repeated_dependency::check(pipeline, diagnostics);
    never_true::check(pipeline, diagnostics);
    run_time_items::check(pipeline, diagnostics);
    shared_workspace::check(pipeline, dag, diagnostics);
    value_as_code::check(pipeline, diagnostics);
    kube_text::check(pipeline, diagnostics);
    no_shell::check(pipeline, diagnostics);
    unused::paths(pipeline, diagnostics);
}

/// The rules about the items and names of one run.
pub(crate) fn check_run(
    pipeline: &Pipeline,
    jobs: &Jobs,
    run: &str,
    diagnostics: &mut Vec<Diagnostic>,
) {
    missing_item::check(pipeline, jobs, diagnostics);
    quorum::check(pipeline, jobs, diagnostics);
    large_fan_out::check(pipeline, jobs, diagnostics);
    large_body::check(pipeline, jobs, diagnostics);
    large_body::check_gathered(pipeline, jobs, diagnostics);
    long_name::check(pipeline, run, diagnostics);
}

/// Some names as a sentence has them, the first few: `a`, `b` or `c`.
fn listed(names: &[&str], joint: &str) -> String {
    const SHOWN_MAX: usize = 8;
    let mut shown: Vec<String> = names
        .iter()
        .take(SHOWN_MAX)
        .map(|name| format!("`{name}`"))
        .collect();
    if names.len() > SHOWN_MAX {
        shown.push(format!("{} more", names.len() - SHOWN_MAX));
    }
    match shown.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} {joint} {last}", rest.join(", ")),
    }
}
