//! Rows of writers that are gone, or that do not answer: read from their logs in the object store.
//!
//! A log is read segment by segment, so that memory is bounded however much is in it. Owns reading
//! for one query; putting what is left of a log into blocks is an ingester's job.

use std::sync::Arc;

use cairn_chassis::Job;
use cairn_engine::repeats::{Ask, SourceId};
use cairn_engine::{Merge, Query, Scanned, Source, WrongAnswer, scan_head};
use cairn_model::Code;
use cairn_store::Store;
use cairn_wal::{Heads, LogReader, Segment};

use crate::error::chain;
use crate::peers::Failure;
use crate::plan::Position;

/// Rows are scanned, and let go, when they take this much.
const HEAD_BYTES_MAX: usize = 16 << 20;

#[derive(Clone, Debug)]
pub(crate) struct Logs {
    pub(crate) store: Store,
}

/// Rows of one log for one query, on their way into the answer.
struct Scan {
    heads: Heads,
    merge: Merge,
    wanted: Arc<(Query, SourceId, Ask)>,
}

impl Logs {
    /// The tenant's rows after a position.
    pub(crate) async fn scan(
        &self,
        job: &Job,
        query: &Query,
        position: &Position,
        ask: &Ask,
    ) -> Result<Scanned, Failure> {
        let Position {
            writer,
            incarnation,
            after,
        } = position;
        let place = format!("the log of {writer}, incarnation {incarnation}");
        let failed = |code: Code, text: String| Failure {
            code,
            address: place.clone(),
            text,
        };
        let unread = |error: cairn_wal::Error| failed(error.code(), chain(&error));
        let reader = LogReader::new(self.store.clone(), writer.clone(), *incarnation);
        let listing = reader.segments(*after).await.map_err(unread)?;
        let mut scan = Scan {
            heads: Heads::of(job.tenant().clone(), *after),
            merge: Merge::new(&query.question),
            wanted: Arc::new((
                query.clone(),
                SourceId::log(writer, *incarnation),
                ask.clone(),
            )),
        };
        let mut segments = reader.read_all(listing.segments);
        while let Some(segment) = segments.next().await {
            let segment = segment.map_err(unread)?;
            let taken = move || scan.take(&segment);
            let taken = job.compute(taken).await;
            scan = taken.map_err(unread_or(&failed))?;
        }
        let finished = job.compute(move || scan.finish()).await;
        finished.map_err(|error: WrongAnswer| failed(error.code(), error.to_string()))
    }
}

/// What taking a segment in may end with.
enum Unread {
    Log(cairn_wal::Error),
    Answer(WrongAnswer),
}

fn unread_or(failed: &impl Fn(Code, String) -> Failure) -> impl Fn(Unread) -> Failure + '_ {
    |error| match error {
        Unread::Log(error) => failed(error.code(), chain(&error)),
        Unread::Answer(error) => failed(error.code(), error.to_string()),
    }
}

impl Scan {
    fn take(mut self, segment: &Segment) -> Result<Self, Unread> {
        self.heads.fill(segment).map_err(Unread::Log)?;
        if self.heads.bytes() > HEAD_BYTES_MAX {
            self.flush().map_err(Unread::Answer)?;
        }
        Ok(self)
    }

    fn flush(&mut self) -> Result<(), WrongAnswer> {
        let (query, id, ask) = &*self.wanted;
        let source = Source { id: *id, ask };
        for head in self.heads.take_all().into_values() {
            // Earlier rows are left out when the head is filled.
            self.merge.add(scan_head(&head, 0, query, source))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Scanned, WrongAnswer> {
        self.flush()?;
        Ok(self.merge.finish())
    }
}
