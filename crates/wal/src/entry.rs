//! What the log keeps of a push, and the rows it makes when it is read again.
//!
//! Owns the meaning of a log entry; its bytes are `cairn.ingest.v1.LogEntry`.

use std::sync::Arc;

use bytes::Bytes;
use cairn_model::{Excess, Labels, Limits, Profile, Tables, TenantId};
use cairn_pprof::{Decoder, ExecutableInfo, LoadSegment, Options};
use cairn_wire::cairn::ingest::v1::{Format, LogEntry, LogExecutable, LogLabel, LogSeries};
use prost::Message;

use crate::packed::{unpack, unpack_tables, unpack_whole};

/// The label that is the first part of the profile type, and no label of the stored profile.
pub const NAME_LABEL: &str = "__name__";

/// When a push came, and what it says it covers: nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub received: i64,
    pub from: Option<i64>,
    pub until: Option<i64>,
}

/// Some senders' profiles count from the start of the machine: no profile is from before 2000.
const EARLIEST: i64 = 946_684_800_000_000_000;

impl Span {
    /// When the profile begins: by itself, else by its request, else when it came.
    pub fn time_of(&self, profile: &Profile) -> i64 {
        match self.from {
            Some(from) if profile.time < EARLIEST => from,
            None if profile.time <= 0 => self.received,
            _ => profile.time,
        }
    }

    /// Without this, two equal profiles may be two measurements.
    pub fn says_when(&self, profile: &Profile) -> bool {
        self.from.is_some() || profile.time > 0
    }
}

/// One profile as the tail keeps it, but for its place in the log.
#[derive(Debug)]
pub struct Row {
    pub name: Arc<str>,
    pub labels: Labels,
    pub time: i64,
    /// Hash of the batch that it came in; 0 where repeats can't be told.
    pub batch: u128,
    pub profile: Profile,
}

/// How the bytes of profiles are to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// pprof, gzip or plain, as it was sent.
    #[default]
    Pprof,
    /// What a decoder of another format made of it: [`pack`](crate::pack), and
    /// [`pack_tables`](crate::pack_tables) beside.
    Packed,
    /// The same with its tables, which only earlier builds wrote.
    Whole,
}

/// What was kept of each profile when its push was acknowledged: the same is kept whenever it is
/// decoded again, whatever the limits are then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Frames of one stack.
    pub depth_max: usize,
    /// Samples; one more stands for the others.
    pub samples_max: usize,
}

impl Kept {
    /// What entries kept before they said so.
    pub const UNSAID: Self = Self {
        depth_max: 2_048,
        samples_max: usize::MAX,
    };
}

impl From<&Limits> for Kept {
    fn from(limits: &Limits) -> Self {
        Self {
            depth_max: limits.depth_max,
            samples_max: limits.samples_max,
        }
    }
}

/// The profiles of one push.
#[derive(Debug)]
pub struct Entry {
    pub tenant: TenantId,
    pub span: Span,
    pub encoding: Encoding,
    /// Addresses are virtual addresses of their files already.
    pub normalized: bool,
    /// Packed profiles are so already.
    pub kept: Kept,
    /// Of packed profiles.
    pub tables: Vec<Bytes>,
    pub series: Vec<LogSeries>,
}

/// Why a payload is no entry, though its checksum holds: a newer version wrote it.
#[derive(Debug, thiserror::Error)]
#[error("not a log entry of this version: {0}")]
pub struct Unreadable(String);

impl Entry {
    /// What a log keeps.
    pub fn encode(self) -> Vec<u8> {
        let Span {
            received,
            from,
            until,
        } = self.span;
        let entry = LogEntry {
            tenant: self.tenant.to_string(),
            format: Format::from(self.encoding).into(),
            series: self.series,
            received_unix_ns: received,
            from_unix_ns: from,
            until_unix_ns: until,
            normalized: self.normalized,
            depth_max: self.kept.depth_max as u64,
            samples_max: self.kept.samples_max as u64,
            tables: self.tables,
        };
        entry.encode_to_vec()
    }

