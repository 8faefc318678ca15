//! The state machine: what is true, what may happen next, and nothing else.
//!
//! No I/O, no clock, no randomness: times and names come in with the command, so that every
//! replay of the same commands gives the same state.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use cairn_model::{BlockId, Code, TenantId};
use serde::{Deserialize, Serialize};

use crate::{BlockMeta, Tombstone, Writer, WriterId};

/// Blocks that one command may name.
const BLOCKS_MAX: usize = 10_000;
/// Bytes of a writer's address.
const ADDRESS_BYTES_MAX: usize = 1_024;

/// Everything the catalog knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    version: u64,
    writers: BTreeMap<WriterId, WriterState>,
    tenants: BTreeMap<TenantId, TenantState>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct WriterState {
    incarnation: u64,
    address: String,
    flushed_lsn: u64,
    open: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct TenantState {
    blocks: BTreeMap<BlockId, BlockMeta>,
    tombstones: BTreeMap<BlockId, Tombstone>,
}

/// Something that should happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A writer starts. It fences off its earlier incarnations and goes on after what they flushed.
    RegisterWriter {
        writer: WriterId,
        incarnation: u64,
        address: String,
    },
    /// The log from `lsn_from` to `lsn_to`, both included, is in these blocks. Blocks of several
    /// tenants go together, since one stretch of the log holds several tenants.
    Commit {
        writer: WriterId,
        incarnation: u64,
        lsn_from: u64,
        lsn_to: u64,
        blocks: Vec<BlockMeta>,
    },
    /// A writer stops, with nothing in its log that is not in blocks.
    Seal {
        writer: WriterId,
        incarnation: u64,
        lsn: u64,
    },
    /// The outputs hold what the inputs held; without outputs, the inputs are deleted.
    Replace {
        tenant: TenantId,
        inputs: Vec<BlockId>,
        outputs: Vec<BlockMeta>,
        at_unix_ms: i64,
    },
    /// The objects of these tombstones are gone.
    Forget {
        tenant: TenantId,
        blocks: Vec<BlockId>,
    },
}

/// What an accepted command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Done,
    /// The writer goes on after this position of its log.
    Registered {
        flushed_lsn: u64,
    },
}

/// Why a command was refused; the state is as before.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refused {
    #[error("{0}")]
    Invalid(String),
    #[error("writer {0} is not registered")]
    UnknownWriter(WriterId),
    #[error("writer {writer} is at incarnation {current}, not {incarnation}")]
    Fenced {
        writer: WriterId,
        incarnation: u64,
        current: u64,
    },
    #[error("writer {0} is sealed")]
    Sealed(WriterId),
    #[error("writer {writer} has flushed up to {flushed_lsn}")]
    Gap { writer: WriterId, flushed_lsn: u64 },
    #[error("block {0} is not live")]
    NotLive(BlockId),
    #[error("block {0} is live")]
    StillLive(BlockId),
    #[error("block {0} is known already")]
    Known(BlockId),
}

impl Refused {
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::Invalid,
            Self::UnknownWriter(_) => Code::NotFound,
            Self::Fenced { .. }
            | Self::Sealed(_)
            | Self::Gap { .. }
            | Self::NotLive(_)
            | Self::StillLive(_)
            | Self::Known(_) => Code::Conflict,
        }
    }
}

/// What a query of one tenant has to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub version: u64,
    pub blocks: Vec<BlockMeta>,
    pub writers: Vec<Writer>,
}

/// Carries a command out, or refuses it and changes nothing.
pub fn apply(state: &mut State, command: Command) -> Result<Reply, Refused> {
    let reply = match command {
        Command::RegisterWriter {
            writer,
            incarnation,
            address,
        } => state.register(writer, incarnation, address),
        Command::Commit {
            writer,
            incarnation,
            lsn_from,
            lsn_to,
            blocks,
        } => state.commit(&writer, incarnation, (lsn_from, lsn_to), blocks),
        Command::Seal {
            writer,
            incarnation,
            lsn,
        } => state.seal(&writer, incarnation, lsn),
        Command::Replace {
            tenant,
            inputs,
            outputs,
            at_unix_ms,
        } => state.replace(&tenant, &inputs, outputs, at_unix_ms),
        Command::Forget { tenant, blocks } => state.forget(&tenant, &blocks),
    }?;
    state.version += 1;
    Ok(reply)
}

