//! Strings, functions, mappings, locations and stacks, equal ones once. Owns how they are compared;
//! does not know what refers to them.

use std::hash::{BuildHasher, Hasher};

use cairn_model::{Addressing, Function, Line, Location, Mapping, NONE, StackIndex, StrId, Tables};
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};

/// What an array takes per byte of its items, at most: arrays double.
pub(crate) const GROWTH: usize = 2;

/// What a hash table takes per number, at most: tables double once seven of eight places are taken.
pub(crate) const HASHED: usize = 12;

/// The same with the key of a mapping.
pub(crate) const MAPPING_HASHED: usize = 40;

/// Parts of profiles, by number.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    tables: Tables,
    strings: HashTable<StrId>,
    functions: HashTable<u32>,
    /// They are few and looked for most often: faster with the whole key.
    mappings: HashMap<(StrId, StrId, Addressing), u32, RandomState>,
    locations: HashTable<u32>,
    stacks: StackIndex,
    hasher: RandomState,
}

impl Parts {
    pub(crate) fn str(&mut self, text: &str) -> StrId {
        if text.is_empty() {
            return 0;
        }
        let (strings, hasher) = (&mut self.tables.strings, &self.hasher);
        let hash = hasher.hash_one(text);
        // Most are known, and to look only is faster than to look for a place too.
        if let Some(id) = self.strings.find(hash, |id| strings.get(*id) == text) {
            return *id;
        }
        let id = strings.push(text);
        self.strings
            .insert_unique(hash, id, |id| hasher.hash_one(strings.get(*id)));
        id
    }

    pub(crate) fn function(&mut self, function: Function) -> u32 {
        let hasher = &self.hasher;
        let hash =
            |of: &Function| hasher.hash_one((of.name, of.system_name, of.file, of.start_line));
        intern(
            &mut self.functions,
            &mut self.tables.functions,
            function,
            hash,
        )
    }

    pub(crate) fn mapping(&mut self, mapping: Mapping) -> u32 {
        let key = (mapping.file, mapping.build_id, mapping.addressing);
        let mappings = &mut self.tables.mappings;
        *self.mappings.entry(key).or_insert_with(|| {
            mappings.push(mapping);
            mappings.len() as u32 - 1
        })
    }

    /// `mapping` is a position or [`NONE`]; `lines` are innermost first.
    pub(crate) fn location(&mut self, mapping: u32, address: u64, lines: &[Line]) -> u32 {
        let Tables {
            locations,
            lines: all,
            ..
        } = &mut self.tables;
        let hash = |mapping: u32, address: u64, lines: &[Line]| {
            let mut hasher = self.hasher.build_hasher();
            hasher.write_u32(mapping);
            hasher.write_u64(address);
            for line in lines {
                hasher.write_u32(line.function);
                hasher.write_i64(line.line);
                hasher.write_i64(line.column);
            }
            hasher.finish()
        };
        let lines_of = |of: &Location| &all[of.lines.0 as usize..of.lines.1 as usize];
        let is_same = |id: &u32| {
            let of = &locations[*id as usize];
            of.address == address && of.mapping == mapping && lines_of(of) == lines
        };
        let hash_of = |id: &u32| {
            let of = &locations[*id as usize];
            hash(of.mapping, of.address, lines_of(of))
        };
        let this = hash(mapping, address, lines);
        if let Some(id) = self.locations.find(this, is_same) {
            return *id;
        }
        let id = locations.len() as u32;
        self.locations.insert_unique(this, id, hash_of);
        let start = all.len() as u32;
        all.extend_from_slice(lines);
        locations.push(Location {
            mapping,
            address,
            lines: (start, all.len() as u32),
        });
        id
    }

    /// The location of a frame of which only the name is known.
    pub(crate) fn frame(&mut self, name: &str) -> u32 {
        let name = self.str(name);
        let function = self.function(Function {
            name,
            ..Function::default()
        });
        let line = Line {
            function,
            ..Line::default()
        };
        self.location(NONE, 0, &[line])
    }

