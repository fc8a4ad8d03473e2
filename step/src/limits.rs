//! The limits of the wrapper, each with its reason.

use std::time::Duration;

/// Bytes of one part of an upload: S3 takes no smaller ones, but for the last.
pub const PART_BYTES_MIN: usize = 8 * 1024 * 1024;
/// Parts of one upload. S3 takes 10,000; a folder may be a little larger than it was when it was looked at.
pub const PARTS_MAX: u64 = 9_000;
/// Bytes of a file or a folder's archive: parts of a larger one would not pass through 64 MB.
pub const FILE_BYTES_MAX: u64 = 200_000_000_000;
/// Parts that are on their way at once, so that a file passes through 64 MB.
pub const PARTS_AT_ONCE: usize = 3;
/// Bytes of parts on their way at once: of larger parts there are fewer.
pub const UPLOAD_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes that are read or written at once.
pub const BUFFER_BYTES: usize = 1024 * 1024;
/// Blocks of an archive that wait for the other side.
pub const BLOCKS_MAX: usize = 4;
/// Bytes of a file from which its progress is in the log.
pub const PROGRESS_BYTES_MIN: u64 = 100 * 1024 * 1024;
/// Steps in which progress is logged.
pub const PROGRESS_STEPS: u64 = 10;
/// Entries of one folder: with more, listing it is no longer what takes the time.
pub const ENTRIES_MAX: usize = 1_000_000;
/// How long a store that is away is asked again: long enough for one that restarts, and shorter than its credentials
/// live.
pub const RETRY_TIME: Duration = Duration::from_secs(120);
/// The first wait before a request is repeated.
pub const RETRY_WAIT_MIN: Duration = Duration::from_millis(250);
/// The longest such wait, so that a store that is back is noticed.
pub const RETRY_WAIT_MAX: Duration = Duration::from_secs(15);
/// How much longer than the one before such a wait may be; it is chosen at random up to there, so that the pods of a stage
/// don't ask at the same time.
pub const RETRY_GROWTH: f64 = 4.0;
/// Repeats of a request: more than there can be in [`RETRY_TIME`], which is what bounds them.
pub const RETRIES_MAX: usize = 1_000;
/// How long a connection may take.
pub const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long a store may send nothing. It sends nothing while it gets a part, which a slow network may take long for.
pub const SILENCE_TIME: Duration = Duration::from_secs(600);
/// Bytes of a name in an archive: longer ones are in no file system.
pub const NAME_BYTES_MAX: u64 = 64 * 1024;
/// How often a file is fetched from the beginning.
pub const FETCHES_MAX: usize = 3;
/// Bytes of the termination message: kubelet keeps no more.
pub const MESSAGE_BYTES_MAX: u64 = konductor_api::limits::OUTPUT_BYTES_MAX as u64;
