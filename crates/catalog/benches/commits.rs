//! Speed of commits: how many blocks writers record per second, and how long each waits, by nodes of
//! the catalog and by writers that commit without a pause. Every answer stands behind a sync on a
//! majority of nodes, all on this machine's disk and loopback.
//!
//! `cargo bench -p cairn-catalog`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark measures real time, prints, and stops when it fails"
)]

#[path = "../tests/integration/values.rs"]
mod values;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_catalog::{Client, Node, NodeConfig, NodeParts, Registration, Runtime, plain};
use tonic::transport::Endpoint;
use values::{block, now, tenant, writer};

const NODES: [u64; 2] = [1, 3];
const WRITERS: [u64; 3] = [1, 10, 100];
const LENGTH: Duration = Duration::from_secs(4);

fn main() {
    println!("nodes  writers  commits/s  p50 ms  p99 ms");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    for (nodes, writers) in NODES.into_iter().flat_map(|n| WRITERS.map(|w| (n, w))) {
        let mut waits = runtime.block_on(measure(nodes, writers));
        waits.sort_unstable();
        let at = |percent: usize| waits[(waits.len() - 1) * percent / 100].as_secs_f64() * 1e3;
        println!(
            "{nodes:>5}  {writers:>7}  {:>9.0}  {:>6.1}  {:>6.1}",
            waits.len() as f64 / LENGTH.as_secs_f64(),
            at(50),
            at(99),
        );
    }
}

async fn measure(nodes: u64, writers: u64) -> Vec<Duration> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let listeners: Vec<TcpListener> = (0..nodes)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let address = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
    let voters: BTreeMap<u64, String> = (1..).zip(listeners.iter().map(address)).collect();
    let mut running = Vec::new();
    for (id, listener) in (1..).zip(listeners) {
        let config = NodeConfig {
            id,
            folder: folder.path().join(id.to_string()),
            voters: voters.clone(),
            ..NodeConfig::default()
        };
        let parts = NodeParts {
            connect: Arc::new(|address| {
                let endpoint = Endpoint::from_shared(address.to_owned()).unwrap();
                Ok(endpoint.tcp_nodelay(true).connect_lazy())
            }),
            now: Arc::new(now),
            runtime: Runtime::Own,
            listener: Some((listener, plain())),
            placement: None,
            seed: id,
        };
        running.push(Node::start(config, parts).await.unwrap());
    }
    let client = running[0].client().with_patience(Duration::from_secs(30));
    // Until somebody leads.
    client.snapshot(&tenant()).await.unwrap();
    let deadline = Instant::now() + LENGTH;
    let commits = (0..writers).map(|at| tokio::spawn(commits(client.clone(), at, deadline)));
    let mut waits = Vec::new();
    for of_writer in commits.collect::<Vec<_>>() {
        waits.extend(of_writer.await.unwrap());
    }
    for node in running {
        node.shutdown().await.unwrap();
    }
    waits
}

async fn commits(client: Client, at: u64, deadline: Instant) -> Vec<Duration> {
    let writer = writer(&format!("writer-{at}"));
    let registration = Registration::continued(writer.clone(), "http://127.0.0.1:1");
    let incarnation = client.register(registration).await.unwrap().incarnation;
    let mut waits = Vec::new();
    for lsn in 1.. {
        let start = Instant::now();
        if start >= deadline {
            break;
        }
        let blocks = vec![block(at << 40 | lsn)];
        let commit = client.commit(&writer, incarnation, (lsn, lsn), blocks);
        commit.await.unwrap();
        waits.push(start.elapsed());
    }
    waits
}
