//! What can be said about one primitive.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{duration, ttl};

#[derive(Debug, Subcommand)]
pub(crate) enum Barrier {
    /// Create a barrier
    ///
    /// A barrier that counts Jobs by their labels (`spec.jobs`), or that waits for a gate, needs YAML and `kubectl apply`:
    /// see `koncli explain barrier`.
    Create {
        /// The barrier's name
        name: String,
        /// How many parties must arrive
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        expected: u32,
        /// How many of them must succeed; all by default
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        quorum: Option<u32>,
        /// Fail if it has not opened after this long
        #[arg(long, value_name = "TIME")]
        timeout: Option<konductor_api::Duration>,
    },
    /// List barriers
    List,
    /// Show a barrier
    Get {
        /// The barrier's name
        name: String,
    },
    /// Wait until a barrier is open
    Wait {
        /// The barrier's name
        name: String,
        #[command(flatten)]
        patience: Patience,
    },
    /// Arrive at a barrier
    Arrive {
        /// The barrier's name
        name: String,
        #[command(flatten)]
        party: Party,
        /// The outcome of this party
        #[arg(long, value_enum, default_value_t = Outcome::Succeeded)]
        outcome: Outcome,
        /// How long to retry while the API server is down
        #[arg(long, value_parser = duration, env = "KONCLI_TIMEOUT", value_name = "TIME", default_value = "30s")]
        timeout: Duration,
    },
    /// Delete a barrier
    Delete {
        /// The barrier's name
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Gate {
    /// Create a gate
    ///
    /// Conditions with a selector, a pipeline, `within` or another namespace need YAML and `kubectl apply`: see `koncli
    /// explain gate`.
    Create {
        /// The gate's name
        name: String,
        /// A condition such as job/extract=Complete; without any, a person opens the gate. States: job: Complete, Failed,
        /// Skipped; barrier or gate: Open, Failed, Skipped; run: Succeeded, Failed, Settled; Finished is any end
        #[arg(long = "condition", value_name = "KIND/NAME=STATE")]
        conditions: Vec<String>,
        /// One condition is enough
        #[arg(long)]
        any: bool,
        /// Fail if it has not opened after this long
        #[arg(long, value_name = "TIME")]
        timeout: Option<konductor_api::Duration>,
    },
    /// List gates
    List,
    /// Show a gate
    Get {
        /// The gate's name
        name: String,
    },
    /// Wait until a gate is open
    Wait {
        /// The gate's name
        name: String,
        #[command(flatten)]
        patience: Patience,
    },
    /// Open a gate by hand
    Open {
        /// The gate's name
        name: String,
    },
    /// Fail a gate by hand
    Fail {
        /// The gate's name
        name: String,
    },
    /// Delete a gate
    Delete {
        /// The gate's name
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Semaphore {
    /// Create a semaphore
    Create {
        /// The semaphore's name
        name: String,
        /// How many permits the semaphore has
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
        permits: u32,
        /// Grant to the highest `--priority` of `acquire` and `hold` instead of first come, first served; Jobs have 0
        #[arg(long)]
        by_priority: bool,
    },
    /// List semaphores
    List,
    /// Show a semaphore
    Get {
        /// The semaphore's name
        name: String,
    },
    /// Acquire permits, and keep them after koncli exits
    ///
    /// Without --ttl the grant lasts for an hour, unless it is released.
    Acquire {
        /// The semaphore's name
        name: String,
        #[command(flatten)]
        acquire: Acquisition,
        /// How many permits
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        permits: u32,
        /// The highest goes first, if the semaphore orders by priority
        #[arg(
            long,
            default_value_t = 0,
            allow_hyphen_values = true,
            value_name = "N"
        )]
        priority: i32,
    },
    /// Release held permits
    ///
    /// Releases every grant of this holder's name, whichever process acquired it.
    Release {
        /// The semaphore's name
        name: String,
        #[command(flatten)]
        holder: Holder,
    },
    /// Run a command while holding permits
    Hold {
        /// The semaphore's name
        name: String,
        #[command(flatten)]
        acquire: Acquisition,
        /// How many permits
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        permits: u32,
        /// The highest goes first, if the semaphore orders by priority
        #[arg(
            long,
            default_value_t = 0,
            allow_hyphen_values = true,
            value_name = "N"
        )]
        priority: i32,
        /// The command to run
        #[arg(last = true, required = true, value_name = "CMD")]
        command: Vec<String>,
    },
    /// Delete a semaphore
    Delete {
        /// The semaphore's name
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Lease {
    /// Create a lease
    Create {
        /// The lease's name
        name: String,
        /// How long a grant lasts without renewal
        #[arg(long, default_value = "30s", value_parser = ttl, value_name = "TIME")]
        ttl: konductor_api::Duration,
    },
    /// List leases
    List,
    /// Show a lease
    Get {
        /// The lease's name
        name: String,
    },
    /// Acquire a lease and print its fencing token
    Acquire {
        /// The lease's name
        name: String,
        #[command(flatten)]
        acquire: Acquisition,
    },
    /// Renew a held lease
    Renew {
        /// The lease's name
        name: String,
        #[command(flatten)]
        holder: Holder,
    },
    /// Release a held lease
    ///
    /// The holder's name is enough: any process may release the lease.
    Release {
        /// The lease's name
        name: String,
        #[command(flatten)]
        holder: Holder,
    },
    /// Run a command while holding a lease
    Hold {
        /// The lease's name
        name: String,
        #[command(flatten)]
        acquire: Acquisition,
        /// The command to run
        #[arg(last = true, required = true, value_name = "CMD")]
        command: Vec<String>,
    },
    /// Delete a lease
    Delete {
        /// The lease's name
        name: String,
    },
}

/// The holder's name.
#[derive(Clone, Debug, Args)]
pub(crate) struct Holder {
    /// The holder's name; by default $POD_NAME, $HOSTNAME, or the host's name
    #[arg(long, env = "KONDUCTOR_HOLDER", value_name = "NAME")]
    pub(crate) holder: Option<String>,
}

/// The name of a party at a barrier.
#[derive(Clone, Debug, Args)]
pub(crate) struct Party {
    /// The party's name; by default $POD_NAME, $HOSTNAME, or the host's name
    #[arg(long, env = "KONDUCTOR_HOLDER", value_name = "NAME")]
    pub(crate) holder: Option<String>,
}

/// How to acquire.
#[derive(Clone, Debug, Args)]
pub(crate) struct Acquisition {
    #[command(flatten)]
    pub(crate) holder: Holder,
    /// How long the grant lasts if it is not renewed. For a semaphore 1h by default. For a lease at most the Lease's own TTL,
    /// which is also the default
    #[arg(long, value_parser = ttl, value_name = "TIME")]
    pub(crate) ttl: Option<konductor_api::Duration>,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

/// How long to wait.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Patience {
    /// How long to wait, such as 30m; no limit by default, 0 checks once
    #[arg(long, value_parser = duration, env = "KONCLI_TIMEOUT", value_name = "TIME")]
    pub(crate) timeout: Option<Duration>,
    /// Fail at once if it does not exist or no API server answers
    #[arg(long)]
    pub(crate) fail_if_missing: bool,
}

impl Patience {
    /// Applies this to a client's waits.
    pub(crate) fn client(self, client: konductor::Client) -> konductor::Client {
        match self.fail_if_missing {
            true => client.fail_if_missing().fail_if_unreachable(),
            false => client,
        }
    }
}

/// The outcome of the party that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Outcome {
    Succeeded,
    Failed,
    Skipped,
    Cancelled,
}
