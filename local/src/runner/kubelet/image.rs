//! References to images, as engines and registries read them.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

/// `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`. It never begins with a dash, so no engine takes it for an option.
static REFERENCE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let host = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?";
    let part = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*";
    let tag = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";
    let digest = r"[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}";
    let whole = format!(r"\A(?:{host}/)?{part}(?:/{part})*(?::{tag})?(?:@{digest})?\z");
    Regex::new(&whole).ok()
});

/// As long as a reference may be.
const LENGTH_MAX: usize = 512;

/// The name of an image that is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImageReference(String);

impl ImageReference {
    /// # Errors
    /// If the text is no reference to an image, with what to say about it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the container has no image".to_owned());
        }
        let is_one = REFERENCE
            .as_ref()
            .is_some_and(|pattern| pattern.is_match(text));
        match is_one && text.len() <= LENGTH_MAX {
            true => Ok(Self(text.to_owned())),
            false => Err(format!(
                "image {text:?} is not a reference to an image, such as busybox:1.36"
            )),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_distinguished_from_options() {
        let digest = format!("busybox@sha256:{}", "a".repeat(64));
        for image in [
            "busybox",
            "busybox:1.36",
            "library/busybox:1.36",
            "ghcr.io/acme/etl:1.4",
            "localhost:5000/a/b_c/d--e:v1",
            "[::1]:5000/a",
            "Registry.example/a",
            digest.as_str(),
        ] {
            assert_eq!(ImageReference::parse(image).unwrap().as_str(), image);
        }
        for image in [
            "",
            "-h",
            "--privileged",
            "-v=/:/host",
            "busybox --privileged",
            "busybox\n",
            "Busybox",
            "a/-b",
            "/a",
            "a:",
            "a:-h",
            "a@sha256:12",
            "a//b",
            "$(reboot)",
            "a\u{1b}[2J",
            "ä",
        ] {
            assert!(ImageReference::parse(image).is_err(), "{image}");
        }
        let long = "a".repeat(LENGTH_MAX + 1);
        assert!(ImageReference::parse(&long).is_err());
    }
}
