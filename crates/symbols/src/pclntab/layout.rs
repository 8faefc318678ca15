//! What differs between the versions of the table, and where its parts are.

use super::FUNCTIONS_MAX;
use super::module::Module;

#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// Functions have addresses, rather than offsets from where code begins.
    pub(super) has_addresses: bool,
    /// Files are numbered per unit, and parts of the table may lie anywhere in it.
    pub(super) has_units: bool,
    /// Which of a function's data is the tree of inlined calls.
    pub(super) tree: u32,
    pub(super) has_start_line: bool,
    pub(super) call_bytes: usize,
    pub(super) call_name: usize,
    pub(super) call_parent: usize,
}

const SINCE_1_2: Layout = Layout {
    has_addresses: true,
    has_units: false,
    // Since 1.13; what is there before is no tree.
    tree: 4,
    ..SINCE_1_16
};

const SINCE_1_16: Layout = Layout {
    has_addresses: true,
    ..SINCE_1_18
};

const SINCE_1_18: Layout = Layout {
    has_addresses: false,
    has_units: true,
    tree: 3,
    has_start_line: false,
    call_bytes: 20,
    call_name: 12,
    call_parent: 16,
};

const SINCE_1_20: Layout = Layout {
    has_start_line: true,
    call_bytes: 16,
    call_name: 4,
    call_parent: 8,
    ..SINCE_1_18
};

impl Layout {
    /// By the first word of the table.
    pub(super) fn of(mark: u32) -> Option<Self> {
        match mark {
            0xffff_fffb => Some(SINCE_1_2),
            0xffff_fffa => Some(SINCE_1_16),
            0xffff_fff0 => Some(SINCE_1_18),
            0xffff_fff1 => Some(SINCE_1_20),
            _ => None,
        }
    }
}

/// Where in the table its parts begin.
pub(super) struct Places {
    /// Of functions.
    pub(super) count: usize,
    pub(super) names: usize,
    /// Which file each number means, of one unit after the other.
    pub(super) units: usize,
    pub(super) files: usize,
    pub(super) values: usize,
    pub(super) functions: usize,
    pub(super) table: usize,
}

impl Places {
    pub(super) fn read(layout: &Layout, module: &Module, bytes: &[u8]) -> Option<Self> {
        let pointer = module.pointer_bytes;
        let field = |n: usize| usize::try_from(module.long(bytes, 8 + n * pointer)?).ok();
        let place = |n: usize| field(n).filter(|&place| place <= bytes.len());
        let count = field(0)?.min(FUNCTIONS_MAX);
        if !layout.has_units {
            // Behind the functions stands where they end, and then where the list of files is.
            let table = 8 + pointer;
            let behind = table + (2 * count + 1) * pointer;
            return Some(Self {
                count,
                names: 0,
                units: module.word(bytes, behind)? as usize,
                files: 0,
                values: 0,
                functions: 0,
                table,
            });
        }
        // Since functions have offsets, one more field says from where.
        let first = if layout.has_addresses { 2 } else { 3 };
        Some(Self {
            count,
            names: place(first)?,
            units: place(first + 1)?,
            files: place(first + 2)?,
            values: place(first + 3)?,
            functions: place(first + 4)?,
            table: place(first + 4)?,
        })
    }
}
