//! One question to everybody who may know, one merged answer.
//!
//! Owns the order that makes answers right: catalog first, tails second. What a report looks like
//! is the business of `api`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cairn_catalog::{Client, RemoteParts, Snapshot};
use cairn_chassis::{Context, Job, Turn};
use cairn_engine::{Answer, FOLDED, GroupBy, Point, Query, Question, Scanned, Series, Stats};
use cairn_model::{Code, Labels, Matcher, ProfileType, TenantId, TimeRange};
use cairn_store::Store;
use cairn_symbols::Mode;
use cairn_trie::Partial;
use futures::future::try_join_all;

use crate::admission::{Admission, cost};
use crate::answers::Answers;
use crate::config::Config;
use crate::deadline::Deadline;
use crate::error::{Error, Warning, chain};
use crate::explain::{Explain, Step};
use crate::fanout::{Fanout, Outcome};
use crate::late::Late;
use crate::logs::Logs;
use crate::metrics::Metrics;
use crate::notes::Notes;
use crate::plan::plan;
use crate::symbolize::symbolize;
use crate::worker::Worker;

/// Answers questions. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Querier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cx: Context,
    config: Config,
    /// This process', whose open blocks, turns and kept answers serve here as well.
    worker: Worker,
    admission: Admission,
    workers: Vec<String>,
    catalog: Client,
    /// Where the catalog is asked first.
    catalog_address: String,
    logs: Logs,
    symbolizer: String,
}

/// One request: who asks, and until when.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) querier: Querier,
    pub(crate) job: Job,
    pub(crate) deadline: Deadline,
    pub(crate) explain: Explain,
    /// How functions are named; if nothing is said as they are stored.
    pub(crate) names: Option<Mode>,
    late: Late,
    pub(crate) notes: Notes,
}

/// An answer, and what is missing from it.
#[derive(Clone, Debug)]
pub(crate) struct Reply<T> {
    pub(crate) value: T,
    pub(crate) warnings: Vec<Warning>,
}

/// Which rows: a profile type, matchers, a range.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) profile_type: ProfileType,
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) range: TimeRange,
}

/// Values by stack, named as far as names are known.
#[derive(Clone, Debug)]
pub(crate) struct Stacks {
    pub(crate) partial: Partial,
    pub(crate) stats: Stats,
}

// === impl Querier ===

impl Querier {
    pub(crate) fn new(config: Config, store: Store, cx: Context, worker: Worker) -> Self {
        let own = cx.own_address();
        let catalogs = config.catalog.or(own.clone());
        Self(Arc::new(Inner {
            workers: config.workers_or(&own),
            catalog_address: catalogs[0].clone(),
            catalog: Client::remote(RemoteParts {
                addresses: catalogs,
                connect: cx.connector(),
                seed: cx.random().u64(),
            }),
            logs: Logs { store },
            symbolizer: match config.symbolizer.as_str() {
                "" => own,
                address => address.to_owned(),
            },
            cx,
            admission: Admission::new(&config.limits),
            config,
            worker,
        }))
    }

    pub(crate) fn cx(&self) -> &Context {
        &self.0.cx
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.worker.metrics
    }

    pub(crate) fn answers(&self) -> &Answers {
        &self.0.worker.answers
    }

    pub(crate) fn worker(&self) -> &Worker {
        &self.0.worker
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.logs.store
    }

    pub(crate) fn symbolizer(&self) -> &str {
        &self.0.symbolizer
    }

    /// A request that may take as long as it asks for, if that is less than the limit.
    pub(crate) fn session(&self, tenant: &TenantId, asked: Option<Duration>) -> Session {
        let limit = self.0.config.limits.query_timeout;
        let limit = asked.map_or(limit, |asked| asked.min(limit));
        Session {
            querier: self.clone(),
            job: self.0.cx.job(tenant),
            deadline: Deadline::after(&self.0.cx.clock(), limit),
            explain: Explain::default(),
            names: None,
            late: Late::default(),
            notes: Notes::default(),
        }
    }
}

// === impl Session ===

impl Session {
    pub(crate) fn tenant(&self) -> &TenantId {
        self.job.tenant()
    }

    /// CPU work, in turns with that of other tenants.
    pub(crate) async fn compute<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> R {
        self.job.compute(work).await
    }

    /// Asks everybody.
    pub(crate) async fn ask(&self, query: &Query) -> Result<Reply<Scanned>, Error> {
        let clock = self.querier.cx().clock();
        let metrics = self.querier.metrics();
        let start = clock.instant();
        let result = self.ask_twice(query).await;
        let seconds = (clock.instant() - start).as_secs_f64();
        metrics.seconds.observe(seconds);
        match &result {
            Ok(reply) => {
                metrics.queries.inc();
                if !reply.warnings.is_empty() {
                    metrics.partial.inc();
                }
            }
            Err(_) => {
                metrics.failures.inc();
            }
        }
        result
    }

