//! Compaction, deletion, and the end of old blocks.

use cairn_model::{BlockId, Stretch, TenantId};

use super::{Object, TENANTS, World, tenant_id};
use crate::{BlockMeta, Command, apply};

/// A merge, done step by step by somebody who may be late.
#[derive(Debug)]
pub(super) struct Merge {
    tenant: u8,
    inputs: Vec<BlockId>,
    output: Option<BlockMeta>,
}

impl Merge {
    pub(super) fn blocks(&self) -> impl Iterator<Item = BlockId> + '_ {
        self.output.iter().map(|output| output.id)
    }
}

impl World {
    pub(super) fn plan_merge(&mut self) {
        let tenant = self.draw(u64::from(TENANTS)) as u8;
        let mut live = self.state.snapshot(&tenant_id(tenant)).blocks;
        let count = 2 + self.draw(3) as usize;
        let mut inputs = Vec::new();
        while inputs.len() < count && !live.is_empty() {
            let at = self.draw(live.len() as u64) as usize;
            inputs.push(live.swap_remove(at).id);
        }
        if inputs.len() > 1 {
            self.merges.push(Merge {
                tenant,
                inputs,
                output: None,
            });
        }
    }

    /// A merge writes its block, asks the catalog to swap, or dies.
    pub(super) fn merge(&mut self) {
        let Some(at) = self.pick(self.merges.len()) else {
            return;
        };
        if self.one_in(8) {
            self.merges.swap_remove(at);
            return;
        }
        let inputs = self.merges[at].inputs.clone();
        let Some(output) = self.merges[at].output.clone() else {
            let inputs: Option<Vec<Object>> = inputs
                .iter()
                .map(|id| self.bucket.get(id).cloned())
                .collect();
            let Some(inputs) = inputs else {
                self.merges.swap_remove(at);
                return;
            };
            let tenant = self.merges[at].tenant;
            let level = inputs
                .iter()
                .map(|input| input.meta.level)
                .max()
                .unwrap_or(0)
                + 1;
            let origins = inputs.iter().flat_map(|input| input.origins.clone());
            let origins = Stretch::coalesce(origins.collect());
            let entries = inputs.into_iter().flat_map(|input| input.entries).collect();
            let object = Object::new(origins, 0, entries);
            let meta = self.store((tenant, level), object);
            self.merges[at].output = Some(meta);
            return;
        };
        let Merge { tenant, .. } = self.merges.swap_remove(at);
        let id = output.id;
        let replace = Command::Replace {
            tenant: tenant_id(tenant),
            inputs,
            outputs: vec![output],
            at_unix_ms: 0,
            ticket: None,
            compared: None,
        };
        match apply(&mut self.state, replace) {
            Ok(_) => self.seen.merges += 1,
            Err(_) => {
                self.seen.refused_merges += 1;
                let is_live = |tenant: &TenantId| {
                    let blocks = self.state.snapshot(tenant).blocks;
                    blocks.iter().any(|block| block.id == id)
                };
                if !is_live(&tenant_id(tenant)) && self.one_in(2) {
                    self.bucket.remove(&id);
                }
            }
        }
    }

    /// Deletes the object of a block that was replaced, and mostly tells the catalog.
    pub(super) fn delete(&mut self) {
        let expired = self.state.expired(i64::MAX);
        let Some(at) = self.pick(expired.len()) else {
            return;
        };
        let block = &expired[at].block;
        self.bucket.remove(&block.id);
        self.seen.deleted += 1;
        if !self.one_in(4) {
            let forget = Command::Forget {
                tenant: block.tenant.clone(),
                blocks: vec![block.id],
            };
            apply(&mut self.state, forget).expect("a tombstone may be forgotten");
        }
    }

    /// An old block is deleted and nothing takes its place.
    pub(super) fn retire(&mut self) {
        if !self.rules.is_retiring {
            return;
        }
        let tenant = tenant_id(self.draw(u64::from(TENANTS)) as u8);
        let flushed = self.flushed();
        let mut live = self.state.snapshot(&tenant).blocks;
        live.retain(|block| {
            let object = self.bucket.get(&block.id).expect("live blocks are there");
            // Old ones only: the last commit must be told by its blocks.
            object.entries.iter().all(|(log, lsn)| {
                let flushed = flushed.get(log).copied().unwrap_or(u64::MAX);
                lsn.saturating_add(8) < flushed
            })
        });
        let Some(at) = self.pick(live.len()) else {
            return;
        };
        let replace = Command::Replace {
            tenant,
            inputs: vec![live[at].id],
            outputs: Vec::new(),
            at_unix_ms: 0,
            ticket: None,
            compared: None,
        };
        apply(&mut self.state, replace).expect("a live block may be deleted");
        self.seen.retired += 1;
        for entry in &self.bucket[&live[at].id].entries {
            let pushed = self
                .pushed
                .get_mut(entry)
                .expect("blocks hold what was pushed");
            pushed.is_retired = true;
        }
    }
}
