//! What counters have grown by: the `:delta` of a type of which senders only send counters.
//!
//! Two questions: first the totals of all profiles, which say where counters began anew, then the
//! stacks of those profiles that the growth is the difference of.

use std::sync::Arc;

use cairn_engine::{Answer, Growth, Query, Question, Scanned, Series, Weights, growth};
use cairn_model::{Code, ProfileType};

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
        if !rows.profile_type.delta || stored.value.stats.profiles > 0 {
            return Ok(stored);
        }
        let Some((counters, Reply { value, warnings })) = self.growth(rows).await? else {
            return Ok(stored);
        };
        let mut grown = match question {
            Question::Series { step, sum_by } => {
                stored.value.answer = Answer::Series(over_time(value.series, step, sum_by));
                stored
            }
            question => {
                let mut grown = self.differ(&counters, value.weights, question).await?;
                grown.warnings.append(&mut stored.warnings);
                grown
            }
        };
        grown.warnings.extend(warnings);
        Ok(grown)
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
        // As the spans of time do that profiles with a duration cover.
        let range = reply.value.stats.range;
        let covered = range.map_or(0, |range| range.end.saturating_sub(range.start));
        reply.value.stats.duration = covered;
        Ok(reply)
    }

    /// None if nothing is stored that could have grown.
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

fn over_time(grown: Series, step: i64, sum_by: Option<Vec<String>>) -> Series {
    let stepped = grown.stepped(step);
    match sum_by {
        None => stepped,
        Some(names) => stepped.sum_by(&names),
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
