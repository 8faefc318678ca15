//! What a schema promises: whether rows are samples or stacks, and which columns are needed.
//!
//! Owns the names of columns and the schema that batches are read with. Texts are read as bytes:
//! the Arrow library would check them once per reference, and one view may be referred to often.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields, Metadata, Schema};

use crate::Error;
use crate::error::echo;

/// Fields of a schema, nested ones included: several hundred labels take a few thousand.
const FIELDS_MAX: usize = 16 << 10;

/// How deep types nest; those of agents nest nine deep.
const NESTING_MAX: usize = 16;

/// Key of the schema's metadata.
pub(crate) const VERSION_KEY: &str = "parca_write_schema_version";

pub(crate) const LABEL_PREFIX: &str = "labels.";
pub(crate) const LABELS: &str = "labels";
pub(crate) const STACK: &str = "stacktrace";
pub(crate) const STACK_ID: &str = "stacktrace_id";
pub(crate) const LOCATIONS: &str = "locations";
pub(crate) const IS_COMPLETE: &str = "is_complete";
pub(crate) const VALUE: &str = "value";
pub(crate) const TIMESTAMP: &str = "timestamp";

/// Columns that tell profiles apart, besides labels.
pub(crate) const DESCRIBING: [&str; 8] = [
    "producer",
    "sample_type",
    "sample_unit",
    "period_type",
    "period_unit",
    "temporality",
    "period",
    "duration",
];

/// What the rows of a stream are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Samples that hold their stacks.
    Samples,
    /// Samples that name their stacks.
    Named,
    /// Stacks with their names.
    Stacks,
}

/// How the batches of one stream are read.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) rows: Rows,
    pub(crate) schema: Arc<Schema>,
    /// Positions of the columns that are needed, ascending.
    pub(crate) needed: Vec<usize>,
    /// Dictionaries of those columns.
    pub(crate) dictionaries: HashSet<i64>,
    /// Fields of the schema, nested ones included.
    pub(crate) fields: usize,
    /// Columns that have no meaning here.
    pub(crate) ignored: u64,
}

impl Layout {
    pub(crate) fn new(schema: &Schema) -> Result<Self, Error> {
        check_version(schema)?;
        let mut seen = Seen::default();
        let fields = seen.fields(schema.fields(), 0)?;
        let schema = Arc::new(Schema::new(fields));
        let has = |name| schema.column_with_name(name).is_some();
        let rows = match (has(VALUE), has(STACK), has(STACK_ID), has(LOCATIONS)) {
            (true, true, _, _) => Rows::Samples,
            (true, false, true, _) => Rows::Named,
            (true, false, false, _) => return Err(Error::missing("stacktrace or stacktrace_id")),
            (false, _, true, true) => Rows::Stacks,
            (false, _, false, true) => return Err(Error::missing(STACK_ID)),
            (false, _, _, false) => return Err(Error::missing("value or locations")),
        };
        let mut layout = Self {
            rows,
            schema: Arc::clone(&schema),
            needed: Vec::new(),
            dictionaries: HashSet::new(),
            fields: seen.count,
            ignored: 0,
        };
        let mut names = HashSet::new();
        for (at, field) in schema.fields().iter().enumerate() {
            if layout.needs(field.name()) {
                if !names.insert(field.name()) {
                    let name = echo(field.name());
                    return Err(Error::contradiction(format!(
                        "column {name} is there twice"
                    )));
                }
                layout.needed.push(at);
                dictionaries(field, &mut layout.dictionaries);
            } else if !known(field.name()) {
                layout.ignored += 1;
            }
        }
        Ok(layout)
    }

    fn needs(&self, name: &str) -> bool {
        match self.rows {
            Rows::Stacks => [STACK_ID, LOCATIONS, IS_COMPLETE].contains(&name),
            Rows::Samples => name == STACK || is_of_samples(name),
            Rows::Named => name == STACK_ID || is_of_samples(name),
        }
    }
}

