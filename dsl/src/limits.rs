//! The limits of the text, each with its reason.

/// Bytes of one file: ten times the largest pipeline that a cluster could run, and small enough to
/// be read while somebody waits.
pub const FILE_BYTES_MAX: usize = 20 * 1024 * 1024;
/// Words, strings and signs of one file: more than 100,000 stages have, and little enough for the
/// syntax tree to fit into a laptop's memory.
pub const TOKENS_MAX: usize = 5_000_000;
/// How deep brackets may be nested: people get lost beyond ten; recursion is safe far beyond this.
pub const DEPTH_MAX: usize = 64;
/// Characters of a name: stage, item and run must fit into one Kubernetes name of 63.
pub const NAME_MAX: usize = 40;
/// How many syntax errors are reported: more would scroll away the first, which matter most.
pub const ERRORS_MAX: usize = 50;
/// Tokens of a file up to which each declaration is looked at by itself where the whole does not
/// parse: beyond, only the first slip is reported, so that hostile text does not take all memory.
pub const RECOVERY_TOKENS_MAX: usize = 2_000_000;
