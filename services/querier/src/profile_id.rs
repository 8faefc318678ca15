//! Ids of single profiles.
//!
//! Nobody stores them: an id is the time at which a profile begins and a hash of its labels and type,
//! in the form of a UUID. So it stays the same wherever the profile is moved to, and says itself
//! where to look.

use std::collections::BTreeSet;
use std::fmt;

use cairn_model::{Labels, ProfileType};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::error::Error;

/// Ids of one request, of profiles, traces or spans.
pub(crate) const IDS_MAX: usize = 1_000;
/// What is left for the hash besides 64 bits of time and the 6 bits that every UUID gives away.
const HASH_BITS: u32 = 58;
/// The version of UUIDs whose meaning is their maker's.
const VERSION: u128 = 8;
const VARIANT: u128 = 0b10;

/// Profiles of one series that begin at the same nanosecond have one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProfileId {
    pub(crate) time: i64,
    hash: u64,
}

/// None if all profiles are meant. Ids that nobody here gave to a profile select nothing. `field` is
/// how clients call them.
pub(crate) fn profile_ids(
    field: &str,
    ids: &[String],
) -> Result<Option<BTreeSet<ProfileId>>, Error> {
    if ids.is_empty() {
        return Ok(None);
    }
    count_of(field, ids)?;
    let parse = |id: &String| {
        let shown: String = id.chars().take(72).collect();
        let refused = |_| Error::Invalid(format!("{field}: {shown:?} is no UUID"));
        ProfileId::parse(id).map_err(refused)
    };
    let found: Result<Vec<_>, _> = ids.iter().map(parse).collect();
    Ok(Some(found?.into_iter().flatten().collect()))
}

pub(crate) fn count_of(field: &str, ids: &[String]) -> Result<(), Error> {
    match ids.len() {
        ..=IDS_MAX => Ok(()),
        count => Err(Error::Invalid(format!(
            "{field}: {count} ids; at most {IDS_MAX} are allowed"
        ))),
    }
}

/// Makes the ids of one series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdsOf(u64);

impl IdsOf {
    pub(crate) fn new(labels: &Labels, profile_type: &ProfileType) -> Self {
        let mut hasher = Sha256::new();
        let mut text = |text: &str| {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text);
        };
        text(&profile_type.to_string());
        for (name, value) in labels.iter() {
            text(name);
            text(value);
        }
        let hash = hasher.finalize();
        let first = hash.first_chunk().expect("a hash has 32 bytes");
        Self(u64::from_be_bytes(*first) >> (64 - HASH_BITS))
    }

    pub(crate) fn at(self, time: i64) -> ProfileId {
        ProfileId { time, hash: self.0 }
    }
}

impl ProfileId {
    /// None if it is somebody else's.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, uuid::Error> {
        let bits = Uuid::parse_str(text)?.as_u128();
        if (bits >> 76) & 0xf != VERSION || (bits >> 62) & 0b11 != VARIANT {
            return Ok(None);
        }
        let high = bits >> 80 << 12 | (bits >> 64) & 0xfff;
        let bits = high << 62 | bits & ((1 << 62) - 1);
        Ok(Some(Self {
            time: ((bits >> HASH_BITS) as u64).cast_signed(),
            hash: bits as u64 & ((1 << HASH_BITS) - 1),
        }))
    }
}

impl fmt::Display for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from(self.time.cast_unsigned()) << HASH_BITS | u128::from(self.hash);
        let (high, low) = (bits >> 62, bits & ((1 << 62) - 1));
        let uuid = high >> 12 << 80 | VERSION << 76 | (high & 0xfff) << 64 | VARIANT << 62 | low;
        Uuid::from_u128(uuid).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(pairs: &[(&str, &str)], profile_type: &str) -> IdsOf {
        let labels = Labels::from_pairs(pairs.iter().copied()).expect("valid");
        IdsOf::new(&labels, &profile_type.parse().expect("valid"))
    }

    const CPU: &str = "cpu:cpu:ns:cpu:ns";

    #[test]
    fn an_id_stays_as_it_is() {
        let id = ids(&[("pod", "a"), ("zone", "b")], CPU).at(1_795_000_000_123_456_789);
        assert_eq!(id.to_string(), "18e91efd-632f-84d1-94c2-69a738d2cf7c");
    }

    #[test]
    fn whatever_identifies_a_profile_changes_its_id() {
        let of = |pairs: &[(&str, &str)], profile_type, time| ids(pairs, profile_type).at(time);
        let all = [
            of(&[("pod", "a")], CPU, 1),
            of(&[("pod", "a")], CPU, 2),
            of(&[("pod", "b")], CPU, 1),
            of(&[("po", "da")], CPU, 1),
            of(&[], CPU, 1),
            of(&[("pod", "a")], "cpu:cpu:ns:cpu:ns:delta", 1),
        ];
        let texts: BTreeSet<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), all.len());
    }

    #[test]
    fn ids_of_others_are_told_apart_from_what_is_none() {
        let random = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
        assert_eq!(ProfileId::parse(random).expect("a UUID"), None);
        for bad in ["", "7c9e6679", "xyz"] {
            assert!(ProfileId::parse(bad).is_err(), "{bad}");
            assert!(profile_ids("ids", &[bad.to_owned()]).is_err(), "{bad}");
        }
        let strange = [random.to_owned()];
        let none = Some(BTreeSet::new());
        assert_eq!(profile_ids("ids", &strange).expect("valid"), none);
        assert_eq!(profile_ids("ids", &[]).expect("valid"), None);
        let many = vec![random.to_owned(); IDS_MAX + 1];
        assert!(profile_ids("ids", &many).is_err());
    }

    proptest! {
        #[test]
        fn ids_are_read_back(time: i64, hash in 0..1u64 << HASH_BITS) {
            let id = ProfileId { time, hash };
            let text = id.to_string();
            prop_assert_eq!(ProfileId::parse(&text).expect("a UUID"), Some(id));
            let uuid = Uuid::parse_str(&text).expect("a UUID");
            prop_assert_eq!(uuid.get_version_num(), 8);
            prop_assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
        }
    }
}
