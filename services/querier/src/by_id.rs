//! The stacks of some single profiles, by their ids.
//!
//! An id says when its profile began, so only the times around those of ids are asked about.

use std::collections::BTreeSet;
use std::sync::Arc;

use cairn_engine::{
    Answer, GroupBy, Merge, Query, Question, Scanned, Series, Stats, Weights, WrongAnswer,
    growth_of,
};
use cairn_model::{Code, Labels, ProfileType, TimeRange};
use cairn_trie::Partial;
use futures::future::try_join_all;

use crate::error::{Error, Warning};
use crate::profile_id::{IdsOf, ProfileId};
use crate::querier::{Reply, Rows, Session, Stacks};
use crate::symbolize::symbolize;

const HOUR: i64 = 3_600_000_000_000;
/// Ids with no more than this between them are asked about together.
const GAP: i64 = HOUR;
/// How many groups of such ids one request may have: each costs questions of its own.
const CLUSTERS_MAX: usize = 32;
/// The profile before one that is wanted is looked for this far back, or as far as the request's
/// range is long, if that is further.
const BACK: i64 = 24 * HOUR;

impl Session {
    /// The stacks of single profiles, wherever in time they are; `rows` is not resolved yet. Profiles
    /// that are not there add nothing.
    pub(crate) async fn stacks_of(
        &self,
        rows: Rows,
        ids: &BTreeSet<ProfileId>,
    ) -> Result<(Rows, Reply<Stacks>), Error> {
        let ranges = clusters(ids)?;
        if ranges.is_empty() {
            return Ok((rows, nothing()));
        }
        let length = rows.range.end.saturating_sub(rows.range.start);
        let rows = self.resolve_within(rows, &ranges).await?;
        let asked = ranges.into_iter().map(|range| {
            let rows = Rows {
                range,
                ..rows.clone()
            };
            async move { self.of_cluster(rows, ids, length.max(BACK)).await }
        });
        let question = Question::Stacks(GroupBy::Nothing);
        let mut merge = Merge::within(&question, self.querier.config().limits.query_bytes_max);
        let (mut warnings, mut before) = (Vec::new(), 0);
        for found in try_join_all(asked).await? {
            warnings.extend(found.warnings);
            if let Some(scanned) = found.value {
                before = scanned.stats.folded.max(before);
                merge.add(scanned)?;
            }
        }
        let found = self.compute(move || merge.finish()).await;
        // Of what was folded only here as well as before.
        let folded = (found.stats.folded > before).then(|| self.folded(&found.stats));
        warnings.extend(folded.flatten());
        let Answer::Stacks(partial) = found.answer else {
            return Err(WrongAnswer.into());
        };
        let (partial, unnamed) = symbolize(self, partial).await;
        warnings.extend(unnamed);
        let value = Stacks {
            partial,
            stats: found.stats,
        };
        Ok((rows, Reply { value, warnings }))
    }

    /// None if no profile has one of the ids.
    async fn of_cluster(
        &self,
        rows: Rows,
        ids: &BTreeSet<ProfileId>,
        back: i64,
    ) -> Result<Reply<Option<Scanned>>, Error> {
        let totals = Question::Series {
            step: 0,
            sum_by: None,
        };
        let reply = self.ask(&rows.query(totals.clone())).await?;
        let mut warnings = reply.warnings;
        let has_stored = reply.value.stats.profiles > 0;
        let stacks = Question::Stacks(GroupBy::Nothing);
        if has_stored || !rows.profile_type.delta {
            let series = series(reply.value)?;
            let wanted = profiles(&series, &rows.profile_type, ids);
            let weights = Weights::once(wanted, &rows.profile_type);
            if weights.is_empty() {
                return Ok(found(None, warnings));
            }
            let query = Query {
                weights: Some(Arc::new(weights)),
                ..rows.query(stacks)
            };
            let reply = self.ask(&query).await?;
            warnings.extend(reply.warnings);
            return Ok(found(Some(reply.value), warnings));
        }
        // Of each counter the profile before is needed, too.
        let mut counters = rows.clone();
        counters.profile_type.delta = false;
        counters.range.start = counters.range.start.saturating_sub(back);
        let reply = self.ask(&counters.query(totals)).await?;
        warnings.extend(reply.warnings);
        let series = series(reply.value)?;
        warnings.extend(first_of_all(&series, &rows.profile_type, ids));
        let weights = growth_of(&series, &counters.profile_type, |labels, time| {
            ids.contains(&IdsOf::new(labels, &rows.profile_type).at(time))
        });
        if weights.is_empty() {
            return Ok(found(None, warnings));
        }
        let reply = self.differ(&counters, weights, stacks).await?;
        warnings.extend(reply.warnings);
        Ok(found(Some(reply.value), warnings))
    }
}

