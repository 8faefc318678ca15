//! Who takes the writes of which shard, as routers need it.

use std::collections::BTreeMap;

use cairn_model::WriterId;

use crate::{Log, Owner, SHARDS, State};

/// Owners of all shards, and where they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shards {
    /// Grows whenever a shard changes hands.
    pub epoch: u64,
    /// By shard, [`SHARDS`] of them; `None`: nobody's.
    pub owners: Vec<Option<Owner>>,
    /// Every open writer. An owner that is not among them takes no writes.
    pub writers: BTreeMap<WriterId, Place>,
    /// Incarnations that are gone and whose logs are not wholly in blocks.
    pub sealed: Vec<(WriterId, u64)>,
}

/// Where a writer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub incarnation: u64,
    pub log: Log,
    pub address: String,
    pub zone: String,
}

impl Shards {
    pub(crate) fn of(state: &State) -> Self {
        let map = state.shards();
        Self {
            epoch: map.epoch(),
            owners: (0..SHARDS).map(|shard| map.owner(shard).cloned()).collect(),
            writers: Self::places(state),
            sealed: Self::sealed(state),
        }
    }

    fn sealed(state: &State) -> Vec<(WriterId, u64)> {
        let sealed = state.sealed().into_iter();
        sealed.map(|log| (log.id, log.incarnation)).collect()
    }

    fn places(state: &State) -> BTreeMap<WriterId, Place> {
        let place = |writer: crate::Writer| {
            let crate::Writer {
                id,
                incarnation,
                address,
                zone,
                log,
                flushed_lsn: _,
            } = writer;
            let place = Place {
                incarnation,
                log,
                address,
                zone,
            };
            (id, place)
        };
        state.open_writers().into_iter().map(place).collect()
    }

    /// Whether this is what `state` says.
    pub(crate) fn is_of(&self, state: &State) -> bool {
        self.epoch == state.shards().epoch()
            && self.owners.len() == usize::from(SHARDS)
            && self.writers == Self::places(state)
            && self.sealed == Self::sealed(state)
    }

    /// Who takes writes of a shard.
    pub fn owner(&self, shard: u16) -> Option<&Owner> {
        self.owners.get(usize::from(shard))?.as_ref()
    }
}
