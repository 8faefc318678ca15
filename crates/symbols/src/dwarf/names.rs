//! Names of functions, wherever the entries that hold them are.

use std::borrow::Cow;
use std::rc::Rc;

use foldhash::fast::FixedState;
use gimli::{AttributeValue, DebugInfoOffset, DwLang, UnitOffset, constants as dw};

use super::rows::number;
use super::sections::{Debug, Dwarf, Reader, Unit};
use super::{SharedUnit, unit_starts};
use crate::Error;
use crate::format::{Function, NONE};
use crate::names;
use crate::tables::Tables;

/// References from one entry to the next before the name is given up.
const HOPS_MAX: usize = 16;
/// Units that are kept because others referred to them.
const UNITS_MAX: usize = 256;
/// Functions whose names are kept because units referred to them.
const KNOWN_MAX: usize = 1 << 20;
/// Spaces and types around a function.
pub(super) const SPACES_MAX: usize = 64;
/// Bytes of such names in one unit.
const AROUND_BYTES_MAX: usize = 64 << 20;

/// An entry, wherever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Entry {
    /// In the unit that is read.
    Here(UnitOffset),
    Main(DebugInfoOffset),
    Alt(DebugInfoOffset),
}

/// What an entry says of itself.
#[derive(Default)]
struct Said<'a> {
    linkage: Option<Reader<'a>>,
    name: Option<Reader<'a>>,
    line: Option<u64>,
    origin: Option<Entry>,
}

type HashMap<K, V> = hashbrown::HashMap<K, V, FixedState>;

/// The names of namespaces and types around functions that have no linkage name.
#[derive(Default)]
pub(super) struct Around {
    by_entry: HashMap<UnitOffset, Rc<str>>,
    last: Option<Rc<str>>,
    bytes: usize,
}

impl Around {
    /// Notes what is around an entry; nothing once there is too much of it.
    pub(super) fn note(&mut self, entry: UnitOffset, spaces: &[Space<'_>]) {
        if spaces.is_empty() || self.bytes > AROUND_BYTES_MAX {
            return;
        }
        let joined = join(spaces);
        let shared = match self.last.take().filter(|last| **last == *joined) {
            Some(last) => last,
            None => {
                self.bytes += joined.len();
                joined.into()
            }
        };
        self.by_entry.insert(entry, Rc::clone(&shared));
        self.last = Some(shared);
    }

    fn get(&self, entry: UnitOffset) -> Option<Rc<str>> {
        self.by_entry.get(&entry).cloned()
    }
}

/// The function of an entry without a name.
pub(super) const NO_FUNCTION: u32 = NONE;

pub(super) struct Names<'d, 'a> {
    debug: &'d Debug<'a>,
    starts: [Option<Vec<DebugInfoOffset>>; 2],
    units: HashMap<(bool, DebugInfoOffset), (SharedUnit<'a>, Around)>,
    /// Functions by entry, of the unit that is read and of others.
    here: HashMap<UnitOffset, Option<u32>>,
    known: HashMap<Entry, Option<u32>>,
}

/// The unit that is read, with the file that its strings are in.
pub(super) struct Here<'u, 'a> {
    pub(super) dwarf: &'u Dwarf<'a>,
    pub(super) unit: &'u Unit<'a>,
    pub(super) around: &'u Around,
    /// Its references to other units mean the file itself; those of a split unit mean nothing.
    pub(super) is_split: bool,
}

impl<'d, 'a> Names<'d, 'a> {
    pub(super) fn new(debug: &'d Debug<'a>) -> Self {
        Self {
            debug,
            starts: [None, None],
            units: HashMap::default(),
            here: HashMap::default(),
            known: HashMap::default(),
        }
    }

    /// Forgets what was said of the entries of one unit.
    pub(super) fn next_unit(&mut self) {
        self.here.clear();
        if self.known.len() > KNOWN_MAX {
            self.known.clear();
        }
    }

    /// The function that an entry is of; `None` if it has no name.
    pub(super) fn function(
        &mut self,
        here: &Here<'_, 'a>,
        entry: Entry,
        tables: &mut Tables,
    ) -> Result<Option<u32>, Error> {
        let known = match entry {
            Entry::Here(offset) => self.here.get(&offset),
            Entry::Main(_) | Entry::Alt(_) => self.known.get(&entry),
        };
        if let Some(&known) = known {
            return Ok(known);
        }
        let function = self.read(here, entry, tables)?;
        match entry {
            Entry::Here(offset) => self.here.insert(offset, function),
            Entry::Main(_) | Entry::Alt(_) => self.known.insert(entry, function),
        };
        Ok(function)
    }

