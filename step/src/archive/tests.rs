#![cfg(unix)]

use std::os::unix::fs::symlink;

use super::*;

fn packed(folder: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    pack(folder, &mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Paths below a folder with their mode, and content or target.
fn tree(folder: &Path) -> Vec<String> {
    let all = walk(folder).unwrap().into_iter().map(|entry| {
        let place = folder.join(&entry.path);
        let shown = entry.path.display();
        let mode = mode(&entry.metadata);
        match entry.metadata.file_type() {
            kind if kind.is_dir() => format!("{shown}/ {mode:o}"),
            kind if kind.is_symlink() => {
                format!("{shown} -> {}", fs::read_link(place).unwrap().display())
            }
            _ => format!(
                "{shown} {mode:o} {}",
                fs::read(place).unwrap().escape_ascii()
            ),
        }
    });
    all.collect()
}

#[test]
fn a_folder_comes_back_with_its_modes_and_links_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let from = root.path().join("from");
    let long = "n".repeat(150);
    fs::create_dir_all(from.join("sub/empty")).unwrap();
    fs::write(from.join("plain"), "1\n").unwrap();
    fs::write(from.join("sub/run.sh"), "#!/bin/sh\n").unwrap();
    fs::write(from.join(&long), "long").unwrap();
    fs::write(from.join("日本"), [0xff, 0]).unwrap();
    set_mode(&from.join("plain"), 0o640).unwrap();
    set_mode(&from.join("sub/run.sh"), 0o4755).unwrap();
    set_mode(&from.join("日本"), 0o444).unwrap();
    symlink("../plain", from.join("sub/up")).unwrap();
    symlink("sub", from.join("into")).unwrap();
    symlink("gone", from.join("dangling")).unwrap();
    symlink(&long, from.join("far")).unwrap();
    set_mode(&from.join("sub"), 0o555).unwrap();
    let bytes = packed(&from).unwrap();
    let to = root.path().join("to");
    unpack(bytes.as_slice(), &to).unwrap();
    let expected = [
        "dangling -> gone".to_owned(),
        format!("far -> {long}"),
        "into -> sub".to_owned(),
        format!("{long} 644 long"),
        "plain 640 1\\n".to_owned(),
        "sub/ 555".to_owned(),
        "sub/empty/ 755".to_owned(),
        "sub/run.sh 755 #!/bin/sh\\n".to_owned(),
        "sub/up -> ../plain".to_owned(),
        "日本 444 \\xff\\x00".to_owned(),
    ];
    assert_eq!(tree(&to), expected);
    // The same content has the same bytes.
    assert!(packed(&to).unwrap() == bytes);
    for folder in [&from, &to] {
        set_mode(&folder.join("sub"), 0o755).unwrap();
    }
}

#[test]
fn links_stay_inside_or_are_refused() {
    let table = [
        ("a", "b", true),
        ("a", "./b/c", true),
        ("s/a", "../b", true),
        ("s/t/a", "../../b", true),
        ("a", "../b", false),
        ("s/a", "../../b", false),
        ("a", "/etc/passwd", false),
        // What `d` is may be a link, and then this leads elsewhere than it looks.
        ("a", "d/..", false),
        ("s/a", "../d/../b", false),
        ("a", "", false),
        ("a", ".", true),
    ];
    for (path, target, expected) in table {
        let inside = stays_inside(Path::new(path), Path::new(target));
        assert_eq!(inside, expected, "{path} -> {target}");
    }
}

#[test]
fn what_cannot_be_handed_on_is_refused_when_it_is_packed() {
    let root = tempfile::tempdir().unwrap();
    symlink("/etc/passwd", root.path().join("out")).unwrap();
    let error = packed(root.path()).unwrap_err();
    assert!(
        error.starts_with("out is a link to /etc/passwd: only relative links"),
        "{error}"
    );
    fs::remove_file(root.path().join("out")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
    let error = packed(root.path()).unwrap_err();
    assert_eq!(
        error,
        "socket: a device, socket or pipe can't be stored in a `dir`"
    );
    drop(socket);
}

/// An archive with one entry after the other, of names that the crate would not write.
fn crafted(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, kind, content) in entries {
        let mut header = Header::new_gnu();
        let raw = header.as_gnu_mut().unwrap();
        raw.name[..name.len()].copy_from_slice(name.as_bytes());
        let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
        if is_link {
            raw.linkname[..content.len()].copy_from_slice(content.as_bytes());
        }
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(if is_link { 0 } else { content.len() as u64 });
        header.set_cksum();
        bytes.extend(header.as_bytes());
        if !is_link {
            bytes.extend(content.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

#[test]
fn an_archive_that_leads_out_of_its_folder_is_refused_when_it_is_unpacked() {
    use EntryType::{Block, Directory, Fifo, Link, Regular, Symlink};
    type Entry = (&'static str, EntryType, &'static str);
    let cases: [(&[Entry], &str); 10] = [
        (
            &[("/etc/x", Regular, "1")],
            "an entry \"/etc/x\", which would not be",
        ),
        (
            &[("../x", Regular, "1")],
            "an entry \"../x\", which would not be",
        ),
        (
            &[("a", Directory, ""), ("a/../../x", Regular, "1")],
            "an entry \"a/../../x\"",
        ),
        (&[("out", Symlink, "/tmp")], "out is a link to /tmp"),
        (&[("out", Symlink, "../..")], "out is a link to ../.."),
        (
            &[
                ("in", Directory, ""),
                ("l", Symlink, "in"),
                ("l/x", Regular, "1"),
            ],
            "an entry \"l/x\", which would not be",
        ),
        (
            &[("x", Regular, "1"), ("y", Link, "x")],
            "y: neither a file",
        ),
        (&[("dev", Block, "")], "dev: neither a file"),
        (&[("pipe", Fifo, "")], "pipe: neither a file"),
        (
            &[("x", Regular, "1"), ("x", Regular, "2")],
            "x: File exists",
        ),
    ];
    for (entries, expected) in cases {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("folder");
        let error = unpack(crafted(entries).as_slice(), &folder)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}, not {expected}");
        let beside = fs::read_dir(root.path()).unwrap().count();
        assert_eq!(beside, 1, "{entries:?}");
    }
}

#[test]
fn names_of_an_archive_have_a_length() {
    use EntryType::{GNULongLink, GNULongName, Regular, Symlink, XGlobalHeader, XHeader};
    type Entry<'a> = (&'static str, EntryType, &'a str);
    let huge = "n".repeat(70_000);
    let cases: [(&[Entry<'_>], &str); 6] = [
        (
            &[("l", GNULongName, &huge), ("x", Regular, "1")],
            "a name of more than 65536 bytes",
        ),
        (
            &[("l", GNULongLink, &huge), ("x", Symlink, "y")],
            "a name of more than 65536 bytes",
        ),
        (
            &[("l", GNULongName, "a"), ("l", GNULongName, "b")],
            "a: neither a file",
        ),
        (
            &[("l", GNULongLink, "../y"), ("x", Symlink, "y")],
            "x is a link to ../y",
        ),
        (&[("p", XHeader, "6 a=b\n")], "p: neither a file"),
        (&[("p", XGlobalHeader, "6 a=b\n")], "p: neither a file"),
    ];
    for (entries, expected) in cases {
        let root = tempfile::tempdir().unwrap();
        let error = unpack(crafted(entries).as_slice(), &root.path().join("folder"));
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}, not {expected}");
    }
}

#[test]
fn an_archive_that_ends_early_is_broken() {
    let root = tempfile::tempdir().unwrap();
    let from = root.path().join("from");
    fs::create_dir(&from).unwrap();
    fs::write(from.join("x"), vec![b'x'; 2_000]).unwrap();
    let bytes = packed(&from).unwrap();
    let error = unpack(&bytes[..1_000], &root.path().join("to")).unwrap_err();
    assert!(
        error.to_string().starts_with("the archive can't be read"),
        "{error}"
    );
}

#[test]
fn the_size_of_an_archive_is_known_before() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("sub")).unwrap();
    fs::write(root.path().join("sub/x"), vec![b'x'; 2_000]).unwrap();
    let bytes = packed(root.path()).unwrap();
    assert_eq!(size(root.path()).unwrap(), bytes.len() as u64);
}
