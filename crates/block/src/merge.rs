//! Makes one block of several.

use crate::Error;
use crate::build::{Input, build};
use crate::cursor::Source;
use crate::read::Loaded;
use crate::unify::Origin;
use crate::write::{Built, Options};

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

/// One block with the rows of all inputs; a batch that was stored twice counts once.
///
/// Memory holds the inputs as they are packed and the block, and up to `stacks_bytes_max` of stacks
/// and indexes. Takes CPU time only: run it where that blocks nobody.
pub fn merge(
    inputs: &[Loaded],
    options: Options,
    stacks_bytes_max: usize,
) -> Result<Built, MergeError> {
    fn input(loaded: &Loaded) -> Input<'_> {
        let Loaded {
            index,
            stacks,
            rows,
        } = loaded;
        Input {
            index,
            stacks: Origin::Block(stacks),
            rows: Source::Block(rows),
        }
    }
    let inputs: Vec<Input<'_>> = inputs.iter().map(input).collect();
    build(&inputs, options, stacks_bytes_max)
}
