//! What a Job holds while it runs, as its annotation writes it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::{HOLDERS_MAX, HOLDS_MAX};
use crate::object_name::is_object_name;

/// The two kinds of ledger.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum LedgerKind {
    /// A [`crate::Lease`]: one holder.
    Lease,
    /// A [`crate::Semaphore`]: as many permits as it says.
    Semaphore,
}

impl LedgerKind {
    /// The word that annotations and commands use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Semaphore => "semaphore",
        }
    }

    /// The kind of the object, as the API writes it.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Lease => "Lease",
            Self::Semaphore => "Semaphore",
        }
    }
}

impl fmt::Display for LedgerKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

/// One entry of the annotation [`crate::annotation::HOLD`].
///
/// The derived order (kind, name) is the order in which holds are taken: one order for all is what
/// rules out a deadlock.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hold {
    /// Which kind of ledger.
    pub kind: LedgerKind,
    /// The ledger's name, in the Job's namespace.
    pub name: String,
    /// How many permits; 1 for a Lease.
    pub permits: u32,
}

/// An annotation that can't be read as holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldError {
    /// An entry is neither `semaphore/NAME`, `semaphore/NAME=N` nor `lease/NAME`.
    #[error("{entry:?} is not a hold: write semaphore/NAME, semaphore/NAME=PERMITS or lease/NAME")]
    Entry {
        /// The entry as it was written.
        entry: String,
    },
    /// One ledger is named twice.
    #[error("{hold} is listed twice: ask for it once, with the sum of permits")]
    Twice {
        /// `kind/name`.
        hold: String,
    },
    /// More entries than [`HOLDS_MAX`].
    #[error("{count} holds are too many: at most {HOLDS_MAX} are taken by one Job")]
    TooMany {
        /// How many there are.
        count: usize,
    },
}

/// Reads the annotation `konductor.io/hold`; the result is in the order of taking.
///
/// # Errors
/// If an entry is malformed or repeated, or there are too many.
pub fn parse_holds(text: &str) -> Result<Vec<Hold>, HoldError> {
    let entries: Vec<&str> = text
        .split(',')
        .map(str::trim)
        .filter(|e| !e.is_empty())
        .collect();
    if entries.len() > HOLDS_MAX {
        return Err(HoldError::TooMany {
            count: entries.len(),
        });
    }
    let mut holds: Vec<Hold> = entries
        .into_iter()
        .map(parse_hold)
        .collect::<Result<_, _>>()?;
    holds.sort();
    match holds
        .windows(2)
        .find(|pair| pair[0].kind == pair[1].kind && pair[0].name == pair[1].name)
    {
        Some(pair) => Err(HoldError::Twice {
            hold: format!("{}/{}", pair[0].kind, pair[0].name),
        }),
        None => Ok(holds),
    }
}

fn parse_hold(entry: &str) -> Result<Hold, HoldError> {
    let error = || HoldError::Entry {
        entry: entry.to_owned(),
    };
    let (kind, rest) = entry.split_once('/').ok_or_else(error)?;
    let (name, permits) = match rest.split_once('=') {
        None => (rest.trim(), 1),
        Some((name, permits)) => (
            name.trim(),
            permits.trim().parse::<u32>().map_err(|_| error())?,
        ),
    };
    let kind = match kind.trim() {
        "semaphore" => LedgerKind::Semaphore,
        "lease" if permits == 1 => LedgerKind::Lease,
        _ => return Err(error()),
    };
    let in_range = permits >= 1 && permits as usize <= HOLDERS_MAX * HOLDERS_MAX;
    if !in_range || !is_object_name(name) {
        return Err(error());
    }
    Ok(Hold {
        kind,
        name: name.to_owned(),
        permits,
    })
}

/// Writes holds as the annotation has them: `lease/schema, semaphore/batch=2`.
pub fn format_holds(holds: &[Hold]) -> String {
    holds
        .iter()
        .map(Hold::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

impl fmt::Display for Hold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.kind, self.name)?;
        if self.permits != 1 {
            write!(formatter, "={}", self.permits)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_are_read_in_the_order_of_taking() {
        let holds = parse_holds("semaphore/batch=2, lease/schema,semaphore/a").unwrap();
        assert_eq!(
            format_holds(&holds),
            "lease/schema, semaphore/a, semaphore/batch=2"
        );
    }

    #[test]
    fn malformed_holds_are_refused_with_what_to_write() {
        for text in [
            "batch",
            "semaphore/",
            "semaphore/batch=0",
            "semaphore/batch=-1",
            "lease/schema=2",
            "gate/x",
            "semaphore/Batch",
            "semaphore/a/b",
            "lease/a, lease/a",
            "semaphore/a=4294967295",
        ] {
            assert!(parse_holds(text).is_err(), "{text:?}");
        }
        assert_eq!(parse_holds(" , ").unwrap(), []);
    }
}