    /// Locations, leaf first, as a stack.
    pub(crate) fn stack(&mut self, locations: &[u32]) -> u32 {
        self.stacks.intern(&mut self.tables.stacks, locations)
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    pub(crate) fn finish(self) -> Tables {
        self.tables
    }

    /// How much memory they take, at most.
    pub(crate) fn bytes(&self) -> usize {
        let Tables {
            strings,
            functions,
            mappings,
            locations,
            lines,
            stacks,
            links: _,
        } = &self.tables;
        let hashed = strings.len() + functions.len() + locations.len() + stacks.len();
        let hashed = HASHED * hashed;
        let arrays = strings.text_bytes()
            + strings.len() * size_of::<u32>()
            + size_of_val(&functions[..])
            + size_of_val(&mappings[..])
            + size_of_val(&locations[..])
            + size_of_val(&lines[..])
            + size_of_val(&stacks.ends[..])
            + size_of_val(&stacks.locations[..]);
        GROWTH * arrays + hashed + MAPPING_HASHED * mappings.len()
    }
}

/// The number of an item, which is appended if there is no equal one.
fn intern<T: PartialEq>(
    known: &mut HashTable<u32>,
    items: &mut Vec<T>,
    item: T,
    hash: impl Fn(&T) -> u64,
) -> u32 {
    let this = hash(&item);
    if let Some(id) = known.find(this, |id| items[*id as usize] == item) {
        return *id;
    }
    let id = items.len() as u32;
    known.insert_unique(this, id, |id| hash(&items[*id as usize]));
    items.push(item);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the arrays and tables hold in truth.
    fn held(parts: &Parts) -> usize {
        let tables = &parts.tables;
        tables.strings.bytes()
            + tables.functions.capacity() * size_of::<Function>()
            + tables.mappings.capacity() * size_of::<Mapping>()
            + tables.locations.capacity() * size_of::<Location>()
            + tables.lines.capacity() * size_of::<Line>()
            + tables.stacks.ends.capacity() * size_of::<u32>()
            + tables.stacks.locations.capacity() * size_of::<u32>()
            + parts.strings.allocation_size()
            + parts.functions.allocation_size()
            + parts.mappings.allocation_size()
            + parts.locations.allocation_size()
            + parts.stacks.bytes()
    }

    #[test]
    fn they_take_no_more_than_they_say() {
        let mut parts = Parts::default();
        for at in 0..3_000 {
            let name = parts.str(&format!("name {at}"));
            let function = parts.function(Function {
                name,
                ..Function::default()
            });
            let mapping = parts.mapping(Mapping {
                file: name,
                ..Mapping::default()
            });
            let line = Line {
                function,
                ..Line::default()
            };
            let location = parts.location(mapping, at, &vec![line; at as usize % 3]);
            parts.stack(&vec![location; at as usize % 5]);
            let (held, said) = (held(&parts), parts.bytes() + 512);
            assert!(held <= said, "{held} of {said} after {at}");
        }
    }

    #[test]
    fn equal_parts_are_one() {
        let mut parts = Parts::default();
        let (main, work) = (parts.frame("main"), parts.frame("work"));
        assert_eq!(parts.frame("main"), main);
        let lines = [main, work].map(|at| parts.tables.lines(at)[0]);
        let both = parts.location(NONE, 0, &lines);
        let others = [
            parts.location(NONE, 1, &lines),
            parts.location(0, 0, &lines),
            parts.location(NONE, 0, &[lines[1], lines[0]]),
            parts.location(NONE, 0, &[]),
        ];
        assert_eq!(others, [both + 1, both + 2, both + 3, both + 4]);
        assert_eq!(parts.location(NONE, 0, &lines), both);
        assert_eq!(parts.str(""), 0);
    }
}
