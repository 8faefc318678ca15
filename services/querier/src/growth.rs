//! What counters have grown by: the `:delta` of a type of which senders only send counters.
//!
//! Two questions: first the totals of all profiles, which say where counters began anew, then the
//! stacks of those profiles that the growth is the difference of.

use std::sync::Arc;

use cairn_engine::{Answer, GroupBy, Growth, Query, Question, Scanned, Series, growth};
use cairn_model::{Code, ProfileType};

use crate::error::{Error, Warning};
use crate::querier::{Reply, Rows, Session};

/// Profiles that one difference is made of, so that a question fits into a message.
const WEIGHTS_MAX: usize = 100_000;

impl Session {
    /// None if nothing is stored that could have grown.
    pub(crate) async fn grown_series(
        &self,
        rows: &Rows,
        (step, sum_by): (i64, Option<&[String]>),
    ) -> Result<Option<Reply<Series>>, Error> {
        let growth = self.growth(rows).await?;
        Ok(growth.map(|(_, reply)| {
            reply.map(|Growth { series, .. }| {
                let stepped = series.stepped(step);
                match sum_by {
                    None => stepped,
                    Some(names) => stepped.sum_by(names),
                }
            })
        }))
    }

    /// The same by stack.
    pub(crate) async fn grown_stacks(
        &self,
        rows: &Rows,
        group_by: GroupBy,
    ) -> Result<Option<Reply<Scanned>>, Error> {
        let Some((rows, Reply { value, warnings })) = self.growth(rows).await? else {
            return Ok(None);
        };
        let count = value.weights.len();
        if count > WEIGHTS_MAX {
            return Err(Error::Invalid(format!(
                "the growth of too many counters is asked for ({count} profiles, at most \
                 {WEIGHTS_MAX}): select fewer"
            )));
        }
        let query = Query {
            weights: Some(Arc::new(value.weights)),
            ..rows.query(Question::Stacks(group_by))
        };
        let mut reply = self.ask(&query).await?;
        reply.warnings.extend(warnings);
        reply.warnings.extend(clamp(&mut reply.value));
        // As the spans of time do that profiles with a duration cover.
        let range = reply.value.stats.range;
        let covered = range.map_or(0, |range| range.end.saturating_sub(range.start));
        reply.value.stats.duration = covered;
        Ok(Some(reply))
    }

    async fn growth(&self, rows: &Rows) -> Result<Option<(Rows, Reply<Growth>)>, Error> {
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
        let reply = self.ask(&counters.query(all)).await?;
        let Answer::Series(totals) = &reply.value.answer else {
            return Err(cairn_engine::WrongAnswer.into());
        };
        if totals.0.is_empty() {
            return Ok(None);
        }
        let value = growth(totals, &counters.profile_type);
        let warnings = reply.warnings;
        Ok(Some((counters, Reply { value, warnings })))
    }
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
