//! Profiles that several sources hold count once.
//!
//! Clients send again what nobody acknowledged to them, and another ingester may take it then. See
//! [`cairn_engine::repeats`] for the steps. Where one of them fails, the first answers stand, with a
//! warning.

use std::collections::{BTreeMap, BTreeSet};

use cairn_block::Lsn;
use cairn_engine::repeats::{Ask, Delivery, SourceId, repeated, shared};
use cairn_engine::{Query, Question, Scanned};
use cairn_model::Code;
use futures::StreamExt;

use super::{Fanout, Part, Progress};
use crate::error::Warning;
use crate::plan::Position;

/// Sources that are asked once more at a time: their first answers are held meanwhile.
const ASKED_AGAIN: usize = 2;

/// An answer that is held until it is known what in it is there twice. Whatever is asked about it
/// afterwards is asked of nothing that is not in it.
#[derive(Debug)]
pub(super) struct Held {
    part: Part,
    scanned: Scanned,
    /// The last entry of a log that is in it.
    until: Option<Lsn>,
}

impl Held {
    pub(super) fn new(part: Part, scanned: Scanned, warnings: &[Warning]) -> Self {
        Self {
            part: part.without_missing(warnings),
            until: scanned.told.last,
            scanned,
        }
    }

    fn asked(&self, ask: Ask) -> Ask {
        let until = match self.part {
            Part::Tail(_) | Part::Log(_) => self.until,
            // They stay as they are, and hold the entries of several logs.
            Part::Blocks(..) | Part::Shares(_) => None,
        };
        Ask { until, ..ask }
    }

    /// An ingester of an earlier build does not say where its answer ends. What would be left out
    /// elsewhere may have come to it since, so nothing is.
    fn is_open_ended(&self, shared: &BTreeMap<SourceId, BTreeSet<u64>>) -> bool {
        matches!(self.part, Part::Tail(_)) && self.until.is_none() && self.part.has_any(shared)
    }
}

/// An answer without what others hold as well, and what else is missing from it; or the first one,
/// and why it can't be told anew.
type Again = Result<(Scanned, Vec<Warning>), (Scanned, String)>;

impl Fanout<'_> {
    /// Answers of sources that may share profiles, so that none counts twice in their sum.
    pub(super) async fn once(&self, mut held: Vec<Held>, progress: &mut Progress) -> Vec<Scanned> {
        let mut stretches = Vec::new();
        for held in &mut held {
            let told = std::mem::take(&mut held.scanned.told);
            if told.is_cut_off {
                progress.doubled("there are too many series to compare");
            }
            stretches.extend(told.stretches);
        }
        let shared = shared(&stretches);
        drop(stretches);
        let without = match shared.is_empty() {
            true => BTreeMap::new(),
            false => self.without(&held, &shared, progress).await,
        };
        let again = |held: &Held| held.part.has_any(&without);
        let (again, kept): (Vec<Held>, Vec<Held>) = held.into_iter().partition(again);
        let mut answers: Vec<Scanned> = kept.into_iter().map(|held| held.scanned).collect();
        let asked = again.into_iter().map(|held| self.less(held, &without));
        let mut asked = futures::stream::iter(asked).buffered(ASKED_AGAIN);
        while let Some(again) = asked.next().await {
            answers.push(match again {
                Ok((scanned, warnings)) => {
                    progress.repeated += 1;
                    progress.say(warnings);
                    scanned
                }
                Err((first, reason)) => {
                    progress.doubled(reason);
                    first
                }
            });
        }
        answers
    }

    /// What to leave out of which source.
    async fn without(
        &self,
        held: &[Held],
        shared: &BTreeMap<SourceId, BTreeSet<u64>>,
        progress: &mut Progress,
    ) -> BTreeMap<SourceId, BTreeSet<Delivery>> {
        // The cheapest question.
        let query = Query {
            weights: None,
            question: Question::ProfileTypes,
            ..self.query.clone()
        };
        let fanout = Fanout {
            query: &query,
            ..*self
        };
        let (open_ended, held): (Vec<&Held>, Vec<&Held>) =
            held.iter().partition(|held| held.is_open_ended(shared));
        if !open_ended.is_empty() {
            progress.doubled("an ingester of an earlier build does not say where its answer ends");
        }
        let asked = held.into_iter().filter_map(|held| {
            let ask = held.asked(Ask {
                deliveries: held.part.of_sources(shared),
                ..Ask::NOTHING
            });
            let part = held.part.only(shared)?;
            Some(async move { fanout.ask(part, &ask).await.1 })
        });
        let mut deliveries = Vec::new();
        for result in futures::future::join_all(asked).await {
            match result {
                Ok((scanned, warnings)) => {
                    if scanned.told.is_cut_off {
                        progress.doubled("there are too many profiles to compare");
                    }
                    if let Some(warning) = warnings.first() {
                        progress.doubled(warning);
                    }
                    deliveries.extend(scanned.told.deliveries);
                }
                Err(failure) => progress.doubled(failure),
            }
        }
        repeated(deliveries)
    }

    async fn less(&self, held: Held, without: &BTreeMap<SourceId, BTreeSet<Delivery>>) -> Again {
        let ask = held.asked(Ask {
            without: held.part.of_sources(without),
            ..Ask::NOTHING
        });
        let (_, result) = self.ask(held.part, &ask).await;
        match result {
            Ok((scanned, warnings)) => match warnings.iter().find(|w| w.names_a_block()) {
                // What is missing only now is no repeat.
                Some(missing) => Err((held.scanned, missing.to_string())),
                None => Ok((scanned, warnings)),
            },
            Err(failure) => Err((held.scanned, failure.to_string())),
        }
    }
}

