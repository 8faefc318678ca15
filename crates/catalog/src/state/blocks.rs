//! Blocks that queries read, those that were swapped out, and lists of old ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cairn_model::{BlockId, TenantId, TimeRange};
use serde::{Deserialize, Serialize};

use super::Refused;
use super::by_id::ById;
use crate::{BlockMeta, Manifest, Tombstone};

/// Blocks that one command may name.
const BLOCKS_MAX: usize = 10_000;

/// An object that no block or manifest refers to is swept up after twice this time. Whoever took
/// longer to commit a block makes it anew, lest its object be gone.
const UNCOMMITTED_MS_MAX: i64 = 12 * 60 * 60 * 1000;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Blocks(BTreeMap<TenantId, Arc<TenantBlocks>>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct TenantBlocks {
    blocks: ById<BlockMeta>,
    tombstones: ById<Tombstone>,
    /// By day.
    #[serde(default)]
    manifests: BTreeMap<i64, Manifest>,
}

impl Blocks {
    /// Whether these may become live. Names are not reused within a tenant: an object's key must
    /// mean one block.
    pub(super) fn check_new(&self, blocks: &[BlockMeta], at_unix_ms: i64) -> Result<(), Refused> {
        at_most(blocks.len())?;
        let mut seen = BTreeSet::new();
        for block in blocks {
            let tenant = self.0.get(&block.tenant);
            let known = tenant.is_some_and(|tenant| tenant.knows(&block.id));
            if known || !seen.insert((&block.tenant, block.id)) {
                return Err(Refused::Known(block.id));
            }
            if block.range.start > block.range.end {
                let text = format!("block {} ends before it starts", block.id);
                return Err(Refused::Invalid(text));
            }
            check_age(block.id, block.created_unix_ms, at_unix_ms)?;
        }
        Ok(())
    }

    pub(super) fn insert(&mut self, blocks: Vec<BlockMeta>) {
        for block in blocks {
            let tenant = self.0.entry(block.tenant.clone()).or_default();
            Arc::make_mut(tenant).blocks.insert(block.id, block);
        }
    }

    /// Whether these are live, each named once.
    pub(super) fn check_inputs(
        &self,
        tenant: &TenantId,
        inputs: &[BlockId],
    ) -> Result<(), Refused> {
        at_most(inputs.len())?;
        if inputs.is_empty() {
            return Err(Refused::Invalid("a replacement needs inputs".to_owned()));
        }
        let distinct: BTreeSet<&BlockId> = inputs.iter().collect();
        if distinct.len() != inputs.len() {
            return Err(Refused::Invalid("an input is named twice".to_owned()));
        }
        let known = self.0.get(tenant);
        let live = |id: &&BlockId| known.is_some_and(|known| known.blocks.contains_key(id));
        match inputs.iter().find(|id| !live(id)) {
            Some(gone) => Err(Refused::NotLive(*gone)),
            None => Ok(()),
        }
    }

    /// Whether no block meets the inputs but those that they were compared with.
    pub(super) fn check_compared(
        &self,
        tenant: &TenantId,
        inputs: &[BlockId],
        compared: &[BlockId],
    ) -> Result<(), Refused> {
        at_most(inputs.len())?;
        at_most(compared.len())?;
        let Some(known) = self.0.get(tenant) else {
            return Ok(());
        };
        let seen: BTreeSet<&BlockId> = inputs.iter().chain(compared).collect();
        let ranges = inputs.iter().filter_map(|id| known.blocks.get(id));
        let Some(range) = ranges
            .map(|block| block.range)
            .reduce(|all, range| all.union(&range))
        else {
            return Ok(());
        };
        let is_new = |block: &&BlockMeta| block.range.overlaps(&range) && !seen.contains(&block.id);
        match known.blocks.values().find(is_new) {
            Some(block) => Err(Refused::NotCompared(block.id)),
            None => Ok(()),
        }
    }

    /// Whether this very replacement has happened. A deletion has nothing to tell it by.
    pub(super) fn is_replaced(
        &self,
        tenant: &TenantId,
        inputs: &[BlockId],
        outputs: &[BlockMeta],
    ) -> bool {
        let happened = |known: &TenantBlocks| {
            inputs.iter().all(|id| known.tombstones.contains_key(id))
                && outputs.iter().all(|o| known.blocks.get(&o.id) == Some(o))
        };
        !inputs.is_empty()
            && !outputs.is_empty()
            && self.0.get(tenant).is_some_and(|known| happened(known))
    }

    pub(super) fn replace(
        &mut self,
        tenant: &TenantId,
        inputs: &[BlockId],
        outputs: Vec<BlockMeta>,
        at_unix_ms: i64,
    ) -> Result<(), Refused> {
        if let Some(foreign) = outputs.iter().find(|output| output.tenant != *tenant) {
            let text = format!("block {} is another tenant's", foreign.id);
            return Err(Refused::Invalid(text));
        }
        self.check_inputs(tenant, inputs)?;
        self.check_new(&outputs, at_unix_ms)?;
        let known = Arc::make_mut(self.0.entry(tenant.clone()).or_default());
        for id in inputs {
            if let Some(block) = known.blocks.remove(id) {
                let replaced_unix_ms = at_unix_ms;
                known.tombstones.insert(
                    *id,
                    Tombstone {
                        block,
                        replaced_unix_ms,
                    },
                );
            }
        }
        self.insert(outputs);
        Ok(())
    }

    /// Moves live blocks into the manifest of their day. The objects stay, so there is no tombstone.
    pub(super) fn spill(
        &mut self,
        tenant: &TenantId,
        manifest: Manifest,
        blocks: &[BlockId],
        at_unix_ms: i64,
    ) -> Result<(), Refused> {
        self.check_inputs(tenant, blocks)?;
        check_age(manifest.id, manifest.created_unix_ms, at_unix_ms)?;
        let unknown = || Refused::UnknownTenant(tenant.clone());
        let known = self.0.get_mut(tenant).ok_or_else(unknown)?;
        let current = known.manifests.get(&manifest.day).map(|known| known.id);
        if current != manifest.replaces || current == Some(manifest.id) {
            return Err(Refused::Manifest {
                day: manifest.day,
                current,
            });
        }
        let known = Arc::make_mut(known);
        for id in blocks {
            known.blocks.remove(id);
        }
        known.manifests.insert(manifest.day, manifest);
        Ok(())
    }

    /// Whether this very manifest is the one of its day.
    pub(super) fn is_spilled(&self, tenant: &TenantId, manifest: &Manifest) -> bool {
        let known = self.0.get(tenant);
        known.is_some_and(|known| known.manifests.get(&manifest.day) == Some(manifest))
    }

    pub(super) fn forget(&mut self, tenant: &TenantId, blocks: &[BlockId]) -> Result<(), Refused> {
        at_most(blocks.len())?;
        let Some(known) = self.0.get_mut(tenant) else {
            return Ok(());
        };
        if let Some(live) = blocks.iter().find(|id| known.blocks.contains_key(id)) {
            return Err(Refused::StillLive(*live));
        }
        let known = Arc::make_mut(known);
        for id in blocks {
            known.tombstones.remove(id);
        }
        if known.is_empty() {
            self.0.remove(tenant);
        }
        Ok(())
    }

    /// What there is of a tenant, to be looked at later.
    pub(super) fn of(&self, tenant: &TenantId) -> Arc<TenantBlocks> {
        self.0.get(tenant).cloned().unwrap_or_default()
    }

    pub(super) fn manifests(&self, tenant: &TenantId) -> Vec<Manifest> {
        let known = self.0.get(tenant);
        let manifests = known.map(|known| known.manifests.values().cloned().collect());
        manifests.unwrap_or_default()
    }

    pub(super) fn expired(&self, before_unix_ms: i64) -> Vec<Tombstone> {
        let all = self.0.values().flat_map(|t| t.tombstones.values());
        let mut found: Vec<Tombstone> = all
            .filter(|tombstone| tombstone.replaced_unix_ms <= before_unix_ms)
            .cloned()
            .collect();
        found.sort_by_key(|tombstone| (tombstone.replaced_unix_ms, tombstone.block.id));
        found.truncate(BLOCKS_MAX);
        found
    }

    pub(super) fn tenants(&self) -> Vec<TenantId> {
        self.0.keys().cloned().collect()
    }
}

impl TenantBlocks {
    pub(super) fn live(&self, range: TimeRange) -> Vec<BlockMeta> {
        let live = self.blocks.values();
        let live = live.filter(|block| block.range.overlaps(&range));
        live.cloned().collect()
    }

    fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.tombstones.is_empty() && self.manifests.is_empty()
    }

    fn knows(&self, id: &BlockId) -> bool {
        self.blocks.contains_key(id) || self.tombstones.contains_key(id)
    }
}

fn check_age(id: BlockId, created_unix_ms: i64, at_unix_ms: i64) -> Result<(), Refused> {
    match at_unix_ms.saturating_sub(created_unix_ms) > UNCOMMITTED_MS_MAX {
        true => Err(Refused::Stale(id)),
        false => Ok(()),
    }
}

fn at_most(blocks: usize) -> Result<(), Refused> {
    if blocks > BLOCKS_MAX {
        return Err(Refused::Invalid(format!(
            "{blocks} blocks in one command; the limit is {BLOCKS_MAX}"
        )));
    }
    Ok(())
}

#[cfg(test)]
impl Blocks {
    pub(super) fn rows(&self) -> u64 {
        let blocks = self.0.values().flat_map(|t| t.blocks.values());
        blocks.map(|block| block.rows).sum()
    }

    pub(super) fn are_live_or_dead(&self) -> bool {
        let apart =
            |t: &Arc<TenantBlocks>| t.blocks.keys().all(|id| !t.tombstones.contains_key(id));
        self.0.values().all(apart)
    }
}
