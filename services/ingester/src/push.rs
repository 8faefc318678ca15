//! A push on its way in: what every door makes of its protocol.
//!
//! Owns what a push says, not whether it is acceptable.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use cairn_model::{Described, Profile, Samples, Tables, TenantId};
use cairn_pprof::ExecutableInfo;
use cairn_wal::{Digest, Encoding, NAME_LABEL};

use crate::error::{Error, Refusal, Refusals, SHOWN_MAX};
use crate::writer::Stored;

/// The protocols profiles come in by.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    prometheus_client::encoding::EncodeLabelValue,
)]
pub(crate) enum Door {
    /// Parca's `WriteRaw`.
    WriteRaw,
    /// Pyroscope's `POST /ingest`.
    Ingest,
    /// Pyroscope's `PusherService/Push`.
    Push,
    /// OTLP over gRPC and HTTP.
    Otlp,
    /// Parca's `WriteArrow`.
    WriteArrow,
    /// Parca's `Write`, a conversation.
    Write,
    /// `POST /api/v1/profiles`.
    Profiles,
    /// Other ingesters'. Counts calls; their profiles count for the door that they came in by.
    Forward,
}

/// Whose, and by which protocol.
pub(crate) type Origin<'a> = (&'a TenantId, Door);

/// Who sent a push, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sender {
    pub(crate) peer: Option<IpAddr>,
    /// What it calls itself, with its version.
    pub(crate) software: String,
}

/// Profiles that one request brought.
#[derive(Clone, Debug)]
pub(crate) struct Push {
    pub(crate) tenant: TenantId,
    pub(crate) door: Door,
    pub(crate) sender: Sender,
    /// Nanoseconds since the epoch, by our clock.
    pub(crate) received: i64,
    /// What the request says the profiles cover.
    pub(crate) from: Option<i64>,
    pub(crate) until: Option<i64>,
    /// Addresses are virtual addresses of their files already.
    pub(crate) normalized: bool,
    pub(crate) series: Vec<Series>,
    /// Of packed profiles.
    pub(crate) tables: Vec<Bytes>,
}

/// Profiles with the same labels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    /// As sent, `__name__` included.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) naming: Naming,
    pub(crate) profiles: Vec<Raw>,
    /// Samples per second, if the protocol says it outside the profile.
    pub(crate) sample_rate: u32,
    /// Pyroscope's JSON about sample types, or empty.
    pub(crate) sample_type_config: String,
}

/// What a profile without a `__name__` label is called.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Naming {
    /// Nothing: it is refused.
    #[default]
    Required,
    /// By its sample types; display names replace the types' own.
    ByTypes(Vec<(String, String)>),
}

/// What was changed or left out, for metrics, and how often.
pub(crate) type Altered = (&'static str, u64);

/// Samples of which a profile holds only the sum.
pub(crate) const TRUNCATED_SAMPLES: &str = "truncated_samples";
/// Stacks that lost their root side.
pub(crate) const TRUNCATED_STACKS: &str = "truncated_stacks";
/// Texts that were not UTF-8.
pub(crate) const REPLACED_STRINGS: &str = "replaced_strings";

/// What a decoder made of a request.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub(crate) series: Vec<Series>,
    /// Refused before anything was stored.
    pub(crate) refused: Vec<Refusal>,
    pub(crate) altered: Vec<Altered>,
}

impl Series {
    /// The profile that a decoder of another format made of a place of a request.
    pub(crate) fn decoded(described: Described, request: Digest, place: usize) -> Self {
        let Described {
            name,
            mut labels,
            profile,
        } = described;
        let naming = match name {
            None => Naming::ByTypes(Vec::new()),
            Some(name) => {
                labels.push((NAME_LABEL.to_owned(), name));
                Naming::Required
            }
        };
        let content = request.at(place);
        Self {
            labels,
            naming,
            profiles: vec![Raw::Decoded { profile, content }],
            ..Self::default()
        }
    }

