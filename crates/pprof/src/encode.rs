//! A profile to bytes. Owns the choice of ids and mapping ranges, not what is in the profile.

use std::fmt::Write as _;
use std::io::Write as _;

use cairn_model::{
    Addressing, Attr, AttrValue, Function, Link, Location, Mapping, NONE, Profile, StrId, ValueType,
};
use cairn_protobuf::{put_bytes, put_number, put_varint};
use hashbrown::HashMap;

/// Encodes as plain protobuf. Decoding it gives a profile that says the same.
///
/// Ids count from 1. A mapping of file offsets spans all addresses from 0, so that an address is
/// its own offset; one of virtual addresses is empty, so that no address lies inside.
pub fn encode(profile: &Profile) -> Vec<u8> {
    let mut writer = Writer {
        profile,
        out: Vec::with_capacity(64 + 8 * profile.tables.stacks.locations.len()),
        row: Vec::new(),
        part: Vec::new(),
    };
    writer.tables();
    let extra = writer.samples();
    for text in profile
        .tables
        .strings
        .iter()
        .chain(extra.texts.iter().map(String::as_str))
    {
        put_bytes(&mut writer.out, 6, text.as_bytes());
    }
    put_number(&mut writer.out, 9, profile.time.cast_unsigned());
    put_number(&mut writer.out, 10, profile.duration.cast_unsigned());
    writer.value_type(11, profile.period_type);
    put_number(&mut writer.out, 12, profile.period.cast_unsigned());
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
    profile: &'a Profile,
    out: Vec<u8>,
    /// The row being written, and a message within it: their lengths come first.
    row: Vec<u8>,
    part: Vec<u8>,
}

impl Writer<'_> {
    fn tables(&mut self) {
        for kind in &self.profile.types {
            self.value_type(1, *kind);
        }
        for (at, mapping) in self.profile.tables.mappings.iter().enumerate() {
            self.mapping(at as u64 + 1, mapping);
        }
        for (at, location) in self.profile.tables.locations.iter().enumerate() {
            self.location(at as u64 + 1, location, at as u32);
        }
        for (at, function) in self.profile.tables.functions.iter().enumerate() {
            self.function(at as u64 + 1, function);
        }
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

    fn location(&mut self, id: u64, location: &Location, at: u32) {
        let mapping = match location.mapping {
            NONE => 0,
            mapping => u64::from(mapping) + 1,
        };
        put_number(&mut self.row, 1, id);
        put_number(&mut self.row, 2, mapping);
        put_number(&mut self.row, 3, location.address);
        for line in self.profile.lines(at) {
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

    fn samples(&mut self) -> Extra {
        let profile = self.profile;
        let mut extra = Extra {
            first: profile.tables.strings.len() as u32,
            texts: Vec::new(),
            ids: HashMap::default(),
        };
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
