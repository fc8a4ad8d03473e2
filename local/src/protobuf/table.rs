//! How each message is written: `schemas/protobuf.txt`, which `schemas/protobuf` prints from the Go types.

use std::collections::HashMap;
use std::sync::LazyLock;

static SOURCE: &str = include_str!("../../schemas/protobuf.txt");

/// How a field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Always written; empty, it is left out of JSON.
    Value,
    /// Always written, and always in JSON.
    Required,
    /// Written if it is set.
    Pointer,
    List,
    Map,
    /// A message whose fields are its owner's in JSON.
    Inline,
}

/// What a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    String,
    Bytes,
    Bool,
    Integer,
    Double,
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    /// A message with JSON in it.
    Raw,
    /// A message that is a list of strings.
    Strings,
    Message(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) number: u64,
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) of: Type,
}

#[derive(Debug, Default)]
pub(super) struct Message {
    /// Whether its JSON is that of the one field that is set.
    pub(super) is_union: bool,
    pub(super) fields: Vec<Field>,
}

#[derive(Debug, Default)]
struct Table {
    kinds: HashMap<(&'static str, &'static str), &'static str>,
    messages: HashMap<&'static str, Message>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table::default();
    let mut current = "";
    for line in SOURCE.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["kind", version, kind, message] => {
                table.kinds.insert((version, kind), message);
            }
            [heading @ ("message" | "union"), name] => {
                current = name;
                let message = table.messages.entry(name).or_default();
                message.is_union = heading == "union";
            }
            [number, name, shape, of] => {
                let field = field(number, name, shape, of);
                let message = table.messages.entry(current).or_default();
                message.fields.extend(field);
            }
            _ => {}
        }
    }
    table
});

fn field(number: &str, name: &'static str, shape: &str, of: &'static str) -> Option<Field> {
    let shape = match shape {
        "value" => Shape::Value,
        "required" => Shape::Required,
        "pointer" => Shape::Pointer,
        "list" => Shape::List,
        "map" => Shape::Map,
        "inline" => Shape::Inline,
        _ => return None,
    };
    let of = match of {
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "bool" => Type::Bool,
        "integer" => Type::Integer,
        "double" => Type::Double,
        "time" => Type::Time,
        "microtime" => Type::MicroTime,
        "quantity" => Type::Quantity,
        "int-or-string" => Type::IntOrString,
        "raw" => Type::Raw,
        "strings" => Type::Strings,
        message => Type::Message(message),
    };
    Some(Field {
        number: number.parse().ok()?,
        name,
        shape,
        of,
    })
}

/// The message of a kind.
pub(super) fn kind(api_version: &str, kind: &str) -> Option<&'static Message> {
    // Each group has its own name for the same options.
    let api_version = match kind {
        "DeleteOptions" => "v1",
        _ => api_version,
    };
    let kinds = &TABLE.kinds;
    let entry = kinds
        .iter()
        .find(|((version, name), _)| *version == api_version && *name == kind);
    message(entry?.1)
}

/// A message by its name.
pub(super) fn message(name: &str) -> Option<&'static Message> {
    TABLE.messages.get(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_understood() {
        let lines = |count: fn(&str) -> bool| SOURCE.lines().filter(|line| count(line)).count();
        let fields = lines(|line| line.starts_with(|first: char| first.is_ascii_digit()));
        let read: usize = TABLE
            .messages
            .values()
            .map(|message| message.fields.len())
            .sum();
        assert_eq!(read, fields);
        assert_eq!(TABLE.kinds.len(), lines(|line| line.starts_with("kind ")));
        for message in TABLE.messages.values() {
            for field in &message.fields {
                if let Type::Message(name) = field.of {
                    assert!(TABLE.messages.contains_key(name), "{name}");
                }
            }
        }
    }
}
