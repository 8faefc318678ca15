//! Shared libraries without a compiler: as much of an ELF file as naming needs, with symbols, DWARF
//! 4 and lines. The code does nothing.

/// Functions of one library.
pub(crate) const FUNCTIONS: u64 = 5_000;
/// Bytes of each.
const CODE: u64 = 32;
/// Where the code lies, in the file and in memory.
const TEXT: u64 = 0x1000;
/// Rows of the line program within a function: bytes and lines after the row before.
const ROWS: [(u8, u8); 3] = [(0, 0), (8, 1), (16, 1)];
/// Lines that a function takes in the source.
const LINES: u64 = 4;

const HEADER_BYTES: usize = 64;
const SEGMENT_BYTES: u16 = 56;
const SECTION_BYTES: u16 = 64;
const SYMBOL_BYTES: u64 = 24;
/// The first section is the empty one.
const TEXT_SECTION: u16 = 1;
const SYMTAB: u32 = 2;
const STRTAB: u32 = 3;
const NOTE: u32 = 7;
const PROGBITS: u32 = 1;

/// One of several that differ in their build ids and in all their names.
#[derive(Clone, Copy)]
pub(crate) struct Library(pub(crate) u8);

struct Section {
    name: &'static str,
    kind: u32,
    bytes: Vec<u8>,
}

impl Library {
    /// As profiles spell it.
    pub(crate) fn build_id(self) -> String {
        let bytes = self.id().map(|byte| format!("{byte:02x}"));
        bytes.concat()
    }

    fn id(self) -> [u8; 20] {
        std::array::from_fn(|at| self.0.wrapping_mul(37).wrapping_add(at as u8))
    }

    pub(crate) fn function(self, number: u64) -> String {
        format!("library_{:02}_function_{number:04}", self.0)
    }

    /// Of an instruction of that function, as offset in the file.
    pub(crate) fn address(number: u64) -> u64 {
        TEXT + number * CODE + 12
    }

    /// The bytes of the file.
    pub(crate) fn elf(self) -> Vec<u8> {
        let section = |name, kind, bytes| Section { name, kind, bytes };
        let (symbols, names) = self.symbols();
        let mut sections = vec![
            section(".text", PROGBITS, vec![0x90; (FUNCTIONS * CODE) as usize]),
            section(".note.gnu.build-id", NOTE, self.note()),
            section(".symtab", SYMTAB, symbols),
            section(".strtab", STRTAB, names),
            section(".debug_abbrev", PROGBITS, abbreviations()),
            section(".debug_info", PROGBITS, self.unit()),
            section(".debug_line", PROGBITS, self.lines()),
        ];
        let mut names = vec![0];
        let starts: Vec<usize> = sections
            .iter()
            .map(|section| text(&mut names, section.name))
            .collect();
        let own = text(&mut names, ".shstrtab");
        sections.push(section(".shstrtab", STRTAB, names));
        assemble(&sections, &[&starts[..], &[own]].concat())
    }

    fn note(self) -> Vec<u8> {
        let id = self.id();
        let mut note = Vec::new();
        // Bytes of the name, bytes of the id, and that it is a build id.
        for word in [4, id.len() as u32, 3] {
            note.extend(word.to_le_bytes());
        }
        note.extend(b"GNU\0");
        note.extend(id);
        note
    }

    fn symbols(self) -> (Vec<u8>, Vec<u8>) {
        let mut symbols = vec![0; SYMBOL_BYTES as usize];
        let mut names = vec![0];
        for number in 0..FUNCTIONS {
            let name = text(&mut names, &self.function(number)) as u32;
            symbols.extend(name.to_le_bytes());
            // A global function.
            symbols.extend([0x12, 0]);
            symbols.extend(TEXT_SECTION.to_le_bytes());
            symbols.extend((TEXT + number * CODE).to_le_bytes());
            symbols.extend(CODE.to_le_bytes());
        }
        (symbols, names)
    }

    fn source(self) -> String {
        format!("library_{:02}.c", self.0)
    }

    /// `.debug_info`, in the order of [`abbreviations`].
    fn unit(self) -> Vec<u8> {
        let mut unit = Vec::new();
        unit.extend(4u16.to_le_bytes());
        unit.extend(0u32.to_le_bytes());
        unit.push(8);
        unit.push(1);
        text(&mut unit, &self.source());
        text(&mut unit, "/src");
        unit.extend(0u32.to_le_bytes());
        unit.extend(TEXT.to_le_bytes());
        unit.extend((FUNCTIONS * CODE).to_le_bytes());
        for number in 0..FUNCTIONS {
            unit.push(2);
            text(&mut unit, &self.function(number));
            unit.push(1);
            unit.extend((1 + number as u32 * LINES as u32).to_le_bytes());
            unit.extend((TEXT + number * CODE).to_le_bytes());
            unit.extend((CODE as u32).to_le_bytes());
        }
        unit.push(0);
        with_length(unit)
    }

