//! The stacks of a buffer, each once. Owns the limit of depth, and how stacks are taken from one
//! table into another; does not know which samples have which stack.

pub use cairn_model::TRUNCATED_FRAME;
use std::hash::BuildHasher;

use cairn_model::{Excess, Function, Line, Location, Mapping, Profile, StrId};
use foldhash::fast::RandomState;
use hashbrown::{HashSet, HashTable};

use crate::Error;
use crate::copied::Copied;
use crate::meter::Meter;
use crate::parts::{GROWTH, HASHED, MAPPING_HASHED, Parts};

/// Name of the frame of samples whose stack was not sent.
pub const MISSING_FRAME: &str = "[missing stack]";

/// What stands for stacks that are not there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    /// The stack of samples whose own was not sent.
    pub(crate) missing: u32,
    /// The location of [`TRUNCATED_FRAME`].
    pub(crate) truncated: u32,
}

/// Stacks being collected.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    pub(crate) parts: Parts,
    /// Frames of each location of `parts`, and whether some of them were left out.
    frames: Vec<(u32, bool)>,
    ends: Vec<u32>,
    locations: Vec<u32>,
    known: HashTable<u32>,
    hasher: RandomState,
    scratch: Vec<u32>,
    /// Stacks that were cut.
    truncated: HashSet<u32, RandomState>,
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

    /// A stack, leaf first. If it is too deep, its root side is cut, or it is refused.
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
        if is_truncated && meter.limits.excess == Excess::Refuse {
            return Err(Error::over("frames of a stack", "depth_max", max));
        }
        if is_truncated {
            stack.truncate(kept.max(1));
            stack.push(self.parts.frame(TRUNCATED_FRAME));
        }
        let id = self.intern(&stack);
        if is_truncated {
            self.truncated.insert(id);
        }
        self.scratch = stack;
        Ok(id)
    }

    /// Adds what stands for stacks that are not there.
    pub(crate) fn marks(&mut self) -> Marks {
        let frame = self.parts.frame(MISSING_FRAME);
        Marks {
            missing: self.intern(&[frame]),
            truncated: self.parts.frame(TRUNCATED_FRAME),
        }
    }

    /// Takes a stack from elsewhere. `copied` must be of the same two tables.
    pub(crate) fn copy(&mut self, from: View<'_>, stack: u32, copied: &mut Copied) -> u32 {
        let mut new = std::mem::take(&mut self.scratch);
        new.clear();
        let one = |id: &u32| copied.location(from.parts, *id, &mut self.parts);
        new.extend(from.stack(stack).iter().map(one));
        let id = self.intern(&new);
        self.scratch = new;
        id
    }

    fn intern(&mut self, stack: &[u32]) -> u32 {
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
            return *id;
        }
        let id = ends.len() as u32;
        locations.extend_from_slice(stack);
        ends.push(locations.len() as u32);
        known.insert_unique(hash, id, |id| hasher.hash_one(slice(ends, locations, *id)));
        id
    }

    /// How many stacks were cut.
    pub(crate) fn truncated(&self) -> u64 {
        self.truncated.len() as u64
    }

    pub(crate) fn is_truncated(&self, stack: u32) -> bool {
        self.truncated.contains(&stack)
    }

    pub(crate) fn view(&self) -> View<'_> {
        View {
            parts: self.parts.profile(),
            ends: &self.ends,
            locations: &self.locations,
        }
    }

    /// How much memory the stacks take that were copied, at most.
    pub(crate) fn bytes(&self) -> usize {
        let numbers = self.ends.len() + self.locations.len();
        self.parts.bytes() + GROWTH * size_of::<u32>() * numbers + HASHED * self.ends.len()
    }

    pub(crate) fn finish(self) -> Table {
        Table {
            parts: self.parts.finish(),
            ends: self.ends,
            locations: self.locations,
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

/// Stacks that are no longer added to.
#[derive(Debug, Default)]
pub(crate) struct Table {
    parts: Profile,
    ends: Vec<u32>,
    locations: Vec<u32>,
}

impl Table {
    pub(crate) fn view(&self) -> View<'_> {
        View {
            parts: &self.parts,
            ends: &self.ends,
            locations: &self.locations,
        }
    }
}

/// The stacks of either.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    /// Everything but samples.
    pub(crate) parts: &'a Profile,
    ends: &'a [u32],
    locations: &'a [u32],
}

impl<'a> View<'a> {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Locations of a stack, leaf first.
    pub(crate) fn stack(&self, id: u32) -> &'a [u32] {
        slice(self.ends, self.locations, id)
    }

    /// How much memory a copy of a stack takes where none of its parts are known, at most.
    pub(crate) fn cost(&self, id: u32) -> usize {
        let text = |id: StrId| self.parts.str(id).len() + size_of::<u32>();
        let line = |line: &Line| {
            let of = self.parts.functions[line.function as usize];
            let texts = text(of.name) + text(of.system_name) + text(of.file);
            texts + size_of::<Line>() + size_of::<Function>()
        };
        let location = |id: &u32| {
            let mapping = self.parts.locations[*id as usize].mapping;
            let mapping = match self.parts.mappings.get(mapping as usize) {
                Some(of) => text(of.file) + text(of.build_id) + size_of::<Mapping>(),
                None => 0,
            };
            let lines = self.parts.lines(*id);
            let lines_bytes: usize = lines.iter().map(line).sum();
            // A location, two texts of its mapping; a function, three texts.
            let hashed = HASHED * (3 + 4 * lines.len()) + MAPPING_HASHED;
            GROWTH * (size_of::<u32>() + size_of::<Location>() + mapping + lines_bytes) + hashed
        };
        let locations: usize = self.stack(id).iter().map(location).sum();
        locations + GROWTH * size_of::<u32>() + HASHED
    }
}
