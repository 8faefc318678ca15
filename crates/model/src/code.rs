//! What went wrong, told by what the caller should do about it.

/// The ten kinds of failure. A kind exists only because callers act differently on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request can never succeed: change it.
    Invalid,
    /// Say who you are.
    Unauthenticated,
    /// You may not do this.
    Forbidden,
    /// There is nothing under this name or in this range.
    NotFound,
    /// The state is not what the request assumes: read it again.
    Conflict,
    /// A limit of the tenant is used up: slow down and send it again.
    Exhausted,
    /// Not now or not here: try again later or elsewhere.
    Unavailable,
    /// It took too long; whether it happened is unknown.
    Timeout,
    /// Stored bytes are not what was written.
    Corrupt,
    /// A fault of ours.
    Internal,
}
