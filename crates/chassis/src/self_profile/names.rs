//! Names of instruction addresses of this very process. Reads this binary's debug information,
//! which is slow, so the answers are kept.

use std::collections::HashMap;

/// Addresses whose names are kept; a busy process shows some ten thousand.
const NAMES_MAX: usize = 1 << 16;

/// One call; inlined calls share an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) system_name: String,
    pub(super) file: String,
    pub(super) line: u32,
}

/// Names of addresses, innermost call first.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<usize, Vec<Call>>);

impl Names {
    pub(super) fn learn(&mut self, addresses: impl Iterator<Item = usize>) {
        if self.0.len() > NAMES_MAX {
            self.0.clear();
        }
        let known = self.0.len();
        for address in addresses {
            self.0.entry(address).or_insert_with(|| calls(address));
        }
        if self.0.len() == known {
            // What was read takes more memory than all the rest of an idle process; reading it
            // again takes half a second, so a busy one keeps it.
            backtrace::clear_symbol_cache();
        }
    }

    /// Empty if nothing is known.
    pub(super) fn get(&self, address: usize) -> &[Call] {
        self.0.get(&address).map_or(&[], Vec::as_slice)
    }
}

fn calls(address: usize) -> Vec<Call> {
    let mut calls = Vec::new();
    backtrace::resolve(address as *mut std::ffi::c_void, |symbol| {
        let name = symbol.name();
        let file = symbol.filename();
        calls.push(Call {
            name: match &name {
                // Without the hash that makes a mangled name unique.
                Some(name) => format!("{name:#}"),
                None => "[unknown]".to_owned(),
            },
            system_name: name
                .map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned())
                .unwrap_or_default(),
            file: file
                .map(|file| file.to_string_lossy().into_owned())
                .unwrap_or_default(),
            line: symbol.lineno().unwrap_or_default(),
        });
    });
    calls
}
