//! K0316: a secret written in plain text.

use konductor_dsl::{Code, Diagnostic, Span, ast};

use crate::pipeline::Text;

/// A variable of a stage that is a secret in plain text.
pub(crate) fn check(key: &ast::Key, text: &Text) -> Option<Diagnostic> {
    let diagnostic = secret(&key.text, text.plain()?, text.span)?;
    let diagnostic = diagnostic.here("everybody who sees the Job can read it");
    Some(diagnostic.help(format!(
        "put it into a Secret and write `{} = secret(\"name\", \"key\")`",
        key.text
    )))
}

/// A parameter whose default is a secret in plain text.
pub(crate) fn check_param(name: &ast::Name, default: Option<&ast::Value>) -> Option<Diagnostic> {
    let Some(ast::Value::String(text)) = default else {
        return None;
    };
    let diagnostic = secret(&name.text, &text.plain()?, text.span)?;
    let diagnostic = diagnostic.here("everybody who sees the file or the Job can read it");
    let variable = name.text.to_ascii_uppercase().replace('-', "_");
    Some(diagnostic.help(format!(
        "put it into a Secret and write `env {{ {variable} = secret(\"name\", \"key\") }}` in the stage"
    )))
}

/// A name that secrets have, or a URL with a password, with a value that everybody can read.
fn secret(name: &str, value: &str, span: Span) -> Option<Diagnostic> {
    let is_secret = names_a_secret(name) && !value.is_empty() && !value.starts_with('/');
    let message = match is_secret {
        true => format!("`{name}` looks like a secret"),
        false if has_password(value) => format!("`{name}` has a password in its URL"),
        false => return None,
    };
    Some(Diagnostic::warning(Code::K0316, span, message))
}

/// Whether a name is one that secrets have, such as `DB_PASSWORD`.
fn names_a_secret(name: &str) -> bool {
    const WORDS: [&str; 11] = [
        "PASSWORD",
        "PASSWD",
        "PASSPHRASE",
        "SECRET",
        "TOKEN",
        "APIKEY",
        "ACCESSKEY",
        "SECRETKEY",
        "PRIVATEKEY",
        "CREDENTIAL",
        "CREDENTIALS",
    ];
    let name = name.to_ascii_uppercase().replace('-', "_");
    let joined = name.replace('_', "");
    // `PWD` and `OLDPWD` are folders.
    let is_short = ["_PWD", "_PASS"].iter().any(|word| name.ends_with(word));
    is_short || WORDS.iter().any(|word| joined.ends_with(word))
}

/// Whether a text is a URL with a password, such as `postgres://user:password@host`.
fn has_password(text: &str) -> bool {
    let authority = text.split_once("://").map(|(_, rest)| rest);
    let authority = authority.and_then(|rest| rest.split(['/', '?', '#']).next());
    let user = authority.and_then(|authority| authority.rsplit_once('@'));
    let password = user.and_then(|(user, _)| user.split_once(':'));
    // What only stands for a password is none.
    password.is_some_and(|(_, password)| !password.is_empty() && !password.starts_with('$'))
}
