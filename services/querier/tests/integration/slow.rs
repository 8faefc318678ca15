//! A store that does not answer in time is missing from an answer; it does not take it along.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cairn_store::faulty::Link;
use http::Request;
use http_body_util::Full;

use crate::fixture::{SECOND, START, Sent, encoded, head, send};
use crate::property::cluster::{Cluster, Fate};

/// Much less than the store's clients wait for.
const TIMEOUT: Duration = Duration::from_secs(6);
const BLOCKS: i64 = 9;

struct Answer {
    total: i64,
    /// Blocks that warnings name.
    missing: Vec<String>,
}

/// Two profiles in the tail, and a block with each number of them up to the last.
async fn cluster() -> (Cluster, Vec<String>) {
    let mut cluster = Cluster::start(TIMEOUT).await;
    let profiles = |count: i64, from: i64| {
        let sent = |at| Sent {
            at: START + (from + at) * SECOND,
            ..Sent::default()
        };
        head(&(0..count).map(sent).collect::<Vec<_>>())
    };
    cluster.set_tail(profiles(2, 0));
    let heads = (1..=BLOCKS).map(|count| (profiles(count, 10 * count), Fate::Stored));
    let written = cluster.add(&heads.collect::<Vec<_>>()).await;
    let ids = written.iter().map(|block| block.id.to_string()).collect();
    (cluster, ids)
}

/// What all profiles but those of the blocks named add up to.
fn expected(ids: &[String], missing: &[String]) -> i64 {
    let read = (1..=BLOCKS)
        .zip(ids)
        .filter(|(_, id)| !missing.contains(id));
    (2 + read.map(|(count, _)| count).sum::<i64>()) * 42
}

async fn ask(address: SocketAddr) -> Answer {
    let path = format!(
        "/api/v1/flamegraph?type={}&from={}&until={}",
        encoded("process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta"),
        START / SECOND,
        START / SECOND + 600
    );
    let request = Request::get(format!("http://{address}{path}"));
    #[expect(
        clippy::disallowed_methods,
        reason = "the test is about time that passes"
    )]
    let start = Instant::now();
    let response = send(request.body(Full::default()).unwrap()).await;
    assert!(start.elapsed() < TIMEOUT * 3, "{:?}", start.elapsed());
    let text = String::from_utf8_lossy(response.body()).into_owned();
    assert_eq!(response.status(), 200, "{text}");
    let body: serde_json::Value = serde_json::from_str(&text).unwrap();
    let warnings = body["warnings"].as_array().cloned().unwrap_or_default();
    let flagged = response.headers().contains_key("cairn-partial");
    assert_eq!(flagged, !warnings.is_empty());
    let named = warnings.iter().map(|text| {
        let text = text.as_str().unwrap();
        let rest = text.strip_prefix("block ").unwrap_or(text);
        rest.split(':').next().unwrap_or_default().to_owned()
    });
    Answer {
        total: body["total"].as_i64().unwrap(),
        missing: named.collect(),
    }
}

#[tokio::test]
async fn blocks_of_a_store_that_is_silent_are_named_and_the_tail_is_answered() {
    let (cluster, ids) = cluster().await;
    let (alone, _) = cluster.asked()[0];
    assert_eq!(ask(alone).await.total, expected(&ids, &[]));
    // Of blocks that are open some is kept, so others are asked.
    cluster
        .links
        .iter()
        .for_each(|link| link.set_link(Link::Silent));
    let shared = ask(cluster.asked()[1].0).await;
    let mut missing = shared.missing.clone();
    missing.sort();
    assert_eq!(missing, ids);
    assert_eq!(shared.total, expected(&ids, &ids));
    cluster.stop().await;
}

#[tokio::test]
async fn one_worker_that_can_not_read_costs_at_most_its_blocks() {
    let (cluster, ids) = cluster().await;
    cluster.links[2].set_link(Link::Silent);
    let Answer { total, missing } = ask(cluster.asked()[1].0).await;
    assert!(missing.len() < ids.len(), "{missing:?}");
    assert!(missing.iter().all(|id| ids.contains(id)), "{missing:?}");
    assert_eq!(total, expected(&ids, &missing));
    // As soon as it answers again nothing is missing.
    cluster.links[2].set_link(Link::Up);
    let Answer { total, missing } = ask(cluster.asked()[1].0).await;
    assert_eq!((total, missing), (expected(&ids, &[]), Vec::new()));
    cluster.stop().await;
}
