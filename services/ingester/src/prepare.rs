//! A push to rows and a log entry: decoding, checking, naming, dating. Pure, and safe to run
//! anywhere; storing what comes out is the writer's business.

mod limits;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_model::{Labels, Limits, Profile, Tables, TenantId};
use cairn_pprof::{Decoder, ExecutableInfo, Options, usual_name};
use cairn_wal::{
    Encoding, Entry, Kept, NAME_LABEL, Payload, Row, Span, batch_hash, log_executable, pack,
    pack_tables, split_name, unpack, unpack_tables,
};
use cairn_wire::cairn::ingest::v1::{LogLabel, LogSeries};

use crate::config::Config;
use crate::error::{Place, Refusal};
use crate::push::{
    Altered, Naming, Push, REPLACED_STRINGS, Raw, Series, TRUNCATED_SAMPLES, TRUNCATED_STACKS,
};

/// What a push is held against.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) limits: Limits,
    /// Bytes of all profiles of one push after inflating.
    pub(crate) plain_bytes_max: usize,
    pub(crate) age_max: Option<Duration>,
    pub(crate) skew_max: Duration,
}

/// The profiles of one push that can be stored.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) tenant: TenantId,
    pub(crate) span: Span,
    pub(crate) encoding: Encoding,
    pub(crate) normalized: bool,
    pub(crate) kept: Kept,
    /// Of packed profiles.
    pub(crate) tables: Vec<Bytes>,
    pub(crate) items: Vec<Item>,
}

/// One profile: as the log keeps it, and as the tail does.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) logged: LogSeries,
    pub(crate) row: Row,
}

impl Ready {
    /// What the log keeps. Only rows are left here.
    pub(crate) fn take_payload(&mut self) -> Payload {
        let items = self.items.iter_mut();
        let entry = Entry {
            tenant: self.tenant.clone(),
            span: self.span,
            encoding: self.encoding,
            normalized: self.normalized,
            kept: self.kept,
            tables: std::mem::take(&mut self.tables),
            series: items.map(|item| std::mem::take(&mut item.logged)).collect(),
        };
        let hashes = self.items.iter().map(|item| item.row.batch);
        Payload {
            bytes: entry.encode(),
            hashes: hashes.filter(|hash| *hash != 0).collect(),
        }
    }
}

impl Rules {
    pub(crate) fn new(config: &Config) -> Self {
        let inflight = config.admission.inflight_bytes_max.as_u64();
        Self {
            limits: config.limits,
            plain_bytes_max: usize::try_from(inflight).unwrap_or(usize::MAX),
            age_max: config.age_max,
            skew_max: config.skew_max,
        }
    }
}

/// What is to be stored of a push, and what is not.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) ready: Ready,
    pub(crate) refused: Vec<Refusal>,
    pub(crate) altered: Vec<Altered>,
}

/// Decodes and checks every profile. One that can't be stored does not stop the others.
pub(crate) fn prepare(mut push: Push, rules: &Rules) -> Prepared {
    let span = Span {
        received: push.received,
        from: push.from,
        until: push.until,
    };
    let (encoding, count) = (push.encoding(), push.profiles());
    let all = std::mem::take(&mut push.series);
    let mut work = Work {
        push: &push,
        rules,
        span,
        decoder: Decoder::default(),
        tables: Packed::all(&push, &rules.limits),
        plain_left: rules.plain_bytes_max,
        truncated_samples: 0,
        truncated_stacks: 0,
        replaced_strings: 0,
    };
    let mut items = Vec::with_capacity(count);
    let mut refused = Vec::new();
    for (at, mut series) in all.into_iter().enumerate() {
        let raws = std::mem::take(&mut series.profiles);
        if raws.is_empty() {
            // Labels are held against the rules even where nothing is stored under them.
            if let Err(bad) = named_labels(&series, &rules.limits) {
                refused.push(bad.at(place(at, None, &series), 0));
            }
        }
        for (sample, raw) in raws.into_iter().enumerate() {
            let bytes = raw.bytes();
            match work.item(&series, raw) {
                Ok(item) => items.push(item),
                Err(bad) => refused.push(bad.at(place(at, Some(sample), &series), bytes)),
            }
        }
    }
    let ready = Ready {
        tenant: push.tenant.clone(),
        span,
        encoding,
        normalized: push.normalized,
        kept: Kept::from(&rules.limits),
        tables: work.tables.into_iter().map(|of| of.bytes).collect(),
        items,
    };
    Prepared {
        ready,
        refused,
        altered: vec![
            (TRUNCATED_SAMPLES, work.truncated_samples),
            (TRUNCATED_STACKS, work.truncated_stacks),
            (REPLACED_STRINGS, work.replaced_strings),
        ],
    }
}

