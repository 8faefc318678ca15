//! A profile to bytes. Owns the choice of ids and mapping ranges, not what is in the profile.

use std::fmt::Write as _;
use std::io::Write as _;

use cairn_model::{
    Addressing, Attr, AttrValue, Function, Line, Link, Location, Mapping, NONE, Profile, StrId,
    Strings, ValueType,
};
use cairn_protobuf::{put_bytes, put_number, put_varint};
use hashbrown::HashMap;

/// Encodes as plain protobuf. Decoding it gives a profile that says the same.
///
/// Ids count from 1. A mapping of file offsets spans all addresses from 0, so that an address is
/// its own offset; one of virtual addresses is empty, so that no address lies inside.
pub fn encode(profile: &Profile) -> Vec<u8> {
    let tables = &profile.tables;
    let rows = Rows {
        strings: &tables.strings,
        functions: &tables.functions,
        mappings: &tables.mappings,
        locations: &tables.locations,
        lines: &tables.lines,
    };
    let mut writer = Writer::new(rows, 64 + 8 * tables.stacks.locations.len());
    for kind in &profile.types {
        writer.value_type(1, *kind);
    }
    writer.tables();
    let extra = writer.samples(profile);
    writer.strings(&extra);
    writer.times(profile.time, profile.duration);
    writer.value_type(11, profile.period_type);
    put_number(&mut writer.out, 12, profile.period.cast_unsigned());
    writer.out
}

/// The tables of a file, of whoever has them.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    pub strings: &'a Strings,
    pub functions: &'a [Function],
    pub mappings: &'a [Mapping],
    pub locations: &'a [Location],
    pub lines: &'a [Line],
}

/// What a file says besides its stacks, if it has one value per stack.
#[derive(Clone, Debug)]
pub struct Heading<'a> {
    /// Kind and unit.
    pub value_type: (&'a str, &'a str),
    pub period_type: (&'a str, &'a str),
    pub period: i64,
    /// Nanoseconds since the epoch.
    pub time: i64,
    /// Nanoseconds.
    pub duration: i64,
}

/// Stacks with a value each and no labels, without a [`Profile`] made of them first. `samples` gives
/// locations, leaf first, and the value.
pub fn encode_stacks<S>(
    rows: Rows<'_>,
    heading: &Heading<'_>,
    samples: impl Iterator<Item = (S, i64)>,
) -> Vec<u8>
where
    S: Iterator<Item = u32>,
{
    let mut writer = Writer::new(rows, 64 + 32 * samples.size_hint().0);
    let mut extra = Extra::behind(rows.strings);
    let mut value_type = |(kind, unit): (&str, &str)| ValueType {
        kind: extra.id(kind),
        unit: extra.id(unit),
    };
    writer.value_type(1, value_type(heading.value_type));
    let period_type = value_type(heading.period_type);
    writer.tables();
    for (stack, value) in samples {
        writer.packed(1, stack.map(|location| u64::from(location) + 1));
        writer.packed(2, std::iter::once(value.cast_unsigned()));
        writer.end_row(2);
    }
    writer.strings(&extra);
    writer.times(heading.time, heading.duration);
    writer.value_type(11, period_type);
    put_number(&mut writer.out, 12, heading.period.cast_unsigned());
    writer.out
}

/// Encodes and compresses, as profiles are kept in files.
pub fn encode_gzip(profile: &Profile) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&encode(profile))
        .and_then(|()| gzip.finish())
        .expect("memory takes every write")
}

/// The sample labels that a link is written as, and was read from.
pub(crate) fn link_labels(link: &Link) -> impl Iterator<Item = (&'static str, String)> {
    [
        ("trace_id", &link.trace_id[..]),
        ("span_id", &link.span_id[..]),
    ]
    .into_iter()
    .filter(|(_, id)| id.iter().any(|byte| *byte != 0))
    .map(|(key, id)| (key, hex(id)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string succeeds");
        text
    })
}

/// Strings that the profile's own table lacks, numbered behind it.
struct Extra {
    first: u32,
    texts: Vec<String>,
    ids: HashMap<String, StrId, foldhash::fast::RandomState>,
}

impl Extra {
    fn behind(strings: &Strings) -> Self {
        Self {
            first: strings.len() as u32,
            texts: Vec::new(),
            ids: HashMap::from_iter([(String::new(), 0)]),
        }
    }

    fn id(&mut self, text: &str) -> StrId {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        let id = self.first + self.texts.len() as u32;
        self.texts.push(text.to_owned());
        self.ids.insert(text.to_owned(), id);
        id
    }
}

