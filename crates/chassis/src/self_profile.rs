//! CPU and heap profiles of this very process, sent through the front door like anybody's.
//!
//! A profile that cannot be sent is dropped: the next one comes soon.

mod build;
#[cfg_attr(not(target_os = "linux"), path = "self_profile/no_heap.rs")]
mod heap;
mod names;
mod sampler;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use cairn_wire::parca::profilestore::v1alpha1 as wire;
use tonic::transport::Channel;
use wire::profile_store_service_client::ProfileStoreServiceClient;

use self::heap::Heap;
use self::names::Names;
use self::sampler::Sampler;
use crate::process::Shared;
use crate::readiness::Standing;
use crate::{Clock, channels, config};

/// The first profile covers less, so that there is soon something to look at.
const FIRST_WINDOW: Duration = Duration::from_secs(3);
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// What the profiles are called, for `process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta` and
/// `memory:inuse_space:bytes:space:bytes`.
const CPU: &str = "process_cpu";
const HEAP: &str = "memory";
const SERVICE: (&str, &str) = ("service_name", "cairn");

/// Call while the process is idle: it prepares what must not happen in a signal handler.
pub(crate) fn start(shared: &Arc<Shared>, settings: &config::SelfProfile) -> anyhow::Result<()> {
    let address = match &settings.address {
        Some(address) => address.clone(),
        None => channels::own_address(shared.address),
    };
    let channel = shared.channels.get(&address);
    let channel = channel.context("find who takes self profiles")?;
    // Without is no reason not to serve: some sandboxes forbid profiling.
    let sampler = Sampler::start(&shared.clock)
        .inspect_err(|error| tracing::warn!(%error, "cannot profile its own CPU time"));
    let heap = settings.heap.then(|| {
        Heap::start().inspect_err(|error| {
            let error = format!("{error:#}");
            tracing::warn!(error, "cannot profile its own memory");
        })
    });
    let recorder = Recorder {
        clock: shared.clock.clone(),
        sampler: sampler.ok(),
        heap: heap.and_then(Result::ok),
        names: Names::default(),
    };
    let profiler = Arc::clone(shared);
    let window = settings.window;
    shared.spawn("chassis", "self_profile", async move {
        let stop = profiler.stop.clone();
        let run = run(profiler, recorder, window, channel);
        stop.run_until_cancelled(run).await;
    });
    Ok(())
}

/// Notes all the time, also while naming and sending what was noted before.
async fn run(shared: Arc<Shared>, mut recorder: Recorder, window: Duration, channel: Channel) {
    let mut client = ProfileStoreServiceClient::new(channel);
    let mut span = window.min(FIRST_WINDOW);
    while recorder.sampler.is_some() || recorder.heap.is_some() {
        tokio::time::sleep(span).await;
        span = window;
        let record = move || {
            let profiles = recorder.record();
            (recorder, profiles)
        };
        let profiles;
        (recorder, profiles) = shared.compute.run(record).await;
        if profiles.is_empty() {
            continue;
        }
        ready(&shared).await;
        if let Err(error) = send(&mut client, profiles).await {
            tracing::warn!(%error, "a profile of itself is lost");
        }
    }
}

/// A process that is still starting would refuse its own profile.
async fn ready(shared: &Shared) {
    let mut board = shared.board.subscribe();
    // The board lives as long as the process.
    let _ = board
        .wait_for(|board| board.iter().all(Standing::is_ready))
        .await;
}

/// A pprof file and what it is called.
type Named = (&'static str, Vec<u8>);

async fn send(
    client: &mut ProfileStoreServiceClient<Channel>,
    profiles: Vec<Named>,
) -> Result<(), tonic::Status> {
    let label = |(name, value): (&str, &str)| wire::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let series = profiles.into_iter().map(|(name, profile)| {
        let labels = [("__name__", name), SERVICE].map(label).to_vec();
        let sample = wire::RawSample {
            raw_profile: profile.into(),
            ..wire::RawSample::default()
        };
        wire::RawProfileSeries {
            labels: Some(wire::LabelSet { labels }),
            samples: vec![sample],
        }
    });
    let mut request = tonic::Request::new(wire::WriteRawRequest {
        series: series.collect(),
        ..wire::WriteRawRequest::default()
    });
    request.set_timeout(SEND_TIMEOUT);
    client.write_raw(request).await.map(drop)
}

/// Everything that notes something. What fails once is not tried again.
struct Recorder {
    clock: Clock,
    sampler: Option<Sampler>,
    heap: Option<Heap>,
    names: Names,
}

impl Recorder {
    /// What happened since the last time, and what is there now.
    fn record(&mut self) -> Vec<Named> {
        [self.cpu(), self.heap()].into_iter().flatten().collect()
    }

    fn cpu(&mut self) -> Option<Named> {
        let sampled = match self.sampler.as_mut()?.take(&self.clock) {
            Ok(sampled) => sampled,
            Err(error) => {
                tracing::warn!(%error, "profiling its own CPU time ends");
                self.sampler = None;
                return None;
            }
        };
        if sampled.stacks.data.is_empty() {
            return None;
        }
        let profile = build::cpu(&mut self.names, &sampled);
        Some((CPU, cairn_pprof::encode_gzip(&profile)))
    }

    fn heap(&mut self) -> Option<Named> {
        let snapshot = match self.heap.as_mut()?.take() {
            Ok(snapshot) => snapshot,
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(error, "profiling its own memory ends");
                self.heap = None;
                return None;
            }
        };
        if snapshot.held.is_empty() {
            return None;
        }
        let profile = build::heap(&mut self.names, &snapshot, self.clock.now());
        Some((HEAP, cairn_pprof::encode_gzip(&profile)))
    }
}
