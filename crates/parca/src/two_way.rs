//! Writes in two directions: samples that name their stacks, the request for those that are not
//! known, and the stacks.
//!
//! A conversation holds what it needs of the known stacks itself, so that it can be finished
//! whatever is forgotten meanwhile.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, RecordBatch};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema};
use cairn_model::Limits;
use hashbrown::HashSet;

use crate::copied::Copied;
use crate::intake::{self, Intake, Map, StackId};
use crate::known::{FEW_BYTES, NAME_BYTES};
use crate::layout::{Rows as Kind, STACK_ID, VERSION_KEY};
use crate::meter::Meter;
use crate::profiles::{Made, Writer};
use crate::rows::Rows;
use crate::table::Builder;
use crate::{Decoded, Error, stream};

/// Samples whose stacks are known by name.
#[derive(Debug)]
pub struct Samples {
    rows: Rows,
    names: Vec<StackId>,
    ignored_columns: u64,
    replaced_strings: u64,
}

/// Samples, those of their stacks that were known when this was made, and the names of the others.
/// Comes from [`Known::ask`](crate::Known::ask).
#[derive(Debug)]
pub struct Asked {
    pub(crate) samples: Samples,
    /// The known stacks.
    pub(crate) table: Builder,
    pub(crate) named: Map<StackId, u32>,
    pub(crate) unknown: Vec<StackId>,
}

/// Stacks by name; none by default.
#[derive(Debug)]
pub struct Stacks {
    pub(crate) table: Builder,
    named: Map<StackId, u32>,
    incomplete: HashSet<StackId, foldhash::fast::RandomState>,
    incomplete_stacks: u64,
    ignored_columns: u64,
    replaced_strings: u64,
}

/// The first record of a write.
pub fn samples(record: &[u8], limits: &Limits) -> Result<Samples, Error> {
    let (intake, replaced_strings) = take(record, limits, Kind::Named)?;
    Ok(Samples {
        rows: intake.rows,
        names: intake.names,
        ignored_columns: intake.ignored_columns,
        replaced_strings,
    })
}

/// The second record of a write, which answers [`request`].
pub fn stacks(record: &[u8], limits: &Limits) -> Result<Stacks, Error> {
    let (intake, replaced_strings) = take(record, limits, Kind::Stacks)?;
    Ok(Stacks::new(intake, replaced_strings))
}

fn take(record: &[u8], limits: &Limits, kind: Kind) -> Result<(Intake, u64), Error> {
    stream::guarded(|| {
        let mut meter = Meter::new(limits);
        let mut intake = Intake::default();
        intake.ignored_columns = stream::read(record, &mut meter, |layout, batch, meter| {
            if layout.rows != kind {
                let wanted = match kind {
                    Kind::Stacks => "stacks",
                    Kind::Samples | Kind::Named => "samples that name their stacks",
                };
                return Err(Error::contradiction(format!("it holds no {wanted}")));
            }
            intake.add(layout, batch, meter)
        })?;
        Ok((intake, meter.replaced))
    })
}

