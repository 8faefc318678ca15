//! Which release of the protocol wrote a request. Owns the decision; the field numbers that follow
//! from it are in [`read`].
//!
//! All releases share one package name and one URL, and renumber fields freely. What was written
//! shows in the wire types: a field that is a number in one release is a list in another. Every
//! field of every profile and sample is held against what each release has there; the release with
//! the fewest contradictions is taken, the newest of several.

mod evidence;
pub(crate) mod read;

use std::fmt;

use crate::Error;
use crate::dictionary::{Dictionary, Kind};

pub(crate) use evidence::Evidence;

/// A numbering of the fields, named after the release that brought it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layout {
    V1_7,
    V1_8,
    V1_9,
    /// Also of all later releases so far.
    V1_10,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_7 => "1.7",
            Self::V1_8 => "1.8",
            Self::V1_9 => "1.9",
            Self::V1_10 => "1.10",
        })
    }
}

/// Newest first: the first of equals is taken.
const NEWEST_FIRST: [Layout; 4] = [Layout::V1_10, Layout::V1_9, Layout::V1_8, Layout::V1_7];

/// What stands at a field number.
#[derive(Clone, Copy)]
enum Field {
    Varint,
    Fixed,
    Bytes,
    /// Packed numbers, which writers may leave unpacked.
    Varints,
    /// Packed fixed64 numbers.
    Fixeds,
}

use Field::{Bytes, Fixed, Fixeds, Varint, Varints};

impl Layout {
    /// Fields 1, 2, … of a profile.
    fn profile(self) -> &'static [Field] {
        match self {
            Self::V1_7 => &[
                Bytes, Bytes, Varints, Varint, Varint, Bytes, Varint, Varints, Varint, Bytes,
                Varint, Bytes, Bytes, Varints,
            ],
            Self::V1_8 => &[
                Bytes, Bytes, Fixed, Varint, Bytes, Varint, Varints, Bytes, Varint, Bytes, Bytes,
                Varints,
            ],
            Self::V1_9 | Self::V1_10 => &[
                Bytes, Bytes, Fixed, Varint, Bytes, Varint, Bytes, Varint, Bytes, Bytes, Varints,
            ],
        }
    }

    /// Fields 1, 2, … of a sample.
    fn sample(self) -> &'static [Field] {
        match self {
            Self::V1_7 => &[Varint, Varint, Varints, Varints, Varint, Varints],
            Self::V1_8 | Self::V1_9 => &[Varint, Varints, Varints, Varint, Fixeds],
            Self::V1_10 => &[Varint, Varints, Varint, Varints, Fixeds],
        }
    }
}

/// What contradicts a layout: first what can't be, and only between equals what no writer does.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    hard: u64,
    soft: u64,
}

/// A field that the release can't have there.
const IMPOSSIBLE: u64 = 10;
/// A field that makes no sense beside the others, or that the release does not know.
const STRANGE: u64 = 1;

impl Layout {
    pub(crate) fn detect(evidence: &Evidence, dictionary: &Dictionary<'_>) -> Result<Self, Error> {
        if !evidence.has_dictionary && evidence.profile_tables {
            return Err(unsupported("1.5 or older"));
        }
        let tables = evidence::Tables::of(dictionary);
        let costs = NEWEST_FIRST.map(|layout| (layout.cost(evidence, &tables), layout));
        let best = costs.iter().min_by_key(|(cost, _)| *cost);
        Ok(best.expect("there are layouts").1)
    }

    fn cost(self, evidence: &Evidence, tables: &evidence::Tables) -> Cost {
        let is_old = self == Self::V1_7;
        let has_references = self == Self::V1_10;
        let has_comments = self <= Self::V1_8;
        let references = evidence.references + tables.references;
        let mut cost = self.identity_cost(evidence);
        cost.add_fields(&evidence.profiles, self.profile(), self);
        cost.add_fields(&evidence.samples, self.sample(), self);
        for (is_wrong, weight) in [
            (is_old && tables.key_references > 0, IMPOSSIBLE),
            (!is_old && tables.inline_keys > 0, IMPOSSIBLE),
            (!is_old && tables.unit_rows > 0, STRANGE),
            (is_old && tables.stack_rows > 0, IMPOSSIBLE),
            (!is_old && tables.old_flags > 0, STRANGE),
            (is_old && tables.new_locations > 0, IMPOSSIBLE),
            (!has_references && references > 0, IMPOSSIBLE),
            (!has_comments && evidence.temporalities > 0, IMPOSSIBLE),
        ] {
            cost.add_hard(u64::from(is_wrong), weight);
        }
        cost.soft = cost.soft.saturating_add(match self {
            Self::V1_7 => 0,
            Self::V1_8 | Self::V1_9 => evidence.no_values,
            Self::V1_10 => evidence.no_attributes,
        });
        cost
    }

    /// Field 7 is a profile's id or its comments; its original is in 9 and 10, or in 10 and 11.
    fn identity_cost(self, evidence: &Evidence) -> Cost {
        let mut cost = Cost::default();
        match self {
            Self::V1_7 => {}
            Self::V1_8 => cost.soft = evidence.id_like,
            Self::V1_9 | Self::V1_10 => {
                cost.add_hard(evidence.not_id_like, STRANGE);
                cost.add_hard(evidence.lonely_10, STRANGE);
            }
        }
        cost
    }
}

impl Cost {
    fn add_hard(&mut self, times: u64, weight: u64) {
        self.hard = self.hard.saturating_add(times.saturating_mul(weight));
    }

    fn add_fields(&mut self, seen: &evidence::Seen, fields: &[Field], layout: Layout) {
        for (number, [varints, fixeds, bytes]) in seen.iter().enumerate().skip(1) {
            let all = varints.saturating_add(*fixeds).saturating_add(*bytes);
            let (wrong, unusual) = match fields.get(number - 1) {
                Some(Varint) => (fixeds.saturating_add(*bytes), 0),
                Some(Fixed) => (varints.saturating_add(*bytes), 0),
                Some(Bytes) => (varints.saturating_add(*fixeds), 0),
                Some(Varints) => (*fixeds, *varints),
                Some(Fixeds) => (*varints, *fixeds),
                // A release to come may add fields to the newest layout.
                None if layout == Layout::V1_10 => (0, all),
                None => (all, 0),
            };
            self.add_hard(wrong, IMPOSSIBLE);
            self.soft = self.soft.saturating_add(unusual);
        }
    }
}

pub(crate) fn unsupported(release: &str) -> Error {
    Error::Unsupported(
        format!(
            "this is release {release}, but 1.7 and newer are read; upgrade the sender, \
             an OpenTelemetry Collector to 0.148 or newer"
        )
        .into(),
    )
}

/// As [`unsupported`], for JSON, in which 1.7 is another message.
pub(crate) fn unsupported_json(release: &str) -> Error {
    Error::Unsupported(
        format!("this is release {release}, but of JSON 1.8 and newer are read").into(),
    )
}

/// Attribute rows that a request has, for judging numbers that may be indices.
pub(crate) fn attribute_rows(dictionary: &Dictionary<'_>) -> u64 {
    dictionary.len(Kind::Attribute) as u64
}
