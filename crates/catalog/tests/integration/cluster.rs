//! Nodes in this process that talk over real sockets, which a test can cut.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cairn_catalog::{
    Client, Connect, Node, NodeConfig, NodeParts, RemoteParts, Runtime, Status, plain,
};
use tonic::transport::{Channel, Endpoint};

use crate::values::now;

/// How long a test waits for what has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Which ways between nodes are cut.
type Cuts = Arc<Mutex<BTreeSet<(u64, u64)>>>;

pub(crate) struct Cluster {
    dir: tempfile::TempDir,
    pub(crate) nodes: BTreeMap<u64, Node>,
    addresses: BTreeMap<u64, String>,
    cuts: Cuts,
    runtime: Runtime,
}

impl Cluster {
    pub(crate) async fn start(voters: u64) -> Self {
        Self::with(voters, Runtime::Own).await
    }

    pub(crate) async fn with(voters: u64, runtime: Runtime) -> Self {
        let mut cluster = Self {
            dir: tempfile::tempdir().expect("a folder"),
            nodes: BTreeMap::new(),
            addresses: BTreeMap::new(),
            cuts: Cuts::default(),
            runtime,
        };
        let listeners: Vec<_> = (1..=voters).map(|id| (id, cluster.listen(id))).collect();
        let voters = cluster.addresses.clone();
        for (id, listener) in listeners {
            cluster.start_node(id, listener, voters.clone()).await;
        }
        cluster
    }

    fn listen(&mut self, id: u64) -> TcpListener {
        let known = self.addresses.get(&id).cloned();
        let address = known.map_or("127.0.0.1:0".to_owned(), |known| {
            known.replace("http://", "")
        });
        let mut bound = TcpListener::bind(&address);
        // A node that was killed may not have let go of its port yet.
        let mut tries = 0;
        while bound.is_err() && tries < 500 {
            std::thread::sleep(Duration::from_millis(10));
            bound = TcpListener::bind(&address);
            tries += 1;
        }
        let listener = bound.expect("a port");
        let address = listener.local_addr().expect("bound");
        self.addresses.insert(id, format!("http://{address}"));
        listener
    }

    pub(crate) fn folder(&self, id: u64) -> PathBuf {
        self.dir.path().join(id.to_string())
    }

    async fn start_node(&mut self, id: u64, listener: TcpListener, voters: BTreeMap<u64, String>) {
        let config = NodeConfig {
            id,
            folder: self.folder(id),
            voters,
            snapshot_entries: 50,
            kept_entries: 10,
            grace: Duration::from_millis(500),
            ..NodeConfig::default()
        };
        let parts = NodeParts {
            connect: self.connect(id),
            now: Arc::new(now),
            runtime: self.runtime,
            listener: Some((listener, plain())),
            placement: None,
            seed: id,
        };
        let node = Node::start(config, parts).await.expect("started");
        self.nodes.insert(id, node);
    }

    /// Starts a node that is not in the catalog yet, or one that was there before.
    pub(crate) async fn restart(&mut self, id: u64) {
        let listener = self.listen(id);
        let voters = self.addresses.range(1..=3);
        let voters = voters.map(|(id, address)| (*id, address.clone())).collect();
        self.start_node(id, listener, voters).await;
    }

    /// As a crash would.
    pub(crate) fn kill(&mut self, id: u64) {
        drop(self.nodes.remove(&id).expect("it ran"));
    }

    pub(crate) fn address(&self, id: u64) -> &str {
        &self.addresses[&id]
    }

    /// Calls from `id` go through this.
    fn connect(&self, id: u64) -> Connect {
        let cuts = Arc::clone(&self.cuts);
        let channels: Mutex<BTreeMap<String, Channel>> = Mutex::default();
        let numbers = self.addresses.clone();
        let numbers: BTreeMap<String, u64> = numbers.into_iter().map(|(n, a)| (a, n)).collect();
        Arc::new(move |address| {
            let to = numbers.get(address).copied().unwrap_or_default();
            if cuts.lock().expect("no panic").contains(&(id, to)) {
                return Err(format!("the way from {id} to {to} is cut"));
            }
            let mut channels = channels.lock().expect("no panic");
            let channel = channels.entry(address.to_owned()).or_insert_with(|| {
                let endpoint = Endpoint::from_shared(address.to_owned()).expect("valid");
                endpoint
                    .connect_timeout(Duration::from_secs(1))
                    .tcp_nodelay(true)
                    .connect_lazy()
            });
            Ok(channel.clone())
        })
    }

    /// Nothing gets to or from the node any more, or again.
    pub(crate) fn isolate(&self, id: u64, is_cut: bool) {
        let mut cuts = self.cuts.lock().expect("no panic");
        for other in self.addresses.keys().filter(|other| **other != id) {
            for way in [(id, *other), (*other, id)] {
                if is_cut {
                    cuts.insert(way);
                } else {
                    cuts.remove(&way);
                }
            }
        }
    }

    pub(crate) fn client(&self, id: u64) -> Client {
        self.nodes[&id].client().with_patience(PATIENCE)
    }

    pub(crate) fn status(&self, id: u64) -> Status {
        self.nodes[&id].status()
    }

    /// Who leads, as the leader itself sees it.
    pub(crate) async fn leader(&self) -> u64 {
        self.leader_but(0).await
    }

    /// The same, if it is not this one.
    pub(crate) async fn leader_but(&self, not: u64) -> u64 {
        let mut found = 0;
        until("a leader", || {
            let leads = |id: &&u64| **id != not && self.status(**id).role == "leader";
            found = self.nodes.keys().find(leads).copied().unwrap_or_default();
            found > 0
        })
        .await;
        found
    }

    /// Every running node has applied the same.
    pub(crate) async fn settled(&self) {
        until("all nodes have the same", || {
            let seen = self.nodes.keys().map(|id| {
                let status = self.status(*id);
                (status.version, status.applied_index)
            });
            let seen: BTreeSet<(u64, u64)> = seen.collect();
            seen.len() == 1
        })
        .await;
    }

    pub(crate) async fn stop(self) {
        for (_, node) in self.nodes {
            node.shutdown().await.expect("stopped");
        }
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "it never came to this: {what}");
}

pub(crate) fn connect(address: &str) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(address.to_owned());
    Ok(endpoint.map_err(|error| error.to_string())?.connect_lazy())
}

pub(crate) fn remote(addresses: &[&str]) -> Client {
    Client::remote(RemoteParts {
        addresses: addresses
            .iter()
            .map(|address| (*address).to_owned())
            .collect(),
        connect: Arc::new(connect),
        seed: 1,
    })
}
