//! `.cpuprofile`: at which node each sample was taken, and when.
//!
//! A sample stands for the time until the next one, the last for the time until the end; the time
//! before the first belongs to none, as in Chrome's own tools. Samples that come out of order are
//! put in order.

use super::{Node, Nodes, place};
use crate::budget::Budget;
use crate::calls::Calls;
use crate::json::{Number, Reader};
use crate::{Decoded, Error};

const POSITION_TICKS: &str = "tables of lines within functions";
const NANOSECONDS: i64 = 1_000;

#[derive(Default)]
struct Outline<'a> {
    nodes: Option<Nodes<'a>>,
    /// Older files nest nodes, and tell start and end in seconds.
    is_old: bool,
    samples: Option<Vec<i64>>,
    /// In microseconds.
    deltas: Option<Vec<i64>>,
    times: Option<Vec<i64>>,
    start: Option<Number<'a>>,
    end: Option<Number<'a>>,
}

pub(crate) fn cpu_profile(bytes: &[u8], mut budget: Budget<'_>) -> Result<Decoded, Error> {
    let mut reader = Reader::new(bytes);
    let mut outline = Outline::read(&mut reader)?;
    reader.end()?;
    let mut decoded = Decoded {
        replaced_strings: reader.replaced,
        ..Decoded::default()
    };
    let Some(mut nodes) = outline.nodes.take() else {
        return Err(Error::undecodable(
            "it has no nodes and no head, so it is no CPU profile",
        ));
    };
    decoded.skip(POSITION_TICKS, nodes.position_ticks);
    let samples = outline.sampled(&nodes)?;
    let times = outline.times(samples.as_deref())?;
    match &samples {
        Some(samples) => {
            for at in samples {
                nodes.rows[*at as usize].has_value = true;
            }
        }
        None => {
            let hit = |node: &Node<'_>| node.own.is_some_and(|hits| hits > 0);
            nodes
                .rows
                .iter_mut()
                .for_each(|node| node.has_value = hit(node));
        }
    }
    let types = [("samples", "count"), ("wall", "nanoseconds")];
    let mut calls = Calls::new(&types[..1 + usize::from(times.is_some())]);
    calls.builder.set_time(0, outline.duration()?);
    let places = place(&nodes, &mut calls, &mut budget)?;
    let too_large = |_| Error::contradiction("the sum of a stack is too large");
    match &samples {
        Some(samples) => {
            for at in samples {
                calls.add(places[*at as usize], 0, 1).map_err(too_large)?;
            }
        }
        None => {
            for (node, at) in nodes.rows.iter().zip(&places) {
                let hits = node.own.unwrap_or_default();
                calls.add(*at, 0, hits).map_err(too_large)?;
            }
        }
    }
    for (at, passed) in times.unwrap_or_default() {
        calls
            .add(places[at as usize], 1, passed)
            .map_err(too_large)?;
    }
    decoded.push(calls, &mut budget)?;
    Ok(decoded)
}

impl<'a> Outline<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut outline = Self::default();
        reader.object(|reader, key| {
            match key {
                "nodes" => outline.nodes = Some(Nodes::flat(reader)?),
                "head" => {
                    outline.nodes = Some(Nodes::nested(reader)?);
                    outline.is_old = true;
                }
                "samples" => outline.samples = wholes(reader)?,
                "timeDeltas" => outline.deltas = wholes(reader)?,
                "timestamps" => outline.times = wholes(reader)?,
                "startTime" => outline.start = reader.optional_number()?,
                "endTime" => outline.end = reader.optional_number()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(outline)
    }

    /// Positions of the nodes at which samples were taken.
    fn sampled(&self, nodes: &Nodes<'_>) -> Result<Option<Vec<u32>>, Error> {
        let Some(samples) = &self.samples else {
            return Ok(None);
        };
        let by_id = nodes.by_id()?;
        let find = |(at, id): (usize, &i64)| {
            by_id.get(id).copied().ok_or_else(|| {
                Error::contradiction(format!("sample {at} refers to node id {id}, which is none"))
            })
        };
        let found: Result<Vec<u32>, Error> = samples.iter().enumerate().map(find).collect();
        found.map(Some)
    }

    /// Nodes and the nanoseconds that each sample stands for, if that is known.
    fn times(&self, samples: Option<&[u32]>) -> Result<Option<Vec<(u32, i64)>>, Error> {
        let too_large = || Error::contradiction("a time is too large");
        let Some(samples) = samples else {
            return Ok(None);
        };
        let times = match (&self.deltas, &self.times) {
            (Some(deltas), _) => {
                let mut now = self.micros(self.start)?.unwrap_or_default();
                let mut times = Vec::with_capacity(deltas.len());
                for delta in deltas {
                    now = now.checked_add(*delta).ok_or_else(too_large)?;
                    times.push(now);
                }
                times
            }
            (None, Some(times)) => times.clone(),
            (None, None) => return Ok(None),
        };
        if times.len() != samples.len() {
            return Err(Error::contradiction(format!(
                "there are {} samples, but {} times",
                samples.len(),
                times.len()
            )));
        }
        let mut rows: Vec<(i64, u32)> = times.into_iter().zip(samples.iter().copied()).collect();
        rows.sort_by_key(|(time, _)| *time);
        let Some((last, _)) = rows.last().copied() else {
            return Ok(Some(Vec::new()));
        };
        let end = self.micros(self.end)?.unwrap_or(last).max(last);
        let ends = rows.iter().skip(1).map(|(time, _)| *time).chain([end]);
        let passed = rows.iter().zip(ends).map(|((time, at), end)| {
            let passed = end.checked_sub(*time)?.checked_mul(NANOSECONDS)?;
            Some((*at, passed))
        });
        let passed: Option<Vec<(u32, i64)>> = passed.collect();
        passed.map(Some).ok_or_else(too_large)
    }

    fn micros(&self, time: Option<Number<'_>>) -> Result<Option<i64>, Error> {
        let power = if self.is_old { 6 } else { 0 };
        let Some(time) = time else { return Ok(None) };
        let micros = time.scaled(power);
        let too_large = || Error::contradiction("startTime or endTime is too large");
        micros.map(Some).ok_or_else(too_large)
    }

    /// In nanoseconds; 0 if unknown.
    fn duration(&self) -> Result<i64, Error> {
        let power = if self.is_old { 9 } else { 3 };
        let (Some(start), Some(end)) = (self.start, self.end) else {
            return Ok(0);
        };
        let (start, end) = (start.scaled(power), end.scaled(power));
        let length = start
            .zip(end)
            .and_then(|(start, end)| end.checked_sub(start));
        length
            .filter(|length| *length >= 0)
            .ok_or_else(|| Error::contradiction("startTime and endTime are no stretch of time"))
    }
}

fn wholes(reader: &mut Reader<'_>) -> Result<Option<Vec<i64>>, Error> {
    if reader.null()? {
        return Ok(None);
    }
    let mut numbers = Vec::new();
    reader.array(|reader| {
        numbers.push(reader.whole()?);
        Ok(())
    })?;
    Ok(Some(numbers))
}
