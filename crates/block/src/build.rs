//! Builds a block of one or more inputs: the one writer behind heads and merges.
//!
//! Two passes over the rows: the first counts, so that frequent stacks get small numbers and what
//! no row uses is left out; the second writes. Only one run of rows is in memory at a time.

use cairn_model::{Labels, Link, NONE, ProfileType, TimeRange};
use cairn_trie::Group;
use hashbrown::HashMap;

use crate::cursor::{Cursor, Source};
use crate::merge::MergeError;
use crate::origins::{LogName, Origins};
use crate::repeats::{Held, repeats};
use crate::samples::{self, Distinct};
use crate::tables::{AttrSet, Index, Links, ProfileRow, RowKey, RowRange, Stacks};
use crate::toc::Toc;
use crate::traces::Traces;
use crate::unify::{Origin, Refused, Union};
use crate::write::{Built, Info};
use crate::{Error, index, symbols, table};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The label that says whose rows should lie together.
const SERVICE: &str = "service_name";

pub(crate) struct Input<'a> {
    pub(crate) index: &'a Index,
    pub(crate) links: &'a Links,
    pub(crate) stacks: Origin<'a>,
    pub(crate) rows: Source<'a>,
    /// What the logs of profiles count.
    pub(crate) logs: Vec<LogName>,
    /// Of a block.
    pub(crate) range: Option<TimeRange>,
    /// Profiles that stay out; empty if there are none.
    pub(crate) left_out: &'a [bool],
}

impl Input<'_> {
    fn held(&self) -> Held<'_> {
        Held {
            index: self.index,
            logs: &self.logs,
        }
    }

    /// Where the logs of the profiles are among all.
    fn log_map(&self, all: &[LogName]) -> Vec<u32> {
        let find = |log| all.binary_search(log).map_or(NONE, |at| at as u32);
        self.logs.iter().map(find).collect()
    }
}

/// One profile that goes into the block, in the order of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Placed {
    profile_type: u32,
    label_set: u32,
    time: i64,
    input: u32,
    position: u32,
}

/// Profiles in order, with the types and label sets that they use.
struct Plan {
    types: Vec<ProfileType>,
    label_sets: Vec<Labels>,
    profiles: Vec<Placed>,
}

