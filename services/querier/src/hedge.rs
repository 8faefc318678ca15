//! Reads of blocks that take unusually long are sent a second time; the first answer counts.
//!
//! Of many reads few are slow, and most of those are fast when sent again. A query waits for its
//! slowest block, so a few more reads make it much faster. What is unusual and how many may be sent
//! again is decided by [`Pace`], which is pure.

mod pace;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_block::Reads;
use cairn_chassis::Clock;
use cairn_store::{Error, Key};
use futures::FutureExt;
use futures::future::{BoxFuture, Either, select};
use parking_lot::Mutex;

use self::pace::Pace;
use crate::config::Hedge;
use crate::metrics::Metrics;

type Read<'a> = BoxFuture<'a, Result<Vec<Bytes>, Error>>;

/// What is read from, with a second try.
#[derive(Debug)]
pub(crate) struct Hedged {
    reads: Arc<dyn Reads>,
    clock: Clock,
    pace: Mutex<Pace>,
    metrics: Metrics,
}

impl Hedged {
    pub(crate) fn new(reads: Arc<dyn Reads>, hedge: Hedge, clock: Clock, metrics: Metrics) -> Self {
        Self {
            reads,
            clock,
            pace: Mutex::new(Pace::new(hedge)),
            metrics,
        }
    }

    async fn read(&self, key: Key<'_>, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let bytes = ranges.iter().map(|range| range.end - range.start).sum();
        let start = self.clock.instant();
        let usual = self.pace.lock().begin(bytes);
        let first = self.reads.read(key, ranges);
        let answer = match usual {
            Some(usual) => self.hedged(first, usual, (key, ranges)).await,
            None => first.await,
        };
        if answer.is_ok() {
            let took = self.clock.instant().saturating_duration_since(start);
            self.pace.lock().note(bytes, took);
        }
        answer
    }

    async fn hedged<'a>(
        &'a self,
        first: Read<'a>,
        usual: Duration,
        (key, ranges): (Key<'a>, &'a [Range<u64>]),
    ) -> Result<Vec<Bytes>, Error> {
        let first = match select(first, self.clock.sleep(usual).boxed()).await {
            Either::Left((answer, _)) => return answer,
            Either::Right(((), first)) => first,
        };
        if !self.pace.lock().may_hedge() {
            return first.await;
        }
        self.metrics.reads.hedged.inc();
        let second = self.reads.read(key, ranges);
        // A failure is no answer as long as there may be another.
        let (answer, is_second) = match select(first, second).await {
            Either::Left((Err(_), second)) => (second.await, true),
            Either::Left((answer, _)) => (answer, false),
            Either::Right((Err(_), first)) => (first.await, false),
            Either::Right((answer, _)) => (answer, true),
        };
        if is_second && answer.is_ok() {
            self.metrics.reads.won.inc();
        }
        answer
    }
}

impl Reads for Hedged {
    fn read<'a>(&'a self, key: Key<'a>, ranges: &'a [Range<u64>]) -> Read<'a> {
        self.read(key, ranges).boxed()
    }
}

#[cfg(test)]
mod tests;