    /// A tail that has moved on since the snapshot is a reason to look again, once.
    async fn ask_twice(&self, query: &Query) -> Result<Reply<Scanned>, Error> {
        let mut outcome = self.ask_once(query).await?;
        if outcome.moved {
            self.querier.metrics().replans.inc();
            outcome = self.ask_once(query).await?;
        }
        let Outcome {
            scanned,
            mut warnings,
            moved: _,
            unread,
            repeated,
        } = outcome;
        self.querier.metrics().repeats.inc_by(repeated);
        if unread && !warnings.is_empty() {
            let texts: BTreeSet<String> = warnings.iter().map(Warning::to_string).collect();
            let texts: Vec<String> = texts.into_iter().take(3).collect();
            return Err(Error::Unread(texts.join("; ")));
        }
        warnings.extend(self.folded(&scanned.stats));
        Ok(Reply {
            value: scanned,
            warnings,
        })
    }

    /// What to say of an answer that calls were folded in.
    pub(crate) fn folded(&self, stats: &Stats) -> Option<Warning> {
        self.notes.folded(stats.folded);
        (stats.folded > 0).then(|| {
            let text = format!(
                "there are more calls than one query has memory for (query_bytes_max): those of up \
                 to {} each are summed up as {FOLDED}",
                stats.folded
            );
            Warning::new("", Code::Exhausted, text)
        })
    }

    async fn ask_once(&self, query: &Query) -> Result<Outcome, Error> {
        let inner = &*self.querier.0;
        let snapshot = self.snapshot(query.range).await?;
        let mut plan = plan(snapshot, query.range, &inner.workers);
        let _turn = self.admitted(cost(&plan, query.range)).await?;
        for tail in &mut plan.tails {
            if tail.address.is_empty() {
                tail.address.clone_from(&inner.catalog_address);
            }
        }
        let late = self.late.set_aside(&mut plan);
        let is_empty = plan.blocks.is_empty() && plan.tails.is_empty() && plan.logs.is_empty();
        let fanout = Fanout {
            cx: &inner.cx,
            limits: &inner.config.limits,
            logs: &inner.logs,
            job: &self.job,
            query,
            deadline: &self.deadline,
            explain: &self.explain,
            worker: &inner.worker,
            keeps_sum: false,
        };
        let mut outcome = Box::pin(fanout.run(plan, &inner.workers)).await?;
        self.late.note(&outcome.warnings);
        outcome.unread |= is_empty && !late.is_empty();
        outcome.warnings.extend(late);
        Ok(outcome)
    }

    /// Waits for room for what a query costs.
    async fn admitted(&self, cost: u64) -> Result<Turn, Error> {
        let clock = self.querier.cx().clock();
        let start = clock.instant();
        let turn = self.querier.0.admission.enter(self.tenant(), cost).await?;
        let step = Step {
            source: "admission",
            ..Step::default()
        };
        self.explain.add(step.took(clock.instant() - start));
        Ok(turn)
    }

    pub(crate) async fn snapshot(&self, range: TimeRange) -> Result<Snapshot, Error> {
        let catalog = self.querier.0.catalog.clone();
        let catalog = catalog.with_patience(self.deadline.left());
        let clock = self.querier.cx().clock();
        let start = clock.instant();
        let snapshot = catalog.snapshot_within(self.tenant(), range).await;
        let step = Step {
            source: "catalog",
            address: self.querier.0.catalog_address.clone(),
            ..Step::default()
        };
        self.explain.add(step.took(clock.instant() - start));
        snapshot.map_err(|error| Error::Catalog {
            code: error.code(),
            text: chain(&error),
        })
    }

    pub(crate) async fn types(
        &self,
        range: TimeRange,
        matchers: &[Matcher],
    ) -> Result<Reply<BTreeSet<ProfileType>>, Error> {
        let query = Query {
            profile_type: None,
            matchers: matchers.to_vec(),
            range,
            weights: None,
            question: Question::ProfileTypes,
        };
        let Reply { value, warnings } = self.ask(&query).await?;
        match value.answer {
            Answer::ProfileTypes(value) => Ok(Reply { value, warnings }),
            _ => Err(cairn_engine::WrongAnswer.into()),
        }
    }

    /// Label names, or the values of one label.
    pub(crate) async fn names(&self, query: &Query) -> Result<Reply<Vec<String>>, Error> {
        let Reply { value, warnings } = self.ask(query).await?;
        match value.answer {
            Answer::Names(names) => Ok(Reply {
                value: names.into_iter().collect(),
                warnings,
            }),
            _ => Err(cairn_engine::WrongAnswer.into()),
        }
    }

    /// The type that is meant: a name without `:delta` stands for the values of spans of time if
    /// only those exist in the range, since few people know which kind an agent sends.
    pub(crate) async fn resolve(&self, rows: Rows) -> Result<Rows, Error> {
        let range = rows.range;
        self.resolve_within(rows, &[range]).await
    }