/// Characters of a name that an answer repeats.
const SHOWN_MAX: usize = 100;

/// Where a profile is in its push.
pub(crate) fn place(series: usize, sample: Option<usize>, labels: &Series) -> Place {
    let name = labels.labels.iter().find(|(name, _)| name == NAME_LABEL);
    Place::Profile {
        series,
        sample,
        name: name.map(|(_, name)| name.chars().take(SHOWN_MAX).collect()),
    }
}

/// Why one profile is refused.
#[derive(Debug)]
struct Bad {
    kind: &'static str,
    reason: String,
}

impl Bad {
    fn new(kind: &'static str, reason: impl ToString) -> Self {
        let reason = reason.to_string();
        Self { kind, reason }
    }

    fn at(self, place: Place, bytes: usize) -> Refusal {
        let Self { kind, reason } = self;
        Refusal {
            place,
            reason,
            kind,
            bytes: bytes as u64,
        }
    }
}

/// Tables of packed profiles.
struct Packed {
    bytes: Bytes,
    /// Or why profiles that refer to them are refused.
    tables: Result<Arc<Tables>, String>,
}

impl Packed {
    /// Those that came with a push.
    fn all(push: &Push, limits: &Limits) -> Vec<Self> {
        let read = |bytes: &Bytes| {
            let tables = unpack_tables(bytes).map_err(|error| error.to_string())?;
            limits::check_tables(&tables, limits)?;
            Ok(Arc::new(tables))
        };
        let packed = push.tables.iter().map(|bytes| Self {
            tables: read(bytes),
            bytes: bytes.clone(),
        });
        packed.collect()
    }

    fn is_of(&self, profile: &Profile) -> bool {
        let tables = self.tables.as_ref();
        tables.is_ok_and(|tables| Arc::ptr_eq(tables, &profile.tables))
    }
}

struct Work<'a> {
    push: &'a Push,
    rules: &'a Rules,
    span: Span,
    decoder: Decoder,
    tables: Vec<Packed>,
    plain_left: usize,
    truncated_samples: u64,
    truncated_stacks: u64,
    replaced_strings: u64,
}

