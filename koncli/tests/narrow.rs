//! Reports on a terminal of 60 columns.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use support::{Dev, koncli};

const COLUMNS: u16 = 60;
const PIPELINE: &str = r#"pipeline sales-of-all-regions {
  approval sign-off {}
  stage publish after sign-off { image = "busybox:1.36" run = "true" }
}
"#;

/// Both sides of a terminal: what a program has written is read from the first.
fn terminal() -> (File, OwnedFd) {
    let own = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&own).unwrap();
    unlockpt(&own).unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: COLUMNS,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&own, size).unwrap();
    let name = ptsname(&own, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let side = rustix::fs::open(&*name, flags, Mode::empty()).unwrap();
    (File::from(own), side)
}

/// What a command writes to a terminal.
fn shown(dev: &Dev, arguments: &[&str]) -> String {
    let (mut terminal, side) = terminal();
    let mut command = koncli();
    command.args(arguments).env("KUBECONFIG", &dev.kubeconfig);
    command.stdout(side).output().unwrap();
    // The terminal ends when nobody has its other side any more.
    drop(command);
    let mut bytes = Vec::new();
    let _ = terminal.read_to_end(&mut bytes);
    String::from_utf8(bytes).unwrap().replace("\r\n", "\n")
}

#[test]
fn long_lines_of_why_and_doctor_end_at_blanks_on_a_terminal_and_are_whole_in_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let file = folder.path().join("p.kon");
    std::fs::write(&file, PIPELINE).unwrap();
    dev.printed(&["apply", &file.display().to_string()]);
    let why = ["why", "sales-of-all-regions", "publish"];
    let begun = Instant::now();
    while !dev.printed(&why).contains("gives an approval") {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::yield_now();
    }
    for arguments in [&why[..], &["doctor"]] {
        let piped = String::from_utf8(dev.koncli(arguments).stdout).unwrap();
        let width = |text: &str| text.lines().map(|line| line.chars().count()).max();
        assert!(width(&piped) > Some(usize::from(COLUMNS)), "{piped}");
        let shown = shown(&dev, arguments);
        assert!(width(&shown) <= Some(usize::from(COLUMNS)), "{shown}");
        // Ages differ.
        let words = |text: &str| -> Vec<String> {
            let words = text.split_whitespace();
            let is_age = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
            words
                .filter(|word| !is_age(word))
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(words(&shown), words(&piped), "no word is broken");
    }
    let approve = "`koncli approve sales-of-all-regions-sign-off`";
    assert!(shown(&dev, &why).contains(approve));
}
