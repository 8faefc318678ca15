//! Sends a workload. Owns the order of profiles, concurrency and patience; a request is repeated
//! as it was until it is acknowledged, which the server counts once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Context;
use cairn_testkit::generator::{Generator, Rng};
use cairn_wire::parca::profilestore::v1alpha1::profile_store_service_client::ProfileStoreServiceClient;
use cairn_wire::parca::profilestore::v1alpha1::{
    Label, LabelSet, RawProfileSeries, RawSample, WriteRawRequest,
};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::read::{Readers, Seen};
use crate::workload::{Tenant, Workload};

/// Name of the profiles.
pub(crate) const NAME: &str = "process_cpu";
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Refusals of one request, more than a minute of them, before giving up.
const REFUSALS_MAX: u32 = 30;
/// In nanoseconds.
const DAY: i64 = 86_400_000_000_000;
const REQUEST_PATIENCE: Duration = Duration::from_secs(60);

/// A workload, at a certain time.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) workload: Workload,
    /// Value of the label `run`.
    pub(crate) run: String,
    /// Time of the oldest profiles, nanoseconds since the epoch.
    pub(crate) start: i64,
    /// After the newest profiles.
    pub(crate) end: i64,
}

/// What was acknowledged, and how long that took.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) profiles: u64,
    /// Rows, equal stacks of a profile added up.
    pub(crate) rows: u64,
    /// Bytes before and after compression.
    pub(crate) plain_bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) refused: u64,
    pub(crate) elapsed: Duration,
    /// One per acknowledged request, ascending.
    pub(crate) latencies: Vec<Duration>,
    /// Samples per tenant: what queries must add up to.
    pub(crate) samples: Vec<u64>,
    /// By those who asked meanwhile.
    pub(crate) seen: Seen,
}

/// What all workers share.
struct Shared {
    workload: Workload,
    run: String,
    generators: Vec<Generator>,
    /// Number of the next request.
    next: AtomicU64,
    plain_bytes: AtomicU64,
    started: Instant,
    bar: ProgressBar,
}

pub(crate) async fn run(plan: &Plan, channel: Channel) -> anyhow::Result<Outcome> {
    let shared = Arc::new(Shared::new(plan)?);
    let readers = Readers::start(plan, &channel);
    let mut workers = JoinSet::new();
    for worker in 0..plan.workload.concurrency {
        workers.spawn(work(Arc::clone(&shared), channel.clone(), worker as u64));
    }
    let mut outcome = Outcome {
        samples: vec![0; plan.workload.tenants.len()],
        ..Outcome::default()
    };
    while let Some(worker) = workers.join_next().await {
        outcome.add(worker.context("a worker panicked")??);
    }
    shared.bar.finish_and_clear();
    outcome.elapsed = shared.started.elapsed();
    outcome.seen = readers.stop().await?;
    outcome.latencies.sort_unstable();
    Ok(outcome)
}

impl Plan {
    /// Plans a workload so that its newest profiles end about `now`, nanoseconds since the epoch.
    pub(crate) fn new(workload: Workload, run: String, now: i64) -> Self {
        let mut plan = Self {
            workload,
            run,
            start: now,
            end: now.saturating_add(DAY),
        };
        let pods: u64 = plan.workload.tenants.iter().map(pods).sum();
        let steps = plan.profiles().div_ceil(pods) as i64;
        let step = i64::try_from(plan.workload.step.as_nanos()).unwrap_or(i64::MAX);
        plan.start = now.saturating_sub(steps.saturating_mul(step));
        plan
    }

    /// How many profiles there will be; about how many if the workload counts bytes.
    fn profiles(&self) -> u64 {
        let total = self.workload.total;
        let (None, Some(bytes)) = (total.profiles, total.bytes) else {
            return total.profiles.unwrap_or(0);
        };
        let profile = Generator::new(self.workload.spec(0, 0)).profile(0, 0, 0);
        bytes.as_u64() / cairn_pprof::encode(&profile).len() as u64
    }
}

fn pods(tenant: &Tenant) -> u64 {
    u64::from(tenant.services) * u64::from(tenant.pods)
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.profiles += other.profiles;
        self.rows += other.rows;
        self.plain_bytes += other.plain_bytes;
        self.sent_bytes += other.sent_bytes;
        self.refused += other.refused;
        self.latencies.extend(other.latencies);
        for (sum, samples) in self.samples.iter_mut().zip(other.samples) {
            *sum += samples;
        }
    }
}

/// One request's worth of profiles of one tenant.
#[derive(Default)]
struct Batch {
    series: Vec<RawProfileSeries>,
    rows: u64,
    plain_bytes: u64,
    sent_bytes: u64,
}

impl Shared {
    fn new(plan: &Plan) -> anyhow::Result<Self> {
        let workload = plan.workload.clone();
        let (length, unit) = match workload.total.bytes {
            Some(bytes) => (bytes.as_u64(), "{bytes}/{total_bytes}"),
            None => (workload.total.profiles.unwrap_or(0), "{pos}/{len} profiles"),
        };
        let template = format!("{{msg}} {{wide_bar}} {unit} {{elapsed}} eta {{eta}}");
        let bar = ProgressBar::new(length).with_style(ProgressStyle::with_template(&template)?);
        bar.set_message(workload.name.clone());
        Ok(Self {
            generators: (0..workload.tenants.len())
                .map(|tenant| Generator::new(workload.spec(tenant, plan.start)))
                .collect(),
            workload,
            run: plan.run.clone(),
            next: AtomicU64::new(0),
            plain_bytes: AtomicU64::new(0),
            started: Instant::now(),
            bar,
        })
    }

