//! Which cluster and namespace a command line names.

use clap::{CommandFactory, FromArgMatches};

use super::Arguments;
use crate::suggestion::{Place, quoted};

impl Arguments {
    /// What was typed of it. What the environment says need not be typed again.
    pub(crate) fn places(&self) -> Vec<Place> {
        let global = &self.global;
        let kubeconfig = global.kubeconfig.as_ref();
        let kubeconfig = kubeconfig.map(|path| path.display().to_string());
        let all = [
            ("namespace", "-n", global.namespace.clone()),
            ("context", "--context", global.context.clone()),
            ("kubeconfig", "--kubeconfig", kubeconfig),
        ];
        let typed = all.into_iter().filter_map(|(id, flag, value)| {
            let value = value.filter(|_| self.typed.has(id))?;
            let text = format!("{flag} {}", quoted(&value));
            Some(Place { id, text })
        });
        typed.collect()
    }
}

/// Whether a command of koncli takes a global option.
pub(crate) fn takes(words: &[&str], id: &str) -> bool {
    let matches = Arguments::command().try_get_matches_from(words).ok();
    let read = matches.and_then(|matches| Arguments::from_arg_matches(&matches).ok());
    read.is_some_and(|read| read.command.effect().has(id))
}
