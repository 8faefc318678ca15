//! Why a record was refused. Owns the texts that senders see, not how they travel.

use std::borrow::Cow;

use arrow_schema::{ArrowError, DataType};
use cairn_model::Code;

/// How much of the input a text repeats, in characters.
const ECHO_MAX: usize = 60;

/// The sender's fault in every case: the same bytes are refused again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are no Arrow stream.
    #[error("failed to parse record: {0}")]
    Undecodable(Cow<'static, str>),
    /// The columns are not those of a record of samples or stacks.
    #[error("invalid record: {0}")]
    Contradiction(Cow<'static, str>),
    /// A limit of the tenant is exceeded.
    #[error("invalid record: {what}: more than {name}={max}")]
    OverLimit {
        what: Cow<'static, str>,
        name: &'static str,
        max: usize,
    },
}

impl Error {
    pub fn code(&self) -> Code {
        match self {
            Self::Undecodable(_) | Self::Contradiction(_) | Self::OverLimit { .. } => Code::Invalid,
        }
    }

    pub(crate) fn undecodable(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Undecodable(reason.into())
    }

    pub(crate) fn contradiction(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Contradiction(reason.into())
    }

    pub(crate) fn over(what: impl Into<Cow<'static, str>>, name: &'static str, max: usize) -> Self {
        Self::OverLimit {
            what: what.into(),
            name,
            max,
        }
    }

    #[cold]
    pub(crate) fn wrong_type(column: &str, wanted: &str, found: &DataType) -> Self {
        let (column, found) = (echo(column), found.to_string());
        let found = echo(&found);
        Self::contradiction(format!("column {column} holds {found} instead of {wanted}"))
    }

    #[cold]
    pub(crate) fn missing(column: &str) -> Self {
        Self::contradiction(format!("there is no column {column}"))
    }
}

impl From<ArrowError> for Error {
    #[cold]
    fn from(error: ArrowError) -> Self {
        let text = error.to_string();
        Self::Undecodable(echo(&text).to_owned().into())
    }
}

/// The beginning of a text of the sender, on one line.
pub(crate) fn echo(text: &str) -> &str {
    let end = text
        .char_indices()
        .nth(ECHO_MAX)
        .map_or(text.len(), |at| at.0);
    let text = &text[..end];
    let line = text.find(|c: char| c.is_control());
    &text[..line.unwrap_or(text.len())]
}
