//! Second walk: the scalars, value types, functions and mappings. Leaves addresses alone.

use cairn_model::{Function, Profile, StrId, Strings, Tables, ValueType};
use cairn_protobuf::Reader;

use crate::Error;
use crate::ids::Ids;

use super::Input;
use super::strings::{DURATION, FUNCTION, MAPPING, PERIOD, PERIOD_TYPE, SAMPLE_TYPE, TIME, string};

/// What rows of other tables name by ids.
pub(super) struct Numbered {
    pub(super) functions: Ids,
    pub(super) mapping_ids: Ids,
    pub(super) mappings: Vec<Mapped>,
}

/// A mapping as sent.
#[derive(Default)]
pub(super) struct Mapped {
    pub(super) start: u64,
    pub(super) limit: u64,
    pub(super) offset: u64,
    pub(super) file: StrId,
    pub(super) build_id: StrId,
}

pub(super) fn read(
    input: &Input<'_>,
    profile: &mut Profile,
    tables: &mut Tables,
) -> Result<Numbered, Error> {
    let mut numbered = Numbered {
        functions: Ids::new("function"),
        mapping_ids: Ids::new("mapping"),
        mappings: Vec::with_capacity(input.rows.to_reserve(MAPPING)),
    };
    tables
        .functions
        .reserve_exact(input.rows.to_reserve(FUNCTION));
    profile
        .types
        .reserve_exact(input.rows.to_reserve(SAMPLE_TYPE));
    let strings = &tables.strings;
    let mut reader = Reader::new(input.plain);
    while let Some((field, value)) = reader.field()? {
        match field {
            SAMPLE_TYPE => {
                let mut kind = ValueType::default();
                read_value_type(value.bytes()?, strings, &mut kind)?;
                profile.types.push(kind);
            }
            PERIOD_TYPE => read_value_type(value.bytes()?, strings, &mut profile.period_type)?,
            MAPPING => {
                let (id, mapping) = read_mapping(value.bytes()?, strings)?;
                numbered.mapping_ids.push(id)?;
                numbered.mappings.push(mapping);
            }
            FUNCTION => {
                let (id, function) = read_function(value.bytes()?, strings)?;
                numbered.functions.push(id)?;
                tables.functions.push(function);
            }
            TIME => profile.time = value.int()?,
            DURATION => profile.duration = value.int()?,
            PERIOD => profile.period = value.int()?,
            _ => {}
        }
    }
    Ok(numbered)
}

fn read_value_type(raw: &[u8], strings: &Strings, into: &mut ValueType) -> Result<(), Error> {
    let asker = || "a value type".to_owned();
    let mut reader = Reader::new(raw);
    while let Some((field, value)) = reader.field()? {
        match field {
            1 => into.kind = string(strings, value, asker)?,
            2 => into.unit = string(strings, value, asker)?,
            _ => {}
        }
    }
    Ok(())
}

fn read_mapping(raw: &[u8], strings: &Strings) -> Result<(u64, Mapped), Error> {
    let mut id = 0;
    let mut mapping = Mapped::default();
    let mut reader = Reader::new(raw);
    while let Some((field, value)) = reader.field()? {
        match field {
            1 => id = value.varint()?,
            2 => mapping.start = value.varint()?,
            3 => mapping.limit = value.varint()?,
            4 => mapping.offset = value.varint()?,
            5 => mapping.file = string(strings, value, || format!("mapping {id}"))?,
            6 => mapping.build_id = string(strings, value, || format!("mapping {id}"))?,
            _ => {}
        }
    }
    Ok((id, mapping))
}

fn read_function(raw: &[u8], strings: &Strings) -> Result<(u64, Function), Error> {
    let mut id = 0;
    let mut function = Function::default();
    let mut reader = Reader::new(raw);
    while let Some((field, value)) = reader.field()? {
        match field {
            1 => id = value.varint()?,
            2 => function.name = string(strings, value, || format!("function {id}"))?,
            3 => function.system_name = string(strings, value, || format!("function {id}"))?,
            4 => function.file = string(strings, value, || format!("function {id}"))?,
            5 => function.start_line = value.int()?,
            _ => {}
        }
    }
    Ok((id, function))
}
