//! One function in the middle: who called it, or what it called.

use cairn_model::{Line, NONE};
use cairn_trie::{Interner, LocationMap, Partial, Symbols, Trie, TrieBuilder, Value};
use hashbrown::HashMap;

use crate::flame::function_name;

/// Which part of a stack is kept; the function itself belongs to both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// From the outermost call down to the function.
    Callers,
    /// From the function down to the innermost call.
    Callees,
}

/// The stacks that hold a call of exactly this name, cut at the outermost one: what recursion calls
/// again is a callee. So both halves together are the whole stack, and each value counts once.
pub fn sandwich(partial: &Partial, function: &str, half: Half) -> Partial {
    let mut interner = Interner::default();
    let places = places(&partial.symbols, &mut interner, function, half);
    let mut builder = TrieBuilder::default();
    // Where each node went, and whether the function is at or above it.
    let mut nodes = vec![(Trie::ROOT, false); partial.trie.len()];
    for node in 1..partial.trie.len() as u32 {
        let (above, is_met) = nodes[partial.trie.parent(node) as usize];
        let place = &places[partial.trie.frame(node) as usize];
        nodes[node as usize] = match (half, is_met, place.cut) {
            (Half::Callers, true, _) => (above, true),
            (Half::Callees, true, _) => (builder.child(above, place.whole), true),
            // Nothing lies above the function's first call but the root, if its callers are cut off.
            (_, false, Some(cut)) => (builder.child(above, cut), true),
            (Half::Callers, false, None) => (builder.child(above, place.whole), false),
            (Half::Callees, false, None) => (Trie::ROOT, false),
        };
    }
    let mut sums: HashMap<(u32, u32), i64, foldhash::fast::RandomState> = HashMap::default();
    for value in &partial.values {
        if let (node, true) = nodes[value.node as usize] {
            let sum = sums.entry((node, value.group)).or_default();
            *sum = sum.wrapping_add(value.value);
        }
    }
    let values = sums.into_iter();
    let values = values.map(|((node, group), value)| Value { node, group, value });
    Partial::pruned(
        &interner.into_symbols(),
        &builder.into_trie(),
        partial.groups.clone(),
        values.collect(),
    )
}

/// What became of a location.
struct Place {
    /// All its calls.
    whole: u32,
    /// Those on this side of the function, if it is among them.
    cut: Option<u32>,
}

fn places(symbols: &Symbols, into: &mut Interner, function: &str, half: Half) -> Vec<Place> {
    let wanted: Vec<bool> = (0..symbols.functions.len() as u32)
        .map(|id| function_name(symbols, id) == function)
        .collect();
    let mut map = LocationMap::default();
    let mut places = Vec::with_capacity(symbols.locations.len());
    for (id, location) in symbols.locations.iter().enumerate() {
        let lines = symbols.lines(id as u32);
        let mapping = match location.mapping {
            NONE => NONE,
            mapping => map.mapping_of(into, symbols, mapping),
        };
        let moved: Vec<Line> = lines
            .iter()
            .map(|line| Line {
                function: map.function_of(into, symbols, line.function),
                ..*line
            })
            .collect();
        // Calls lie innermost first.
        let outermost = lines
            .iter()
            .rposition(|line| wanted[line.function as usize]);
        places.push(Place {
            whole: into.location(mapping, location.address, &moved),
            cut: outermost.map(|at| {
                let part = match half {
                    Half::Callers => &moved[at..],
                    Half::Callees => &moved[..=at],
                };
                into.location(mapping, location.address, part)
            }),
        });
    }
    places
}
