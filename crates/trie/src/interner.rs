//! Gives equal content one position: strings, functions, mappings, locations.

use cairn_model::{Function, Line, Location, Mapping, NONE, Profile, StrId};
use hashbrown::HashTable;

use crate::symbols::{Symbols, hash_str, mix};

/// Tables under construction.
#[derive(Clone, Debug)]
pub struct Interner {
    symbols: Symbols,
    strings: HashTable<StrId>,
    functions: HashTable<u32>,
    mappings: HashTable<u32>,
    locations: HashTable<u32>,
    bytes: usize,
}

impl Default for Interner {
    fn default() -> Self {
        let mut strings = HashTable::new();
        strings.insert_unique(hash_str(""), 0, |_| hash_str(""));
        Self {
            symbols: Symbols::default(),
            strings,
            functions: HashTable::new(),
            mappings: HashTable::new(),
            locations: HashTable::new(),
            bytes: 0,
        }
    }
}

impl Interner {
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    pub fn into_symbols(self) -> Symbols {
        self.symbols
    }

    /// About how much memory the tables take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn str(&mut self, text: &str) -> StrId {
        let hash = hash_str(text);
        let symbols = &self.symbols;
        if let Some(id) = self.strings.find(hash, |id| symbols.str(*id) == text) {
            return *id;
        }
        let id = self.symbols.strings.push(text);
        let symbols = &self.symbols;
        self.strings
            .insert_unique(hash, id, |id| hash_str(symbols.str(*id)));
        self.bytes += text.len() + 16;
        id
    }

    /// String ids must be of this interner.
    pub fn function(&mut self, function: Function) -> u32 {
        let hash = |f: &Function| {
            mix(
                mix(u64::from(f.name), u64::from(f.system_name)),
                mix(u64::from(f.file), f.start_line as u64),
            )
        };
        let table = &mut self.symbols.functions;
        if let Some(id) = self
            .functions
            .find(hash(&function), |id| table[*id as usize] == function)
        {
            return *id;
        }
        let id = table.len() as u32;
        table.push(function);
        self.functions
            .insert_unique(hash(&function), id, |id| hash(&table[*id as usize]));
        self.bytes += size_of::<Function>() + 8;
        id
    }

    /// String ids must be of this interner.
    pub fn mapping(&mut self, mapping: Mapping) -> u32 {
        let hash = |m: &Mapping| {
            mix(
                mix(u64::from(m.file), u64::from(m.build_id)),
                m.addressing as u64,
            )
        };
        let table = &mut self.symbols.mappings;
        if let Some(id) = self
            .mappings
            .find(hash(&mapping), |id| table[*id as usize] == mapping)
        {
            return *id;
        }
        let id = table.len() as u32;
        table.push(mapping);
        self.mappings
            .insert_unique(hash(&mapping), id, |id| hash(&table[*id as usize]));
        self.bytes += size_of::<Mapping>() + 8;
        id
    }

    /// Mapping and function positions must be of this interner.
    pub fn location(&mut self, mapping: u32, address: u64, lines: &[Line]) -> u32 {
        let hash = hash_location(mapping, address, lines);
        let symbols = &self.symbols;
        let equal = |id: &u32| {
            let found = &symbols.locations[*id as usize];
            found.mapping == mapping && found.address == address && symbols.lines(*id) == lines
        };
        if let Some(id) = self.locations.find(hash, equal) {
            return *id;
        }
        let start = self.symbols.lines.len() as u32;
        self.symbols.lines.extend_from_slice(lines);
        let id = self.symbols.locations.len() as u32;
        let lines = (start, self.symbols.lines.len() as u32);
        self.symbols.locations.push(Location {
            mapping,
            address,
            lines,
        });
        let symbols = &self.symbols;
        self.locations.insert_unique(hash, id, |id| {
            let location = &symbols.locations[*id as usize];
            hash_location(location.mapping, location.address, symbols.lines(*id))
        });
        self.bytes += size_of::<Location>() + 8 + (lines.1 - lines.0) as usize * size_of::<Line>();
        id
    }

    /// Interns every location of a profile: position there -> position here.
    pub fn profile_locations(&mut self, profile: &Profile) -> Vec<u32> {
        let tables = Tables {
            strings: &profile.strings,
            functions: &profile.functions,
            mappings: &profile.mappings,
            locations: &profile.locations,
            lines: &profile.lines,
        };
        let mut map = LocationMap::default();
        (0..profile.locations.len() as u32)
            .map(|id| map.map(self, &tables, id))
            .collect()
    }
}

fn hash_location(mapping: u32, address: u64, lines: &[Line]) -> u64 {
    let mut hash = mix(u64::from(mapping), address);
    for Line {
        function,
        line,
        column,
    } in lines
    {
        hash = mix(
            hash,
            u64::from(*function)
                ^ (*line as u64).rotate_left(32)
                ^ (*column as u64).rotate_left(48),
        );
    }
    hash
}

