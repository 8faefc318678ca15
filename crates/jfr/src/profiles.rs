//! Samples to profiles: expands stacks and labels, over all chunks of a recording.

use cairn_model::{
    About, Attr, Described, Excess, Function, Limits, Line, Link, NONE, ProfileBuilder,
};

use crate::chunk::Chunk;
use crate::decode::TRUNCATED_FRAME;
use crate::events::Events;
use crate::kind::Kind;
use crate::labels::LabelsSnapshot;
use crate::rows::{Correlation, Row, Rows};
use crate::slot::Slot;
use crate::types::{Cell, Key};
use crate::{Error, Map, attrs, names};

/// Bytes that parts of a profile take, roughly.
const FRAME_BYTES: usize = 4;
const LOCATION_BYTES: usize = 64;
const SAMPLE_BYTES: usize = 32;

/// A recording has one event, or a few if it was put together of several.
const PROFILES_MAX: usize = 64;

const EVENT_LABEL: &str = "jfr_event";

/// The profiles in the making.
pub(crate) struct Profiles<'l> {
    limits: &'l Limits,
    snapshot: Option<&'l LabelsSnapshot>,
    profiles: Vec<Growing>,
    /// Bytes that may still be put into profiles: a few bytes of a recording can name a deep stack
    /// or many labels again and again.
    budget: usize,
    pub(crate) truncated_stacks: u64,
    pub(crate) truncated_samples: u64,
    pub(crate) unnamed_labels: u64,
}

struct Growing {
    kind: Kind,
    label: String,
    builder: ProfileBuilder,
    start: i64,
    duration: i64,
}

/// Parts of a profile that came of one chunk.
struct Part<'a, 'c> {
    chunk: &'c Chunk<'a>,
    /// By the method, the frame's type and the line.
    locations: Map<(Key, Option<Key>, i64), u32>,
    /// By position of the correlation.
    labels: Map<u32, (Vec<Attr>, Option<Link>)>,
    /// The stack of the row before, by its key.
    stack: Option<(Key, Stack)>,
}

#[derive(Clone, Copy)]
struct Stack {
    id: u32,
    truncated: bool,
}

struct Frame<'a> {
    method: Cell<'a>,
    frame_type: Cell<'a>,
    line: i64,
}

impl<'l> Profiles<'l> {
    pub(crate) fn new(limits: &'l Limits, snapshot: Option<&'l LabelsSnapshot>) -> Self {
        Self {
            limits,
            snapshot,
            profiles: Vec::new(),
            budget: limits.profile_bytes_max,
            truncated_stacks: 0,
            truncated_samples: 0,
            unnamed_labels: 0,
        }
    }

