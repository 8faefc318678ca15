//! The union of tables in canonical order, in one walk along all tables of a kind.

use std::cmp::Ordering;

use cairn_model::{Function, Line, Location, Mapping};

use crate::order::{LineKey, function_key, line_key, mapping_key};
use crate::symbols::{Symbols, moved_function, moved_line, moved_mapping};

/// Where the rows of each side's table are in the union.
type Places = Vec<Vec<u32>>;

/// Everything that any of them says, and where the locations of each are in it.
pub(crate) fn union(sides: &[&Symbols]) -> (Symbols, Places) {
    let mut out = Symbols::default();
    let strings = strings(sides, &mut out);
    let functions = functions(sides, &strings, &mut out);
    let mappings = mappings(sides, &strings, &mut out);
    let locations = locations(sides, &functions, &mappings, &mut out);
    (out, locations)
}

fn strings(sides: &[&Symbols], out: &mut Symbols) -> Places {
    let lengths = sides.iter().map(|side| side.strings.len());
    let text = |side: usize, at: usize| sides[side].strings.get(at as u32);
    walk(lengths.collect(), text, |text| {
        // The empty string is there already.
        if !text.is_empty() {
            out.strings.push(text);
        }
    })
}

fn functions(sides: &[&Symbols], strings: &Places, out: &mut Symbols) -> Places {
    let lengths = sides.iter().map(|side| side.functions.len());
    let key = |side: usize, at: usize| {
        function_key(&moved_function(&sides[side].functions[at], &strings[side]))
    };
    walk(lengths.collect(), key, |key| {
        let (name, system_name, file, start_line) = *key;
        out.functions.push(Function {
            name,
            system_name,
            file,
            start_line,
        });
    })
}

fn mappings(sides: &[&Symbols], strings: &Places, out: &mut Symbols) -> Places {
    let lengths = sides.iter().map(|side| side.mappings.len());
    let key = |side: usize, at: usize| {
        mapping_key(&moved_mapping(&sides[side].mappings[at], &strings[side]))
    };
    walk(lengths.collect(), key, |key| {
        let (file, build_id, addressing) = *key;
        out.mappings.push(Mapping {
            file,
            build_id,
            addressing,
        });
    })
}

fn locations(
    sides: &[&Symbols],
    functions: &Places,
    mappings: &Places,
    out: &mut Symbols,
) -> Places {
    let lines = |(side, symbols): (usize, &&Symbols)| -> Vec<LineKey> {
        let lines = symbols.lines.iter();
        lines
            .map(|row| line_key(&moved_line(row, &functions[side])))
            .collect()
    };
    let lines: Vec<_> = sides.iter().enumerate().map(lines).collect();
    let key = |side: usize, at: usize| {
        let Location {
            mapping,
            address,
            lines: (start, end),
        } = sides[side].locations[at];
        let mapping = *mappings[side].get(mapping as usize).unwrap_or(&mapping);
        let lines = &lines[side][start as usize..end as usize];
        (mapping, address, lines)
    };
    let lengths = sides.iter().map(|side| side.locations.len());
    walk(lengths.collect(), key, |(mapping, address, lines)| {
        let line = |(function, line, column): &LineKey| Line {
            function: *function,
            line: *line,
            column: *column,
        };
        out.push_location(*mapping, *address, lines.iter().map(line));
    })
}

/// Takes every distinct row in order; says where the rows of each side went.
fn walk<K: Ord>(
    lengths: Vec<usize>,
    row: impl Fn(usize, usize) -> K,
    mut take: impl FnMut(&K),
) -> Places {
    let mut places: Places = lengths.iter().map(|len| Vec::with_capacity(*len)).collect();
    let sides = lengths.iter().enumerate().filter(|(_, len)| **len > 0);
    let mut heads: Vec<(usize, K)> = sides.map(|(side, _)| (side, row(side, 0))).collect();
    let mut least: Vec<usize> = Vec::with_capacity(heads.len());
    for place in 0.. {
        least.clear();
        for (at, (_, head)) in heads.iter().enumerate() {
            let order = match least.first() {
                None => Ordering::Equal,
                Some(first) => head.cmp(&heads[*first].1),
            };
            if order.is_lt() {
                least.clear();
            }
            if order.is_le() {
                least.push(at);
            }
        }
        let Some(first) = least.first() else { break };
        take(&heads[*first].1);
        for at in least.iter().rev() {
            let (side, head) = &mut heads[*at];
            let places = &mut places[*side];
            places.push(place);
            if places.len() < lengths[*side] {
                *head = row(*side, places.len());
            } else {
                heads.remove(*at);
            }
        }
    }
    places
}