    /// The same by what exists in any of several ranges.
    pub(crate) async fn resolve_within(
        &self,
        rows: Rows,
        ranges: &[TimeRange],
    ) -> Result<Rows, Error> {
        if rows.profile_type.delta {
            return Ok(rows);
        }
        let asked = ranges
            .iter()
            .map(|range| self.types(*range, &rows.matchers));
        let found = try_join_all(asked).await?;
        let types = found.into_iter().flat_map(|reply| reply.value).collect();
        if let Some(remark) = ambiguous(&rows.profile_type, &types) {
            self.notes.remark(remark);
        }
        let profile_type = resolve(rows.profile_type, &types);
        Ok(Rows {
            profile_type,
            ..rows
        })
    }

    /// Which sets of labels the rows have, and how many profiles have each: of these labels, or of
    /// all that profiles have. The parts of the type are labels too, such as `__name__`.
    pub(crate) async fn label_sets(
        &self,
        query: &Query,
    ) -> Result<Reply<BTreeMap<Labels, u64>>, Error> {
        let Reply { value, warnings } = self.ask(query).await?;
        let Answer::Series(series) = value.answer else {
            return Err(cairn_engine::WrongAnswer.into());
        };
        let profiles = |points: &BTreeMap<i64, Point>| points.values().map(|p| p.profiles).sum();
        let sets = series.0.into_iter();
        let value = sets.map(|(labels, points)| (labels, profiles(&points)));
        Ok(Reply {
            value: value.collect(),
            warnings,
        })
    }

    pub(crate) async fn series(
        &self,
        rows: &Rows,
        step: i64,
        sum_by: Option<Vec<String>>,
    ) -> Result<Reply<Series>, Error> {
        let question = Question::Series { step, sum_by };
        let Reply { value, warnings } = self.values(rows, question).await?;
        match value.answer {
            Answer::Series(value) => Ok(Reply { value, warnings }),
            _ => Err(cairn_engine::WrongAnswer.into()),
        }
    }

    pub(crate) async fn stacks(
        &self,
        rows: &Rows,
        group_by: GroupBy,
    ) -> Result<Reply<Stacks>, Error> {
        let Reply {
            value,
            mut warnings,
        } = self.values(rows, Question::Stacks(group_by)).await?;
        let Answer::Stacks(partial) = value.answer else {
            return Err(cairn_engine::WrongAnswer.into());
        };
        let (partial, unnamed) = symbolize(self, partial).await;
        warnings.extend(unnamed);
        let value = Stacks {
            partial,
            stats: value.stats,
        };
        Ok(Reply { value, warnings })
    }
}

impl Rows {
    pub(crate) fn query(&self, question: Question) -> Query {
        Query {
            profile_type: Some(self.profile_type.clone()),
            matchers: self.matchers.clone(),
            range: self.range,
            weights: None,
            question,
        }
    }
}

impl<T> Reply<T> {
    pub(crate) fn map<U>(self, to: impl FnOnce(T) -> U) -> Reply<U> {
        Reply {
            value: to(self.value),
            warnings: self.warnings,
        }
    }
}

/// A name without `:delta` stands for one kind only, even where both are stored.
fn ambiguous(asked: &ProfileType, found: &BTreeSet<ProfileType>) -> Option<String> {
    let delta = delta_of(asked);
    let is_both = *asked != delta && found.contains(asked) && found.contains(&delta);
    is_both.then(|| format!("profiles of {delta} match, too, and are not in this answer"))
}

fn delta_of(asked: &ProfileType) -> ProfileType {
    ProfileType {
        delta: true,
        ..asked.clone()
    }
}

fn resolve(asked: ProfileType, found: &BTreeSet<ProfileType>) -> ProfileType {
    let delta = delta_of(&asked);
    if !found.contains(&asked) && found.contains(&delta) {
        delta
    } else {
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_without_delta_stands_for_whichever_exists() {
        let profile_type = |text: &str| text.parse::<ProfileType>().expect("valid");
        let plain = profile_type("cpu:cpu:ns:cpu:ns");
        let delta = profile_type("cpu:cpu:ns:cpu:ns:delta");
        let found = |types: &[&ProfileType]| types.iter().map(|t| (*t).clone()).collect();
        assert_eq!(resolve(plain.clone(), &found(&[&delta])), delta);
        assert_eq!(resolve(plain.clone(), &found(&[&delta, &plain])), plain);
        assert_eq!(resolve(plain.clone(), &found(&[])), plain);
        assert_eq!(resolve(delta.clone(), &found(&[&plain])), delta);
        for (asked, all, told) in [
            (&plain, found(&[&delta, &plain]), true),
            (&plain, found(&[&delta]), false),
            (&plain, found(&[&plain]), false),
            (&delta, found(&[&delta, &plain]), false),
        ] {
            assert_eq!(ambiguous(asked, &all).is_some(), told, "{asked} {all:?}");
        }
    }
}
