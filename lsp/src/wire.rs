//! Messages as they are framed and read.
//!
//! What enters: bytes of the client. What leaves: messages, and for what is none, what to answer. What must
//! never happen here: an end of the session because of one message that can't be read, and an allocation
//! that only a header asks for.

use std::io::{self, BufRead, Read, Write};

use serde_json::{Value, json};

/// The longest line of a header.
const HEADER_MAX: u64 = 4 * 1024;
/// The largest message. The largest file has 20 MiB; as JSON, every byte of it may take two.
const MESSAGE_MAX: u64 = 64 * 1024 * 1024;

/// Codes of errors that the protocol defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    Parse = -32700,
    InvalidRequest = -32600,
    MethodNotFound = -32601,
    InvalidParams = -32602,
    Internal = -32603,
    NotInitialized = -32002,
    RequestFailed = -32803,
}

/// Why a message has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Error {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
}

impl Error {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// What a client sends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Message {
    Request {
        id: Value,
        method: String,
        params: Value,
    },
    Notification {
        method: String,
        params: Value,
    },
    /// To a request of the server.
    Response,
    /// Not a message: answered with an error, by its id if it has one.
    Malformed {
        id: Value,
        error: Error,
    },
}

/// Reads the next message; `None` at the end of the input.
///
/// # Errors
/// If the input can't be read, or where the next message begins is unknown.
pub(crate) fn read(input: &mut dyn BufRead) -> io::Result<Option<Message>> {
    let Some(length) = content_length(input)? else {
        return Ok(None);
    };
    if length > MESSAGE_MAX {
        let skipped = io::copy(&mut input.take(length), &mut io::sink())?;
        let problem = format!("a message of {length} bytes is too large");
        let error = Error::new(ErrorCode::InvalidRequest, problem);
        let id = Value::Null;
        return Ok((skipped == length).then_some(Message::Malformed { id, error }));
    }
    let mut body = Vec::new();
    let read = input.take(length).read_to_end(&mut body)?;
    if (read as u64) < length {
        return Ok(None);
    }
    Ok(Some(message(&body)))
}

/// The length that a header announces; `None` at the end of the input.
fn content_length(input: &mut dyn BufRead) -> io::Result<Option<u64>> {
    let malformed = |problem: &str| io::Error::new(io::ErrorKind::InvalidData, problem);
    let mut length = None;
    loop {
        let mut line = Vec::new();
        if input.take(HEADER_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let line = std::str::from_utf8(&line).map_err(|_| malformed("a header is not UTF-8"))?;
        let line = line.trim_end();
        if line.is_empty() {
            return match length {
                Some(length) => Ok(Some(length)),
                None => Err(malformed("a message has no `Content-Length`")),
            };
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| malformed("a header has no `:`"))?;
        if name.eq_ignore_ascii_case("Content-Length") {
            let number = value.trim().parse();
            let number = number.map_err(|_| malformed("`Content-Length` is not a number"))?;
            length = Some(number);
        }
    }
}

fn message(body: &[u8]) -> Message {
    let value = match serde_json::from_slice(body) {
        Ok(value) => Ok(value),
        // What the client has in the text is then still as long as what is kept here.
        Err(problem) => match without_halves(body) {
            Some(whole) => serde_json::from_slice(&whole),
            None => Err(problem),
        },
    };
    let value: Value = match value {
        Ok(value) => value,
        Err(problem) => {
            let error = Error::new(ErrorCode::Parse, format!("this is not JSON: {problem}"));
            let id = Value::Null;
            return Message::Malformed { id, error };
        }
    };
    let Value::Object(mut fields) = value else {
        return malformed(Value::Null, "a message is an object");
    };
    let id = fields.shift_remove("id").unwrap_or_default();
    if !matches!(id, Value::Null | Value::Number(_) | Value::String(_)) {
        return malformed(Value::Null, "an id is a number or a string");
    }
    let params = fields.shift_remove("params").unwrap_or_default();
    match fields.shift_remove("method") {
        Some(Value::String(method)) if id.is_null() => Message::Notification { method, params },
        Some(Value::String(method)) => Message::Request { id, method, params },
        None if fields.contains_key("result") || fields.contains_key("error") => Message::Response,
        _ => malformed(id, "a message has a method, a result or an error"),
    }
}

/// A message in which U+FFFD stands for each half of a surrogate pair, as editors send it that cut a text by
/// UTF-16 units; `None` if it has none.
fn without_halves(body: &[u8]) -> Option<Vec<u8>> {
    /// The unit of an escape such as `\ud83d`.
    fn unit(escape: &[u8]) -> Option<u16> {
        let digits = escape.strip_prefix(b"\\u")?.get(..4)?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }
    let mut whole = body.to_vec();
    let (mut at, mut is_changed) = (0, false);
    while let Some(rest) = body.get(at..).filter(|rest| !rest.is_empty()) {
        let next = rest.get(6..).and_then(unit);
        at += match (unit(rest), next) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                whole.get_mut(at..at + 6)?.copy_from_slice(b"\\ufffd");
                is_changed = true;
                6
            }
            _ if rest.starts_with(b"\\") => 2,
            _ => 1,
        };
    }
    is_changed.then_some(whole)
}

