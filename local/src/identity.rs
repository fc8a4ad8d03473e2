//! Names and uids that the server gives: at random, or the same ones for the same seed.

use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

/// The letters of a generated name: no vowels, so no words.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;
/// The longest stem, so that the name with its suffix is still a DNS label.
const STEM_LENGTH_MAX: usize = 58;

/// A source of uids and of suffixes of generated names.
#[derive(Debug)]
pub(crate) struct Identities {
    state: Option<Mutex<u64>>,
}

impl Identities {
    /// With a seed, the same uids and suffixes come in the same order.
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self {
            state: seed.map(Mutex::new),
        }
    }

    pub(crate) fn uid(&self) -> String {
        uuid::Builder::from_random_bytes(self.bytes())
            .into_uuid()
            .to_string()
    }

    /// `stem` with a suffix, as `generateName` asks for.
    pub(crate) fn name(&self, stem: &str) -> String {
        let mut cut = stem.len().min(STEM_LENGTH_MAX);
        while !stem.is_char_boundary(cut) {
            cut -= 1;
        }
        let mut name = stem[..cut].to_owned();
        let letters = self.bytes().into_iter().take(SUFFIX_LENGTH);
        name.extend(letters.map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])));
        name
    }

    fn bytes(&self) -> [u8; 16] {
        let Some(state) = &self.state else {
            return Uuid::new_v4().into_bytes();
        };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&split_mix(&mut state).to_le_bytes());
        bytes[8..].copy_from_slice(&split_mix(&mut state).to_le_bytes());
        bytes
    }
}

/// SplitMix64: every state is followed by another one, and outputs don't repeat within 2^64.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_identities() {
        let of = |seed| {
            let identities = Identities::new(Some(seed));
            (
                identities.uid(),
                identities.name("stage-"),
                identities.uid(),
            )
        };
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
        assert_ne!(of(7).0, of(7).2);
    }

    #[test]
    fn a_generated_name_is_never_longer_than_a_label() {
        let name = Identities::new(None).name(&"ä".repeat(40));
        assert!(name.len() <= 63, "{name}");
        assert!(name.starts_with(&"ä".repeat(29)), "{name}");
    }
}
