//! Events to samples: which fields count, and for which profiles.

use crate::chunk::Chunk;
use crate::decode::Options;
use crate::kind::{Event, Kind};
use crate::reader::Reader;
use crate::rows::{Correlation, Rows};
use crate::settings::Settings;
use crate::slot::Slot;
use crate::types::{Cell, Key};
use crate::{Error, Map};

const RUNNABLE: &str = "STATE_RUNNABLE";
const SLEEPING: &str = "STATE_SLEEPING";

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Runnable,
    Sleeping,
    Other,
}

/// Reads the events of one chunk.
pub(crate) struct Events<'a, 'c> {
    pub(crate) chunk: &'c Chunk<'a>,
    options: &'c Options,
    samples_wall: bool,
    cpu_period: i64,
    wall_period: i64,
    states: Map<Key, State>,
    /// Whether the stack of a key has frames.
    with_frames: Map<Key, bool>,
}

/// Fields of any event that is a sample.
const WANTED: [Slot; 15] = [
    Slot::StackTrace,
    Slot::State,
    Slot::ContextId,
    Slot::SpanId,
    Slot::SpanName,
    Slot::TraceIdHi,
    Slot::TraceIdLo,
    Slot::SampledThread,
    Slot::EventThread,
    Slot::Samples,
    Slot::TlabSize,
    Slot::AllocationSize,
    Slot::Weight,
    Slot::Duration,
    Slot::Size,
];

impl<'a, 'c> Events<'a, 'c> {
    pub(crate) fn new(chunk: &'c Chunk<'a>, options: &'c Options, settings: &Settings) -> Self {
        let fallback = 1_000_000_000
            / i64::from(match options.sample_rate {
                0 => Options::default().sample_rate,
                rate => rate,
            });
        Self {
            chunk,
            options,
            samples_wall: settings.samples_wall(),
            cpu_period: settings.cpu_period().unwrap_or(fallback),
            wall_period: settings.wall_period().unwrap_or(fallback),
            states: Map::default(),
            with_frames: Map::default(),
        }
    }

    pub(crate) fn period(&self, kind: Kind) -> i64 {
        match kind {
            Kind::Cpu => self.cpu_period,
            Kind::Wall => self.wall_period,
            Kind::AllocInNewTlab
            | Kind::AllocOutsideTlab
            | Kind::AllocSample
            | Kind::Mutex
            | Kind::Block
            | Kind::Live
            | Kind::Malloc => 0,
        }
    }

    /// Adds an event's samples; `false` if it has no stack or means nothing.
    pub(crate) fn add(
        &mut self,
        rows: &mut Rows<'a>,
        event: Event,
        class: u32,
        mut fields: Reader<'a>,
    ) -> Result<bool, Error> {
        let chunk = self.chunk;
        let cells = chunk.types.read(class, &mut fields, WANTED)?;
        let [
            stack,
            state,
            context,
            span,
            span_name,
            hi,
            lo,
            sampled,
            thread,
            amounts @ ..,
        ] = cells;
        let [samples, tlab_size, allocation_size, weight, duration, size] =
            amounts.map(|cell| cell.int().max(0));
        if !self.has_frames(stack)? {
            return Ok(false);
        }
        let thread = match sampled {
            Cell::Absent => thread,
            sampled => sampled,
        };
        let threads = chunk.pools.threads.filter(|_| self.options.threads);
        let correlation = Correlation {
            context: context.int(),
            span: span.int(),
            span_name: span_name.int(),
            trace: (hi.int(), lo.int()),
            thread: match thread.key() {
                Some((class, key)) if threads == Some(class) => key,
                _ => 0,
            },
        };
        let mut add = |kind, values| rows.add(kind, stack, &correlation, values);
        match event {
            Event::Setting => return Ok(false),
            Event::Execution => {
                let asleep = self.state(state)? == State::Sleeping;
                if !asleep {
                    add(Kind::Cpu, [self.cpu_period, 0])?;
                }
                if self.samples_wall {
                    add(Kind::Wall, [self.wall_period, 0])?;
                }
                return Ok(!asleep || self.samples_wall);
            }
            Event::WallClock => {
                let elapsed = samples.saturating_mul(self.wall_period);
                // Beside another event, that one tells what the processor does.
                if self.samples_wall && self.state(state)? == State::Runnable {
                    add(Kind::Cpu, [elapsed, 0])?;
                }
                add(Kind::Wall, [elapsed, 0])?;
            }
            Event::AllocInNewTlab => add(Kind::AllocInNewTlab, [1, tlab_size])?,
            Event::AllocOutsideTlab => add(Kind::AllocOutsideTlab, [1, allocation_size])?,
            Event::AllocSample => add(Kind::AllocSample, [1, weight])?,
            Event::MonitorEnter => add(Kind::Mutex, [1, chunk.header.nanoseconds(duration)])?,
            Event::ThreadPark => add(Kind::Block, [1, chunk.header.nanoseconds(duration)])?,
            Event::LiveObject => add(Kind::Live, [1, 0])?,
            Event::Malloc => add(Kind::Malloc, [1, size])?,
        }
        Ok(true)
    }

    fn has_frames(&mut self, stack: Cell<'a>) -> Result<bool, Error> {
        let key = stack.key();
        if let Some(has) = key.and_then(|key| self.with_frames.get(&key)) {
            return Ok(*has);
        }
        let chunk = self.chunk;
        let [frames] = chunk.pools.parts(&chunk.types, stack, [Slot::Frames])?;
        let has = matches!(frames, Cell::Array { count: 1.., .. });
        if let Some(key) = key {
            self.with_frames.insert(key, has);
        }
        Ok(has)
    }

    fn state(&mut self, cell: Cell<'a>) -> Result<State, Error> {
        let key = cell.key();
        if let Some(state) = key.and_then(|key| self.states.get(&key)) {
            return Ok(*state);
        }
        let state = match &*self.chunk.pools.text(&self.chunk.types, cell)? {
            RUNNABLE => State::Runnable,
            SLEEPING => State::Sleeping,
            _ => State::Other,
        };
        if let Some(key) = key {
            self.states.insert(key, state);
        }
        Ok(state)
    }
}
