//! Every recorded request, sent again byte for byte over the protocol that it came by, is read back
//! exactly: which profiles there are, under which labels, of which time, and every stack in them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use cairn_model::TimeRange;
use cairn_pprof::canonical;
use cairn_testkit::corpus::{Captured, captured};

use crate::cairn::{Cairn, Client};
use crate::http::send;
use crate::meaning::{self, Key, Store};
use crate::oracle;
use crate::roundtrip::{ANY_TIME, column};

const QUIET: (&str, &str) = ("CAIRN__SELF_PROFILE__ENABLED", "false");

/// What brings profiles and is not compared. This one lost bytes in its middle when names in it were
/// made neutral, so that nobody can read it any more; its profile is pushed by itself elsewhere.
const DAMAGED: [&str; 1] = ["parca-client-grpc/001"];

/// Belongs to one connection, or is written anew.
const OF_THE_CONNECTION: [&str; 5] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "accept-encoding",
];

async fn replay(cairn: &Cairn, request: &Captured) {
    if request.is_grpc {
        let answer = crate::grpc::call(&cairn.url(), &request.path, &request.body).await;
        let answer = answer.unwrap_or_else(|status| panic!("{}: {status}", request.name));
        assert_eq!(answer, Bytes::new(), "{}: refused", request.name);
        return;
    }
    let headers: Vec<(&str, &str)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| !OF_THE_CONNECTION.contains(&&*name.to_lowercase()))
        .collect();
    let what = match request.query_raw.as_str() {
        "" => format!("{} {}", request.method, request.path),
        query => format!("{} {}?{query}", request.method, request.path),
    };
    let answer = send(cairn.address, &what, &headers, &request.body);
    assert_eq!(answer.status, 200, "{}: {}", request.name, answer.text());
    let said = answer.text();
    assert!(["", "{}"].contains(&&*said), "{}: {said}", request.name);
}

/// A selector of these labels, and of none else of `names`.
fn selector(of: &str, labels: &BTreeMap<String, String>, names: &BTreeSet<&str>) -> String {
    let absent = names.iter().filter(|name| !labels.contains_key(**name));
    let absent = absent.map(|name| format!("{name}=\"\""));
    let present = labels
        .iter()
        .map(|(name, value)| format!("{name}={value:?}"));
    let matchers: Vec<String> = present.chain(absent).collect();
    format!("{of}{{{}}}", matchers.join(", "))
}

async fn check(client: &Client, expected: &Store) {
    let types: BTreeSet<String> = expected.keys().map(|(of, ..)| of.clone()).collect();
    assert_eq!(client.types(ANY_TIME).await, types);
    let names: BTreeSet<&str> = expected
        .keys()
        .flat_map(|(_, labels, _)| labels.keys().map(String::as_str))
        .collect();
    let of_samples: BTreeSet<&str> = expected
        .values()
        .flat_map(|rows| rows.keys().flat_map(|(_, labels)| labels))
        .map(|(name, _)| name.as_str())
        .collect();
    // What one client says of a whole profile and another of a single sample is found as either.
    let told_apart = names.difference(&of_samples).copied().collect();
    let mut found = BTreeSet::new();
    for of in &types {
        for (labels, time) in client.points(of, &told_apart, ANY_TIME).await {
            found.insert((of.clone(), labels, time));
        }
    }
    let wanted: BTreeSet<Key> = expected
        .keys()
        .cloned()
        .map(|(of, mut labels, time)| {
            labels.retain(|name, _| told_apart.contains(name.as_str()));
            (of, labels, time)
        })
        .collect();
    let missing: Vec<&Key> = wanted.difference(&found).collect();
    let more: Vec<&Key> = found.difference(&wanted).collect();
    assert!(
        missing.is_empty() && more.is_empty(),
        "missing: {missing:#?}\nnobody sent: {more:#?}"
    );
    for ((of, labels, time), rows) in expected {
        let range = TimeRange {
            start: *time,
            end: *time,
        };
        let selector = selector(of, labels, &told_apart);
        let (bytes, warnings) = client
            .merged_bytes(&selector, range)
            .await
            .unwrap_or_else(|status| panic!("{selector} at {time}: {status}"));
        assert!(warnings.is_empty(), "{selector}: {warnings:?}");
        let answer = oracle::decode(&oracle::inflate(&bytes)).expect("a valid profile");
        assert_eq!(answer.types.len(), 1, "{selector}");
        assert_eq!(
            &column(&canonical(&answer), 0),
            rows,
            "{selector} at {time}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recorded_request_is_read_back_exactly() {
    let mut expected = Store::new();
    let mut requests = captured();
    requests.retain(|request| {
        !DAMAGED.contains(&request.name.as_str()) && meaning::add(request, &mut expected)
    });
    let clients: BTreeMap<&str, usize> =
        requests.iter().fold(BTreeMap::new(), |mut map, request| {
            *map.entry(request.client.as_str()).or_default() += 1;
            map
        });
    let all = [
        ("beacon-profiling-http", 3),
        ("lightswitch-0.7.0-pyroscope", 4),
        ("otel-sdk-extension-profiling-grpc", 3),
        ("otel-sdk-extension-profiling-http", 1),
        ("pyroscope-go", 10),
        ("pyroscope-io-python", 3),
        ("pyroscope-io-python-0.8.16", 3),
        ("pyroscope-io-python-1.0.6", 3),
        ("pyroscope-nodejs-0.4.5", 5),
        ("pyroscope-nodejs-0.6.4", 7),
        ("pyroscope-rust-2.1.5-cpu", 3),
        ("pyroscope-rust-2.1.5-jemalloc", 3),
    ];
    assert_eq!(clients, BTreeMap::from(all));

    let data = tempfile::tempdir().unwrap();
    let cairn = Cairn::start(data.path(), &[QUIET]);
    // Senders try again after a lost answer: what has a time of its own counts once.
    for request in requests.iter().chain(&requests) {
        replay(&cairn, request).await;
    }
    check(&cairn.connect().await, &expected).await;
    // A clean stop writes blocks, so the second look reads from them.
    cairn.stop();
    let cairn = Cairn::start(data.path(), &[QUIET]);
    check(&cairn.connect().await, &expected).await;
    cairn.stop();
}
