//! The values of one contained profile: stacks with weights, or frames that open and close.

use super::Measure;
use super::frames::Locations;
use crate::budget::Budget;
use crate::calls::{Calls, ROOT};
use crate::json::{Number, Reader};
use crate::{Decoded, Error};

const ZERO: &str = "stacks with a weight of zero";
const LEFT_OPEN: &str = "ends of frames that never close";

pub(super) struct Values<'v, 'a, 'l, 'b> {
    pub(super) profile: usize,
    pub(super) measure: Measure,
    pub(super) calls: &'v mut Calls,
    pub(super) locations: &'v mut Locations<'a, 'l>,
    pub(super) budget: &'v mut Budget<'b>,
    pub(super) decoded: &'v mut Decoded,
}

impl Values<'_, '_, '_, '_> {
    /// The `n`th weight belongs to the `n`th stack, which has its root first.
    pub(super) fn sampled(
        &mut self,
        mut samples: Reader<'_>,
        mut weights: Reader<'_>,
    ) -> Result<(), Error> {
        let profile = self.profile;
        let mut at = 0;
        let unequal = || {
            Error::contradiction(format!(
                "profile {profile} has not as many weights as samples"
            ))
        };
        weights.expect(b'[')?;
        let mut is_last = weights.eat(b']');
        samples.array(|samples| {
            let what = format_args!("sample {at} of profile {profile}");
            let mut node = ROOT;
            samples.array(|samples| {
                let frame = samples.whole()?;
                node = self.call(node, frame, what)?;
                Ok(())
            })?;
            if is_last {
                return Err(unequal());
            }
            let weight = self.number(weights.number()?, "the weight of", what)?;
            is_last = weights.eat(b']');
            if !is_last {
                weights.expect(b',')?;
            }
            if weight < 0 {
                return Err(Error::contradiction(format!(
                    "the weight of {what} is negative"
                )));
            }
            if weight == 0 {
                self.decoded.skip(ZERO, 1);
            }
            at += 1;
            self.add(node, weight)
        })?;
        if is_last { Ok(()) } else { Err(unequal()) }
    }

    /// Frames that open and close, the innermost first; the stack that is open gets the time until
    /// the next event.
    pub(super) fn evented(
        &mut self,
        mut events: Reader<'_>,
        end: Option<Number<'_>>,
    ) -> Result<(), Error> {
        let profile = self.profile;
        // What is open, root first.
        let mut frames: Vec<i64> = Vec::new();
        let (mut node, mut before, mut at) = (ROOT, None, 0_usize);
        events.array(|events| {
            let what = format_args!("event {at} of profile {profile}");
            let event = Event::read(events, what)?;
            let now = self.number(event.at, "the time of", what)?;
            if !frames.is_empty() {
                self.pass(node, before, now, what)?;
            } else if before.is_some_and(|before| now < before) {
                return Err(early(what));
            }
            before = Some(now);
            if event.is_open {
                node = self.call(node, event.frame, what)?;
                frames.push(event.frame);
            } else {
                match frames.pop() {
                    Some(open) if open == event.frame => node = self.calls.parent(node),
                    Some(open) => {
                        return Err(Error::contradiction(format!(
                            "{what} closes frame {}, but frame {open} is the innermost open one",
                            event.frame
                        )));
                    }
                    None => {
                        return Err(Error::contradiction(format!(
                            "{what} closes frame {}, but none is open",
                            event.frame
                        )));
                    }
                }
            }
            at += 1;
            Ok(())
        })?;
        if frames.is_empty() {
            return Ok(());
        }
        self.decoded.skip(LEFT_OPEN, frames.len() as u64);
        let Some(end) = end else { return Ok(()) };
        let what = format_args!("the end of profile {profile}");
        let end = self.number(end, "the time of", what)?;
        self.pass(node, before, end, what)
    }

    /// Gives a stack the time from one event to the next.
    fn pass(
        &mut self,
        node: u32,
        before: Option<i64>,
        now: i64,
        what: std::fmt::Arguments<'_>,
    ) -> Result<(), Error> {
        let passed = before.map_or(Some(0), |before| now.checked_sub(before));
        match passed {
            Some(passed) if passed < 0 => Err(early(what)),
            Some(passed) => self.add(node, passed),
            None => Err(self.too_large()),
        }
    }

    fn call(&mut self, node: u32, frame: i64, what: std::fmt::Arguments<'_>) -> Result<u32, Error> {
        let found = self.locations.find(frame, self.calls, self.budget)?;
        let location = found.ok_or_else(|| {
            let count = self.locations.len();
            Error::contradiction(format!(
                "{what} refers to frame {frame}, but there are {count}"
            ))
        })?;
        self.calls.child(node, location, self.budget)
    }

    /// A weight or time in our unit. Times are rounded, numbers must be whole.
    fn number(
        &self,
        number: Number<'_>,
        role: &str,
        what: std::fmt::Arguments<'_>,
    ) -> Result<i64, Error> {
        let value = match self.measure.is_time {
            true => number.scaled(self.measure.power),
            false => number.whole(),
        };
        value.ok_or_else(|| {
            let wanted = match self.measure.is_time {
                true => "has more than 64 bits",
                false => "must be whole and have at most 64 bits",
            };
            Error::contradiction(format!("{role} {what} {wanted}"))
        })
    }

    fn add(&mut self, node: u32, value: i64) -> Result<(), Error> {
        let added = self.calls.add(node, 0, value);
        added.map_err(|_| self.too_large())
    }

    fn too_large(&self) -> Error {
        Error::contradiction(format!("a sum of profile {} is too large", self.profile))
    }
}

fn early(what: std::fmt::Arguments<'_>) -> Error {
    Error::contradiction(format!("{what} is earlier than the event before"))
}

struct Event<'a> {
    is_open: bool,
    frame: i64,
    at: Number<'a>,
}

impl<'a> Event<'a> {
    fn read(reader: &mut Reader<'a>, what: std::fmt::Arguments<'_>) -> Result<Self, Error> {
        let (mut is_open, mut frame, mut at) = (None, None, None);
        reader.object(|reader, key| {
            match key {
                "type" => {
                    let kind = reader.string()?;
                    is_open = match &*kind {
                        "O" => Some(true),
                        "C" => Some(false),
                        _ => None,
                    };
                }
                "frame" => frame = Some(reader.whole()?),
                "at" => at = Some(reader.number()?),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        let (Some(is_open), Some(frame), Some(at)) = (is_open, frame, at) else {
            return Err(Error::undecodable(format!(
                "{what} must have a type, O or C, a frame and a time"
            )));
        };
        Ok(Self { is_open, frame, at })
    }
}