impl Work<'_> {
    fn item(&mut self, series: &Series, raw: Raw) -> Result<Item, Bad> {
        let (name, labels) = named_labels(series, &self.rules.limits)?;
        if name.is_none() && series.naming == Naming::Required {
            return Err(Bad::new("labels", "missing __name__ label"));
        }
        let (profile, logged) = self.read(raw)?;
        let name = match (name, &series.naming) {
            (None, Naming::ByTypes(display)) => usual_name(&profile, display),
            (name, _) => name.unwrap_or_default(),
        };
        check_type_names(&name, &profile)?;
        let time = self.span.time_of(&profile);
        self.check_time(time)?;
        let logged = LogSeries {
            labels: log_labels(&name, &labels),
            sample_type_config: series.sample_type_config.clone(),
            sample_rate: series.sample_rate,
            ..logged
        };
        let batch = match self.span.says_when(&profile) {
            true => batch_hash(&self.push.tenant, &self.span, &logged),
            false => 0,
        };
        let row = Row {
            name: name.into(),
            labels,
            time,
            batch,
            profile,
        };
        Ok(Item { logged, row })
    }

    /// The profile, and what the log keeps of it.
    fn read(&mut self, raw: Raw) -> Result<(Profile, LogSeries), Bad> {
        let shared = |profile: Bytes, tables, content: [u8; 16]| LogSeries {
            profile,
            tables,
            content: content.to_vec().into(),
            ..LogSeries::default()
        };
        match raw {
            Raw::Pprof { bytes, executables } => {
                let profile = self.decode(&bytes, &executables)?;
                let logged = LogSeries {
                    profile: bytes,
                    executables: executables.iter().map(log_executable).collect(),
                    ..LogSeries::default()
                };
                Ok((profile, logged))
            }
            Raw::Decoded { profile, content } => {
                let bytes = pack(&profile).into();
                let logged = shared(bytes, self.packed_tables(&profile), content);
                Ok((profile, logged))
            }
            Raw::Packed {
                bytes,
                tables,
                content,
            } => {
                let bad = |reason: &dyn std::fmt::Display| Bad::new("profile", reason);
                let profile = match self.tables.get(tables as usize).map(|of| &of.tables) {
                    Some(Ok(of)) => unpack(&bytes, of).map_err(|error| bad(&error))?,
                    Some(Err(error)) => return Err(bad(error)),
                    None => return Err(bad(&"its tables are missing")),
                };
                let checked = limits::check_profile(&profile, &self.rules.limits);
                checked.map_err(|error| bad(&error))?;
                Ok((profile, shared(bytes, tables, content)))
            }
        }
    }

    /// Where the tables of a profile are among those that are packed.
    fn packed_tables(&mut self, profile: &Profile) -> u32 {
        let known = self.tables.iter().rposition(|of| of.is_of(profile));
        let at = known.unwrap_or_else(|| {
            self.tables.push(Packed {
                bytes: pack_tables(&profile.tables).into(),
                tables: Ok(Arc::clone(&profile.tables)),
            });
            self.tables.len() - 1
        });
        at as u32
    }

    fn decode(&mut self, raw: &[u8], executables: &[ExecutableInfo]) -> Result<Profile, Bad> {
        let limits = Limits {
            profile_bytes_max: self.rules.limits.profile_bytes_max.min(self.plain_left),
            ..self.rules.limits
        };
        let options = Options {
            normalized: self.push.normalized,
            executable_info: executables,
        };
        let decoded = self.decoder.decode(raw, &limits, &options);
        let decoded = decoded.map_err(|error| {
            let all = self.rules.plain_bytes_max;
            match limits.profile_bytes_max < self.rules.limits.profile_bytes_max {
                true => Bad::new(
                    "profile",
                    format!("{error}; profiles of one push together: inflight_bytes_max={all}"),
                ),
                false => Bad::new("profile", error),
            }
        })?;
        self.truncated_samples += decoded.truncated_samples;
        self.truncated_stacks += decoded.truncated_stacks;
        self.replaced_strings += decoded.replaced_strings;
        self.plain_left -= decoded.plain_bytes.min(self.plain_left);
        Ok(decoded.profile)
    }

    fn check_time(&self, time: i64) -> Result<(), Bad> {
        let age = i128::from(self.span.received) - i128::from(time);
        let nanos = |limit: Duration| limit.as_nanos().cast_signed();
        let Rules {
            age_max, skew_max, ..
        } = *self.rules;
        if let Some(max) = age_max.filter(|max| age > nanos(*max)) {
            let (age, max) = (age / NANOS_PER_SECOND, max.as_secs());
            let reason = format!("profile is {age} s old, more than age_max={max}s");
            return Err(Bad::new("time", reason));
        }
        if -age > nanos(skew_max) {
            let (ahead, max) = (-age / NANOS_PER_SECOND, skew_max.as_secs());
            let reason = format!("profile is {ahead} s in the future, more than skew_max={max}s");
            return Err(Bad::new("time", reason));
        }
        Ok(())
    }
}

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// The profile's name, if it has one, and its other labels.
fn named_labels(series: &Series, limits: &Limits) -> Result<(Option<String>, Labels), Bad> {
    let over = |what: &str, len: usize, name: &str, max: usize| {
        Err(Bad::new(
            "labels",
            format!("{what} ({len}): more than {name}={max}"),
        ))
    };
    let count = series.labels.len();
    if count > limits.labels_max {
        return over("too many labels", count, "labels_max", limits.labels_max);
    }
    for (name, value) in &series.labels {
        let (name_max, value_max) = (limits.label_name_bytes_max, limits.label_value_bytes_max);
        if name.len() > name_max {
            return over(
                "a label name is too long",
                name.len(),
                "label_name_bytes_max",
                name_max,
            );
        }
        if value.len() > value_max {
            let what = format!("the value of label {name:?} is too long");
            return over(&what, value.len(), "label_value_bytes_max", value_max);
        }
    }
    let pairs = series.labels.iter().map(|(name, value)| (name, value));
    let all = Labels::from_pairs(pairs).map_err(|error| Bad::new("labels", error))?;
    Ok(split_name(&all))
}

/// The parts of a profile type are joined by colons, so none may hold one.
fn check_type_names(name: &str, profile: &Profile) -> Result<(), Bad> {
    let in_name = |c: char| c == ':' || c.is_whitespace() || "{}\"".contains(c);
    if name.is_empty() || name.contains(in_name) {
        let reason = format!("invalid profile name {name:?}: no spaces, ':', '{{', '}}' or '\"'");
        return Err(Bad::new("labels", reason));
    }
    if profile.types.is_empty() {
        return Err(Bad::new(
            "profile",
            "invalid profile: it has no sample types",
        ));
    }
    for value_type in profile.types.iter().chain([&profile.period_type]) {
        for text in [profile.str(value_type.kind), profile.str(value_type.unit)] {
            if text.contains([':', '{']) {
                let reason = format!("invalid profile: type or unit {text:?} holds ':' or '{{'");
                return Err(Bad::new("profile", reason));
            }
        }
    }
    Ok(())
}

fn log_labels(name: &str, labels: &Labels) -> Vec<LogLabel> {
    let pairs = std::iter::once((NAME_LABEL, name)).chain(labels.iter());
    pairs
        .map(|(name, value)| LogLabel {
            name: name.to_owned(),
            value: value.to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
