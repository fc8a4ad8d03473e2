//! URIs of files. Others, such as `untitled:1`, stand for themselves.

use std::path::{Path, PathBuf};

use gen_lsp_types::Uri;

const FILE: &str = "file://";

/// The file of a URI; a document that is no file is called by its URI.
pub(crate) fn path(uri: &Uri) -> PathBuf {
    let Some(rest) = uri.0.strip_prefix(FILE) else {
        return PathBuf::from(&uri.0);
    };
    // A host before the path can only be this machine.
    let path = rest.find('/').and_then(|start| rest.get(start..));
    PathBuf::from(decoded(path.unwrap_or(rest)))
}

/// The URI of a file.
pub(crate) fn of(path: &Path) -> Uri {
    let text = path.to_string_lossy();
    if !text.starts_with('/') {
        return Uri(text.into_owned());
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let mut uri = FILE.to_owned();
    for byte in text.bytes() {
        match plain(byte) {
            true => uri.push(char::from(byte)),
            false => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    Uri(uri)
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind
            .get(..2)
            .and_then(|two| std::str::from_utf8(two).ok());
        let escaped = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        match escaped.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = rest.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_uris_and_back() {
        for (file, uri) in [
            ("/a/b.kon", "file:///a/b.kon"),
            ("/my flows/ü#%.kon", "file:///my%20flows/%C3%BC%23%25.kon"),
            ("untitled:Untitled-1", "untitled:Untitled-1"),
        ] {
            assert_eq!(of(Path::new(file)).0, uri);
            assert_eq!(path(&Uri(uri.to_owned())), Path::new(file));
        }
        let other = Uri("file://localhost/a%zz".to_owned());
        assert_eq!(path(&other), Path::new("/a%zz"));
    }
}
