//! URIs of files. Others, such as `untitled:1`, stand for themselves.

use std::path::{Path, PathBuf};

use gen_lsp_types::Uri;
use konductor_dsl::source_name;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

const FILE: &str = "file://";
/// The characters of a path that a URI has as `%20` and the like.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// The file of a URI; a document that is no file is called by its URI.
pub(crate) fn path(uri: &Uri) -> PathBuf {
    let Some(rest) = uri.0.strip_prefix(FILE) else {
        return PathBuf::from(&uri.0);
    };
    // A host before the path can only be this machine.
    let path = rest.find('/').and_then(|start| rest.get(start..));
    let path = percent_decode_str(path.unwrap_or(rest));
    PathBuf::from(without_root(&path.decode_utf8_lossy(), cfg!(windows)))
}

/// A path without the slash that a URI has before a drive of Windows.
fn without_root(path: &str, has_drives: bool) -> &str {
    let inside = path.strip_prefix('/').filter(|_| has_drives);
    let inside = inside.filter(|inside| begins_with_drive(inside));
    inside.unwrap_or(path)
}

/// Whether a path begins as in `c:/`.
fn begins_with_drive(path: &str) -> bool {
    let mut chars = path.chars();
    let is_letter = chars.next().is_some_and(|c| c.is_ascii_alphabetic());
    is_letter && chars.as_str().starts_with(":/")
}

/// The URI of a file.
pub(crate) fn of(path: &Path) -> Uri {
    let text = source_name(path);
    let root = match text.starts_with('/') {
        true => "",
        false if begins_with_drive(&text) => "/",
        false => return Uri(text),
    };
    Uri(format!(
        "{FILE}{root}{}",
        utf8_percent_encode(&text, ENCODED)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_of_windows_has_no_slash_before_it_and_its_uri_has() {
        let table = [
            ("/c:/a/b.kon", true, "c:/a/b.kon"),
            ("/c:/a/b.kon", false, "/c:/a/b.kon"),
            ("/c/a/b.kon", true, "/c/a/b.kon"),
            ("//c:/a", true, "//c:/a"),
            ("", true, ""),
        ];
        for (path, has_drives, expected) in table {
            assert_eq!(without_root(path, has_drives), expected);
        }
        assert_eq!(of(Path::new("c:/a/b c.kon")).0, "file:///c%3A/a/b%20c.kon");
    }

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
