//! Makes a profile of parts that come one by one, equal parts made one.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::limits::TRUNCATED_FRAME;
use crate::profile::{
    Addressing, Attr, Function, Line, Link, Location, Mapping, NONE, Point, Profile, StrId, Tables,
    ValueType,
};
use crate::rest::Rest;
use crate::stack_index::StackIndex;

type Map<K, V> = HashMap<K, V, RandomState>;

/// Functions, lines and columns of a location.
type Lines = Box<[(u32, i64, i64)]>;

/// A profile, and what its format says about it besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// First part of the profile type, where the format has one.
    pub name: Option<String>,
    /// In the order in which they were sent.
    pub labels: Vec<(String, String)>,
    pub profile: Profile,
}

/// A profile in the making. Callers bound what they put in: positions have 32 bits.
#[derive(Debug, Default)]
pub struct ProfileBuilder {
    profile: Profile,
    tables: Tables,
    strings: Map<Box<str>, StrId>,
    functions: Map<(StrId, StrId, StrId, i64), u32>,
    mappings: Map<(StrId, StrId, Addressing), u32>,
    /// By mapping, address and lines: those without lines are told by the first two.
    locations: Map<(u32, u64, Lines), u32>,
    frames: Map<StrId, u32>,
    stacks: StackIndex,
    links: Map<Link, u32>,
    rest: Rest,
}

/// What a sample says besides its stack and values.
#[derive(Clone, Copy, Debug, Default)]
pub struct About<'a> {
    pub attrs: &'a [Attr],
    pub link: Option<Link>,
    /// Their values add up to the sample's only one.
    pub points: &'a [Point],
}

impl ProfileBuilder {
    pub fn str(&mut self, text: &str) -> StrId {
        if text.is_empty() {
            return 0;
        }
        if let Some(id) = self.strings.get(text) {
            return *id;
        }
        let id = self.tables.strings.push(text);
        self.strings.insert(text.into(), id);
        id
    }

    /// Appends a column of values.
    pub fn value_type(&mut self, kind: &str, unit: &str) {
        let value_type = self.typed(kind, unit);
        self.profile.types.push(value_type);
    }

    pub fn set_period(&mut self, kind: &str, unit: &str, period: i64) {
        self.profile.period_type = self.typed(kind, unit);
        self.profile.period = period;
    }

    /// Start and length in nanoseconds; a length of 0 is a snapshot.
    pub fn set_time(&mut self, time: i64, duration: i64) {
        self.profile.time = time;
        self.profile.duration = duration;
    }

    pub fn function(&mut self, function: Function) -> u32 {
        let Function {
            name,
            system_name,
            file,
            start_line,
        } = function;
        let next = self.tables.functions.len() as u32;
        let key = (name, system_name, file, start_line);
        let id = *self.functions.entry(key).or_insert(next);
        if id == next {
            self.tables.functions.push(function);
        }
        id
    }

    pub fn mapping(&mut self, mapping: Mapping) -> u32 {
        let next = self.tables.mappings.len() as u32;
        let key = (mapping.file, mapping.build_id, mapping.addressing);
        let id = *self.mappings.entry(key).or_insert(next);
        if id == next {
            self.tables.mappings.push(mapping);
        }
        id
    }

    /// `mapping` is a position or [`NONE`]; `lines` are innermost first.
    pub fn location(&mut self, mapping: u32, address: u64, lines: &[Line]) -> u32 {
        let key = lines.iter().map(|l| (l.function, l.line, l.column));
        let key = (mapping, address, key.collect());
        if let Some(id) = self.locations.get(&key) {
            return *id;
        }
        let start = self.tables.lines.len() as u32;
        self.tables.lines.extend_from_slice(lines);
        let id = self.tables.locations.len() as u32;
        self.tables.locations.push(Location {
            mapping,
            address,
            lines: (start, self.tables.lines.len() as u32),
        });
        self.locations.insert(key, id);
        id
    }

    /// The location of a frame of which only the name is known.
    pub fn frame(&mut self, name: &str) -> u32 {
        let name = self.str(name);
        if let Some(id) = self.frames.get(&name) {
            return *id;
        }
        let function = self.function(Function {
            name,
            ..Function::default()
        });
        let line = Line {
            function,
            ..Line::default()
        };
        let id = self.location(NONE, 0, &[line]);
        self.frames.insert(name, id);
        id
    }

    /// One value per column; the stack is leaf first. Equal samples stay apart.
    pub fn sample(&mut self, stack: &[u32], values: &[i64], about: About<'_>) {
        let stack = self.stack(stack);
        self.sample_of(stack, values, about);
    }

