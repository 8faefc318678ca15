//! Which addresses of a partial lack a name, and giving them one. Frames of generated JavaScript have a
//! name of V8 and a position, of which more may be known.
//!
//! Pure: asking the symbolizer is the querier's business.

use std::borrow::Cow;
use std::collections::BTreeMap;

use cairn_model::javascript::{self, Position};
use cairn_model::{Ask, BuildId, Function, Line, Location, Mapping, NONE};
use cairn_trie::{Interner, LocationMap, Partial, Symbols};
use hashbrown::HashMap;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Addresses of one binary that have no name yet, or positions of one script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub build_id: BuildId,
    pub ask: Ask,
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
    binaries: Map<(BuildId, Ask), Map<u64, (u32, u32)>>,
}

impl Names {
    /// `frames` innermost first, as inlined calls of one location; none leaves the address unnamed.
    pub fn insert(&mut self, (build_id, ask): (&BuildId, Ask), address: u64, frames: &[Frame<'_>]) {
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
        let key = (build_id.clone(), ask);
        self.binaries.entry(key).or_default().insert(address, lines);
    }

    pub fn is_empty(&self) -> bool {
        self.binaries.is_empty()
    }
}

/// What must be asked to name every frame, by build id. Frames without a valid build id can't be.
pub fn unnamed(partial: &Partial) -> Vec<Wanted> {
    let symbols = &partial.symbols;
    let keys = keys(symbols);
    let mut used = vec![false; symbols.locations.len()];
    for frame in &partial.trie.frames()[1..] {
        used[*frame as usize] = true;
    }
    let mut wanted: BTreeMap<&(BuildId, Ask), Vec<u64>> = BTreeMap::new();
    for (location, _) in symbols.locations.iter().zip(used).filter(|(_, used)| *used) {
        if let Some((key, address)) = asked(symbols, location, &keys) {
            wanted.entry(key).or_default().push(address);
        }
    }
    let wanted = wanted.into_iter();
    wanted
        .map(|((build_id, ask), mut addresses)| {
            addresses.sort_unstable();
            addresses.dedup();
            Wanted {
                build_id: build_id.clone(),
                ask: *ask,
                addresses,
            }
        })
        .collect()
}

/// Per mapping, of which build its locations are and what is asked of them.
fn keys(symbols: &Symbols) -> Vec<Option<(BuildId, Ask)>> {
    let key = |mapping: &Mapping| {
        let build_id = BuildId::parse(symbols.str(mapping.build_id)).ok()?;
        let ask = match symbols.str(mapping.file) {
            javascript::MAPPING_FILE => Ask::Positions,
            _ => Ask::Addresses(mapping.addressing),
        };
        Some((build_id, ask))
    };
    symbols.mappings.iter().map(key).collect()
}

/// What to ask to name a location, if it lacks a name.
fn asked<'k>(
    symbols: &Symbols,
    location: &Location,
    keys: &'k [Option<(BuildId, Ask)>],
) -> Option<(&'k (BuildId, Ask), u64)> {
    if location.mapping == NONE {
        return None;
    }
    let key = keys[location.mapping as usize].as_ref()?;
    let address = match key.1 {
        Ask::Addresses(_) => (location.lines.0 == location.lines.1).then_some(location.address),
        Ask::Positions => script(symbols, location).map(|(_, position)| position.address()),
    };
    Some((key, address?))
}

/// The name that V8 gives to a location's function, and where that begins.
fn script<'s>(symbols: &'s Symbols, location: &Location) -> Option<(&'s str, Position)> {
    let lines = &symbols.lines[location.lines.0 as usize..location.lines.1 as usize];
    let [line] = lines else { return None };
    Position::split(symbols.str(symbols.functions[line.function as usize].name))
}

/// The same stacks and values with every known name filled in. What has none keeps its binary and
/// address, or what V8 calls it, without its position.
pub fn name(partial: Partial, names: &Names) -> Partial {
    let symbols = &partial.symbols;
    let keys = keys(symbols);
    let found = |location: &Location| {
        let (key, address) = asked(symbols, location, &keys)?;
        let addresses = names.binaries.get(key);
        let lines = addresses.and_then(|addresses| addresses.get(&address).copied());
        match key.1 {
            Ask::Addresses(_) => lines.map(Found::Lines),
            Ask::Positions => Some(Found::Script(lines)),
        }
    };
    let found: Vec<Option<Found>> = symbols.locations.iter().map(found).collect();
    match found.iter().any(Option::is_some) {
        true => Partial {
            symbols: with_names(symbols, names, &found),
            ..partial
        },
        false => partial,
    }
}

/// What became of a location that lacks a name.
#[derive(Clone, Copy)]
enum Found {
    /// Calls, in the names.
    Lines((u32, u32)),
    /// A function of a script, and where it is written if that is known.
    Script(Option<(u32, u32)>),
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

fn with_names(symbols: &Symbols, names: &Names, found: &[Option<Found>]) -> Symbols {
    let (mut here, mut there) = (LocationMap::default(), LocationMap::default());
    with_lines(
        symbols,
        Interner::default(),
        |into, id, lines| match found[id as usize] {
            None => lines.extend(symbols.lines(id).iter().map(|line| Line {
                function: here.function_of(into, symbols, line.function),
                ..*line
            })),
            Some(Found::Lines((start, end))) => {
                let known = names.lines[start as usize..end as usize].iter();
                lines.extend(known.map(|line| Line {
                    function: there.function_of(into, names.interner.symbols(), line.function),
                    ..*line
                }));
            }
            Some(Found::Script(known)) => {
                let known = known.map(|(start, _)| names.lines[start as usize]);
                let location = &symbols.locations[id as usize];
                lines.extend(script_line(symbols, location, (names, known), into));
            }
        },
    )
}

/// A function of a script as people know it: as a source map says, or else without its position.
fn script_line(
    symbols: &Symbols,
    location: &Location,
    (names, known): (&Names, Option<Line>),
    into: &mut Interner,
) -> Option<Line> {
    let (v8, position) = script(symbols, location)?;
    let v8 = if v8.is_empty() {
        javascript::ANONYMOUS
    } else {
        v8
    };
    let known = known.and_then(|line| {
        let symbols = names.interner.symbols();
        let function = symbols.functions[line.function as usize];
        let text = |id| symbols.str(id);
        let called = javascript::called(v8, text(function.name), text(function.system_name));
        // A line is one of a file.
        (function.file != 0).then(|| (called, text(function.file), line))
    });
    let sent = symbols.lines[location.lines.0 as usize];
    let generated = symbols.functions[sent.function as usize];
    let (called, file, line, column) = match known {
        Some((called, file, line)) => (called, file, line.line, line.column),
        None => {
            let (line, column) = (i64::from(position.line), i64::from(position.column));
            (v8.into(), symbols.str(generated.file), line, column)
        }
    };
    let name = into.str(&called);
    let function = Function {
        name,
        system_name: name,
        file: into.str(file),
        start_line: 0,
    };
    Some(Line {
        function: into.function(function),
        line,
        column,
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
