//! Sets that don't overlap and leave nothing out: an exact cover, or the best there is.
//!
//! Some sets are doubtful: what only they hold may be left out. Knows nothing of blocks. Sets that overlap, directly or over others, are a group, and each group
//! is searched by itself: first the elements that fewest sets hold, first the largest sets. Merges
//! nest nearly always, and then the first try is right.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Tries for one group. A search that is cut short has found something already.
const STEPS_MAX: usize = 200_000;

/// How much worse it is to leave out an element than any number of doubtful ones.
const SOLID: u64 = 1 << 32;

/// Elements, by small numbers, ascending.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) elements: Vec<u32>,
    pub(super) is_doubtful: bool,
}

/// What becomes of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Chosen,
    /// All its elements are in chosen sets.
    Covered,
    /// Some are not, though a set holds them that is not doubtful.
    LeftOut,
}

/// Sets that overlap.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) sets: Vec<usize>,
    /// Elements that are in no chosen set, though in one that is not doubtful.
    pub(super) left_out: u64,
}

#[derive(Debug, Default)]
pub(super) struct Covering {
    pub(super) fates: Vec<Fate>,
    pub(super) groups: Vec<Group>,
}

/// Chooses sets.
pub(super) fn choose(sets: &[Set]) -> Covering {
    let elements = sets.iter().filter_map(|set| set.elements.last()).max();
    let elements = elements.map_or(0, |last| *last as usize + 1);
    let mut holders: Vec<Vec<usize>> = vec![Vec::new(); elements];
    for (at, set) in sets.iter().enumerate() {
        for element in &set.elements {
            holders[*element as usize].push(at);
        }
    }
    let mut groups = Groups::new(sets.len());
    for holders in holders.iter().filter(|holders| !holders.is_empty()) {
        for other in &holders[1..] {
            groups.join(holders[0], *other);
        }
    }
    // Elements that the very same sets hold are one.
    let mut problems: BTreeMap<usize, BTreeMap<Vec<usize>, u64>> = BTreeMap::new();
    for holders in holders.into_iter().filter(|holders| !holders.is_empty()) {
        let group = groups.find(holders[0]);
        *problems
            .entry(group)
            .or_default()
            .entry(holders)
            .or_default() += 1;
    }
    let mut covering = Covering {
        // A set without elements holds nothing that another does not.
        fates: vec![Fate::Covered; sets.len()],
        groups: Vec::new(),
    };
    for problem in problems.into_values() {
        let group = Search::new(problem, sets).run(&mut covering.fates);
        covering.groups.push(group);
    }
    covering
}

/// Union-find.
struct Groups(Vec<usize>);

impl Groups {
    fn new(len: usize) -> Self {
        Self((0..len).collect())
    }

    fn find(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        self.0[a.max(b)] = a.min(b);
    }
}

/// One kind of element.
struct Element {
    /// Sets with it, those of most kinds first, of equal ones the last.
    holders: Vec<usize>,
    /// How bad it is to leave them out.
    weight: u64,
}

/// The search through one group, depth first.
struct Search {
    elements: Vec<Element>,
    /// The kinds of elements of each set.
    kinds: BTreeMap<usize, Vec<usize>>,
    /// Whether a kind is in a chosen set, or given up.
    is_decided: Vec<bool>,
    left_out: u64,
    best: Option<(u64, Vec<usize>)>,
}

/// A decision: for an element, which of its holders; one more than there are: none.
struct Frame {
    element: usize,
    option: usize,
}

