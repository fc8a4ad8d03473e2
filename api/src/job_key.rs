//! What a Run's record knows a Job by: hashes of its name, its uid and its stage, of a fixed width.

use std::hash::Hasher;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use siphasher::sip::SipHasher13;

/// The characters of a hash.
pub const KEY_ALPHABET: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The hash of a Job's name.
pub type NameKey = [u8; 8];
/// The hash of a Job's uid: another Job of the same name has another one.
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

/// Returns the first `N` characters, six bits each, of a text's SipHash-1-3 with a key of zeros. It is the same on every
/// machine and in every version, and a tenth of the work of SHA-256. Whoever could make two names with one hash may
/// create Jobs in the Run's namespace, and so needs no such names to disturb it.
pub fn key_of<const N: usize>(text: &str) -> [u8; N] {
    const { assert!(N <= 10, "a hash has 64 bits") };
    let mut hasher = SipHasher13::new();
    hasher.write(text.as_bytes());
    let mut bits = hasher.finish();
    [(); N].map(|()| {
        let character = KEY_ALPHABET[(bits & 63) as usize];
        bits >>= 6;
        character
    })
}
