//! Several ingesters in one process, each with a shard map of its own that a test draws.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use cairn_catalog::{Log, SHARDS};
use cairn_ingester::{Config, Inherit, Map, Peer, Peers, Predecessor, Shards};
use cairn_model::WriterId;
use cairn_testkit::corpus;
use cairn_wire::parca::profilestore::v1alpha1::profile_store_service_client::ProfileStoreServiceClient;
use cairn_wire::parca::profilestore::v1alpha1::{
    Label, LabelSet, RawProfileSeries, RawSample, WriteRawRequest,
};
use tokio::sync::watch;
use tonic::transport::Channel;

use crate::harness::{Running, config, folder};

/// A map that a test draws. There is none before.
pub(crate) struct Drawn(pub(crate) watch::Sender<Option<Shards>>);

#[tonic::async_trait]
impl Map for Drawn {
    async fn fetch(&self) -> anyhow::Result<Shards> {
        self.0.borrow().clone().context("the map is not drawn yet")
    }
}

/// Logs are read when a test allows it.
pub(crate) struct Heir {
    pub(crate) asked: watch::Sender<Vec<Predecessor>>,
    pub(crate) may: watch::Sender<bool>,
}

#[tonic::async_trait]
impl Inherit for Heir {
    async fn inherit(&self, predecessor: &Predecessor) -> anyhow::Result<()> {
        self.asked
            .send_modify(|asked| asked.push(predecessor.clone()));
        self.may.subscribe().wait_for(|may| *may).await?;
        Ok(())
    }
}

pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) running: Running,
    pub(crate) map: Arc<Drawn>,
    pub(crate) heir: Arc<Heir>,
    _folder: tempfile::TempDir,
}

pub(crate) const NAMES: [&str; 3] = ["a", "b", "c"];

pub(crate) fn id(name: &str) -> WriterId {
    WriterId::parse(name).expect("valid")
}

impl Member {
    pub(crate) async fn start(name: &'static str, change: impl FnOnce(&mut Config)) -> Self {
        let folder = folder();
        let mut config = config(folder.path());
        config.writer = name.to_owned();
        change(&mut config);
        let map = Arc::new(Drawn(watch::Sender::default()));
        let heir = Arc::new(Heir {
            asked: watch::Sender::default(),
            may: watch::Sender::new(true),
        });
        let peers = Peers {
            map: Arc::clone(&map) as Arc<dyn Map>,
            inherit: Arc::clone(&heir) as Arc<dyn Inherit>,
            connect: Arc::new(|address| {
                let endpoint = Channel::from_shared(address.to_owned());
                let endpoint = endpoint.map_err(|error| error.to_string())?;
                Ok(endpoint
                    .connect_timeout(Duration::from_secs(1))
                    .connect_lazy())
            }),
        };
        Self {
            running: Running::start_among(config, peers).await,
            name,
            map,
            heir,
            _folder: folder,
        }
    }

    pub(crate) async fn write(&self, series: Vec<RawProfileSeries>) -> Result<(), tonic::Status> {
        let mut client = ProfileStoreServiceClient::new(self.running.channel().await);
        let request = WriteRawRequest {
            series,
            ..WriteRawRequest::default()
        };
        client.write_raw(request).await.map(drop)
    }

    pub(crate) async fn total(&self) -> i64 {
        self.running.total("{}").await
    }

    pub(crate) fn sees(&self, shards: &Shards) {
        self.map.0.send_replace(Some(shards.clone()));
    }
}

pub(crate) async fn three() -> [Member; 3] {
    let start = |name| Member::start(name, |_| {});
    [start("a").await, start("b").await, start("c").await]
}

/// A map in which shard number s belongs to `owners[s % owners.len()]`; these are open, and nobody
/// else.
pub(crate) fn drawn(epoch: u64, members: &[Member], owners: &[&str]) -> Shards {
    let open = members
        .iter()
        .filter(|member| owners.contains(&member.name));
    let peer = |member: &Member| Peer {
        id: id(member.name),
        incarnation: 1,
        log: Log::OnePerIncarnation,
        address: member.running.address(),
        // So that every tenant uses shards of each.
        zone: member.name.to_owned(),
    };
    let owner = |shard: u16| (shard, id(owners[usize::from(shard) % owners.len()]));
    Shards {
        epoch,
        owners: (0..SHARDS).map(owner).collect(),
        writers: open.map(peer).collect(),
        sealed: Vec::new(),
    }
}

/// All see a map, of which all are open.
pub(crate) fn all_see(members: &[Member], epoch: u64, owners: &[&str]) {
    let mut shards = drawn(epoch, members, owners);
    shards.writers = drawn(epoch, members, &NAMES).writers;
    members.iter().for_each(|member| member.sees(&shards));
}

pub(crate) async fn totals(members: &[Member]) -> Vec<i64> {
    let mut totals = Vec::new();
    for member in members {
        totals.push(member.total().await);
    }
    totals
}

pub(crate) async fn stop(members: impl IntoIterator<Item = Member>) {
    for member in members {
        member.running.stop().await;
    }
}

pub(crate) fn good() -> Vec<u8> {
    let captured = corpus::captured().into_iter();
    let mut pprofs = captured
        .filter(|c| c.client == "pyroscope-go")
        .flat_map(|c| c.pprofs());
    pprofs.next().expect("the corpus has it").bytes
}

pub(crate) fn series(service: usize, profiles: &[&[u8]]) -> RawProfileSeries {
    let label = |name: &str, value: String| Label {
        name: name.to_owned(),
        value,
    };
    let sample = |raw: &&[u8]| RawSample {
        raw_profile: raw.to_vec().into(),
        ..RawSample::default()
    };
    RawProfileSeries {
        labels: Some(LabelSet {
            labels: vec![
                label("__name__", "process_cpu".to_owned()),
                label("service_name", format!("service-{service}")),
            ],
        }),
        samples: profiles.iter().map(sample).collect(),
    }
}
