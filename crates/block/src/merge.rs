//! Makes one block of several.

use crate::Error;
use crate::build::{Input, build};
use crate::cursor::Source;
use crate::origins::Origins;
use crate::read::Loaded;
use crate::unify::Origin;
use crate::write::{Built, STRETCHES};

/// Why blocks can't be made one.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// One input is at fault; the others can be merged without it.
    #[error("read input {position} of the merge")]
    Input { position: usize, source: Error },
    /// The first `fit` inputs can be merged without the others.
    #[error("too much for one block: {what}")]
    TooLarge { fit: usize, what: &'static str },
    #[error("write the merged block")]
    Output(#[source] Error),
}

/// One block of a level with the rows of all inputs; a batch that was stored twice counts once.
/// If nothing is left the block is still about its stretches of logs and their time.
///
/// Memory holds the inputs as they are packed and the block, and up to `stacks_bytes_max` of stacks
/// and indexes. Takes CPU time only: run it where that blocks nobody.
pub fn merge(inputs: &[Loaded], level: u8, stacks_bytes_max: usize) -> Result<Built, MergeError> {
    fn input(loaded: &Loaded) -> Input<'_> {
        let Loaded {
            index,
            links,
            stacks,
            rows,
            origins,
            range,
            left_out,
        } = loaded;
        Input {
            index,
            links,
            stacks: Origin::Block(stacks),
            rows: Source::Block(rows),
            logs: origins.logs(),
            range: Some(*range),
            left_out,
        }
    }
    let origins: Vec<&Origins> = inputs.iter().map(|input| &input.origins).collect();
    let origins = Origins::union(&origins).map_err(|fit| MergeError::TooLarge {
        fit,
        what: STRETCHES,
    })?;
    let inputs: Vec<Input<'_>> = inputs.iter().map(input).collect();
    build(&inputs, (level, &origins), stacks_bytes_max)
}
