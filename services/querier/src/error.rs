//! Why a query has no answer. What is only missing from an answer is a [`Warning`] instead.

use std::fmt;
use std::time::Duration;

use cairn_model::{Code, InvalidSelector};

/// A query that failed as a whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Selector(#[from] InvalidSelector),
    /// Clients compare these texts.
    #[error("{0}")]
    NotFound(&'static str),
    #[error("{0} is not supported by this server")]
    Unsupported(String),
    #[error("none of the data could be read: {0}")]
    Unread(String),
    #[error("the catalog did not answer: {text}")]
    Catalog { code: Code, text: String },
    #[error("the object store did not answer: {text}")]
    Store { code: Code, text: String },
    #[error("{what} has more than message_bytes_max={max} bytes")]
    TooLarge { what: &'static str, max: usize },
    #[error("{0} queries wait for their turn already (waiting_queries_max); ask again later")]
    Busy(usize),
    #[error("the query did not finish within {0:?}")]
    Timeout(Duration),
    #[error(transparent)]
    WrongAnswer(#[from] cairn_engine::WrongAnswer),
    #[error("encode the report")]
    Encode(#[from] arrow_schema::ArrowError),
    #[error(transparent)]
    Picture(cairn_engine::NoSvg),
    #[error("encode the answer: {0}")]
    Json(String),
}

impl Error {
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Invalid(_) | Self::Selector(_) | Self::Unsupported(_) => Code::Invalid,
            Self::NotFound(_) => Code::NotFound,
            Self::Unread(_) | Self::Catalog { .. } => Code::Unavailable,
            Self::Store { code, .. } => *code,
            Self::TooLarge { .. } | Self::Busy(_) => Code::Exhausted,
            Self::Timeout(_) => Code::Timeout,
            Self::WrongAnswer(_) | Self::Encode(_) | Self::Picture(_) | Self::Json(_) => {
                Code::Internal
            }
        }
    }
}

/// One thing that is missing from an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Warning {
    /// The block, or empty if it was something else.
    pub(crate) block: String,
    /// The kind of failure, such as `corrupt`.
    pub(crate) code: String,
    pub(crate) text: String,
}

impl Warning {
    pub(crate) fn new(block: impl ToString, code: Code, text: impl ToString) -> Self {
        Self {
            block: block.to_string(),
            code: word(code).to_owned(),
            text: text.to_string(),
        }
    }

    /// Of series.
    pub(crate) fn too_many() -> Self {
        let text = "there are more series than one query has memory for (query_bytes_max): some are \
                    missing";
        Self::new("", Code::Exhausted, text)
    }

    /// Says it, unless it is said already.
    pub(crate) fn say(self, warnings: &mut Vec<Self>) {
        if !warnings.contains(&self) {
            warnings.push(self);
        }
    }

    /// Otherwise it is about something else.
    pub(crate) fn names_a_block(&self) -> bool {
        !self.block.is_empty()
    }

    pub(crate) fn is(&self, code: Code) -> bool {
        self.code == word(code)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { block, code, text } = self;
        if self.names_a_block() {
            write!(f, "block {block}: ")?;
        }
        write!(f, "{code}: {text}")
    }
}

fn word(code: Code) -> &'static str {
    match code {
        Code::Invalid => "invalid",
        Code::Unauthenticated => "unauthenticated",
        Code::Forbidden => "forbidden",
        Code::NotFound => "missing",
        Code::Conflict => "conflict",
        Code::Exhausted => "exhausted",
        Code::Unavailable => "unavailable",
        Code::Timeout => "timeout",
        Code::Corrupt => "corrupt",
        Code::Internal => "internal",
    }
}

/// A cause and everything behind it, as one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !out.contains(&text) {
            out.push_str(": ");
            out.push_str(&text);
        }
        next = cause.source();
    }
    out
}
