//! Files that nobody linked, as kernel modules are: where their code comes to lie, and their debug
//! information with the addresses that it gets by that.

use std::borrow::Cow;
use std::collections::HashMap;

use object::read::{Object, ObjectSection, ObjectSymbol, Relocation, RelocationTarget};
use object::{Architecture, ObjectKind, RelocationKind, SectionIndex};

use super::{CODE_SECTIONS_MAX, is_code};
use crate::format::Segment;

/// Code that is needed until a module runs, and lies elsewhere until then.
const AT_START: &[u8] = b".init";

/// Bytes of names that are looked at. Names may overlap: a file can have far more of them than bytes.
const NAMES_BYTES_MAX: usize = 16 << 20;

/// Where the sections with code lie: from 0, in the order of the file, each as aligned as it asks for.
/// That is how Linux lays out a module, whose code is the first of it.
pub(crate) struct Layout {
    starts: HashMap<SectionIndex, u64>,
    bytes: u64,
}

impl Layout {
    /// `None` of a linked file, which says itself where its code lies.
    pub(super) fn of(file: &object::File<'_>) -> Option<Self> {
        if file.kind() != ObjectKind::Relocatable {
            return None;
        }
        let code = file.sections().filter(|section| is_code(section.flags()));
        let mut looked_at = 0;
        let is_first = |section: &object::Section<'_, '_>| {
            let is_enough = looked_at > NAMES_BYTES_MAX;
            let name = if is_enough {
                None
            } else {
                section.name_bytes().ok()
            };
            looked_at += name.map_or(0, <[u8]>::len);
            !name.is_some_and(|name| name.starts_with(AT_START))
        };
        let code = code.take(CODE_SECTIONS_MAX);
        let (first, last): (Vec<_>, Vec<_>) = code.partition(is_first);
        let (mut starts, mut bytes) = (HashMap::new(), 0u64);
        for section in first.into_iter().chain(last) {
            let start = bytes.checked_next_multiple_of(section.align().max(1))?;
            starts.insert(section.index(), start);
            bytes = start.checked_add(section.size())?;
        }
        Some(Self { starts, bytes })
    }

    /// What to add to an address within a section. What is no code lies nowhere.
    pub(super) fn start(&self, section: SectionIndex) -> u64 {
        self.starts.get(&section).copied().unwrap_or(0)
    }

    /// All of the code: who samples it counts from where it begins.
    pub(super) fn segment(&self) -> Segment {
        Segment {
            offset: 0,
            address: 0,
            bytes: self.bytes,
        }
    }

    /// A section with addresses filled in; `None` if it can't be told what they are.
    pub(super) fn fill_in<'a>(
        &self,
        file: &object::File<'_>,
        section: &object::Section<'_, '_>,
        data: Cow<'a, [u8]>,
    ) -> Option<Cow<'a, [u8]>> {
        let mut relocations = section.relocations().peekable();
        if relocations.peek().is_none() {
            return Some(data);
        }
        // They have differences of addresses filled in in several steps.
        if matches!(
            file.architecture(),
            Architecture::Riscv32 | Architecture::Riscv64 | Architecture::LoongArch64
        ) {
            return None;
        }
        let is_little = file.is_little_endian();
        let mut data = data.into_owned();
        for (offset, relocation) in relocations {
            let bytes = usize::from(relocation.size() / 8);
            let place = usize::try_from(offset).ok();
            let place = place.and_then(|at| data.get_mut(at..at.checked_add(bytes)?));
            let (Some(place), 1..=8) = (place, bytes) else {
                continue;
            };
            let target = self.target(file, &relocation);
            let value = match relocation.kind() {
                RelocationKind::Absolute => target,
                RelocationKind::Relative => target.wrapping_sub(offset),
                // Of variables of threads, and the like: no code.
                _ => continue,
            };
            let before = match relocation.has_implicit_addend() {
                true => number(place, is_little),
                false => 0,
            };
            put(place, is_little, value.wrapping_add(before));
        }
        Some(Cow::Owned(data))
    }

    fn target(&self, file: &object::File<'_>, relocation: &Relocation) -> u64 {
        let target = match relocation.target() {
            RelocationTarget::Symbol(index) => {
                let symbol = file.symbol_by_index(index).ok();
                symbol.map_or(0, |symbol| {
                    let section = symbol.section_index();
                    let start = section.map_or(0, |section| self.start(section));
                    start.wrapping_add(symbol.address())
                })
            }
            RelocationTarget::Section(index) => self.start(index),
            _ => 0,
        };
        target.wrapping_add_signed(relocation.addend())
    }
}

fn number(place: &[u8], is_little: bool) -> u64 {
    let shift_in = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
    match is_little {
        true => place.iter().rev().fold(0, shift_in),
        false => place.iter().fold(0, shift_in),
    }
}

fn put(place: &mut [u8], is_little: bool, number: u64) {
    let bytes = place.len();
    match is_little {
        true => place.copy_from_slice(&number.to_le_bytes()[..bytes]),
        false => place.copy_from_slice(&number.to_be_bytes()[8 - bytes..]),
    }
}
