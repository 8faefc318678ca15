//! What an ELF file says outside of its debug information: segments, symbols, build ids.

use object::elf::{PF_X, SHF_EXECINSTR};
use object::read::{Object, ObjectSection, ObjectSegment, ObjectSymbol};
use object::{SectionFlags, SectionIndex, SegmentFlags, SymbolKind};
use sha2::{Digest, Sha256};

use cairn_model::{BuildId, FileKind};

use crate::Error;
use crate::format::Segment;
use crate::paint::{Painter, SymbolSpan};

/// Executable segments of one file; real ones have one or two.
const SEGMENTS_MAX: usize = 1024;

pub(crate) struct Elf<'a> {
    file: object::File<'a>,
}

impl<'a> Elf<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let not_elf = |error: object::read::Error| Error::NotElf(error.to_string());
        let file = object::File::parse(bytes).map_err(not_elf)?;
        match file.kind() {
            object::ObjectKind::Relocatable => Err(Error::Relocatable),
            _ => Ok(Self { file }),
        }
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

    pub(crate) fn is_go(&self) -> bool {
        [".gopclntab", ".data.rel.ro.gopclntab", ".note.go.buildid"]
            .iter()
            .any(|name| self.file.section_by_name(name).is_some())
    }

    /// The segments that hold code, which translate file offsets into virtual addresses.
    ///
    /// A file that keeps only debug information has them without content; such a segment covers
    /// no file offset, since where the code was in the executable is not told.
    pub(crate) fn code_segments(&self) -> Result<Vec<Segment>, Error> {
        let mut segments = Vec::new();
        for segment in self.file.segments() {
            let executable =
                matches!(segment.flags(), SegmentFlags::Elf { p_flags } if p_flags & PF_X != 0);
            let (offset, bytes) = segment.file_range();
            if !executable || bytes == 0 {
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

    /// Names what the symbol tables name. A smaller symbol wins over one that holds it, and one
    /// that states its size over one that does not.
    pub(crate) fn paint_symbols(&self, painter: &mut Painter) -> Result<(), Error> {
        let code = self.code_sections();
        let mut spans: Vec<SymbolSpan<'_>> = self
            .file
            .symbols()
            .chain(self.file.dynamic_symbols())
            .filter_map(|symbol| span_of_symbol(&symbol, &code))
            .collect();
        spans.sort_by_key(|span| span.start);
        let starts: Vec<u64> = spans.iter().map(|span| span.start).collect();
        for span in spans.iter_mut().filter(|span| !span.sized) {
            let next = starts.partition_point(|&start| start <= span.start);
            let next = starts.get(next).copied().unwrap_or(u64::MAX);
            span.end = span.end.min(next);
        }
        // Painted last wins. The name decides between aliases, so that the order of the table
        // does not; names with leading underscores are the internal ones.
        spans.sort_by(|a, b| {
            let size = |span: &SymbolSpan<'_>| span.end.saturating_sub(span.start);
            let rank = |span: &SymbolSpan<'_>| (span.sized, std::cmp::Reverse(size(span)));
            rank(a)
                .cmp(&rank(b))
                .then_with(|| a.global.cmp(&b.global))
                .then_with(|| underscores(b.name).cmp(&underscores(a.name)))
                .then_with(|| b.name.cmp(a.name))
        });
        spans.iter().try_for_each(|span| painter.symbol(span))
    }

    /// (section, its last address + 1) of the sections that hold code.
    fn code_sections(&self) -> Vec<(SectionIndex, u64)> {
        let executable = |flags| matches!(flags, SectionFlags::Elf { sh_flags } if sh_flags & u64::from(SHF_EXECINSTR) != 0);
        let sections = self.file.sections();
        let code = sections.filter(|section| executable(section.flags()));
        code.map(|section| {
            let end = section.address().saturating_add(section.size());
            (section.index(), end)
        })
        .collect()
    }
}

fn is_code(flags: SectionFlags) -> bool {
    matches!(flags, SectionFlags::Elf { sh_flags } if sh_flags & u64::from(SHF_EXECINSTR) != 0)
}

fn underscores(name: &str) -> usize {
    name.bytes().take_while(|&b| b == b'_').count()
}

fn span_of_symbol<'a>(
    symbol: &object::Symbol<'a, '_>,
    code: &[(SectionIndex, u64)],
) -> Option<SymbolSpan<'a>> {
    let section = symbol.section_index()?;
    let (_, section_end) = *code.iter().find(|(index, _)| *index == section)?;
    let name = symbol.name().ok()?;
    // ARM marks the kind of content with `$a`, `$x`; assemblers leave `.L` labels behind.
    let marks = name.is_empty() || name.starts_with('$') || name.starts_with(".L");
    let kind = matches!(
        symbol.kind(),
        SymbolKind::Text | SymbolKind::Unknown | SymbolKind::Label
    );
    if marks || !kind {
        return None;
    }
    let start = symbol.address();
    let sized = symbol.size() > 0;
    let end = match sized {
        true => start.saturating_add(symbol.size()).min(section_end),
        false => section_end,
    };
    (start < end).then_some(SymbolSpan {
        start,
        end,
        name,
        sized,
        global: symbol.is_global() && !symbol.is_weak(),
    })
}