// === impl State: questions ===

impl State {
    /// Grows with every accepted command.
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn snapshot(&self, tenant: &TenantId) -> Snapshot {
        let blocks = self.tenants.get(tenant).map(|t| &t.blocks);
        let open = self.writers.iter().filter(|(_, writer)| writer.open);
        Snapshot {
            version: self.version,
            blocks: blocks
                .into_iter()
                .flat_map(|b| b.values().cloned())
                .collect(),
            writers: open.map(|(id, writer)| writer.shown(id)).collect(),
        }
    }

    /// What is known of a writer, sealed or not.
    pub fn writer(&self, id: &WriterId) -> Option<Writer> {
        self.writers.get(id).map(|writer| writer.shown(id))
    }

    /// The oldest tombstones that are at least as old as `before_unix_ms`, oldest first; no more than
    /// one command can forget, so ask again afterwards.
    pub fn expired(&self, before_unix_ms: i64) -> Vec<Tombstone> {
        let all = self.tenants.values().flat_map(|t| t.tombstones.values());
        let mut found: Vec<Tombstone> = all
            .filter(|tombstone| tombstone.replaced_unix_ms <= before_unix_ms)
            .cloned()
            .collect();
        found.sort_by_key(|tombstone| (tombstone.replaced_unix_ms, tombstone.block.id));
        found.truncate(BLOCKS_MAX);
        found
    }

    /// Everyone who has a block or a tombstone.
    pub fn tenants(&self) -> Vec<TenantId> {
        self.tenants.keys().cloned().collect()
    }
}

// === impl State: commands ===

impl State {
    fn register(
        &mut self,
        id: WriterId,
        incarnation: u64,
        address: String,
    ) -> Result<Reply, Refused> {
        if address.len() > ADDRESS_BYTES_MAX {
            return Err(Refused::Invalid(format!(
                "a writer's address has at most {ADDRESS_BYTES_MAX} bytes"
            )));
        }
        let known = self.writers.get(&id);
        // The very same again is allowed: the answer to the first try may have been lost.
        let newer = |known: &&WriterState| match known.incarnation.cmp(&incarnation) {
            Ordering::Less => false,
            Ordering::Equal => known.address != address || !known.open,
            Ordering::Greater => true,
        };
        if let Some(known) = known.filter(newer) {
            return Err(Refused::Fenced {
                writer: id,
                incarnation,
                current: known.incarnation,
            });
        }
        let flushed_lsn = known.map_or(0, |known| known.flushed_lsn);
        let writer = WriterState {
            incarnation,
            address,
            flushed_lsn,
            open: true,
        };
        self.writers.insert(id, writer);
        Ok(Reply::Registered { flushed_lsn })
    }

    fn commit(
        &mut self,
        id: &WriterId,
        incarnation: u64,
        (lsn_from, lsn_to): (u64, u64),
        blocks: Vec<BlockMeta>,
    ) -> Result<Reply, Refused> {
        let writer = open_writer(&mut self.writers, id, incarnation)?;
        if writer.flushed_lsn.checked_add(1) != Some(lsn_from) {
            return Err(Refused::Gap {
                writer: id.clone(),
                flushed_lsn: writer.flushed_lsn,
            });
        }
        if lsn_to < lsn_from {
            return Err(Refused::Invalid(format!(
                "a commit ends at {lsn_to}, before it starts at {lsn_from}"
            )));
        }
        fresh(&self.tenants, &blocks)?;
        writer.flushed_lsn = lsn_to;
        insert(&mut self.tenants, blocks);
        Ok(Reply::Done)
    }

    fn seal(&mut self, id: &WriterId, incarnation: u64, lsn: u64) -> Result<Reply, Refused> {
        let writer = open_writer(&mut self.writers, id, incarnation)?;
        if writer.flushed_lsn != lsn {
            return Err(Refused::Gap {
                writer: id.clone(),
                flushed_lsn: writer.flushed_lsn,
            });
        }
        writer.open = false;
        Ok(Reply::Done)
    }