impl Part {
    fn sources(&self) -> Vec<SourceId> {
        match self {
            Self::Blocks(_, blocks) => blocks.iter().map(|b| SourceId::block(&b.id)).collect(),
            // What is grouped shares nothing with others.
            Self::Shares(_) => Vec::new(),
            Self::Tail(tail) => vec![of(&tail.position)],
            Self::Log(position) => vec![of(position)],
        }
    }

    /// The same without blocks that are missing from its answer.
    fn without_missing(mut self, warnings: &[Warning]) -> Self {
        if let Self::Blocks(_, blocks) = &mut self {
            let is_missing = |id: &str| warnings.iter().any(|warning| warning.block == id);
            blocks.retain(|block| !is_missing(&block.id.to_string()));
        }
        self
    }

    /// Whether something is known of one of its sources.
    fn has_any<T>(&self, known: &BTreeMap<SourceId, T>) -> bool {
        let mut sources = self.sources().into_iter();
        sources.any(|source| known.contains_key(&source))
    }

    /// Everything that is known of its sources.
    fn of_sources<T: Ord + Clone>(&self, known: &BTreeMap<SourceId, BTreeSet<T>>) -> BTreeSet<T> {
        let sources = self.sources();
        let known = sources.iter().filter_map(|source| known.get(source));
        known.flatten().cloned().collect()
    }

    /// The same without sources of which nothing is known.
    fn only<T>(&self, known: &BTreeMap<SourceId, T>) -> Option<Self> {
        let mut part = self.clone();
        if let Self::Blocks(_, blocks) = &mut part {
            blocks.retain(|block| known.contains_key(&SourceId::block(&block.id)));
        }
        part.has_any(known).then_some(part)
    }
}

fn of(position: &Position) -> SourceId {
    SourceId::log(&position.writer, position.incarnation)
}

impl Progress {
    fn doubled(&mut self, reason: impl ToString) {
        let text = format!(
            "profiles that were sent again may count twice: {}",
            reason.to_string()
        );
        self.say([Warning::new("", Code::Unavailable, text)]);
    }

    fn say(&mut self, warnings: impl IntoIterator<Item = Warning>) {
        for warning in warnings {
            warning.say(&mut self.warnings);
        }
    }
}

#[cfg(test)]
mod tests {
    use cairn_catalog::BlockMeta;
    use cairn_engine::Answer;
    use cairn_model::{BlockId, TenantId, TimeRange, WriterId};

    use super::*;
    use crate::plan::Tail;

    fn block(id: u128) -> BlockMeta {
        BlockMeta {
            id: BlockId::new(1, id),
            tenant: TenantId::anonymous(),
            level: 0,
            range: TimeRange { start: 0, end: 9 },
            bytes: 1,
            rows: 1,
            profiles: 1,
            created_unix_ms: 1,
        }
    }

    fn scanned() -> Scanned {
        let mut scanned = Scanned {
            answer: Answer::Names(BTreeSet::new()),
            stats: cairn_engine::Stats::default(),
            told: cairn_engine::repeats::Told::default(),
        };
        scanned.told.last = Some(7);
        scanned
    }

    #[test]
    fn what_was_missing_at_first_is_not_asked_again() {
        let (read, missing) = (block(1), block(2));
        let part = Part::Blocks("http://w".to_owned(), vec![read.clone(), missing.clone()]);
        let warnings = [
            Warning::too_many(),
            Warning::new(missing.id, Code::Unavailable, "slow down"),
        ];
        let held = Held::new(part, scanned(), &warnings);
        assert_eq!(held.part.sources(), [SourceId::block(&read.id)]);
        let everything = [&read, &missing].map(|block| (SourceId::block(&block.id), ()));
        let only = held.part.only(&everything.into()).expect("one is left");
        assert_eq!(only.sources(), [SourceId::block(&read.id)]);
        assert_eq!(held.asked(Ask::NOTHING), Ask::NOTHING);
    }

    fn position() -> Position {
        Position {
            writer: WriterId::parse("i1").expect("valid"),
            incarnation: 1,
            after: 3,
        }
    }

    #[test]
    fn a_tail_that_does_not_say_where_its_answer_ends_is_told_from_others() {
        let tail = Part::Tail(Tail {
            address: "http://i1".to_owned(),
            position: position(),
            is_in_store: true,
        });
        let mut of_an_earlier_build = scanned();
        of_an_earlier_build.told.last = None;
        let series = BTreeSet::from([1]);
        let shared = BTreeMap::from([(of(&position()), series.clone())]);
        let others = BTreeMap::from([(SourceId(1), series)]);
        let held = Held::new(tail.clone(), of_an_earlier_build, &[]);
        assert!(held.is_open_ended(&shared) && !held.is_open_ended(&others));
        assert!(!Held::new(tail, scanned(), &[]).is_open_ended(&shared));
    }

    #[test]
    fn what_a_log_got_after_its_first_answer_counts_in_none() {
        let log = Part::Log(position());
        let held = Held::new(log, scanned(), &[]);
        let until = Ask {
            until: Some(7),
            ..Ask::NOTHING
        };
        assert_eq!(held.asked(Ask::NOTHING), until);
    }
}