fn found(value: Option<Scanned>, warnings: Vec<Warning>) -> Reply<Option<Scanned>> {
    Reply { value, warnings }
}

fn series(scanned: Scanned) -> Result<Series, WrongAnswer> {
    match scanned.answer {
        Answer::Series(series) => Ok(series),
        _ => Err(WrongAnswer),
    }
}

/// The times of ids, those that are near each other as one range.
fn clusters(ids: &BTreeSet<ProfileId>) -> Result<Vec<TimeRange>, Error> {
    let mut ranges: Vec<TimeRange> = Vec::new();
    // In the order of time.
    for ProfileId { time, .. } in ids {
        match ranges.last_mut() {
            Some(last) if time.saturating_sub(last.end) <= GAP => last.end = *time,
            _ => ranges.push(TimeRange {
                start: *time,
                end: *time,
            }),
        }
    }
    if ranges.len() > CLUSTERS_MAX {
        return Err(Error::Invalid(format!(
            "profiles of {} times with more than an hour between them are asked for; at most \
             {CLUSTERS_MAX} such times are allowed: ask for fewer profiles at a time",
            ranges.len()
        )));
    }
    Ok(ranges)
}

/// Nobody knows what these have grown by.
fn first_of_all(
    series: &Series,
    profile_type: &ProfileType,
    ids: &BTreeSet<ProfileId>,
) -> Option<Warning> {
    let wanted = profiles(series, profile_type, ids);
    let is_first = |(labels, time): &(&Labels, i64)| {
        let points = series.0.get(*labels);
        points.and_then(|points| points.keys().next()) == Some(time)
    };
    let count = wanted.filter(is_first).count();
    (count > 0).then(|| {
        let text = format!(
            "{count} of the profiles are the first of their counters that were found: what those \
             grew by is not known, and they are left out"
        );
        Warning::new("", Code::NotFound, text)
    })
}

fn nothing() -> Reply<Stacks> {
    Reply {
        value: Stacks {
            partial: Partial::default(),
            stats: Stats::default(),
        },
        warnings: Vec::new(),
    }
}

/// Those that have one of the ids.
fn profiles<'a>(
    series: &'a Series,
    profile_type: &'a ProfileType,
    ids: &'a BTreeSet<ProfileId>,
) -> impl Iterator<Item = (&'a Labels, i64)> {
    series.0.iter().flat_map(move |(labels, points)| {
        let of = IdsOf::new(labels, profile_type);
        let times = points.keys().copied();
        let wanted = times.filter(move |time| ids.contains(&of.at(*time)));
        wanted.map(move |time| (labels, time))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(times: impl IntoIterator<Item = i64>) -> BTreeSet<ProfileId> {
        let profile_type = "cpu:cpu:ns:cpu:ns".parse().expect("valid");
        let of = IdsOf::new(&Labels::default(), &profile_type);
        times.into_iter().map(|time| of.at(time)).collect()
    }

    #[test]
    fn what_lies_between_ids_far_apart_is_not_asked_for() {
        let range = |start, end| TimeRange { start, end };
        let found = clusters(&ids([-HOUR, 0, HOUR, 2 * HOUR + 1, i64::MAX, i64::MIN]));
        let expected = [
            range(i64::MIN, i64::MIN),
            range(-HOUR, HOUR),
            range(2 * HOUR + 1, 2 * HOUR + 1),
            range(i64::MAX, i64::MAX),
        ];
        assert_eq!(found.expect("few"), expected);
        let apart = |count: i64| ids((0..count).map(|at| at * 2 * HOUR));
        let most = CLUSTERS_MAX as i64;
        assert_eq!(clusters(&apart(most)).expect("few").len(), CLUSTERS_MAX);
        let error = clusters(&apart(most + 1)).expect_err("too many");
        assert!(error.to_string().contains("at most 32"), "{error}");
        let dense = ids((0..1_000).map(|at| at * HOUR));
        assert_eq!(clusters(&dense).expect("one").len(), 1);
    }
}