    fn replace(
        &mut self,
        tenant: &TenantId,
        inputs: &[BlockId],
        outputs: Vec<BlockMeta>,
        at_unix_ms: i64,
    ) -> Result<Reply, Refused> {
        if let Some(foreign) = outputs.iter().find(|output| output.tenant != *tenant) {
            return Err(Refused::Invalid(format!(
                "block {} is another tenant's",
                foreign.id
            )));
        }
        if inputs.is_empty() {
            return Err(Refused::Invalid("a replacement needs inputs".to_owned()));
        }
        at_most(inputs.len())?;
        let distinct: BTreeSet<&BlockId> = inputs.iter().collect();
        if distinct.len() != inputs.len() {
            return Err(Refused::Invalid("an input is named twice".to_owned()));
        }
        let known = self.tenants.get(tenant);
        // The answer to the first try may have been lost. A deletion has nothing to tell it by.
        if known.is_some_and(|known| !outputs.is_empty() && known.replaced(inputs, &outputs)) {
            return Ok(Reply::Done);
        }
        let live = |id: &&BlockId| known.is_some_and(|known| known.blocks.contains_key(*id));
        if let Some(gone) = inputs.iter().find(|id| !live(id)) {
            return Err(Refused::NotLive(*gone));
        }
        fresh(&self.tenants, &outputs)?;
        let known = self.tenants.entry(tenant.clone()).or_default();
        for id in inputs {
            let tombstone = known.blocks.remove(id).map(|block| Tombstone {
                block,
                replaced_unix_ms: at_unix_ms,
            });
            known.tombstones.extend(tombstone.map(|t| (*id, t)));
        }
        insert(&mut self.tenants, outputs);
        Ok(Reply::Done)
    }

    fn forget(&mut self, tenant: &TenantId, blocks: &[BlockId]) -> Result<Reply, Refused> {
        at_most(blocks.len())?;
        let Some(known) = self.tenants.get_mut(tenant) else {
            return Ok(Reply::Done);
        };
        if let Some(live) = blocks.iter().find(|id| known.blocks.contains_key(*id)) {
            return Err(Refused::StillLive(*live));
        }
        for id in blocks {
            known.tombstones.remove(id);
        }
        if known.blocks.is_empty() && known.tombstones.is_empty() {
            self.tenants.remove(tenant);
        }
        Ok(Reply::Done)
    }
}

impl WriterState {
    fn shown(&self, id: &WriterId) -> Writer {
        Writer {
            id: id.clone(),
            incarnation: self.incarnation,
            address: self.address.clone(),
            flushed_lsn: self.flushed_lsn,
        }
    }
}

impl TenantState {
    /// This very replacement has happened.
    fn replaced(&self, inputs: &[BlockId], outputs: &[BlockMeta]) -> bool {
        inputs.iter().all(|id| self.tombstones.contains_key(id))
            && outputs.iter().all(|o| self.blocks.get(&o.id) == Some(o))
    }

    fn knows(&self, id: &BlockId) -> bool {
        self.blocks.contains_key(id) || self.tombstones.contains_key(id)
    }
}

fn open_writer<'a>(
    writers: &'a mut BTreeMap<WriterId, WriterState>,
    id: &WriterId,
    incarnation: u64,
) -> Result<&'a mut WriterState, Refused> {
    let writer = writers
        .get_mut(id)
        .ok_or_else(|| Refused::UnknownWriter(id.clone()))?;
    if writer.incarnation != incarnation {
        return Err(Refused::Fenced {
            writer: id.clone(),
            incarnation,
            current: writer.incarnation,
        });
    }
    if !writer.open {
        return Err(Refused::Sealed(id.clone()));
    }
    Ok(writer)
}

/// Names are not reused within a tenant: an object's key must mean one block.
fn fresh(tenants: &BTreeMap<TenantId, TenantState>, blocks: &[BlockMeta]) -> Result<(), Refused> {
    at_most(blocks.len())?;
    let mut seen = BTreeSet::new();
    for block in blocks {
        let tenant = tenants.get(&block.tenant);
        let known = tenant.is_some_and(|tenant| tenant.knows(&block.id));
        if known || !seen.insert((&block.tenant, block.id)) {
            return Err(Refused::Known(block.id));
        }
        if block.range.start > block.range.end {
            return Err(Refused::Invalid(format!(
                "block {} ends before it starts",
                block.id
            )));
        }
    }
    Ok(())
}

fn insert(tenants: &mut BTreeMap<TenantId, TenantState>, blocks: Vec<BlockMeta>) {
    for block in blocks {
        let tenant = tenants.entry(block.tenant.clone()).or_default();
        tenant.blocks.insert(block.id, block);
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
pub(crate) mod tests;
