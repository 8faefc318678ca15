//! Merging, rolling up and growing tries of the shape of real profiles: two to five nodes per
//! stack, a few thousand functions, most paths shared by most sources.

use std::sync::Arc;

use cairn_model::{Function, Line, Mapping, Profile, Samples, Tables, ValueType};
use cairn_trie::{
    Group, Interner, LocationMap, Merger, Partial, Symbols, Trie, TrieBuilder, Value,
};
use divan::Bencher;
use divan::counter::ItemsCount;

/// As in our programs: fresh pages for every vector would be a third of the time.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    divan::main();
}

/// Deterministic and good enough to draw shapes with.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((u128::from(self.0) * bound as u128) >> 64) as usize
    }
}

fn symbols(locations: usize) -> Symbols {
    let mut interner = Interner::default();
    let file = interner.str("/usr/bin/service");
    let build_id = interner.str("2d6912fd3dd64542f6f6294f4bf9cb6c265b3085");
    let mapping = interner.mapping(Mapping {
        file,
        build_id,
        ..Mapping::default()
    });
    for at in 0..locations {
        let name = interner.str(&format!("service::module_{}::function_{}", at % 97, at / 4));
        let function = interner.function(Function {
            name,
            system_name: name,
            file,
            start_line: 0,
        });
        let line = Line {
            function,
            line: at as i64,
            column: 0,
        };
        // Half of the code is native and unnamed.
        let lines = if at % 2 == 0 { &[line][..] } else { &[] };
        interner.location(mapping, 0x1000 + 16 * at as u64, lines);
    }
    interner.into_symbols()
}

/// A trie with about `nodes` nodes, 12 to 25 deep, and the ends of its stacks.
fn universe(nodes: usize) -> (Symbols, Trie, Vec<u32>) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let locations = (nodes / 8).clamp(100, 40_000);
    let mut trie = TrieBuilder::default();
    let mut path = vec![Trie::ROOT];
    let mut ends = Vec::new();
    while trie.trie().len() < nodes {
        let depth = 12 + random.below(14);
        let keep = path.len().saturating_sub(1 + random.below(5)).max(1);
        path.truncate(keep);
        let grow = (1 + random.below(4)).max(depth.saturating_sub(path.len() + 20));
        for _ in 0..grow {
            let skewed = random.below(locations).min(random.below(locations));
            let parent = path[path.len() - 1];
            path.push(trie.child(parent, skewed as u32));
        }
        if path.len() > 26 {
            path.truncate(8 + random.below(12));
        }
        ends.push(path[path.len() - 1]);
    }
    let (symbols, locations) = symbols(locations).ordered();
    let (trie, nodes) = trie.into_trie().ordered(&locations);
    let ends = ends.into_iter().map(|end| nodes[end as usize]).collect();
    (symbols, trie, ends)
}

/// `count` sources that each know about 60 % of the stacks.
fn partials(nodes: usize, count: usize) -> Vec<Partial> {
    let (symbols, trie, ends) = universe(nodes);
    let mut random = Random(7);
    let mut ends = ends;
    ends.sort_unstable();
    ends.dedup();
    let part = |_| {
        let known = ends.iter().filter(|_| random.below(10) < 6);
        let values = known.map(|node| Value {
            node: *node,
            group: 0,
            value: 1,
        });
        Partial::pruned(&symbols, &trie, vec![Group::default()], values.collect())
    };
    (0..count).map(part).collect()
}

/// The same, but each source met its stacks, and so its locations, in an order of its own.
fn shuffled(nodes: usize, count: usize) -> Vec<Partial> {
    let mut random = Random(11);
    let own_order = |partial: &Partial| {
        let mut values = partial.values.clone();
        for at in (1..values.len()).rev() {
            values.swap(at, random.below(at + 1));
        }
        let mut interner = Interner::default();
        let mut map = LocationMap::default();
        let mut builder = TrieBuilder::default();
        for value in &mut values {
            let stack: Vec<u32> = partial.trie.stack(value.node).collect();
            let stack = stack
                .into_iter()
                .map(|at| map.location(&mut interner, &partial.symbols, at));
            value.node = builder.stack(stack.collect::<Vec<_>>().into_iter());
        }
        Partial {
            symbols: interner.into_symbols(),
            trie: builder.into_trie(),
            groups: vec![Group::default()],
            values,
        }
    };
    partials(nodes, count).iter().map(own_order).collect()
}