fn malformed(id: Value, problem: &str) -> Message {
    let error = Error::new(ErrorCode::InvalidRequest, problem);
    Message::Malformed { id, error }
}

/// The response to a request.
pub(crate) fn response(id: &Value, result: Result<Value, Error>) -> Value {
    match result {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(error) => {
            let error = json!({"code": error.code as i32, "message": error.message});
            json!({"jsonrpc": "2.0", "id": id, "error": error})
        }
    }
}

/// A notification, or with an id a request.
pub(crate) fn call(id: Option<&str>, method: &str, params: Value) -> Value {
    match id {
        Some(id) => json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}),
        None => json!({"jsonrpc": "2.0", "method": method, "params": params}),
    }
}

/// Writes a message.
///
/// # Errors
/// If nobody reads it.
pub(crate) fn write(output: &mut dyn Write, message: &Value) -> io::Result<()> {
    let text = message.to_string();
    write!(output, "Content-Length: {}\r\n\r\n{text}", text.len())?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(body: &str) -> String {
        format!("Content-Length: {}\r\n\r\n{body}", body.len())
    }

    fn all(bytes: &[u8]) -> (Vec<Message>, Option<io::Error>) {
        let mut input = bytes;
        let mut messages = Vec::new();
        loop {
            match read(&mut input) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return (messages, None),
                Err(error) => return (messages, Some(error)),
            }
        }
    }

    #[test]
    fn what_can_not_be_read_is_answered_and_the_next_message_is_read() {
        let code = |message: &Message| match message {
            Message::Malformed { id, error } => Some((id.clone(), error.code)),
            _ => None,
        };
        let deep = "[".repeat(100_000);
        let table: [(&str, Value, ErrorCode); 8] = [
            ("{", Value::Null, ErrorCode::Parse),
            ("", Value::Null, ErrorCode::Parse),
            (&deep, Value::Null, ErrorCode::Parse),
            ("[]", Value::Null, ErrorCode::InvalidRequest),
            ("{}", Value::Null, ErrorCode::InvalidRequest),
            (
                r#"{"id":1,"method":2}"#,
                json!(1),
                ErrorCode::InvalidRequest,
            ),
            (r#"{"id":"a"}"#, json!("a"), ErrorCode::InvalidRequest),
            (
                r#"{"id":[],"method":"a"}"#,
                Value::Null,
                ErrorCode::InvalidRequest,
            ),
        ];
        for (body, id, expected) in table {
            let next = framed(r#"{"method":"exit"}"#);
            let (messages, error) = all(format!("{}{next}", framed(body)).as_bytes());
            assert!(error.is_none(), "{error:?}");
            assert_eq!(messages.len(), 2);
            assert_eq!(code(&messages[0]), Some((id, expected)));
            assert_eq!(code(&messages[1]), None);
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_a_replacement_character() {
        for (sent, read) in [
            (r"a\ud83d", "a\u{fffd}"),
            (r"\uDE00b", "\u{fffd}b"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
            (r"\ud83d\ude00\ude00", "😀\u{fffd}"),
            (r"\\ud83d", "\\ud83d"),
            (r"\\\ud83d", "\\\u{fffd}"),
        ] {
            let body = format!(r#"{{"method":"m","params":"{sent}"}}"#);
            let (messages, _) = all(framed(&body).as_bytes());
            let (method, params) = ("m".to_owned(), json!(read));
            assert_eq!(messages, [Message::Notification { method, params }]);
        }
    }

    #[test]
    fn ids_are_returned_as_they_are() {
        for id in [json!(1), json!(5_000_000_000_u64), json!(-1.5), json!("x")] {
            let body = json!({"id": id, "method": "m"}).to_string();
            let (messages, _) = all(framed(&body).as_bytes());
            let params = Value::Null;
            let method = "m".to_owned();
            assert_eq!(messages, [Message::Request { id, method, params }]);
        }
    }

    #[test]
    fn a_header_allocates_nothing_and_ends_the_session_only_if_it_is_none() {
        let huge = format!("Content-Length: {}\r\n\r\n{{}}", u64::MAX);
        let table = [
            ("", None),
            ("Content-Length: 10\r\n\r\n{}", None),
            (&huge, None),
            ("{}\r\n", Some("a header has no `:`")),
            ("\r\n", Some("a message has no `Content-Length`")),
            (
                "Content-Length: -1\r\n\r\n",
                Some("`Content-Length` is not a number"),
            ),
        ];
        for (bytes, expected) in table {
            let (messages, error) = all(bytes.as_bytes());
            assert_eq!(messages, []);
            assert_eq!(error.map(|error| error.to_string()).as_deref(), expected);
        }
    }
}
