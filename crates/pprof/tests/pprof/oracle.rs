//! A second decoder: slow, obvious, and made of other people's protobuf code.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use cairn_model as model;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Profile {
    #[prost(message, repeated, tag = "1")]
    pub(crate) sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) function: Vec<Function>,
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub(crate) string_table: Vec<Vec<u8>>,
    #[prost(int64, tag = "9")]
    pub(crate) time: i64,
    #[prost(int64, tag = "10")]
    pub(crate) duration: i64,
    #[prost(message, optional, tag = "11")]
    pub(crate) period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    pub(crate) period: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct ValueType {
    #[prost(int64, tag = "1")]
    pub(crate) kind: i64,
    #[prost(int64, tag = "2")]
    pub(crate) unit: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    pub(crate) location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    pub(crate) value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) label: Vec<Label>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Label {
    #[prost(int64, tag = "1")]
    pub(crate) key: i64,
    #[prost(int64, tag = "2")]
    pub(crate) str: i64,
    #[prost(int64, tag = "3")]
    pub(crate) num: i64,
    #[prost(int64, tag = "4")]
    pub(crate) unit: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Mapping {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) start: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) limit: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) offset: u64,
    #[prost(int64, tag = "5")]
    pub(crate) file: i64,
    #[prost(int64, tag = "6")]
    pub(crate) build_id: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Location {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) mapping_id: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) address: u64,
    #[prost(message, repeated, tag = "4")]
    pub(crate) line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Line {
    #[prost(uint64, tag = "1")]
    pub(crate) function_id: u64,
    #[prost(int64, tag = "2")]
    pub(crate) line: i64,
    #[prost(int64, tag = "3")]
    pub(crate) column: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Function {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(int64, tag = "2")]
    pub(crate) name: i64,
    #[prost(int64, tag = "3")]
    pub(crate) system_name: i64,
    #[prost(int64, tag = "4")]
    pub(crate) file: i64,
    #[prost(int64, tag = "5")]
    pub(crate) start_line: i64,
}

pub(crate) fn inflate(raw: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    if raw.starts_with(&[0x1f, 0x8b]) {
        flate2::read::MultiGzDecoder::new(raw)
            .read_to_end(&mut plain)
            .expect("the corpus is whole");
    } else {
        plain.extend_from_slice(raw);
    }
    plain
}

/// What the bytes mean, or why they mean nothing.
#[expect(
    clippy::too_many_lines,
    reason = "an oracle is best read from top to bottom"
)]
pub(crate) fn decode(plain: &[u8]) -> Result<model::Profile, String> {
    let sent = Profile::decode(plain).map_err(|error| error.to_string())?;
    let mut out = model::Profile::default();
    let mut tables = model::Tables::default();
    let is_bare = sent.sample_type.is_empty()
        && sent.sample.is_empty()
        && sent.mapping.is_empty()
        && sent.location.is_empty()
        && sent.function.is_empty()
        && sent.period_type.is_none();
    match sent.string_table.first() {
        None if is_bare => {}
        Some(first) if first.is_empty() => {}
        _ => return Err("string table".into()),
    }
    for text in sent.string_table.iter().skip(1) {
        tables.strings.push(&String::from_utf8_lossy(text));
    }
    let strings = tables.strings.len();
    let string = |index: i64| match u32::try_from(index) {
        Ok(id) if (id as usize) < strings => Ok(id),
        _ => Err(format!("string {index}")),
    };
    let value_type = |sent: ValueType| {
        Ok::<_, String>(model::ValueType {
            kind: string(sent.kind)?,
            unit: string(sent.unit)?,
        })
    };
    (out.time, out.duration, out.period) = (sent.time, sent.duration, sent.period);
    out.period_type = value_type(sent.period_type.unwrap_or_default())?;
    for sent in &sent.sample_type {
        out.types.push(value_type(*sent)?);
    }
    let mappings = unique(sent.mapping.iter().map(|mapping| mapping.id))?;
    for mapping in &sent.mapping {
        string(mapping.file)?;
        string(mapping.build_id)?;
    }
    let functions = unique(sent.function.iter().map(|function| function.id))?;
    for sent in &sent.function {
        tables.functions.push(model::Function {
            name: string(sent.name)?,
            system_name: string(sent.system_name)?,
            file: string(sent.file)?,
            start_line: sent.start_line,
        });
    }
    let locations = unique(sent.location.iter().map(|location| location.id))?;
    for location in &sent.location {
        let start = tables.lines.len() as u32;
        for line in location.line.iter().filter(|line| line.function_id != 0) {
            tables.lines.push(model::Line {
                function: *functions.get(&line.function_id).ok_or("function")?,
                line: line.line,
                column: line.column,
            });
        }
        let lines = (start, tables.lines.len() as u32);
        let (mapping, address) = match location.mapping_id {
            0 => (model::NONE, location.address),
            id => {
                let at = *mappings.get(&id).ok_or("mapping")?;
                let (mapping, address) = place(&sent.mapping[at as usize], location.address);
                tables.mappings.push(mapping);
                (tables.mappings.len() as u32 - 1, address)
            }
        };
        tables.locations.push(model::Location {
            mapping,
            address,
            lines,
        });
    }
    if out.types.is_empty() && !sent.sample.is_empty() {
        return Err("no types".into());
    }
    for sample in &sent.sample {
        push_sample(sample, &locations, &string, &mut out, &mut tables)?;
    }
    out.tables = Arc::new(tables);
    Ok(out)
}

fn unique(ids: impl Iterator<Item = u64>) -> Result<HashMap<u64, u32>, String> {
    let mut map = HashMap::new();
    for (at, id) in ids.enumerate() {
        if id == 0 || map.insert(id, at as u32).is_some() {
            return Err(format!("id {id}"));
        }
    }
    Ok(map)
}

fn place(sent: &Mapping, address: u64) -> (model::Mapping, u64) {
    let range = u128::from(sent.start)..if sent.limit == u64::MAX {
        1 << 64
    } else {
        u128::from(sent.limit)
    };
    let is_inside = range.contains(&u128::from(address));
    let mapping = model::Mapping {
        file: sent.file as u32,
        build_id: sent.build_id as u32,
        addressing: if is_inside {
            model::Addressing::FileOffset
        } else {
            model::Addressing::Virtual
        },
    };
    let offset = u128::from(address) + (1 << 64) - u128::from(sent.start) + u128::from(sent.offset);
    (mapping, if is_inside { offset as u64 } else { address })
}

/// Keeps ids of requests as labels, which is how canonical rows show links anyway.
fn push_sample(
    sent: &Sample,
    locations: &HashMap<u64, u32>,
    string: &impl Fn(i64) -> Result<u32, String>,
    out: &mut model::Profile,
    tables: &mut model::Tables,
) -> Result<(), String> {
    if sent.value.len() != out.types.len() {
        return Err("values".into());
    }
    for id in &sent.location_id {
        let location = *locations.get(id).ok_or("location")?;
        tables.stacks.locations.push(location);
    }
    out.samples.stacks.push(tables.stacks.end());
    out.samples.values.extend(&sent.value);
    for label in &sent.label {
        let (key, text, unit) = (string(label.key)?, string(label.str)?, string(label.unit)?);
        if tables.str(key).is_empty() {
            return Err("key".into());
        }
        let value = match text {
            0 => model::AttrValue::Num {
                value: label.num,
                unit,
            },
            text => model::AttrValue::Str(text),
        };
        out.samples.attrs.push(model::Attr { key, value });
    }
    let end = out.samples.attrs.len() as u32;
    out.samples.attr_ends.push(end);
    Ok(())
}