impl Search {
    fn new(problem: BTreeMap<Vec<usize>, u64>, sets: &[Set]) -> Self {
        let element = |(mut holders, count): (Vec<usize>, u64)| {
            let size = |set: &usize| Reverse(sets[*set].elements.len());
            holders.sort_by_key(|set| (sets[*set].is_doubtful, size(set), Reverse(*set)));
            let is_solid = !sets[holders[0]].is_doubtful;
            let weight = count * if is_solid { SOLID } else { 1 };
            Element { holders, weight }
        };
        let mut elements: Vec<Element> = problem.into_iter().map(element).collect();
        elements.sort_by_key(|element| element.holders.len());
        let mut kinds: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (kind, element) in elements.iter().enumerate() {
            for set in &element.holders {
                kinds.entry(*set).or_default().push(kind);
            }
        }
        Self {
            is_decided: vec![false; elements.len()],
            elements,
            kinds,
            left_out: 0,
            best: None,
        }
    }

    fn run(mut self, fates: &mut [Fate]) -> Group {
        let mut stack: Vec<Frame> = Vec::new();
        let mut chosen: Vec<usize> = Vec::new();
        let mut steps = 0;
        while steps < STEPS_MAX || self.best.is_none() {
            steps += 1;
            let from = stack.last().map_or(0, |frame| frame.element + 1);
            let next = (from..self.elements.len()).find(|kind| !self.is_decided[*kind]);
            let is_worse = self
                .best
                .as_ref()
                .is_some_and(|best| self.left_out >= best.0);
            match next {
                Some(element) if !is_worse => stack.push(Frame { element, option: 0 }),
                _ => {
                    if !is_worse {
                        self.best = Some((self.left_out, chosen.clone()));
                    }
                    if self.left_out == 0 || !self.back(&mut stack, &mut chosen) {
                        break;
                    }
                }
            }
            while !self.take(&mut stack, &mut chosen) {
                stack.pop();
                if !self.back(&mut stack, &mut chosen) {
                    return self.finish(fates);
                }
            }
        }
        self.finish(fates)
    }

    /// Takes the option of the newest decision, or the next that is possible; false if there is none.
    fn take(&mut self, stack: &mut [Frame], chosen: &mut Vec<usize>) -> bool {
        let Some(frame) = stack.last_mut() else {
            return false;
        };
        let holders = &self.elements[frame.element].holders;
        while let Some(set) = holders.get(frame.option) {
            if self.kinds[set].iter().all(|kind| !self.is_decided[*kind]) {
                chosen.push(*set);
                self.kinds[set]
                    .iter()
                    .for_each(|kind| self.is_decided[*kind] = true);
                return true;
            }
            frame.option += 1;
        }
        let is_none_left = frame.option > holders.len();
        if !is_none_left {
            self.is_decided[frame.element] = true;
            self.left_out += self.elements[frame.element].weight;
        }
        !is_none_left
    }

    /// Takes the newest decision back and turns to its next option; false if there is no decision.
    fn back(&mut self, stack: &mut [Frame], chosen: &mut Vec<usize>) -> bool {
        let Some(frame) = stack.last_mut() else {
            return false;
        };
        let element = &self.elements[frame.element];
        match element.holders.get(frame.option) {
            Some(set) => {
                self.kinds[set]
                    .iter()
                    .for_each(|kind| self.is_decided[*kind] = false);
                chosen.pop();
            }
            None => {
                self.is_decided[frame.element] = false;
                self.left_out -= element.weight;
            }
        }
        frame.option += 1;
        true
    }

    fn finish(self, fates: &mut [Fate]) -> Group {
        let (left_out, chosen) = self.best.unwrap_or_default();
        let mut is_covered = vec![false; self.elements.len()];
        for set in &chosen {
            self.kinds[set]
                .iter()
                .for_each(|kind| is_covered[*kind] = true);
        }
        for (set, kinds) in &self.kinds {
            let is_fine = |kind: &usize| is_covered[*kind] || self.elements[*kind].weight < SOLID;
            let all = kinds.iter().all(is_fine);
            fates[*set] = if all { Fate::Covered } else { Fate::LeftOut };
        }
        for set in &chosen {
            fates[*set] = Fate::Chosen;
        }
        Group {
            sets: self.kinds.into_keys().collect(),
            left_out: left_out / SOLID,
        }
    }
}