/// What a file says it is, and the names by which agents may call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub kind: FileKind,
    /// Of the linker's note.
    pub gnu: Option<BuildId>,
    /// Of Go's own note.
    pub go: Option<BuildId>,
    /// The hash of the file that OpenTelemetry's profiler sends, which only the executable itself
    /// has: stripping changes it.
    pub hash: Option<BuildId>,
}

impl Identity {
    pub fn read(elf: &[u8]) -> Result<Self, Error> {
        let parsed = Elf::parse(elf)?;
        let gnu = parsed.file.build_id().ok().flatten();
        let kind = parsed.kind();
        let hash = (kind == FileKind::Executable).then(|| head_tail_hash(elf));
        Ok(Self {
            kind,
            gnu: gnu.and_then(|bytes| BuildId::parse(&hex(bytes)).ok()),
            go: go_build_id(&parsed.file).and_then(|id| BuildId::parse(id).ok()),
            hash: hash.and_then(|hash| BuildId::parse(&hash).ok()),
        })
    }

    /// All build ids, best first.
    pub fn build_ids(&self) -> impl Iterator<Item = &BuildId> {
        [&self.gnu, &self.go, &self.hash].into_iter().flatten()
    }

    /// Whether the file carries a build id, rather than only having a hash.
    pub fn is_stated(&self) -> bool {
        self.gnu.is_some() || self.go.is_some()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text of Go's own note: owner `Go`, type 4.
fn go_build_id<'a>(file: &object::File<'a>) -> Option<&'a str> {
    let note = file.section_by_name(".note.go.buildid")?.data().ok()?;
    let word = |at: usize| {
        let bytes = note.get(at..at + 4)?.try_into().ok()?;
        Some(match file.is_little_endian() {
            true => u32::from_le_bytes(bytes),
            false => u32::from_be_bytes(bytes),
        })
    };
    let (owner_bytes, id_bytes, kind) = (word(0)?, word(4)? as usize, word(8)?);
    if owner_bytes != 4 || kind != 4 || note.get(12..16)? != b"Go\0\0" {
        return None;
    }
    std::str::from_utf8(note.get(16..16usize.checked_add(id_bytes)?)?).ok()
}

/// The first 16 bytes, in hex, of SHA-256 over the first 4096 bytes, the last 4096 bytes and the
/// length as eight bytes, highest first.
fn head_tail_hash(file: &[u8]) -> String {
    const PART: usize = 4096;
    let mut hash = Sha256::new();
    hash.update(&file[..file.len().min(PART)]);
    hash.update(&file[file.len().saturating_sub(PART)..]);
    hash.update((file.len() as u64).to_be_bytes());
    hex(&hash.finalize()[..16])
}
