//! A flame graph that is cut down while it grows.
//!
//! Of a large trie few calls are shown. So the graph grows from its root, always below the largest
//! call that nobody looked below yet, and what is cut off is not built. What comes out is what
//! building the whole and trimming it gives, but for the order of equal calls of one name.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use cairn_model::NONE;
use cairn_trie::{Group, LocationMap, Partial, Symbols, Trie};
use hashbrown::HashMap;

use super::build::{Side, weight};
use super::keys::{Keys, Step};
use super::trim::{TRIMMED, Trim, survives};
use super::{Flame, KeyBy, Node, name};

/// A partial, its values rolled up and its calls found on demand.
struct Source<'a> {
    symbols: &'a Symbols,
    side: usize,
    twigs: Vec<Twig>,
    map: LocationMap,
    /// Where the calls of each location begin and end, of the locations met so far.
    met: Vec<(u32, u32)>,
    steps: Vec<Step>,
    /// Of each step: what most of them are looked at for.
    keys: Vec<u32>,
}

/// A node of the trie.
#[derive(Clone, Copy)]
struct Twig {
    location: u32,
    /// Its first child, and who comes after it below the same parent.
    first: u32,
    next: u32,
    own: i64,
    total: i64,
}

impl<'a> Source<'a> {
    /// `None` where a call may have less than one below it: nothing is known of those without
    /// looking at them.
    fn new(partial: &'a Partial, side: Side) -> Option<Self> {
        let mut values = partial.values.iter().map(|value| value.value);
        values.try_fold(0i64, |sum, value| {
            (value >= 0).then(|| sum.checked_add(value))?
        })?;
        let twig = |location: &u32| Twig {
            location: *location,
            first: NONE,
            next: NONE,
            own: 0,
            total: 0,
        };
        let mut twigs: Vec<Twig> = partial.trie.frames().iter().map(twig).collect();
        for value in &partial.values {
            twigs[value.node as usize].own += value.value;
        }
        for (node, parent) in partial.trie.parents().iter().enumerate().rev() {
            let twig = &mut twigs[node];
            twig.total += twig.own;
            let (total, parent) = (twig.total, *parent as usize);
            if total != 0 && parent < node {
                twigs[parent].total += total;
                twigs[node].next = std::mem::replace(&mut twigs[parent].first, node as u32);
            }
        }
        Some(Self {
            symbols: &partial.symbols,
            side: side as usize,
            twigs,
            map: LocationMap::default(),
            met: vec![(NONE, NONE); partial.symbols.locations.len()],
            steps: Vec::new(),
            keys: Vec::new(),
        })
    }

    /// Where the calls of a location are, outermost first; the root has none.
    fn calls(&mut self, keys: &mut Keys, location: u32) -> Range<usize> {
        let Some(met) = self.met.get_mut(location as usize) else {
            return 0..0;
        };
        if met.0 == NONE {
            let start = self.steps.len();
            keys.push_steps(&mut self.map, (self.symbols, location), &mut self.steps);
            self.keys
                .extend(self.steps[start..].iter().map(|step| step.key));
            *met = (start as u32, self.steps.len() as u32);
        }
        met.0 as usize..met.1 as usize
    }
}

/// One of the calls that a node of the flame graph stands for.
#[derive(Clone, Copy)]
struct Place {
    source: u32,
    node: u32,
    /// Which of the calls at the node's location.
    step: u32,
    /// The next place of the same node.
    next: u32,
}

/// What may become a node of the flame graph.
struct Bud {
    parent: u32,
    key: u32,
    /// Its places, the first and the last.
    places: (u32, u32),
    /// By side.
    totals: [i64; 2],
    /// The node that it became, if it did; what is below it are buds then.
    node: u32,
    children: Range<u32>,
}

impl Bud {
    fn weight(&self) -> u64 {
        weight(self.totals)
    }
}

