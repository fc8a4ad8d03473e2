//! K0316: a secret written in plain text.

use konductor_dsl::{Code, Diagnostic, ast};

use crate::pipeline::Text;

/// A variable whose name says that its value is a secret, or whose value is a URL with a password, with a value that
/// everybody can read.
pub(crate) fn check(key: &ast::Key, text: &Text) -> Option<Diagnostic> {
    let value = text.plain()?;
    let is_secret = names_a_secret(&key.text) && !value.is_empty() && !value.starts_with('/');
    if !is_secret && !has_password(value) {
        return None;
    }
    let message = match is_secret {
        true => format!("`{}` looks like a secret", key.text),
        false => format!("`{}` has a password in its URL", key.text),
    };
    Some(
        Diagnostic::warning(Code::K0316, text.span, message)
            .here("everybody who sees the Job can read it")
            .help(format!(
                "put it into a Secret and write `{} = secret(\"name\", \"key\")`",
                key.text
            )),
    )
}

/// A parameter whose name says that its value is a secret, with a default.
pub(crate) fn check_param(name: &ast::Name, default: Option<&ast::Value>) -> Option<Diagnostic> {
    let Some(ast::Value::String(text)) = default else {
        return None;
    };
    let value = text.plain()?;
    let is_secret = names_a_secret(&name.text) && !value.is_empty() && !value.starts_with('/');
    if !is_secret && !has_password(&value) {
        return None;
    }
    let variable = name.text.to_ascii_uppercase().replace('-', "_");
    let message = match is_secret {
        true => format!("`{}` looks like a secret", name.text),
        false => format!("`{}` has a password in its URL", name.text),
    };
    Some(
        Diagnostic::warning(Code::K0316, text.span, message)
            .here("everybody who sees the file or the Job can read it")
            .help(format!(
                "put it into a Secret and write `env {{ {variable} = secret(\"name\", \"key\") }}` in the stage"
            )),
    )
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
