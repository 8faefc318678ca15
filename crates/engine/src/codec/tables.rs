//! Answers of every kind as columns, and back.

use std::collections::{BTreeMap, BTreeSet};

use cairn_model::{Labels, ProfileType, TimeRange};
use cairn_trie::{Group, GroupValue};

use super::DecodeError;
use super::raw::{I64, Raw, Text, U32};
use super::stacks::{self, check, same_length};
use crate::query::{Answer, Point, Scanned, Series, Stats};
use crate::repeats::Told;

const STACKS: u8 = 0;
const SERIES: u8 = 1;
const NAMES: u8 = 2;
const PROFILE_TYPES: u8 = 3;

/// Texts per profile type.
const TYPE_PARTS: usize = 6;
const DELTA: &str = "delta";

pub(super) fn from_scanned(scanned: &Scanned) -> Raw {
    let Scanned {
        answer,
        stats,
        told: _,
    } = scanned;
    let mut raw = Raw::default();
    put_stats(&mut raw, stats);
    raw.kind = Some(match answer {
        Answer::Stacks(partial) => {
            stacks::put(&mut raw, partial);
            STACKS
        }
        Answer::Series(series) => {
            put_series(&mut raw, series);
            SERIES
        }
        Answer::Names(names) => {
            raw.text(Text::Label).extend(names.iter().cloned());
            NAMES
        }
        Answer::ProfileTypes(types) => {
            raw.text(Text::Label)
                .extend(types.iter().flat_map(type_parts));
            PROFILE_TYPES
        }
    });
    raw
}

pub(super) fn to_scanned(mut raw: Raw) -> Result<Scanned, DecodeError> {
    let stats = stats(&mut raw)?;
    let answer = match raw.kind {
        Some(STACKS) => Answer::Stacks(stacks::get(&mut raw)?),
        Some(SERIES) => Answer::Series(series(&mut raw)?),
        Some(NAMES) => Answer::Names(raw.text(Text::Label).drain(..).collect()),
        Some(PROFILE_TYPES) => Answer::ProfileTypes(profile_types(&mut raw)?),
        Some(_) => return Err(DecodeError::Invalid("an unknown kind of answer")),
        None => return Err(DecodeError::Invalid("no batch at all")),
    };
    let told = Told::default();
    Ok(Scanned {
        answer,
        stats,
        told,
    })
}

fn put_stats(raw: &mut Raw, stats: &Stats) {
    let Stats {
        profiles,
        rows,
        blocks,
        duration,
        period,
        range,
        folded,
        // A warning beside the answer says so.
        is_cut: _,
    } = *stats;
    let counts = [profiles, rows, blocks].map(|count| count as i64);
    let column = raw.i64(I64::Stats);
    column.extend(counts);
    column.extend([duration, period]);
    column.extend((folded > 0).then_some(folded.cast_signed()));
    column.extend(range.iter().flat_map(|range| [range.start, range.end]));
}

fn stats(raw: &mut Raw) -> Result<Stats, DecodeError> {
    let column = std::mem::take(raw.i64(I64::Stats));
    let [profiles, rows, blocks, duration, period, more @ ..] = column.as_slice() else {
        return Err(DecodeError::Invalid("figures are missing"));
    };
    let (folded, range) = match *more {
        [] => (0, None),
        [folded] => (folded, None),
        [start, end] => (0, Some(TimeRange { start, end })),
        [folded, start, end] => (folded, Some(TimeRange { start, end })),
        _ => {
            return Err(DecodeError::Invalid(
                "there are more figures than are known",
            ));
        }
    };
    Ok(Stats {
        profiles: count(*profiles)?,
        rows: count(*rows)?,
        blocks: count(*blocks)?,
        duration: *duration,
        period: *period,
        range,
        folded: folded.cast_unsigned(),
        is_cut: false,
    })
}

/// Bounded so that sums of many answers can't overflow.
fn count(figure: i64) -> Result<u64, DecodeError> {
    let count = u64::try_from(figure).ok().filter(|count| *count < 1 << 48);
    count.ok_or(DecodeError::Invalid("an impossible count"))
}

