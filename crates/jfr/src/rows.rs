//! The samples of one chunk, equal ones added up, before their stacks are expanded. What a
//! profile will have no room for is not kept, only summed.

use cairn_model::{Excess, Limits};

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
    /// The stack; a constant unless the event holds it itself.
    pub(crate) stack: Cell<'a>,
    /// Position in [`Rows::correlations`].
    pub(crate) correlation: u32,
    /// The second is unused in kinds of one value.
    pub(crate) values: [i64; 2],
}

/// The samples of one kind, as many as a profile may have, and the sum of all others.
#[derive(Debug, Default)]
pub(crate) struct OfKind<'a> {
    pub(crate) rows: Vec<Row<'a>>,
    pub(crate) left_out: u64,
    pub(crate) rest: [i64; 2],
    /// Positions in `rows` by key of the stack, and correlation.
    known: Map<(Key, u32), u32>,
}

#[derive(Debug)]
pub(crate) struct Rows<'a> {
    pub(crate) kinds: [OfKind<'a>; Kind::ALL.len()],
    pub(crate) correlations: Vec<Correlation>,
    by_correlation: Map<Correlation, u32>,
    samples_max: usize,
    excess: Excess,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            kinds: Default::default(),
            correlations: Vec::new(),
            by_correlation: Map::default(),
            samples_max: limits.samples_max.min((u32::MAX - 1) as usize),
            excess: limits.excess,
        }
    }

    /// Adds to an equal row, or adds one. What has no room is only summed, and takes no memory.
    pub(crate) fn add(
        &mut self,
        kind: Kind,
        stack: Cell<'a>,
        correlation: &Correlation,
        values: [i64; 2],
    ) -> Result<(), Error> {
        let of_kind = &mut self.kinds[kind as usize];
        let correlated = self.by_correlation.get(correlation).copied();
        let key = stack.key();
        let known = key
            .zip(correlated)
            .and_then(|key| of_kind.known.get(&key).copied());
        if let Some(at) = known {
            add_up(&mut of_kind.rows[at as usize].values, values);
            return Ok(());
        }
        if of_kind.rows.len() >= self.samples_max {
            if self.excess == Excess::Refuse {
                return Err(Error::over("its samples", "samples_max", self.samples_max));
            }
            of_kind.left_out += 1;
            add_up(&mut of_kind.rest, values);
            return Ok(());
        }
        let correlation = correlated.unwrap_or_else(|| {
            let at = self.correlations.len() as u32;
            self.correlations.push(*correlation);
            self.by_correlation.insert(*correlation, at);
            at
        });
        if let Some(key) = key {
            let at = of_kind.rows.len() as u32;
            of_kind.known.insert((key, correlation), at);
        }
        of_kind.rows.push(Row {
            stack,
            correlation,
            values,
        });
        Ok(())
    }
}

fn add_up(sums: &mut [i64; 2], values: [i64; 2]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum = sum.saturating_add(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_takes_no_memory() {
        let mut rows = Rows::new(&Limits {
            samples_max: 2,
            ..Limits::default()
        });
        for key in 0..100 {
            let stack = Cell::Constant { class: 0, key };
            let correlation = Correlation {
                span: key,
                ..Correlation::default()
            };
            for kind in [Kind::Mutex, Kind::Malloc, Kind::Mutex] {
                let added = rows.add(kind, stack, &correlation, [1, key]);
                added.expect("nothing is refused");
            }
        }
        assert_eq!((rows.correlations.len(), rows.by_correlation.len()), (2, 2));
        let [mutex, malloc] = [Kind::Mutex, Kind::Malloc].map(|kind| &rows.kinds[kind as usize]);
        assert_eq!((mutex.rows.len(), mutex.known.len()), (2, 2));
        assert_eq!((mutex.left_out, mutex.rest), (196, [196, 2 * 4_949]));
        assert_eq!((malloc.left_out, malloc.rest), (98, [98, 4_949]));
    }

    #[test]
    fn kinds_are_at_the_place_of_their_number() {
        for (at, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
        }
    }
}
