//! The log in the object store: every group commit is one object, named by its first entry.
//!
//! Owns the rule by which an append is acknowledged: its object was created, by this very writer,
//! and the lease holds after that. The format of objects is that of `format`.

pub(crate) mod format;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cairn_block::Lsn;
use cairn_model::WriterId;
use cairn_store::{Key, Store};
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;

use self::format::Place;
use crate::outside::{Backoff, Outside};
use crate::{DurableLog, Error, Lease, Payload, points};

/// The log of one incarnation of a writer.
///
/// One object is put at a time. If nobody can tell whether it was put, the same bytes are put
/// again until that is known, since the next object's name depends on it.
#[derive(Debug)]
pub struct ObjectLog {
    store: Store,
    writer: WriterId,
    incarnation: u64,
    lease: Lease,
    outside: Outside,
    next: Lsn,
    /// Own segments, oldest first.
    kept: Kept,
    over: Option<Over>,
    #[cfg(test)]
    pub(crate) fault: Fault,
}

type Kept = Arc<Mutex<VecDeque<Segment>>>;

#[derive(Clone, Copy, Debug)]
struct Segment {
    first: Lsn,
    last: Lsn,
    appended: i64,
}

/// Why nothing is appended any more.
#[derive(Clone, Copy, Debug)]
enum Over {
    Fenced,
    LeaseLost,
    /// Whoever asked gave up while an object was being put.
    GivenUp,
}

/// Rules that a test breaks to see that it would find out.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    AcknowledgesUnknownPuts,
    IgnoresLease,
    /// And ignores the lease, which would hide that.
    TakesForeignForOwn,
}

/// Segments that one call of `truncate` deletes, and how many of them at once.
const TRUNCATED_MAX: usize = 1024;
const DELETES: usize = 8;

impl From<Over> for Error {
    fn from(over: Over) -> Self {
        match over {
            Over::Fenced => Self::Fenced,
            Over::LeaseLost => Self::LeaseLost,
            Over::GivenUp => Self::Poisoned("an append was given up".to_owned()),
        }
    }
}

impl ObjectLog {
    /// An incarnation that has appended nothing yet: there is one `ObjectLog` per incarnation.
    pub fn new(
        store: Store,
        (writer, incarnation): (WriterId, u64),
        lease: Lease,
        outside: Outside,
    ) -> Self {
        Self {
            store,
            writer,
            incarnation,
            lease,
            outside,
            next: 1,
            kept: Kept::default(),
            over: None,
            #[cfg(test)]
            fault: Fault::None,
        }
    }

    fn lease_left(&self) -> Duration {
        #[cfg(test)]
        if matches!(self.fault, Fault::IgnoresLease | Fault::TakesForeignForOwn) {
            return Duration::from_secs(3600);
        }
        self.lease.left(self.outside.instant())
    }

    /// Returns when the lease is over; it may be renewed meanwhile.
    async fn lease_over(&self) {
        loop {
            match self.lease_left() {
                Duration::ZERO => return,
                left => self.outside.sleep(left).await,
            }
        }
    }

    /// Puts a segment and makes sure that it may be acknowledged.
    async fn put(&self, segment: Bytes) -> Result<(), Over> {
        if self.lease_left().is_zero() {
            return Err(Over::LeaseLost);
        }
        let _waiting = self.lease.waiting(self.outside.instant());
        points::pass(points::BEFORE_PUT);
        tokio::select! {
            biased;
            known = self.until_known(segment) => known?,
            () = self.lease_over() => return Err(Over::LeaseLost),
        }
        points::pass(points::AFTER_PUT);
        // While the process stood still, somebody may have recovered the log and deleted it, fence
        // and all: then the object is in a log that nobody reads.
        if self.lease_left().is_zero() {
            return Err(Over::LeaseLost);
        }
        points::pass(points::AFTER_PUT_BEFORE_ACK);
        Ok(())
    }

    /// Puts the same bytes until they are there, or something else is.
    async fn until_known(&self, segment: Bytes) -> Result<(), Over> {
        let key = Key::LogSegment {
            writer: &self.writer,
            incarnation: self.incarnation,
            first: self.next,
        };
        let mut backoff = Backoff::new(&self.outside);
        loop {
            // Bytes that are there already are ours, by their nonce: a reply was lost.
            match self.store.create_once(key, segment.clone()).await {
                Ok(()) => return Ok(()),
                #[cfg(test)]
                Err(_) if self.fault == Fault::AcknowledgesUnknownPuts => return Ok(()),
                #[cfg(test)]
                Err(cairn_store::Error::AlreadyExists { .. })
                    if self.fault == Fault::TakesForeignForOwn =>
                {
                    return Ok(());
                }
                Err(cairn_store::Error::AlreadyExists { .. }) => return Err(Over::Fenced),
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(%key, error, "an object of the log is put again");
                }
            }
            backoff.pause().await;
        }
    }
}

#[async_trait]
impl DurableLog for ObjectLog {
    async fn append(&mut self, payloads: Vec<Payload>, now: i64) -> Result<Lsn, Error> {
        if let Some(over) = self.over {
            return Err(over.into());
        }
        let first = self.next;
        let place = Place {
            writer: self.writer.clone(),
            incarnation: self.incarnation,
            first,
            nonce: self.outside.random(),
            made: now,
        };
        let segment = format::segment(&place, &payloads).map_err(|_| Error::TooLarge)?;
        self.over = Some(Over::GivenUp);
        self.over = self.put(segment).await.err();
        if let Some(over) = self.over {
            return Err(over.into());
        }
        self.next += payloads.len() as Lsn;
        self.kept.lock().push_back(Segment {
            first,
            last: self.next - 1,
            appended: now,
        });
        Ok(first)
    }

    fn truncate(&mut self, flushed: Lsn, older_than: i64) -> BoxFuture<'static, Result<(), Error>> {
        let kept = Arc::clone(&self.kept);
        let gone = {
            let mut kept = kept.lock();
            let old = |kept: &&Segment| kept.last <= flushed && kept.appended < older_than;
            let count = kept.iter().take_while(old).take(TRUNCATED_MAX).count();
            kept.drain(..count).collect::<Vec<_>>()
        };
        let (store, writer, incarnation) =
            (self.store.clone(), self.writer.clone(), self.incarnation);
        async move {
            let delete = async |segment: Segment| {
                let key = Key::LogSegment {
                    writer: &writer,
                    incarnation,
                    first: segment.first,
                };
                let deleted = store.delete(key).await;
                deleted.map_err(|error| (segment, error))
            };
            let mut deletes = futures::stream::iter(gone.into_iter().map(delete));
            let mut deletes = deletes.by_ref().buffered(DELETES);
            let (mut stay, mut failed) = (Vec::new(), None);
            while let Some(deleted) = deletes.next().await {
                if let Err((segment, error)) = deleted {
                    stay.push(segment);
                    failed = Some(error);
                }
            }
            let mut kept = kept.lock();
            stay.into_iter()
                .rev()
                .for_each(|segment| kept.push_front(segment));
            failed.map_or(Ok(()), |error| Err(Error::Store(error)))
        }
        .boxed()
    }

    async fn close(self: Box<Self>) {}
}

#[cfg(test)]
mod tests;
