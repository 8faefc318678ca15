//! One question to everybody who may know, one merged answer.
//!
//! Owns the order that makes answers right: catalog first, tails second. What a report looks like
//! is the business of `api`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cairn_chassis::Context;
use cairn_engine::{Answer, GroupBy, Query, Question, Scanned, Series, Stats};
use cairn_model::{Matcher, ProfileType, TenantId, TimeRange};
use cairn_trie::Partial;
use cairn_wire::cairn::catalog::v1::catalog_service_client::CatalogServiceClient;
use cairn_wire::cairn::catalog::v1::{SnapshotRequest, SnapshotResponse};

use crate::config::Config;
use crate::deadline::Deadline;
use crate::error::{Error, Warning};
use crate::fanout::{Fanout, Outcome};
use crate::metrics::Metrics;
use crate::peers::Failure;
use crate::plan::plan;
use crate::symbolize::symbolize;

/// Answers questions. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Querier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cx: Context,
    config: Config,
    metrics: Metrics,
    workers: Vec<String>,
    catalog: String,
    symbolizer: String,
}

/// One request: who asks, and until when.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) querier: Querier,
    pub(crate) tenant: TenantId,
    pub(crate) deadline: Deadline,
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
    pub(crate) fn new(config: Config, cx: Context, metrics: Metrics) -> Self {
        let own = cx.own_address();
        let or_own = |address: &str| match address {
            "" => own.clone(),
            address => address.to_owned(),
        };
        Self(Arc::new(Inner {
            workers: match config.workers.as_slice() {
                [] => vec![own.clone()],
                workers => workers.to_vec(),
            },
            catalog: or_own(&config.catalog),
            symbolizer: or_own(&config.symbolizer),
            cx,
            config,
            metrics,
        }))
    }

    pub(crate) fn cx(&self) -> &Context {
        &self.0.cx
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn symbolizer(&self) -> &str {
        &self.0.symbolizer
    }

    /// A request that may take as long as it asks for, if that is less than the limit.
    pub(crate) fn session(&self, tenant: TenantId, asked: Option<Duration>) -> Session {
        let limit = self.0.config.limits.query_timeout;
        let limit = asked.map_or(limit, |asked| asked.min(limit));
        Session {
            querier: self.clone(),
            tenant,
            deadline: Deadline::after(&self.0.cx.clock(), limit),
        }
    }
}

// === impl Session ===

impl Session {
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
            warnings,
            moved: _,
            unread,
        } = outcome;
        if unread && !warnings.is_empty() {
            let texts: BTreeSet<String> = warnings.iter().map(Warning::to_string).collect();
            let texts: Vec<String> = texts.into_iter().take(3).collect();
            return Err(Error::Unread(texts.join("; ")));
        }
        Ok(Reply {
            value: scanned,
            warnings,
        })
    }

    async fn ask_once(&self, query: &Query) -> Result<Outcome, Error> {
        let inner = &*self.querier.0;
        let snapshot = self.snapshot().await?;
        let mut plan = plan(snapshot, query.range, &inner.workers);
        for (address, _) in &mut plan.tails {
            // A writer that names no address is in the process that serves the catalog.
            if address.is_empty() {
                address.clone_from(&inner.catalog);
            }
        }
        let fanout = Fanout {
            cx: &inner.cx,
            limits: &inner.config.limits,
            tenant: &self.tenant,
            query,
            deadline: &self.deadline,
        };
        Ok(fanout.run(plan, &inner.workers).await?)
    }

    async fn snapshot(&self) -> Result<SnapshotResponse, Error> {
        let inner = &*self.querier.0;
        let failed = |failure: Failure| Error::Catalog {
            code: failure.code,
            text: failure.to_string(),
        };
        let channel = inner.cx.channel(&inner.catalog);
        let channel = channel.map_err(|error| failed(error.into()))?;
        let mut request = tonic::Request::new(SnapshotRequest {
            tenant: self.tenant.to_string(),
        });
        request.set_timeout(self.deadline.left());
        let max = inner.config.limits.message_bytes_max;
        let response = CatalogServiceClient::new(channel)
            .max_decoding_message_size(max)
            .snapshot(request)
            .await
            .map_err(|status| failed(Failure::of(&inner.catalog, &status)))?;
        Ok(response.into_inner())
    }

    pub(crate) async fn types(
        &self,
        range: TimeRange,
    ) -> Result<Reply<BTreeSet<ProfileType>>, Error> {
        let query = Query {
            profile_type: None,
            matchers: Vec::new(),
            range,
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
        if rows.profile_type.delta {
            return Ok(rows);
        }
        let types = self.types(rows.range).await?.value;
        let profile_type = resolve(rows.profile_type, &types);
        Ok(Rows {
            profile_type,
            ..rows
        })
    }

    pub(crate) async fn series(
        &self,
        rows: &Rows,
        step: i64,
        sum_by: Option<Vec<String>>,
    ) -> Result<Reply<Series>, Error> {
        let question = Question::Series { step, sum_by };
        let Reply { value, warnings } = self.ask(&rows.query(question)).await?;
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
        let query = rows.query(Question::Stacks(group_by));
        let Reply {
            value,
            mut warnings,
        } = self.ask(&query).await?;
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

fn resolve(asked: ProfileType, found: &BTreeSet<ProfileType>) -> ProfileType {
    let delta = ProfileType {
        delta: true,
        ..asked.clone()
    };
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
    }
}
