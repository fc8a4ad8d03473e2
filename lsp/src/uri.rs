//! URIs of files. Others, such as `untitled:1`, stand for themselves.

use std::path::{Path, PathBuf};

use gen_lsp_types::Uri;
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
    PathBuf::from(&*path.decode_utf8_lossy())
}

/// The URI of a file.
pub(crate) fn of(path: &Path) -> Uri {
    let text = path.to_string_lossy();
    if !text.starts_with('/') {
        return Uri(text.into_owned());
    }
    Uri(format!("{FILE}{}", utf8_percent_encode(&text, ENCODED)))
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
