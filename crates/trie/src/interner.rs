//! Gives equal content one position: strings, functions, mappings, locations.

use cairn_model::{Function, Line, Location, Mapping, NONE, StrId, Tables};
use hashbrown::HashTable;

use crate::symbols::{Symbols, hash_str, mix, spread, tag_of};

/// Tables under construction.
///
/// Sources list what they share in much the same order, so what follows the last find is tried
/// before any table.
#[derive(Clone, Debug, Default)]
pub struct Interner {
    symbols: Symbols,
    strings: Index,
    functions: Index,
    mappings: Index,
    locations: Index,
}

impl Interner {
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    pub fn into_symbols(self) -> Symbols {
        self.symbols
    }

    /// How much memory the tables take.
    pub fn bytes(&self) -> usize {
        self.symbols.bytes()
            + [
                &self.strings,
                &self.functions,
                &self.mappings,
                &self.locations,
            ]
            .map(|index| index.table.allocation_size())
            .iter()
            .sum::<usize>()
    }

    pub fn str(&mut self, text: &str) -> StrId {
        if text.is_empty() {
            return 0;
        }
        let strings = &mut self.symbols.strings;
        let equal = |id| strings.get(id) == text;
        self.strings
            .find(strings.len(), || hash_str(text), equal)
            .unwrap_or_else(|vacant| self.strings.insert(vacant, strings.push(text)))
    }

    /// String ids must be of this interner.
    pub fn function(&mut self, function: Function) -> u32 {
        let hash = || {
            let Function {
                name,
                system_name,
                file,
                start_line,
            } = function;
            let names = mix(u64::from(name), u64::from(system_name));
            mix(names, mix(u64::from(file), start_line as u64))
        };
        let table = &mut self.symbols.functions;
        let equal = |id| table[id as usize] == function;
        self.functions
            .find(table.len(), hash, equal)
            .unwrap_or_else(|vacant| {
                table.push(function);
                self.functions.insert(vacant, table.len() as u32 - 1)
            })
    }

    /// String ids must be of this interner.
    pub fn mapping(&mut self, mapping: Mapping) -> u32 {
        let hash = || {
            let names = mix(u64::from(mapping.file), u64::from(mapping.build_id));
            mix(names, mapping.addressing as u64)
        };
        let table = &mut self.symbols.mappings;
        let equal = |id| table[id as usize] == mapping;
        self.mappings
            .find(table.len(), hash, equal)
            .unwrap_or_else(|vacant| {
                table.push(mapping);
                self.mappings.insert(vacant, table.len() as u32 - 1)
            })
    }

    /// Mapping and function positions must be of this interner.
    pub fn location(&mut self, mapping: u32, address: u64, lines: &[Line]) -> u32 {
        let symbols = &mut self.symbols;
        let equal = |id: u32| {
            let found = &symbols.locations[id as usize];
            found.mapping == mapping && found.address == address && symbols.lines(id) == lines
        };
        let hash = || hash_location(mapping, address, lines);
        self.locations
            .find(symbols.locations.len(), hash, equal)
            .unwrap_or_else(|vacant| {
                let id = symbols.push_location(mapping, address, lines.iter().copied());
                self.locations.insert(vacant, id)
            })
    }
}

/// Finds the position of a content whose hash is known.
#[derive(Clone, Debug, Default)]
struct Index {
    /// Positions, each with the hash of what is there.
    table: HashTable<(u32, u32)>,
    /// The position after the one found last, and the one after the last before a leap.
    next: [u32; 2],
}

/// The hash of something that is not there.
struct Vacant(u32);

impl Index {
    /// The position below `len` of which `equal` is true.
    #[inline]
    fn find(
        &mut self,
        len: usize,
        hash: impl FnOnce() -> u64,
        equal: impl Fn(u32) -> bool,
    ) -> Result<u32, Vacant> {
        let [next, before] = self.next;
        for id in [next, before, next + 1, before + 1] {
            if (id as usize) < len && equal(id) {
                self.follow(id);
                return Ok(id);
            }
        }
        let hash = hash();
        let hash = tag_of(hash);
        match self
            .table
            .find(spread(hash), |(known, id)| *known == hash && equal(*id))
        {
            Some((_, id)) => {
                let id = *id;
                self.follow(id);
                Ok(id)
            }
            None => Err(Vacant(hash)),
        }
    }

    fn insert(&mut self, Vacant(hash): Vacant, id: u32) -> u32 {
        self.table
            .insert_unique(spread(hash), (hash, id), |(hash, _)| spread(*hash));
        self.follow(id);
        id
    }

    fn follow(&mut self, id: u32) {
        let [next, before] = self.next;
        let leaps = id != next && id != next + 1;
        self.next = [id + 1, if leaps { next } else { before }];
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
struct Source<'a> {
    strings: &'a cairn_model::Strings,
    functions: &'a [Function],
    mappings: &'a [Mapping],
    locations: &'a [Location],
    lines: &'a [Line],
}

impl<'a> Source<'a> {
    fn of_profiles(tables: &'a Tables) -> Self {
        Self {
            strings: &tables.strings,
            functions: &tables.functions,
            mappings: &tables.mappings,
            locations: &tables.locations,
            lines: &tables.lines,
        }
    }

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
        self.map(into, &Source::of(from), id)
    }

    /// Like [`LocationMap::location`], of the tables of profiles.
    pub fn location_of(&mut self, into: &mut Interner, from: &Tables, id: u32) -> u32 {
        self.map(into, &Source::of_profiles(from), id)
    }

    /// Like [`LocationMap::location`], of a function alone.
    pub fn function_of(&mut self, into: &mut Interner, from: &Symbols, id: u32) -> u32 {
        self.function(into, &Source::of(from), id)
    }

    /// Like [`LocationMap::location`], of a mapping alone.
    pub fn mapping_of(&mut self, into: &mut Interner, from: &Symbols, id: u32) -> u32 {
        self.mapping(into, &Source::of(from), id)
    }

    fn map(&mut self, into: &mut Interner, from: &Source<'_>, id: u32) -> u32 {
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

    fn str(&mut self, into: &mut Interner, from: &Source<'_>, id: StrId) -> StrId {
        let known = slot(&mut self.strings, id, from.strings.len());
        if *known == NONE {
            *known = into.str(from.strings.get(id));
        }
        *known
    }

    fn function(&mut self, into: &mut Interner, from: &Source<'_>, id: u32) -> u32 {
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

    fn mapping(&mut self, into: &mut Interner, from: &Source<'_>, id: u32) -> u32 {
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
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn equal_content_gets_one_position() {
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

        let mut c = Interner::default();
        let places =
            [a, b].map(|interner| LocationMap::default().location(&mut c, interner.symbols(), 0));
        assert_eq!(places, [0, 0]);
    }

    proptest! {
        #[test]
        fn a_text_has_one_position_in_whatever_order_texts_come(
            texts in prop::collection::vec("[ab]{0,3}", 0..200)
        ) {
            let mut interner = Interner::default();
            let mut model = BTreeMap::from([(String::new(), 0)]);
            for text in texts {
                let new = model.len() as u32;
                let expected = *model.entry(text.clone()).or_insert(new);
                prop_assert_eq!(interner.str(&text), expected);
                prop_assert_eq!(interner.symbols().str(expected), text);
            }
        }
    }
}
