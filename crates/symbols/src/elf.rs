//! What an ELF file says outside of its debug information: segments, sections, companions.

mod identity;
mod plt;
mod symbols;
mod unlinked;

use std::borrow::Cow;
use std::ops::Range;

use object::elf::{PF_X, SHF_EXECINSTR};
use object::read::{Object, ObjectSection, ObjectSegment};
use object::{SectionFlags, SegmentFlags};

use cairn_model::FileKind;

pub use self::identity::Identity;
use self::unlinked::Layout;
use crate::Error;
use crate::format::Segment;
use crate::inflate;

/// Executable segments of one file; real ones have one or two.
const SEGMENTS_MAX: usize = 1024;
/// Sections that hold code; a kernel has dozens, an object per function would be one too many.
const CODE_SECTIONS_MAX: usize = 1 << 16;

pub(crate) struct Elf<'a> {
    pub(crate) file: object::File<'a>,
    /// Of a file that is not linked.
    layout: Option<Layout>,
    section_bytes_max: usize,
}

/// Another file that a file refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The name that the file gives, with or without folders.
    pub name: String,
    /// Of the file referred to, in hex; empty if the reference names none.
    pub build_id: String,
}

/// The files beside it that a file needs before everything in it can be named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What several debug files share, as dwz makes it: `.gnu_debugaltlink`.
    pub alt: Option<Link>,
    /// The debug file of a stripped one: `.gnu_debuglink`. It is converted by itself.
    pub debug: Option<Link>,
    /// Some units have their functions in `.dwo` files: the package (`.dwp`) of them is wanted.
    pub package: bool,
}

impl Link {
    /// The file of what several debug files share, as dwz makes it, if this one refers to one.
    /// Reads nothing else.
    pub fn to_shared(elf: &[u8]) -> Option<Self> {
        Self::shared_by(&object::File::parse(elf).ok()?)
    }

    fn shared_by(file: &object::File<'_>) -> Option<Self> {
        let (name, id) = file.gnu_debugaltlink().ok().flatten()?;
        Some(Self {
            name: String::from_utf8_lossy(name).into_owned(),
            build_id: identity::hex(id),
        })
    }

    /// Whether a file is the one referred to, by its build id. It need not have code.
    pub fn leads_to(&self, file: &[u8]) -> bool {
        let parsed = object::File::parse(file).ok();
        let id = parsed.and_then(|file| Some(identity::hex(file.build_id().ok()??)));
        !self.build_id.is_empty() && id.is_some_and(|id| id == self.build_id)
    }
}

impl Wanted {
    /// Reads which files a file wants. Pure: fetching them is the caller's business.
    pub fn read(elf: &[u8], section_bytes_max: usize) -> Result<Self, Error> {
        let elf = Elf::parse(elf, section_bytes_max)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let debug = elf.file.gnu_debuglink().ok().flatten();
        Ok(Self {
            alt: Link::shared_by(&elf.file),
            debug: debug.map(|(name, _)| Link {
                name: text(name),
                build_id: String::new(),
            }),
            package: crate::dwarf::is_split(&elf),
        })
    }
}

impl<'a> Elf<'a> {
    pub(crate) fn parse(bytes: &'a [u8], section_bytes_max: usize) -> Result<Self, Error> {
        let not_elf = |error: object::read::Error| Error::NotElf(error.to_string());
        let file = object::File::parse(bytes).map_err(not_elf)?;
        Ok(Self::of(file, section_bytes_max))
    }

    fn of(file: object::File<'a>, section_bytes_max: usize) -> Self {
        Self {
            layout: Layout::of(&file),
            file,
            section_bytes_max,
        }
    }

    /// Whether it is a module whose code lies behind what the kernel makes as large as it needs.
    pub(crate) fn has_moving_code(&self) -> bool {
        let is_arm = self.file.architecture() == object::Architecture::Aarch64;
        self.layout.is_some() && is_arm && self.file.section_by_name(".plt").is_some()
    }

    /// Where a section lies.
    fn start(&self, section: &object::Section<'_, '_>) -> u64 {
        match &self.layout {
            Some(layout) => layout.start(section.index()),
            None => section.address(),
        }
    }