/// Borrowed tables that locations are taken from.
#[derive(Clone, Copy, Debug)]
struct Tables<'a> {
    strings: &'a cairn_model::Strings,
    functions: &'a [Function],
    mappings: &'a [Mapping],
    locations: &'a [Location],
    lines: &'a [Line],
}

impl<'a> Tables<'a> {
    fn of(symbols: &'a Symbols) -> Self {
        let Symbols {
            strings,
            functions,
            mappings,
            locations,
            lines,
        } = symbols;
        Self {
            strings,
            functions,
            mappings,
            locations,
            lines,
        }
    }
}

/// Carries locations of one set of tables into an interner, each part once.
#[derive(Clone, Debug, Default)]
pub struct LocationMap {
    strings: Vec<u32>,
    functions: Vec<u32>,
    mappings: Vec<u32>,
    locations: Vec<u32>,
    scratch: Vec<Line>,
}

impl LocationMap {
    /// The position in `into` of location `id` of `from`. One map serves one `from` only.
    pub fn location(&mut self, into: &mut Interner, from: &Symbols, id: u32) -> u32 {
        self.map(into, &Tables::of(from), id)
    }

    /// Like [`LocationMap::location`], of a function alone.
    pub fn function_of(&mut self, into: &mut Interner, from: &Symbols, id: u32) -> u32 {
        self.function(into, &Tables::of(from), id)
    }

    /// Like [`LocationMap::location`], of a mapping alone.
    pub fn mapping_of(&mut self, into: &mut Interner, from: &Symbols, id: u32) -> u32 {
        self.mapping(into, &Tables::of(from), id)
    }

    fn map(&mut self, into: &mut Interner, from: &Tables<'_>, id: u32) -> u32 {
        let known = slot(&mut self.locations, id, from.locations.len());
        if *known != NONE {
            return *known;
        }
        let Location {
            mapping,
            address,
            lines,
        } = from.locations[id as usize];
        let mapping = if mapping == NONE {
            NONE
        } else {
            self.mapping(into, from, mapping)
        };
        let mut mapped = std::mem::take(&mut self.scratch);
        mapped.clear();
        for line in &from.lines[lines.0 as usize..lines.1 as usize] {
            mapped.push(Line {
                function: self.function(into, from, line.function),
                ..*line
            });
        }
        let new = into.location(mapping, address, &mapped);
        self.scratch = mapped;
        self.locations[id as usize] = new;
        new
    }

    fn str(&mut self, into: &mut Interner, from: &Tables<'_>, id: StrId) -> StrId {
        let known = slot(&mut self.strings, id, from.strings.len());
        if *known == NONE {
            *known = into.str(from.strings.get(id));
        }
        *known
    }

    fn function(&mut self, into: &mut Interner, from: &Tables<'_>, id: u32) -> u32 {
        if *slot(&mut self.functions, id, from.functions.len()) == NONE {
            let Function {
                name,
                system_name,
                file,
                start_line,
            } = from.functions[id as usize];
            let name = self.str(into, from, name);
            let system_name = self.str(into, from, system_name);
            let file = self.str(into, from, file);
            self.functions[id as usize] = into.function(Function {
                name,
                system_name,
                file,
                start_line,
            });
        }
        self.functions[id as usize]
    }

    fn mapping(&mut self, into: &mut Interner, from: &Tables<'_>, id: u32) -> u32 {
        if *slot(&mut self.mappings, id, from.mappings.len()) == NONE {
            let Mapping {
                file,
                build_id,
                addressing,
            } = from.mappings[id as usize];
            let file = self.str(into, from, file);
            let build_id = self.str(into, from, build_id);
            self.mappings[id as usize] = into.mapping(Mapping {
                file,
                build_id,
                addressing,
            });
        }
        self.mappings[id as usize]
    }
}

fn slot(table: &mut Vec<u32>, id: u32, len: usize) -> &mut u32 {
    if table.len() < len {
        table.resize(len, NONE);
    }
    &mut table[id as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_content_gets_one_position_and_one_hash() {
        let mut a = Interner::default();
        let mut b = Interner::default();
        b.str("shifts every id");
        let build = |interner: &mut Interner| {
            let name = interner.str("main");
            let file = interner.str("main.c");
            let function = interner.function(Function {
                name,
                system_name: name,
                file,
                start_line: 3,
            });
            let mapping = interner.mapping(Mapping {
                file,
                build_id: 0,
                addressing: Default::default(),
            });
            interner.location(
                mapping,
                0x40,
                &[Line {
                    function,
                    line: 7,
                    column: 0,
                }],
            )
        };
        assert_eq!(build(&mut a), build(&mut a));
        assert_eq!(a.symbols().locations.len(), 1);
        build(&mut b);
        assert_eq!(a.symbols().location_hashes(), b.symbols().location_hashes());

        let mut c = Interner::default();
        c.str("other");
        let mut map = LocationMap::default();
        let moved = map.location(&mut c, a.symbols(), 0);
        assert_eq!(
            c.symbols().location_hashes()[moved as usize],
            a.symbols().location_hashes()[0]
        );
    }
}
