//! Mount paths without mounts: a process sees the folder itself instead of a path in a container.
//!
//! A process can't have `/data` of its own. So each mount path of a container stands for a folder,
//! and wherever the pod hands that path over as a value (an environment value, an argument, the
//! working directory), the process gets the folder. Text inside a script is not touched:
//! a script takes the path from a variable.

use std::path::{Component, Path, PathBuf};

/// The mount paths of one container and what they stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mounts {
    /// Absolute paths without a trailing slash, the longest first.
    entries: Vec<(String, PathBuf)>,
}

impl Mounts {
    /// Lets `path`, as seen in the container, stand for `target` on this machine.
    pub(super) fn add(&mut self, path: &str, target: PathBuf) {
        let path = path.trim_end_matches('/');
        // A mount over `/` would stand for every path there is.
        if path.starts_with('/') {
            self.entries.push((path.into(), target));
            self.entries
                .sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        }
    }

    /// Each path as seen in the container, with what it stands for; the longest first.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &Path)> {
        let entries = self.entries.iter();
        entries.map(|(path, target)| (path.as_str(), target.as_path()))
    }

    /// `value` with a mount path at its beginning replaced; so is one after `--option=`.
    ///
    /// Must see each text once, before `$(VAR)` is expanded: a folder may itself lie below a
    /// mount path.
    pub(super) fn rewrite(&self, value: &str) -> String {
        if let Some(path) = self.resolve(value) {
            return path.to_string_lossy().into_owned();
        }
        let option = value
            .split_once('=')
            .filter(|(option, _)| option.starts_with('-'));
        if let Some((option, path)) = option.and_then(|(o, rest)| Some((o, self.resolve(rest)?))) {
            return format!("{option}={}", path.display());
        }
        value.into()
    }

    /// What `path` stands for, if it is a mount path or lies below one.
    pub(super) fn resolve(&self, path: &str) -> Option<PathBuf> {
        self.entries.iter().find_map(|(mount, target)| {
            let below = path.strip_prefix(mount.as_str())?;
            match below.strip_prefix('/') {
                // As text: what follows is not necessarily a path (`/data/$(NAME)`, `/data/*`).
                Some(rest) => Some(PathBuf::from(format!("{}/{rest}", target.display()))),
                None => below.is_empty().then(|| target.clone()),
            }
        })
    }
}

/// `KONDUCTOR_MOUNT_<NAME>`: the variable with the folder of volume `volume`.
pub(super) fn variable_of(volume: &str) -> String {
    let name = volume.to_ascii_uppercase();
    let name = name.replace(|character: char| !character.is_ascii_alphanumeric(), "_");
    format!("KONDUCTOR_MOUNT_{name}")
}

/// Whether `path` stays below the folder it is joined to.
pub(super) fn stays_inside(path: &str) -> bool {
    let mut components = Path::new(path).components();
    components.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_path_at_the_beginning_of_a_value_becomes_its_folder() {
        let mut mounts = Mounts::default();
        mounts.add("/data/", "/real/d".into());
        mounts.add("/data/deep", "/real/e".into());
        mounts.add("/dev/termination-log", "/real/message".into());
        mounts.add("/", "/real/root".into());
        let cases = [
            ("/data", "/real/d"),
            ("/data/", "/real/d/"),
            ("/data/x/y", "/real/d/x/y"),
            ("/data/$(NAME)", "/real/d/$(NAME)"),
            ("/data/deep/z", "/real/e/z"),
            ("/database", "/database"),
            ("--out=/data/x", "--out=/real/d/x"),
            ("name=/data/x", "name=/data/x"),
            ("cat /data/x", "cat /data/x"),
            ("/dev/termination-log", "/real/message"),
            ("/etc/passwd", "/etc/passwd"),
            ("", ""),
        ];
        for (value, expected) in cases {
            assert_eq!(mounts.rewrite(value), expected, "{value}");
        }
    }

    #[test]
    fn a_volume_has_a_variable() {
        assert_eq!(variable_of("raw-data.v1"), "KONDUCTOR_MOUNT_RAW_DATA_V1");
    }

    #[test]
    fn paths_that_lead_out_are_found() {
        let cases = [
            ("a/b", true),
            ("./a", true),
            ("", true),
            ("..", false),
            ("a/../b", false),
            ("/a", false),
        ];
        for (path, inside) in cases {
            assert_eq!(stays_inside(path), inside, "{path}");
        }
    }
}
