//! Stacks as texts and trees to [`cairn_model::Profile`]: folded stacks, lines, Pyroscope's tree
//! and trie, speedscope, Chrome's CPU and heap profiles, `perf script`, heaptrack. Pure functions
//! over hostile input.
//!
//! Owns these formats and what their fields mean. Does not undo compression, and does not decide
//! what a profile is called or whose it is: what a format does not say comes from whoever received
//! it, as a [`Unit`].
//!
//! Equal stacks become one sample. A count of zero is no sample. The times of these formats are of
//! clocks that start anywhere, so profiles have a duration at most, and no start.
//!
//! Memory: at most about sixteen times `profile_bytes_max`, whatever the bytes are. Nothing is read
//! by recursion.

mod binary;
mod budget;
mod calls;
mod error;
mod folded;
mod guess;
mod heaptrack;
mod json;
mod perf;
mod speedscope;
mod text;
mod v8;

pub use cairn_model::TRUNCATED_FRAME;
use cairn_model::{Described, Limits, Profile};

use crate::budget::Budget;
use crate::calls::Calls;

pub use error::Error;
pub use guess::guess;

/// How stacks are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// A line per stack: frames from the root, joined by `;`, and after a space how often.
    Folded,
    /// A line per sample: frames from the root, joined by `;`.
    Lines,
    /// Pyroscope's call tree: a name, a value and children per node.
    Tree,
    /// Pyroscope's radix tree of folded stacks.
    Trie,
    /// The JSON of <https://www.speedscope.app>.
    Speedscope,
    /// V8's `.cpuprofile`.
    CpuProfile,
    /// V8's `.heapprofile`.
    HeapProfile,
    /// What `perf script` prints.
    PerfScript,
    /// What heaptrack writes of a heap, with names.
    Heaptrack,
}

/// What values mean where the format does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// What is counted, such as `cpu`.
    pub kind: String,
    /// In what, such as `nanoseconds`.
    pub unit: String,
    /// How many units a value of 1 is; at least 1.
    pub scale: i64,
    /// Kind and unit of the period.
    pub period_type: (String, String),
    /// `0` if unknown.
    pub period: i64,
}

impl Default for Unit {
    fn default() -> Self {
        Self {
            kind: "samples".to_owned(),
            unit: "count".to_owned(),
            scale: 1,
            period_type: Default::default(),
            period: 0,
        }
    }
}

/// Profiles, and what had to be changed to keep them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    pub profiles: Vec<Described>,
    /// Stacks deeper than the limit: their root side is replaced by [`TRUNCATED_FRAME`].
    pub truncated_stacks: u64,
    /// Samples beyond the limit: one sample whose only frame is [`TRUNCATED_FRAME`] stands for all
    /// of a profile.
    pub truncated_samples: u64,
    /// Strings that were not Unicode: the faulty bytes are replaced by U+FFFD.
    pub replaced_strings: u64,
    /// What was left out, and how often. Values of samples are never among it.
    pub skipped: Vec<(&'static str, u64)>,
}

/// Decodes one input.
pub fn decode(
    format: Format,
    bytes: &[u8],
    meaning: &Unit,
    limits: &Limits,
) -> Result<Decoded, Error> {
    let budget = Budget::new(bytes.len(), limits)?;
    match format {
        Format::Folded => folded::folded(bytes, meaning, budget),
        Format::Lines => folded::lines(bytes, meaning, budget),
        Format::Tree => binary::tree(bytes, meaning, budget),
        Format::Trie => binary::trie(bytes, meaning, budget),
        Format::Speedscope => speedscope::decode(bytes, meaning, budget),
        Format::CpuProfile => v8::cpu_profile(bytes, budget),
        Format::HeapProfile => v8::heap_profile(bytes, budget),
        Format::PerfScript => perf::decode(bytes, limits),
        Format::Heaptrack => heaptrack::decode(bytes, budget),
    }
}

impl Unit {
    /// An empty tree of values that mean this.
    fn calls(&self) -> Calls {
        let mut calls = Calls::new(&[(&self.kind, &self.unit)]);
        self.set_period(&mut calls);
        calls
    }

    fn set_period(&self, calls: &mut Calls) {
        let (kind, unit) = &self.period_type;
        calls.builder.set_period(kind, unit, self.period);
    }

    fn scaled(&self, value: i64) -> Option<i64> {
        value.checked_mul(self.scale)
    }
}

impl Decoded {
    fn skip(&mut self, reason: &'static str, count: u64) {
        if count == 0 {
            return;
        }
        match self.skipped.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, sum)) => *sum += count,
            None => self.skipped.push((reason, count)),
        }
    }

    fn push(&mut self, calls: Calls, budget: &mut Budget<'_>) -> Result<&mut Described, Error> {
        let finished = calls.finish(budget)?;
        self.truncated_stacks += finished.truncated_stacks;
        self.truncated_samples += finished.truncated_samples;
        Ok(self.push_profile(finished.profile))
    }

    fn push_profile(&mut self, profile: Profile) -> &mut Described {
        self.profiles.push(Described {
            profile,
            ..Described::default()
        });
        self.profiles.last_mut().expect("one was just added")
    }
}
