//! The section `samples`: one row per profile, stack and what else tells samples apart.
//!
//! Within a profile rows are sorted by stack, so the upper bytes of stack numbers come in runs:
//! split by bytes they take a third less than as a dictionary (measured on 550,000 rows).

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, UInt32Array};
use arrow_schema::DataType;
use parquet::file::properties::WriterPropertiesBuilder;

use crate::Error;
use crate::table::{Column, Packing, Table};
use crate::tables::{RowKey, SampleColumns};
use crate::toc::Encoded;

pub(crate) const SAMPLES: &str = "samples";
pub(crate) const STACK: &str = "stack";
pub(crate) const VALUE: &str = "value";
pub(crate) const ATTRS: &str = "attrs";
pub(crate) const LINK: &str = "link";
pub(crate) const TIME: &str = "time";

/// Rows that share dictionaries: what is read at once by a query of everything.
const GROUP_ROWS: usize = 1 << 20;

/// Rows of a page: what is read at least.
const PAGE_ROWS: usize = 64 << 10;

/// A page of this many bytes ends early; only incompressible rows get there.
const PAGE_BYTES: usize = 1 << 20;

/// Beyond this a dictionary no longer pays.
const DICTIONARY_BYTES: usize = 1 << 20;

/// How many different values a column will get, and whether it exists: `0` or `1` mean that all
/// rows have 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Distinct {
    pub(crate) rows: u64,
    pub(crate) attrs: usize,
    pub(crate) links: usize,
    /// Whether a row says when it was sampled.
    pub(crate) has_times: bool,
}

/// What is read of rows besides stacks and values. The columns that are not read are empty, as if
/// all their values were 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    pub attrs: bool,
    pub links: bool,
    pub times: bool,
}

impl Columns {
    pub const ALL: Self = Self {
        attrs: true,
        links: true,
        times: true,
    };

    pub(crate) fn has(self, column: &str) -> bool {
        match column {
            ATTRS => self.attrs,
            LINK => self.links,
            TIME => self.times,
            _ => true,
        }
    }
}

/// The section being written.
pub(crate) struct Writer {
    table: Table,
    pending: SampleColumns,
    distinct: Distinct,
}

impl Writer {
    pub(crate) fn new(
        distinct: Distinct,
        properties: WriterPropertiesBuilder,
    ) -> Result<Self, Error> {
        let mut columns = vec![
            Column::new(STACK, DataType::UInt32, Packing::Split),
            Column::new(VALUE, DataType::Int64, Packing::Dictionary),
        ];
        // Sets and links that (nearly) every row has of its own are numbered upwards.
        let packing = |of: usize| match of as u64 * 4 > distinct.rows {
            true => Packing::Delta,
            false => Packing::Dictionary,
        };
        if distinct.attrs > 1 {
            columns.push(Column::new(
                ATTRS,
                DataType::UInt32,
                packing(distinct.attrs),
            ));
        }
        if distinct.links > 1 {
            columns.push(Column::new(LINK, DataType::UInt32, packing(distinct.links)));
        }
        if distinct.has_times {
            columns.push(Column::new(TIME, DataType::UInt32, Packing::Dictionary));
        }
        let properties = properties
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_data_page_row_count_limit(PAGE_ROWS)
            .set_data_page_size_limit(PAGE_BYTES)
            .set_dictionary_page_size_limit(DICTIONARY_BYTES);
        Ok(Self {
            table: Table::new(SAMPLES, columns, properties)?,
            pending: SampleColumns::default(),
            distinct,
        })
    }

    pub(crate) fn push(&mut self, row: RowKey, value: i64) -> Result<(), Error> {
        self.pending.push(row, value);
        if self.pending.len() == PAGE_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        let SampleColumns {
            stacks,
            values,
            attrs,
            links,
            times,
        } = std::mem::take(&mut self.pending);
        let rows = stacks.len();
        let or_zero = |mut column: Vec<u32>| -> ArrayRef {
            column.resize(rows, 0);
            Arc::new(UInt32Array::from(column))
        };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(stacks)),
            Arc::new(Int64Array::from(values)),
        ];
        if self.distinct.attrs > 1 {
            columns.push(or_zero(attrs));
        }
        if self.distinct.links > 1 {
            columns.push(or_zero(links));
        }
        if self.distinct.has_times {
            columns.push(or_zero(times));
        }
        self.table.push(columns)
    }

    pub(crate) fn finish(mut self) -> Result<Encoded, Error> {
        if !self.pending.is_empty() {
            self.flush()?;
        }
        self.table.finish()
    }
}
