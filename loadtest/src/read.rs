//! Asks while a workload is sent. Owns what is asked and how long answers take; what is in them is
//! for `verify`, once all is sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Context;
use cairn_wire::parca::query::v1alpha1::query_request::{Mode, Options, ReportType};
use cairn_wire::parca::query::v1alpha1::query_service_client::QueryServiceClient;
use cairn_wire::parca::query::v1alpha1::{
    MergeProfile, QueryRangeRequest, QueryRequest, ValuesRequest,
};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::run::{NAME, Plan};
use crate::workload::Queries;

/// Longer than any server lets a question take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Points of a series.
const POINTS: i64 = 100;

/// What readers saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Times of complete and partial answers by question, ascending.
    pub(crate) latencies: BTreeMap<Question, Vec<Duration>>,
    /// Answers from which something was missing.
    pub(crate) partial: u64,
    pub(crate) failed: u64,
    /// The last failure in words.
    pub(crate) failure: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Question {
    FlameGraph,
    Range,
    Values,
}

impl Question {
    const ALL: [Self; 3] = [Self::FlameGraph, Self::Range, Self::Values];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FlameGraph => "flame graph",
            Self::Range => "range by pod",
            Self::Values => "values of pod",
        }
    }
}

/// People who look on until everything is sent.
#[derive(Debug)]
pub(crate) struct Readers {
    tasks: JoinSet<Seen>,
    stop: Arc<AtomicBool>,
}

/// What one reader needs to ask.
struct Reader {
    client: QueryServiceClient<Channel>,
    stop: Arc<AtomicBool>,
    queries: Queries,
    /// Of each tenant.
    tokens: Vec<Option<String>>,
    run: String,
    /// Nanoseconds.
    range: (i64, i64),
}

impl Readers {
    pub(crate) fn start(plan: &Plan, channel: &Channel) -> Self {
        let mut readers = Self {
            tasks: JoinSet::new(),
            stop: Arc::default(),
        };
        let Some(queries) = plan.workload.queries else {
            return readers;
        };
        for number in 0..queries.readers {
            let tokens = plan.workload.tenants.iter().map(|of| of.token.clone());
            let reader = Reader {
                client: QueryServiceClient::new(channel.clone())
                    .max_decoding_message_size(usize::MAX),
                stop: Arc::clone(&readers.stop),
                queries,
                tokens: tokens.collect(),
                run: plan.run.clone(),
                range: (plan.start, plan.end),
            };
            readers.tasks.spawn(reader.look_on(number));
        }
        readers
    }

    /// What all of them saw, after their last answers.
    pub(crate) async fn stop(mut self) -> anyhow::Result<Seen> {
        self.stop.store(true, Relaxed);
        let mut seen = Seen::default();
        while let Some(reader) = self.tasks.join_next().await {
            seen.add(reader.context("a reader panicked")?);
        }
        seen.latencies
            .values_mut()
            .for_each(|all| all.sort_unstable());
        Ok(seen)
    }
}

impl Seen {
    fn add(&mut self, other: Self) {
        for (question, latencies) in other.latencies {
            self.latencies
                .entry(question)
                .or_default()
                .extend(latencies);
        }
        self.partial += other.partial;
        self.failed += other.failed;
        self.failure = other.failure.or(self.failure.take());
    }
}

impl Reader {
    /// Questions and tenants take turns; each reader begins with another one.
    async fn look_on(mut self, number: usize) -> Seen {
        let mut seen = Seen::default();
        let mut turn = number;
        while !self.stop.load(Relaxed) {
            let question = Question::ALL[turn % Question::ALL.len()];
            let tenant = turn / Question::ALL.len() % self.tokens.len();
            turn += 1;
            let started = Instant::now();
            match self.ask(question, tenant).await {
                Ok(is_partial) => {
                    let latencies = seen.latencies.entry(question).or_default();
                    latencies.push(started.elapsed());
                    seen.partial += u64::from(is_partial);
                }
                Err(status) => {
                    seen.failed += 1;
                    let text = format!(
                        "{}: {:?}: {}",
                        question.name(),
                        status.code(),
                        status.message()
                    );
                    seen.failure = Some(text);
                }
            }
            tokio::time::sleep(self.queries.pause).await;
        }
        seen
    }

    /// Whether something is missing from the answer.
    async fn ask(&mut self, question: Question, tenant: usize) -> Result<bool, Status> {
        let query = format!(
            "{NAME}:cpu:nanoseconds:cpu:nanoseconds:delta{{run=\"{}\"}}",
            self.run
        );
        let (start, end) = self.range;
        let (start, end) = (
            Some(cairn_wire::timestamp(start)),
            Some(cairn_wire::timestamp(end)),
        );
        let token = self.tokens[tenant].as_deref();
        let partial = match question {
            Question::FlameGraph => {
                let merge = MergeProfile { query, start, end };
                let request = QueryRequest {
                    mode: Mode::Merge.into(),
                    options: Some(Options::Merge(merge)),
                    report_type: ReportType::FlamegraphArrow.into(),
                    ..QueryRequest::default()
                };
                let answer = self.client.query(signed(request, token)?).await;
                answer.map(|answer| is_partial(answer.metadata()))
            }
            Question::Range => {
                let step = (self.range.1 - self.range.0) / POINTS;
                let request = QueryRangeRequest {
                    query,
                    start,
                    end,
                    step: Some(cairn_wire::duration(step)),
                    sum_by: vec!["pod".to_owned()],
                    ..QueryRangeRequest::default()
                };
                let answer = self.client.query_range(signed(request, token)?).await;
                answer.map(|answer| is_partial(answer.metadata()))
            }
            Question::Values => {
                let request = ValuesRequest {
                    label_name: "pod".to_owned(),
                    r#match: vec![query],
                    start,
                    end,
                    ..ValuesRequest::default()
                };
                let answer = self.client.values(signed(request, token)?).await;
                answer.map(|answer| is_partial(answer.metadata()))
            }
        };
        match partial {
            // Nothing is acknowledged yet.
            Err(status) if status.code() == Code::NotFound => Ok(false),
            partial => partial,
        }
    }
}

fn is_partial(metadata: &tonic::metadata::MetadataMap) -> bool {
    metadata.contains_key("cairn-partial")
}

fn signed<T>(message: T, token: Option<&str>) -> Result<Request<T>, Status> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse();
        let value = value.map_err(|_| Status::unauthenticated("a token is printable"))?;
        request.metadata_mut().insert("authorization", value);
    }
    Ok(request)
}
