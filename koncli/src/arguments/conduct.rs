//! What becomes of a command when its output can't be printed any more, or a signal ends it.

use super::{Barrier, Command, Gate, Lease, Semaphore};

/// What a command leaves behind when it ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// Nothing: it only prints, and ends without a word when nobody reads it, as `cat` does.
    Prints,
    /// A change, or an exit code that somebody asks for: it continues when nobody reads it, and a signal ends it at
    /// once.
    Acts,
    /// The same, and what it has started: it ends that before it ends by a signal.
    Owns,
}

impl Command {
    pub(crate) fn conduct(&self) -> Conduct {
        match self {
            Self::Run { .. }
            | Self::Dev { .. }
            | Self::Ui { .. }
            | Self::Operator(_)
            | Self::Warden
            | Self::Step { .. }
            | Self::Semaphore(Semaphore::Hold { .. })
            | Self::Lease(Lease::Hold { .. }) => Conduct::Owns,
            Self::Check { .. }
            | Self::Fmt { .. }
            | Self::Lsp
            | Self::Init { .. }
            | Self::Apply { .. }
            | Self::Diff(_)
            | Self::Cancel { .. }
            | Self::Pause { .. }
            | Self::Resume { .. }
            | Self::Retry { .. }
            | Self::Delete { .. }
            | Self::Approve { .. }
            | Self::Doctor
            | Self::Wait { .. }
            | Self::Uninstall { .. } => Conduct::Acts,
            Self::Graph(_)
            | Self::Compile { .. }
            | Self::Status { .. }
            | Self::Runs
            | Self::Why { .. }
            | Self::Timeline(_)
            | Self::Report { .. }
            | Self::Logs(_)
            | Self::Explain { .. }
            | Self::Crds
            | Self::Completion { .. }
            | Self::Complete { .. }
            | Self::Man
            | Self::Version => Conduct::Prints,
            Self::Install { dry_run, .. } => Conduct::acts(!dry_run),
            Self::Files(selection) => Conduct::acts(selection.get.is_some()),
            Self::Schedules(selection) => {
                Conduct::acts(selection.suspend || selection.resume || selection.start)
            }
            Self::Barrier(Barrier::List | Barrier::Get { .. })
            | Self::Gate(Gate::List | Gate::Get { .. })
            | Self::Semaphore(Semaphore::List | Semaphore::Get { .. })
            | Self::Lease(Lease::List | Lease::Get { .. }) => Conduct::Prints,
            Self::Barrier(
                Barrier::Create { .. }
                | Barrier::Wait { .. }
                | Barrier::Arrive { .. }
                | Barrier::Delete { .. },
            )
            | Self::Gate(
                Gate::Create { .. }
                | Gate::Wait { .. }
                | Gate::Open { .. }
                | Gate::Fail { .. }
                | Gate::Delete { .. },
            )
            | Self::Semaphore(
                Semaphore::Create { .. }
                | Semaphore::Acquire { .. }
                | Semaphore::Release { .. }
                | Semaphore::Delete { .. },
            )
            | Self::Lease(
                Lease::Create { .. }
                | Lease::Acquire { .. }
                | Lease::Renew { .. }
                | Lease::Release { .. }
                | Lease::Delete { .. },
            ) => Conduct::Acts,
        }
    }
}

impl Conduct {
    /// Of a command whose options say whether it changes something.
    fn acts(acts: bool) -> Self {
        match acts {
            true => Self::Acts,
            false => Self::Prints,
        }
    }
}
