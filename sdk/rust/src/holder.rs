//! Who takes part, unless a call names a holder.

/// The length of the part of a pod's name that a Job makes up.
const RANDOM: usize = 5;

/// Returns the holder that the environment names: `$KONDUCTOR_HOLDER`, `$POD_NAME` or `$HOSTNAME`.
///
/// A pod of an Indexed Job is known by the Job and its completion index, so the pod that replaces it is the
/// same holder, and counts once at a Barrier.
#[must_use]
pub fn env_holder() -> Option<String> {
    named(|name| std::env::var(name).ok())
}

fn named(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let variable = |name| variable(name).filter(|value| !value.is_empty());
    if let Some(named) = variable("KONDUCTOR_HOLDER") {
        return Some(named);
    }
    let pod = variable("POD_NAME").or_else(|| variable("HOSTNAME"))?;
    let index = variable("JOB_COMPLETION_INDEX");
    let task = index.and_then(|index| indexed(&pod, &index));
    Some(task.map(str::to_owned).unwrap_or(pod))
}

/// Finds the Job and the completion index in a pod's name: the pod of index 3 of Job load is `load-3-x7k2p`.
/// Its host name is `load-3`.
fn indexed<'a>(pod: &'a str, index: &str) -> Option<&'a str> {
    let (task, random) = pod.rsplit_once('-')?;
    let is_random = random.len() == RANDOM
        && random
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let (job, of_it) = task.rsplit_once('-')?;
    (is_random && of_it == index && !job.is_empty()).then_some(task)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Environment = &'static [(&'static str, &'static str)];

    /// An environment, and the holder that it names.
    const CASES: [(Environment, Option<&str>); 8] = [
        (
            &[("KONDUCTOR_HOLDER", "me"), ("POD_NAME", "load-3-x7k2p")],
            Some("me"),
        ),
        (
            &[("POD_NAME", "load-3-x7k2p"), ("JOB_COMPLETION_INDEX", "3")],
            Some("load-3"),
        ),
        (
            &[("HOSTNAME", "load-3"), ("JOB_COMPLETION_INDEX", "3")],
            Some("load-3"),
        ),
        (
            &[("POD_NAME", "load-13-x7k2p"), ("JOB_COMPLETION_INDEX", "3")],
            Some("load-13-x7k2p"),
        ),
        (
            &[("POD_NAME", "web-7f9kx"), ("HOSTNAME", "other")],
            Some("web-7f9kx"),
        ),
        (&[("HOSTNAME", "load-3-x7k2p")], Some("load-3-x7k2p")),
        (&[("HOSTNAME", "")], None),
        (&[], None),
    ];

    #[test]
    fn a_pod_that_is_replaced_is_the_same_holder_in_an_indexed_job() {
        for (environment, holder) in CASES {
            let variable = |name: &str| {
                let entry = environment.iter().find(|(key, _)| *key == name);
                entry.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(named(variable).as_deref(), holder, "{environment:?}");
        }
    }
}
