//! Makes one block of several.

use crate::Error;
use crate::build::{Input, build};
use crate::cursor::Source;
use crate::read::Loaded;
use crate::write::{Built, Options};

/// Why blocks can't be made one.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// One input is at fault; the others can be merged without it.
    #[error("read input {position} of the merge")]
    Input { position: usize, source: Error },
    #[error("write the merged block")]
    Output(#[source] Error),
}

/// One block with the rows of all inputs; a batch that was stored twice counts once.
/// Takes CPU time only: run it where that blocks nobody.
pub fn merge(inputs: &[Loaded], options: Options) -> Result<Built, MergeError> {
    fn input(loaded: &Loaded) -> Input<'_> {
        let Loaded {
            index,
            stacks,
            rows,
        } = loaded;
        Input {
            index,
            symbols: &stacks.symbols,
            trie: &stacks.trie,
            nodes: Some(&stacks.nodes),
            rows: Source::Block(rows),
        }
    }
    let inputs: Vec<Input<'_>> = inputs.iter().map(input).collect();
    build(&inputs, options)
}
