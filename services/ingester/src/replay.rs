//! A local log back to rows, when the ingester starts.
//!
//! Owns what is done with each entry; reading the files is the log's.

use std::path::Path;

use anyhow::Context as _;
use cairn_block::Lsn;
use cairn_wal::{Entry, Error, LocalLog, Row, Unreadable};

use crate::config::Config;
use crate::dedup::Window;
use crate::metrics::Metrics;
use crate::tail::Tail;

/// What the log had to say.
pub(crate) struct Replayed {
    pub(crate) log: LocalLog,
    pub(crate) window: Window,
    /// Entries that are readable again.
    pub(crate) replayed: u64,
}

/// Reads the whole log: the window of repeats needs all of it, the tail what follows `flushed`.
/// Blocks for as long as that takes.
pub(crate) fn replay(
    config: &Config,
    flushed: Lsn,
    tail: &Tail,
    metrics: &Metrics,
) -> anyhow::Result<Replayed> {
    let folder = config.data.join("log");
    let unread = LocalLog::open(&folder, config.log.segment_bytes.as_u64());
    let mut replay = Replay {
        folder: &folder,
        flushed,
        tail,
        metrics,
        window: Window::new(config.dedup_window),
        replayed: 0,
    };
    let log = unread.and_then(|unread| unread.replay(|lsn, payload| replay.entry(lsn, payload)));
    let mut log = log.context("open the write-ahead log")?;
    log.skip_to(flushed + 1)
        .context("open the write-ahead log")?;
    Ok(Replayed {
        log,
        replayed: replay.replayed,
        window: replay.window,
    })
}

struct Replay<'a> {
    folder: &'a Path,
    flushed: Lsn,
    tail: &'a Tail,
    metrics: &'a Metrics,
    window: Window,
    replayed: u64,
}

impl Replay<'_> {
    fn entry(&mut self, lsn: Lsn, payload: &[u8]) -> Result<i64, Error> {
        let damaged = |reason: String| Error::Damaged {
            path: self.folder.to_owned(),
            offset: 0,
            reason: format!("entry {lsn}: {reason}"),
        };
        let expected = self.flushed + 1 + self.replayed;
        if lsn > self.flushed && lsn != expected {
            let reason = format!("the catalog expects {expected} first; were segments removed?");
            return Err(damaged(reason));
        }
        let entry = Entry::decode(payload).map_err(|error| damaged(error.to_string()))?;
        for hash in entry.hashes() {
            self.window.insert(hash, entry.span.received);
        }
        if lsn > self.flushed {
            let rows = entry.rows();
            let rows = rows.into_iter().filter_map(|row| self.readable(lsn, row));
            let rows: Vec<Row> = rows.collect();
            self.tail.apply(lsn, &entry.tenant, rows);
            self.replayed += 1;
        }
        Ok(entry.span.received)
    }

    fn readable(&self, lsn: Lsn, row: Result<Row, Unreadable>) -> Option<Row> {
        row.inspect_err(|error| {
            self.metrics.unreadable_profiles.inc();
            tracing::error!(lsn, %error, "a durable profile is not readable");
        })
        .ok()
    }
}
