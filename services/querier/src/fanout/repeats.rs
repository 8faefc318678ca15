//! Profiles that several sources hold count once.
//!
//! Clients send again what nobody acknowledged to them, and another ingester may take it then. See
//! [`cairn_engine::repeats`] for the steps. Where one of them fails, the first answers stand, with a
//! warning.

use std::collections::{BTreeMap, BTreeSet};

use cairn_engine::repeats::{Ask, Delivery, SourceId, repeated, shared};
use cairn_engine::{Query, Question, Scanned};
use cairn_model::Code;
use futures::StreamExt;

use super::{Fanout, Part, Progress};
use crate::error::Warning;
use crate::plan::Position;

/// Sources that are asked once more at a time: their first answers are held meanwhile.
const ASKED_AGAIN: usize = 2;

/// An answer that is held until it is known what in it is there twice.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) part: Part,
    pub(super) scanned: Scanned,
    /// Something is missing from it.
    pub(super) is_partial: bool,
}

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
        let again = |held: &Held| !without.is_empty() && held.part.changes(&shared, &without);
        let (again, kept): (Vec<Held>, Vec<Held>) = held.into_iter().partition(again);
        let mut answers: Vec<Scanned> = kept.into_iter().map(|held| held.scanned).collect();
        let asked = again.into_iter().map(|held| self.less(held, &without));
        let mut asked = futures::stream::iter(asked).buffered(ASKED_AGAIN);
        while let Some((scanned, failed)) = asked.next().await {
            answers.push(scanned);
            match failed {
                Some(reason) => progress.doubled(reason),
                None => progress.repeated += 1,
            }
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
        let asked = held.iter().filter_map(|Held { part, .. }| {
            let ask = Ask {
                deliveries: part.of_sources(shared),
                ..Ask::NOTHING
            };
            let part = part.only(shared)?;
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

    /// The answer of a source without what others hold as well; or the one that it gave before, and
    /// why it can't be told anew.
    async fn less(
        &self,
        held: Held,
        without: &BTreeMap<SourceId, BTreeSet<Delivery>>,
    ) -> (Scanned, Option<String>) {
        let ask = Ask {
            without: held.part.of_sources(without),
            ..Ask::NOTHING
        };
        let (_, result) = self.ask(held.part, &ask).await;
        match result {
            // What is missing now and was not before is no repeat.
            Ok((_, warnings)) if !warnings.is_empty() && !held.is_partial => {
                (held.scanned, Some(warnings[0].to_string()))
            }
            Ok((scanned, _)) => (scanned, None),
            Err(failure) => (held.scanned, Some(failure.to_string())),
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

    /// Whether its answer is another one if these are left out everywhere.
    fn changes(
        &self,
        shared: &BTreeMap<SourceId, BTreeSet<u64>>,
        without: &BTreeMap<SourceId, BTreeSet<Delivery>>,
    ) -> bool {
        let mut sources = self.sources().into_iter();
        match self {
            Self::Blocks(..) | Self::Shares(_) => {
                sources.any(|source| without.contains_key(&source))
            }
            // What is left out elsewhere may have come here only after the first answer.
            Self::Tail(_) | Self::Log(_) => sources.any(|source| shared.contains_key(&source)),
        }
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
        let sources = part.sources();
        sources
            .iter()
            .any(|source| known.contains_key(source))
            .then_some(part)
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
        Warning::new("", Code::Unavailable, text).say(&mut self.warnings);
    }
}