impl Samples {
    /// The names of all stacks, each once, in the order of first use.
    pub fn stack_ids(&self) -> impl Iterator<Item = StackId> {
        self.names.iter().copied()
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives every sample its stack. Those whose stack is not there get a frame that says so.
    pub fn join(self, stacks: &Stacks, limits: &Limits) -> Result<Decoded, Error> {
        Asked::new(self).join(stacks, limits)
    }

    /// Makes profiles of the samples, whose stacks are in a table; `sent` says what had to be changed
    /// in the stacks.
    fn settle(
        &self,
        mut table: Builder,
        named: &Map<StackId, u32>,
        sent: &Stacks,
        limits: &Limits,
    ) -> Result<Decoded, Error> {
        let mut meter = Meter::new(limits);
        meter.tables.take(table.tables().bytes())?;
        let marks = table.marks();
        let (of_rows, lost) = intake::settle(&self.rows.stacks, &self.names, named, marks.missing);
        let Made {
            profiles,
            truncated_samples,
            truncated_points,
        } = Writer::new(&self.rows, &of_rows, (table.parts, marks)).profiles(&mut meter)?;
        Ok(Decoded {
            profiles,
            truncated_samples,
            truncated_points,
            rows: self.rows.len() as u64,
            truncated_stacks: sent.table.truncated(),
            missing_stacks: lost,
            incomplete_stacks: sent.incomplete_stacks,
            empty_labels: self.rows.empty_labels,
            missing_values: self.rows.without_value,
            ignored_columns: self.ignored_columns + sent.ignored_columns,
            replaced_strings: self.replaced_strings + sent.replaced_strings,
        })
    }
}
impl Asked {
    pub(crate) fn new(samples: Samples) -> Self {
        Self {
            samples,
            table: Builder::default(),
            named: Map::default(),
            unknown: Vec::new(),
        }
    }

    /// The names of the stacks that are to be asked for, each once, in the order of first use.
    pub fn unknown(&self) -> &[StackId] {
        &self.unknown
    }

    /// How much memory the stacks take that were known, at most.
    pub fn bytes(&self) -> usize {
        match self.named.len() {
            0 => 0,
            names => self.table.bytes() + NAME_BYTES * names + FEW_BYTES,
        }
    }

    /// Gives every sample its stack: the one that was sent, or the one that was known. Those whose
    /// stack is not there get a frame that says so.
    ///
    /// What was known counts towards `profile_bytes_max` like what is sent.
    pub fn join(mut self, stacks: &Stacks, limits: &Limits) -> Result<Decoded, Error> {
        let mut copied = Copied::default();
        for name in &self.samples.names {
            if let Some(stack) = stacks.named.get(name) {
                let stack = self.table.copy(stacks.table.tables(), *stack, &mut copied);
                self.named.insert(*name, stack);
            }
        }
        self.samples.settle(self.table, &self.named, stacks, limits)
    }
}

impl Stacks {
    fn new(intake: Intake, replaced_strings: u64) -> Self {
        Self {
            table: intake.table,
            named: intake.named,
            incomplete: intake.incomplete,
            incomplete_stacks: intake.refusals,
            ignored_columns: intake.ignored_columns,
            replaced_strings,
        }
    }

    /// The stack of a name, unless it lacks frames.
    pub(crate) fn whole(&self, name: &StackId) -> Option<u32> {
        let stack = *self.named.get(name)?;
        let is_whole = !self.incomplete.contains(name) && !self.table.is_truncated(stack);
        is_whole.then_some(stack)
    }

    pub fn contains(&self, id: &StackId) -> bool {
        self.named.contains_key(id)
    }

    /// How many stacks there are.
    pub fn len(&self) -> usize {
        self.named.len()
    }

    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }
}

impl Default for Stacks {
    fn default() -> Self {
        Self::new(Intake::default(), 0)
    }
}

/// What a server answers to samples: the names of the stacks that it wants.
///
/// If it wants none, it has nothing to answer: agents take the end of the stream for success. They
/// also understand a request for none, and answer it with a record of no stacks.
pub fn request(ids: &[StackId]) -> Vec<u8> {
    let names: ArrayRef = Arc::new(BinaryArray::from_iter_values(ids));
    let field = Field::new(STACK_ID, DataType::Binary, false);
    let version = [(VERSION_KEY.to_owned(), "v1".to_owned())];
    let schema = Arc::new(Schema::new_with_metadata(
        vec![field],
        std::collections::HashMap::from(version),
    ));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![names])
        .expect("the column is as the schema says");
    let mut bytes = Vec::new();
    let mut writer =
        StreamWriter::try_new(&mut bytes, &schema).expect("memory takes what is written");
    writer.write(&batch).expect("memory takes what is written");
    writer.finish().expect("memory takes what is written");
    bytes
}
