//! Answers as Arrow record batches, for Flight.
//!
//! Every batch is one row of lists; the lists of all batches of an answer, joined column by column,
//! are its tables. So a large answer is many messages of bounded size, whatever it is made of.
//! What is decoded came over the network and is checked as such.

mod raw;
mod stacks;
mod tables;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use cairn_model::Code;

use self::raw::Raw;
use crate::query::Scanned;

/// What a decoded answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Bytes of all columns of one answer.
    pub bytes_max: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { bytes_max: 1 << 30 }
    }
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
    raw::schema()
}

/// At least one batch, each of a megabyte or two at most.
pub fn encode(scanned: &Scanned) -> Vec<RecordBatch> {
    tables::from_scanned(scanned).batches()
}

/// Puts an answer together, batch by batch.
#[derive(Debug, Default)]
pub struct Decoder {
    limits: DecodeLimits,
    raw: Raw,
    bytes: usize,
}

impl Decoder {
    pub fn new(limits: DecodeLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// After an error the decoder is of no more use.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), DecodeError> {
        // String tables count their bytes in 32 bits.
        let bytes_max = self.limits.bytes_max.min(u32::MAX as usize / 2);
        let bytes = raw::bytes(batch)?;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > bytes_max {
            return Err(DecodeError::TooLarge(bytes_max));
        }
        self.raw.add(batch)
    }

    pub fn finish(self) -> Result<Scanned, DecodeError> {
        tables::to_scanned(self.raw)
    }
}

/// Decodes an answer of which all batches are at hand.
pub fn decode(batches: &[RecordBatch], limits: DecodeLimits) -> Result<Scanned, DecodeError> {
    let mut decoder = Decoder::new(limits);
    batches.iter().try_for_each(|batch| decoder.add(batch))?;
    decoder.finish()
}
