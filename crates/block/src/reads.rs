//! Where the bytes of a block come from.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use cairn_store::{Error, Key, Store};
use futures::FutureExt;
use futures::future::BoxFuture;

/// The store, or something that stands before it.
pub trait Reads: fmt::Debug + Send + Sync {
    /// Reads exactly these ranges of an object, in the order asked.
    fn read<'a>(
        &'a self,
        key: Key<'a>,
        ranges: &'a [Range<u64>],
    ) -> BoxFuture<'a, Result<Vec<Bytes>, Error>>;

    /// What was read of an object turned out to be damaged: whoever keeps any of it forgets it.
    fn forget(&self, _: Key<'_>) {}
}

impl Reads for Store {
    fn read<'a>(
        &'a self,
        key: Key<'a>,
        ranges: &'a [Range<u64>],
    ) -> BoxFuture<'a, Result<Vec<Bytes>, Error>> {
        self.get_ranges(key, ranges).boxed()
    }
}