    pub fn decode(payload: &[u8]) -> Result<Self, Unreadable> {
        let entry = LogEntry::decode(payload).map_err(|error| Unreadable(error.to_string()))?;
        let encoding = match entry.format() {
            Format::Pprof => Encoding::Pprof,
            Format::Shared => Encoding::Packed,
            Format::Packed => Encoding::Whole,
            Format::Unspecified => return Err(Unreadable(format!("format {}", entry.format))),
        };
        let tenant = TenantId::parse(&entry.tenant);
        let tenant = tenant.map_err(|error| Unreadable(error.to_string()))?;
        Ok(Self {
            tenant,
            span: Span {
                received: entry.received_unix_ns,
                from: entry.from_unix_ns,
                until: entry.until_unix_ns,
            },
            encoding,
            normalized: entry.normalized,
            kept: Kept {
                depth_max: said(entry.depth_max, Kept::UNSAID.depth_max),
                samples_max: said(entry.samples_max, Kept::UNSAID.samples_max),
            },
            tables: entry.tables,
            series: entry.series,
        })
    }

    /// Hashes of all profiles, those that don't say when they are from included: nobody asks for
    /// the latter.
    pub fn hashes(&self) -> impl Iterator<Item = u128> {
        let hash = |series| batch_hash(&self.tenant, &self.span, series);
        self.series.iter().map(hash)
    }

    /// The rows, as they were when they were acknowledged. They passed the limits then: limits
    /// that were lowered since must not lose them.
    pub fn rows(&self) -> Vec<Result<Row, Unreadable>> {
        let Kept {
            depth_max,
            samples_max,
        } = self.kept;
        let limits = Limits {
            request_bytes_max: usize::MAX,
            profile_bytes_max: usize::MAX,
            samples_max,
            depth_max,
            excess: Excess::Truncate,
            labels_max: usize::MAX,
            sample_labels_max: usize::MAX,
            label_name_bytes_max: usize::MAX,
            label_value_bytes_max: usize::MAX,
            string_bytes_max: usize::MAX,
            sample_types_max: usize::MAX,
        };
        let tables = self.tables.iter().map(|packed| {
            let tables = unpack_tables(packed).map_err(|error| unreadable(&error))?;
            Ok(Arc::new(tables))
        });
        let mut reader = Reader {
            entry: self,
            limits,
            tables: tables.collect(),
            decoder: Decoder::default(),
        };
        let rows = self.series.iter().map(|series| reader.row(series));
        rows.collect()
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> Unreadable {
    Unreadable(error.to_string())
}

/// What the profiles of an entry have in common.
struct Reader<'a> {
    entry: &'a Entry,
    limits: Limits,
    tables: Vec<Result<Arc<Tables>, Unreadable>>,
    decoder: Decoder,
}

impl Reader<'_> {
    fn row(&mut self, series: &LogSeries) -> Result<Row, Unreadable> {
        let pairs = series.labels.iter();
        let pairs = pairs.map(|LogLabel { name, value }| (name, value));
        let all = Labels::from_pairs(pairs).map_err(|error| unreadable(&error))?;
        let (name, labels) = split_name(&all);
        let name = name.ok_or_else(|| unreadable(&"a profile without a name"))?;
        let profile = self.profile(series)?;
        let Entry { tenant, span, .. } = self.entry;
        let batch = match span.says_when(&profile) {
            true => batch_hash(tenant, span, series),
            false => 0,
        };
        Ok(Row {
            name: name.into(),
            labels,
            time: span.time_of(&profile),
            batch,
            profile,
        })
    }

    fn profile(&mut self, series: &LogSeries) -> Result<Profile, Unreadable> {
        let bytes = &series.profile;
        let profile = match self.entry.encoding {
            Encoding::Pprof => {
                let executables: Vec<_> = series.executables.iter().map(executable).collect();
                let options = Options {
                    normalized: self.entry.normalized,
                    executable_info: &executables,
                };
                let decoded = self.decoder.decode(bytes, &self.limits, &options);
                return Ok(decoded.map_err(|error| unreadable(&error))?.profile);
            }
            Encoding::Packed => match self.tables.get(series.tables as usize) {
                Some(Ok(tables)) => unpack(bytes, tables),
                Some(Err(error)) => return Err(unreadable(error)),
                None => return Err(unreadable(&"its tables are missing")),
            },
            Encoding::Whole => unpack_whole(bytes),
        };
        profile.map_err(|error| unreadable(&error))
    }
}

