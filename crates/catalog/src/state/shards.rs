//! Which writer takes the writes of which shard.
//!
//! Moving a shard moves future writes only: what the old owner has acknowledged stays with it.

use cairn_model::WriterId;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Refused;

/// Virtual shards; every tenant and service falls into some.
pub const SHARDS: u16 = 4096;

/// Who owns which shard. Shards that nobody was given have no owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ShardMap {
    epoch: u64,
    owners: BTreeMap<u16, Owner>,
}

/// Who owns a shard, and since which epoch: a write under an older one is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    pub writer: WriterId,
    pub epoch: u64,
}

impl ShardMap {
    /// Grows whenever a shard changes hands.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn owner(&self, shard: u16) -> Option<&Owner> {
        self.owners.get(&shard)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u16, &Owner)> {
        self.owners.iter().map(|(shard, owner)| (*shard, owner))
    }

    pub(super) fn assign(
        &mut self,
        epoch: u64,
        moves: Vec<(u16, WriterId)>,
        is_open: impl Fn(&WriterId) -> bool,
    ) -> Result<(), Refused> {
        if epoch != self.epoch {
            let current = self.epoch;
            return Err(Refused::Epoch { current });
        }
        if let Some((shard, _)) = moves.iter().find(|(shard, _)| *shard >= SHARDS) {
            let text = format!("there are {SHARDS} shards, and none with number {shard}");
            return Err(Refused::Invalid(text));
        }
        if let Some((_, writer)) = moves.iter().find(|(_, writer)| !is_open(writer)) {
            return Err(Refused::UnknownWriter(writer.clone()));
        }
        let epoch = epoch + 1;
        let mut has_changed = false;
        for (shard, writer) in moves {
            if self.owner(shard).is_none_or(|owner| owner.writer != writer) {
                self.owners.insert(shard, Owner { writer, epoch });
                has_changed = true;
            }
        }
        self.epoch += u64::from(has_changed);
        Ok(())
    }
}
