//! What a symbol file is made of, each thing once: strings, functions, calls.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};

use crate::convert::Limits;
use crate::error::Error;
use crate::format::{DEPTH_MAX, Function, Location, NONE};
use crate::names;

pub(crate) struct Tables {
    limits: Limits,
    /// Names of Go have no suffixes of compilers, but dots.
    keep_suffixes: bool,
    pub(crate) strings: Strings,
    pub(crate) functions: Vec<Function>,
    pub(crate) locations: Vec<Location>,
    hasher: FixedState,
    function_ids: HashTable<u32>,
    location_ids: HashTable<u32>,
    /// The name that people read, by system name.
    readable: HashMap<u32, u32, FixedState>,
}

impl Tables {
    pub(crate) fn new(limits: &Limits, keep_suffixes: bool) -> Self {
        Self {
            limits: *limits,
            keep_suffixes,
            strings: Strings::default(),
            functions: Vec::new(),
            locations: Vec::new(),
            hasher: FixedState::default(),
            function_ids: HashTable::new(),
            location_ids: HashTable::new(),
            readable: HashMap::default(),
        }
    }

    pub(crate) fn string(&mut self, text: &str) -> Result<u32, Error> {
        self.strings
            .intern(text, &self.hasher, self.limits.string_bytes_max)
    }

    /// The function of this linkage name.
    pub(crate) fn function(&mut self, raw_name: &str, start_line: u32) -> Result<u32, Error> {
        let bare = match self.keep_suffixes {
            true => names::bare_go(raw_name),
            false => names::bare(raw_name),
        };
        let bare = names::cut(bare);
        let system_name = self.string(bare)?;
        let name = match self.readable.get(&system_name) {
            Some(&name) => name,
            None => {
                let name = self.string(&names::readable(bare))?;
                self.readable.insert(system_name, name);
                name
            }
        };
        self.function_of(Function {
            name,
            system_name,
            start_line,
        })
    }

    /// The stub through which others are called, whose name is no linker's.
    pub(crate) fn plt_function(&mut self, name: &str) -> Result<u32, Error> {
        let called = name.strip_suffix("@plt").unwrap_or(name);
        let readable = format!("{}@plt", names::readable(names::bare(called)));
        let function = Function {
            name: self.string(names::cut(&readable))?,
            system_name: self.string(names::cut(name))?,
            start_line: 0,
        };
        self.function_of(function)
    }

    pub(crate) fn function_of(&mut self, function: Function) -> Result<u32, Error> {
        let (list, hasher) = (&mut self.functions, &self.hasher);
        let hash = hasher.hash_one(function);
        if let Some(&id) = self
            .function_ids
            .find(hash, |&id| list[id as usize] == function)
        {
            return Ok(id);
        }
        let id = list.len() as u32;
        list.push(function);
        let again = |&id: &u32| hasher.hash_one(list[id as usize]);
        self.function_ids.insert_unique(hash, id, again);
        Ok(id)
    }

    /// The call; `None` if more calls than are kept lead to it.
    pub(crate) fn location(&mut self, mut location: Location) -> Result<Option<u32>, Error> {
        location.depth = match location.parent {
            NONE => 0,
            parent => self.locations[parent as usize].depth + 1,
        };
        if u32::from(location.depth) > DEPTH_MAX {
            return Ok(None);
        }
        let (list, hasher) = (&mut self.locations, &self.hasher);
        let hash = hasher.hash_one(location);
        if let Some(&id) = self
            .location_ids
            .find(hash, |&id| list[id as usize] == location)
        {
            return Ok(Some(id));
        }
        if list.len() >= self.limits.locations_max {
            return Err(Error::TooMany {
                what: "locations",
                max: self.limits.locations_max as u64,
            });
        }
        let id = list.len() as u32;
        list.push(location);
        let again = |&id: &u32| hasher.hash_one(list[id as usize]);
        self.location_ids.insert_unique(hash, id, again);
        Ok(Some(id))
    }

    /// A function of which nothing but the name is known.
    pub(crate) fn bare_location(&mut self, function: u32) -> Result<u32, Error> {
        let location = self.location(Location {
            function,
            ..Location::UNKNOWN
        })?;
        Ok(location.expect("no call leads to it"))
    }
}

/// Texts, each once.
#[derive(Default)]
pub(crate) struct Strings {
    bytes: String,
    ends: Vec<u32>,
    ids: HashTable<u32>,
}

impl Strings {
    pub(crate) fn get(&self, id: u32) -> &str {
        let id = id as usize;
        let start = match id {
            0 => 0,
            id => self.ends[id - 1] as usize,
        };
        &self.bytes[start..self.ends[id] as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    fn intern(&mut self, text: &str, hasher: &FixedState, bytes_max: usize) -> Result<u32, Error> {
        let hash = hasher.hash_one(text);
        if let Some(&id) = self.ids.find(hash, |&id| self.get(id) == text) {
            return Ok(id);
        }
        let bytes_max = bytes_max.min(u32::MAX as usize);
        if self.bytes.len() + text.len() > bytes_max {
            return Err(Error::TooMany {
                what: "bytes of names",
                max: bytes_max as u64,
            });
        }
        self.bytes.push_str(text);
        let id = self.ends.len() as u32;
        self.ends.push(self.bytes.len() as u32);
        let mut ids = std::mem::take(&mut self.ids);
        ids.insert_unique(hash, id, |&id| hasher.hash_one(self.get(id)));
        self.ids = ids;
        Ok(id)
    }
}