    /// About how many bytes its profiles have; one that shares tables has the part of them that its
    /// number of samples lets expect.
    pub(crate) fn bytes(&self) -> usize {
        self.profiles.iter().map(Raw::bytes).sum()
    }
}

/// One profile. `content` tells what is sent again, where the profile is not what was sent.
#[derive(Clone, Debug)]
pub(crate) enum Raw {
    /// As it was sent, gzip or plain.
    Pprof {
        bytes: Bytes,
        executables: Vec<ExecutableInfo>,
    },
    /// What a decoder of another format made.
    Decoded { profile: Profile, content: [u8; 16] },
    /// The same, from another ingester; `tables` is a position among the push's.
    Packed {
        bytes: Bytes,
        tables: u32,
        content: [u8; 16],
    },
}

impl Raw {
    pub(crate) fn pprof(bytes: Bytes) -> Self {
        Self::Pprof {
            bytes,
            executables: Vec::new(),
        }
    }

    /// About how many bytes it has, packed if it is decoded; one that shares tables has the part of
    /// them that its number of samples lets expect.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Pprof { bytes, .. } | Self::Packed { bytes, .. } => bytes.len(),
            Self::Decoded { profile, .. } => {
                let (samples, tables) = (&profile.samples, &profile.tables);
                let stacks = tables.stacks.len().max(1);
                let part = samples.len().min(stacks);
                samples_bytes(samples) + tables_bytes(tables).saturating_mul(part) / stacks
            }
        }
    }

    /// About how much memory it takes until it is stored, besides its tables.
    fn memory(&self) -> usize {
        match self {
            Self::Pprof { bytes, .. } => {
                bytes.len() + plain_bytes(bytes).saturating_mul(DECODED_FACTOR)
            }
            Self::Decoded { profile, .. } => profile.samples.bytes() * PACKED_FACTOR,
            Self::Packed { bytes, .. } => bytes.len() * UNPACKED_FACTOR,
        }
    }
}

/// What became of a push, or of a part of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) stored: Stored,
    pub(crate) refused: Vec<Refusal>,
    /// Refused ones that are counted only.
    pub(crate) more: usize,
    /// When the last of the profiles ended, nanoseconds since the epoch; of those that were stored
    /// here.
    pub(crate) newest: Option<i64>,
}

impl Door {
    /// The door of one method of a service that has several.
    pub(crate) fn of_method(self, path: &str) -> Self {
        match (self, path.rsplit('/').next()) {
            (Self::WriteRaw, Some("WriteArrow")) => Self::WriteArrow,
            (Self::WriteRaw, Some("Write")) => Self::Write,
            (door, _) => door,
        }
    }

    /// As metrics and lists spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WriteRaw => "WriteRaw",
            Self::Ingest => "Ingest",
            Self::Push => "Push",
            Self::Otlp => "Otlp",
            Self::WriteArrow => "WriteArrow",
            Self::Write => "Write",
            Self::Profiles => "Profiles",
            Self::Forward => "Forward",
        }
    }
}

impl Outcome {
    /// The first reasons why something was refused.
    pub(crate) fn refusals(&self) -> Option<Refusals> {
        let is_whole = self.refused.is_empty() && self.more == 0;
        (!is_whole).then(|| Refusals {
            refused: self.refused.clone(),
            more: self.more,
            stored: self.stored.profiles + self.stored.repeats,
        })
    }

    /// An error if something was refused, after the rest is stored.
    pub(crate) fn into_result(self) -> Result<(), Error> {
        match self.refusals() {
            None => Ok(()),
            Some(refusals) => Err(Error::Refused(refusals)),
        }
    }

    /// Adds what became of another part of the same push.
    pub(crate) fn add(&mut self, other: Self) {
        let Self {
            stored,
            refused,
            more,
            newest,
        } = other;
        self.newest = self.newest.max(newest);
        let all = &mut self.stored.profiles;
        *all = all.saturating_add(stored.profiles);
        let all = &mut self.stored.samples;
        *all = all.saturating_add(stored.samples);
        let all = &mut self.stored.repeats;
        *all = all.saturating_add(stored.repeats);
        self.refused.extend(refused);
        self.refused.sort_by(|a, b| a.place.cmp(&b.place));
        self.more = self.more.saturating_add(more);
        self.shorten();
    }

