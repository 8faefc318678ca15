//! The stacks of a buffer, each once. Owns the limit of depth, and how stacks are taken from one
//! table into another; does not know which samples have which stack.

pub use cairn_model::TRUNCATED_FRAME;

use cairn_model::{Excess, Function, Line, Location, Mapping, StrId, Tables};
use foldhash::fast::RandomState;
use hashbrown::HashSet;

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
    /// The stack of what a profile has no room for.
    pub(crate) truncated: u32,
}

/// Stacks being collected.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    pub(crate) parts: Parts,
    /// Frames of each location of `parts`, and whether some of them were left out.
    frames: Vec<(u32, bool)>,
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
        let id = self.parts.stack(&stack);
        if is_truncated {
            self.truncated.insert(id);
        }
        self.scratch = stack;
        Ok(id)
    }

    /// Adds what stands for stacks that are not there.
    pub(crate) fn marks(&mut self) -> Marks {
        let mut stack_of = |name| {
            let frame = self.parts.frame(name);
            self.parts.stack(&[frame])
        };
        Marks {
            missing: stack_of(MISSING_FRAME),
            truncated: stack_of(TRUNCATED_FRAME),
        }
    }

    /// Takes a stack from elsewhere. `copied` must be of the same two tables.
    pub(crate) fn copy(&mut self, from: &Tables, stack: u32, copied: &mut Copied) -> u32 {
        let mut new = std::mem::take(&mut self.scratch);
        new.clear();
        let one = |id: &u32| copied.location(from, *id, &mut self.parts);
        new.extend(from.stacks.get(stack).iter().map(one));
        let id = self.parts.stack(&new);
        self.scratch = new;
        id
    }

    /// How many stacks were cut.
    pub(crate) fn truncated(&self) -> u64 {
        self.truncated.len() as u64
    }

    pub(crate) fn is_truncated(&self, stack: u32) -> bool {
        self.truncated.contains(&stack)
    }

    pub(crate) fn tables(&self) -> &Tables {
        self.parts.tables()
    }

    /// How much memory the stacks take that were copied, at most.
    pub(crate) fn bytes(&self) -> usize {
        self.parts.bytes()
    }

    pub(crate) fn finish(self) -> Tables {
        self.parts.finish()
    }
}

/// How much memory a copy of a stack takes where none of its parts are known, at most.
pub(crate) fn cost(tables: &Tables, stack: u32) -> usize {
    let text = |id: StrId| tables.str(id).len() + size_of::<u32>();
    let line = |line: &Line| {
        let of = tables.functions[line.function as usize];
        let texts = text(of.name) + text(of.system_name) + text(of.file);
        texts + size_of::<Line>() + size_of::<Function>()
    };
    let location = |id: &u32| {
        let mapping = tables.locations[*id as usize].mapping;
        let mapping = match tables.mappings.get(mapping as usize) {
            Some(of) => text(of.file) + text(of.build_id) + size_of::<Mapping>(),
            None => 0,
        };
        let lines = tables.lines(*id);
        let lines_bytes: usize = lines.iter().map(line).sum();
        // A location, two texts of its mapping; a function, three texts.
        let hashed = HASHED * (3 + 4 * lines.len()) + MAPPING_HASHED;
        GROWTH * (size_of::<u32>() + size_of::<Location>() + mapping + lines_bytes) + hashed
    };
    let locations: usize = tables.stacks.get(stack).iter().map(location).sum();
    locations + GROWTH * size_of::<u32>() + HASHED
}