struct Writer<'a> {
    rows: Rows<'a>,
    out: Vec<u8>,
    /// The row being written, and a message within it: their lengths come first.
    row: Vec<u8>,
    part: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn new(rows: Rows<'a>, bytes: usize) -> Self {
        Self {
            rows,
            out: Vec::with_capacity(bytes),
            row: Vec::new(),
            part: Vec::new(),
        }
    }

    fn tables(&mut self) {
        for (at, mapping) in self.rows.mappings.iter().enumerate() {
            self.mapping(at as u64 + 1, mapping);
        }
        for (at, location) in self.rows.locations.iter().enumerate() {
            self.location(at as u64 + 1, location);
        }
        for (at, function) in self.rows.functions.iter().enumerate() {
            self.function(at as u64 + 1, function);
        }
    }

    fn strings(&mut self, extra: &Extra) {
        let extra = extra.texts.iter().map(String::as_str);
        for text in self.rows.strings.iter().chain(extra) {
            put_bytes(&mut self.out, 6, text.as_bytes());
        }
    }

    fn times(&mut self, time: i64, duration: i64) {
        put_number(&mut self.out, 9, time.cast_unsigned());
        put_number(&mut self.out, 10, duration.cast_unsigned());
    }

    fn end_row(&mut self, field: u32) {
        put_bytes(&mut self.out, field, &self.row);
        self.row.clear();
    }

    fn value_type(&mut self, field: u32, kind: ValueType) {
        put_number(&mut self.row, 1, kind.kind.into());
        put_number(&mut self.row, 2, kind.unit.into());
        self.end_row(field);
    }

    fn mapping(&mut self, id: u64, mapping: &Mapping) {
        let limit = match mapping.addressing {
            Addressing::FileOffset => u64::MAX,
            Addressing::Virtual => 0,
        };
        put_number(&mut self.row, 1, id);
        put_number(&mut self.row, 3, limit);
        put_number(&mut self.row, 5, mapping.file.into());
        put_number(&mut self.row, 6, mapping.build_id.into());
        self.end_row(3);
    }

    fn location(&mut self, id: u64, location: &Location) {
        let mapping = match location.mapping {
            NONE => 0,
            mapping => u64::from(mapping) + 1,
        };
        put_number(&mut self.row, 1, id);
        put_number(&mut self.row, 2, mapping);
        put_number(&mut self.row, 3, location.address);
        let (start, end) = location.lines;
        for line in &self.rows.lines[start as usize..end as usize] {
            self.part.clear();
            put_number(&mut self.part, 1, u64::from(line.function) + 1);
            put_number(&mut self.part, 2, line.line.cast_unsigned());
            put_number(&mut self.part, 3, line.column.cast_unsigned());
            put_bytes(&mut self.row, 4, &self.part);
        }
        self.end_row(4);
    }

    fn function(&mut self, id: u64, function: &Function) {
        put_number(&mut self.row, 1, id);
        put_number(&mut self.row, 2, function.name.into());
        put_number(&mut self.row, 3, function.system_name.into());
        put_number(&mut self.row, 4, function.file.into());
        put_number(&mut self.row, 5, function.start_line.cast_unsigned());
        self.end_row(5);
    }

    fn samples(&mut self, profile: &Profile) -> Extra {
        let mut extra = Extra::behind(&profile.tables.strings);
        for at in 0..profile.samples.len() {
            let stack = profile.stack(at).iter();
            self.packed(1, stack.map(|location| u64::from(*location) + 1));
            let values = profile.values(at).iter();
            self.packed(2, values.map(|value| value.cast_unsigned()));
            if let Some(link) = profile.samples.link(at) {
                for (key, id) in link_labels(&profile.tables.links[link as usize]) {
                    let (key, value) = (extra.id(key), AttrValue::Str(extra.id(&id)));
                    self.label(Attr { key, value });
                }
            }
            for attr in profile.samples.attrs(at) {
                self.label(*attr);
            }
            self.end_row(2);
        }
        extra
    }

    fn packed(&mut self, field: u32, numbers: impl Iterator<Item = u64>) {
        self.part.clear();
        for number in numbers {
            put_varint(&mut self.part, number);
        }
        if !self.part.is_empty() {
            put_bytes(&mut self.row, field, &self.part);
        }
    }

    fn label(&mut self, attr: Attr) {
        let (text, number, unit) = match attr.value {
            // Empty and absent mean the same, and a label without a value reads as number 0.
            AttrValue::Str(0) => return,
            AttrValue::Str(text) => (text, 0, 0),
            AttrValue::Num { value, unit } => (0, value, unit),
        };
        self.part.clear();
        put_number(&mut self.part, 1, attr.key.into());
        put_number(&mut self.part, 2, text.into());
        put_number(&mut self.part, 3, number.cast_unsigned());
        put_number(&mut self.part, 4, unit.into());
        put_bytes(&mut self.row, 3, &self.part);
    }
}
