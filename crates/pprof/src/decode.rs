//! Bytes to a profile. Owns the order of reading: the message is walked once per kind of table,
//! since senders may write tables in any order and walking is far cheaper than keeping raw rows.

mod locations;
mod samples;
mod strings;
mod tables;

pub use cairn_model::TRUNCATED_FRAME;
use std::sync::Arc;

use cairn_model::{Limits, Profile, Tables};

use crate::Error;
use crate::inflate::Scratch;

/// What the sender said about a profile besides its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// The sender has normalised all addresses to virtual addresses of their files.
    pub normalized: bool,
    /// Empty, or one per mapping in the order of the mapping table.
    pub executable_info: &'a [ExecutableInfo],
}

/// How a mapped file is laid out, as far as the sender knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecutableInfo {
    /// `e_type` of the ELF header: 2 for fixed-address executables, 3 for position-independent
    /// ones; `0` if unknown.
    pub elf_type: u32,
    /// The segment that was mapped.
    pub load_segment: Option<LoadSegment>,
}

/// Where a segment lies in its file and in the file's virtual addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadSegment {
    pub offset: u64,
    pub vaddr: u64,
}

/// A profile, and what had to be changed to keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    pub profile: Profile,
    /// Bytes after inflating.
    pub plain_bytes: usize,
    /// Samples beyond the limit: one more at the end stands for them, with their sums and the
    /// single frame [`TRUNCATED_FRAME`].
    pub truncated_samples: u64,
    /// Stacks deeper than the limit: their root side is replaced by [`TRUNCATED_FRAME`].
    pub truncated_stacks: u64,
    /// Strings that were not UTF-8: the faulty bytes are replaced by U+FFFD.
    pub replaced_strings: u64,
}

/// Decodes one profile, gzip or not.
pub fn decode(raw: &[u8], limits: &Limits, options: &Options<'_>) -> Result<Decoded, Error> {
    Decoder::default().decode(raw, limits, options)
}

/// Decodes profiles one after another, inflating into the same buffer.
#[derive(Debug, Default)]
pub struct Decoder {
    scratch: Scratch,
}

impl Decoder {
    pub fn decode(
        &mut self,
        raw: &[u8],
        limits: &Limits,
        options: &Options<'_>,
    ) -> Result<Decoded, Error> {
        let decoded = self
            .scratch
            .plain(raw, limits.profile_bytes_max)
            .and_then(|plain| decode_plain(plain, limits, options));
        self.scratch.trim();
        decoded
    }
}

/// What every walk over the tables needs.
struct Input<'a> {
    plain: &'a [u8],
    rows: strings::Rows,
    limits: &'a Limits,
    options: &'a Options<'a>,
}

fn decode_plain(plain: &[u8], limits: &Limits, options: &Options<'_>) -> Result<Decoded, Error> {
    // Every row of every table, and every location of a stack, costs at least one byte, so this
    // also keeps all positions within 32 bits.
    let bytes_max = (u32::MAX - 1) as usize;
    if plain.len() > bytes_max {
        return Err(Error::over("its bytes", "profile_bytes_max", bytes_max));
    }
    let strings::Scanned {
        strings,
        rows,
        replaced,
    } = strings::scan(plain, limits)?;
    let mut profile = Profile::default();
    let mut tables = Tables {
        strings,
        ..Tables::default()
    };
    let input = Input {
        plain,
        rows,
        limits,
        options,
    };
    let numbered = tables::read(&input, &mut profile, &mut tables)?;
    let locations = locations::read(&input, &numbered, &mut tables)?;
    let truncated = samples::read(&input, &locations, &mut profile, &mut tables)?;
    profile.tables = Arc::new(tables);
    Ok(Decoded {
        profile,
        plain_bytes: plain.len(),
        truncated_samples: truncated.samples,
        truncated_stacks: truncated.stacks,
        replaced_strings: replaced,
    })
}
