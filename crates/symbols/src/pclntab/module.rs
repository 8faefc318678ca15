//! What Go's runtime knows of its own binary, as far as the table of functions needs it: where code
//! begins, and where the trees of inlined calls are.

use std::borrow::Cow;
use std::collections::HashMap;

use object::RelocationTarget;
use object::read::{Object, ObjectSection};

use crate::elf::Elf;

/// Words of the description that are looked at.
const WORDS: usize = 64;
/// Which word says where code begins, in all versions.
const TEXT: usize = 22;
/// Between which words the start of read-only data is; trees of calls follow it.
const RODATA: std::ops::Range<usize> = 36..48;

pub(super) struct Module {
    is_little: bool,
    pub(super) pointer_bytes: usize,
    /// The address that functions count from.
    pub(super) text: u64,
    /// The section that holds trees, its address, and where in it they begin.
    pub(super) data: Vec<u8>,
    data_address: u64,
    data_start: usize,
}

impl Module {
    pub(super) fn read(elf: &Elf<'_>) -> Option<Self> {
        let file = &elf.file;
        let mut module = Self {
            is_little: file.is_little_endian(),
            pointer_bytes: if file.is_64() { 8 } else { 4 },
            text: file.section_by_name(".text")?.address(),
            data: Vec::new(),
            data_address: 0,
            data_start: 0,
        };
        let words = module.words(elf).unwrap_or_default();
        // Code of other languages may come first in the section.
        let text = words.get(TEXT).copied().unwrap_or(0);
        let holds = |section: &object::Section<'_, '_>, address: u64| {
            address >= section.address() && address - section.address() < section.size()
        };
        if text != 0 && file.sections().any(|section| holds(&section, text)) {
            module.text = text;
        }
        let rodata = file
            .section_by_name(".rodata")
            .map(|section| section.address());
        let trees = RODATA
            .clone()
            .find(|&at| words.get(at).copied() == rodata && rodata.is_some())
            .and_then(|at| words.get(at + 1).copied());
        if let Some(trees) = trees
            && let Some(section) = file.sections().find(|section| holds(section, trees))
        {
            module.data_start = usize::try_from(trees - section.address()).ok()?;
            module.data = section.data().ok()?.to_vec();
        } else if let Some(section) = file.section_by_name(".rodata") {
            // Before there was a place for all of them, functions said where each tree is.
            module.data_address = section.address();
            module.data = section.data().unwrap_or_default().to_vec();
        }
        Some(module)
    }

    /// Where in `data` a function's data is.
    pub(super) fn function_data(&self, offset: u32) -> Option<usize> {
        self.data_start.checked_add(offset as usize)
    }

    /// Where in `data` the data at an address is.
    pub(super) fn data_at(&self, address: u64) -> Option<usize> {
        let offset = address.checked_sub(self.data_address)?;
        let is_there = address != 0 && offset < self.data.len() as u64;
        is_there.then(|| usize::try_from(offset).ok()).flatten()
    }

    pub(super) fn word(&self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(match self.is_little {
            true => u32::from_le_bytes(bytes),
            false => u32::from_be_bytes(bytes),
        })
    }

    /// A short number with a sign.
    pub(super) fn half(&self, bytes: &[u8], at: usize) -> Option<i16> {
        let bytes = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(match self.is_little {
            true => i16::from_le_bytes(bytes),
            false => i16::from_be_bytes(bytes),
        })
    }

    /// A number as long as a pointer.
    pub(super) fn long(&self, bytes: &[u8], at: usize) -> Option<u64> {
        if self.pointer_bytes == 4 {
            return self.word(bytes, at).map(u64::from);
        }
        let (first, second) = (self.word(bytes, at)?, self.word(bytes, at.checked_add(4)?)?);
        let (low, high) = match self.is_little {
            true => (first, second),
            false => (second, first),
        };
        Some(u64::from(high) << 32 | u64::from(low))
    }

    /// The description's first words. It has a section of its own since 1.26; before, it is where
    /// the address of the table of functions is.
    fn words(&self, elf: &Elf<'_>) -> Option<Vec<u64>> {
        let file = &elf.file;
        let table = elf.pclntab_address()?;
        let moved = moved(elf);
        let own = file.section_by_name(".go.module");
        let candidates = [".noptrdata", ".data", ".data.rel.ro"];
        let others = candidates
            .iter()
            .filter_map(|name| file.section_by_name(name));
        for section in own.into_iter().chain(others) {
            let bytes = section.data().unwrap_or(&[]);
            let word = |at: usize| {
                let address = section.address().wrapping_add(at as u64);
                let here = self.long(bytes, at);
                moved.get(&address).copied().or(here)
            };
            let steps = (0..bytes.len()).step_by(self.pointer_bytes);
            if let Some(start) = steps.into_iter().find(|&at| word(at) == Some(table)) {
                let words = (0..WORDS).map_while(|n| word(start + n * self.pointer_bytes));
                return Some(words.collect());
            }
        }
        None
    }
}

/// Words that only loading fills in, where code may lie anywhere.
fn moved(elf: &Elf<'_>) -> HashMap<u64, u64> {
    let relocations = elf.file.dynamic_relocations();
    let relocations = relocations.into_iter().flatten();
    relocations
        .filter(|(_, relocation)| matches!(relocation.target(), RelocationTarget::Absolute))
        .filter(|(_, relocation)| relocation.addend() != 0)
        .map(|(at, relocation)| (at, relocation.addend() as u64))
        .collect()
}

/// The table of functions with the addresses that only loading fills in.
pub(super) fn filled_in<'b>(
    elf: &Elf<'_>,
    module: &Module,
    bytes: Cow<'b, [u8]>,
) -> Option<Cow<'b, [u8]>> {
    let (start, pointer) = (elf.pclntab_address()?, module.pointer_bytes);
    let mut bytes = bytes;
    for (address, value) in moved(elf) {
        let at = address
            .checked_sub(start)
            .and_then(|at| usize::try_from(at).ok());
        let Some(at) = at.filter(|at| {
            at.checked_add(pointer)
                .is_some_and(|end| end <= bytes.len())
        }) else {
            continue;
        };
        let place = &mut bytes.to_mut()[at..at + pointer];
        match module.is_little {
            true => place.copy_from_slice(&value.to_le_bytes()[..pointer]),
            false => place.copy_from_slice(&value.to_be_bytes()[8 - pointer..]),
        }
    }
    Some(bytes)
}
