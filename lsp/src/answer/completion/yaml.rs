//! Where a place is in YAML, by the indentation before it.
//!
//! What enters: YAML up to a place, whole or not. What leaves: the keys around the place. What must never
//! happen here: a need for the YAML to be right.

/// A line: where its key stands, and where its first dash, if it has one.
struct Line<'t> {
    column: usize,
    dash: Option<usize>,
    /// What is written at the column.
    text: &'t str,
}

fn line(text: &str) -> Option<Line<'_>> {
    let mut rest = text.trim_start_matches(' ');
    let mut dash = None;
    while let Some(item) = rest
        .strip_prefix('-')
        .filter(|item| item.is_empty() || item.starts_with(' '))
    {
        dash.get_or_insert(text.len() - rest.len());
        rest = item.trim_start_matches(' ');
    }
    (!rest.starts_with('#')).then_some(Line {
        column: text.len() - rest.len(),
        dash,
        text: rest,
    })
}

/// The keys around the key that is being written at the end of a text, the outermost first; `None` if no
/// key is being written there.
pub(crate) fn path(before: &str) -> Option<Vec<String>> {
    let mut lines = before.split('\n').rev();
    let current = line(lines.next()?)?;
    let is_key = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_key(current.text) {
        return None;
    }
    // What is around a place stands further left; what a dash belongs to may stand right above it.
    let mut limit = current.dash.map_or(current.column, |dash| dash + 1);
    let mut path = Vec::new();
    for above in lines.filter_map(line).filter(|line| !line.text.is_empty()) {
        if above.column < limit {
            let (key, value) = above.text.split_once(':')?;
            if !value.trim().is_empty() {
                return None;
            }
            path.insert(0, key.trim_matches('"').to_owned());
            limit = above.dash.map_or(above.column, |dash| dash + 1);
        } else if let Some(dash) = above.dash.filter(|_| above.column == limit) {
            limit = dash + 1;
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_around_a_place_are_found_by_indentation() {
        let table: [(&str, Option<&[&str]>); 12] = [
            ("|", Some(&[])),
            ("  host|", Some(&[])),
            ("  securityContext:\n    |", Some(&["securityContext"])),
            ("  securityContext:\n    runAsUser: 1\n  |", Some(&[])),
            ("  containers:\n    - |", Some(&["containers"])),
            ("  containers:\n  - |", Some(&["containers"])),
            (
                "  containers:\n  - name: main\n    |",
                Some(&["containers"]),
            ),
            (
                "  containers:\n    - name: main\n      resources:\n        lim|",
                Some(&["containers", "resources"]),
            ),
            (
                "  containers:\n    - name: main\n      env:\n      - name: A\n        value: b\n      |",
                Some(&["containers"]),
            ),
            (
                "spec:\n  # a comment\n\n  template:\n    spec:\n      |",
                Some(&["spec", "template", "spec"]),
            ),
            ("  hostNetwork: |", None),
            ("  a: b\n    |", None),
        ];
        for (text, expected) in table {
            let (before, _) = text.split_once('|').expect("a place");
            let expected = expected.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect());
            assert_eq!(path(before), expected, "{text}");
        }
    }
}
