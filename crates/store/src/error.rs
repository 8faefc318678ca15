//! Why the store did not do what was asked.

use cairn_model::Code;

/// A failed operation on one object, with the key it was about.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no object {key}")]
    NotFound { key: String },
    #[error("object {key} exists already")]
    AlreadyExists { key: String },
    /// Creators of one key hindered each other until patience was over. None of ours is stored.
    #[error("object {key} can't be created: others try the same without end")]
    Contended { key: String },
    /// The object is shorter than whoever wrote it says, or the range is no range.
    #[error("object {key} does not hold bytes {start}..{end}")]
    OutOfRange { key: String, start: u64, end: u64 },
    #[error("access to {key} was refused")]
    Denied {
        key: String,
        source: object_store::Error,
    },
    #[error("setting `s3.{name}`: {reason}")]
    Setting { name: &'static str, reason: String },
    #[error("open the object store at {place}")]
    Open {
        place: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store would lose data under Cairn. `seen` says what it did.
    #[error(
        "the object store at {place} does not enforce create-only puts: {seen}. Cairn relies on \
         them to keep a writer that was declared dead from adding to its log, and blocks from \
         being replaced; on this store it would lose or double data, so it does not start. Use a \
         store that honours `If-None-Match: *` on puts, also between puts that race, and no proxy \
         before it that drops the header"
    )]
    NotEnforced { place: String, seen: String },
    #[error("reach the object store for {key}")]
    Unavailable {
        key: String,
        source: object_store::Error,
    },
}

impl Error {
    pub fn code(&self) -> Code {
        match self {
            Self::NotFound { .. } => Code::NotFound,
            Self::AlreadyExists { .. } => Code::Conflict,
            Self::OutOfRange { .. } => Code::Corrupt,
            Self::Denied { .. } | Self::Open { .. } | Self::NotEnforced { .. } => Code::Internal,
            Self::Setting { .. } => Code::Invalid,
            Self::Unavailable { .. } | Self::Contended { .. } => Code::Unavailable,
        }
    }

    pub(crate) fn new(key: impl ToString, source: object_store::Error) -> Self {
        let key = key.to_string();
        match source {
            object_store::Error::NotFound { .. } => Self::NotFound { key },
            object_store::Error::AlreadyExists { .. } => Self::AlreadyExists { key },
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => Self::Denied { key, source },
            source => Self::Unavailable { key, source },
        }
    }
}
