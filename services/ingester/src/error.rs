//! Why a push or a read was not done. Owns the texts that senders see, not how they travel.

use std::time::Duration;

use cairn_model::Code;
use cairn_wal as wal;

/// What went wrong, once for all doors.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The request is not what its protocol says.
    #[error("{0}")]
    Malformed(String),
    #[error("{what} is larger than {name}={max} bytes")]
    TooLarge {
        what: &'static str,
        name: &'static str,
        max: usize,
    },
    /// The request is understood, but what it brings makes no profile.
    #[error("{0}")]
    Unprocessable(String),
    /// Profiles that can't be stored; the others of the push are stored.
    #[error("{0}")]
    Refused(Refusals),
    #[error("the body did not arrive within {} seconds", .0.as_secs())]
    SlowBody(Duration),
    #[error("the body ended early: {0}")]
    Interrupted(String),
    #[error(
        "too much is being ingested at this moment (inflight_bytes_max={max}): send it again in a few seconds"
    )]
    Busy { max: u64 },
    #[error(
        "the memory for rows is used up (memory_bytes_max={max}): send it again in some seconds"
    )]
    MemoryFull { max: u64 },
    #[error("the write-ahead log is unavailable: {0}")]
    Log(&'static str),
    #[error("the ingester is stopping: send it again")]
    Stopping,
    /// Rows in question were dropped here since they are in blocks.
    #[error(
        "log position {after} of this tail is gone, {kept} is the oldest kept: take a new snapshot of the catalog"
    )]
    TooOld { after: u64, kept: u64 },
    #[error("the tail of {0} is not here: take a new snapshot of the catalog")]
    OtherWriter(String),
    /// There is no agreement on who takes these writes, for longer than a push waits.
    #[error(
        "the ingester that these profiles belong to is changing: send it again in some seconds"
    )]
    Moving,
    /// Its owner crashed, and what it has stored is not known yet.
    #[error(
        "the profiles of an ingester that crashed are being counted: send it again in some seconds"
    )]
    Pending,
    #[error(
        "the ingester that these profiles belong to can't be reached: send it again in some seconds"
    )]
    Unreachable,
    /// Whether it stored them is unknown.
    #[error(
        "the ingester that these profiles belong to did not answer within {} seconds: send it again",
        .0.as_secs()
    )]
    OwnerLate(Duration),
    /// A stream of messages broke, in its own words.
    #[error("{text}")]
    Stream { code: Code, text: String },
    /// The owner's own words.
    #[error("{text}")]
    Owner { code: Code, text: String },
}

/// The profiles of one push that were refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusals {
    pub(crate) refused: Vec<Refusal>,
    /// Refused ones that are counted only.
    pub(crate) more: usize,
    /// Profiles of the same push that were stored.
    pub(crate) stored: usize,
}

/// One refused profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Where in the request.
    pub(crate) place: Place,
    pub(crate) reason: String,
    /// For metrics.
    pub(crate) kind: &'static str,
    /// Of the profile, as it came; 0 if another ingester refused and counted it.
    pub(crate) bytes: u64,
}

/// Where in a request something is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// In the words of the protocol.
    Named(String),
    Profile {
        series: usize,
        /// None: the labels of a series without profiles.
        sample: Option<usize>,
        /// The series' `__name__`.
        name: Option<String>,
    },
}

/// Refusals that an answer spells out; the rest is counted.
pub(crate) const SHOWN_MAX: usize = 10;

impl Place {
    /// Series and sample, as far as the protocol has them.
    pub(crate) fn position(&self) -> Option<(usize, Option<usize>)> {
        match self {
            Self::Named(_) => None,
            Self::Profile { series, sample, .. } => Some((*series, *sample)),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (series, sample, name) = match self {
            Self::Named(place) => return f.write_str(place),
            Self::Profile {
                series,
                sample,
                name,
            } => (series, sample, name),
        };
        write!(f, "series {series}")?;
        if let (Some(name), Some(_)) = (name, sample) {
            write!(f, " ({name})")?;
        }
        match sample {
            Some(sample) => write!(f, ", sample {sample}"),
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for Refusals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            refused,
            more,
            stored,
        } = self;
        if let ([only], 0, 0) = (refused.as_slice(), more, stored) {
            return f.write_str(&only.reason);
        }
        for (at, Refusal { place, reason, .. }) in refused.iter().take(SHOWN_MAX).enumerate() {
            let semicolon = if at == 0 { "" } else { "; " };
            write!(f, "{semicolon}{place}: {reason}")?;
        }
        let all = refused.len() + more;
        let shown = refused.len().min(SHOWN_MAX);
        if all > shown {
            write!(f, "; and {} more", all - shown)?;
        }
        write!(f, " (refused {all}, stored {stored})")
    }
}

impl Error {
    /// What a gRPC server says by itself. It has no room for what it says is too much, and never
    /// will.
    pub(crate) fn stream(status: &tonic::Status) -> Self {
        let code = match status.code() {
            tonic::Code::ResourceExhausted | tonic::Code::OutOfRange => Code::Invalid,
            _ => cairn_wire::code_of(status),
        };
        Self::Stream {
            code,
            text: status.message().to_owned(),
        }
    }

    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Malformed(_)
            | Self::TooLarge { .. }
            | Self::Unprocessable(_)
            | Self::Refused(_) => Code::Invalid,
            Self::SlowBody(_) | Self::Interrupted(_) => Code::Timeout,
            Self::Busy { .. } => Code::Exhausted,
            Self::MemoryFull { .. }
            | Self::Log(_)
            | Self::Stopping
            | Self::Moving
            | Self::Pending
            | Self::Unreachable
            | Self::OwnerLate(_) => Code::Unavailable,
            Self::Owner { code, .. } | Self::Stream { code, .. } => *code,
            Self::TooOld { .. } | Self::OtherWriter(_) => Code::Conflict,
        }
    }

    /// For senders some of which drop what is answered by "exhausted": they are told to come back
    /// as if we were not there.
    pub(crate) fn patient_code(&self) -> Code {
        match self.code() {
            Code::Exhausted => Code::Unavailable,
            code => code,
        }
    }

    /// One word for metrics.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::TooLarge { .. } => "too_large",
            Self::Unprocessable(_) => "unprocessable",
            Self::Refused(_) => "refused",
            Self::SlowBody(_) => "slow_body",
            Self::Interrupted(_) => "interrupted",
            Self::Busy { .. } => "busy",
            Self::MemoryFull { .. } => "memory_full",
            Self::Log(_) => "log",
            Self::Stopping => "stopping",
            Self::TooOld { .. } => "too_old",
            Self::OtherWriter(_) => "other_writer",
            Self::Moving => "moving",
            Self::Pending => "pending",
            Self::Unreachable => "unreachable",
            Self::OwnerLate(_) => "owner_late",
            Self::Owner { .. } => "owner",
            Self::Stream { .. } => "stream",
        }
    }
}

/// Senders learn the kind of trouble; paths and the system's words are in our log.
impl From<&wal::Error> for Error {
    fn from(error: &wal::Error) -> Self {
        Self::Log(match error {
            wal::Error::Io { .. } | wal::Error::Locked(_) => "its folder can't be used",
            wal::Error::NoSpace(_) => "its disk is full or failing",
            wal::Error::Poisoned(_) => "it failed and waits for a restart",
            wal::Error::Fenced | wal::Error::LeaseLost => "its lease is over",
            wal::Error::TooLarge => "a group of pushes is too large for it",
            wal::Error::Store(_) => "the object store can't be reached",
            wal::Error::Damaged { .. } | wal::Error::Corrupt { .. } => "it is damaged",
        })
    }
}
