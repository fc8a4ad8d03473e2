//! How and why a Job ends.

/// How and why a Job ends.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) success: bool,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Verdict {
    pub(super) fn failure(reason: &str, message: impl Into<String>) -> Self {
        Self {
            success: false,
            reason: reason.into(),
            message: message.into(),
        }
    }

    pub(super) fn success(reason: &str, message: impl Into<String>) -> Self {
        Self {
            success: true,
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// The interim condition, set while pods are still ending, and the terminal one.
    pub(super) fn condition_types(&self) -> (&'static str, &'static str) {
        if self.success {
            ("SuccessCriteriaMet", "Complete")
        } else {
            ("FailureTarget", "Failed")
        }
    }
}
