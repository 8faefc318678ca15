//! Bytes of a recording to profiles. Owns the order of reading: of each chunk first its types,
//! then its constants and the places of events, then its settings, then its samples.

pub use cairn_model::TRUNCATED_FRAME;
use std::collections::BTreeMap;

use cairn_model::{Described, Limits};

use crate::Error;
use crate::chunk::{Chunk, Header};
use crate::events::Events;
use crate::kind::Event;
use crate::labels::LabelsSnapshot;
use crate::pools::readable_max;
use crate::profiles::Profiles;
use crate::rows::Rows;
use crate::settings::Settings;
use crate::text::shortened;

/// Name of a frame of which the recording does not say the method.
pub const UNKNOWN_FRAME: &str = "[unknown]";
/// Name under which events are counted of which the recording does not say the type.
pub const UNKNOWN_TYPE: &str = "[unknown]";

/// Names of skipped types are cut to so many bytes.
const TYPE_NAME_BYTES_MAX: usize = 256;

/// What the sender said about a recording besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Samples per second of processor and wall clock, if the recording does not say it; 0 is 100.
    pub sample_rate: u32,
    /// Gives samples an attribute `thread`: many threads make many samples.
    pub threads: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sample_rate: 100,
            threads: false,
        }
    }
}

/// The profiles of a recording, and what is not in them as it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// One per kind and event, without empty ones.
    pub profiles: Vec<Described>,
    /// Samples whose stack was cut by the sender or to the limit: [`TRUNCATED_FRAME`] is at their
    /// root.
    pub truncated_stacks: u64,
    /// Samples beyond the limit: one sample whose only frame is [`TRUNCATED_FRAME`] stands for all
    /// of a profile.
    pub truncated_samples: u64,
    /// Labels left out since the snapshot lacks their name or value.
    pub unnamed_labels: u64,
    /// Events by type that mean no profile or have no stack.
    pub skipped: BTreeMap<String, u64>,
}

/// Decodes a recording of one or more chunks, not compressed as a whole.
pub fn decode(
    bytes: &[u8],
    snapshot: Option<&LabelsSnapshot>,
    options: &Options,
    limits: &Limits,
) -> Result<Decoded, Error> {
    // Places within a recording have 32 bits.
    let max = limits.profile_bytes_max.min((u32::MAX - 1) as usize);
    if bytes.len() > max {
        return Err(Error::over("its bytes", "profile_bytes_max", max));
    }
    let mut recording = Recording {
        options,
        limits,
        settings: Settings::default(),
        profiles: Profiles::new(limits, snapshot),
        skipped: BTreeMap::new(),
        readable: readable_max(limits),
    };
    let mut rest = bytes;
    for number in 1_u32.. {
        let within = |error: Error| error.within(|| format!("chunk {number}"));
        let header = Header::read(rest).map_err(within)?;
        let (chunk, after) = rest.split_at(header.bytes);
        recording.add(chunk, header).map_err(within)?;
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let mut profiles = recording.profiles;
    Ok(Decoded {
        profiles: profiles.finish(),
        truncated_stacks: profiles.truncated_stacks,
        truncated_samples: profiles.truncated_samples,
        unnamed_labels: profiles.unnamed_labels,
        skipped: recording.skipped,
    })
}

/// What is carried from chunk to chunk.
struct Recording<'l> {
    options: &'l Options,
    limits: &'l Limits,
    settings: Settings,
    profiles: Profiles<'l>,
    skipped: BTreeMap<String, u64>,
    /// Bytes of constants that events may still name.
    readable: usize,
}

impl Recording<'_> {
    fn add(&mut self, bytes: &[u8], header: Header) -> Result<(), Error> {
        let mut chunk = Chunk::open(bytes, header, self.limits, self.readable)?;
        chunk.read_constants()?;
        let types = &chunk.types.types;
        let known: Vec<Option<Event>> = types.iter().map(|t| Event::named(&t.name)).collect();
        let known = |class: Option<u32>| class.and_then(|class| known[class as usize]);
        let sampled = chunk.types.named(Event::EXECUTION);
        let sampled = sampled.and_then(|class| chunk.types.id(class));
        chunk.events(|class, fields| match (class, known(class)) {
            (Some(class), Some(Event::Setting)) => {
                self.settings.read(&chunk, class, fields, sampled)
            }
            _ => Ok(()),
        })?;
        let mut rows = Rows::new(self.limits);
        let mut events = Events::new(&chunk, self.options, &self.settings);
        let mut skipped = vec![0_u64; types.len()];
        let mut unknown = 0;
        chunk.events(|class, fields| {
            match (class, known(class)) {
                (Some(_), Some(Event::Setting)) => {}
                (Some(class), Some(event)) => {
                    if !events.add(&mut rows, event, class, fields)? {
                        skipped[class as usize] += 1;
                    }
                }
                (Some(class), None) => skipped[class as usize] += 1,
                (None, _) => unknown += 1,
            }
            Ok(())
        })?;
        let label = self.settings.label(self.limits)?;
        self.profiles.add(&events, rows, label)?;
        self.readable = chunk.pools.readable();
        for (class, count) in skipped.into_iter().enumerate() {
            let name = &chunk.types.types[class].name;
            count_skipped(&mut self.skipped, name, count);
        }
        count_skipped(&mut self.skipped, UNKNOWN_TYPE, unknown);
        Ok(())
    }
}

fn count_skipped(skipped: &mut BTreeMap<String, u64>, name: &str, count: u64) {
    if count > 0 {
        let name = shortened(name, TYPE_NAME_BYTES_MAX);
        *skipped.entry(name.to_owned()).or_default() += count;
    }
}
