//! Profiles that several sources hold count once.
//!
//! Clients send again what nobody acknowledged to them, and another ingester may take it then. See
//! [`cairn_engine::repeats`] for the steps.

use std::collections::{BTreeMap, BTreeSet};

use cairn_engine::repeats::{Ask, Delivery, SourceId, Told, repeated, shared};
use cairn_engine::{Query, Question, Scanned};
use futures::future::join_all;

use super::{Fanout, Part, Progress};
use crate::error::Warning;
use crate::peers::Failure;
use crate::plan::Position;

impl Fanout<'_> {
    /// Answers of sources that may share profiles, so that none counts twice in their sum.
    pub(super) async fn once(
        &self,
        held: Vec<(Part, Scanned)>,
        progress: &mut Progress,
    ) -> Vec<Scanned> {
        let stretches = held.iter().flat_map(|(_, scanned)| &scanned.told.stretches);
        let shared = shared(&stretches.cloned().collect::<Vec<_>>());
        let without = match shared.is_empty() {
            true => BTreeMap::new(),
            false => self.without(&held, &shared, progress).await,
        };
        let again = held.into_iter().map(async |(part, scanned)| {
            let without = part.of_sources(&without);
            if without.is_empty() {
                return Ok(scanned);
            }
            let ask = Ask {
                without,
                ..Ask::NOTHING
            };
            let (_, result) = self.ask(part, &ask).await;
            result
                .map(|(scanned, _)| scanned)
                .map_err(|failure| (failure, scanned))
        });
        let mut answers = Vec::new();
        for result in join_all(again).await {
            answers.push(result.unwrap_or_else(|(failure, scanned)| {
                progress.doubled(&failure);
                scanned
            }));
        }
        progress.repeated = without.values().map(BTreeSet::len).sum::<usize>() as u64;
        answers
    }

    /// What to leave out of which source.
    async fn without(
        &self,
        held: &[(Part, Scanned)],
        shared: &BTreeMap<SourceId, BTreeSet<u64>>,
        progress: &mut Progress,
    ) -> BTreeMap<SourceId, BTreeSet<Delivery>> {
        // The cheapest question: it reads no rows.
        let query = Query {
            question: Question::ProfileTypes,
            ..self.query.clone()
        };
        let fanout = Fanout {
            query: &query,
            ..*self
        };
        let asked = held.iter().filter_map(|(part, _)| {
            let ask = Ask {
                deliveries: part.of_sources(shared),
                ..Ask::NOTHING
            };
            let part = part.only(shared)?;
            Some(async move { fanout.ask(part, &ask).await.1 })
        });
        let mut deliveries = Vec::new();
        for result in join_all(asked).await {
            match result {
                Ok((Scanned { told, .. }, _)) => {
                    let Told { deliveries: of, .. } = told;
                    deliveries.extend(of);
                }
                Err(failure) => progress.doubled(&failure),
            }
        }
        repeated(deliveries)
    }
}

impl Part {
    fn sources(&self) -> Vec<SourceId> {
        match self {
            Self::Blocks(_, blocks) => blocks.iter().map(|b| SourceId::block(&b.id)).collect(),
            Self::Tail(tail) => vec![of(&tail.position)],
            Self::Log(position) => vec![of(position)],
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
    fn doubled(&mut self, failure: &Failure) {
        let text = format!("profiles that were sent again may count twice: {failure}");
        self.warnings.push(Warning::new("", failure.code, text));
    }
}
