//! What can be said about one primitive.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{duration, ttl};

#[derive(Debug, Subcommand)]
pub(crate) enum Barrier {
    /// Create one
    Create {
        name: String,
        /// How many parties there are
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        expected: u32,
        /// How many of them must succeed; all by default
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        quorum: Option<u32>,
        /// Fail where it has not opened after this long
        #[arg(long, value_name = "TIME")]
        timeout: Option<konductor_api::Duration>,
    },
    /// List them
    List,
    /// Show one
    Get { name: String },
    /// Wait until it is open, or can't open any more
    Wait {
        name: String,
        #[command(flatten)]
        patience: Patience,
    },
    /// Arrive at it
    Arrive {
        name: String,
        #[command(flatten)]
        holder: Holder,
        /// How it went
        #[arg(long, value_enum, default_value_t = Outcome::Succeeded)]
        outcome: Outcome,
        /// How long to try while the API server is away
        #[arg(long, value_parser = duration, env = "KONCLI_TIMEOUT", value_name = "TIME", default_value = "30s")]
        timeout: Duration,
    },
    /// Delete it
    Delete { name: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Gate {
    /// Create one
    Create {
        name: String,
        /// A condition such as job/extract=Complete or barrier/workers=Open; none: a manual gate
        #[arg(long = "condition", value_name = "KIND/NAME=STATE")]
        conditions: Vec<String>,
        /// One condition is enough
        #[arg(long)]
        any: bool,
        /// Fail where it has not opened after this long
        #[arg(long, value_name = "TIME")]
        timeout: Option<konductor_api::Duration>,
    },
    /// List them
    List,
    /// Show one
    Get { name: String },
    /// Wait until it is open, or can't open any more
    Wait {
        name: String,
        #[command(flatten)]
        patience: Patience,
    },
    /// Open it by decision
    Open { name: String },
    /// Fail it by decision
    Fail { name: String },
    /// Delete it
    Delete { name: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Semaphore {
    /// Create one
    Create {
        name: String,
        /// How many permits there are
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
        permits: u32,
        /// Give the higher priority its turn first
        #[arg(long)]
        by_priority: bool,
    },
    /// List them
    List,
    /// Show one
    Get { name: String },
    /// Acquire permits and leave them held, for a script
    Acquire {
        name: String,
        #[command(flatten)]
        acquire: Acquisition,
        /// How many permits
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        permits: u32,
        /// The higher goes first, where the semaphore orders by priority
        #[arg(
            long,
            default_value_t = 0,
            allow_hyphen_values = true,
            value_name = "N"
        )]
        priority: i32,
    },
    /// Release what a holder has acquired
    Release {
        name: String,
        #[command(flatten)]
        holder: Holder,
    },
    /// Acquire, run a command, release
    Hold {
        name: String,
        #[command(flatten)]
        acquire: Acquisition,
        /// How many permits
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        permits: u32,
        /// The command
        #[arg(last = true, required = true, value_name = "CMD")]
        command: Vec<String>,
    },
    /// Delete it
    Delete { name: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Lease {
    /// Create one
    Create {
        name: String,
        /// How long a grant lasts without renewal
        #[arg(long, default_value = "30s", value_parser = ttl, value_name = "TIME")]
        ttl: konductor_api::Duration,
    },
    /// List them
    List,
    /// Show one
    Get { name: String },
    /// Acquire it and leave it held, for a script; prints the fencing token
    Acquire {
        name: String,
        #[command(flatten)]
        acquire: Acquisition,
    },
    /// Renew what a holder has acquired
    Renew {
        name: String,
        #[command(flatten)]
        holder: Holder,
    },
    /// Release what a holder has acquired
    Release {
        name: String,
        #[command(flatten)]
        holder: Holder,
    },
    /// Acquire it, run a command, release it; the command is stopped where the lease is lost
    Hold {
        name: String,
        #[command(flatten)]
        acquire: Acquisition,
        /// The command
        #[arg(last = true, required = true, value_name = "CMD")]
        command: Vec<String>,
    },
    /// Delete it
    Delete { name: String },
}

/// Who it is.
#[derive(Clone, Debug, Args)]
pub(crate) struct Holder {
    /// Who; by default $POD_NAME, $HOSTNAME, or the host's name
    #[arg(long, env = "KONDUCTOR_HOLDER", value_name = "NAME")]
    pub(crate) holder: Option<String>,
}

/// How something is acquired.
#[derive(Clone, Debug, Args)]
pub(crate) struct Acquisition {
    #[command(flatten)]
    pub(crate) holder: Holder,
    /// How long the grant lasts without renewal
    #[arg(long, value_parser = ttl, value_name = "TIME")]
    pub(crate) ttl: Option<konductor_api::Duration>,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

/// How long something is waited for, and what for.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Patience {
    /// How long to wait, such as 30m; for ever by default, 0 asks once
    #[arg(long, value_parser = duration, env = "KONCLI_TIMEOUT", value_name = "TIME")]
    pub(crate) timeout: Option<Duration>,
    /// Fail at once if it does not exist, or no API server answers
    #[arg(long)]
    pub(crate) fail_if_missing: bool,
}

impl Patience {
    /// Lets the waits of a client be as patient as that.
    pub(crate) fn client(self, client: konductor::Client) -> konductor::Client {
        match self.fail_if_missing {
            true => client.fail_if_missing().fail_if_unreachable(),
            false => client,
        }
    }
}

/// How it went for the party that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Outcome {
    Succeeded,
    Failed,
    Skipped,
    Cancelled,
}
