//! Profiles one by one: what each adds up to, what single spans took of it, and the stacks of some.

use std::collections::BTreeSet;
use std::sync::Arc;

use cairn_engine::{
    Answer, GroupBy, Point, Query, Question, Series, Stats, Weights, WrongAnswer, growth_of,
};
use cairn_model::{Labels, MatchOp, Matcher, ProfileType, TimeRange};
use cairn_trie::Partial;

use crate::error::Error;
use crate::profile_id::{IdsOf, ProfileId};
use crate::querier::{Reply, Rows, Session, Stacks};
use crate::symbolize::symbolize;

/// Profiles or spans of one answer. They take some hundred bytes each on their way.
pub(crate) const SINGLES_MAX: usize = 500_000;

const TRACE: &str = "trace_id";
const SPAN: &str = "span_id";

/// What is told one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Profiles,
    /// What belongs to no span is left out.
    Spans,
}

/// One profile, or the part of it that one span took.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Single {
    /// What it is grouped by. A profile whose samples are in several groups is told in each.
    pub(crate) group: Labels,
    /// Of the profile.
    pub(crate) labels: Labels,
    pub(crate) time: i64,
    pub(crate) value: i64,
    pub(crate) duration: i64,
    /// Trace and span in hex, for spans.
    pub(crate) link: Option<(String, String)>,
}

impl Session {
    /// In the order of labels, then time.
    pub(crate) async fn singles(
        &self,
        rows: &Rows,
        group_by: &[String],
        of: Of,
    ) -> Result<Reply<Vec<Single>>, Error> {
        let step = match of {
            Of::Profiles => 0,
            // Only which labels there are.
            Of::Spans => i64::MAX,
        };
        let whole = self.series(rows, step, None).await?;
        let labels = whole.value.0.keys();
        let names = labels.flat_map(|labels| labels.iter().map(|(name, _)| name.to_owned()));
        let names: BTreeSet<String> = names.collect();
        if of == Of::Profiles && group_by.iter().all(|name| names.contains(name)) {
            return told(whole, group_by, &names);
        }
        // Labels of samples divide profiles.
        let mut rows = rows.clone();
        let mut asked = names.clone();
        asked.extend(group_by.iter().cloned());
        if of == Of::Spans {
            asked.extend([TRACE, SPAN].map(str::to_owned));
            rows.matchers
                .push(Matcher::new(SPAN, MatchOp::NotEqual, "")?);
        }
        let asked = Some(asked.into_iter().collect());
        told(self.series(&rows, 0, asked).await?, group_by, &names)
    }

    /// The stacks of single profiles, wherever in time they are; `rows` is not resolved yet. Profiles
    /// that are not there add nothing.
    pub(crate) async fn stacks_of(
        &self,
        rows: Rows,
        ids: &BTreeSet<ProfileId>,
    ) -> Result<(Rows, Reply<Stacks>), Error> {
        let around = rows.range;
        let times = ids.iter().map(|id| id.time);
        let Some(range) = times
            .map(|at| TimeRange { start: at, end: at })
            .reduce(|all, next| all.union(&next))
        else {
            return Ok((rows, nothing()));
        };
        let rows = self.resolve(Rows { range, ..rows }).await?;
        let question = Question::Series {
            step: 0,
            sum_by: None,
        };
        let mut reply = self.ask(&rows.query(question.clone())).await?;
        let mut of = rows.clone();
        let is_grown = rows.profile_type.delta && reply.value.stats.profiles == 0;
        if is_grown {
            // Of each counter the profile before is needed, too.
            of.profile_type.delta = false;
            of.range = around.union(&range);
            reply = self.ask(&of.query(question)).await?;
        }
        let Answer::Series(series) = &reply.value.answer else {
            return Err(WrongAnswer.into());
        };
        let weights = match is_grown {
            true => growth_of(series, &of.profile_type, |labels, time| {
                ids.contains(&IdsOf::new(labels, &rows.profile_type).at(time))
            }),
            false => Weights::once(profiles(series, &rows.profile_type, ids), &of.profile_type),
        };
        if weights.is_empty() {
            return Ok((
                rows,
                Reply {
                    warnings: reply.warnings,
                    ..nothing()
                },
            ));
        }
        let query = Query {
            weights: Some(Arc::new(weights)),
            ..of.query(Question::Stacks(GroupBy::Nothing))
        };
        let mut found = self.ask(&query).await?;
        found.warnings.extend(reply.warnings);
        let Answer::Stacks(partial) = found.value.answer else {
            return Err(WrongAnswer.into());
        };
        let (partial, unnamed) = symbolize(self, partial).await;
        found.warnings.extend(unnamed);
        let value = Stacks {
            partial,
            stats: found.value.stats,
        };
        Ok((
            rows,
            Reply {
                value,
                warnings: found.warnings,
            },
        ))
    }
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

/// `names` are the labels of profiles; others are of samples.
fn told(
    found: Reply<Series>,
    group_by: &[String],
    names: &BTreeSet<String>,
) -> Result<Reply<Vec<Single>>, Error> {
    let Reply {
        value: Series(series),
        warnings,
    } = found;
    let count: usize = series.values().map(|points| points.len()).sum();
    if count > SINGLES_MAX {
        return Err(Error::Invalid(format!(
            "{count} single profiles or spans; at most {SINGLES_MAX} are told one by one: choose a \
             shorter range, or select fewer"
        )));
    }
    let mut value = Vec::with_capacity(count);
    for (all, points) in &series {
        let group = part(all, |name| group_by.iter().any(|of| of == name));
        let labels = part(all, |name| names.contains(name));
        let id = |name| all.get(name).unwrap_or_default().to_owned();
        let link =
            (!names.contains(SPAN) && all.get(SPAN).is_some()).then(|| (id(TRACE), id(SPAN)));
        let single = |(time, point): (&i64, &Point)| Single {
            group: group.clone(),
            labels: labels.clone(),
            time: *time,
            value: point.value,
            duration: point.duration,
            link: link.clone(),
        };
        value.extend(points.iter().map(single));
    }
    Ok(Reply { value, warnings })
}

fn part(labels: &Labels, keep: impl Fn(&str) -> bool) -> Labels {
    let kept = labels.iter().filter(|(name, _)| keep(name));
    Labels::from_pairs(kept).expect("a part of valid labels is valid")
}
