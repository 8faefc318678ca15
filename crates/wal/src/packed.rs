//! Decoded profiles as bytes, for formats in which no bytes are of one profile alone. Tables that
//! several profiles share are packed once.
//!
//! Owns the meaning of `cairn.ingest.v1.PackedProfile`. What is read back is checked as if anybody
//! had written it: afterwards every position is within its table.

use std::sync::Arc;

use cairn_model::{
    Addressing, Attr, AttrValue, Function, Line, Link, Location, Mapping, NONE, Point, Profile,
    Samples, Stacks, Strings, Tables, ValueType,
};
use cairn_protobuf::{put_bytes, put_number, put_varint};
use cairn_wire::cairn::ingest::v1::PackedProfile;
use prost::Message;

/// Bytes that are no profile, or no tables.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a packed profile: {0}")]
pub struct InvalidProfile(String);

type Checked<T = ()> = Result<T, InvalidProfile>;

/// Tables without any profile.
pub fn pack_tables(tables: &Tables) -> Vec<u8> {
    let Tables {
        strings,
        functions,
        mappings,
        locations,
        lines,
        stacks,
        links,
    } = tables;
    let mut packer = Packer::with_capacity(strings.text_bytes() + 2 * stacks.locations.len());
    let texts = || strings.iter().skip(1);
    packer.bytes(5, texts().map(str::as_bytes));
    packer.ends(6, texts().map(str::len));
    let names = functions.iter();
    packer.u32s(7, names.flat_map(|f| [f.name, f.system_name, f.file]));
    packer.i64s(8, functions.iter().map(|f| f.start_line));
    packer.u32s(
        9,
        mappings.iter().flat_map(|m| {
            let is_virtual = m.addressing == Addressing::Virtual;
            [m.file, m.build_id, u32::from(is_virtual)]
        }),
    );
    packer.u32s(10, locations.iter().map(|l| l.mapping));
    packer.u64s(11, locations.iter().map(|l| l.address));
    // Lines may be shared or out of order in memory; here each location has its own.
    let lines_of = |location: &Location| {
        let (start, end) = location.lines;
        &lines[start as usize..end as usize]
    };
    let lines = || locations.iter().flat_map(lines_of);
    packer.ends(12, locations.iter().map(|l| lines_of(l).len()));
    packer.u32s(13, lines().map(|line| line.function));
    packer.i64s(14, lines().map(|line| line.line));
    packer.i64s(15, lines().map(|line| line.column));
    packer.u32s(16, stacks.ends.iter().copied());
    packer.u32s(17, stacks.locations.iter().copied());
    packer.bytes(24, links.iter().map(|link| &link.trace_id[..]));
    packer.bytes(25, links.iter().map(|link| &link.span_id[..]));
    packer.out
}

/// A profile without its tables.
pub fn pack(profile: &Profile) -> Vec<u8> {
    let Profile {
        time,
        duration,
        period_type,
        period,
        types,
        tables: _,
        samples,
    } = profile;
    let mut packer = Packer::with_capacity(8 * samples.len() + 6 * samples.points.len());
    for (field, number) in [(1, time), (2, duration), (3, period)] {
        put_number(&mut packer.out, field, zigzag(*number));
    }
    let typed = [period_type].into_iter().chain(types);
    packer.u32s(4, typed.flat_map(|t| [t.kind, t.unit]));
    let scale = scale(profile);
    packer.i64s(18, samples.values.iter().map(|value| value / scale));
    packer.u32s(19, samples.attr_ends.iter().copied());
    packer.u32s(20, samples.attrs.iter().map(|attr| attr.key));
    let text = |attr: &Attr| {
        let (AttrValue::Str(text) | AttrValue::Num { unit: text, .. }) = attr.value;
        text
    };
    packer.u32s(21, samples.attrs.iter().map(text));
    let numbers = || {
        let number = |(at, attr): (u32, &Attr)| match attr.value {
            AttrValue::Num { value, .. } => Some((at, value)),
            AttrValue::Str(_) => None,
        };
        (0..).zip(&samples.attrs).filter_map(number)
    };
    packer.u32s(22, numbers().map(|(at, _)| at));
    packer.i64s(23, numbers().map(|(_, value)| value));
    packer.u32s(26, samples.links.iter().copied());
    packer.u32s(27, samples.point_ends.iter().copied());
    let points = samples.points.iter();
    packer.i64s(28, points.map(|point| point.time.wrapping_sub(*time)));
    packer.i64s(29, samples.points.iter().map(|point| point.value / scale));
    packer.u32s(30, samples.stacks.iter().copied());
    if scale > 1 {
        put_number(&mut packer.out, 31, scale.unsigned_abs());
    }
    packer.out
}

