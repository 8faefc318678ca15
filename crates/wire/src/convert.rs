//! Wire messages to domain types and back. Only what comes in is checked.

use cairn_model::{InvalidLabels, Labels, ProfileType};
use prost_types::{Duration, Timestamp};

use crate::parca::profilestore::v1alpha1::{Label, LabelSet};
use crate::parca::query::v1alpha1::ProfileType as ParcaProfileType;
use crate::types::v1::LabelPair;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

// === impl Labels ===

impl TryFrom<&LabelSet> for Labels {
    type Error = InvalidLabels;

    fn try_from(LabelSet { labels }: &LabelSet) -> Result<Self, Self::Error> {
        Self::from_pairs(labels.iter().map(|Label { name, value }| (name, value)))
    }
}

impl From<&Labels> for LabelSet {
    fn from(labels: &Labels) -> Self {
        let labels = labels.iter().map(|(name, value)| Label {
            name: name.to_owned(),
            value: value.to_owned(),
        });
        Self {
            labels: labels.collect(),
        }
    }
}

/// Labels as Pyroscope spells them.
pub fn labels_of_pairs(pairs: &[LabelPair]) -> Result<Labels, InvalidLabels> {
    Labels::from_pairs(pairs.iter().map(|LabelPair { name, value }| (name, value)))
}

/// Labels as Pyroscope spells them.
pub fn pairs_of_labels(labels: &Labels) -> Vec<LabelPair> {
    let pairs = labels.iter().map(|(name, value)| LabelPair {
        name: name.to_owned(),
        value: value.to_owned(),
    });
    pairs.collect()
}

// === impl ProfileType ===

impl From<ParcaProfileType> for ProfileType {
    fn from(wire: ParcaProfileType) -> Self {
        let ParcaProfileType {
            name,
            sample_type,
            sample_unit,
            period_type,
            period_unit,
            delta,
        } = wire;
        Self {
            name,
            sample_type,
            sample_unit,
            period_type,
            period_unit,
            delta,
        }
    }
}

impl From<ProfileType> for ParcaProfileType {
    fn from(model: ProfileType) -> Self {
        let ProfileType {
            name,
            sample_type,
            sample_unit,
            period_type,
            period_unit,
            delta,
        } = model;
        Self {
            name,
            sample_type,
            sample_unit,
            period_type,
            period_unit,
            delta,
        }
    }
}

// === Time ===

/// Why a time was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("timestamp {seconds}s {nanos}ns is not between the years 1677 and 2262")]
pub struct InvalidTimestamp {
    seconds: i64,
    nanos: i32,
}

/// Nanoseconds since the Unix epoch.
pub fn nanos(timestamp: &Timestamp) -> Result<i64, InvalidTimestamp> {
    let Timestamp { seconds, nanos } = *timestamp;
    in_nanos(seconds, nanos).ok_or(InvalidTimestamp { seconds, nanos })
}

/// The timestamp of nanoseconds since the Unix epoch.
pub fn timestamp(nanos: i64) -> Timestamp {
    Timestamp {
        seconds: nanos.div_euclid(NANOS_PER_SECOND),
        nanos: nanos.rem_euclid(NANOS_PER_SECOND) as i32,
    }
}

/// Nanoseconds of a span, as far as they can be counted.
pub fn nanos_of_duration(duration: &Duration) -> i64 {
    let Duration { seconds, nanos } = *duration;
    in_nanos(seconds, nanos).unwrap_or(if seconds < 0 { i64::MIN } else { i64::MAX })
}

/// The span of so many nanoseconds; both parts of a negative one are negative.
pub fn duration(nanos: i64) -> Duration {
    Duration {
        seconds: nanos / NANOS_PER_SECOND,
        nanos: (nanos % NANOS_PER_SECOND) as i32,
    }
}

fn in_nanos(seconds: i64, nanos: i32) -> Option<i64> {
    let total = i128::from(seconds) * i128::from(NANOS_PER_SECOND) + i128::from(nanos);
    i64::try_from(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_round_trip() {
        for at in [0, 1, -1, 1_700_000_000_123_456_789, i64::MIN, i64::MAX] {
            let wire = timestamp(at);
            assert!((0..1_000_000_000).contains(&wire.nanos));
            assert_eq!(nanos(&wire), Ok(at));
            assert_eq!(nanos_of_duration(&duration(at)), at);
        }
    }

    #[test]
    fn times_out_of_range_are_refused_or_capped() {
        let far = Timestamp {
            seconds: i64::MAX,
            nanos: i32::MAX,
        };
        assert!(nanos(&far).is_err());
        let long = Duration {
            seconds: i64::MIN,
            nanos: 0,
        };
        assert_eq!(nanos_of_duration(&long), i64::MIN);
    }

    #[test]
    fn labels_round_trip() {
        let labels = Labels::from_pairs([("pod", "cart-7"), ("a.b", "é")]).expect("valid");
        assert_eq!(
            Labels::try_from(&LabelSet::from(&labels)),
            Ok(labels.clone())
        );
        assert_eq!(labels_of_pairs(&pairs_of_labels(&labels)), Ok(labels));
        let twice = LabelSet {
            labels: vec![Label::default(); 2],
        };
        assert_eq!(Labels::try_from(&twice), Err(InvalidLabels::EmptyName));
    }

    #[test]
    fn profile_types_round_trip() {
        let text = "process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta";
        let model: ProfileType = text.parse().expect("valid");
        let wire = ParcaProfileType::from(model.clone());
        assert!(wire.delta);
        assert_eq!(ProfileType::from(wire), model);
    }
}