fn put_series(raw: &mut Raw, series: &Series) {
    let pair = |(name, value): (&str, &str)| (name.into(), GroupValue::Str(value.into()));
    let groups: Vec<Group> = series
        .0
        .keys()
        .map(|labels| Group(labels.iter().map(pair).collect()))
        .collect();
    stacks::put_groups(raw, groups.iter());
    for (group, points) in series.0.values().enumerate() {
        for (time, point) in points {
            let Point {
                value,
                profiles,
                duration,
                first,
                first_time,
                last_time,
                period,
            } = *point;
            raw.u32(U32::PointGroup).push(group as u32);
            raw.i64(I64::PointTime).push(*time);
            raw.i64(I64::PointValue).push(value);
            raw.i64(I64::PointProfiles).push(profiles as i64);
            raw.i64(I64::PointDuration).push(duration);
            raw.i64(I64::PointFirst).push(first);
            raw.i64(I64::PointFirstTime).push(first_time);
            raw.i64(I64::PointLastTime).push(last_time);
            raw.i64(I64::PointPeriod).push(period);
        }
    }
}

fn series(raw: &mut Raw) -> Result<Series, DecodeError> {
    let mut all: Vec<(Labels, BTreeMap<i64, Point>)> = Vec::new();
    for group in stacks::groups(raw)? {
        let pairs = group.0.iter().map(|(name, value)| match value {
            GroupValue::Str(text) => Ok((name, text)),
            GroupValue::Num { .. } => Err(DecodeError::Invalid("a number as a label")),
        });
        let pairs: Vec<_> = pairs.collect::<Result<_, _>>()?;
        let labels = Labels::from_pairs(pairs);
        let labels = labels.map_err(|_| DecodeError::Invalid("a label with an invalid name"))?;
        all.push((labels, BTreeMap::new()));
    }
    let groups = std::mem::take(raw.u32(U32::PointGroup));
    let mut column = |column: I64| std::mem::take(raw.i64(column));
    let time = column(I64::PointTime);
    let value = column(I64::PointValue);
    let profiles = column(I64::PointProfiles);
    let duration = column(I64::PointDuration);
    let first = column(I64::PointFirst);
    let first_time = column(I64::PointFirstTime);
    let last_time = column(I64::PointLastTime);
    let period = column(I64::PointPeriod);
    let columns = [
        &time,
        &value,
        &profiles,
        &duration,
        &first,
        &first_time,
        &last_time,
        &period,
    ];
    same_length(groups.len(), &columns.map(Vec::len))?;
    for (at, group) in groups.iter().enumerate() {
        let Some((_, points)) = all.get_mut(*group as usize) else {
            return Err(DecodeError::Invalid("a point without its labels"));
        };
        let point = Point {
            value: value[at],
            profiles: count(profiles[at])?,
            duration: duration[at],
            first: first[at],
            first_time: first_time[at],
            last_time: last_time[at],
            period: period[at],
        };
        check(points.insert(time[at], point).is_none(), "a point twice")?;
    }
    let len = all.len();
    let series = Series(all.into_iter().collect());
    check(series.0.len() == len, "labels twice")?;
    Ok(series)
}

fn type_parts(profile_type: &ProfileType) -> [String; TYPE_PARTS] {
    let ProfileType {
        name,
        sample_type,
        sample_unit,
        period_type,
        period_unit,
        delta,
    } = profile_type.clone();
    let delta = if delta { DELTA } else { "" }.to_owned();
    [
        name,
        sample_type,
        sample_unit,
        period_type,
        period_unit,
        delta,
    ]
}

fn profile_types(raw: &mut Raw) -> Result<BTreeSet<ProfileType>, DecodeError> {
    let texts = std::mem::take(raw.text(Text::Label));
    let (types, rest) = texts.as_chunks::<TYPE_PARTS>();
    check(rest.is_empty(), "a part of a profile type")?;
    let profile_type = |parts: &[String; TYPE_PARTS]| {
        let [
            name,
            sample_type,
            sample_unit,
            period_type,
            period_unit,
            delta,
        ] = parts.clone();
        ProfileType {
            name,
            sample_type,
            sample_unit,
            period_type,
            period_unit,
            delta: delta == DELTA,
        }
    };
    Ok(types.iter().map(profile_type).collect())
}
