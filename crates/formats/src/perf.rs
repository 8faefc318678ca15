//! What `perf script` prints. Owns how samples become profiles, one for each event; what a
//! line says is the business of [`header`] and [`frame`].
//!
//! Addresses are those that `perf` prints for user code: offsets into the file.

mod frame;
mod header;
mod writer;

use cairn_model::{
    Attr, Described, Excess, Limits, Profile, ProfileBuilder, Rest, Samples, Stacks,
};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::sync::Arc;

use crate::text::{lines, lossy, shown};
use crate::{Decoded, Error, TRUNCATED_FRAME};
use frame::Frame;
use header::Header;
use writer::Writer;

pub(crate) use header::is_header;

const COMMENT: &str = "comment lines";
const OTHER_LINE: &str = "lines of stacks that are no frames";
const DETAILS: &str = "details of events";
const PERIOD: &str = "periods of events that are no clocks";

/// Samples of one event.
struct Event<'a> {
    name: &'a [u8],
    builder: ProfileBuilder,
    /// Whether samples have a second value, their period in nanoseconds.
    has_period: bool,
    samples: Samples,
    /// One per sample.
    stacks: Stacks,
    samples_max: usize,
    /// Samples by stack and labels.
    known: HashTable<u32>,
    hasher: RandomState,
    /// Samples beyond the limit.
    rest: Rest,
    times: Option<(i64, i64)>,
}

/// What became of a sample.
enum Added {
    ToEqual,
    New,
    LeftOut,
}

/// A sample whose lines are still coming.
struct Open<'a> {
    header: Header<'a>,
    line: usize,
    /// Leaf first.
    frames: Vec<Frame<'a>>,
}

struct Events<'a, 'l> {
    limits: &'l Limits,
    events: Vec<Event<'a>>,
    decoded: Decoded,
}

pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded, Error> {
    let mut events = Events {
        limits,
        events: Vec::new(),
        decoded: Decoded::default(),
    };
    let mut open: Option<Open<'_>> = None;
    for (number, line) in lines(bytes) {
        let text = line.trim_ascii();
        if text.is_empty() {
            events.close(open.take())?;
        } else if line[0] == b'#' {
            events.decoded.skip(COMMENT, 1);
        } else if let Some(open) = &mut open
            && (line[0] == b' ' || line[0] == b'\t')
            && !is_header(line)
        {
            match Frame::parse(text) {
                Some(frame) => open.frames.push(frame),
                None => events.decoded.skip(OTHER_LINE, 1),
            }
        } else {
            events.close(open.take())?;
            let header = Header::parse(text).ok_or_else(|| {
                Error::undecodable(format!("line {number}: {} begins no sample", shown(text)))
            })?;
            let mut frames = Vec::new();
            // Without call chains the frame is on the same line.
            match Frame::parse(header.rest) {
                Some(frame) => frames.push(frame),
                None => events
                    .decoded
                    .skip(DETAILS, u64::from(!header.rest.is_empty())),
            }
            open = Some(Open {
                header,
                line: number,
                frames,
            });
        }
    }
    events.close(open.take())?;
    events.finish()
}