pub(crate) fn build(
    inputs: &[Input<'_>],
    (level, origins): (u8, &Origins),
    stacks_bytes_max: usize,
) -> Result<Built, MergeError> {
    let stacks_bytes_max = room(inputs, stacks_bytes_max)?;
    let plan = Plan::new(inputs)?;
    let range = plan.time_range(inputs);
    let range = range.ok_or(MergeError::Output(Error::Empty))?;
    let mut used = Used::count(inputs, &plan)?;
    let output = MergeError::Output;
    let properties = table::properties(level);
    let mut stack_maps = std::mem::take(&mut used.stacks);
    let stacks = unify(inputs, &mut stack_maps, stacks_bytes_max)?;
    let (links, link_maps) = unite_links(inputs, &used.links);
    let distinct = Distinct {
        rows: used.rows,
        attrs: used.attrs + 1,
        links: links.len(),
        has_times: used.has_times,
    };
    let logs = origins.logs();
    let writer = samples::Writer::new(distinct, properties.clone()).map_err(output)?;
    let mut rows = Rows {
        writer,
        stacks: stack_maps,
        links: link_maps,
        linked: Vec::new(),
        attrs: Attrs::new(inputs),
        logs: inputs.iter().map(|input| input.log_map(&logs)).collect(),
        next: 0,
        scratch: Vec::new(),
    };
    let profiles = rows.write(inputs, &plan)?;
    (rows.stacks, rows.links) = Default::default();
    let links = with_profiles(links, std::mem::take(&mut rows.linked));
    let index = Index {
        types: plan.types,
        label_sets: plan.label_sets,
        profiles,
        attr_sets: rows.attrs.sets,
        postings: None,
    };
    let info = Info {
        range,
        rows: rows.next,
        profiles: index.profiles.len() as u64,
        bytes: 0,
    };
    let counts = (stacks.nodes.len() as u32, index.attr_sets.len() as u32);
    let rows = rows.writer.finish().map_err(output)?;
    let symbols = symbols::write(&stacks, &properties).map_err(output)?;
    drop(stacks);
    let (apart, at_end) = index::write((&index, &links), origins, &properties).map_err(output)?;
    // What is needed first lies last, where rows end with what says where each is: most of that
    // comes with the table of contents.
    let sections = symbols.into_iter().chain(apart).chain([rows]).chain(at_end);
    let traces = Traces::new(&index, &links);
    let bytes = Toc::new(&info, (level, origins), counts).finish(sections.collect(), traces);
    let info = Info {
        bytes: bytes.len() as u64,
        ..info
    };
    Ok(Built { bytes, info })
}

/// Refuses inputs that take too much memory before they are unpacked: gives what is left for the
/// union of their stacks.
fn room(inputs: &[Input<'_>], bytes_max: usize) -> Result<usize, MergeError> {
    let mut left = bytes_max;
    for (fit, input) in inputs.iter().enumerate() {
        // How many rows each stack has, and then where it went; indexes, as they are and as they
        // will be.
        let bytes = input.stacks.stacks() * size_of::<u32>()
            + 2 * (input.index.bytes() + input.links.bytes());
        left = left.checked_sub(bytes).ok_or(MergeError::TooLarge {
            fit,
            what: "more memory for indexes than there may be",
        })?;
    }
    Ok(left)
}

/// The stacks of all inputs as one. `maps` says how many rows each stack of each input has, and
/// afterwards which stack it became.
fn unify(
    inputs: &[Input<'_>],
    maps: &mut [Vec<u32>],
    bytes_max: usize,
) -> Result<Stacks, MergeError> {
    let mut union = Union::new(bytes_max);
    for (position, (input, map)) in inputs.iter().zip(&mut *maps).enumerate() {
        let added = union.add(input.stacks, map);
        added.map_err(|refused| match refused {
            Refused::Unreadable(source) => MergeError::Input { position, source },
            Refused::TooLarge(what) => MergeError::TooLarge {
                fit: position,
                what,
            },
        })?;
    }
    Ok(union.finish(maps))
}

impl Plan {
    fn new(inputs: &[Input<'_>]) -> Result<Self, MergeError> {
        let indexes: Vec<&Index> = inputs.iter().map(|input| input.index).collect();
        let held: Vec<Held<'_>> = inputs.iter().map(Input::held).collect();
        let mut left_out = repeats(&held);
        for (all, input) in left_out.iter_mut().zip(inputs) {
            for (left_out, more) in all.iter_mut().zip(input.left_out) {
                *left_out |= more;
            }
        }
        let kept = || {
            let inputs = indexes.iter().zip(&left_out).enumerate();
            inputs.flat_map(|(input, (index, left_out))| {
                let rows = index.profiles.iter().zip(left_out).enumerate();
                rows.filter(|(_, (_, left_out))| !**left_out)
                    .map(move |(position, (row, _))| (input, position, row))
            })
        };
        let mut types: Vec<&ProfileType> = kept()
            .map(|(input, _, row)| &indexes[input].types[row.profile_type as usize])
            .collect();
        types.sort_unstable();
        types.dedup();
        let mut sets: Map<&Labels, u32> = Map::default();
        for (input, _, row) in kept() {
            sets.insert(&indexes[input].label_sets[row.label_set as usize], 0);
        }
        let mut label_sets: Vec<&Labels> = sets.keys().copied().collect();
        label_sets.sort_unstable_by_key(|labels| (labels.get(SERVICE), *labels));
        for (rank, labels) in (0..).zip(&label_sets) {
            sets.insert(labels, rank);
        }
        let mut profiles: Vec<Placed> = kept()
            .map(|(input, position, row)| {
                let index = indexes[input];
                let profile_type = &index.types[row.profile_type as usize];
                let found = types.binary_search(&profile_type);
                Placed {
                    profile_type: found.expect("every type is in the list") as u32,
                    label_set: sets[&index.label_sets[row.label_set as usize]],
                    time: row.time,
                    input: input as u32,
                    position: position as u32,
                }
            })
            .collect();
        if profiles.len() >= NONE as usize {
            return Err(MergeError::TooLarge {
                fit: inputs.len() / 2,
                what: "4 billion profiles",
            });
        }
        // Inputs that are blocks are sorted runs already, which this sort takes as they are.
        profiles.sort();
        Ok(Self {
            types: types.into_iter().cloned().collect(),
            label_sets: label_sets.into_iter().cloned().collect(),
            profiles,
        })
    }

    /// Of the profiles, or, if none is left, of the blocks that had some.
    fn time_range(&self, inputs: &[Input<'_>]) -> Option<TimeRange> {
        let union = |a: TimeRange, b: TimeRange| a.union(&b);
        let times = self.profiles.iter().map(|placed| TimeRange {
            start: placed.time,
            end: placed.time,
        });
        let blocks = inputs.iter().filter_map(|input| input.range);
        times.reduce(union).or_else(|| blocks.reduce(union))
    }

    /// Calls `each` with every profile and a cursor over its input.
    fn walk<'a>(
        &self,
        inputs: &[Input<'a>],
        mut each: impl FnMut(&Placed, &ProfileRow, &mut Cursor<'a>) -> Result<(), MergeError>,
    ) -> Result<(), MergeError> {
        let mut cursors: Vec<_> = inputs.iter().map(|input| input.rows.cursor()).collect();
        for placed in &self.profiles {
            let input = placed.input as usize;
            let row = &inputs[input].index.profiles[placed.position as usize];
            each(placed, row, &mut cursors[input])?;
        }
        Ok(())
    }
}

fn input_error(placed: &Placed) -> impl Fn(Error) -> MergeError {
    let position = placed.input as usize;
    move |source| MergeError::Input { position, source }
}

/// What the rows of the block refer to.
struct Used {
    rows: u64,
    /// Rows per stack, per input.
    stacks: Vec<Vec<u32>>,
    /// Which links have rows, per input.
    links: Vec<Vec<bool>>,
    /// How many sets of sample labels have rows, the empty one aside.
    attrs: usize,
    has_times: bool,
}

impl Used {
    fn count(inputs: &[Input<'_>], plan: &Plan) -> Result<Self, MergeError> {
        let stacks = inputs.iter().map(|input| vec![0; input.stacks.stacks()]);
        let mut used = Self {
            rows: 0,
            stacks: stacks.collect(),
            links: inputs
                .iter()
                .map(|input| vec![false; input.links.list.len()])
                .collect(),
            attrs: 0,
            has_times: false,
        };
        let mut attrs: Vec<Vec<bool>> = inputs
            .iter()
            .map(|input| vec![false; input.index.attr_sets.len()])
            .collect();
        plan.walk(inputs, |placed, row, cursor| {
            let input = placed.input as usize;
            let (stacks, links, attrs) = (
                &mut used.stacks[input],
                &mut used.links[input],
                &mut attrs[input],
            );
            used.rows += u64::from(row.rows.len);
            let visited = cursor.visit(row.rows, &mut |rows, range| {
                for stack in &rows.stacks[range.clone()] {
                    let count: &mut u32 = &mut stacks[*stack as usize];
                    *count = count.saturating_add(1);
                }
                let times = rows.times.get(range.clone());
                used.has_times |= times.is_some_and(|times| times.iter().any(|time| *time != 0));
                if !rows.attrs.is_empty() || !rows.links.is_empty() {
                    for row in range {
                        attrs[rows.attr(row) as usize] = true;
                        links[rows.link(row) as usize] = true;
                    }
                }
            });
            visited.map_err(input_error(placed))
        })?;
        let others = attrs.iter().flat_map(|attrs| attrs.iter().skip(1));
        used.attrs = others.filter(|used| **used).count();
        Ok(used)
    }
}

/// Links of the block, sorted, and per input: link there -> link here.
fn unite_links(inputs: &[Input<'_>], used: &[Vec<bool>]) -> (Vec<Link>, Vec<Vec<u32>>) {
    let mut links = vec![Link::default()];
    for (input, used) in inputs.iter().zip(used) {
        let used_links = input.links.list.iter().zip(used);
        let used_links = used_links.filter(|(_, used)| **used);
        links.extend(used_links.map(|(link, _)| *link));
    }
    links.sort_unstable();
    links.dedup();
    let find = |link: &Link| links.binary_search(link).map_or(NONE, |at| at as u32);
    let maps = inputs
        .iter()
        .map(|input| input.links.list.iter().map(find).collect())
        .collect();
    (links, maps)
}

/// Pairs of a link and a profile with rows of it.
fn with_profiles(list: Vec<Link>, mut linked: Vec<(u32, u32)>) -> Links {
    linked.sort_unstable();
    let mut links = Links::new(list);
    let mut rest = linked.into_iter().peekable();
    let mut profiles = Vec::new();
    for link in 0..links.list.len() as u32 {
        profiles.clear();
        while let Some((_, profile)) = rest.next_if(|(of, _)| *of == link) {
            profiles.push(profile);
        }
        links.push_profiles(&profiles);
    }
    links
}

/// Sets of sample labels, numbered in the order in which rows use them.
struct Attrs {
    sets: Vec<AttrSet>,
    known: Map<AttrSet, u32>,
    maps: Vec<Vec<u32>>,
}

impl Attrs {
    fn new(inputs: &[Input<'_>]) -> Self {
        let map = |input: &Input<'_>| {
            let mut map = vec![NONE; input.index.attr_sets.len()];
            map[0] = 0;
            map
        };
        Self {
            sets: vec![Group::default()],
            known: Map::from_iter([(Group::default(), 0)]),
            maps: inputs.iter().map(map).collect(),
        }
    }

    fn map(&mut self, index: &Index, input: usize, attr: u32) -> u32 {
        let slot = &mut self.maps[input][attr as usize];
        if *slot == NONE {
            let set = &index.attr_sets[attr as usize];
            let next = self.sets.len() as u32;
            *slot = match self.known.get(set) {
                Some(known) => *known,
                None => {
                    self.known.insert(set.clone(), next);
                    self.sets.push(set.clone());
                    next
                }
            };
        }
        *slot
    }
}

/// Rows on their way into the section.
struct Rows {
    writer: samples::Writer,
    stacks: Vec<Vec<u32>>,
    links: Vec<Vec<u32>>,
    /// Links, and profiles with rows of them.
    linked: Vec<(u32, u32)>,
    attrs: Attrs,
    /// Per input: log there -> log here.
    logs: Vec<Vec<u32>>,
    /// Rows written so far.
    next: u64,
    scratch: Vec<(RowKey, i64)>,
}

impl Rows {
    fn write(&mut self, inputs: &[Input<'_>], plan: &Plan) -> Result<Vec<ProfileRow>, MergeError> {
        let mut profiles = Vec::with_capacity(plan.profiles.len());
        plan.walk(inputs, |placed, row, cursor| {
            let input = placed.input as usize;
            let index = inputs[input].index;
            self.scratch.clear();
            let visited = cursor.visit(row.rows, &mut |rows, range| {
                for row in range {
                    let stack = self.stacks[input][rows.stacks[row] as usize];
                    let attr = match rows.attr(row) {
                        0 => 0,
                        attr => self.attrs.map(index, input, attr),
                    };
                    let link = self.links[input][rows.link(row) as usize];
                    let key = RowKey {
                        stack,
                        attr,
                        link,
                        time: rows.time(row),
                    };
                    self.scratch.push((key, rows.values[row]));
                }
            });
            visited.map_err(input_error(placed))?;
            let start = self.next;
            self.flush(profiles.len() as u32)
                .map_err(MergeError::Output)?;
            profiles.push(ProfileRow {
                profile_type: placed.profile_type,
                label_set: placed.label_set,
                rows: RowRange {
                    start,
                    len: (self.next - start) as u32,
                },
                log: self.logs[input]
                    .get(row.log as usize)
                    .copied()
                    .unwrap_or(NONE),
                ..*row
            });
            Ok(())
        })?;
        Ok(profiles)
    }

    /// Writes the rows of one profile, equal ones added up.
    fn flush(&mut self, profile: u32) -> Result<(), Error> {
        self.scratch.sort_unstable_by_key(|(row, _)| *row);
        let linked = self.linked.len();
        let mut rows = self.scratch.iter().copied().peekable();
        while let Some((row, mut value)) = rows.next() {
            while let Some((_, more)) = rows.next_if(|(next, _)| *next == row) {
                value = value.wrapping_add(more);
            }
            if value != 0 {
                self.writer.push(row, value)?;
                self.next += 1;
                if row.link != 0 {
                    self.linked.push((row.link, profile));
                }
            }
        }
        // Often all rows of a profile have one link.
        let mut of_profile = self.linked.split_off(linked);
        of_profile.sort_unstable();
        of_profile.dedup();
        self.linked.append(&mut of_profile);
        Ok(())
    }
}