    fn read(
        &mut self,
        here: &Here<'_, 'a>,
        entry: Entry,
        tables: &mut Tables,
    ) -> Result<Option<u32>, Error> {
        let (mut linkage, mut line) = (None, None);
        // The name, and the entry that it and its surroundings come from.
        let mut name: Option<(Reader<'a>, Option<Rc<str>>)> = None;
        let mut next = Some(entry);
        for _ in 0..HOPS_MAX {
            let Some(at) = next else { break };
            let Some((said, around)) = self.said(here, at) else {
                break;
            };
            linkage = linkage.or(said.linkage);
            line = line.or(said.line);
            // The last entry is the one that lies where the function was declared.
            let outer = name.take();
            name = match (outer, said.name) {
                (Some((text, None)), _) => Some((text, around)),
                (Some(known), _) => Some(known),
                (None, Some(text)) => Some((text, around)),
                (None, None) => None,
            };
            next = said.origin;
        }
        let line = number(line.unwrap_or(0));
        if let Some(linkage) = linkage.and_then(text) {
            return tables.function(&linkage, line).map(Some);
        }
        let Some((name, around)) = name else {
            return Ok(None);
        };
        let Some(name) = text(name) else {
            return Ok(None);
        };
        let Some(around) = around else {
            return tables.function(&name, line).map(Some);
        };
        let qualified = format!("{around}::{name}");
        let function = Function {
            name: tables.string(names::cut(&qualified))?,
            system_name: tables.string(names::cut(&name))?,
            start_line: line,
        };
        tables.function_of(function).map(Some)
    }

    /// What an entry says, and the names around it.
    fn said(&mut self, here: &Here<'_, 'a>, at: Entry) -> Option<(Said<'a>, Option<Rc<str>>)> {
        let (is_alt, offset) = match at {
            Entry::Here(offset) => {
                let said = said(here.dwarf, here.unit, offset, at, here.is_split)?;
                return Some((said, here.around.get(offset)));
            }
            Entry::Main(offset) => (false, offset),
            Entry::Alt(offset) => (true, offset),
        };
        let dwarf = self.debug.file(is_alt)?;
        let starts =
            self.starts[usize::from(is_alt)].get_or_insert_with(|| unit_starts(self.debug, is_alt));
        let start = *starts.get(
            starts
                .partition_point(|start| *start <= offset)
                .checked_sub(1)?,
        )?;
        if !self.units.contains_key(&(is_alt, start)) {
            if self.units.len() >= UNITS_MAX {
                self.units.clear();
            }
            let unit = dwarf.unit(dwarf.unit_header(start).ok()?).ok()?;
            let around = match has_spaces(&unit) || has_spaces(here.unit) {
                true => around(dwarf, &unit),
                false => Around::default(),
            };
            self.units
                .insert((is_alt, start), (SharedUnit::new(unit), around));
        }
        let (unit, around) = self.units.get(&(is_alt, start))?;
        let local = offset.to_unit_offset(&unit.header)?;
        let said = said(dwarf, unit, local, at, false)?;
        Some((said, around.get(local)))
    }
}

fn text<'a>(name: Reader<'a>) -> Option<Cow<'a, str>> {
    let name = name.to_string_lossy();
    (!name.is_empty()).then_some(name)
}

/// Whether functions of the unit may lie in namespaces or types without their names saying so.
pub(super) fn has_spaces(unit: &Unit<'_>) -> bool {
    let Ok(root) = unit.entry(unit.header.root_offset()) else {
        return false;
    };
    let Some(AttributeValue::Language(language)) = root.attr_value(dw::DW_AT_language) else {
        return false;
    };
    !is_plain(language)
}

fn is_plain(language: DwLang) -> bool {
    matches!(
        language,
        dw::DW_LANG_C
            | dw::DW_LANG_C89
            | dw::DW_LANG_C99
            | dw::DW_LANG_C11
            | dw::DW_LANG_C17
            | dw::DW_LANG_Go
            | dw::DW_LANG_Mips_Assembler
    )
}

/// Whether names in an entry with this tag are qualified by it.
pub(super) fn is_space(tag: gimli::DwTag) -> bool {
    matches!(
        tag,
        dw::DW_TAG_namespace
            | dw::DW_TAG_class_type
            | dw::DW_TAG_structure_type
            | dw::DW_TAG_union_type
            | dw::DW_TAG_interface_type
            | dw::DW_TAG_enumeration_type
            | dw::DW_TAG_module
    )
}

/// A namespace or type around what is read: how deep it lies, and its name if it has one.
pub(super) type Space<'a> = (isize, Option<Reader<'a>>);

