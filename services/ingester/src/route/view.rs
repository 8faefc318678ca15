//! The shard map as one ingester knows it: who owns what, and where they are.
//!
//! Owns what a map says, not when it is fetched.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use cairn_catalog::{Log, SHARDS};
use cairn_model::WriterId;

/// What the catalog says about shards and writers. It may be slightly old.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shards {
    /// Grows whenever a shard changes hands.
    pub epoch: u64,
    pub owners: Vec<(u16, WriterId)>,
    /// All that are open.
    pub writers: Vec<Peer>,
    /// Logs that ended and that nobody will write to; some of their profiles may be in no block.
    pub sealed: Vec<Predecessor>,
}

/// An open writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub id: WriterId,
    pub incarnation: u64,
    /// Whether others can read its log once this incarnation has ended.
    pub log: Log,
    /// Where it takes writes.
    pub address: String,
    /// What fails together with it.
    pub zone: String,
}

/// One run of a writer that had shards before.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Predecessor {
    pub writer: WriterId,
    pub incarnation: u64,
    /// The map by which shards were taken from it while it was open; 0 if it had ended.
    pub epoch: u64,
}

/// A map made quick to ask.
pub(crate) struct View {
    shards: Shards,
    /// Numbers of writers.
    owners: Vec<Option<u16>>,
    /// Numbers of zones, by writer. Zones without a shard have none.
    zones: Vec<Option<u16>>,
    zone_count: usize,
}

impl View {
    /// Entries that make no sense are left out: shards that don't exist, owners that are not open.
    pub(crate) fn new(shards: Shards) -> Self {
        let numbers = (0..u16::MAX).zip(&shards.writers);
        let numbers: HashMap<&WriterId, u16> = numbers.map(|(at, peer)| (&peer.id, at)).collect();
        let mut owners = vec![None; usize::from(SHARDS)];
        for (shard, owner) in &shards.owners {
            if let Some(place) = owners.get_mut(usize::from(*shard)) {
                *place = numbers.get(owner).copied();
            }
        }
        let has_some: BTreeSet<u16> = owners.iter().flatten().copied().collect();
        let mut names: HashMap<&str, u16> = HashMap::new();
        let zones = (0..).zip(&shards.writers).map(|(at, peer)| {
            let next = u16::try_from(names.len()).ok()?;
            let zone = has_some.contains(&at).then_some(&*peer.zone)?;
            Some(*names.entry(zone).or_insert(next))
        });
        Self {
            zones: zones.collect(),
            zone_count: names.len(),
            owners,
            shards,
        }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.shards.epoch
    }

    /// Open writers.
    pub(crate) fn writers(&self) -> &[Peer] {
        &self.shards.writers
    }

    pub(crate) fn shards(&self) -> &Shards {
        &self.shards
    }

    /// Who takes the writes of a shard; nobody while its owner is gone and no other was named.
    pub(crate) fn owner(&self, shard: u16) -> Option<&Peer> {
        let number = self.owners.get(usize::from(shard)).copied().flatten()?;
        self.shards.writers.get(usize::from(number))
    }

    /// The number of the zone that the shard's owner is in, if it has one.
    pub(super) fn zone(&self, shard: u16) -> Option<usize> {
        let number = self.owners.get(usize::from(shard)).copied().flatten()?;
        self.zones.get(usize::from(number))?.map(usize::from)
    }

    /// How many zones own shards. Their numbers are below.
    pub(super) fn zones(&self) -> usize {
        self.zone_count
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("epoch", &self.shards.epoch)
            .field("writers", &self.shards.writers)
            .finish_non_exhaustive()
    }
}
