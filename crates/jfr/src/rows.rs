//! The samples of one chunk, equal ones added up, before their stacks are expanded.

use cairn_model::Limits;

use crate::kind::Kind;
use crate::types::{Cell, Key};
use crate::{Error, Map};

/// What an event says about the request that it belongs to. Zeros are "nothing".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Correlation {
    pub(crate) context: i64,
    pub(crate) span: i64,
    /// Number of a string of the snapshot.
    pub(crate) span_name: i64,
    pub(crate) trace: (i64, i64),
    /// Key of a thread, if threads are asked for.
    pub(crate) thread: i64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) kind: Kind,
    /// The stack; a constant unless the event holds it itself.
    pub(crate) stack: Cell<'a>,
    /// Position in [`Rows::correlations`].
    pub(crate) correlation: u32,
    /// The second is unused in kinds of one value.
    pub(crate) values: [i64; 2],
}

#[derive(Debug)]
pub(crate) struct Rows<'a> {
    pub(crate) rows: Vec<Row<'a>>,
    pub(crate) correlations: Vec<Correlation>,
    by_correlation: Map<Correlation, u32>,
    /// Positions in `rows` by kind, key of the stack, and correlation.
    by_stack: Map<(Kind, Key, u32), u32>,
    counts: [usize; Kind::COUNT],
    samples_max: usize,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            rows: Vec::new(),
            correlations: Vec::new(),
            by_correlation: Map::default(),
            by_stack: Map::default(),
            counts: [0; Kind::COUNT],
            samples_max: limits.samples_max.min((u32::MAX - 1) as usize),
        }
    }

    pub(crate) fn correlation(&mut self, correlation: Correlation) -> u32 {
        let next = self.correlations.len() as u32;
        let at = *self.by_correlation.entry(correlation).or_insert(next);
        if at == next {
            self.correlations.push(correlation);
        }
        at
    }

    pub(crate) fn add(&mut self, row: Row<'a>) -> Result<(), Error> {
        let next = self.rows.len() as u32;
        if let Some(key) = row.stack.key() {
            let key = (row.kind, key, row.correlation);
            let at = *self.by_stack.entry(key).or_insert(next);
            if at != next {
                let values = &mut self.rows[at as usize].values;
                for (sum, value) in values.iter_mut().zip(row.values) {
                    *sum = sum.saturating_add(value);
                }
                return Ok(());
            }
        }
        let count = &mut self.counts[row.kind as usize];
        *count += 1;
        if *count > self.samples_max {
            return Err(Error::over("its samples", "samples_max", self.samples_max));
        }
        self.rows.push(row);
        Ok(())
    }
}
