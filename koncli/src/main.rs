//! The command line of konductor: compiler, client, operator, local cluster.
//!
//! What enters: arguments and files. What leaves: results on stdout, all else on stderr, an exit code. What
//! must never happen here: a rule of the language, or a decision that is the operator's.

mod apply;
mod arguments;
#[cfg(test)]
#[path = "../../tests/bless.rs"]
mod bless;
mod cluster;
mod command;
mod diagnostics;
mod exit;
mod folder;
mod graph;
mod journal;
mod load;
mod local;
mod manifests;
mod merged;
mod output;
mod platform;
mod progress;
mod read;
mod replace;
mod schedule;
mod suggestion;
mod timeline;
mod view;

use std::process::ExitCode;

use crate::arguments::Arguments;
use crate::exit::Failure;

fn main() -> ExitCode {
    let arguments = Arguments::read();
    let verbose = arguments.global.verbose;
    suggestion::remember(arguments.places(), arguments::takes);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::failed(format!("no threads could be started: {error}"));
            return output::report(&failure, verbose);
        }
    };
    let code = runtime.block_on(command::execute(arguments));
    // What is being released in the background has a moment to reach the API server.
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    match code {
        // A warning says what was not printed.
        Ok(()) if output::is_lost() => ExitCode::from(exit::FAILED),
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output::report(&failure, verbose),
    }
}
