//! What is missing from an answer is said, and is never a reason to answer nothing.

use std::time::Duration;

use bytes::Bytes;
use cairn_model::{BlockId, WriterId};
use cairn_store::Key;

use crate::fixture::{Fixture, SECOND, START, Sent, encoded, head};

fn flamegraph() -> String {
    format!(
        "/api/v1/flamegraph?type={}&from={}&until={}",
        encoded("process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta"),
        START / SECOND,
        START / SECOND + 60
    )
}

async fn warnings(fixture: &Fixture) -> (i64, Vec<String>) {
    let response = fixture.get(&flamegraph()).await;
    let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(response.status(), 200, "{body}");
    let texts = body["warnings"].as_array().cloned().unwrap_or_default();
    let texts: Vec<String> = texts
        .iter()
        .map(|t| t.as_str().unwrap().to_owned())
        .collect();
    let flagged = response.headers().contains_key("cairn-partial");
    assert_eq!(flagged, !texts.is_empty());
    let listed = response.headers().get_all("cairn-warning").iter().count();
    assert_eq!(listed, texts.len());
    (body["total"].as_i64().unwrap(), texts)
}

async fn add_corrupt(fixture: &Fixture) -> BlockId {
    let (id, bytes) = fixture.record(&head(&[Sent::default()])).await;
    let mut bytes = bytes.to_vec();
    let len = bytes.len();
    // The table of contents lies at the end; nothing of it survives.
    bytes[len / 2..].fill(0xa5);
    let key = Key::Block {
        tenant: &fixture.tenant,
        id,
    };
    fixture.store.create(key, Bytes::from(bytes)).await.unwrap();
    id
}

#[tokio::test]
async fn corrupt_and_missing_blocks_are_named() {
    let fixture = Fixture::start().await;
    fixture.add(&head(&[Sent::default()])).await;
    assert_eq!(warnings(&fixture).await, (42, vec![]));
    let corrupt = add_corrupt(&fixture).await;
    let (missing, _) = fixture.record(&head(&[Sent::default()])).await;
    let (total, texts) = warnings(&fixture).await;
    assert_eq!(total, 42);
    assert_eq!(texts.len(), 2, "{texts:?}");
    let named = |id: BlockId, why: &str| {
        let start = format!("block {id}: {why}: ");
        texts.iter().any(|text| text.starts_with(&start))
    };
    assert!(named(corrupt, "corrupt"), "{texts:?}");
    assert!(named(missing, "missing"), "{texts:?}");
    fixture.stop().await;
}

#[tokio::test]
async fn nothing_readable_is_a_failure_that_says_why() {
    let fixture = Fixture::start().await;
    let corrupt = add_corrupt(&fixture).await;
    let response = fixture.get(&flamegraph()).await;
    assert_eq!(response.status(), 503);
    let text = String::from_utf8_lossy(response.body()).into_owned();
    assert!(text.contains(&corrupt.to_string()), "{text}");
    fixture.stop().await;
}

#[tokio::test]
async fn a_dead_ingester_is_flagged() {
    let fixture = Fixture::start().await;
    fixture.add(&head(&[Sent::default()])).await;
    let writer = WriterId::parse("gone").unwrap();
    fixture
        .catalog
        .register(cairn_catalog::Registration::continued(
            writer,
            "http://127.0.0.1:1",
        ))
        .await
        .unwrap();
    let (total, texts) = warnings(&fixture).await;
    assert_eq!(total, 42);
    assert_eq!(texts.len(), 1);
    assert!(
        texts[0].contains("the newest profiles are missing"),
        "{texts:?}"
    );
    fixture.stop().await;
}

#[tokio::test]
async fn the_blocks_of_a_dead_worker_go_to_the_others() {
    let fixture = Fixture::with(|config, address| {
        config.workers = vec![format!("http://{address}"), "http://127.0.0.1:1".to_owned()];
    })
    .await;
    for at in 0..8 {
        let sent = Sent {
            at: START + at,
            ..Sent::default()
        };
        fixture.add(&head(&[sent])).await;
    }
    assert_eq!(warnings(&fixture).await, (8 * 42, vec![]));
    fixture.stop().await;
}

/// Workers by all names of one process but the first of `dead`, which nobody is behind.
async fn many_workers(dead: &str) -> Fixture {
    Fixture::with(|config, address| {
        let names = ["127.0.0.1", "127.0.1", "127.1", "localhost"];
        let at = |name| format!("http://{name}:{}", address.port());
        config.workers = names.map(at).to_vec();
        config.workers.push(format!("http://{dead}:1"));
        config.limits.fan_in_max = 2;
    })
    .await
}

