//! Which stacks of a merged, named partial stay, and how much of each.
//!
//! Works on whole stacks; what a flame graph shows of them is its own business.

use std::cmp::Reverse;

use cairn_model::{Function, Line, Location, NONE};
use cairn_trie::{Group, GroupValue, Partial, Symbols, Trie, TrieBuilder, Value};
use hashbrown::HashMap;

use crate::flame::call_name;

/// The stacks whose outermost calls are those of `call_site`, outermost first. Inlined calls count,
/// calls without a name are called as in flame graphs.
pub fn below(partial: Partial, call_site: &[String]) -> Partial {
    if call_site.is_empty() {
        return partial;
    }
    let Partial {
        symbols,
        trie,
        groups,
        mut values,
    } = partial;
    // How many calls of the site the path to each node has; `None` if it has others.
    let mut matched = vec![None; trie.len()];
    matched[Trie::ROOT as usize] = Some(0);
    for node in 1..trie.len() as u32 {
        let before: Option<usize> = matched[trie.parent(node) as usize];
        matched[node as usize] = before.and_then(|before| {
            let rest = &call_site[before..];
            Some(before + calls_matched(&symbols, trie.frame(node), rest)?)
        });
    }
    values.retain(|value| matched[value.node as usize] == Some(call_site.len()));
    Partial::pruned(&symbols, &trie, groups, values)
}

/// How many of the calls a location has, `None` if it has another one before they are over.
fn calls_matched(symbols: &Symbols, location: u32, calls: &[String]) -> Option<usize> {
    let count = symbols.lines(location).len().max(1).min(calls.len());
    let is_same = |at: usize| *call_name(symbols, location, at) == calls[at];
    (0..count).all(is_same).then_some(count)
}

/// Of every stack the innermost `keep` locations, all if that is 0, as Go's compiler reads profiles;
/// the innermost call loses its line number if asked to, so that callees are one whatever line is hot.
pub fn innermost(partial: &Partial, keep: usize, without_line: bool) -> Partial {
    let mut symbols = partial.symbols.clone();
    let keep = if keep == 0 { usize::MAX } else { keep };
    let mut leaves: HashMap<(u32, Vec<(u32, i64)>), u32> = HashMap::new();
    let mut path = Vec::new();
    rebuild(partial, |partial, builder, node| {
        path.clear();
        path.extend(partial.trie.stack(node).take(keep));
        if let Some(leaf) = path.first_mut()
            && without_line
        {
            let mapping = symbols.locations[*leaf as usize].mapping;
            let lines = symbols.lines(*leaf).iter();
            let mut lines: Vec<(u32, i64)> = lines.map(|of| (of.function, of.line)).collect();
            if let Some((_, line)) = lines.first_mut() {
                *line = 0;
                *leaf = *leaves
                    .entry((mapping, lines))
                    .or_insert_with_key(|(mapping, lines)| {
                        placeless(&mut symbols, *mapping, lines)
                    });
            }
        }
        let outermost_first = path.iter().rev();
        outermost_first.fold(Trie::ROOT, |at, frame| builder.child(at, *frame))
    })
    .finish(&symbols)
}

/// A location of no address with these calls, innermost first.
fn placeless(symbols: &mut Symbols, mapping: u32, lines: &[(u32, i64)]) -> u32 {
    let start = symbols.lines.len() as u32;
    symbols
        .lines
        .extend(lines.iter().map(|(function, line)| Line {
            function: *function,
            line: *line,
            column: 0,
        }));
    symbols.locations.push(Location {
        mapping,
        address: 0,
        lines: (start, symbols.lines.len() as u32),
    });
    symbols.locations.len() as u32 - 1
}

/// Of every stack what Go's compiler makes use of: who called the innermost call, and from where.
pub fn for_go(partial: &Partial) -> Partial {
    const LOCATIONS: usize = 5;
    innermost(partial, LOCATIONS, true)
}

/// The largest `nodes_max` nodes; what lies below them is summed up in calls named `other`. Also tells
/// what the largest of the other nodes had.
pub fn largest(partial: &Partial, nodes_max: usize, other: &str) -> (Partial, u64) {
    let trie = &partial.trie;
    if trie.len() <= nodes_max.saturating_add(1) {
        return (partial.clone(), 0);
    }
    let (kept, hidden) = largest_nodes(partial, nodes_max);
    (fold(partial, &kept, other), hidden)
}