/// The period, if all values can be divided by it: counts take less room than nanoseconds.
fn scale(profile: &Profile) -> i64 {
    let Profile {
        period, samples, ..
    } = profile;
    let is_whole = |value: i64| value % period == 0;
    let are_whole = || {
        samples.values.iter().all(|value| is_whole(*value))
            && samples.points.iter().all(|point| is_whole(point.value))
    };
    match *period > 1 && are_whole() {
        true => *period,
        false => 1,
    }
}

/// Writes the fields of a `PackedProfile`, by their numbers, without making lists of them first.
struct Packer {
    out: Vec<u8>,
    /// The content of a field: its length comes first.
    scratch: Vec<u8>,
}

impl Packer {
    fn with_capacity(bytes: usize) -> Self {
        Self {
            out: Vec::with_capacity(bytes),
            scratch: Vec::new(),
        }
    }

    fn u64s(&mut self, field: u32, numbers: impl Iterator<Item = u64>) {
        self.scratch.clear();
        numbers.for_each(|number| put_varint(&mut self.scratch, number));
        if !self.scratch.is_empty() {
            put_bytes(&mut self.out, field, &self.scratch);
        }
    }

    fn u32s(&mut self, field: u32, numbers: impl Iterator<Item = u32>) {
        self.u64s(field, numbers.map(u64::from));
    }

    fn i64s(&mut self, field: u32, numbers: impl Iterator<Item = i64>) {
        self.u64s(field, numbers.map(zigzag));
    }

    /// Where each of some rows ends, given how long it is.
    fn ends(&mut self, field: u32, lengths: impl Iterator<Item = usize>) {
        let end = |end: &mut u64, length: usize| {
            *end += length as u64;
            Some(*end)
        };
        self.u64s(field, lengths.scan(0, end));
    }

    /// Some parts back to back.
    fn bytes<'a>(&mut self, field: u32, parts: impl Iterator<Item = &'a [u8]>) {
        self.scratch.clear();
        parts.for_each(|part| self.scratch.extend_from_slice(part));
        if !self.scratch.is_empty() {
            put_bytes(&mut self.out, field, &self.scratch);
        }
    }
}

/// Small numbers of either sign as small ones, as `sint64` has them.
fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

/// Memory is in proportion to the bytes.
pub fn unpack_tables(bytes: &[u8]) -> Checked<Tables> {
    tables(&decode(bytes)?)
}

/// A profile that was packed without its tables, which are these; memory is in proportion to the
/// bytes.
pub fn unpack(bytes: &[u8], tables: &Arc<Tables>) -> Checked<Profile> {
    profile(&decode(bytes)?, Arc::clone(tables))
}

/// A profile with its tables, as earlier builds packed them: sample by sample a stack of its own.
pub(crate) fn unpack_whole(bytes: &[u8]) -> Checked<Profile> {
    let mut packed = decode(bytes)?;
    packed.sample_stacks = (0..packed.stack_ends.len() as u32).collect();
    profile(&packed, Arc::new(tables(&packed)?))
}

fn decode(bytes: &[u8]) -> Checked<PackedProfile> {
    PackedProfile::decode(bytes).map_err(|error| malformed(error.to_string()))
}

fn tables(packed: &PackedProfile) -> Checked<Tables> {
    let strings = strings(packed)?;
    let string = |id: &u32| below("strings", *id, strings.len());
    packed.functions.iter().try_for_each(string)?;
    let functions = functions(packed)?;
    let mappings = mappings(packed, strings.len())?;
    let (locations, lines) = locations(packed, (functions.len(), mappings.len()))?;
    let stacks = Stacks {
        ends: packed.stack_ends.clone(),
        locations: packed.stacks.clone(),
    };
    ends(
        "stacks",
        &stacks.ends,
        (stacks.len(), stacks.locations.len()),
    )?;
    for location in &stacks.locations {
        below("locations", *location, locations.len())?;
    }
    Ok(Tables {
        strings,
        functions,
        mappings,
        locations,
        lines,
        stacks,
        links: links(packed)?,
    })
}

