//! The SOURCE report: what the lines of a file cost.
//!
//! The text is empty where nobody uploaded it: clients that have the file put the values beside its
//! lines.

use std::sync::Arc;

use arrow_array::Int64Array;
use arrow_schema::ArrowError;
use cairn_trie::Partial;
use cairn_wire::parca::query::v1alpha1::SourceReference;

use super::arrow::{Columns, plain, stream};
use crate::error::{Error, Warning};
use crate::querier::{Reply, Session};

/// Clients compare this text.
const NO_SOURCES: &str = "no sources for this build id have been uploaded";

/// The file that a report is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceFile {
    /// Empty if any binary will do.
    build_id: String,
    name: String,
    /// Nothing but the text is asked for.
    is_text_only: bool,
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
        Ok(Self {
            build_id,
            name,
            is_text_only: source_only,
        })
    }

    pub(super) fn is_text_only(&self) -> bool {
        self.is_text_only
    }

    /// The text, if there is one, and what kept it from being read.
    pub(super) async fn text(&self, session: &Session) -> Result<Reply<String>, Error> {
        let found = match self.build_id.as_str() {
            "" => Ok(None),
            build_id => session.source(build_id, &self.name).await,
        };
        match found {
            Ok(Some(text)) => Ok(Reply {
                value: text,
                warnings: Vec::new(),
            }),
            Ok(None) if self.is_text_only => Err(Error::NotFound(NO_SOURCES)),
            Err(failure) if self.is_text_only => Err(Error::Unread(failure.to_string())),
            Ok(None) => Ok(Reply {
                value: String::new(),
                warnings: Vec::new(),
            }),
            Err(failure) => {
                let text = format!("the text of the file is missing, from {failure}");
                Ok(Reply {
                    value: String::new(),
                    warnings: vec![Warning::new("", failure.code, text)],
                })
            }
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