pub(super) struct Growth<'a> {
    sources: Vec<Source<'a>>,
    keys: Keys,
    /// Children of a parent lie together, the largest first.
    buds: Vec<Bud>,
    nodes: Vec<Node>,
    places: Vec<Place>,
    /// By key, the bud that got it last.
    seen: Vec<u32>,
}

impl<'a> Growth<'a> {
    /// `None` where the whole must be built, or nothing of it is cut off.
    pub(super) fn of(sources: &[(&'a Partial, Side)], key_by: KeyBy, trim: &Trim) -> Option<Self> {
        let nodes = sources.iter().map(|(partial, _)| partial.trie.len()).sum();
        if trim.keeps(nodes) {
            return None;
        }
        let sources = sources.iter();
        let sources = sources.map(|(partial, side)| Source::new(partial, *side));
        Some(Self::new(sources.collect::<Option<_>>()?, key_by))
    }

    fn new(sources: Vec<Source<'a>>, key_by: KeyBy) -> Self {
        let mut growth = Self {
            sources,
            keys: Keys::new(key_by),
            buds: Vec::new(),
            nodes: Vec::new(),
            places: Vec::new(),
            seen: Vec::new(),
        };
        growth.bud(NONE, NONE);
        for source in 0..growth.sources.len() as u32 {
            let root = Place {
                source,
                node: Trie::ROOT,
                step: 0,
                next: NONE,
            };
            growth.stand(0, root);
        }
        growth
    }

    pub(super) fn trimmed(mut self, groups: Vec<Group>, trim: &Trim) -> Flame {
        let mut heap = BinaryHeap::from([(u64::MAX, Reverse(0u32))]);
        let (mut trimmed, mut max_error) = (0i64, 0);
        let mut cut = |bud: &Bud| {
            trimmed = trimmed.wrapping_add(bud.totals[Side::Value as usize]);
            max_error = bud.weight().max(max_error);
        };
        for _ in 0..trim.nodes_max.max(1) {
            let Some((_, Reverse(at))) = heap.pop() else {
                break;
            };
            self.keep(at);
            let parent = &self.buds[at as usize];
            for child in parent.children.clone() {
                let bud = &self.buds[child as usize];
                match survives(bud.totals, parent.totals, trim.fraction) {
                    true => heap.push((bud.weight(), Reverse(child))),
                    false => cut(bud),
                }
            }
        }
        let mut lost: HashMap<u32, [i64; 2]> = HashMap::new();
        for (_, Reverse(at)) in heap.into_vec() {
            let bud = &self.buds[at as usize];
            cut(bud);
            let sums = lost.entry(bud.parent).or_default();
            for (sum, total) in sums.iter_mut().zip(bud.totals) {
                *sum += total;
            }
        }
        Flame {
            nodes: self.pre_order(&lost),
            symbols: self.keys.into_symbols(),
            groups,
            trimmed,
            max_error,
        }
    }

    /// Makes a node of a bud, and buds of what is below it.
    fn keep(&mut self, at: u32) {
        let start = self.buds.len() as u32;
        let bud = &self.buds[at as usize];
        let [cumulative, base_cumulative] = bud.totals;
        let (mut place, mut node) = (bud.places.0, None);
        let mut flat = [0; 2];
        while let Some(Place {
            source,
            node: of,
            step,
            next,
        }) = self.places.get(place as usize).copied()
        {
            place = next;
            let from = &mut self.sources[source as usize];
            let twig = from.twigs[of as usize];
            let calls = from.calls(&mut self.keys, twig.location);
            if let Some(call) = from.steps[calls.clone()].get(step as usize) {
                match &mut node {
                    None => node = Some(call.node(NONE)),
                    Some(node) => call.also(node),
                }
            }
            let below = |node: u32, step: u32| Place {
                source,
                node,
                step,
                next: NONE,
            };
            if step as usize + 1 < calls.len() {
                self.add((at, start), below(of, step + 1));
                continue;
            }
            flat[from.side] += twig.own;
            let mut child = twig.first;
            while child != NONE {
                self.add((at, start), below(child, 0));
                child = self.sources[source as usize].twigs[child as usize].next;
            }
        }
        self.sort(start);
        let children = start..self.buds.len() as u32;
        let bud = &mut self.buds[at as usize];
        (bud.node, bud.children) = (self.nodes.len() as u32, children);
        let [flat, base_flat] = flat;
        self.nodes.push(Node {
            flat,
            cumulative,
            base_flat,
            base_cumulative,
            ..node.unwrap_or(Node::BARE)
        });
    }

    /// Adds one call to the buds of `parent`, which begin at `start`.
    fn add(&mut self, (parent, start): (u32, u32), place: Place) {
        let source = &mut self.sources[place.source as usize];
        let location = source.twigs[place.node as usize].location;
        let calls = source.calls(&mut self.keys, location);
        let key = source.keys[calls][place.step as usize];
        self.seen.resize(self.keys.len(), NONE);
        let seen = self.seen[key as usize];
        let is_new = seen == NONE || seen < start;
        let bud = if is_new { self.bud(parent, key) } else { seen };
        self.seen[key as usize] = bud;
        self.stand(bud, place);
    }

    fn bud(&mut self, parent: u32, key: u32) -> u32 {
        self.buds.push(Bud {
            parent,
            key,
            places: (NONE, NONE),
            totals: [0; 2],
            node: NONE,
            children: 0..0,
        });
        self.buds.len() as u32 - 1
    }

    /// Lets a bud stand for one more call.
    fn stand(&mut self, bud: u32, place: Place) {
        let bud = &mut self.buds[bud as usize];
        let source = &self.sources[place.source as usize];
        bud.totals[source.side] += source.twigs[place.node as usize].total;
        let new = self.places.len() as u32;
        match self.places.get_mut(bud.places.1 as usize) {
            Some(last) => last.next = new,
            None => bud.places.0 = new,
        }
        bud.places.1 = new;
        self.places.push(place);
    }

    /// Puts the buds from `start` on into order.
    fn sort(&mut self, start: u32) {
        let (sources, places) = (&self.sources, &self.places);
        let symbols = self.keys.symbols();
        let step = |bud: &Bud| {
            let place = &places[bud.places.0 as usize];
            let source = &sources[place.source as usize];
            let location = source.twigs[place.node as usize].location;
            &source.steps[source.met[location as usize].0 as usize + place.step as usize]
        };
        let buds = &mut self.buds[start as usize..];
        buds.sort_unstable_by_key(|bud| Reverse(bud.weight()));
        for equal in buds.chunk_by_mut(|a, b| a.weight() == b.weight()) {
            if equal.len() > 1 {
                equal.sort_by_cached_key(|bud| {
                    let node = step(bud).node(NONE);
                    (name(symbols, &[], &node), node.address, bud.key)
                });
            }
        }
    }

    /// The nodes; below each what it has, and last what was cut off.
    fn pre_order(&self, lost: &HashMap<u32, [i64; 2]>) -> Vec<Node> {
        let mut out: Vec<Node> = Vec::with_capacity(self.nodes.len() + lost.len());
        let mut open = vec![(NONE, 0, true)];
        while let Some((parent, at, is_kept)) = open.pop() {
            if !is_kept {
                let [sum, base] = lost[&at];
                out.push(Node {
                    parent,
                    flat: sum,
                    cumulative: sum,
                    base_flat: base,
                    base_cumulative: base,
                    ..TRIMMED
                });
                continue;
            }
            let here = out.len() as u32;
            let bud = &self.buds[at as usize];
            out.push(Node {
                parent,
                ..self.nodes[bud.node as usize]
            });
            // The last one pushed comes first.
            open.extend(lost.contains_key(&at).then_some((here, at, false)));
            let kept = |child: &u32| self.buds[*child as usize].node != NONE;
            let children = bud.children.clone().rev().filter(kept);
            open.extend(children.map(|child| (here, child, true)));
        }
        out
    }
}
