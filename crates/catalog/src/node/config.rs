//! What a node is told at its start.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::raft::NodeId;

/// Settings of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// The number of this node: never used again for another one, or after its folder was lost.
    pub id: NodeId,
    /// The name of the catalog; nodes refuse calls of others.
    pub cluster: String,
    /// A folder of its own, on a disk that keeps what it synced.
    pub folder: PathBuf,
    /// The nodes that a new catalog begins with, and where the others reach them. A node that is
    /// not among them waits until it is added.
    #[serde(with = "as_list")]
    pub voters: BTreeMap<NodeId, String>,
    /// How often the leader shows that it lives.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// How long the leader may be silent before another node wants to lead; each waits a time
    /// between half of it and all of it longer, drawn by chance.
    #[serde(with = "humantime_serde")]
    pub election_timeout: Duration,
    /// How long a new leader lets writers renew their leases before it takes any for dead. Writers
    /// renew every third of `log.lease`; it should be longer than that.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// A snapshot is taken after so many entries of the log.
    pub snapshot_entries: u64,
    /// Entries that stay in the log although a snapshot has them, for followers that are a little
    /// behind.
    pub kept_entries: u64,
}

/// Nodes as settings spell them: a list of `{id, address}`. A list is replaced as a whole where a
/// map would be mixed with the default.
mod as_list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use crate::raft::NodeId;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Voter {
        id: NodeId,
        address: String,
    }

    pub(super) fn serialize<S: Serializer>(
        voters: &BTreeMap<NodeId, String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(voters.iter().map(|(id, address)| Voter {
            id: *id,
            address: address.clone(),
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<NodeId, String>, D::Error> {
        let list = Vec::<Voter>::deserialize(deserializer)?;
        let count = list.len();
        let voters: BTreeMap<NodeId, String> =
            list.into_iter().map(|v| (v.id, v.address)).collect();
        match voters.len() == count {
            true => Ok(voters),
            false => Err(de::Error::custom("a node is named twice")),
        }
    }
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            id: 1,
            cluster: "cairn".to_owned(),
            folder: PathBuf::new(),
            voters: BTreeMap::from([(1, String::new())]),
            heartbeat: Duration::from_millis(150),
            election_timeout: Duration::from_millis(900),
            grace: Duration::from_secs(3),
            snapshot_entries: 5_000,
            kept_entries: 1_000,
        }
    }
}

impl NodeConfig {
    /// Whether this node is all there is.
    pub(crate) fn is_alone(&self) -> bool {
        self.voters.len() == 1 && self.voters.contains_key(&self.id)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let unreachable = self.voters.iter().find(|(_, address)| address.is_empty());
        let wrong = if self.id == 0 || self.voters.contains_key(&0) {
            "nodes are numbered from 1".to_owned()
        } else if self.cluster.is_empty() || self.cluster.len() > 256 {
            "the name of the catalog has 1 to 256 bytes".to_owned()
        } else if let Some((node, _)) = unreachable.filter(|_| !self.is_alone()) {
            format!("node {node} has no address")
        } else if self.election_timeout < self.heartbeat * 4 {
            "the election timeout is at least four times the heartbeat".to_owned()
        } else if self.heartbeat < Duration::from_millis(1) {
            "the heartbeat is at least a millisecond".to_owned()
        } else if self.snapshot_entries == 0 {
            "a snapshot has at least one entry".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::Config(wrong))
    }

    pub(crate) fn raft(&self) -> openraft::Config {
        let millis = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        openraft::Config {
            cluster_name: self.cluster.clone(),
            heartbeat_interval: millis(self.heartbeat),
            election_timeout_min: millis(self.election_timeout) / 2,
            election_timeout_max: millis(self.election_timeout),
            install_snapshot_timeout: INSTALL_MS_MAX,
            snapshot_max_chunk_size: CHUNK_BYTES,
            max_payload_entries: APPEND_ENTRIES_MAX,
            snapshot_policy: openraft::SnapshotPolicy::LogsSinceLast(self.snapshot_entries),
            max_in_snapshot_log_to_keep: self.kept_entries,
            replication_lag_threshold: self.snapshot_entries.saturating_add(self.kept_entries),
            ..openraft::Config::default()
        }
    }
}

/// Time to take one piece of a snapshot, and to install it after the last.
const INSTALL_MS_MAX: u64 = 30_000;
/// Bytes of a piece of a snapshot.
const CHUNK_BYTES: u64 = 1 << 20;
/// Entries of one message.
const APPEND_ENTRIES_MAX: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_work_is_refused() {
        NodeConfig::default().check().expect("a node alone");
        let with = |change: &dyn Fn(&mut NodeConfig)| {
            let mut config = NodeConfig::default();
            change(&mut config);
            config.check()
        };
        let two = BTreeMap::from([(1, String::new()), (2, "b".to_owned())]);
        assert!(with(&|c| c.voters = two.clone()).is_err());
        assert!(with(&|c| c.id = 0).is_err());
        assert!(with(&|c| c.cluster.clear()).is_err());
        assert!(with(&|c| c.election_timeout = c.heartbeat).is_err());
        assert!(with(&|c| c.snapshot_entries = 0).is_err());
        NodeConfig::default()
            .raft()
            .validate()
            .expect("openraft agrees");
    }

    #[test]
    fn settings_name_nodes_in_a_list() {
        let written = serde_json::to_value(NodeConfig::default()).expect("plain data");
        assert_eq!(
            written["voters"],
            serde_json::json!([{"id": 1, "address": ""}])
        );
        let read = serde_json::from_value::<NodeConfig>(written).expect("as written");
        assert_eq!(read, NodeConfig::default());
        let twice =
            serde_json::json!({"voters": [{"id": 1, "address": ""}, {"id": 1, "address": "x"}]});
        assert!(serde_json::from_value::<NodeConfig>(twice).is_err());
    }
}
