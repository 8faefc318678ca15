//! CPU profiles of this very process, sent through the front door like anybody's.
//!
//! A profile that cannot be sent is dropped: the next one comes soon. Heap profiles are not taken.

mod build;
mod sampler;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use cairn_wire::parca::profilestore::v1alpha1 as wire;
use tonic::transport::{Channel, Endpoint};
use wire::profile_store_service_client::ProfileStoreServiceClient;

use self::build::Names;
use self::sampler::Sampler;
use crate::config;
use crate::process::Shared;
use crate::readiness::Standing;

/// The first profile covers less, so that there is soon something to look at.
const FIRST_WINDOW: Duration = Duration::from_secs(3);
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// What the profiles are called, for `process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta`.
const LABELS: [(&str, &str); 2] = [("__name__", "process_cpu"), ("service_name", "cairn")];

/// Call while the process is idle: it prepares what must not happen in a signal handler.
pub(crate) fn start(shared: &Arc<Shared>, settings: &config::SelfProfile) -> anyhow::Result<()> {
    let address = match &settings.address {
        Some(address) => address.clone(),
        None => format!("http://{}", reachable(shared.address)),
    };
    let channel = Endpoint::try_from(address.clone())
        .with_context(|| format!("`{address}`, which takes self profiles, is not an address"))?
        .connect_lazy();
    let sampler = match Sampler::start(&shared.clock) {
        Ok(sampler) => sampler,
        Err(error) => {
            // No reason not to serve: some sandboxes forbid profiling.
            tracing::warn!(%error, "cannot profile itself");
            return Ok(());
        }
    };
    let profiler = Arc::clone(shared);
    let window = settings.window;
    shared.spawn("chassis", "self_profile", async move {
        let stop = profiler.stop.clone();
        let run = run(profiler, sampler, window, channel);
        stop.run_until_cancelled(run).await;
    });
    Ok(())
}

/// Samples all the time, also while naming and sending what was sampled before.
async fn run(shared: Arc<Shared>, mut sampler: Sampler, window: Duration, channel: Channel) {
    let mut client = ProfileStoreServiceClient::new(channel);
    let mut names = Names::default();
    let mut span = window.min(FIRST_WINDOW);
    loop {
        tokio::time::sleep(span).await;
        span = window;
        let sampled = match sampler.take(&shared.clock) {
            Ok(sampled) => sampled,
            Err(error) => {
                tracing::warn!(%error, "profiling itself ends");
                return;
            }
        };
        if sampled.stacks.data.is_empty() {
            continue;
        }
        let build = move || {
            let profile = build::profile(&mut names, &sampled);
            (names, cairn_pprof::encode_gzip(&profile))
        };
        let bytes;
        (names, bytes) = shared.compute.run(build).await;
        ready(&shared).await;
        if let Err(error) = send(&mut client, bytes).await {
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

async fn send(
    client: &mut ProfileStoreServiceClient<Channel>,
    profile: Vec<u8>,
) -> Result<(), tonic::Status> {
    let labels = LABELS.map(|(name, value)| wire::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    });
    let mut request = tonic::Request::new(wire::WriteRawRequest {
        series: vec![wire::RawProfileSeries {
            labels: Some(wire::LabelSet {
                labels: labels.to_vec(),
            }),
            samples: vec![wire::RawSample {
                raw_profile: profile.into(),
                ..wire::RawSample::default()
            }],
        }],
        ..wire::WriteRawRequest::default()
    });
    request.set_timeout(SEND_TIMEOUT);
    client.write_raw(request).await.map(drop)
}

/// A process that listens on all addresses reaches itself on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    address
}
