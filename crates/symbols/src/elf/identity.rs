//! Which binary a file is of: build ids and the hash that stands in for them.

use object::read::{Object, ObjectSection};
use sha2::{Digest, Sha256};

use cairn_model::{BuildId, FileKind};

use crate::Error;
use crate::elf::Elf;

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
        let parsed = Elf::parse(elf, 0)?;
        let gnu = parsed.file.build_id().ok().flatten();
        // Only a package has an index of units.
        let is_package = || section(&parsed.file, ".debug_cu_index").is_some();
        let kind = match parsed.kind() {
            FileKind::Debuginfo if is_package() => FileKind::Package,
            kind => kind,
        };
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

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sections of a file that are looked through, and bytes of their names.
const SECTIONS_MAX: usize = 1 << 16;
const NAMES_BYTES_MAX: usize = 16 << 20;

/// The section of this name, looked for in bounded time: names may overlap, so that a file can have
/// far more bytes of them than bytes. One that does not end is damage, after which nothing is found.
fn section<'a, 'f>(file: &'f object::File<'a>, wanted: &str) -> Option<object::Section<'a, 'f>> {
    let mut looked_at = 0;
    for section in file.sections().take(SECTIONS_MAX) {
        let name = section.name_bytes().ok()?;
        if name == wanted.as_bytes() {
            return Some(section);
        }
        looked_at += name.len();
        if looked_at > NAMES_BYTES_MAX {
            return None;
        }
    }
    None
}

/// The text of Go's own note: owner `Go`, type 4.
fn go_build_id<'a>(file: &object::File<'a>) -> Option<&'a str> {
    let note = section(file, ".note.go.buildid")?.data().ok()?;
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
