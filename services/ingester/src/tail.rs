//! Rows that are durable, in memory: not in blocks yet, or not long enough.
//!
//! Rows are kept in parts. A part holds one gapless stretch of the log, of all tenants, and becomes
//! one commit of the catalog. Owns which parts there are; who fills and flushes them is others'.

use std::collections::VecDeque;
use std::sync::Arc;

use cairn_block::{Head, Lsn};
use cairn_model::TenantId;
use cairn_wal::Row;
use hashbrown::HashMap;
use parking_lot::RwLock;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::error::Error;
use crate::metrics::Metrics;

pub(crate) type SharedHead = Arc<RwLock<Head>>;

/// All parts of one writer.
#[derive(Debug)]
pub(crate) struct Tail {
    parts: RwLock<Parts>,
    /// A part with this much in it is closed, so that writing it takes memory in proportion.
    part_bytes_max: u64,
    commits: Notify,
    metrics: Metrics,
}

#[derive(Debug)]
struct Parts {
    active: Part,
    /// Oldest first; committed ones before the others.
    frozen: VecDeque<Arc<Frozen>>,
    /// Everything up to here is in blocks only.
    dropped: Lsn,
}

#[derive(Debug, Default)]
struct Part {
    from: Lsn,
    /// The last entry whose rows are in; `from - 1` if there is none.
    to: Lsn,
    heads: HashMap<TenantId, SharedHead>,
    bytes: usize,
}

/// A part that takes no more rows.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub(crate) from: Lsn,
    pub(crate) to: Lsn,
    pub(crate) heads: Vec<(TenantId, SharedHead)>,
    bytes: usize,
    /// When it was committed.
    committed: RwLock<Option<i64>>,
}

/// Memory of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Of rows that can still be filled or are not in blocks.
    pub(crate) unflushed: usize,
    /// Of rows that are in blocks too.
    pub(crate) flushed: usize,
}

impl Tail {
    /// A tail whose log goes on after `flushed`.
    pub(crate) fn new(flushed: Lsn, part_bytes_max: u64, metrics: Metrics) -> Self {
        Self {
            part_bytes_max,
            commits: Notify::new(),
            parts: RwLock::new(Parts {
                active: Part::after(flushed),
                frozen: VecDeque::new(),
                dropped: flushed,
            }),
            metrics,
        }
    }

    /// Makes the rows of entry `lsn` readable, all at once. Entries come in order.
    pub(crate) fn apply(&self, lsn: Lsn, tenant: &TenantId, rows: Vec<Row>) {
        let head = {
            let mut parts = self.parts.write();
            let heads = &mut parts.active.heads;
            Arc::clone(heads.entry_ref(tenant).or_default())
        };
        let mut guard = head.write();
        let before = guard.bytes();
        for error in cairn_wal::append_all(&mut guard, lsn, rows) {
            // The log has it; a smaller budget keeps heads from ever getting so large.
            tracing::error!(%tenant, lsn, %error, "a durable profile is not readable");
            self.metrics.unreadable_profiles.inc();
        }
        let grown = guard.bytes().saturating_sub(before);
        drop(guard);
        let mut parts = self.parts.write();
        parts.active.to = lsn;
        parts.active.bytes += grown;
        self.report(&parts);
        let is_full = parts.active.bytes as u64 >= self.part_bytes_max;
        drop(parts);
        if is_full {
            self.rotate();
        }
    }

    /// Closes the part that is being filled; false if it has no entry. Only the one who applies
    /// entries may call this.
    pub(crate) fn rotate(&self) -> bool {
        let mut parts = self.parts.write();
        if parts.active.to < parts.active.from {
            return false;
        }
        let next = Part::after(parts.active.to);
        let Part {
            from,
            to,
            heads,
            bytes,
        } = std::mem::replace(&mut parts.active, next);
        let mut heads: Vec<_> = heads.into_iter().collect();
        heads.sort_by(|(a, _), (b, _)| a.cmp(b));
        parts.frozen.push_back(Arc::new(Frozen {
            from,
            to,
            heads,
            bytes,
            committed: RwLock::new(None),
        }));
        true
    }

    /// The oldest part that waits for its blocks.
    pub(crate) fn unflushed(&self) -> Option<Arc<Frozen>> {
        let parts = self.parts.read();
        let mut frozen = parts.frozen.iter();
        frozen.find(|part| part.committed.read().is_none()).cloned()
    }

    /// The part is in blocks and in the catalog.
    pub(crate) fn committed(&self, part: &Frozen, now: i64) {
        *part.committed.write() = Some(now);
        self.report(&self.parts.read());
        self.commits.notify_waiters();
    }

    /// Ends when a part is committed that is not yet when this is called.
    pub(crate) fn next_commit(&self) -> Notified<'_> {
        self.commits.notified()
    }

    /// Forgets parts that were committed before `older_than`, and more, oldest first, until the
    /// rest takes no more than `bytes_max`.
    pub(crate) fn drop_flushed(&self, older_than: i64, bytes_max: usize) {
        let mut parts = self.parts.write();
        loop {
            let used = parts.usage();
            let tight = used.unflushed + used.flushed > bytes_max;
            let droppable = |part: &&Arc<Frozen>| {
                let committed = *part.committed.read();
                committed.is_some_and(|at| tight || at < older_than)
            };
            if parts.frozen.front().filter(droppable).is_none() {
                break;
            }
            if let Some(gone) = parts.frozen.pop_front() {
                parts.dropped = gone.to;
            }
        }
        self.report(&parts);
    }

    pub(crate) fn usage(&self) -> Usage {
        self.parts.read().usage()
    }

    /// The tenant's rows after `after`, in parts; rows up to `after` may come along.
    pub(crate) fn after(&self, tenant: &TenantId, after: Lsn) -> Result<Vec<SharedHead>, Error> {
        let parts = self.parts.read();
        if after < parts.dropped {
            let kept = parts.dropped;
            return Err(Error::TooOld { after, kept });
        }
        let frozen = parts.frozen.iter().filter(|part| part.to > after);
        let frozen = frozen.flat_map(|part| &part.heads);
        let found = frozen.filter(|(owner, _)| owner == tenant);
        let active = parts.active.heads.get(tenant);
        let heads = found.map(|(_, head)| head).chain(active);
        Ok(heads.cloned().collect())
    }

    fn report(&self, parts: &Parts) {
        let Usage { unflushed, flushed } = parts.usage();
        self.metrics.unflushed_bytes.set(unflushed as i64);
        self.metrics.flushed_bytes.set(flushed as i64);
    }
}

impl Parts {
    fn usage(&self) -> Usage {
        let mut usage = Usage {
            unflushed: self.active.bytes,
            flushed: 0,
        };
        for part in &self.frozen {
            match *part.committed.read() {
                Some(_) => usage.flushed += part.bytes,
                None => usage.unflushed += part.bytes,
            }
        }
        usage
    }
}

impl Part {
    fn after(lsn: Lsn) -> Self {
        Self {
            from: lsn + 1,
            to: lsn,
            ..Self::default()
        }
    }
}
