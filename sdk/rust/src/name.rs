//! What may be asked for: a name that no API server stores would be read as another path.

use crate::{Error, Object};

/// The longest name of an object.
const NAME_MAX: usize = 253;
/// The longest name of a namespace.
const NAMESPACE_MAX: usize = 63;

impl Object {
    /// Checks that an object of this name can exist.
    ///
    /// # Errors
    /// [`Error::Invalid`] if its name or namespace is one that no API server stores.
    pub fn checked(self) -> Result<Self, Error> {
        if !is_subdomain(&self.name) {
            let message = format!(
                "{:?} can't be the name of a {}: use lower case letters, digits, - and ., at most \
                 {NAME_MAX} of them",
                self.name, self.kind
            );
            return Err(self.invalid(message));
        }
        if self.namespace.len() > NAMESPACE_MAX || !is_label(&self.namespace) {
            let message = format!(
                "{:?} can't be the name of a namespace: use lower case letters, digits and -, at \
                 most {NAMESPACE_MAX} of them",
                self.namespace
            );
            return Err(self.invalid(message));
        }
        Ok(self)
    }

    /// Checks a holder, which may be any text that is not empty.
    pub(crate) fn checked_holder(&self, holder: &str) -> Result<(), Error> {
        if (1..=NAME_MAX).contains(&holder.chars().count()) {
            return Ok(());
        }
        Err(self.invalid(format!(
            "{holder:?} can't be a holder: name it with 1 to {NAME_MAX} characters"
        )))
    }
}

fn is_subdomain(name: &str) -> bool {
    name.len() <= NAME_MAX && name.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let is_inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    !label.is_empty()
        && label.bytes().all(is_inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, namespace: &str) -> Object {
        Object {
            kind: "gate",
            name: name.to_owned(),
            namespace: namespace.to_owned(),
        }
    }

    #[test]
    fn only_names_that_kubernetes_stores_are_sent() {
        let longest = "a".repeat(NAME_MAX);
        for name in ["a", "0", "a-b", "a.b-c.d", "3.14", &longest] {
            assert!(object(name, "team").checked().is_ok(), "{name}");
        }
        let too_long = "a".repeat(NAME_MAX + 1);
        let odd = [
            "", ".", "..", "a/b", "a/status", "a?b", "a%2fb", "A", "a_b", "-a", "a-", "a..b", "ü",
            " a", "a\n", "a\0", &too_long,
        ];
        for name in odd {
            let error = object(name, "team").checked();
            assert!(matches!(error, Err(Error::Invalid { .. })), "{name:?}");
        }
        for namespace in ["", "a.b", "a/b", "A", &"a".repeat(NAMESPACE_MAX + 1)] {
            let error = object("a", namespace).checked();
            assert!(matches!(error, Err(Error::Invalid { .. })), "{namespace:?}");
        }
    }
}