    /// Adds the samples of a chunk to the profiles with this label.
    pub(crate) fn add<'a>(
        &mut self,
        events: &Events<'a, '_>,
        rows: Rows<'a>,
        label: &str,
    ) -> Result<(), Error> {
        for (kind, mut of_kind) in Kind::ALL.into_iter().zip(rows.kinds) {
            if of_kind.rows.is_empty() && of_kind.left_out == 0 {
                continue;
            }
            // Equal stacks side by side, so that each is expanded once a profile.
            of_kind.rows.sort_by_key(|row| row.stack.key());
            let found = self
                .profiles
                .iter()
                .position(|profile| profile.kind == kind && profile.label == label);
            if found.is_none() && self.profiles.len() >= PROFILES_MAX {
                return Err(Error::undecodable(format!(
                    "more than {PROFILES_MAX} profiles of different events"
                )));
            }
            let mut growing = match found {
                Some(at) => self.profiles.swap_remove(at),
                None => Growing::new(kind, label),
            };
            growing.cover(events);
            let mut part = Part {
                chunk: events.chunk,
                locations: Map::default(),
                labels: Map::default(),
                stack: None,
            };
            for row in &of_kind.rows {
                self.sample(&mut growing, &mut part, row, &rows.correlations)?;
            }
            if of_kind.left_out > 0 {
                self.leave_out(&mut growing, of_kind.left_out, of_kind.rest);
            }
            self.profiles.push(growing);
        }
        Ok(())
    }

    /// The profiles in the order of their kinds.
    pub(crate) fn finish(&mut self) -> Vec<Described> {
        let mut profiles = std::mem::take(&mut self.profiles);
        profiles.sort_by(|a, b| (a.kind, &a.label).cmp(&(b.kind, &b.label)));
        profiles.into_iter().map(Growing::finish).collect()
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Error> {
        match self.budget.checked_sub(bytes) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => {
                let (what, max) = ("bytes of its profiles", self.limits.profile_bytes_max);
                Err(Error::over(what, "profile_bytes_max", max))
            }
        }
    }

    fn sample<'a>(
        &mut self,
        growing: &mut Growing,
        part: &mut Part<'a, '_>,
        row: &Row<'a>,
        correlations: &[Correlation],
    ) -> Result<(), Error> {
        let max = self.limits.samples_max;
        if growing.builder.len() >= max {
            if self.limits.excess == Excess::Refuse {
                return Err(Error::over("its samples", "samples_max", max));
            }
            self.leave_out(growing, 1, row.values);
            return Ok(());
        }
        let (kind, builder) = (growing.kind, &mut growing.builder);
        let key = row.stack.key();
        let stack = match part.stack {
            Some((before, stack)) if key == Some(before) => stack,
            _ => self.stack(builder, part, row.stack)?,
        };
        self.truncated_stacks += u64::from(stack.truncated);
        if !part.labels.contains_key(&row.correlation) {
            let correlation = &correlations[row.correlation as usize];
            let read = attrs::Source {
                chunk: part.chunk,
                snapshot: self.snapshot,
                limits: self.limits,
            };
            let read = read.read(builder, correlation)?;
            self.charge(read.bytes)?;
            self.unnamed_labels += read.unnamed;
            part.labels.insert(row.correlation, (read.attrs, read.link));
        }
        let (attrs, link) = &part.labels[&row.correlation];
        self.charge(SAMPLE_BYTES + attrs.len() * attrs::ATTR_BYTES)?;
        let about = About {
            attrs,
            link: *link,
            points: &[],
        };
        let values = &row.values[..kind.types().len()];
        builder.sample_of(stack.id, values, about);
        part.stack = key.map(|key| (key, stack));
        Ok(())
    }

    /// Adds samples that there is no room for, summed, to the one that stands for all of these.
    fn leave_out(&mut self, growing: &mut Growing, samples: u64, sums: [i64; 2]) {
        let columns = growing.kind.types().len();
        growing.builder.leave_out(&sums[..columns]);
        self.truncated_samples += samples;
    }

    fn stack<'a>(
        &mut self,
        builder: &mut ProfileBuilder,
        part: &mut Part<'a, '_>,
        stack: Cell<'a>,
    ) -> Result<Stack, Error> {
        let (types, pools) = (&part.chunk.types, &part.chunk.pools);
        let [frames, truncated] = pools.parts(types, stack, [Slot::Frames, Slot::Truncated])?;
        let Cell::Array {
            class,
            count,
            mut bytes,
        } = frames
        else {
            return Err(Error::undecodable("a stack has no frames"));
        };
        let depth_max = self.limits.depth_max;
        if count > depth_max && self.limits.excess == Excess::Refuse {
            return Err(Error::over("frames of a stack", "depth_max", depth_max));
        }
        let truncated = truncated.int() != 0 || count > depth_max;
        let kept = if truncated {
            count.min(depth_max.saturating_sub(1))
        } else {
            count
        };
        self.charge(kept * FRAME_BYTES)?;
        let mut locations = Vec::with_capacity(kept + usize::from(truncated));
        for _ in 0..kept {
            let wanted = [Slot::Method, Slot::LineNumber, Slot::Type];
            let [method, line, frame_type] = types.read(class, &mut bytes, wanted)?;
            let frame = Frame {
                method,
                frame_type,
                line: line.int().max(0),
            };
            locations.push(self.location(builder, part, &frame)?);
        }
        if truncated {
            locations.push(builder.frame(TRUNCATED_FRAME));
        }
        Ok(Stack {
            id: builder.stack(&locations),
            truncated,
        })
    }

    fn location<'a>(
        &mut self,
        builder: &mut ProfileBuilder,
        part: &mut Part<'a, '_>,
        frame: &Frame<'a>,
    ) -> Result<u32, Error> {
        let key = frame.method.key();
        let key = key.map(|key| (key, frame.frame_type.key(), frame.line));
        if let Some(location) = key.and_then(|key| part.locations.get(&key)) {
            return Ok(*location);
        }
        let named = names::named(part.chunk, frame.method, frame.frame_type)?;
        let max = self.limits.string_bytes_max;
        if named.name.len() > max {
            return Err(Error::over("a frame's name", "string_bytes_max", max));
        }
        self.charge(LOCATION_BYTES + named.name.len() + named.file.len())?;
        let function = Function {
            name: builder.str(&named.name),
            file: builder.str(&named.file),
            ..Function::default()
        };
        let line = Line {
            function: builder.function(function),
            line: frame.line,
            column: 0,
        };
        let location = builder.location(NONE, 0, &[line]);
        if let Some(key) = key {
            part.locations.insert(key, location);
        }
        Ok(location)
    }
}

impl Growing {
    fn new(kind: Kind, label: &str) -> Self {
        let mut builder = ProfileBuilder::default();
        for (name, unit) in kind.types() {
            builder.value_type(name, unit);
        }
        Self {
            kind,
            label: label.to_owned(),
            builder,
            start: i64::MAX,
            duration: 0,
        }
    }

    fn cover(&mut self, events: &Events<'_, '_>) {
        let header = &events.chunk.header;
        self.start = self.start.min(header.start);
        self.duration = self.duration.saturating_add(header.duration);
        if let Some((name, unit)) = self.kind.period_type() {
            self.builder
                .set_period(name, unit, events.period(self.kind));
        }
    }

    fn finish(mut self) -> Described {
        self.builder.set_time(self.start, self.duration);
        Described {
            name: Some(self.kind.name().to_owned()),
            labels: vec![(EVENT_LABEL.to_owned(), self.label)],
            profile: self.builder.finish(),
        }
    }
}
