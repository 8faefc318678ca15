//! Which addresses of a partial lack a name, and giving them one.
//!
//! Pure: asking the symbolizer is the querier's business.

use std::borrow::Cow;
use std::collections::BTreeMap;

use cairn_model::{Addressing, BuildId, Function, Line, Location, NONE};
use cairn_trie::{Interner, LocationMap, Partial, Symbols};
use hashbrown::HashMap;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Addresses of one binary that have no name yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub build_id: BuildId,
    pub addressing: Addressing,
    /// Ascending, each once.
    pub addresses: Vec<u64>,
}

/// One call at an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame<'a> {
    pub name: &'a str,
    pub system_name: &'a str,
    pub file: &'a str,
    pub start_line: i64,
    pub line: i64,
    pub column: i64,
}

/// Names of addresses.
#[derive(Debug, Default)]
pub struct Names {
    interner: Interner,
    lines: Vec<Line>,
    binaries: Map<(BuildId, Addressing), Map<u64, (u32, u32)>>,
}

impl Names {
    /// `frames` innermost first, as inlined calls of one location; none leaves the address unnamed.
    pub fn insert(
        &mut self,
        (build_id, addressing): (&BuildId, Addressing),
        address: u64,
        frames: &[Frame<'_>],
    ) {
        if frames.is_empty() {
            return;
        }
        let start = self.lines.len() as u32;
        for frame in frames {
            let function = Function {
                name: self.interner.str(frame.name),
                system_name: self.interner.str(frame.system_name),
                file: self.interner.str(frame.file),
                start_line: frame.start_line,
            };
            self.lines.push(Line {
                function: self.interner.function(function),
                line: frame.line,
                column: frame.column,
            });
        }
        let lines = (start, self.lines.len() as u32);
        let key = (build_id.clone(), addressing);
        self.binaries.entry(key).or_default().insert(address, lines);
    }

    pub fn is_empty(&self) -> bool {
        self.binaries.is_empty()
    }
}

/// What must be asked to name every frame, by build id. Frames without a valid build id can't be.
pub fn unnamed(partial: &Partial) -> Vec<Wanted> {
    let Symbols {
        mappings,
        locations,
        ..
    } = &partial.symbols;
    let keys: Vec<Option<(BuildId, Addressing)>> = mappings
        .iter()
        .map(|mapping| key(&partial.symbols, mapping))
        .collect();
    let mut used = vec![false; locations.len()];
    for frame in &partial.trie.frames()[1..] {
        used[*frame as usize] = true;
    }
    let mut wanted: BTreeMap<&(BuildId, Addressing), Vec<u64>> = BTreeMap::new();
    for (location, _) in locations.iter().zip(used).filter(|(_, used)| *used) {
        let named = location.lines.0 != location.lines.1;
        if named || location.mapping == NONE {
            continue;
        }
        if let Some(key) = &keys[location.mapping as usize] {
            wanted.entry(key).or_default().push(location.address);
        }
    }
    let wanted = wanted.into_iter();
    wanted
        .map(|((build_id, addressing), mut addresses)| {
            addresses.sort_unstable();
            addresses.dedup();
            Wanted {
                build_id: build_id.clone(),
                addressing: *addressing,
                addresses,
            }
        })
        .collect()
}

/// The same stacks and values with every known name filled in. What has none keeps its binary and address.
pub fn name(partial: Partial, names: &Names) -> Partial {
    if names.is_empty() {
        return partial;
    }
    let Partial {
        mut symbols,
        trie,
        groups,
        values,
    } = partial;
    let binaries: Vec<Option<&Map<u64, (u32, u32)>>> = symbols
        .mappings
        .iter()
        .map(|mapping| names.binaries.get(&key(&symbols, mapping)?))
        .collect();
    let mut found = Vec::with_capacity(symbols.locations.len());
    for location in &symbols.locations {
        let unnamed = location.lines.0 == location.lines.1 && location.mapping != NONE;
        let binary = unnamed
            .then(|| binaries[location.mapping as usize])
            .flatten();
        found.push(binary.and_then(|addresses| addresses.get(&location.address).copied()));
    }
    if found.iter().any(Option::is_some) {
        symbols = with_names(&symbols, names, &found);
    }
    Partial {
        symbols,
        trie,
        groups,
        values,
    }
}

fn key(symbols: &Symbols, mapping: &cairn_model::Mapping) -> Option<(BuildId, Addressing)> {
    let build_id = BuildId::parse(symbols.str(mapping.build_id)).ok()?;
    Some((build_id, mapping.addressing))
}

/// The same stacks and values with functions named by what `name` makes of their names for the
/// linker, or of the only name that they have.
pub fn rename(partial: Partial, name: impl Fn(&str) -> Cow<'_, str>) -> Partial {
    let symbols = &partial.symbols;
    let mut into = Interner::default();
    let mut renamed = Vec::with_capacity(symbols.functions.len());
    for function in &symbols.functions {
        let system_name = symbols.str(function.system_name);
        let shown = name(match system_name {
            "" => symbols.str(function.name),
            _ => system_name,
        });
        let function = Function {
            name: into.str(&shown),
            system_name: into.str(system_name),
            file: into.str(symbols.str(function.file)),
            start_line: function.start_line,
        };
        renamed.push(into.function(function));
    }
    let lines = |into: Interner| {
        with_lines(symbols, into, |_, id, lines| {
            let known = symbols.lines(id).iter();
            lines.extend(known.map(|line| Line {
                function: renamed[line.function as usize],
                ..*line
            }));
        })
    };
    Partial {
        symbols: lines(into),
        ..partial
    }
}

fn with_names(symbols: &Symbols, names: &Names, found: &[Option<(u32, u32)>]) -> Symbols {
    let (mut here, mut there) = (LocationMap::default(), LocationMap::default());
    with_lines(symbols, Interner::default(), |into, id, lines| {
        let found = found[id as usize];
        let known = match found {
            Some((start, end)) => &names.lines[start as usize..end as usize],
            None => symbols.lines(id),
        };
        for line in known {
            let function = match found {
                Some(_) => there.function_of(into, names.interner.symbols(), line.function),
                None => here.function_of(into, symbols, line.function),
            };
            lines.push(Line { function, ..*line });
        }
    })
}

/// Tables with as many locations, in the same order, so that no frame of the trie changes. `push`
/// says which lines each has.
fn with_lines(
    symbols: &Symbols,
    mut into: Interner,
    mut push: impl FnMut(&mut Interner, u32, &mut Vec<Line>),
) -> Symbols {
    let mut here = LocationMap::default();
    let mut locations = Vec::with_capacity(symbols.locations.len());
    let mut lines = Vec::new();
    for (id, location) in symbols.locations.iter().enumerate() {
        let start = lines.len() as u32;
        push(&mut into, id as u32, &mut lines);
        let mapping = match location.mapping {
            NONE => NONE,
            mapping => here.mapping_of(&mut into, symbols, mapping),
        };
        locations.push(Location {
            mapping,
            address: location.address,
            lines: (start, lines.len() as u32),
        });
    }
    Symbols {
        locations,
        lines,
        ..into.into_symbols()
    }
}