impl<'a> Events<'a, '_> {
    /// Keeps a sample that is complete.
    fn close(&mut self, open: Option<Open<'a>>) -> Result<(), Error> {
        let Some(Open {
            header,
            line,
            frames,
        }) = open
        else {
            return Ok(());
        };
        let limits = self.limits;
        let mut values = vec![1];
        let at = self.event(&header, line)?;
        let event = &mut self.events[at];
        match (event.has_period, header.period) {
            (true, Some(period)) => values.push(i64::try_from(period).map_err(|_| {
                Error::contradiction(format!("line {line}: the period is too large"))
            })?),
            (true, None) => {
                return Err(Error::contradiction(format!(
                    "line {line}: the sample has no period, but others of its event have"
                )));
            }
            (false, Some(_)) if header.is_clock() => {
                return Err(Error::contradiction(format!(
                    "line {line}: the sample has a period, but others of its event have none"
                )));
            }
            (false, period) => self.decoded.skip(PERIOD, u64::from(period.is_some())),
        }
        let mut writer = Writer {
            builder: &mut event.builder,
            limits,
            line,
            replaced: &mut self.decoded.replaced_strings,
        };
        let attrs = writer.attrs(&header)?;
        let (stack, is_cut) = writer.stack(&frames)?;
        let time = header.time;
        event.times = Some(match event.times {
            None => (time, time),
            Some((first, last)) => (first.min(time), last.max(time)),
        });
        match event.add(&stack, &attrs, &values, line)? {
            Added::ToEqual => {}
            Added::New => self.decoded.truncated_stacks += u64::from(is_cut),
            Added::LeftOut if limits.excess == Excess::Truncate => {
                self.decoded.truncated_samples += 1;
            }
            Added::LeftOut => {
                let max = limits.samples_max;
                return Err(Error::over("its different samples", "samples_max", max));
            }
        }
        Ok(())
    }

    fn event(&mut self, header: &Header<'a>, line: usize) -> Result<usize, Error> {
        let name = header.event;
        if let Some(at) = self.events.iter().position(|event| event.name == name) {
            return Ok(at);
        }
        let max = self.limits.sample_types_max;
        if self.events.len() >= max {
            return Err(Error::over("its events", "sample_types_max", max));
        }
        check_label(name.len(), line, "event", self.limits)?;
        let has_period = header.is_clock() && header.period.is_some();
        let mut builder = ProfileBuilder::default();
        builder.value_type("samples", "count");
        if has_period {
            builder.value_type("cpu", "nanoseconds");
        }
        self.events.push(Event {
            name,
            builder,
            has_period,
            samples: Samples::default(),
            stacks: Stacks::default(),
            samples_max: self.limits.samples_max,
            known: HashTable::new(),
            hasher: RandomState::default(),
            rest: Rest::default(),
            times: None,
        });
        Ok(self.events.len() - 1)
    }

    fn finish(mut self) -> Result<Decoded, Error> {
        for event in self.events {
            let mut builder = event.builder;
            if let Some((first, last)) = event.times {
                // Both are positive.
                builder.set_time(0, last - first);
            }
            let name = lossy(event.name, &mut self.decoded.replaced_strings);
            let marker = (event.rest.count() > 0).then(|| builder.frame(TRUNCATED_FRAME));
            let (profile, mut tables) = builder.into_parts();
            let mut samples = event.samples;
            tables.stacks = event.stacks;
            if let Some(marker) = marker {
                samples.push_rest(&event.rest, tables.stacks.push(&[marker]));
            }
            let profile = Profile {
                samples,
                tables: Arc::new(tables),
                ..profile
            };
            self.decoded.profiles.push(Described {
                name: None,
                labels: vec![("event".to_owned(), name.into_owned())],
                profile,
            });
        }
        Ok(self.decoded)
    }
}

impl Event<'_> {
    /// Adds to an equal sample, or adds one if there is room.
    fn add(
        &mut self,
        stack: &[u32],
        attrs: &[Attr],
        values: &[i64],
        line: usize,
    ) -> Result<Added, Error> {
        let (samples, stacks) = (&mut self.samples, &mut self.stacks);
        let hash = self.hasher.hash_one((stack, attrs));
        let is_it = |at: &u32| {
            let at = *at as usize;
            stacks.get(at as u32) == stack && samples.attrs(at) == attrs
        };
        if let Some(at) = self.known.find(hash, is_it) {
            let row = *at as usize * values.len();
            for (sum, value) in samples.values[row..].iter_mut().zip(values) {
                *sum = sum.checked_add(*value).ok_or_else(|| {
                    Error::contradiction(format!("line {line}: the sum is too large"))
                })?;
            }
            return Ok(Added::ToEqual);
        }
        if samples.len() >= self.samples_max {
            self.rest.add(values);
            return Ok(Added::LeftOut);
        }
        let at = samples.len() as u32;
        samples.stacks.push(stacks.push(stack));
        samples.attrs.extend_from_slice(attrs);
        samples.attr_ends.push(samples.attrs.len() as u32);
        samples.values.extend_from_slice(values);
        let hasher = &self.hasher;
        self.known.insert_unique(hash, at, |at| {
            let attrs = samples.attrs(*at as usize);
            hasher.hash_one((stacks.get(*at), attrs))
        });
        Ok(Added::New)
    }
}

fn check_label(bytes: usize, line: usize, label: &str, limits: &Limits) -> Result<(), Error> {
    let max = limits.label_value_bytes_max;
    if bytes <= max {
        return Ok(());
    }
    let what = format!("label {label} at line {line} has {bytes} bytes");
    Err(Error::over(what, "label_value_bytes_max", max))
}