    /// A file that this one refers to: it has no code, so any kind will do.
    pub(crate) fn companion<'c>(&self, bytes: &'c [u8]) -> Option<Elf<'c>> {
        let file = object::File::parse(bytes).ok()?;
        Some(Elf::of(file, self.section_bytes_max))
    }

    /// A file without the content of its code can only serve beside the executable.
    fn kind(&self) -> FileKind {
        let mut code = self
            .file
            .sections()
            .filter(|section| is_code(section.flags()))
            .peekable();
        let runs = match code.peek() {
            Some(_) => code.any(|section| section.file_range().is_some()),
            // Without section headers nothing but running is left.
            None => self.file.sections().next().is_none(),
        };
        match runs {
            true => FileKind::Executable,
            false => FileKind::Debuginfo,
        }
    }

    /// Units that were split off have no addresses: those are in the file that they were split off.
    pub(crate) fn is_split_part(&self) -> bool {
        let has = |name: &str| self.file.section_by_name(name).is_some();
        has(".debug_info.dwo") && self.code().ranges.is_empty()
    }

    pub(crate) fn is_go(&self) -> bool {
        let note = self.file.section_by_name(".note.go.buildid");
        note.is_some() || self.pclntab_section().is_some()
    }

    /// Go's table of functions.
    pub(crate) fn pclntab(&self) -> Option<Cow<'a, [u8]>> {
        let data = self.pclntab_section()?.compressed_data().ok()?;
        inflate::section(&data, self.section_bytes_max)
    }

    pub(crate) fn pclntab_address(&self) -> Option<u64> {
        self.pclntab_section().map(|section| section.address())
    }

    fn pclntab_section(&self) -> Option<object::Section<'a, '_>> {
        [".gopclntab", ".data.rel.ro.gopclntab"]
            .iter()
            .find_map(|name| self.file.section_by_name(name))
    }

    /// A section's content, inflated and with its addresses; `None` if it is absent, damaged or too large.
    pub(crate) fn section(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        // Compressed sections had names of their own before ELF had a mark for them.
        let old = || {
            self.file
                .section_by_name(&name.replacen(".debug_", ".zdebug_", 1))
        };
        let section = self.file.section_by_name(name).or_else(old)?;
        let data = section.compressed_data().ok()?;
        let data = inflate::section(&data, self.section_bytes_max)?;
        match &self.layout {
            Some(layout) => layout.fill_in(&self.file, &section, data),
            None => Some(data),
        }
    }

    /// The ELF file with nothing but symbols that some distributions leave in stripped ones.
    pub(crate) fn mini_debuginfo(&self) -> Option<Vec<u8>> {
        let packed = self.section(".gnu_debugdata")?;
        inflate::xz(&packed, self.section_bytes_max)
    }

    /// The segments that hold code, which translate file offsets into virtual addresses.
    ///
    /// A file that keeps only debug information has them without content; such a segment covers
    /// no file offset, since where the code was in the executable is not told.
    pub(crate) fn code_segments(&self) -> Result<Vec<Segment>, Error> {
        if let Some(layout) = &self.layout {
            return Ok(vec![layout.segment()]);
        }
        let mut segments = Vec::new();
        for segment in self.file.segments() {
            let (offset, bytes) = segment.file_range();
            if !is_executable(segment.flags()) || bytes == 0 {
                continue;
            }
            if segments.len() == SEGMENTS_MAX {
                return Err(Error::TooMany {
                    what: "segments",
                    max: SEGMENTS_MAX as u64,
                });
            }
            segments.push(Segment {
                offset,
                address: segment.address(),
                bytes,
            });
        }
        Ok(segments)
    }

    /// Where code may lie. Debug information of code that the linker dropped points elsewhere.
    pub(crate) fn code(&self) -> Code {
        let sections = self.file.sections();
        let sections = sections
            .filter(|section| is_code(section.flags()))
            .map(|section| range(self.start(&section), section.size()));
        let mut ranges: Vec<_> = sections.take(CODE_SECTIONS_MAX).collect();
        if ranges.is_empty() {
            let segments = self.file.segments();
            let segments = segments.filter(|segment| is_executable(segment.flags()));
            ranges = segments
                .map(|segment| range(segment.address(), segment.size()))
                .take(SEGMENTS_MAX)
                .collect();
        }
        ranges.retain(|range| range.start < range.end);
        ranges.sort_by_key(|range| range.start);
        Code { ranges }
    }
}

/// The ranges of addresses that hold code, in order.
pub(crate) struct Code {
    ranges: Vec<Range<u64>>,
}

impl Code {
    /// The range as far as the code goes in which it begins; `None` if it begins in none.
    pub(crate) fn clip(&self, range: Range<u64>) -> Option<Range<u64>> {
        let behind = self
            .ranges
            .partition_point(|code| code.start <= range.start);
        let code = self.ranges.get(behind.checked_sub(1)?)?;
        let end = range.end.min(code.end);
        (range.start < end).then_some(range.start..end)
    }
}

fn range(start: u64, bytes: u64) -> Range<u64> {
    start..start.saturating_add(bytes)
}

fn is_code(flags: SectionFlags) -> bool {
    matches!(flags, SectionFlags::Elf { sh_flags, .. } if sh_flags.contains(SHF_EXECINSTR))
}

fn is_executable(flags: SegmentFlags) -> bool {
    matches!(flags, SegmentFlags::Elf { p_flags, .. } if p_flags.contains(PF_X))
}
