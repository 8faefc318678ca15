//! The sections of DWARF, inflated, of a file and of those that it refers to.

use std::borrow::Cow;
use std::rc::Rc;

use gimli::{
    AbbreviationsCacheStrategy, DwarfPackageSections, DwarfSections, EndianSlice, RunTimeEndian,
    Section as _, SectionId,
};
use object::read::Object;

use crate::convert::Companions;
use crate::elf::Elf;

pub(super) type Reader<'a> = EndianSlice<'a, RunTimeEndian>;
pub(super) type Dwarf<'a> = gimli::Dwarf<Reader<'a>>;
pub(super) type Unit<'a> = gimli::Unit<Reader<'a>>;
type Bytes<'a> = Cow<'a, [u8]>;

/// What was read and inflated; [`Debug`] borrows it.
pub(super) struct Loaded<'a> {
    endian: RunTimeEndian,
    main: DwarfSections<Bytes<'a>>,
    alt: Option<DwarfSections<Bytes<'a>>>,
    /// Units that were split off but stayed in the file.
    within: Option<DwarfSections<Bytes<'a>>>,
    package: Option<DwarfPackageSections<Bytes<'a>>>,
}

/// The debug information of a file and of those that it refers to.
pub(super) struct Debug<'a> {
    pub(super) main: Dwarf<'a>,
    within: Option<Rc<Dwarf<'a>>>,
    package: Option<gimli::DwarfPackage<Reader<'a>>>,
}

impl<'a> Loaded<'a> {
    pub(super) fn new(elf: &Elf<'a>, companions: &Companions<'a>) -> Self {
        let open = |bytes: Option<&'a [u8]>| elf.companion(bytes?);
        let alt = open(companions.alt);
        let package = open(companions.package);
        let has_within = elf.file.section_by_name(".debug_info.dwo").is_some();
        Self {
            endian: match elf.file.is_little_endian() {
                true => RunTimeEndian::Little,
                false => RunTimeEndian::Big,
            },
            main: load(elf).unwrap_or_default(),
            alt: alt.and_then(|alt| load(&alt)),
            within: has_within.then(|| load_split(elf)).flatten(),
            package: package.and_then(|file| {
                let section = |id| Ok::<_, gimli::Error>(split_section(&file, id));
                DwarfPackageSections::load(section).ok()
            }),
        }
    }

    /// `None` if there is no debug information.
    pub(super) fn debug(&self) -> Option<Debug<'_>> {
        let read = |bytes| EndianSlice::new(bytes, self.endian);
        let mut main = self
            .main
            .borrow_with_sup(self.alt.as_ref(), |bytes| read(&**bytes));
        if main.debug_info.reader().is_empty() {
            return None;
        }
        main.populate_abbreviations_cache(AbbreviationsCacheStrategy::Duplicates);
        let within = self.within.as_ref().map(|sections| {
            let mut within = sections.borrow(|bytes| read(&**bytes));
            within.make_dwo(&main);
            Rc::new(within)
        });
        let package = self.package.as_ref().and_then(|sections| {
            let package = sections.borrow(|bytes| read(&**bytes), read(&[]));
            package.ok()
        });
        Some(Debug {
            main,
            within,
            package,
        })
    }
}

impl<'a> Debug<'a> {
    /// The file itself, or the one that it shares entries with.
    pub(super) fn file(&self, is_alt: bool) -> Option<&Dwarf<'a>> {
        match is_alt {
            true => self.main.sup(),
            false => Some(&self.main),
        }
    }

    /// The part of a unit that was split off: the DWARF that holds it, and the unit.
    pub(super) fn split(&self, skeleton: &Unit<'a>) -> Option<(Rc<Dwarf<'a>>, Unit<'a>)> {
        let id = skeleton.dwo_id?;
        let found = self.package.as_ref().and_then(|package| {
            let dwarf = package.find_cu(id, &self.main).ok().flatten()?;
            let header = dwarf.units().next().ok().flatten()?;
            let unit = dwarf.unit(header).ok()?;
            Some((Rc::new(dwarf), unit))
        });
        let (dwarf, mut unit) = found.or_else(|| self.split_within(id))?;
        unit.copy_relocated_attributes(skeleton);
        Some((dwarf, unit))
    }

    /// Whether the package has the unit with this id.
    pub(super) fn is_packed(&self, id: gimli::DwoId) -> bool {
        let package = self.package.as_ref();
        let found = package.map(|package| package.find_cu(id, &self.main));
        matches!(found, Some(Ok(Some(_))))
    }

    fn split_within(&self, id: gimli::DwoId) -> Option<(Rc<Dwarf<'a>>, Unit<'a>)> {
        let within = self.within.as_ref()?;
        let mut headers = within.units();
        while let Ok(Some(header)) = headers.next() {
            let Ok(unit) = within.unit(header) else {
                continue;
            };
            if unit.dwo_id == Some(id) {
                return Some((Rc::clone(within), unit));
            }
        }
        None
    }
}

/// Sections that say nothing about functions are not even inflated.
fn is_needed(id: SectionId) -> bool {
    matches!(
        id,
        SectionId::DebugAbbrev
            | SectionId::DebugAddr
            | SectionId::DebugCuIndex
            | SectionId::DebugInfo
            | SectionId::DebugLine
            | SectionId::DebugLineStr
            | SectionId::DebugRanges
            | SectionId::DebugRngLists
            | SectionId::DebugStr
            | SectionId::DebugStrOffsets
    )
}

fn load<'a>(elf: &Elf<'a>) -> Option<DwarfSections<Bytes<'a>>> {
    let section = |id: SectionId| {
        let needed = is_needed(id).then(|| elf.section(id.name())).flatten();
        Ok::<_, gimli::Error>(needed.unwrap_or_default())
    };
    DwarfSections::load(section).ok()
}

fn load_split<'a>(elf: &Elf<'a>) -> Option<DwarfSections<Bytes<'a>>> {
    DwarfSections::load(|id| Ok::<_, gimli::Error>(split_section(elf, id))).ok()
}

fn split_section<'a>(elf: &Elf<'a>, id: SectionId) -> Bytes<'a> {
    // All of them: an index says which part of each section belongs to which unit, and a part that
    // is not there spoils the unit.
    let section = id.dwo_name().and_then(|name| elf.section(name));
    section.unwrap_or_default()
}
