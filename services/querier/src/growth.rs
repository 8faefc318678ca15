//! What counters have grown by: the `:delta` of a type of which senders only send counters.
//!
//! Two questions: first the totals of all profiles, which say where counters began anew, then the
//! stacks of those profiles that the growth is the difference of.

mod stacks;

use std::sync::Arc;

use cairn_engine::{Answer, GroupBy, Query, Question, Scanned, Series, Stats, Weights, growth};
use cairn_model::{Code, ProfileType};

use self::stacks::steps;
use crate::error::{Error, Warning};
use crate::querier::{Reply, Rows, Session};

/// Profiles that one difference is made of, so that a question fits into a message.
const WEIGHTS_MAX: usize = 100_000;

impl Session {
    /// Values by stack or over time: those that are stored, else what counters have grown by.
    pub(crate) async fn values(
        &self,
        rows: &Rows,
        question: Question,
    ) -> Result<Reply<Scanned>, Error> {
        let mut stored = self.ask(&rows.query(question.clone())).await?;
        if matches!(question, Question::Stacks(GroupBy::Profiles { .. })) {
            stored.warnings.extend(placed(&mut stored.value));
        }
        if !rows.profile_type.delta || stored.value.stats.profiles > 0 {
            return Ok(stored);
        }
        let Some((counters, totals)) = self.totals(rows).await? else {
            return Ok(stored);
        };
        let Reply { value, warnings } = totals;
        let growth = |totals| growth(totals, &counters.profile_type);
        let mut grown = match question {
            Question::Series { step, sum_by } => {
                let series = growth(&value).series;
                stored.value.answer = Answer::Series(over_time(series, step, sum_by));
                stored
            }
            Question::Stacks(by @ (GroupBy::Times { .. } | GroupBy::Profiles { .. })) => {
                let of = (&counters, &rows.profile_type);
                let mut grown = self.grown_by_time(of, value, by).await?;
                grown.warnings.append(&mut stored.warnings);
                grown
            }
            question => {
                let weights = growth(&value).weights;
                let mut grown = self.differ(&counters, weights, question).await?;
                grown.warnings.append(&mut stored.warnings);
                grown
            }
        };
        grown.warnings.extend(warnings);
        Ok(grown)
    }

    /// Every profile is the end of a step and the beginning of the next, so none has one weight.
    async fn grown_by_time(
        &self,
        (counters, grown): (&Rows, &ProfileType),
        totals: Series,
        by: GroupBy,
    ) -> Result<Reply<Scanned>, Error> {
        let apart = GroupBy::Profiles {
            step: 0,
            labels: Vec::new(),
        };
        let mut reply = self.ask(&counters.query(Question::Stacks(apart))).await?;
        reply.warnings.extend(placed(&mut reply.value));
        let Answer::Stacks(found) = reply.value.answer else {
            return Err(cairn_engine::WrongAnswer.into());
        };
        let grown = grown.clone();
        let work = move || steps(&found, &totals, &grown, &by);
        reply.value.answer = Answer::Stacks(self.compute(work).await?);
        reply.warnings.extend(clamp(&mut reply.value));
        cover(&mut reply.value.stats);
        Ok(reply)
    }

    /// Sums per stack of profiles that count as often as the weights say.
    pub(crate) async fn differ(
        &self,
        counters: &Rows,
        weights: Weights,
        question: Question,
    ) -> Result<Reply<Scanned>, Error> {
        let count = weights.len();
        if count > WEIGHTS_MAX {
            return Err(Error::Invalid(format!(
                "the growth of too many counters is asked for ({count} profiles, at most \
                 {WEIGHTS_MAX}): select fewer"
            )));
        }
        let query = Query {
            weights: Some(Arc::new(weights)),
            ..counters.query(question)
        };
        let mut reply = self.ask(&query).await?;
        reply.warnings.extend(clamp(&mut reply.value));
        cover(&mut reply.value.stats);
        Ok(reply)
    }

    /// Of counters; None if nothing is stored that could have grown.
    async fn totals(&self, rows: &Rows) -> Result<Option<(Rows, Reply<Series>)>, Error> {
        let counters = Rows {
            profile_type: ProfileType {
                delta: false,
                ..rows.profile_type.clone()
            },
            ..rows.clone()
        };
        let all = Question::Series {
            step: 0,
            sum_by: None,
        };
        let Reply { value, warnings } = self.ask(&counters.query(all)).await?;
        let Answer::Series(value) = value.answer else {
            return Err(cairn_engine::WrongAnswer.into());
        };
        let is_known = !value.0.is_empty();
        Ok(is_known.then_some((counters, Reply { value, warnings })))
    }
}

/// As the spans of time do that profiles with a duration cover.
fn cover(stats: &mut Stats) {
    let range = stats.range;
    stats.duration = range.map_or(0, |range| range.end.saturating_sub(range.start));
}

fn over_time(grown: Series, step: i64, sum_by: Option<Vec<String>>) -> Series {
    let stepped = grown.stepped(step);
    match sum_by {
        None => stepped,
        Some(names) => stepped.sum_by(&names),
    }
}

/// Every stack of a profile is in a group that has a time. Those of whoever does not know what that
/// means, as earlier builds don't, are in none.
fn placed(scanned: &mut Scanned) -> Option<Warning> {
    let Answer::Stacks(partial) = &mut scanned.answer else {
        return None;
    };
    let before = partial.values.len();
    partial.values.retain(|value| value.group != 0);
    let left_out = before - partial.values.len();
    (left_out > 0).then(|| {
        let text = format!(
            "{left_out} stacks are left out: a querier or an ingester of an earlier build does not \
             say of which profiles they are"
        );
        Warning::new("", Code::Unavailable, text)
    })
}

/// Nothing grows by less than nothing: where a stack did, its counter began anew, and by the time
/// of the next profile all stacks together were above where they had been.
fn clamp(scanned: &mut Scanned) -> Option<Warning> {
    let Answer::Stacks(partial) = &mut scanned.answer else {
        return None;
    };
    let before = partial.values.len();
    partial.values.retain(|value| value.value > 0);
    let left_out = before - partial.values.len();
    (left_out > 0).then(|| {
        let text = format!(
            "{left_out} stacks have less at the end than at the beginning, and count as 0: their \
             counters began anew unnoticed, or are none"
        );
        Warning::new("", Code::Conflict, text)
    })
}

#[cfg(test)]
mod tests {
    use cairn_trie::{Group, Partial, Value};

    use super::*;

    #[test]
    fn stacks_of_no_known_profile_are_left_out_and_said_so() {
        let value = |group| Value {
            node: 0,
            group,
            value: 7,
        };
        let of = |groups: &[u32]| Scanned {
            answer: Answer::Stacks(Partial {
                groups: vec![Group::default(); 2],
                values: groups.iter().copied().map(value).collect(),
                ..Partial::default()
            }),
            stats: Stats::default(),
            told: Default::default(),
        };
        let mut found = of(&[0, 1]);
        let warning = placed(&mut found).expect("one is left out");
        assert!(warning.to_string().contains("1 stacks"), "{warning}");
        assert_eq!(found, of(&[1]));
        assert!(placed(&mut found).is_none());
    }
}
