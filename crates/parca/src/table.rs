//! The stacks of a buffer, each once. Owns locations, their calls and files, and the limit of
//! depth; does not know which samples have which stack.

pub use cairn_model::TRUNCATED_FRAME;
use std::hash::BuildHasher;

use cairn_model::{Profile, ProfileBuilder};
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::Error;
use crate::meter::Meter;

/// Name of the frame of samples whose stack was not sent.
pub const MISSING_FRAME: &str = "[missing stack]";

/// Stacks being collected.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    pub(crate) parts: ProfileBuilder,
    /// Frames of each location of `parts`, and whether some of them were left out.
    frames: Vec<(u32, bool)>,
    ends: Vec<u32>,
    locations: Vec<u32>,
    known: HashTable<u32>,
    hasher: RandomState,
    scratch: Vec<u32>,
    pub(crate) truncated: u64,
}

impl Builder {
    /// Notes how many frames a location has, once it is in `parts`.
    pub(crate) fn note(&mut self, location: u32, frames: usize, is_cut: bool) {
        let at = location as usize;
        if at >= self.frames.len() {
            self.frames.resize(at + 1, (1, false));
            self.frames[at] = (frames.max(1) as u32, is_cut);
        }
    }

    /// A stack, leaf first.
    pub(crate) fn stack(
        &mut self,
        locations: impl Iterator<Item = u32>,
        meter: &mut Meter<'_>,
    ) -> Result<u32, Error> {
        let mut stack = std::mem::take(&mut self.scratch);
        stack.clear();
        let max = meter.limits.depth_max;
        let (mut frames, mut kept, mut is_cut) = (0_usize, 0, false);
        let mut items = 0;
        for location in locations {
            let (more, cut) = self.frames[location as usize];
            frames += more as usize;
            is_cut |= cut;
            items += 1;
            // The rest only counts.
            if stack.len() <= max {
                stack.push(location);
            }
            // Room for the marker is needed only if something is left out.
            kept += usize::from(frames < max);
        }
        meter.tables.take(4 * items + 4)?;
        let is_truncated = frames > max || is_cut;
        if is_truncated {
            stack.truncate(kept.max(1));
            stack.push(self.frame(TRUNCATED_FRAME));
        }
        let (id, is_new) = self.intern(&stack);
        self.truncated += u64::from(is_truncated && is_new);
        self.scratch = stack;
        Ok(id)
    }

    fn frame(&mut self, name: &str) -> u32 {
        let location = self.parts.frame(name);
        self.note(location, 1, false);
        location
    }

    fn intern(&mut self, stack: &[u32]) -> (u32, bool) {
        let Self {
            ends,
            locations,
            known,
            hasher,
            ..
        } = self;
        let hash = hasher.hash_one(stack);
        let found = known.find(hash, |id| slice(ends, locations, *id) == stack);
        if let Some(id) = found {
            return (*id, false);
        }
        let id = ends.len() as u32;
        locations.extend_from_slice(stack);
        ends.push(locations.len() as u32);
        known.insert_unique(hash, id, |id| hasher.hash_one(slice(ends, locations, *id)));
        (id, true)
    }

    pub(crate) fn finish(mut self) -> Table {
        let frame = self.frame(MISSING_FRAME);
        let (missing, _) = self.intern(&[frame]);
        Table {
            parts: self.parts.finish(),
            ends: self.ends,
            locations: self.locations,
            missing,
        }
    }
}

fn slice<'a>(ends: &[u32], locations: &'a [u32], id: u32) -> &'a [u32] {
    let start = match id {
        0 => 0,
        id => ends[id as usize - 1],
    };
    &locations[start as usize..ends[id as usize] as usize]
}

/// The stacks of a buffer, to draw profiles from.
#[derive(Debug)]
pub(crate) struct Table {
    /// Everything but samples.
    pub(crate) parts: Profile,
    ends: Vec<u32>,
    locations: Vec<u32>,
    /// The stack of samples whose own is not there.
    pub(crate) missing: u32,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Locations of a stack, leaf first.
    pub(crate) fn stack(&self, id: u32) -> &[u32] {
        slice(&self.ends, &self.locations, id)
    }
}