#[divan::bench(args = [100_000, 300_000, 1_000_000], sample_count = 15)]
fn merge_8(bencher: Bencher, nodes: usize) {
    merge(bencher, &partials(nodes, 8));
}

#[divan::bench(args = [100_000, 300_000, 1_000_000], sample_count = 15)]
fn merge_8_shuffled(bencher: Bencher, nodes: usize) {
    merge(bencher, &shuffled(nodes, 8));
}

fn merge(bencher: Bencher, partials: &[Partial]) {
    let items: usize = partials.iter().map(|partial| partial.trie.len()).sum();
    bencher
        .counter(ItemsCount::new(items))
        .with_inputs(|| partials.to_vec())
        .bench_values(|partials| {
            let mut merger = Merger::default();
            partials.into_iter().for_each(|partial| merger.add(partial));
            merger.finish()
        });
}

#[divan::bench(args = [300_000], sample_count = 15)]
fn merge_finish(bencher: Bencher, nodes: usize) {
    let partials = partials(nodes, 2);
    let merger = || {
        let mut merger = Merger::default();
        partials
            .iter()
            .for_each(|partial| merger.add(partial.clone()));
        merger
    };
    bencher
        .counter(ItemsCount::new(merger().finish().trie.len()))
        .with_inputs(merger)
        .bench_values(Merger::finish);
}

#[divan::bench(args = [200_000, 1_000_000], sample_count = 50)]
fn roll_up(bencher: Bencher, nodes: usize) {
    let (_, trie, ends) = universe(nodes);
    let mut values = vec![0i64; trie.len()];
    for end in ends {
        values[end as usize] += 1;
    }
    bencher
        .counter(ItemsCount::new(trie.len()))
        .with_inputs(|| values.clone())
        .bench_refs(|values| trie.roll_up(values));
}

#[divan::bench(args = [200_000], sample_count = 20)]
fn prune(bencher: Bencher, nodes: usize) {
    let (symbols, trie, ends) = universe(nodes);
    let values: Vec<Value> = ends
        .iter()
        .map(|node| Value {
            node: *node,
            group: 0,
            value: 1,
        })
        .collect();
    bencher
        .counter(ItemsCount::new(trie.len()))
        .with_inputs(|| values.clone())
        .bench_values(|values| Partial::pruned(&symbols, &trie, vec![Group::default()], values));
}

/// A profile of `samples` samples, as a decoder leaves it.
fn profile(samples: usize) -> Profile {
    let (symbols, trie, ends) = universe(60_000);
    let mut random = Random(3);
    let mut tables = Tables {
        strings: symbols.strings,
        functions: symbols.functions,
        mappings: symbols.mappings,
        locations: symbols.locations,
        lines: symbols.lines,
        ..Tables::default()
    };
    let mut rows = Samples::default();
    for _ in 0..samples {
        let end = ends[random.below(ends.len()).min(random.below(ends.len()))];
        tables.stacks.locations.extend(trie.stack(end));
        rows.stacks.push(tables.stacks.end());
        rows.values.push(1);
    }
    Profile {
        types: vec![ValueType::default()],
        tables: Arc::new(tables),
        samples: rows,
        ..Profile::default()
    }
}

/// What a head does with every profile: locations once, then stacks.
#[divan::bench(args = [1_000, 20_000], sample_count = 30)]
fn intern_profile(bencher: Bencher, samples: usize) {
    let profile = profile(samples);
    let mut interner = Interner::default();
    let mut builder = TrieBuilder::default();
    let mut add = || {
        let mut map = LocationMap::default();
        let all = 0..profile.tables.locations.len() as u32;
        let locations = all.map(|at| map.location_of(&mut interner, &profile.tables, at));
        let locations: Vec<u32> = locations.collect();
        let mut last = 0;
        for sample in 0..profile.samples.len() {
            let stack = profile.stack(sample).iter();
            last = builder.stack(stack.map(|at| locations[*at as usize]));
        }
        last
    };
    add();
    bencher.counter(ItemsCount::new(samples)).bench_local(add);
}
