//! Names of objects: what is written in the source, cut and cleaned until Kubernetes takes it.

use sha2::{Digest, Sha256};

use crate::limits::NAME_MAX;

/// The first six hexadecimal digits of a text's SHA-256.
pub(crate) fn short_hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes())[..3])
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| DIGITS[usize::from(digit)]).collect()
}

/// The part of a name that stands for one item of a fan-out, at most `room` characters: the value in
/// lower case with `-` for every other character. If anything had to be changed, or if the
/// result is taken, six digits of the value's hash are appended.
///
/// `take` says whether a slug is still free, and takes it.
pub(crate) fn slug(value: &str, room: usize, mut take: impl FnMut(&str) -> bool) -> String {
    let cleaned: String = value
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                c
            } else {
                '-'
            }
        })
        .collect();
    let plain = cleaned.trim_matches('-');
    if plain == value && (1..=room).contains(&plain.len()) && take(plain) {
        return plain.to_owned();
    }
    with_hash(plain, value, room, take)
}

fn with_hash(plain: &str, value: &str, room: usize, mut take: impl FnMut(&str) -> bool) -> String {
    let mut salted = value.to_owned();
    loop {
        let hash = short_hash(&salted);
        let head: String = plain
            .chars()
            .take(room.saturating_sub(hash.len() + 1))
            .collect();
        let head = head.trim_end_matches('-');
        let name = if head.is_empty() {
            hash
        } else {
            format!("{head}-{hash}")
        };
        if take(&name) {
            return name;
        }
        // Two values with the same six digits: take the digits of something else, always the same.
        salted.push('+');
    }
}

/// Whether a text can name an object, be a label's value and a pod's host name.
pub(crate) fn is_object_name(text: &str) -> bool {
    let alnum = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=NAME_MAX).contains(&bytes.len())
        && bytes.iter().all(|byte| alnum(byte) || *byte == b'-')
        && bytes.first().is_some_and(alnum)
        && bytes.last().is_some_and(alnum)
}

/// Whether a text can name an object that may have dots, such as a ServiceAccount or a Secret.
pub(crate) fn is_subdomain(text: &str) -> bool {
    const SUBDOMAIN_MAX: usize = 253;
    text.len() <= SUBDOMAIN_MAX && text.split('.').all(is_object_name)
}

/// Whether a text can be the value of a label.
pub(crate) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_qualified(text)
}

/// Whether a text can be the name of a label, without its prefix.
pub(crate) fn is_qualified(name: &str) -> bool {
    let alnum = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    bytes.len() <= NAME_MAX
        && alnum(bytes.first())
        && alnum(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn slug_is_the_value_where_it_can_be_and_never_repeats() {
        let mut taken = HashSet::new();
        let table = [
            ("eu", 20, "eu"),
            ("eu", 20, "eu-4d0282"),
            ("EU", 20, "eu-9170a8"),
            ("-1", 20, "1-1bad6b"),
            ("a/b", 20, "a-b-c14cdd"),
            ("a-very-long-region", 12, "a-ver-4f40df"),
            ("日本", 20, "cf2abf"),
            ("", 20, "e3b0c4"),
        ];
        for (value, room, expected) in table {
            assert_eq!(
                slug(value, room, |slug| taken.insert(slug.to_owned())),
                expected,
                "{value}"
            );
        }
        assert_eq!(taken.len(), table.len());
        assert!(taken.iter().all(|slug| is_object_name(slug)), "{taken:?}");
    }
}