/// The `groups_max` largest groups and the one without labels; the others are one that has a label
/// of the name `other` alone. And what the largest of those had.
pub(crate) fn fold_groups(partial: Partial, groups_max: usize, other: &str) -> (Partial, u64) {
    let count = partial.groups.len();
    if count <= groups_max.saturating_add(1) {
        return (partial, 0);
    }
    let mut sizes = vec![0u64; count];
    for value in &partial.values {
        let size = &mut sizes[value.group as usize];
        *size = size.saturating_add(value.value.unsigned_abs());
    }
    let mut order: Vec<u32> = (1..count as u32).collect();
    let by_size = |group: &u32| (Reverse(sizes[*group as usize]), *group);
    let (largest, next, _) = order.select_nth_unstable_by_key(groups_max, by_size);
    let hidden = sizes[*next as usize];
    largest.sort_unstable();
    let mut groups = vec![Group::default()];
    let mut moved = vec![NONE; count];
    moved[0] = 0;
    let folded = Group(vec![(other.into(), GroupValue::Str("groups".into()))]);
    for group in largest {
        moved[*group as usize] = groups.len() as u32;
        groups.push(partial.groups[*group as usize].clone());
    }
    // It may be among the largest already.
    let rest = groups.iter().position(|group| *group == folded);
    let rest = rest.unwrap_or_else(|| {
        groups.push(folded);
        groups.len() - 1
    });
    let mut sums: HashMap<(u32, u32), i64, foldhash::fast::RandomState> = HashMap::default();
    for Value { node, group, value } in &partial.values {
        let group = match moved[*group as usize] {
            NONE => rest as u32,
            group => group,
        };
        let sum = sums.entry((*node, group)).or_default();
        *sum = sum.wrapping_add(*value);
    }
    let values = sums.into_iter();
    let values = values.map(|((node, group), value)| Value { node, group, value });
    let mut values: Vec<Value> = values.collect();
    values.sort_unstable();
    let kept = Partial::pruned(&partial.symbols, &partial.trie, groups, values);
    (kept, hidden)
}

fn fold(partial: &Partial, kept: &[bool], other: &str) -> Partial {
    let trie = &partial.trie;
    let mut symbols = partial.symbols.clone();
    let other = placeless_named(&mut symbols, other);
    let mut nodes = vec![NONE; trie.len()];
    nodes[0] = Trie::ROOT;
    rebuild(partial, |partial, builder, node| {
        let mut path = Vec::new();
        let mut up = node;
        while nodes[up as usize] == NONE {
            path.push(up);
            up = partial.trie.parent(up);
        }
        while let Some(down) = path.pop() {
            let parent = partial.trie.parent(down);
            let at = nodes[parent as usize];
            nodes[down as usize] = match (kept[down as usize], kept[parent as usize]) {
                (true, _) => builder.child(at, partial.trie.frame(down)),
                (false, true) => builder.child(at, other),
                (false, false) => at,
            };
        }
        nodes[node as usize]
    })
    .finish(&symbols)
}

/// A location of no address where a function of this name and nothing else is called.
fn placeless_named(symbols: &mut Symbols, text: &str) -> u32 {
    let is_it = |symbols: &Symbols, location: u32| {
        let Location {
            mapping, address, ..
        } = symbols.locations[location as usize];
        let [line] = symbols.lines(location) else {
            return false;
        };
        let Function { name, .. } = symbols.functions[line.function as usize];
        let function = Function {
            name,
            ..Function::default()
        };
        (mapping, address, line.line, line.column) == (NONE, 0, 0, 0)
            && symbols.functions[line.function as usize] == function
            && symbols.str(name) == text
    };
    let mut locations = 0..symbols.locations.len() as u32;
    if let Some(known) = locations.find(|location| is_it(symbols, *location)) {
        return known;
    }
    let name = symbols.strings.push(text);
    symbols.functions.push(Function {
        name,
        ..Function::default()
    });
    let function = symbols.functions.len() as u32 - 1;
    placeless(symbols, NONE, &[(function, 0)])
}

