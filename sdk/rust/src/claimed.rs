//! What a grant leaves to its holder.

/// A granted Claim that is not renewed: it ends with its TTL, or when it is released.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Claimed {
    /// The Claim's name.
    pub name: String,
    /// The Claim's uid.
    pub uid: String,
    /// The fencing token of a Lease's grant.
    pub token: Option<i64>,
}
