//! Answers as Arrow record batches, for Flight.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use cairn_model::Code;

use crate::query::Scanned;

/// What a decoded answer may take.
#[derive(Clone, Copy, Debug)]
pub struct DecodeLimits {
    /// Bytes of all batches of one answer.
    pub bytes_max: usize,
}

/// Why batches are not an answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("an answer of more than {0} bytes")]
    TooLarge(usize),
    #[error("invalid answer: {0}")]
    Invalid(&'static str),
}

impl DecodeError {
    pub fn code(&self) -> Code {
        match self {
            Self::TooLarge(_) => Code::Exhausted,
            Self::Invalid(_) => Code::Corrupt,
        }
    }
}

/// The one schema of all answers.
pub fn schema() -> SchemaRef {
    unimplemented!("codec")
}

/// Batches of about a megabyte each.
pub fn encode(scanned: &Scanned) -> Vec<RecordBatch> {
    let _ = scanned;
    unimplemented!("codec")
}

/// Puts an answer together, batch by batch; checks everything.
#[derive(Debug)]
pub struct Decoder {
    limits: DecodeLimits,
}

impl Decoder {
    pub fn new(limits: DecodeLimits) -> Self {
        Self { limits }
    }

    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), DecodeError> {
        let _ = (batch, self.limits);
        unimplemented!("codec")
    }

    pub fn finish(self) -> Result<Scanned, DecodeError> {
        unimplemented!("codec")
    }
}

/// Decodes an answer of which all batches are at hand.
pub fn decode(batches: &[RecordBatch], limits: DecodeLimits) -> Result<Scanned, DecodeError> {
    let mut decoder = Decoder::new(limits);
    batches.iter().try_for_each(|batch| decoder.add(batch))?;
    decoder.finish()
}