    /// `.debug_line`.
    fn lines(self) -> Vec<u8> {
        // What the bytes of instructions and standard opcodes are; no folders; one file.
        let mut header = vec![1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0];
        text(&mut header, &self.source());
        header.extend([0, 0, 0, 0]);
        let mut program = Vec::new();
        program.extend(4u16.to_le_bytes());
        program.extend((header.len() as u32).to_le_bytes());
        program.extend(header);
        // Set the address.
        program.extend([0, 9, 2]);
        program.extend(TEXT.to_le_bytes());
        for _ in 0..FUNCTIONS {
            for (bytes, lines) in ROWS {
                // Advance the address, advance the line, and a row.
                program.extend([2, bytes, 3, lines, 1]);
            }
            let (bytes, lines) = ROWS.iter().fold((0, 0), |sum, row| {
                (sum.0 + u64::from(row.0), sum.1 + u64::from(row.1))
            });
            program.extend([2, (CODE - bytes) as u8, 3, (LINES - lines) as u8]);
        }
        program.extend([0, 1, 1]);
        with_length(program)
    }
}

/// A unit with name, folder, lines and range, and functions with name, file, line and range.
fn abbreviations() -> Vec<u8> {
    let unit = [
        0x01, 0x11, 1, 0x03, 0x08, 0x1b, 0x08, 0x10, 0x17, 0x11, 0x01, 0x12, 0x07, 0, 0,
    ];
    let function = [
        0x02, 0x2e, 0, 0x03, 0x08, 0x3a, 0x0b, 0x3b, 0x06, 0x11, 0x01, 0x12, 0x06, 0, 0,
    ];
    [&unit[..], &function, &[0]].concat()
}

/// Appends a text and its end, and says where it begins.
fn text(bytes: &mut Vec<u8>, text: &str) -> usize {
    let start = bytes.len();
    bytes.extend(text.as_bytes());
    bytes.push(0);
    start
}

fn with_length(bytes: Vec<u8>) -> Vec<u8> {
    let length = bytes.len() as u32;
    [&length.to_le_bytes()[..], &bytes].concat()
}

/// Header, one segment with the code, the sections from the code on, and their table. `names` are
/// places in the last section.
fn assemble(sections: &[Section], names: &[usize]) -> Vec<u8> {
    let mut file = vec![0; TEXT as usize];
    let mut table = vec![0; usize::from(SECTION_BYTES)];
    for (section, &name) in sections.iter().zip(names) {
        file.resize(file.len().next_multiple_of(8), 0);
        // Code is loaded and runs; symbols have the section of their names behind them.
        let (flags, address) = match section.name {
            ".text" => (6, TEXT),
            _ => (0, 0),
        };
        let (link, info, entry) = match section.kind {
            SYMTAB => (
                (table.len() / usize::from(SECTION_BYTES)) as u32 + 1,
                1,
                SYMBOL_BYTES,
            ),
            _ => (0, 0, 0),
        };
        table.extend((name as u32).to_le_bytes());
        table.extend(section.kind.to_le_bytes());
        for long in [
            flags,
            address,
            file.len() as u64,
            section.bytes.len() as u64,
        ] {
            table.extend(long.to_le_bytes());
        }
        table.extend(link.to_le_bytes());
        table.extend(u32::to_le_bytes(info));
        for long in [4, entry] {
            table.extend(u64::to_le_bytes(long));
        }
        file.extend(&section.bytes);
    }
    file.resize(file.len().next_multiple_of(8), 0);
    let header = header(file.len() as u64, sections.len() as u16);
    file[..header.len()].copy_from_slice(&header);
    file.extend(table);
    file
}

/// Of a shared library for x86-64, with its one segment.
fn header(table: u64, sections: u16) -> Vec<u8> {
    let mut header = b"\x7fELF\x02\x01\x01".to_vec();
    header.resize(16, 0);
    for half in [3u16, 62] {
        header.extend(half.to_le_bytes());
    }
    header.extend(1u32.to_le_bytes());
    for long in [0, HEADER_BYTES as u64, table] {
        header.extend(long.to_le_bytes());
    }
    header.extend(0u32.to_le_bytes());
    let bytes = HEADER_BYTES as u16;
    for half in [
        bytes,
        SEGMENT_BYTES,
        1,
        SECTION_BYTES,
        1 + sections,
        sections,
    ] {
        header.extend(half.to_le_bytes());
    }
    // Loaded, readable, runs.
    for word in [1u32, 5] {
        header.extend(word.to_le_bytes());
    }
    let bytes = FUNCTIONS * CODE;
    for long in [TEXT, TEXT, TEXT, bytes, bytes, TEXT] {
        header.extend(long.to_le_bytes());
    }
    header
}
