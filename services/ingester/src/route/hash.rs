//! The hash by which series find their shards.
//!
//! It must be the same on all ingesters and in all versions, or two of them would send a series to
//! two owners: so it is our own, and its numbers are pinned by a test. Senders can choose labels
//! that agree; they crowd their own tenant's shards then, and nobody else's.

/// Takes parts in, in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hash(u64);

/// Digits of pi: not zero, which words of zero would never leave.
const SEED: u64 = 0x243f_6a88_85a3_08d3;
/// Odd, so that multiplying by it loses nothing: 2^64 divided by the golden ratio.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hash {
    pub(super) fn of(part: &[u8]) -> Self {
        Self(SEED).and(part)
    }

    /// Takes in the length too, so that parts can't run into each other.
    #[must_use]
    pub(super) fn and(mut self, part: &[u8]) -> Self {
        self.word(part.len() as u64);
        let (words, rest) = part.as_chunks();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last));
        self
    }

    fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(ODD);
        self.0 ^= self.0 >> 32;
    }

    pub(super) fn finish(self) -> u64 {
        mixed(self.0)
    }
}

/// Every bit of the input changes half of the bits of the output. Nothing is lost.
fn mixed(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A number of two, as good as random.
pub(super) fn pair(a: u64, b: u64) -> u64 {
    mixed(a ^ mixed(b.wrapping_add(ODD)))
}

/// A set of labels, whatever their order. `__name__` is not among them, so that all that a process
/// says about one moment stays together; empty labels mean the same as absent ones.
pub(super) fn labels(labels: &[(String, String)]) -> u64 {
    let counts =
        |(name, value): &&(String, String)| name != cairn_wal::NAME_LABEL && !value.is_empty();
    let hash =
        |(name, value): &(String, String)| Hash::of(name.as_bytes()).and(value.as_bytes()).finish();
    let each = labels.iter().filter(counts).map(hash);
    mixed(each.fold(SEED, u64::wrapping_add))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> u64 {
        let owned = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        labels(&pairs.iter().map(owned).collect::<Vec<_>>())
    }

    /// Ingesters of different versions speak to each other: these numbers never change.
    #[test]
    fn hashes_stay_what_they_are() {
        assert_eq!(Hash::of(b"anonymous").finish(), 0x8b11_0a73_f23f_ebe5);
        assert_eq!(pair(1, 2), 0xf282_6f98_653e_9e57);
        let set = of(&[("service_name", "cart"), ("pod", "cart-7")]);
        assert_eq!(set, 0x2e4d_a336_4e82_66ae);
    }

    #[test]
    fn a_set_of_labels_has_one_hash_and_another_set_another() {
        let set = of(&[("service_name", "cart"), ("pod", "cart-7")]);
        assert_eq!(of(&[("pod", "cart-7"), ("service_name", "cart")]), set);
        let named = [
            ("__name__", "memory"),
            ("pod", "cart-7"),
            ("zone", ""),
            ("service_name", "cart"),
        ];
        assert_eq!(of(&named), set);
        for other in [
            &[("service_name", "cart"), ("pod", "cart-8")][..],
            &[("service_name", "cart")],
            &[("service_namec", "art"), ("pod", "cart-7")],
            &[],
        ] {
            assert_ne!(of(other), set, "{other:?}");
        }
    }
}
