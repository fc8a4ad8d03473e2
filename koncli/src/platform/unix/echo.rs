//! The `^C` that a terminal echoes. A live view leaves the cursor at the end of its last line, so the echo
//! would begin a line that nobody takes away again: while there is a view, nothing is echoed for control keys.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcgetpgrp, tcsetattr};

/// Whether the terminal's mode was changed and has to be changed back.
static IS_SILENCED: AtomicBool = AtomicBool::new(false);

/// Stops the echo of control keys until [`restore`].
pub(crate) fn silence() {
    let is_silenced = change(|modes| {
        let was_echoed = modes.contains(LocalModes::ECHOCTL);
        modes.remove(LocalModes::ECHOCTL);
        was_echoed
    });
    IS_SILENCED.fetch_or(is_silenced, Ordering::Relaxed);
}

/// Echoes control keys again, if [`silence`] has stopped it. Whatever ends this process calls it first.
pub(crate) fn restore() {
    if IS_SILENCED.swap(false, Ordering::Relaxed) {
        change(|modes| {
            modes.insert(LocalModes::ECHOCTL);
            true
        });
    }
}

/// Changes the modes of the terminal on stderr, if it has one; returns whether it did. A process in the
/// background must not: it would be stopped.
fn change(with: impl FnOnce(&mut LocalModes) -> bool) -> bool {
    let terminal = io::stderr();
    let Ok(mut modes) = tcgetattr(&terminal) else {
        return false;
    };
    let is_ours = tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp());
    is_ours
        && with(&mut modes.local_modes)
        && tcsetattr(&terminal, OptionalActions::Now, &modes).is_ok()
}