    /// Numbers of the profiles of a request, counted over all tenants; `None` when all is sent.
    fn claim(&self) -> Option<std::ops::Range<u64>> {
        let size = self.workload.profiles_per_request;
        let first = self.next.fetch_add(1, Relaxed) * size;
        let total = self.workload.total;
        let bytes_max = total.bytes.map_or(u64::MAX, |bytes| bytes.as_u64());
        let end = (first + size).min(total.profiles.unwrap_or(u64::MAX));
        (first < end && self.plain_bytes.load(Relaxed) < bytes_max).then_some(first..end)
    }

    /// Requests are dealt to tenants in turn, and a tenant's profiles to its pods.
    fn tenant(&self, profiles: &std::ops::Range<u64>) -> usize {
        let request = profiles.start / self.workload.profiles_per_request;
        (request % self.workload.tenants.len() as u64) as usize
    }

    fn batch(&self, profiles: std::ops::Range<u64>) -> Batch {
        let at = self.tenant(&profiles);
        let tenant = &self.workload.tenants[at];
        let generator = &self.generators[at];
        let (size, tenants) = (
            self.workload.profiles_per_request,
            self.workload.tenants.len() as u64,
        );
        let first = profiles.start / (size * tenants) * size;
        let mut batch = Batch::default();
        for number in first..first + (profiles.end - profiles.start) {
            let pod = number % pods(tenant);
            let (service, pod) = (
                pod % u64::from(tenant.services),
                pod / u64::from(tenant.services),
            );
            let (service, pod) = (service as u32, pod as u32);
            let step = (number / pods(tenant)) as u32;
            let profile = generator.profile(service, pod, step);
            let raw = cairn_pprof::encode_gzip(&profile);
            batch.rows += profile.samples.len() as u64;
            batch.plain_bytes += cairn_pprof::encode(&profile).len() as u64;
            batch.sent_bytes += raw.len() as u64;
            let labels = generator.labels(service, pod);
            let fixed = [("__name__", NAME), ("run", &self.run)];
            let labels = fixed
                .into_iter()
                .chain(labels.iter())
                .map(|(name, value)| Label {
                    name: name.to_owned(),
                    value: value.to_owned(),
                });
            batch.series.push(RawProfileSeries {
                labels: Some(LabelSet {
                    labels: labels.collect(),
                }),
                samples: vec![RawSample {
                    raw_profile: raw.into(),
                    ..RawSample::default()
                }],
            });
        }
        batch
    }

    /// Waits until a request is due, if the workload has a rate.
    async fn wait_for(&self, profile: u64) {
        if let Some(rate) = self.workload.rate {
            let due = self.started + Duration::from_secs_f64(profile as f64 / rate);
            tokio::time::sleep_until(due.into()).await;
        }
    }
}

async fn work(shared: Arc<Shared>, channel: Channel, worker: u64) -> anyhow::Result<Outcome> {
    let mut client = ProfileStoreServiceClient::new(channel);
    let mut rng = Rng::new(shared.workload.seed ^ worker);
    let mut outcome = Outcome {
        samples: vec![0; shared.workload.tenants.len()],
        ..Outcome::default()
    };
    while let Some(profiles) = shared.claim() {
        let tenant = shared.tenant(&profiles);
        let count = profiles.end - profiles.start;
        shared.wait_for(profiles.start).await;
        let generating = Arc::clone(&shared);
        let batch = tokio::task::spawn_blocking(move || generating.batch(profiles))
            .await
            .context("the generator panicked")?;
        shared.plain_bytes.fetch_add(batch.plain_bytes, Relaxed);
        let request = WriteRawRequest {
            series: batch.series,
            ..WriteRawRequest::default()
        };
        let token = shared.workload.tenants[tenant].token.as_deref();
        let (latency, refused) = push(&mut client, request, token, &mut rng).await?;
        outcome.profiles += count;
        outcome.rows += batch.rows;
        outcome.plain_bytes += batch.plain_bytes;
        outcome.sent_bytes += batch.sent_bytes;
        outcome.refused += refused;
        outcome.latencies.push(latency);
        outcome.samples[tenant] += count * u64::from(shared.workload.profile.samples);
        shared.bar.inc(match shared.workload.total.bytes {
            Some(_) => batch.plain_bytes,
            None => count,
        });
    }
    Ok(outcome)
}

/// Sends until acknowledged: the time of the attempt that was, and how many were refused.
async fn push(
    client: &mut ProfileStoreServiceClient<Channel>,
    message: WriteRawRequest,
    token: Option<&str>,
    rng: &mut Rng,
) -> anyhow::Result<(Duration, u64)> {
    let mut backoff = BACKOFF_MIN;
    for refused in 0..=REFUSALS_MAX {
        let mut request = Request::new(message.clone());
        request.set_timeout(REQUEST_PATIENCE);
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse();
            let value = value.context("a token is printable")?;
            request.metadata_mut().insert("authorization", value);
        }
        let started = Instant::now();
        match client.write_raw(request).await {
            Ok(_) => return Ok((started.elapsed(), refused.into())),
            Err(status) if is_passing(&status) && refused < REFUSALS_MAX => {
                let jitter = 0.5 + rng.unit();
                tokio::time::sleep(backoff.mul_f64(jitter)).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
            Err(status) => anyhow::bail!(
                "the server answered {:?}: {}",
                status.code(),
                status.message()
            ),
        }
    }
    unreachable!("the last refusal ends the loop above")
}

/// Whether sending the same again is what the answer asks for. After a timeout nobody knows
/// whether the profiles are stored, and sending them again does no harm.
fn is_passing(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::ResourceExhausted | Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled
    )
}

#[cfg(test)]
mod tests;
