//! Which of several API versions is preferred.

use std::cmp::Ordering;

/// The version of Kubernetes that is served.
pub(crate) const KUBERNETES: &str = "v1.36.3";

/// How stable a version is; the greater, the more it is preferred: `v2`, `v1`, `v1beta2`,
/// `v1alpha1`, and then what has no such form, in the order of the alphabet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    Other(String),
    Known {
        stability: u8,
        major: u64,
        minor: u64,
    },
}

/// The priority of a version's name.
pub(crate) fn priority(version: &str) -> Priority {
    parse(version).unwrap_or_else(|| Priority::Other(version.to_owned()))
}

fn parse(version: &str) -> Option<Priority> {
    let rest = version.strip_prefix('v')?;
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let major = rest[..digits].parse().ok()?;
    let (stability, minor) = match &rest[digits..] {
        "" => (2, ""),
        stage => match (stage.strip_prefix("beta"), stage.strip_prefix("alpha")) {
            (Some(minor), _) => (1, minor),
            (_, Some(minor)) => (0, minor),
            _ => return None,
        },
    };
    let minor = if minor.is_empty() && stability == 2 {
        0
    } else {
        minor.parse().ok()?
    };
    Some(Priority::Known {
        stability,
        major,
        minor,
    })
}

impl Ord for Priority {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Priority::Other(this), Priority::Other(other)) => other.cmp(this),
            (Priority::Other(_), Priority::Known { .. }) => Ordering::Less,
            (Priority::Known { .. }, Priority::Other(_)) => Ordering::Greater,
            (
                Priority::Known {
                    stability,
                    major,
                    minor,
                },
                Priority::Known {
                    stability: other_stability,
                    major: other_major,
                    minor: other_minor,
                },
            ) => (stability, major, minor).cmp(&(other_stability, other_major, other_minor)),
        }
    }
}

impl PartialOrd for Priority {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_preferred_as_kubernetes_prefers_them() {
        let mut versions = [
            "foo10",
            "v1",
            "v11alpha2",
            "foo1",
            "v10",
            "v2",
            "v3beta1",
            "v12alpha1",
        ];
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
        assert_eq!(
            versions,
            [
                "v10",
                "v2",
                "v1",
                "v3beta1",
                "v12alpha1",
                "v11alpha2",
                "foo1",
                "foo10"
            ]
        );
    }
}
