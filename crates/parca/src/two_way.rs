//! Writes in two directions: samples that name their stacks, the request for those that are not
//! known, and the stacks.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, RecordBatch};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema};
use cairn_model::Limits;
use hashbrown::HashMap;

use crate::intake::{self, Intake, StackId};
use crate::layout::{Rows as Kind, STACK_ID, VERSION_KEY};
use crate::meter::Meter;
use crate::profiles;
use crate::rows::Rows;
use crate::table::Table;
use crate::{Decoded, Error, stream};

/// Samples whose stacks are known by name.
#[derive(Debug)]
pub struct Samples {
    rows: Rows,
    names: Vec<StackId>,
    ignored_columns: u64,
    replaced_strings: u64,
}

/// Stacks by name.
#[derive(Debug)]
pub struct Stacks {
    table: Table,
    named: HashMap<StackId, u32, foldhash::fast::RandomState>,
    truncated_stacks: u64,
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
    Ok(Stacks {
        named: intake.named,
        truncated_stacks: intake.table.truncated,
        incomplete_stacks: intake.incomplete,
        ignored_columns: intake.ignored_columns,
        table: intake.table.finish(),
        replaced_strings,
    })
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
        let mut meter = Meter::new(limits);
        let missing = stacks.table.missing;
        let (of_rows, lost) =
            intake::settle(&self.rows.stacks, &self.names, &stacks.named, missing);
        Ok(Decoded {
            profiles: profiles::profiles(&self.rows, &of_rows, &stacks.table, &mut meter)?,
            rows: self.rows.len() as u64,
            truncated_stacks: stacks.truncated_stacks,
            missing_stacks: lost,
            incomplete_stacks: stacks.incomplete_stacks,
            empty_labels: self.rows.empty_labels,
            missing_values: self.rows.without_value,
            ignored_columns: self.ignored_columns + stacks.ignored_columns,
            replaced_strings: self.replaced_strings + stacks.replaced_strings,
        })
    }
}

impl Stacks {
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

/// What a server answers to samples: the names of the stacks that it wants.
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