fn is_of_samples(name: &str) -> bool {
    [LABELS, VALUE, TIMESTAMP].contains(&name)
        || DESCRIBING.contains(&name)
        || name.starts_with(LABEL_PREFIX)
}

fn known(name: &str) -> bool {
    is_of_samples(name) || [STACK, STACK_ID].contains(&name)
}

fn check_version(schema: &Schema) -> Result<(), Error> {
    let version = schema
        .metadata()
        .get(VERSION_KEY)
        .map(|version| version.as_ref());
    match version {
        Some("v1" | "v2") => Ok(()),
        Some(other) => {
            let reason = format!("{VERSION_KEY} is {}, but v1 and v2 are known", echo(other));
            Err(Error::contradiction(reason))
        }
        None => Err(Error::contradiction(format!(
            "its schema has no {VERSION_KEY}"
        ))),
    }
}

/// Walks a schema and writes it anew with bytes instead of texts.
#[derive(Default)]
struct Seen {
    count: usize,
}

impl Seen {
    fn fields(&mut self, fields: &Fields, depth: usize) -> Result<Fields, Error> {
        fields
            .iter()
            .map(|field| self.field(field, depth))
            .collect()
    }

    fn field(&mut self, field: &FieldRef, depth: usize) -> Result<FieldRef, Error> {
        self.count += 1;
        if self.count > FIELDS_MAX {
            return Err(Error::contradiction(format!(
                "its schema has more than {FIELDS_MAX} fields"
            )));
        }
        let data_type = self.data_type(field.data_type(), depth + 1)?;
        // An extension says what bytes mean; here the column's name does.
        let field = field.as_ref().clone().with_metadata(Metadata::default());
        Ok(Arc::new(field.with_data_type(data_type)))
    }

    fn data_type(&mut self, data_type: &DataType, depth: usize) -> Result<DataType, Error> {
        if depth > NESTING_MAX {
            return Err(Error::contradiction(format!(
                "its types nest more than {NESTING_MAX} deep"
            )));
        }
        Ok(match data_type {
            DataType::Utf8 => DataType::Binary,
            DataType::LargeUtf8 => DataType::LargeBinary,
            DataType::Utf8View => DataType::BinaryView,
            DataType::Struct(fields) => DataType::Struct(self.fields(fields, depth)?),
            DataType::List(item) => DataType::List(self.field(item, depth)?),
            DataType::LargeList(item) => DataType::LargeList(self.field(item, depth)?),
            DataType::ListView(item) => DataType::ListView(self.field(item, depth)?),
            DataType::LargeListView(item) => DataType::LargeListView(self.field(item, depth)?),
            DataType::FixedSizeList(item, size) => {
                DataType::FixedSizeList(self.field(item, depth)?, *size)
            }
            DataType::Map(item, sorted) => DataType::Map(self.field(item, depth)?, *sorted),
            DataType::RunEndEncoded(ends, values) => {
                DataType::RunEndEncoded(Arc::clone(ends), self.field(values, depth)?)
            }
            DataType::Dictionary(key, value) => {
                let value = self.data_type(value, depth + 1)?;
                DataType::Dictionary(key.clone(), Box::new(value))
            }
            other => other.clone(),
        })
    }
}

/// Numbers of the dictionaries of a field and of all below it.
fn dictionaries(field: &Field, found: &mut HashSet<i64>) {
    #[expect(
        deprecated,
        reason = "the messages of a stream name dictionaries by these numbers"
    )]
    if let Some(id) = field.dict_id() {
        found.insert(id);
    }
    inner_dictionaries(field.data_type(), found);
}

fn inner_dictionaries(data_type: &DataType, found: &mut HashSet<i64>) {
    match data_type {
        DataType::Struct(fields) => fields.iter().for_each(|field| dictionaries(field, found)),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _)
        | DataType::RunEndEncoded(_, item) => dictionaries(item, found),
        DataType::Dictionary(_, value) => inner_dictionaries(value, found),
        _ => {}
    }
}
