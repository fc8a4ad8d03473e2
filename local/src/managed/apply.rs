//! Who owns what after a write, and server-side apply.

use serde_json::Value;

use super::compare::{compare, field_set, remove};
use super::merge;
use super::set::FieldSet;
use super::{ANCIENT, Managed, Manager, UPDATERS_MAX};
use crate::schema::Schema;
use crate::status::{Cause, Details, Reason, Status};

/// Who writes, what, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writer<'a> {
    pub(crate) name: &'a str,
    pub(crate) api_version: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) time: &'a str,
    pub(crate) schema: &'a Schema,
    /// Fields of the object that this write can't set.
    pub(crate) reset: &'a [&'a str],
}

impl Writer<'_> {
    fn manager(&self, applied: bool, set: &FieldSet) -> Manager {
        Manager {
            name: if self.name.is_empty() {
                "unknown"
            } else {
                self.name
            }
            .to_owned(),
            applied,
            subresource: self.subresource.to_owned(),
            api_version: self.api_version.to_owned(),
            time: self.time.to_owned(),
            fields: set.to_string(),
        }
    }
}

/// Who owns what after an object was created, replaced or patched: the writer owns what changed.
pub(crate) fn updated(
    before: &Value,
    after: &Value,
    managed: &Managed,
    writer: Writer<'_>,
) -> Managed {
    let change = compare(before, after, writer.schema).without(writer.reset);
    let taken = change.modified.union(&change.added);
    let mut managers: Vec<Manager> = Vec::new();
    let mut own = FieldSet::default();
    let me = writer.manager(false, &own);
    for manager in managed.managers() {
        let set = manager.set();
        let left = set.difference(&taken).difference(&change.removed);
        if manager.is(&me) {
            own = left;
        } else if !left.is_empty() {
            managers.push(Manager {
                fields: left.to_string(),
                ..manager.clone()
            });
        }
    }
    let took = taken.without_system_fields();
    let time = managed.managers().iter().find(|manager| manager.is(&me));
    let time = match time {
        Some(manager) if took.is_empty() => manager.time.clone(),
        _ => writer.time.to_owned(),
    };
    let own = own.union(&took);
    if !own.is_empty() {
        managers.push(Manager {
            time,
            ..writer.manager(false, &own)
        });
    }
    Managed::new(cap(managers))
}

/// Merges the oldest updaters into one where there are too many.
fn cap(mut managers: Vec<Manager>) -> Vec<Manager> {
    let updaters = |managers: &[Manager]| managers.iter().filter(|m| !m.applied).count();
    if updaters(&managers) <= UPDATERS_MAX {
        return managers;
    }
    managers.sort_by(|a, b| (a.applied, &a.time, &a.name).cmp(&(b.applied, &b.time, &b.name)));
    while updaters(&managers) > UPDATERS_MAX {
        let oldest = managers.remove(0);
        let same =
            |manager: &&mut Manager| !manager.applied && manager.api_version == oldest.api_version;
        let Some(next) = managers.iter_mut().find(same) else {
            managers.push(oldest);
            break;
        };
        next.fields = next.set().union(&oldest.set()).to_string();
        next.name = ANCIENT.to_owned();
        next.subresource = String::new();
    }
    managers
}

/// An apply that went well.
#[derive(Clone, Debug)]
pub(crate) struct Applied {
    pub(crate) value: Value,
    pub(crate) managed: Managed,
}

