//! The SOURCE report: what the lines of a file cost.
//!
//! There is no text of sources on this server, so the text is empty: clients that have the file
//! put the values beside its lines. A client that only asks whether there is a text gets a no.

use std::sync::Arc;

use arrow_array::Int64Array;
use arrow_schema::ArrowError;
use cairn_trie::Partial;
use cairn_wire::parca::query::v1alpha1::SourceReference;

use super::arrow::{Columns, plain, stream};
use crate::error::Error;

/// Clients compare this text.
const NO_SOURCES: &str = "no sources for this build id have been uploaded";

/// The file that a report is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceFile {
    /// Empty if any binary will do.
    build_id: String,
    name: String,
}

impl SourceFile {
    pub(super) fn read(reference: Option<SourceReference>) -> Result<Self, Error> {
        let Some(SourceReference {
            build_id,
            filename: name,
            source_only,
        }) = reference
        else {
            return Err(Error::Invalid("source_reference is required".to_owned()));
        };
        if name.is_empty() {
            return Err(Error::Invalid(
                "source_reference needs a filename".to_owned(),
            ));
        }
        match source_only {
            true => Err(Error::NotFound(NO_SOURCES)),
            false => Ok(Self { build_id, name }),
        }
    }

    /// The record as an IPC stream.
    pub(super) fn encode(&self, partial: &Partial) -> Result<Vec<u8>, ArrowError> {
        stream(&self.columns(partial).record()?)
    }

    fn columns(&self, partial: &Partial) -> Columns {
        let lines = cairn_engine::source_lines(partial, &self.build_id, &self.name);
        let files: Vec<Option<&str>> = lines
            .iter()
            .map(|line| Some(partial.symbols.str(line.file)))
            .collect();
        let ints = |of: fn(&cairn_engine::SourceLine) -> i64| {
            Arc::new(Int64Array::from_iter_values(lines.iter().map(of)))
        };
        let mut columns = Columns::default();
        columns.push("filename", plain(&files));
        columns.push("line_number", ints(|line| line.line));
        columns.push("cumulative", ints(|line| line.cumulative));
        columns.push("flat", ints(|line| line.flat));
        columns
    }
}
