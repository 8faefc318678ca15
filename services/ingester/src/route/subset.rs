//! From a series to its shard. Pure: the same map and the same sizes give the same shard on every
//! ingester.
//!
//! A tenant uses some of all shards, so that no two tenants share more than a few and a tenant that
//! hurts its owners hurts few others. A service uses some of its tenant's shards, one as a rule, so
//! that what is alike ends up in the same blocks. How many they use is decided elsewhere.

use cairn_catalog::SHARDS;
use cairn_model::TenantId;

use super::hash::{Hash, labels, pair};
use super::view::View;

/// The label by which profiles of one tenant are kept together.
const SERVICE_LABEL: &str = "service_name";

/// The shards of one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subset(Vec<u16>);

impl Subset {
    /// The first `size` shards of the tenant's own order, but from no zone more than its even share,
    /// as long as others have some. Shards without an owner have no zone.
    ///
    /// So a shard that moves to another zone changes the subsets only of tenants that have their
    /// share of one of the two.
    pub(super) fn new(view: &View, tenant: &TenantId, size: u16) -> Self {
        let size = usize::from(size.clamp(1, SHARDS));
        let seed = Hash::of(tenant.as_str().as_bytes()).finish();
        let share = size.div_ceil(view.zones().max(1));
        let mut counts = vec![0usize; view.zones()];
        let (mut taken, mut passed) = (Vec::with_capacity(size), Vec::new());
        for index in 0..SHARDS {
            if taken.len() == size {
                break;
            }
            let shard = permuted(seed, index);
            let count = view.zone(shard).map(|zone| &mut counts[zone]);
            match count {
                Some(count) if *count >= share => passed.push(shard),
                Some(count) => {
                    *count += 1;
                    taken.push(shard);
                }
                None => taken.push(shard),
            }
        }
        passed.truncate(size - taken.len());
        taken.extend(passed);
        Self(taken)
    }

    /// The shard of a series whose service uses `size` shards.
    pub(super) fn shard(&self, series: &[(String, String)], size: u16) -> u16 {
        let service = service(series).as_bytes();
        let service = Hash::of(service).finish();
        let weight = |shard: &u16| (pair(service, u64::from(*shard)), *shard);
        if size <= 1 {
            let most = self.0.iter().copied().max_by_key(weight);
            return most.expect("a subset is never empty");
        }
        let mut shards = self.0.clone();
        let size = usize::from(size);
        if size < shards.len() {
            shards.select_nth_unstable_by_key(size, |shard| std::cmp::Reverse(weight(shard)));
            shards.truncate(size);
        }
        let series = labels(series);
        let most = shards.into_iter();
        let most = most.max_by_key(|shard| (pair(series, u64::from(*shard)), *shard));
        most.expect("a subset is never empty")
    }

    #[cfg(test)]
    pub(super) fn shards(&self) -> &[u16] {
        &self.0
    }
}

/// The service that a series belongs to; empty if it doesn't say.
pub(super) fn service(series: &[(String, String)]) -> &str {
    let label = series.iter().find(|(name, _)| name == SERVICE_LABEL);
    label.map_or("", |(_, value)| value)
}

/// Rounds after which the order has no pattern left.
const ROUNDS: u64 = 6;
const HALF_BITS: u32 = SHARDS.ilog2() / 2;
const _: () = assert!(SHARDS.is_power_of_two() && SHARDS.ilog2().is_multiple_of(2));

/// Shard number `index` in the order that belongs to `seed`: each comes once. A Feistel network.
fn permuted(seed: u64, index: u16) -> u16 {
    let half = (1 << HALF_BITS) - 1;
    let (mut left, mut right) = (index >> HALF_BITS, index & half);
    for round in 0..ROUNDS {
        let noise = pair(seed, round << HALF_BITS | u64::from(right));
        (left, right) = (right, left ^ (noise as u16 & half));
    }
    left << HALF_BITS | right
}

#[cfg(test)]
mod tests;