/// The name that an entry gives to what it holds.
pub(super) fn space_name<'a>(
    dwarf: &Dwarf<'a>,
    unit: &Unit<'a>,
    attributes: &[gimli::Attribute<Reader<'a>>],
) -> Option<Reader<'a>> {
    let name = attributes.iter().find(|a| a.name() == dw::DW_AT_name)?;
    dwarf.attr_string(unit, name.value()).ok()
}

/// Whether a function's entry needs the names around it, since no linkage name has them.
pub(super) fn needs_spaces(specs: &[gimli::AttributeSpecification]) -> bool {
    let has = |wanted| specs.iter().any(|spec| spec.name() == wanted);
    has(dw::DW_AT_name) && !has(dw::DW_AT_linkage_name) && !has(dw::DW_AT_MIPS_linkage_name)
}

/// What is around each function of a unit that is read for the sake of others.
fn around<'a>(dwarf: &Dwarf<'a>, unit: &Unit<'a>) -> Around {
    let mut found = Around::default();
    let Ok(mut entries) = unit.entries_raw(None) else {
        return found;
    };
    let mut spaces: Vec<Space<'a>> = Vec::new();
    let mut attributes = Vec::new();
    while !entries.is_empty() {
        let (depth, offset) = (entries.next_depth(), entries.next_offset());
        let Ok(abbreviation) = entries.read_abbreviation() else {
            break;
        };
        let Some(abbreviation) = abbreviation else {
            continue;
        };
        while spaces.last().is_some_and(|(of, _)| *of >= depth) {
            spaces.pop();
        }
        let specs = abbreviation.attributes();
        if !is_space(abbreviation.tag()) || spaces.len() >= SPACES_MAX {
            if abbreviation.tag() == dw::DW_TAG_subprogram && needs_spaces(specs) {
                found.note(offset, &spaces);
            }
            if entries.skip_attributes(specs).is_err() {
                break;
            }
            continue;
        }
        if entries.read_attributes(specs, &mut attributes).is_err() {
            break;
        }
        spaces.push((depth, space_name(dwarf, unit, &attributes)));
    }
    found
}

/// The names of spaces, from the outside in.
fn join(spaces: &[Space<'_>]) -> String {
    let mut joined = String::new();
    for (_, name) in spaces {
        if !joined.is_empty() {
            joined.push_str("::");
        }
        match name.and_then(text) {
            Some(name) => joined.push_str(names::cut(&name)),
            None => joined.push_str("(anonymous namespace)"),
        }
    }
    names::cut(&joined).to_owned()
}

fn said<'a>(
    dwarf: &Dwarf<'a>,
    unit: &Unit<'a>,
    offset: UnitOffset,
    at: Entry,
    is_split: bool,
) -> Option<Said<'a>> {
    let mut entries = unit.entries_raw(Some(offset)).ok()?;
    let abbreviation = entries.read_abbreviation().ok()??;
    let mut said = Said::default();
    for spec in abbreviation.attributes() {
        let attribute = entries.read_attribute(*spec).ok()?;
        let string = || dwarf.attr_string(unit, attribute.value()).ok();
        match attribute.name() {
            dw::DW_AT_linkage_name | dw::DW_AT_MIPS_linkage_name => said.linkage = string(),
            dw::DW_AT_name => said.name = string(),
            dw::DW_AT_decl_line => said.line = attribute.udata_value(),
            dw::DW_AT_abstract_origin | dw::DW_AT_specification => {
                said.origin = match is_split {
                    true => local(attribute.value()),
                    false => reference(unit, attribute.value(), at),
                };
            }
            _ => {}
        }
    }
    Some(said)
}

fn local(value: AttributeValue<Reader<'_>>) -> Option<Entry> {
    match value {
        AttributeValue::UnitRef(offset) => Some(Entry::Here(offset)),
        _ => None,
    }
}

/// What a reference in the entry `at` means, seen from the unit that is read.
pub(super) fn reference(
    unit: &Unit<'_>,
    value: AttributeValue<Reader<'_>>,
    at: Entry,
) -> Option<Entry> {
    match (value, at) {
        (AttributeValue::UnitRef(offset), Entry::Here(_)) => Some(Entry::Here(offset)),
        (AttributeValue::UnitRef(offset), Entry::Main(_)) => {
            offset.to_debug_info_offset(&unit.header).map(Entry::Main)
        }
        (AttributeValue::UnitRef(offset), Entry::Alt(_)) => {
            offset.to_debug_info_offset(&unit.header).map(Entry::Alt)
        }
        (AttributeValue::DebugInfoRef(offset), Entry::Alt(_)) => Some(Entry::Alt(offset)),
        (AttributeValue::DebugInfoRef(offset), _) => Some(Entry::Main(offset)),
        (AttributeValue::DebugInfoRefSup(offset), _) => Some(Entry::Alt(offset)),
        _ => None,
    }
}
