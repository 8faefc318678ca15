//! The ingester's settings. Owns no defaults of other crates: sub-structs live where they are used.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use cairn_catalog::NodeConfig;
use cairn_chassis::config;
use cairn_model::{Limits, TenantId};
use serde::{Deserialize, Serialize};

/// Settings of one ingester.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The local folder of the log (`log/`), unless that is in the object store, and of the
    /// catalog's node (`catalog/`).
    pub data: PathBuf,
    /// Where blocks go, and logs that are not on a disk.
    pub store: cairn_store::Config,
    /// The name under which the catalog knows this writer; it must be unique and stay the same.
    pub writer: String,
    /// Where queriers and other ingesters reach this one, such as `http://ingester-0:7070`; where
    /// it listens if empty.
    pub address: String,
    /// What fails together with this ingester, such as a data centre: shards are spread over zones.
    pub zone: String,
    pub catalog: CatalogConfig,
    /// The symbolizer to which debug information goes that agents send here, as a URI. Empty if it
    /// is in this process, or agents reach it elsewhere.
    pub symbolizer: String,
    /// What one request may hold.
    pub limits: Limits,
    /// What is different for single tenants.
    pub tenants: BTreeMap<TenantId, TenantConfig>,
    pub log: LogConfig,
    pub admission: AdmissionConfig,
    pub tail: TailConfig,
    pub route: RouteConfig,
    /// Memory for stacks that agents need not send again, of all tenants together.
    pub known_stacks_bytes_max: ByteSize,
    /// A profile sent twice within this time is stored once.
    #[serde(with = "humantime_serde")]
    pub dedup_window: Duration,
    /// Profiles older than this are refused; any age is taken if absent.
    #[serde(with = "humantime_serde")]
    pub age_max: Option<Duration>,
    /// Profiles that claim to be from further in the future than this are refused.
    #[serde(with = "humantime_serde")]
    pub skew_max: Duration,
}

/// Settings of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantConfig {
    pub limits: OwnLimits,
}

/// Limits of one tenant: those that are named differ from the usual ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OwnLimits(serde_json::Map<String, serde_json::Value>);

impl OwnLimits {
    /// Fails by the name of what is no limit.
    pub(crate) fn over(&self, usual: &Limits) -> anyhow::Result<Limits> {
        let mut all = serde_json::to_value(usual)?;
        if let Some(all) = all.as_object_mut() {
            all.extend(self.0.clone());
        }
        Ok(serde_json::from_value(all)?)
    }
}

/// Settings of the catalog, which three or five of several ingesters host together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogConfig {
    /// Ingesters that host the catalog, as URIs. With some, this one hosts no node of it.
    pub addresses: config::Addresses,
    /// Where this ingester's node listens for the other nodes. Not needed by one that is alone.
    pub listen: Option<SocketAddr>,
    /// What `cairn catalog rebuild` wrote: a new catalog begins with it. Name it to every ingester
    /// that hosts a node, and remove it afterwards.
    pub restore: Option<PathBuf>,
    /// This ingester's node. Its folder is `catalog/` below `data` unless set.
    pub node: NodeConfig,
}

/// Where the write-ahead log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogKind {
    /// On this ingester's disk: for one ingester alone.
    #[default]
    Local,
    /// In the object store, where others recover it if this ingester is lost: for several.
    Object,
}

/// Settings of the write-ahead log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    pub kind: LogKind,
    /// How long this ingester may acknowledge without a word from the catalog; after that others
    /// recover its log. Renewed three times as often. Only for a log in the object store.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
    /// A segment file on a disk is closed when it is at least this large.
    pub segment_bytes: ByteSize,
    /// Bytes that share one sync, or one object, at most.
    pub batch_bytes_max: ByteSize,
    /// How long the first push of a batch waits for company: 250 ms for a log in the object store,
    /// whose puts cost money, else no time, since pushes that arrive during a sync share the next
    /// one anyway.
    #[serde(with = "humantime_serde")]
    pub commit_delay: Option<Duration>,
}