    /// Keeps what answers spell out.
    pub(crate) fn shorten(&mut self) {
        self.more += self.refused.len().saturating_sub(SHOWN_MAX);
        self.refused.truncate(SHOWN_MAX);
    }
}

impl Push {
    pub(crate) fn profiles(&self) -> usize {
        self.series.iter().map(|series| series.profiles.len()).sum()
    }

    fn raws(&self) -> impl Iterator<Item = &Raw> {
        self.series.iter().flat_map(|series| &series.profiles)
    }

    /// How the log keeps the profiles, which are all of one kind.
    pub(crate) fn encoding(&self) -> Encoding {
        match self.raws().next() {
            None | Some(Raw::Pprof { .. }) => Encoding::Pprof,
            Some(Raw::Decoded { .. } | Raw::Packed { .. }) => Encoding::Packed,
        }
    }

    /// About how many bytes all profiles have, with each of their tables once.
    pub(crate) fn bytes(&self) -> usize {
        let raws = self.raws().map(|raw| match raw {
            Raw::Pprof { bytes, .. } | Raw::Packed { bytes, .. } => bytes.len(),
            Raw::Decoded { profile, .. } => samples_bytes(&profile.samples),
        });
        let shared = self.shared().into_iter();
        let shared = shared.map(|tables| tables_bytes(tables));
        let packed = self.tables.iter().map(Bytes::len);
        raws.chain(shared).chain(packed).sum()
    }

    /// The tables of decoded profiles, each once.
    pub(crate) fn shared(&self) -> Vec<&Arc<Tables>> {
        let mut shared: Vec<&Arc<Tables>> = Vec::new();
        for raw in self.raws() {
            // Profiles with the same tables follow each other.
            if let Raw::Decoded { profile, .. } = raw
                && shared
                    .last()
                    .is_none_or(|last| !Arc::ptr_eq(last, &profile.tables))
            {
                shared.push(&profile.tables);
            }
        }
        shared
    }

    /// About how much memory the push takes until it is stored: the profiles as sent and decoded,
    /// and their labels.
    pub(crate) fn memory(&self) -> usize {
        let raws = self.raws().map(Raw::memory);
        let shared = self.shared().into_iter();
        let shared = shared.map(|tables| tables.bytes() * PACKED_FACTOR);
        let packed = self.tables.iter();
        let packed = packed.map(|tables| tables.len() * UNPACKED_FACTOR);
        let labels = self.series.iter().flat_map(|series| &series.labels);
        let labels = labels.map(|(name, value)| (name.len() + value.len()) * LABELS_FACTOR);
        let all = raws.chain(shared).chain(packed).chain(labels);
        all.fold(0, usize::saturating_add)
    }
}

/// About how many bytes samples take packed: most of their numbers are small.
fn samples_bytes(samples: &Samples) -> usize {
    samples.bytes() / 4
}

/// The same of tables, of which half are texts.
fn tables_bytes(tables: &Tables) -> usize {
    tables.bytes() / 2
}

/// Labels are kept as sent, as the log has them, and as the tail does.
const LABELS_FACTOR: usize = 3;
/// The log has it too, packed.
const PACKED_FACTOR: usize = 2;
/// A number that takes one byte packed takes up to eight, twice; and the bytes are kept.
const UNPACKED_FACTOR: usize = 17;

/// Decoded profiles of real senders take two to four times their plain bytes.
const DECODED_FACTOR: usize = 4;

/// Bytes after inflating, as a gzip trailer claims; a false claim only means a wrong estimate.
fn plain_bytes(raw: &[u8]) -> usize {
    match raw {
        [0x1f, 0x8b, .., a, b, c, d] => {
            (u32::from_le_bytes([*a, *b, *c, *d]) as usize).max(raw.len())
        }
        _ => raw.len(),
    }
}