/// Merges what is applied into an object: fields that the writer applied before and does not now
/// are removed, unless someone else owns them; fields that others own conflict, unless forced.
///
/// # Errors
/// If the applied object does not fit the schema, or conflicts with other managers.
pub(crate) fn apply(
    live: &Value,
    applied: &Value,
    managed: &Managed,
    writer: Writer<'_>,
    force: bool,
) -> Result<Applied, Conflict> {
    let schema = writer.schema;
    let mut mistakes = Vec::new();
    merge::check(applied, schema, "", &mut mistakes);
    if !mistakes.is_empty() {
        return Err(Conflict::Malformed(mistakes));
    }
    let set = field_set(applied, schema).without(writer.reset);
    let me = writer.manager(true, &set);
    let last = managed.managers().iter().find(|manager| manager.is(&me));
    let last_set = last.map(Manager::set).unwrap_or_default();
    let others: Vec<&Manager> = managed
        .managers()
        .iter()
        .filter(|manager| !manager.is(&me))
        .collect();
    let merged = merge::merge(live, applied, schema);
    let owned = others
        .iter()
        .fold(set.clone(), |owned, other| owned.union(&other.set()));
    let value = prune(&merged, &last_set, &owned, schema);
    let change = compare(live, &value, schema).without(writer.reset);
    let taken = change.modified.union(&change.added);
    let mut conflicts: Vec<(Manager, FieldSet)> = Vec::new();
    let mut managers = Vec::new();
    for other in others {
        let theirs = other.set();
        let conflict = theirs.intersection(&taken);
        let left = theirs.difference(&conflict).difference(&change.removed);
        if !conflict.is_empty() {
            conflicts.push((other.clone(), conflict));
        }
        if !left.is_empty() {
            managers.push(Manager {
                fields: left.to_string(),
                ..other.clone()
            });
        }
    }
    if !force && !conflicts.is_empty() {
        return Err(Conflict::Owned(conflicts));
    }
    let mut mine = writer.manager(true, &set.without_system_fields());
    if let Some(last) = last
        && last.fields == mine.fields
        && value == *live
    {
        mine.time.clone_from(&last.time);
    }
    if !mine.set().is_empty() {
        managers.push(mine);
    }
    Ok(Applied {
        value,
        managed: Managed::new(managers),
    })
}

/// Removes what was applied last time and is not any more, unless someone owns it.
fn prune(merged: &Value, last: &FieldSet, owned: &FieldSet, schema: &Schema) -> Value {
    if last.is_empty() {
        return merged.clone();
    }
    let named = |set: &FieldSet| set.with_named_fields(schema);
    let without = |gone: &FieldSet| remove(merged, schema, gone).unwrap_or(Value::Null);
    let all = named(&field_set(merged, schema));
    let pruned = named(&field_set(&without(&named(last)), schema));
    // What others own comes back, and so does what it is in.
    let kept = pruned.union(&named(owned));
    let pruned = without(&all.difference(&kept));
    // And what was never this writer's.
    let pruned = named(&field_set(&pruned, schema));
    without(&all.difference(&pruned).intersection(&named(last)))
}

/// Why nothing was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// The applied object does not fit the schema.
    Malformed(Vec<String>),
    /// Others own these fields.
    Owned(Vec<(Manager, FieldSet)>),
}

/// The answer to an apply that conflicts with other managers.
pub(crate) fn conflict_status(conflicts: &[(Manager, FieldSet)]) -> Status {
    let mut causes = Vec::new();
    let mut lines = Vec::new();
    let mut sorted: Vec<_> = conflicts.iter().collect();
    sorted.sort_by_key(|(manager, _)| described(manager));
    for (manager, set) in sorted {
        let manager = described(manager);
        let paths = set.paths();
        lines.push(format!("conflicts with {manager}:"));
        lines.extend(paths.iter().map(|path| format!("- {path}")));
        causes.extend(paths.into_iter().map(|path| Cause {
            reason: "FieldManagerConflict",
            message: format!("conflict with {manager}"),
            field: Some(path),
        }));
    }
    let message = match causes.as_slice() {
        [only] => format!(
            "Apply failed with 1 conflict: {}: {}",
            only.message,
            only.field.as_deref().unwrap_or_default()
        ),
        all => format!(
            "Apply failed with {} conflicts: {}",
            all.len(),
            lines.join("\n")
        ),
    };
    let mut status = Status::new(Reason::Conflict, message);
    status.details = Some(Box::new(Details {
        causes,
        ..Details::default()
    }));
    status
}

fn described(manager: &Manager) -> String {
    let mut text = crate::field::quote(&manager.name);
    if !manager.subresource.is_empty() {
        let subresource = crate::field::quote(&manager.subresource);
        text = format!("{text} with subresource {subresource}");
    }
    if !manager.applied {
        text = format!("{text} using {}", manager.api_version);
    }
    text
}
