//! Reading segments before they are asked for: a store is slow to answer, and fast then.

use std::collections::VecDeque;
use std::fmt;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;

use super::{LogReader, Segment, SegmentRef};
use crate::Error;

/// Segments in order, of which some are on their way.
pub struct Segments {
    reader: LogReader,
    waiting: VecDeque<SegmentRef>,
    coming: FuturesOrdered<BoxFuture<'static, Read>>,
    /// Bytes of those that are on their way.
    coming_bytes: u64,
}

type Read = (u64, Result<Segment, Error>);

/// Bytes that are read ahead at most, unless one segment alone has more, and in how many segments.
const AHEAD_BYTES_MAX: u64 = 16 << 20;
const AHEAD_MAX: usize = 8;

impl Segments {
    pub(super) fn new(reader: LogReader, segments: Vec<SegmentRef>) -> Self {
        Self {
            reader,
            waiting: segments.into(),
            coming: FuturesOrdered::new(),
            coming_bytes: 0,
        }
    }

    /// The next one; nothing follows an error.
    pub async fn next(&mut self) -> Option<Result<Segment, Error>> {
        while let Some(segment) = self.waiting.pop_front_if(|next| {
            let fits = self.coming_bytes + next.bytes <= AHEAD_BYTES_MAX;
            self.coming.is_empty() || fits && self.coming.len() < AHEAD_MAX
        }) {
            let reader = self.reader.clone();
            self.coming_bytes += segment.bytes;
            self.coming.push_back(Box::pin(async move {
                (segment.bytes, reader.read(&segment).await)
            }));
        }
        let (bytes, read) = self.coming.next().await?;
        self.coming_bytes -= bytes;
        if read.is_err() {
            self.waiting.clear();
            self.coming.clear();
            self.coming_bytes = 0;
        }
        Some(read)
    }
}

impl fmt::Debug for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segments")
            .field("waiting", &self.waiting.len())
            .field("coming", &self.coming.len())
            .finish_non_exhaustive()
    }
}