    /// The same with a stack that is there already.
    pub fn sample_of(&mut self, stack: u32, values: &[i64], about: About<'_>) {
        debug_assert_eq!(values.len(), self.profile.types.len());
        let before = self.profile.samples.len();
        let link = about.link.map(|link| self.link(link));
        let samples = &mut self.profile.samples;
        samples.stacks.push(stack);
        samples.values.extend_from_slice(values);
        if !about.attrs.is_empty() && samples.attr_ends.is_empty() {
            samples.attr_ends.resize(before, 0);
        }
        if !about.attrs.is_empty() || !samples.attr_ends.is_empty() {
            samples.attrs.extend_from_slice(about.attrs);
            samples.attr_ends.push(samples.attrs.len() as u32);
        }
        if link.is_some() && samples.links.is_empty() {
            samples.links.resize(before, NONE);
        }
        if link.is_some() || !samples.links.is_empty() {
            samples.links.push(link.unwrap_or(NONE));
        }
        if !about.points.is_empty() && samples.point_ends.is_empty() {
            samples.point_ends.resize(before, 0);
        }
        if !about.points.is_empty() || !samples.point_ends.is_empty() {
            samples.points.extend_from_slice(about.points);
            samples.point_ends.push(samples.points.len() as u32);
        }
    }

    /// Leaves a sample with these values out; one sample at the end stands for all of these.
    pub fn leave_out(&mut self, values: &[i64]) {
        debug_assert_eq!(values.len(), self.profile.types.len());
        self.rest.add(values);
    }

    /// How many samples are left out.
    pub fn left_out(&self) -> u64 {
        self.rest.count()
    }

    /// How many samples there are so far.
    pub fn len(&self) -> usize {
        self.profile.samples.len()
    }

    pub fn is_empty(&self) -> bool {
        self.profile.samples.is_empty()
    }

    pub fn finish(self) -> Profile {
        let (mut profile, tables) = self.into_parts();
        profile.tables = Arc::new(tables);
        profile
    }

    /// The profile without its tables, and these, for who adds samples in another way.
    pub fn into_parts(mut self) -> (Profile, Tables) {
        if self.rest.count() > 0 {
            let marker = self.frame(TRUNCATED_FRAME);
            let stack = self.stack(&[marker]);
            self.profile.samples.push_rest(&self.rest, stack);
        }
        (self.profile, self.tables)
    }

    fn typed(&mut self, kind: &str, unit: &str) -> ValueType {
        ValueType {
            kind: self.str(kind),
            unit: self.str(unit),
        }
    }

    /// Locations, leaf first, as a stack.
    pub fn stack(&mut self, locations: &[u32]) -> u32 {
        self.stacks.intern(&mut self.tables.stacks, locations)
    }

    fn link(&mut self, link: Link) -> u32 {
        let next = self.tables.links.len() as u32;
        let id = *self.links.entry(link).or_insert(next);
        if id == next {
            self.tables.links.push(link);
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::AttrValue;

    #[test]
    fn equal_parts_become_one_and_samples_stay_apart() {
        let mut builder = ProfileBuilder::default();
        builder.value_type("samples", "count");
        let (main, work) = (builder.frame("main"), builder.frame("work"));
        assert_eq!(builder.frame("main"), main);
        let key = builder.str("thread");
        let value = AttrValue::Str(builder.str("worker"));
        builder.sample(&[work, main], &[1], About::default());
        let link = Link {
            trace_id: [1; 16],
            span_id: [2; 8],
        };
        let points = [Point { time: 5, value: 2 }];
        let about = About {
            attrs: &[Attr { key, value }],
            link: Some(link),
            points: &points,
        };
        builder.sample(&[main], &[2], about);
        builder.sample(&[main], &[3], About::default());
        builder.leave_out(&[40]);
        builder.leave_out(&[2]);
        assert_eq!((builder.len(), builder.left_out()), (3, 2));
        let profile = builder.finish();
        assert_eq!(profile.tables.functions.len(), 3);
        assert_eq!(profile.tables.stacks.len(), 3);
        let samples = &profile.samples;
        assert_eq!(profile.stack(0), [work, main]);
        assert_eq!(samples.attrs(0), []);
        assert_eq!(samples.attrs(1).len(), 1);
        assert_eq!(samples.attrs(2), []);
        let links: Vec<_> = (0..4).map(|at| samples.link(at)).collect();
        assert_eq!(links, [None, Some(0), None, None]);
        let points: Vec<usize> = (0..4).map(|at| samples.points(at).len()).collect();
        assert_eq!(points, [0, 1, 0, 0]);
        assert_eq!(samples.len(), 4);
        assert_eq!(profile.values(3), [42]);
        let rest = profile.lines(profile.stack(3)[0])[0].function as usize;
        let rest = profile.tables.functions[rest];
        assert_eq!(profile.str(rest.name), TRUNCATED_FRAME);
        assert_eq!(profile.tables.links, [link]);
    }
}
