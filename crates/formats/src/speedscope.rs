//! The JSON of speedscope. Owns its units and names; what frames it has and what values a
//! contained profile has is the business of [`frames`] and [`values`].
//!
//! Members come in any order and frames usually last, so the text is walked once for where things
//! are and again for what they say.

mod frames;
mod values;

use std::borrow::Cow;

use crate::budget::Budget;
use crate::calls::Calls;
use crate::json::{Number, Reader};
use crate::text::shown;
use crate::{Decoded, Error, Unit};
use frames::{Frame, Locations};

/// Contained profiles, such as threads.
const PROFILES_MAX: usize = 10_000;
const PROFILE_NAME: &str = "profile_name";

/// Where a contained profile keeps what, and what it says about itself.
#[derive(Default)]
struct Outline<'a> {
    kind: Cow<'a, str>,
    name: Cow<'a, str>,
    unit: Cow<'a, str>,
    start: Option<Number<'a>>,
    end: Option<Number<'a>>,
    samples: Option<usize>,
    weights: Option<usize>,
    events: Option<usize>,
}

/// What a profile's numbers count.
#[derive(Clone, Copy)]
struct Measure {
    kind: &'static str,
    unit: &'static str,
    /// Power of ten by which numbers are taken.
    power: u32,
    is_time: bool,
}

/// What contained profiles have in common.
struct Input<'a, 'b> {
    bytes: &'a [u8],
    frames: Vec<Frame<'a>>,
    meaning: &'b Unit,
    decoded: Decoded,
}

pub(crate) fn decode(
    bytes: &[u8],
    meaning: &Unit,
    mut budget: Budget<'_>,
) -> Result<Decoded, Error> {
    let mut decoded = Decoded::default();
    let (mut frames, mut profiles) = (None, None);
    let mut reader = Reader::new(bytes);
    reader.object(|reader, key| match key {
        "shared" => reader.object(|reader, key| match key {
            "frames" => {
                frames = Some(frames::read(reader, &budget)?);
                Ok(())
            }
            _ => reader.skip(),
        }),
        "profiles" => {
            profiles = Some(reader.position());
            reader.skip()
        }
        _ => reader.skip(),
    })?;
    reader.end()?;
    decoded.replaced_strings = reader.replaced;
    let (Some(frames), Some(profiles)) = (frames, profiles) else {
        return Err(Error::undecodable(
            "it has no shared.frames or no profiles, so it is not of speedscope",
        ));
    };
    let mut input = Input {
        bytes,
        frames,
        meaning,
        decoded,
    };
    let mut reader = Reader::at(bytes, profiles);
    reader.array(|reader| input.profile(reader, &mut budget))?;
    let mut decoded = input.decoded;
    decoded.replaced_strings += reader.replaced;
    let is_one = decoded.profiles.len() == 1;
    for (described, at) in decoded.profiles.iter_mut().zip(1..) {
        let named = described.labels.first_mut().map(|(_, name)| name);
        match named.filter(|name| name.is_empty()) {
            Some(_) if is_one => described.labels.clear(),
            // So that they can be told apart.
            Some(name) => *name = format!("{at}"),
            None => {}
        }
    }
    Ok(decoded)
}

impl<'a> Input<'a, '_> {
    fn profile(&mut self, reader: &mut Reader<'a>, budget: &mut Budget<'_>) -> Result<(), Error> {
        let at = self.decoded.profiles.len();
        if at == PROFILES_MAX {
            return Err(Error::over("its profiles", "profiles_max", PROFILES_MAX));
        }
        let outline = Outline::read(reader)?;
        let measure = measure(&outline.unit)
            .ok_or_else(|| wrong(at, "unit", &outline.unit, "no unit of speedscope"))?;
        let kind = match self.meaning.unit == measure.unit {
            true => &self.meaning.kind,
            false => measure.kind,
        };
        let mut calls = Calls::new(&[(kind, measure.unit)]);
        self.meaning.set_period(&mut calls);
        let duration = outline.duration(at, measure)?;
        calls.builder.set_time(0, duration);
        let max = budget.limits.label_value_bytes_max;
        if outline.name.len() > max {
            let what = format!("the name of profile {at} has {} bytes", outline.name.len());
            return Err(Error::over(what, "label_value_bytes_max", max));
        }
        let mut locations = Locations::new(&self.frames);
        let mut values = values::Values {
            profile: at,
            measure,
            calls: &mut calls,
            locations: &mut locations,
            budget,
            decoded: &mut self.decoded,
        };
        let bytes = self.bytes;
        match (
            &*outline.kind,
            outline.samples,
            outline.weights,
            outline.events,
        ) {
            ("sampled", Some(samples), Some(weights), _) => {
                values.sampled(Reader::at(bytes, samples), Reader::at(bytes, weights))?;
            }
            ("evented", _, _, Some(events)) => {
                values.evented(Reader::at(bytes, events), outline.end)?;
            }
            ("sampled", ..) => {
                return Err(Error::undecodable(format!(
                    "profile {at} is sampled, but has no samples or no weights"
                )));
            }
            ("evented", ..) => {
                return Err(Error::undecodable(format!(
                    "profile {at} is evented, but has no events"
                )));
            }
            (other, ..) => return Err(wrong(at, "type", other, "neither sampled nor evented")),
        }
        let name = outline.name.into_owned();
        let described = self.decoded.push(calls, budget)?;
        described.labels.push((PROFILE_NAME.to_owned(), name));
        Ok(())
    }
}

fn wrong(profile: usize, what: &str, value: &str, why: &str) -> Error {
    let value = shown(value.as_bytes());
    Error::undecodable(format!("the {what} {value} of profile {profile} is {why}"))
}

fn measure(unit: &str) -> Option<Measure> {
    let time = |power| Measure {
        kind: "wall",
        unit: "nanoseconds",
        power,
        is_time: true,
    };
    let number = |kind, unit| Measure {
        kind,
        unit,
        power: 0,
        is_time: false,
    };
    Some(match unit {
        "seconds" => time(9),
        "milliseconds" => time(6),
        "microseconds" => time(3),
        "nanoseconds" => time(0),
        "bytes" => number("space", "bytes"),
        "none" => number("samples", "count"),
        _ => return None,
    })
}

impl<'a> Outline<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut outline = Self::default();
        reader.object(|reader, key| {
            let at = reader.position();
            match key {
                "type" => outline.kind = reader.string()?,
                "name" => outline.name = reader.optional_string()?.unwrap_or_default(),
                "unit" => outline.unit = reader.string()?,
                "startValue" => outline.start = reader.optional_number()?,
                "endValue" => outline.end = reader.optional_number()?,
                "samples" => outline.samples = Some(at),
                "weights" => outline.weights = Some(at),
                "events" => outline.events = Some(at),
                _ => {}
            }
            if matches!(key, "type" | "name" | "unit" | "startValue" | "endValue") {
                return Ok(());
            }
            reader.skip()
        })?;
        Ok(outline)
    }

    fn duration(&self, at: usize, measure: Measure) -> Result<i64, Error> {
        let (Some(start), Some(end), true) = (self.start, self.end, measure.is_time) else {
            return Ok(0);
        };
        let (start, end) = (start.scaled(measure.power), end.scaled(measure.power));
        let duration = start
            .zip(end)
            .and_then(|(start, end)| end.checked_sub(start));
        duration.filter(|length| *length >= 0).ok_or_else(|| {
            Error::contradiction(format!(
                "startValue and endValue of profile {at} are no stretch of time"
            ))
        })
    }
}