fn profile(packed: &PackedProfile, tables: Arc<Tables>) -> Checked<Profile> {
    let string = |id: &u32| below("strings", *id, tables.strings.len());
    packed.types.iter().try_for_each(string)?;
    let typed: Vec<ValueType> = rows(&packed.types)?
        .map(|[kind, unit]| ValueType { kind, unit })
        .collect();
    let (period_type, types) = typed
        .split_first()
        .ok_or_else(|| malformed("it has no type of period"))?;
    Ok(Profile {
        time: packed.time,
        duration: packed.duration,
        period_type: *period_type,
        period: packed.period,
        types: types.to_vec(),
        samples: samples(packed, &tables, types.len())?,
        tables,
    })
}

fn strings(packed: &PackedProfile) -> Checked<Strings> {
    let text = std::str::from_utf8(&packed.strings);
    let text = text.map_err(|_| malformed("a string is not UTF-8"))?;
    let mut strings = Strings::with_capacity(packed.string_ends.len(), text.len());
    let mut start = 0;
    for end in &packed.string_ends {
        let end = *end as usize;
        let string = text.get(start..end);
        let string = string.ok_or_else(|| malformed("a string ends where none can"))?;
        strings.push(string);
        start = end;
    }
    Ok(strings)
}

fn functions(packed: &PackedProfile) -> Checked<Vec<Function>> {
    let count = packed.function_start_lines.len();
    equal("functions", packed.functions.len(), 3 * count)?;
    let starts = packed.function_start_lines.iter();
    let function = |([name, system_name, file], start_line): ([u32; 3], &i64)| Function {
        name,
        system_name,
        file,
        start_line: *start_line,
    };
    Ok(rows(&packed.functions)?.zip(starts).map(function).collect())
}

fn mappings(packed: &PackedProfile, strings: usize) -> Checked<Vec<Mapping>> {
    let mapping = |[file, build_id, is_virtual]: [u32; 3]| {
        below("strings", file, strings)?;
        below("strings", build_id, strings)?;
        Ok(Mapping {
            file,
            build_id,
            addressing: match is_virtual {
                0 => Addressing::FileOffset,
                _ => Addressing::Virtual,
            },
        })
    };
    rows(&packed.mappings)?.map(mapping).collect()
}

fn locations(
    packed: &PackedProfile,
    (functions, mappings): (usize, usize),
) -> Checked<(Vec<Location>, Vec<Line>)> {
    let count = packed.line_functions.len();
    equal("lines", packed.line_numbers.len(), count)?;
    equal("lines", packed.line_columns.len(), count)?;
    let numbers = packed.line_numbers.iter().zip(&packed.line_columns);
    let line = |(function, (line, column)): (&u32, (&i64, &i64))| {
        below("functions", *function, functions)?;
        Ok(Line {
            function: *function,
            line: *line,
            column: *column,
        })
    };
    let lines = packed.line_functions.iter().zip(numbers).map(line);
    let lines: Vec<Line> = lines.collect::<Checked<_>>()?;
    let count = packed.location_addresses.len();
    equal("locations", packed.location_mappings.len(), count)?;
    ends("lines", &packed.line_ends, (count, lines.len()))?;
    let mut locations = Vec::with_capacity(count);
    let mut start = 0;
    for (at, end) in packed.line_ends.iter().enumerate() {
        let mapping = packed.location_mappings[at];
        if mapping != NONE {
            below("mappings", mapping, mappings)?;
        }
        locations.push(Location {
            mapping,
            address: packed.location_addresses[at],
            lines: (start, *end),
        });
        start = *end;
    }
    Ok((locations, lines))
}

fn links(packed: &PackedProfile) -> Checked<Vec<Link>> {
    let (traces, rest) = packed.trace_ids.as_chunks::<16>();
    let (spans, more) = packed.span_ids.as_chunks::<8>();
    equal("links", rest.len() + more.len(), 0)?;
    equal("links", traces.len(), spans.len())?;
    let link = |(trace_id, span_id): (&[u8; 16], &[u8; 8])| Link {
        trace_id: *trace_id,
        span_id: *span_id,
    };
    Ok(traces.iter().zip(spans).map(link).collect())
}