impl LogConfig {
    pub(crate) fn commit_delay(&self) -> Duration {
        self.commit_delay.unwrap_or(match self.kind {
            LogKind::Local => Duration::ZERO,
            LogKind::Object => Duration::from_millis(250),
        })
    }
}

/// Settings of what may be in work at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdmissionConfig {
    /// Memory that pushes in work may take together, decoded profiles included.
    pub inflight_bytes_max: ByteSize,
    /// How long a push waits for memory before it is refused.
    #[serde(with = "humantime_serde")]
    pub wait_max: Duration,
}

/// Settings of what is in memory before and after it is in a block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TailConfig {
    /// Blocks are written this often.
    #[serde(with = "humantime_serde")]
    pub flush_interval: Duration,
    /// A block is written early when this much waits for it. Writing takes a few times as much.
    pub head_bytes_max: ByteSize,
    /// Memory of all rows, written or not. When it is used up, written rows go early, then pushes
    /// wait for `admission.wait_max` and are refused.
    pub memory_bytes_max: ByteSize,
    /// How long written rows stay readable here for queries that planned before.
    #[serde(with = "humantime_serde")]
    pub retention: Duration,
}

/// Settings of passing writes on to the ingesters that own them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteConfig {
    /// Bytes per second, as sent, that one shard is for. Services that send more use more shards.
    pub shard_bytes_per_second: ByteSize,
    /// How long a push waits for other ingesters, all tries included.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("./data/ingester"),
            store: cairn_store::Config::default(),
            writer: "ingester".to_owned(),
            address: String::new(),
            zone: String::new(),
            catalog: CatalogConfig::default(),
            symbolizer: String::new(),
            limits: Limits::default(),
            tenants: BTreeMap::new(),
            log: LogConfig::default(),
            admission: AdmissionConfig::default(),
            tail: TailConfig::default(),
            route: RouteConfig::default(),
            known_stacks_bytes_max: ByteSize::mib(16),
            dedup_window: Duration::from_secs(15 * 60),
            age_max: None,
            skew_max: Duration::from_secs(60 * 60),
        }
    }
}

impl config::Service for Config {
    fn within(mut self, bytes: u64) -> Self {
        // Rows, what writing a block of some of them takes, pushes in work, and known stacks.
        self.tail.memory_bytes_max = ByteSize::b(bytes / 2);
        self.tail.head_bytes_max = ByteSize::b(bytes / 16);
        self.admission.inflight_bytes_max = ByteSize::b(bytes / 16 * 5);
        self.known_stacks_bytes_max = ByteSize::b(bytes / 32);
        self
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            kind: LogKind::Local,
            lease: Duration::from_secs(6),
            segment_bytes: ByteSize::mib(64),
            batch_bytes_max: ByteSize::mib(4),
            commit_delay: None,
        }
    }
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self {
            inflight_bytes_max: ByteSize::mib(160),
            wait_max: Duration::from_secs(2),
        }
    }
}

impl Default for TailConfig {
    fn default() -> Self {
        Self {
            flush_interval: Duration::from_secs(30),
            head_bytes_max: ByteSize::mib(32),
            memory_bytes_max: ByteSize::mib(256),
            retention: Duration::from_secs(150),
        }
    }
}

impl Default for RouteConfig {
    fn default() -> Self {
        Self {
            shard_bytes_per_second: ByteSize::mib(1),
            deadline: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_suit_half_a_gibibyte() {
        let config = config::Service::within(Config::default(), 512 << 20);
        assert_eq!(config, Config::default());
    }

    #[test]
    fn written_defaults_read_back_and_typos_are_refused() {
        let json = serde_json::to_value(Config::default()).expect("plain data");
        let read: Config = serde_json::from_value(json).expect("as written");
        assert_eq!(read, Config::default());
        let typo = serde_json::json!({"tail": {"flush_intervall": "1s"}});
        assert!(serde_json::from_value::<Config>(typo).is_err());
    }
}
