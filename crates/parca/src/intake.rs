//! What a buffer holds, put together: samples, their stacks, stacks by name.
//!
//! Owns which stack a sample has; both one-way and two-way writes go through it.

use arrow_array::{ArrayRef, RecordBatch};
use cairn_model::NONE;
use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};

use crate::Error;
use crate::column::{self, Lists};
use crate::frames;
use crate::layout::{IS_COMPLETE, LOCATIONS, Layout, Rows as Kind, STACK, STACK_ID};
use crate::meter::Meter;
use crate::rows::Rows;
use crate::table;

/// Name of a stack, as hashed by the agent.
pub type StackId = [u8; 16];

pub(crate) type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Set in the stack of a row that names it; the rest is the position of the name.
const NAMED: u32 = 1 << 31;

#[derive(Debug, Default)]
pub(crate) struct Intake {
    pub(crate) rows: Rows,
    pub(crate) table: table::Builder,
    /// Names of stacks that samples have, each once.
    pub(crate) names: Vec<StackId>,
    positions: Map<StackId, u32>,
    /// Stacks that came with a name.
    pub(crate) named: Map<StackId, u32>,
    /// Those of which the agent says that they lack frames.
    pub(crate) incomplete: HashSet<StackId, foldhash::fast::RandomState>,
    /// How many times it says so.
    pub(crate) refusals: u64,
    pub(crate) ignored_columns: u64,
}

impl Intake {
    pub(crate) fn add(
        &mut self,
        layout: &Layout,
        batch: &RecordBatch,
        meter: &mut Meter<'_>,
    ) -> Result<(), Error> {
        match layout.rows {
            Kind::Samples => {
                let stacks = self.inline(batch, meter)?;
                self.rows.add(batch, &stacks, meter)
            }
            Kind::Named => {
                let stacks = self.by_name(batch, meter)?;
                self.rows.add(batch, &stacks, meter)
            }
            Kind::Stacks => self.stacks(batch, meter),
        }
    }

    /// Stacks that the rows hold.
    fn inline(&mut self, batch: &RecordBatch, meter: &mut Meter<'_>) -> Result<Vec<u32>, Error> {
        let array = batch
            .column_by_name(STACK)
            .ok_or_else(|| Error::missing(STACK))?;
        self.lists(array, STACK, meter)
    }

    fn lists(
        &mut self,
        array: &ArrayRef,
        name: &str,
        meter: &mut Meter<'_>,
    ) -> Result<Vec<u32>, Error> {
        let Lists { ranges, items } = column::lists(array, name, meter)?;
        let locations = frames::locations(&items, name, &mut self.table, meter)?;
        meter.tables.take(ranges.len().saturating_mul(4))?;
        // Agents write a stack once and refer to it by its place.
        let mut known: Map<(u32, u32), u32> = Map::default();
        let mut stacks = Vec::with_capacity(ranges.len());
        let mut last = None;
        for range in ranges {
            let stack = match last {
                Some((same, stack)) if same == range => stack,
                _ => match known.get(&range) {
                    Some(stack) => *stack,
                    None => {
                        let items = &locations[range.0 as usize..][..range.1 as usize];
                        let stack = self.table.stack(items.iter().copied(), meter)?;
                        known.insert(range, stack);
                        stack
                    }
                },
            };
            last = Some((range, stack));
            stacks.push(stack);
        }
        Ok(stacks)
    }

    /// Stacks that the rows name.
    fn by_name(&mut self, batch: &RecordBatch, meter: &mut Meter<'_>) -> Result<Vec<u32>, Error> {
        let names = batch
            .column_by_name(STACK_ID)
            .ok_or_else(|| Error::missing(STACK_ID))?;
        let Self {
            names: known,
            positions,
            ..
        } = self;
        column::bytes(names, STACK_ID, meter, |bytes, meter| {
            let name = stack_id(bytes)?;
            Ok(match positions.entry(name) {
                Entry::Occupied(entry) => *entry.get(),
                Entry::Vacant(entry) => {
                    meter.tables.take(48)?;
                    known.push(name);
                    *entry.insert((known.len() as u32 - 1) | NAMED)
                }
            })
        })
    }

    fn stacks(&mut self, batch: &RecordBatch, meter: &mut Meter<'_>) -> Result<(), Error> {
        let column = |name| {
            batch
                .column_by_name(name)
                .ok_or_else(|| Error::missing(name))
        };
        let locations = column(LOCATIONS)?;
        let stacks = self.lists(locations, LOCATIONS, meter)?;
        let mut names = Vec::new();
        let positions = column::bytes(column(STACK_ID)?, STACK_ID, meter, |bytes, meter| {
            meter.tables.take(96)?;
            names.push(stack_id(bytes)?);
            Ok(names.len() as u32 - 1)
        })?;
        let names = |position: u32| names.get(position as usize).copied();
        for (position, stack) in positions.iter().zip(stacks) {
            if let Some(name) = names(*position) {
                self.named.insert(name, stack);
            }
        }
        if let Some(array) = batch.column_by_name(IS_COMPLETE) {
            let refusals = column::refusals(array, IS_COMPLETE)?;
            for (position, _) in positions.iter().zip(refusals).filter(|(_, no)| *no) {
                self.refusals += 1;
                self.incomplete.extend(names(*position));
            }
        }
        Ok(())
    }
}

/// The stack of each row, where `named` says which stack a name has, and how many rows have none.
pub(crate) fn settle(
    rows: &[u32],
    names: &[StackId],
    named: &Map<StackId, u32>,
    missing: u32,
) -> (Vec<u32>, u64) {
    let settled = names.iter().map(|name| named.get(name).copied());
    let settled: Vec<Option<u32>> = settled.collect();
    let mut lost = 0;
    let one = |row: &u32| {
        let stack = match *row {
            NONE => None,
            row if row & NAMED != 0 => settled[(row & !NAMED) as usize],
            row => Some(row),
        };
        stack.unwrap_or_else(|| {
            lost += 1;
            missing
        })
    };
    let stacks = rows.iter().map(one).collect();
    (stacks, lost)
}

fn stack_id(bytes: &[u8]) -> Result<StackId, Error> {
    bytes.try_into().map_err(|_| {
        Error::contradiction(format!(
            "a stacktrace_id has {} bytes instead of 16",
            bytes.len()
        ))
    })
}