/// The root and the `nodes_max` largest nodes below it, each with its parent; and what the largest
/// of the others has.
fn largest_nodes(partial: &Partial, nodes_max: usize) -> (Vec<bool>, u64) {
    let trie = &partial.trie;
    // No node has less than one below it, whatever the signs.
    let mut sizes: Vec<u64> = partial
        .self_values()
        .iter()
        .map(|v| v.unsigned_abs())
        .collect();
    for node in (1..trie.len()).rev() {
        let parent = trie.parent(node as u32) as usize;
        sizes[parent] = sizes[parent].saturating_add(sizes[node]);
    }
    // Parents come before their children.
    let mut order: Vec<u32> = (1..trie.len() as u32).collect();
    let by_size = |node: &u32| (Reverse(sizes[*node as usize]), *node);
    let (largest, next, _) = order.select_nth_unstable_by_key(nodes_max, by_size);
    let mut kept = vec![false; trie.len()];
    kept[0] = true;
    largest.iter().for_each(|node| kept[*node as usize] = true);
    (kept, sizes[*next as usize])
}

/// Values that have moved to another trie.
struct Moved<'a> {
    partial: &'a Partial,
    builder: TrieBuilder,
    sums: HashMap<(u32, u32), i64, foldhash::fast::RandomState>,
}

/// `to` finds or makes the new node of a stack.
fn rebuild<'a>(
    partial: &'a Partial,
    mut to: impl FnMut(&Partial, &mut TrieBuilder, u32) -> u32,
) -> Moved<'a> {
    let mut builder = TrieBuilder::default();
    let mut sums: HashMap<(u32, u32), i64, foldhash::fast::RandomState> = HashMap::default();
    for Value { node, group, value } in &partial.values {
        let node = to(partial, &mut builder, *node);
        let sum = sums.entry((node, *group)).or_default();
        *sum = sum.wrapping_add(*value);
    }
    Moved {
        partial,
        builder,
        sums,
    }
}

