//! The samples of a buffer, column by column. Owns what tells profiles apart and how it is
//! compared; does not know what stacks consist of.

use std::hash::BuildHasher;

use arrow_array::{Array, ArrayRef, RecordBatch};
use cairn_model::{NONE, StrId};
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};

use crate::Error;
use crate::column;
use crate::error::echo;
use crate::layout::{DESCRIBING, LABEL_PREFIX, LABELS, TIMESTAMP, VALUE};
use crate::meter::Meter;
use crate::texts::Texts;

/// A time that was not sent.
pub(crate) const NO_TIME: i64 = i64::MIN;

/// What a column of [`Rows`] says of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Label(StrId),
    /// A column of [`DESCRIBING`] that holds texts.
    Text(&'static str),
    /// One that holds numbers.
    Number(&'static str),
}

/// One value per row: a text, or the position of a number. [`NONE`] if the row has none.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) key: Key,
    pub(crate) ids: Vec<u32>,
}

/// Samples of any number of batches.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) texts: Texts,
    pub(crate) numbers: Vec<i64>,
    numbered: HashMap<i64, u32, RandomState>,
    pub(crate) columns: Vec<Column>,
    pub(crate) values: Vec<i64>,
    pub(crate) times: Vec<i64>,
    /// As numbered by whoever reads the stacks.
    pub(crate) stacks: Vec<u32>,
    /// Labels without a value.
    pub(crate) empty_labels: u64,
    /// Rows without a value, which are taken as 0.
    pub(crate) without_value: u64,
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        self.stacks.len()
    }

    /// Appends a batch, whose stacks are given.
    pub(crate) fn add(
        &mut self,
        batch: &RecordBatch,
        stacks: &[u32],
        meter: &mut Meter<'_>,
    ) -> Result<(), Error> {
        let before = self.len();
        let rows = before + batch.num_rows();
        if rows >= NONE as usize {
            return Err(Error::contradiction("it has more than 4 billion rows"));
        }
        meter.tables.take(batch.num_rows().saturating_mul(24))?;
        self.stacks.extend_from_slice(stacks);
        let schema = batch.schema();
        for (field, array) in schema.fields().iter().zip(batch.columns()) {
            self.column(field.name(), array, before, meter)?;
        }
        self.values.resize(rows, 0);
        self.times.resize(rows, NO_TIME);
        for column in &mut self.columns {
            meter
                .tables
                .take((rows - column.ids.len()).saturating_mul(4))?;
            column.ids.resize(rows, NONE);
        }
        Ok(())
    }

    fn column(
        &mut self,
        name: &str,
        array: &ArrayRef,
        before: usize,
        meter: &mut Meter<'_>,
    ) -> Result<(), Error> {
        match name {
            VALUE => {
                self.without_value += array.logical_null_count() as u64;
                self.values.extend(column::integers(array, name, 0, meter)?);
            }
            TIMESTAMP => {
                let times = column::integers(array, name, NO_TIME, meter)?;
                self.times.extend(times);
            }
            LABELS => {
                let resolved = column::resolve(array, name, meter)?;
                let structs = resolved.structs(name)?;
                for (name, array) in structs.column_names().iter().zip(structs.columns()) {
                    let mut ids = self.labels(array, meter)?;
                    if let Some(nulls) = structs.nulls() {
                        let rows = ids.iter_mut().zip(nulls.iter());
                        rows.filter(|(_, is_there)| !is_there)
                            .for_each(|(id, _)| *id = NONE);
                    }
                    self.label(name, resolved.spread(ids, NONE), before, meter)?;
                }
            }
            "period" | "duration" => {
                let numbers = column::integers(array, name, 0, meter)?;
                let ids = numbers
                    .into_iter()
                    .map(|number| self.number(number))
                    .collect();
                let name = if name == "period" {
                    "period"
                } else {
                    "duration"
                };
                self.put(Key::Number(name), ids, before, meter)?;
            }
            _ => {
                if let Some(name) = name.strip_prefix(LABEL_PREFIX) {
                    let ids = self.labels(array, meter)?;
                    self.label(name, ids, before, meter)?;
                } else if let Some(name) = DESCRIBING.iter().find(|known| **known == name) {
                    let texts = &mut self.texts;
                    let take = |bytes: &[u8], meter: &mut Meter<'_>| texts.take(bytes, meter);
                    let mut ids = column::bytes(array, name, meter, take)?;
                    // An empty text says as much as none.
                    ids.iter_mut()
                        .filter(|id| **id == 0)
                        .for_each(|id| *id = NONE);
                    self.put(Key::Text(name), ids, before, meter)?;
                }
            }
        }
        Ok(())
    }

    fn labels(&mut self, array: &ArrayRef, meter: &mut Meter<'_>) -> Result<Vec<u32>, Error> {
        let texts = &mut self.texts;
        let max = meter.limits.label_value_bytes_max;
        column::bytes(array, LABELS, meter, |bytes, meter| {
            if bytes.len() > max {
                let what = format!("the value of a label has {} bytes", bytes.len());
                return Err(Error::over(what, "label_value_bytes_max", max));
            }
            texts.take(bytes, meter)
        })
    }

    fn label(
        &mut self,
        name: &str,
        mut ids: Vec<u32>,
        before: usize,
        meter: &mut Meter<'_>,
    ) -> Result<(), Error> {
        if name.is_empty() {
            return Err(Error::contradiction("a label has no name"));
        }
        let max = meter.limits.label_name_bytes_max;
        if name.len() > max {
            let what = format!("the name of a label has {} bytes", name.len());
            return Err(Error::over(what, "label_name_bytes_max", max));
        }
        for id in &mut ids {
            if *id == 0 {
                *id = NONE;
                self.empty_labels += 1;
            }
        }
        let name = self.texts.take(name.as_bytes(), meter)?;
        self.put(Key::Label(name), ids, before, meter)
    }

    /// Appends a column of a batch to the one of the same key.
    fn put(
        &mut self,
        key: Key,
        ids: Vec<u32>,
        before: usize,
        meter: &mut Meter<'_>,
    ) -> Result<(), Error> {
        // There are few columns, and they come in the same order in every batch.
        meter.read.take(self.columns.len())?;
        meter.tables.take(ids.len().saturating_mul(4))?;
        match self.columns.iter_mut().find(|column| column.key == key) {
            Some(column) if column.ids.len() == before => column.ids.extend(ids),
            Some(_) => {
                let name = match key {
                    Key::Label(name) => self.texts.get(name),
                    Key::Text(name) | Key::Number(name) => name,
                };
                let reason = format!("label or column {} is there twice", echo(name));
                return Err(Error::contradiction(reason));
            }
            None => {
                meter.tables.take(before.saturating_mul(4))?;
                let mut all = vec![NONE; before];
                all.extend(ids);
                self.columns.push(Column { key, ids: all });
            }
        }
        Ok(())
    }

    fn number(&mut self, number: i64) -> u32 {
        // Nearly always the same.
        if let Some(last) = self.numbers.last()
            && *last == number
        {
            return self.numbers.len() as u32 - 1;
        }
        let numbers = &mut self.numbers;
        *self.numbered.entry(number).or_insert_with(|| {
            numbers.push(number);
            numbers.len() as u32 - 1
        })
    }

    /// Which profile each row belongs to, and the first row of each profile.
    pub(crate) fn groups(&self, meter: &mut Meter<'_>) -> Result<(Vec<u32>, Vec<u32>), Error> {
        let rows = self.len();
        if rows == 0 {
            return Ok((Vec::new(), Vec::new()));
        }
        let varies = |column: &&Column| column.ids.iter().any(|id| *id != column.ids[0]);
        let columns: Vec<&Column> = self.columns.iter().filter(varies).collect();
        let width = columns.len();
        if width == 0 {
            return Ok((vec![0; rows], vec![0]));
        }
        meter.tables.take(rows.saturating_mul(4 * (width + 1)))?;
        let mut keys = vec![NONE; rows * width];
        for (at, column) in columns.iter().enumerate() {
            let slots = keys[at..].iter_mut().step_by(width);
            slots.zip(&column.ids).for_each(|(slot, id)| *slot = *id);
        }
        let hasher = RandomState::default();
        let mut known = HashTable::<u32>::new();
        let (mut groups, mut firsts) = (Vec::with_capacity(rows), Vec::new());
        let key = |row: u32| &keys[row as usize * width..][..width];
        for (row, this) in keys.chunks_exact(width).enumerate() {
            let hash = hasher.hash_one(this);
            let is_same = |group: &u32| key(firsts[*group as usize]) == this;
            let group = match known.find(hash, is_same) {
                Some(group) => *group,
                None => {
                    let group = firsts.len() as u32;
                    firsts.push(row as u32);
                    known.insert_unique(hash, group, |group| {
                        hasher.hash_one(key(firsts[*group as usize]))
                    });
                    group
                }
            };
            groups.push(group);
        }
        Ok((groups, firsts))
    }

    /// The column of a key; without rows if there is none.
    pub(crate) fn ids(&self, key: Key) -> &[u32] {
        let column = self.columns.iter().find(|column| column.key == key);
        column.map_or(&[], |column| &column.ids)
    }
}
