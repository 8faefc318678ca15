//! Stacks that were sent lately, so that they need not be sent again.
//!
//! Owns which stacks are kept and for how long. Does not know tenants: callers have one of these
//! for each, since a sender decides what its names stand for. Agents that give the same name to
//! different stacks share them, and a hostile one spoils the stacks of its own tenant only.

use cairn_model::{Limits, Tables};

use crate::copied::Copied;
use crate::intake::{Map, StackId};
use crate::table::{Builder, cost};
use crate::two_way::{Asked, Samples, Stacks};

/// What a name takes, at most.
pub(crate) const NAME_BYTES: usize = 48;

/// What the first few stacks take besides: arrays and tables have a least size.
pub(crate) const FEW_BYTES: usize = 1 << 10;

/// Stacks by name, of which those that no samples had for long are forgotten.
///
/// There are two halves. Stacks come into the young one; once it is full it becomes the old one,
/// which is forgotten. Old stacks that samples have become young again.
#[derive(Debug)]
pub struct Known {
    half_bytes_max: usize,
    young: Builder,
    young_names: Map<StackId, u32>,
    old: Tables,
    old_names: Map<StackId, u32>,
    old_bytes: usize,
}

impl Known {
    /// Takes no more memory than `bytes_max`. Stacks are kept as they were read: whoever changes a
    /// tenant's limits begins a new one.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            half_bytes_max: bytes_max / 2,
            young: Builder::default(),
            young_names: Map::default(),
            old: Tables::default(),
            old_names: Map::default(),
            old_bytes: 0,
        }
    }

    /// How much memory it takes, at most.
    pub fn bytes(&self) -> usize {
        self.young_bytes() + self.old_bytes
    }

    fn young_bytes(&self) -> usize {
        match self.young_names.len() {
            0 => 0,
            names => self.young.bytes() + NAME_BYTES * names + FEW_BYTES,
        }
    }

    /// Takes a copy of the stacks that samples have; the others are to be asked for. So whatever
    /// becomes of the stacks here meanwhile, the samples can be joined.
    ///
    /// Once the copy takes `profile_bytes_max` bytes, the rest counts as unknown. It takes the time
    /// that copying takes, however much is known.
    pub fn ask(&mut self, samples: Samples, limits: &Limits) -> Asked {
        let mut asked = Asked::new(samples);
        let (mut of_young, mut of_old) = (Copied::default(), Copied::default());
        let mut again = Vec::new();
        for name in asked.samples.stack_ids() {
            let has_room = asked.table.bytes() < limits.profile_bytes_max;
            let (young, old) = (self.young_names.get(&name), self.old_names.get(&name));
            let stack = match (young, old) {
                (Some(stack), _) if has_room => {
                    asked.table.copy(self.young.tables(), *stack, &mut of_young)
                }
                (None, Some(stack)) if has_room => {
                    let stack = asked.table.copy(&self.old, *stack, &mut of_old);
                    again.push((name, stack));
                    stack
                }
                _ => {
                    asked.unknown.push(name);
                    continue;
                }
            };
            asked.named.insert(name, stack);
        }
        let mut copied = Copied::default();
        for (name, stack) in again {
            self.keep(name, asked.table.tables(), stack, &mut copied);
        }
        asked
    }

    /// Remembers the stacks that were asked for, but for those that lack frames.
    pub fn add(&mut self, asked: &Asked, stacks: &Stacks) {
        let mut copied = Copied::default();
        for name in &asked.unknown {
            if let Some(stack) = stacks.whole(name) {
                self.keep(*name, stacks.table.tables(), stack, &mut copied);
            }
        }
    }

    /// Puts a stack into the young half, if it has no other of that name.
    fn keep(&mut self, name: StackId, from: &Tables, stack: u32, copied: &mut Copied) {
        if self.young_names.contains_key(&name) {
            return;
        }
        let cost = cost(from, stack) + NAME_BYTES;
        if cost + FEW_BYTES > self.half_bytes_max {
            return;
        }
        if self.young_bytes() + cost > self.half_bytes_max {
            self.old_bytes = self.young_bytes();
            self.old = std::mem::take(&mut self.young).finish();
            self.old_names = std::mem::take(&mut self.young_names);
            *copied = Copied::default();
        }
        let stack = self.young.copy(from, stack, copied);
        self.young_names.insert(name, stack);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::write::{self, Frame, Sample};
    use crate::{samples, stacks};

    /// Asks for stacks by number, and is sent those that are not known. Says which.
    fn converse(known: &mut Known, numbers: &[u8]) -> Vec<u8> {
        let limits = Limits::default();
        let id = |number: &u8| [*number; 16];
        let rows = numbers.iter().map(|number| Sample {
            stack_id: id(number),
            ..Sample::default()
        });
        let rows: Vec<Sample> = rows.collect();
        let asked = samples(&write::v1_samples(&rows), &limits).expect("it is sound");
        let asked = known.ask(asked, &limits);
        let frame = |number: &u8| Frame {
            address: u64::from(*number),
            file: format!("a file of {number:0200}"),
            ..Frame::default()
        };
        let sent = asked.unknown().iter().map(|id| &id[0]);
        let all: Vec<_> = sent
            .map(|number| (id(number), Arc::from([frame(number)])))
            .collect();
        let stacks = stacks(&write::v1_stacks(&all), &limits).expect("it is sound");
        known.add(&asked, &stacks);
        let numbers = asked.unknown().iter().map(|id| id[0]).collect();
        let decoded = asked.join(&stacks, &limits).expect("it is sound");
        assert_eq!(decoded.missing_stacks, 0);
        numbers
    }

    #[test]
    fn what_samples_have_stays_and_the_rest_goes() {
        let mut known = Known::new(12 << 10);
        assert_eq!(converse(&mut known, &[1, 2]), [1, 2]);
        assert_eq!(converse(&mut known, &[2, 3, 1]), [3]);
        for number in 4..100 {
            assert_eq!(converse(&mut known, &[number, 1]), [number]);
            assert!(known.bytes() <= 12 << 10, "{}", known.bytes());
        }
        assert_eq!(converse(&mut known, &[1, 2, 99, 98, 3]), [2, 3]);
    }

    #[test]
    fn what_has_no_room_is_not_kept() {
        let mut known = Known::new(3 << 10);
        assert_eq!(converse(&mut known, &[1]), [1]);
        assert_eq!(converse(&mut known, &[1]), [1]);
        assert_eq!(known.bytes(), 0);
    }

    #[test]
    fn a_copy_takes_what_its_limit_allows() {
        let mut known = Known::new(1 << 20);
        let numbers: Vec<u8> = (0..200).collect();
        assert_eq!(converse(&mut known, &numbers), numbers);
        let limits = Limits {
            profile_bytes_max: 20 << 10,
            ..Limits::default()
        };
        let rows = numbers.iter().map(|number| Sample {
            stack_id: [*number; 16],
            ..Sample::default()
        });
        let rows = write::v1_samples(&rows.collect::<Vec<_>>());
        let all = samples(&rows, &Limits::default()).expect("it is sound");
        let asked = known.ask(all, &limits);
        assert!(asked.bytes() < 40 << 10, "{}", asked.bytes());
        let unknown: Vec<u8> = asked.unknown().iter().map(|id| id[0]).collect();
        assert!(unknown.len() > 100 && numbers.ends_with(&unknown));
    }
}