impl From<Encoding> for Format {
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Pprof => Self::Pprof,
            Encoding::Packed => Self::Shared,
            Encoding::Whole => Self::Packed,
        }
    }
}

/// A limit that an entry says, or else what it means not to.
fn said(limit: u64, unsaid: usize) -> usize {
    match limit {
        0 => unsaid,
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    }
}

/// Takes the name out of a set of labels.
pub fn split_name(all: &Labels) -> (Option<String>, Labels) {
    let Some(name) = all.get(NAME_LABEL) else {
        return (None, all.clone());
    };
    let others = all.iter().filter(|(name, _)| *name != NAME_LABEL);
    let others = Labels::from_pairs(others).expect("a part of valid labels is valid");
    (Some(name.to_owned()), others)
}

pub fn log_executable(info: &ExecutableInfo) -> LogExecutable {
    let segment = info.load_segment.unwrap_or_default();
    LogExecutable {
        elf_type: info.elf_type,
        has_segment: info.load_segment.is_some(),
        offset: segment.offset,
        vaddr: segment.vaddr,
    }
}

fn executable(logged: &LogExecutable) -> ExecutableInfo {
    let LogExecutable {
        elf_type,
        has_segment,
        offset,
        vaddr,
    } = *logged;
    ExecutableInfo {
        elf_type,
        load_segment: has_segment.then_some(LoadSegment { offset, vaddr }),
    }
}

/// Equal for equal profiles of one tenant that were sent twice; never `0`, which means unknown.
///
/// Our own function, since the hash is stored in blocks and must be the same in every version. Only
/// chance could make two profiles agree: a tenant who forges an agreement drops a profile of their
/// own.
pub fn batch_hash(tenant: &TenantId, span: &Span, series: &LogSeries) -> u128 {
    let mut hash = Hash::default();
    hash.part(tenant.as_str().as_bytes());
    for LogLabel { name, value } in &series.labels {
        hash.part(name.as_bytes());
        hash.part(value.as_bytes());
    }
    for time in [span.from, span.until] {
        hash.part(&time.map_or([0; 8], i64::to_le_bytes));
    }
    hash.part(match series.content.is_empty() {
        true => &series.profile,
        false => &series.content,
    });
    hash.finish()
}

/// Tells requests apart: senders that try again send the same bytes.
#[derive(Clone, Copy, Debug)]
pub struct Digest(Hash);

impl Digest {
    /// Of all that says what the request means, besides labels.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Hash::default();
        parts.iter().for_each(|part| hash.part(part));
        Self(hash)
    }

    /// What [`LogSeries::content`] says of the profile at a place of the request.
    pub fn at(self, place: usize) -> [u8; 16] {
        let Self(mut hash) = self;
        hash.word(place as u128);
        hash.finish().to_le_bytes()
    }
}

#[derive(Clone, Copy, Debug)]
struct Hash(u128);

impl Default for Hash {
    /// Not zero, which words of zero would never leave. Digits of pi.
    fn default() -> Self {
        Self(0x243f_6a88_85a3_08d3_1319_8a2e_0370_7344)
    }
}

impl Hash {
    /// Takes in the length too, so that parts can't run into each other.
    fn part(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u128);
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.word(u128::from_le_bytes(*word));
        }
        let mut last = [0; 16];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u128::from_le_bytes(last));
    }

    /// Multiplying by an odd number and folding the upper half down lose nothing, so two inputs
    /// that differ in one word differ for good.
    fn word(&mut self, word: u128) {
        const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        self.0 = (self.0 ^ word).wrapping_mul(ODD);
        self.0 ^= self.0 >> 64;
    }

    fn finish(mut self) -> u128 {
        self.word(1);
        self.word(2);
        self.0.max(1)
    }
}

#[cfg(test)]
mod tests;
