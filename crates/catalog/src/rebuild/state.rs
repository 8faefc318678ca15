//! The catalog that a plan describes.

use std::collections::BTreeMap;

use cairn_model::{BlockId, TenantId, WriterId};
use serde::Serialize;

use super::{LogPosition, Plan};
use crate::{BlockMeta, JobId, Log, State, Work};

/// A state, spelled as states are.
#[derive(Serialize)]
struct Spelled<'a> {
    version: u64,
    writers: BTreeMap<&'a WriterId, Writer>,
    tenants: BTreeMap<&'a TenantId, Tenant<'a>>,
    jobs: BTreeMap<JobId, Job>,
}

#[derive(Serialize)]
struct Writer {
    incarnation: u64,
    address: &'static str,
    zone: &'static str,
    flushed_lsn: u64,
    open: bool,
    lease_until_unix_ms: i64,
    log: Log,
    sealed: BTreeMap<u64, u64>,
}

#[derive(Default, Serialize)]
struct Tenant<'a> {
    blocks: BTreeMap<BlockId, &'a BlockMeta>,
    tombstones: BTreeMap<BlockId, ()>,
}

#[derive(Serialize)]
struct Job {
    work: Work,
    claim: Option<()>,
}

impl Plan {
    /// The initial state of a catalog: the live blocks, every writer closed, every unfinished log
    /// sealed and waiting to be recovered.
    ///
    /// Versions, jobs, tokens and incarnations are given out above `floor` and above every
    /// incarnation found: with milliseconds since the epoch, above those that were given out before.
    pub fn state(&self, floor: u64) -> State {
        let mut writers: BTreeMap<&WriterId, Writer> = BTreeMap::new();
        let mut jobs = BTreeMap::new();
        for position in &self.logs {
            let LogPosition {
                writer,
                incarnation,
                flushed_lsn,
                is_unfinished,
                ..
            } = position;
            let known = writers.entry(writer).or_insert_with(|| Writer {
                incarnation: floor,
                address: "",
                zone: "",
                flushed_lsn: 0,
                open: false,
                lease_until_unix_ms: 0,
                log: Log::Continued,
                sealed: BTreeMap::new(),
            });
            known.incarnation = known.incarnation.max(*incarnation);
            if *incarnation == 0 {
                known.flushed_lsn = *flushed_lsn;
                continue;
            }
            known.log = Log::OnePerIncarnation;
            if *is_unfinished {
                known.sealed.insert(*incarnation, *flushed_lsn);
                let work = Work::Recover {
                    writer: writer.clone(),
                    incarnation: *incarnation,
                };
                let id = JobId(floor + 1 + jobs.len() as u64);
                jobs.insert(id, Job { work, claim: None });
            }
        }
        let mut tenants: BTreeMap<&TenantId, Tenant<'_>> = BTreeMap::new();
        for block in &self.live {
            let tenant = tenants.entry(&block.tenant).or_default();
            tenant.blocks.insert(block.id, block);
        }
        let spelled = Spelled {
            version: floor + jobs.len() as u64,
            writers,
            tenants,
            jobs,
        };
        let text = serde_json::to_vec(&spelled).expect("plain data");
        serde_json::from_slice(&text).expect("it is spelled as states are")
    }
}
