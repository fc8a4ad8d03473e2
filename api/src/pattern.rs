//! Patterns of the texts that people write into a spec. What gets into a selector, a path or a terminal is
//! refused by the API server if it could mean something else there.

/// The name of an object: a DNS subdomain.
pub const NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// The name of a namespace: a DNS label.
pub const NAMESPACE: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// The value of a label, which may be empty.
pub const LABEL_VALUE: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";
/// The uid of an object.
pub const UID: &str = "^[-A-Za-z0-9]+$";
/// Any text on one line, such as a user's name. Control characters move a terminal's cursor, and invisible ones
/// make one name look like another.
pub const TEXT: &str = r"^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$";
/// What a Run records of its Jobs, written into the spec by a retry.
pub const RECORD: &str = "^[-A-Za-z0-9_]*$";
/// The ID of a trace, as OpenTelemetry writes it.
pub const TRACE_ID: &str = "^[0-9a-f]{32}$";
