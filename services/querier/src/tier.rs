//! A second place to read blocks from: files on a local disk, of what was read from the store.
//!
//! Blocks never change, so a file never grows old. That it still is what was read its checksum tells,
//! but not whether that was damaged on its way: of a block that turns out to be, all files go. Owns
//! when to look there and what to write; how files are kept within their bound is [`Disk`]'s
//! business. Writing holds no answer up: what can't be written soon is not written.

mod disk;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use cairn_block::Reads;
use cairn_chassis::Clock;
use cairn_store::{Error, Key};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) use self::disk::Disk;
use self::disk::{Age, Name};
use crate::metrics::Metrics;

/// Ranges that wait to be written, by number and by bytes of memory.
const QUEUE: usize = 256;
const QUEUE_BYTES: u64 = 64 << 20;

/// A range that is to be written, and when it was read.
type Kept = (Name, Bytes, Age);

/// What is read from, behind files.
#[derive(Debug)]
pub(crate) struct Tier {
    disk: Arc<Disk>,
    reads: Arc<dyn Reads>,
    queue: mpsc::Sender<Kept>,
    queued: Arc<AtomicU64>,
    clock: Clock,
    metrics: Metrics,
}

/// Writes what was read.
#[derive(Debug)]
pub(crate) struct Keeper {
    disk: Arc<Disk>,
    queue: mpsc::Receiver<Kept>,
    queued: Arc<AtomicU64>,
    metrics: Metrics,
}

impl Tier {
    pub(crate) fn new(
        disk: Disk,
        reads: Arc<dyn Reads>,
        clock: Clock,
        metrics: Metrics,
    ) -> (Self, Keeper) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (disk, queued) = (Arc::new(disk), Arc::new(AtomicU64::new(0)));
        let keeper = Keeper {
            disk: Arc::clone(&disk),
            queue: receiver,
            queued: Arc::clone(&queued),
            metrics: metrics.clone(),
        };
        metrics.reads.bytes.set(disk.bytes() as i64);
        let tier = Self {
            disk,
            reads,
            queue: sender,
            queued,
            clock,
            metrics,
        };
        (tier, keeper)
    }

    async fn read(&self, key: Key<'_>, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let Key::Block { tenant, id } = key else {
            return self.reads.read(key, ranges).await;
        };
        let names = ranges.iter().map(|range| Name::new(tenant, id, range));
        let names: Vec<Name> = names.collect();
        let now = self.clock.now();
        let mut parts = join_all(names.iter().map(|name| self.disk.read(name, now))).await;
        let found = |part: &&Option<Bytes>| part.is_some();
        let hits = parts.iter().filter(found).count() as u64;
        self.metrics.reads.hits.inc_by(hits);
        self.metrics.reads.misses.inc_by(parts.len() as u64 - hits);
        let missing = ranges.iter().zip(&parts);
        let missing = missing.filter(|(_, part)| part.is_none());
        let missing: Vec<Range<u64>> = missing.map(|(range, _)| range.clone()).collect();
        if !missing.is_empty() {
            let age = self.disk.age();
            let mut read = self.reads.read(key, &missing).await?.into_iter();
            let places = names.into_iter().zip(&mut parts);
            for (name, part) in places.filter(|(_, part)| part.is_none()) {
                let bytes = read.next().unwrap_or_default();
                self.keep(name, &bytes, age);
                *part = Some(bytes);
            }
        }
        Ok(parts.into_iter().flatten().collect())
    }

    fn keep(&self, name: Name, bytes: &Bytes, age: Age) {
        let len = bytes.len() as u64;
        if !self.disk.takes(len) {
            return;
        }
        let before = self.queued.fetch_add(len, Ordering::Relaxed);
        let has_room = before + len <= QUEUE_BYTES;
        match self.queue.try_reserve().ok().filter(|_| has_room) {
            // A copy: a part of a larger read would hold all of that.
            Some(place) => place.send((name, Bytes::copy_from_slice(bytes), age)),
            None => {
                self.queued.fetch_sub(len, Ordering::Relaxed);
                self.metrics.reads.dropped.inc();
            }
        }
    }
}

impl Reads for Tier {
    fn read<'a>(
        &'a self,
        key: Key<'a>,
        ranges: &'a [Range<u64>],
    ) -> BoxFuture<'a, Result<Vec<Bytes>, Error>> {
        self.read(key, ranges).boxed()
    }

    fn forget(&self, key: Key<'_>) {
        if let Key::Block { tenant, id } = key {
            self.disk.forget(tenant, id);
            self.metrics.reads.bytes.set(self.disk.bytes() as i64);
        }
        self.reads.forget(key);
    }
}

impl Keeper {
    /// Writes until the process stops; what waits then is not written.
    pub(crate) async fn run(mut self, stopping: CancellationToken) {
        let mut is_failing = false;
        while let Some(next) = stopping.run_until_cancelled(self.queue.recv()).await {
            let Some((name, bytes, age)) = next else {
                // Nobody reads any more.
                return stopping.cancelled().await;
            };
            let written = self.disk.write(&name, &bytes, age).await;
            self.queued.fetch_sub(bytes.len() as u64, Ordering::Relaxed);
            self.metrics.reads.bytes.set(self.disk.bytes() as i64);
            if let Err(error) = &written {
                self.metrics.reads.dropped.inc();
                // Once: a full disk fails with every write.
                if !is_failing {
                    tracing::warn!(%error, "what was read of blocks can't be kept on disk");
                }
            }
            is_failing = written.is_err();
        }
    }
}

#[cfg(test)]
mod tests;
