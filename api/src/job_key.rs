//! What a Run's record knows a Job by: hashes of its name, its uid and its stage, of a fixed width.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sha2::{Digest, Sha256};

/// The characters of a hash.
pub const KEY_ALPHABET: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The hash of a Job's name.
pub type NameKey = [u8; 8];
/// The hash of a Job's uid: it tells a Job from others of its name.
pub type UidKey = [u8; 3];
/// The hash of a stage's name. Two stages with one key would count for each other. With 36 bits that is so in one of
/// 140,000 pipelines of 1,000 stages.
pub type StageKey = [u8; 6];

/// What a Run's record knows a Job by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobKey {
    /// The hash of its name.
    pub name: NameKey,
    /// The hash of its uid.
    pub uid: UidKey,
    /// The hash of its stage's name.
    pub stage: StageKey,
}

impl JobKey {
    /// Hashes what a Job says about itself.
    pub(crate) fn of(metadata: &ObjectMeta, stage: &str) -> Self {
        Self {
            name: key_of(metadata.name.as_deref().unwrap_or_default()),
            uid: key_of(metadata.uid.as_deref().unwrap_or_default()),
            stage: key_of(stage),
        }
    }
}

/// Returns the first `N` characters of a text's SHA-256, six bits each.
pub fn key_of<const N: usize>(text: &str) -> [u8; N] {
    let digest = Sha256::digest(text.as_bytes());
    let mut key = [0; N];
    for (character, byte) in key.iter_mut().zip(digest) {
        *character = KEY_ALPHABET[usize::from(byte & 63)];
    }
    key
}