fn samples(packed: &PackedProfile, tables: &Tables, types: usize) -> Checked<Samples> {
    let count = packed.sample_stacks.len();
    for stack in &packed.sample_stacks {
        below("stacks", *stack, tables.stacks.len())?;
    }
    equal("values", packed.values.len(), count.saturating_mul(types))?;
    let attrs = attrs(packed, tables.strings.len())?;
    if !packed.attr_ends.is_empty() || !attrs.is_empty() {
        ends("attributes", &packed.attr_ends, (count, attrs.len()))?;
    }
    if !packed.links.is_empty() {
        equal("links of samples", packed.links.len(), count)?;
    }
    for link in packed.links.iter().filter(|link| **link != NONE) {
        below("links", *link, tables.links.len())?;
    }
    let points = packed.point_times.len();
    equal("points", packed.point_values.len(), points)?;
    if !packed.point_ends.is_empty() || points > 0 {
        ends("points", &packed.point_ends, (count, points))?;
        equal("types of a profile with points", types, 1)?;
    }
    let scale = i64::try_from(packed.scale.max(1));
    let scale = scale.map_err(|_| malformed("its scale is too large"))?;
    let scaled = |value: &i64| {
        let scaled = value.checked_mul(scale);
        scaled.ok_or_else(|| malformed("a value is too large"))
    };
    let timed = packed.point_times.iter().zip(&packed.point_values);
    let point = |(since, value): (&i64, &i64)| {
        Ok(Point {
            time: packed.time.wrapping_add(*since),
            value: scaled(value)?,
        })
    };
    Ok(Samples {
        stacks: packed.sample_stacks.clone(),
        values: packed.values.iter().map(scaled).collect::<Checked<_>>()?,
        attr_ends: packed.attr_ends.clone(),
        attrs,
        links: packed.links.clone(),
        point_ends: packed.point_ends.clone(),
        points: timed.map(point).collect::<Checked<_>>()?,
    })
}

fn attrs(packed: &PackedProfile, strings: usize) -> Checked<Vec<Attr>> {
    equal(
        "attributes",
        packed.attr_keys.len(),
        packed.attr_texts.len(),
    )?;
    let attr = |(key, text): (&u32, &u32)| {
        below("strings", *key, strings)?;
        below("strings", *text, strings)?;
        Ok(Attr {
            key: *key,
            value: AttrValue::Str(*text),
        })
    };
    let attrs = packed.attr_keys.iter().zip(&packed.attr_texts).map(attr);
    let mut attrs: Vec<Attr> = attrs.collect::<Checked<_>>()?;
    let numbers = packed.attr_numbers.len();
    equal("numbers", packed.attr_number_positions.len(), numbers)?;
    for (at, value) in packed
        .attr_number_positions
        .iter()
        .zip(&packed.attr_numbers)
    {
        below("attributes", *at, attrs.len())?;
        let attr = &mut attrs[*at as usize];
        if let AttrValue::Str(unit) = attr.value {
            attr.value = AttrValue::Num {
                value: *value,
                unit,
            };
        }
    }
    Ok(attrs)
}

fn malformed(reason: impl Into<String>) -> InvalidProfile {
    InvalidProfile(reason.into())
}

fn below(table: &str, position: u32, len: usize) -> Checked {
    match (position as usize) < len {
        true => Ok(()),
        false => Err(malformed(format!("position {position} of {len} {table}"))),
    }
}

fn equal(what: &str, found: usize, expected: usize) -> Checked {
    match found == expected {
        true => Ok(()),
        false => Err(malformed(format!("{what}: {found} and not {expected}"))),
    }
}

/// Ends that grow, one per row, up to the end of the list.
fn ends(what: &str, ends: &[u32], (rows, len): (usize, usize)) -> Checked {
    equal(what, ends.len(), rows)?;
    let last = ends.last().map_or(0, |end| *end as usize);
    match ends.is_sorted() && last == len {
        true => Ok(()),
        false => Err(malformed(format!("{what} end where they can't"))),
    }
}

fn rows<const N: usize>(flat: &[u32]) -> Checked<impl Iterator<Item = [u32; N]>> {
    let (rows, rest) = flat.as_chunks::<N>();
    equal("a row", rest.len(), 0)?;
    Ok(rows.iter().copied())
}

#[cfg(test)]
mod tests;
