//! The stubs through which code calls other libraries, named after what they call: `name@plt`.

use std::collections::HashMap;
use std::ops::Range;

use object::read::{Object, ObjectSection, ObjectSymbol, ObjectSymbolTable};
use object::{Architecture, RelocationTarget};

/// Stubs of one file; the largest browsers have thousands.
const ENTRIES_MAX: usize = 1 << 20;
/// Bytes that a stub is aligned to.
const STEP: usize = 16;

pub(crate) struct Entry {
    pub(crate) range: Range<u64>,
    pub(crate) name: String,
}

/// The stubs whose jump leads through a slot that a relocation fills with a named symbol.
pub(crate) fn entries(file: &object::File<'_>) -> Vec<Entry> {
    let target: fn(&[u8], u64) -> Option<u64> = match file.architecture() {
        Architecture::X86_64 => x86_64,
        Architecture::Aarch64 => aarch64,
        _ => return Vec::new(),
    };
    let slots = slots(file);
    let mut entries = Vec::new();
    for name in [".plt", ".plt.sec", ".plt.got"] {
        let Some(section) = file.section_by_name(name) else {
            continue;
        };
        let bytes = section.data().unwrap_or(&[]);
        // Entries of `.plt.got` have half the size where they have no landing pad.
        let step = match (name, bytes.len() % STEP, bytes.get(..2)) {
            (".plt.got", _, Some([0xff, 0x25])) => STEP / 2,
            _ => STEP,
        };
        for at in (0..bytes.len()).step_by(step).take(ENTRIES_MAX) {
            let code = &bytes[at..bytes.len().min(at + step)];
            let Some(start) = section.address().checked_add(at as u64) else {
                break;
            };
            let name = target(code, start).and_then(|slot| slots.get(&slot));
            if let (Some(name), Some(end)) = (name, start.checked_add(code.len() as u64)) {
                entries.push(Entry {
                    range: start..end,
                    name: format!("{name}@plt"),
                });
            }
        }
    }
    entries
}

/// The symbol that each slot is filled with.
fn slots(file: &object::File<'_>) -> HashMap<u64, String> {
    let (Some(relocations), Some(symbols)) =
        (file.dynamic_relocations(), file.dynamic_symbol_table())
    else {
        return HashMap::new();
    };
    let mut slots = HashMap::new();
    for (slot, relocation) in relocations.take(ENTRIES_MAX) {
        let RelocationTarget::Symbol(index) = relocation.target() else {
            continue;
        };
        let symbol = symbols.symbol_by_index(index).ok();
        let name = symbol.and_then(|symbol| symbol.name_bytes().ok().map(String::from_utf8_lossy));
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            slots.insert(slot, name.into_owned());
        }
    }
    slots
}

/// The slot of `jmp *slot(%rip)`, with or without a landing pad before it.
fn x86_64(code: &[u8], start: u64) -> Option<u64> {
    let at = (0..=5).find(|&at| code.get(at..at + 2) == Some(&[0xff, 0x25]))?;
    let by = i32::from_le_bytes(code.get(at + 2..at + 6)?.try_into().ok()?);
    let next = start.checked_add(at as u64 + 6)?;
    next.checked_add_signed(i64::from(by))
}

/// The slot of `adrp x16, page; ldr x17, [x16, offset]`, with or without a landing pad.
fn aarch64(code: &[u8], start: u64) -> Option<u64> {
    let (words, _) = code.as_chunks::<4>();
    let words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let at = words
        .iter()
        .position(|word| word & 0x9f00_001f == 0x9000_0010)?;
    let (adrp, load) = (words[at], *words.get(at + 1)?);
    if load & 0xffc0_03ff != 0xf940_0211 {
        return None;
    }
    let pages = (adrp >> 5 & 0x7_ffff) << 2 | adrp >> 29 & 3;
    // Twenty-one bits with a sign.
    let pages = i64::from((pages << 11) as i32 >> 11);
    let here = start.checked_add(at as u64 * 4)? & !0xfff;
    let page = here.checked_add_signed(pages << 12)?;
    page.checked_add(u64::from(load >> 10 & 0xfff) * 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stubs_are_read_as_objdump_reads_them() {
        // endbr64; bnd jmp *0x2f75(%rip) of a real library: slot 0x4018.
        let bnd = [0xf3, 0x0f, 0x1e, 0xfa, 0xf2, 0xff, 0x25, 0x75, 0x2f, 0, 0];
        assert_eq!(x86_64(&bnd, 0x1098), Some(0x1098 + 11 + 0x2f75));
        let plain = [0xff, 0x25, 0xfa, 0xff, 0xff, 0xff, 0x66, 0x90];
        assert_eq!(x86_64(&plain, 0x1000), Some(0x1000));
        assert_eq!(x86_64(&[0xff, 0x25, 0], 0), None);
        // adrp x16, +0x1f000; ldr x17, [x16, #0xfd0].
        let words = [0xf000_00f0_u32, 0xf947_ea11];
        let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(aarch64(&code, 0x5d0), Some(0x1f_fd0));
    }
}
