//! What a client sent again, and another ingester stored again, counts once.

use crate::fixture::{Fixture, SECOND, START, Sent, encoded, head};

fn sent(batch: u128, at: i64) -> Sent<'static> {
    Sent {
        batch,
        at: START + at * SECOND,
        ..Sent::default()
    }
}

/// Two workers, which are one process, so that the same batch is often scanned apart.
async fn two_workers() -> Fixture {
    Fixture::with(|config, address| {
        let names = ["127.0.0.1", "localhost"];
        let at = |name| format!("http://{name}:{}", address.port());
        config.workers = names.map(at).to_vec();
    })
    .await
}

async fn total(fixture: &Fixture, selector: &str) -> i64 {
    let path = format!(
        "/api/v1/flamegraph?type={}&query={}&from={}&until={}",
        encoded("process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta"),
        encoded(selector),
        START / SECOND,
        START / SECOND + 600
    );
    let answer = fixture.json(&path).await;
    assert_eq!(
        answer["warnings"].as_array().map_or(0, Vec::len),
        0,
        "{answer}"
    );
    answer["total"].as_i64().unwrap()
}

#[tokio::test]
async fn what_was_stored_by_several_counts_once() {
    let fixture = two_workers().await;
    // One source alone: equal profiles of one delivery were sent apart.
    fixture
        .add(&head(&[sent(1, 0), sent(2, 10), sent(2, 10)]))
        .await;
    assert_eq!(total(&fixture, "").await, 3 * 42);
    // Sent again, with something new before and after.
    for _ in 0..4 {
        fixture.add(&head(&[sent(2, 10), sent(2, 10)])).await;
        fixture.add(&head(&[sent(1, 0)])).await;
    }
    assert_eq!(total(&fixture, "").await, 3 * 42);
    fixture
        .add(&head(&[sent(3, 0), sent(2, 10), sent(4, 20)]))
        .await;
    assert_eq!(total(&fixture, "").await, 5 * 42);
    // The same at the same time in another batch, and without a hash, is something else.
    fixture.add(&head(&[sent(5, 10)])).await;
    fixture.add(&head(&[sent(0, 10)])).await;
    fixture.add(&head(&[sent(0, 10)])).await;
    assert_eq!(total(&fixture, "").await, 8 * 42);
    // Rows that only match in part.
    assert_eq!(total(&fixture, r#"{endpoint="/buy"}"#).await, 8 * 30);
    assert_eq!(total(&fixture, r#"{pod="cart-2"}"#).await, 0);
    fixture.stop().await;
}

#[tokio::test]
async fn series_count_once_as_well() {
    let fixture = two_workers().await;
    for _ in 0..3 {
        fixture.add(&head(&[sent(1, 0), sent(2, 10)])).await;
    }
    let path = format!(
        "/pyroscope/render?query={}&from={}&until={}&format=json",
        encoded("process_cpu:cpu:nanoseconds:cpu:nanoseconds{}"),
        START / SECOND,
        START / SECOND + 600
    );
    let answer = fixture.json(&path).await;
    let samples = answer["timeline"]["samples"].as_array().unwrap();
    let sum: i64 = samples.iter().filter_map(serde_json::Value::as_i64).sum();
    assert_eq!(sum, 2 * 42, "{answer}");
    fixture.stop().await;
}
