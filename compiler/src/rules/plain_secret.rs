//! K0316: a secret written in plain text.

use konductor_dsl::{Code, Diagnostic, ast};

use crate::pipeline::Text;

/// A variable whose name says that its value is a secret, with a value that everybody can read.
pub(crate) fn check(key: &ast::Key, text: &Text) -> Option<Diagnostic> {
    const WORDS: [&str; 6] = [
        "PASSWORD",
        "PASSWD",
        "SECRET",
        "TOKEN",
        "APIKEY",
        "PRIVATEKEY",
    ];
    let value = text.plain()?;
    let name: String = key.text.to_ascii_uppercase().replace('_', "");
    let names_a_secret = WORDS.iter().any(|word| name.ends_with(word));
    if !names_a_secret || value.is_empty() || value.starts_with('/') {
        return None;
    }
    Some(
        Diagnostic::warning(
            Code::K0316,
            text.span,
            format!("`{}` looks like a secret", key.text),
        )
        .here("everybody who sees the Job can read it")
        .help(format!(
            "put it into a Secret and write `{} = secret(\"name\", \"key\")`",
            key.text
        )),
    )
}
