//! Writes a head as a block.

use bytes::Bytes;
use cairn_model::{NONE, Stretch, TimeRange};

use crate::build::{Input, build};
use crate::cursor::Source;
use crate::merge::MergeError;
use crate::origins::Origins;
use crate::unify::Origin;
use crate::{Error, Head};

/// How a block is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How often the rows have been through compaction. Level 0 is packed for speed, others for size.
    pub level: u8,
    /// Where the rows come from: for a commit the whole stretch of the log that it is about,
    /// whether or not the tenant has rows in all of it.
    pub origins: Vec<Stretch>,
    /// How many blocks the commit has, one per tenant.
    pub siblings: u32,
}

/// What a catalog should know of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Times of the first and last profile.
    pub range: TimeRange,
    pub rows: u64,
    pub profiles: u64,
    /// Size of the object.
    pub bytes: u64,
}

/// A block that nobody has stored yet.
#[derive(Clone, Debug)]
pub struct Built {
    pub bytes: Bytes,
    pub info: Info,
}

/// What there are too many of.
pub(crate) const STRETCHES: &str = "more stretches of logs than a block may hold";

/// Turns rows into a block; a batch that came in twice counts once. Takes CPU time only: run it
/// where that blocks nobody.
pub fn write(head: &Head, options: Options) -> Result<Built, Error> {
    let Options {
        level,
        origins,
        siblings,
    } = options;
    let origins = Origins::new(origins, siblings);
    if !origins.fits() {
        return Err(Error::TooLarge(STRETCHES));
    }
    let mut logs = origins.logs();
    if origins.only_log() == NONE {
        logs.clear();
    }
    let input = Input {
        index: head.index(),
        links: head.links(),
        stacks: Origin::Head(head.symbols(), head.trie()),
        rows: Source::Head(head.samples()),
        logs,
        range: None,
        left_out: &[],
    };
    // A head has its own bounds.
    build(&[input], (level, &origins), usize::MAX).map_err(|error| match error {
        MergeError::Input { source, .. } | MergeError::Output(source) => source,
        MergeError::TooLarge { what, .. } => Error::TooLarge(what),
    })
}
