//! What Parca's agents send as Arrow, as profiles, and the stacks that a server asks for. Pure
//! functions over hostile input.
//!
//! Owns both versions of the schema of `WriteArrow` and `Write`, and which stacks are asked for.
//! Does not decide whose profiles they are, nor who shares the memory of [`Known`] stacks.
//!
//! A batch holds samples of many profiles: rows with the same labels, type and period become one.
//! The profiles of a buffer share their tables.
//!
//! Memory and time: what a buffer becomes is bounded by `profile_bytes_max` at each step, after
//! inflating, as tables and as profiles, however often its parts refer to each other.

mod column;
mod copied;
mod error;
mod frames;
mod intake;
mod known;
mod layout;
mod meter;
pub mod padata;
mod parts;
mod profiles;
mod remap;
mod rows;
mod stream;
mod table;
mod texts;
mod two_way;
pub mod write;

use cairn_model::{Described, Limits, own_tables};

pub use error::Error;
pub use intake::StackId;
pub use known::Known;
pub use profiles::DEFAULT_NAME;
pub use table::{MISSING_FRAME, TRUNCATED_FRAME};
pub use two_way::{Asked, Samples, Stacks, request, samples, stacks};

use intake::Intake;
use meter::Meter;
use profiles::{Made, Writer};

/// Profiles, and what had to be changed or left out to get them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    pub profiles: Vec<Described>,
    /// Rows of samples; all of them are in the profiles.
    pub rows: u64,
    /// Those that their profile has no room for beside other stacks: their values are in one more
    /// sample, whose stack is [`TRUNCATED_FRAME`].
    pub truncated_samples: u64,
    /// Times of rows that are left out, all of a profile, since there are more than `samples_max`.
    pub truncated_points: u64,
    /// Distinct stacks that are deeper than the limit: their root side is replaced by
    /// [`TRUNCATED_FRAME`].
    pub truncated_stacks: u64,
    /// Rows whose stack was not sent: they have the frame [`MISSING_FRAME`].
    pub missing_stacks: u64,
    /// Stacks of which the agent says that it lost frames.
    pub incomplete_stacks: u64,
    /// Labels of rows that were left out because their value is empty.
    pub empty_labels: u64,
    /// Rows without a value, taken as 0.
    pub missing_values: u64,
    /// Columns of unknown name.
    pub ignored_columns: u64,
    /// Texts that were not UTF-8: the faulty bytes are replaced by U+FFFD.
    pub replaced_strings: u64,
}

/// Decodes the buffer of a one-way write: streams of samples that hold their stacks, or of samples
/// and of the stacks that they name.
pub fn decode(buffer: &[u8], limits: &Limits) -> Result<Decoded, Error> {
    stream::guarded(|| {
        let mut meter = Meter::new(limits);
        let mut intake = Intake::default();
        let ignored_columns = stream::read(buffer, &mut meter, |layout, batch, meter| {
            intake.add(layout, batch, meter)
        })?;
        let Intake {
            rows,
            mut table,
            names,
            named,
            refusals,
            ..
        } = intake;
        let marks = table.marks();
        let truncated_stacks = table.truncated();
        let (stacks, missing_stacks) = intake::settle(&rows.stacks, &names, &named, marks.missing);
        let Made {
            mut profiles,
            truncated_samples,
            truncated_points,
        } = Writer::new(&rows, &stacks, (table.parts, marks)).profiles(&mut meter)?;
        if !named.is_empty() {
            // Stacks that no row names.
            own_tables(profiles.iter_mut().map(|described| &mut described.profile));
        }
        Ok(Decoded {
            profiles,
            truncated_samples,
            truncated_points,
            rows: rows.len() as u64,
            truncated_stacks,
            missing_stacks,
            incomplete_stacks: refusals,
            empty_labels: rows.empty_labels,
            missing_values: rows.without_value,
            ignored_columns,
            replaced_strings: meter.replaced,
        })
    })
}