#[tokio::test]
async fn many_workers_answer_in_groups_that_lack_nothing_if_one_is_dead() {
    // In the order of names the last of its group, or the first.
    for dead in ["127.1", "127.0.0.1"] {
        let fixture = many_workers(dead).await;
        for at in 0..20 {
            let sent = Sent {
                at: START + at,
                ..Sent::default()
            };
            fixture.add_merged(&head(&[sent])).await;
        }
        let explained = flamegraph().replace("flamegraph", "explain");
        let explained = fixture.json(&explained).await;
        assert_eq!(
            (&explained["rows"], &explained["read_blocks"]),
            (&40.into(), &20.into())
        );
        let steps = explained["steps"].as_array().unwrap().iter();
        let asked = steps.filter(|step| step["source"] == "blocks").count();
        match dead {
            "127.1" => assert_eq!(asked, 2, "{explained}"),
            // What the dead one was to merge is asked of all others.
            _ => assert!(asked > 2, "{explained}"),
        }
        assert_eq!(warnings(&fixture).await, (20 * 42, vec![]));
        fixture.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_silent_worker_was_to_merge_is_asked_of_others_in_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap();
    let fixture = Fixture::with(|config, address| {
        let names = ["127.0.1", "127.1", "localhost"];
        let at = |name| format!("http://{name}:{}", address.port());
        config.workers = names.map(at).to_vec();
        // The first of its group, in the order of names.
        config.workers.push(format!("http://{silent}"));
        config.limits.fan_in_max = 2;
        config.limits.query_timeout = Duration::from_secs(10);
    })
    .await;
    for at in 0..20 {
        let sent = Sent {
            at: START + at,
            ..Sent::default()
        };
        fixture.add_merged(&head(&[sent])).await;
    }
    assert_eq!(warnings(&fixture).await, (20 * 42, vec![]));
    fixture.stop().await;
}

#[tokio::test]
async fn without_any_worker_blocks_are_named_or_the_query_fails() {
    let fixture = Fixture::with(|config, _| {
        config.workers = vec!["http://127.0.0.1:1".to_owned()];
    })
    .await;
    fixture.add(&head(&[Sent::default()])).await;
    let response = fixture.get(&flamegraph()).await;
    assert_eq!(response.status(), 503);
    fixture.stop().await;
}

#[tokio::test]
async fn a_dead_symbolizer_leaves_addresses_and_a_warning() {
    let fixture = Fixture::with(|config, _| {
        config.symbolizer = "http://127.0.0.1:1".to_owned();
    })
    .await;
    let native = Sent {
        build_id: "aa11",
        samples: &[("main;0x4010", "", 8)],
        ..Sent::default()
    };
    fixture.add(&head(&[native])).await;
    let (total, texts) = warnings(&fixture).await;
    assert_eq!(total, 8);
    assert_eq!(texts.len(), 1);
    assert!(texts[0].contains("some frames have no name"), "{texts:?}");
    let body = fixture.json(&flamegraph()).await;
    let names = body["names"].as_array().unwrap();
    assert!(names.contains(&"cart+0x4010".into()), "{names:?}");
    fixture.stop().await;
}

#[tokio::test]
async fn why_addresses_have_no_name_is_explained_and_a_warning_if_it_may_pass() {
    let symbolizer = crate::symbols::start().await;
    let address = format!("http://{}", symbolizer.address());
    let fixture = Fixture::with(|config, _| config.symbolizer = address).await;
    for (at, build_id) in ["dead", "beef", "ab"].into_iter().enumerate() {
        let native = Sent {
            at: START + at as i64,
            build_id,
            samples: &[("main;0x4010", "", 8), ("main;0x4020", "", 1)],
            ..Sent::default()
        };
        fixture.add(&head(&[native])).await;
    }
    let (total, texts) = warnings(&fixture).await;
    assert_eq!(total, 27);
    assert_eq!(texts.len(), 1, "{texts:?}");
    let told = "2 addresses have no name yet, such as: it is being fetched";
    assert!(texts[0].contains(told), "{texts:?}");

    let explained = flamegraph().replace("flamegraph", "explain");
    let explained = fixture.json(&explained).await;
    let steps = explained["steps"].as_array().unwrap().iter();
    let step = steps.clone().find(|step| step["source"] == "symbolizer");
    let unnamed = serde_json::json!([
        {"build_id": "beef", "addresses": 2, "reason": "it is being fetched"},
        {"build_id": "dead", "addresses": 2, "reason": "it was refused"},
    ]);
    assert_eq!(step.unwrap()["unnamed"], unnamed, "{explained}");
    fixture.stop().await;
    symbolizer.stop().await.unwrap();
}