impl Moved<'_> {
    fn finish(self, symbols: &Symbols) -> Partial {
        let values = self.sums.into_iter();
        let values = values.map(|((node, group), value)| Value { node, group, value });
        let mut values: Vec<Value> = values.collect();
        values.sort_unstable();
        let trie = self.builder.into_trie();
        Partial::pruned(symbols, &trie, self.partial.groups.clone(), values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folded::folded;
    use crate::{Flame, KeyBy};
    use cairn_trie::Interner;

    /// Stacks of `function:line` calls, outermost first; a slash joins calls that were inlined.
    fn partial(stacks: &[(&str, i64)]) -> Partial {
        let mut interner = Interner::default();
        let mut trie = TrieBuilder::default();
        let mut values = Vec::new();
        for (stack, value) in stacks {
            let mut node = Trie::ROOT;
            for location in stack.split(';') {
                let mut lines = Vec::new();
                for call in location.rsplit('/') {
                    let (name, line) = call.split_once(':').unwrap_or((call, "0"));
                    let name = interner.str(name);
                    lines.push(Line {
                        function: interner.function(Function {
                            name,
                            ..Function::default()
                        }),
                        line: line.parse().expect("a line"),
                        column: 0,
                    });
                }
                node = trie.child(node, interner.location(NONE, 0, &lines));
            }
            values.push(Value {
                node,
                group: 0,
                value: *value,
            });
        }
        Partial {
            symbols: interner.into_symbols(),
            trie: trie.into_trie(),
            values,
            ..Partial::default()
        }
    }

    fn lines(partial: &Partial) -> Vec<String> {
        let text = folded(&Flame::build(partial, KeyBy::default()));
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    fn calls(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn stacks_below_a_call_site_begin_with_it() {
        let all = [
            ("main;a;b", 1),
            ("main;a", 2),
            ("main", 4),
            ("main;b;a", 8),
            ("a;main", 16),
        ];
        let found = |site: &[&str]| lines(&below(partial(&all), &calls(site)));
        assert_eq!(found(&["main", "a"]), ["main;a 2", "main;a;b 1"]);
        assert_eq!(found(&["main", "a", "b"]), ["main;a;b 1"]);
        assert_eq!(found(&["main", "c"]), Vec::<String>::new());
        assert_eq!(found(&[]).len(), 5);
        let kept = below(partial(&all), &calls(&["a"]));
        // What only other stacks need is gone.
        assert_eq!((kept.trie.len(), kept.symbols.locations.len()), (3, 2));
    }

    #[test]
    fn inlined_calls_are_calls_of_a_site() {
        let all = [("main/a/b;c", 1), ("main/b;c", 2)];
        let found = |site: &[&str]| below(partial(&all), &calls(site)).total();
        assert_eq!(found(&["main"]), 3);
        assert_eq!(found(&["main", "a"]), 1);
        assert_eq!(found(&["main", "a", "b", "c"]), 1);
        assert_eq!(found(&["main", "b", "c"]), 2);
        assert_eq!(found(&["main", "a", "c"]), 0);
    }

    #[test]
    fn go_s_compiler_gets_the_innermost_locations() {
        let all = [
            ("main:1;a:2;b:3", 1),
            ("main:9;a:2;b:4", 2),
            ("x:1;a:5;b:3", 4),
            ("b:3", 8),
        ];
        let all = partial(&all);
        let kept = innermost(&all, 2, false);
        assert_eq!(lines(&kept), ["a;b 7", "b 8"]);
        assert_eq!(kept.values.len(), 4);
        let kept = innermost(&all, 2, true);
        assert_eq!(lines(&kept), ["a;b 7", "b 8"]);
        // a:2 with either line of b is one call now.
        let mut values: Vec<i64> = kept.values.iter().map(|value| value.value).collect();
        values.sort_unstable();
        assert_eq!(values, [3, 4, 8]);
        let whole = innermost(&all, 0, true);
        assert_eq!(lines(&whole), ["b 8", "main;a;b 3", "x;a;b 4"]);
        // Where a call was inlined counts.
        let inlined = partial(&[
            ("main;a:1/b:3", 1),
            ("main;a:2/b:4", 2),
            ("main;a:2/b:5", 4),
        ]);
        let kept = innermost(&inlined, 0, true);
        let mut values: Vec<i64> = kept.values.iter().map(|value| value.value).collect();
        values.sort_unstable();
        assert_eq!(values, [1, 6]);
    }

    #[test]
    fn the_largest_nodes_stay_and_the_rest_is_called_other() {
        let all = [
            ("main;a;b", 50),
            ("main;a;c", 3),
            ("main;a;d;e", 2),
            ("main;f", 1),
            ("g", 4),
        ];
        let all = partial(&all);
        assert_eq!(
            lines(&largest(&all, 3, "other").0),
            ["main;a;b 50", "main;a;other 5", "main;other 1", "other 4"]
        );
        assert_eq!(lines(&largest(&all, 0, "other").0), ["other 60"]);
        assert_eq!(largest(&all, 8, "other"), (all.clone(), 0));
    }

    #[test]
    fn what_is_folded_twice_is_folded_once_and_never_hides_more_than_is_said() {
        let all = partial(&[
            ("main;a;b", 50),
            ("main;a;c", -3),
            ("main;a;d;e", 2),
            ("main;f", 1),
        ]);
        let (once, hidden) = largest(&all, 4, "other");
        assert_eq!(hidden, 2, "of d, while c has -3");
        assert_eq!(
            lines(&once),
            [
                "main;a;b 50",
                "main;a;c -3",
                "main;a;other 2",
                "main;other 1"
            ]
        );
        let (twice, hidden) = largest(&once, 3, "other");
        assert_eq!(hidden, 3, "of c");
        assert_eq!(
            lines(&twice),
            ["main;a;b 50", "main;a;other -1", "main;other 1"]
        );
        assert_eq!(twice.symbols.locations.len(), 4, "all are called the same");
        assert_eq!(twice.values.len(), 3);
    }

    #[test]
    fn of_too_many_groups_the_largest_stay() {
        let mut all = partial(&[("main;a", 0), ("main;b", 0)]);
        let group = |id: u32| Group(vec![("id".into(), GroupValue::Str(id.to_string().into()))]);
        let nodes: Vec<u32> = all.values.iter().map(|value| value.node).collect();
        all.groups.extend((1..=9).map(group));
        let of_group = |group: u32| {
            let value = |node: &u32| Value {
                node: *node,
                group,
                value: i64::from(group),
            };
            nodes.iter().map(value).collect::<Vec<Value>>()
        };
        all.values = (0..=9).flat_map(of_group).collect();
        let total = all.total();
        let (kept, hidden) = fold_groups(all, 3, "other");
        assert_eq!((kept.total(), hidden), (total, 12));
        let other = Group(vec![("other".into(), GroupValue::Str("groups".into()))]);
        assert_eq!(
            kept.groups,
            [
                Group::default(),
                group(7),
                group(8),
                group(9),
                other.clone()
            ]
        );
        // Of two nodes each; the empty group had nothing.
        assert_eq!(kept.values.len(), 8);
        let (again, hidden) = fold_groups(kept, 1, "other");
        assert_eq!((again.total(), hidden), (total, 18));
        assert_eq!(again.groups, [Group::default(), other]);
    }
}
