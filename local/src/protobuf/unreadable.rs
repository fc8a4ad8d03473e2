//! Why bytes are not what they claim to be, in the words of a real server.

/// Why bytes are not an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error(
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
    )]
    NoMagic,
    #[error("unexpected EOF")]
    EndsEarly,
    #[error("proto: integer overflow")]
    Varint,
    #[error("proto: illegal wireType {0}")]
    WireType(u64),
    #[error("proto: wrong wireType for field {0}")]
    WrongWireType(&'static str),
    #[error("proto: field {0} contains invalid UTF-8")]
    NoText(&'static str),
    #[error("proto: field {0} has no valid JSON")]
    NoJson(&'static str),
    #[error("proto: field {0} is out of range")]
    OutOfRange(&'static str),
    #[error("proto: messages are nested too deep")]
    TooDeep,
    #[error("no kind \"{kind}\" is registered for version \"{api_version}\"")]
    Unknown { api_version: String, kind: String },
}
