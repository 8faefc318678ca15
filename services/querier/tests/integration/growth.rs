//! Counters are stored as they stand; what they have grown by is asked for as `:delta`.

use crate::fixture::{Fixture, SECOND, START, Sent, encoded, head};

const ALLOCATED: &[(&str, &str)] = &[("alloc_space", "bytes")];

/// A counter as it stood at that second, in stacks `main;a` and `main;b`.
fn stood(
    pod: &'static str,
    at: i64,
    stacks: &'static [(&'static str, &'static str, i64)],
) -> Sent<'static> {
    Sent {
        name: "memory",
        types: ALLOCATED,
        labels: match pod {
            "1" => &[("pod", "1")],
            _ => &[("pod", "2")],
        },
        at: START + at * SECOND,
        duration: 0,
        samples: stacks,
        ..Sent::default()
    }
}

fn path(of: &str, query: &str, (from, until): (i64, i64)) -> String {
    format!(
        "/api/v1/{of}?type={}&query={}&from={}&until={}",
        encoded("memory:alloc_space:bytes:cpu:nanoseconds:delta"),
        encoded(query),
        START / SECOND + from,
        START / SECOND + until
    )
}

async fn folded(fixture: &Fixture, query: &str, range: (i64, i64)) -> (String, bool) {
    let answer = fixture.get(&path("folded", query, range)).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    let is_flagged = answer.headers().contains_key("cairn-partial");
    let text = String::from_utf8(answer.into_body().to_vec()).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    (lines.join("\n"), is_flagged)
}

/// Pod 1 grows from 10 to 35, is restarted, and grows to 9; pod 2 grows by 500. The profiles are in
/// several blocks, and not in order.
async fn two_pods() -> Fixture {
    let fixture = Fixture::start().await;
    fixture
        .add(&head(&[
            stood("1", 20, &[("main;a", "", 5), ("main;b", "", 30)]),
            stood("2", 10, &[("main;a", "", 1_000)]),
            stood("1", 40, &[("main;a", "", 2), ("main;b", "", 7)]),
        ]))
        .await;
    fixture
        .add(&head(&[
            stood("1", 10, &[("main;a", "", 3), ("main;b", "", 20)]),
            stood("1", 0, &[("main;a", "", 0), ("main;b", "", 10)]),
        ]))
        .await;
    fixture
        .add(&head(&[
            stood("2", 50, &[("main;a", "", 1_500)]),
            stood("1", 30, &[("main;a", "", 1), ("main;b", "", 1)]),
        ]))
        .await;
    fixture
}

#[tokio::test]
async fn counters_grow_across_blocks_and_restarts() {
    let fixture = two_pods().await;
    let all = (0, 600);
    let of_one = folded(&fixture, r#"{pod="1"}"#, all).await;
    // 5 and 20 until the restart, 2 and 7 since.
    assert_eq!(of_one, ("main;a 7\nmain;b 27".to_owned(), false));
    let of_both = folded(&fixture, "", all).await;
    assert_eq!(of_both, ("main;a 507\nmain;b 27".to_owned(), false));
    // From the first profile within the range to the last one.
    let middle = folded(&fixture, "", (5, 25)).await;
    assert_eq!(middle, ("main;a 2\nmain;b 10".to_owned(), false));
    let nothing = folded(&fixture, "", (45, 600)).await;
    assert_eq!(nothing.0, "", "one profile does not say how much it grew");

    // The same over time.
    let answer = fixture.json(&path("series", "", all)).await;
    let columns = answer["series"].as_array().expect("columns");
    let points = columns
        .iter()
        .flat_map(|column| column.as_array().expect("points"));
    let sum: i64 = points.filter_map(serde_json::Value::as_i64).sum();
    assert_eq!(sum, 534, "{answer}");

    // What is stored is what was sent.
    let counters = path("folded", r#"{pod="2"}"#, (45, 600)).replace("%3Adelta", "");
    let answer = fixture.get(&counters).await;
    assert_eq!(&answer.into_body()[..], b"main;a 1500\n");
    fixture.stop().await;
}

#[tokio::test]
async fn a_restart_that_no_total_shows_is_flagged() {
    let fixture = Fixture::start().await;
    fixture
        .add(&head(&[
            stood("1", 0, &[("main;a", "", 10), ("main;b", "", 10)]),
            stood("1", 10, &[("main;a", "", 100), ("main;b", "", 4)]),
        ]))
        .await;
    let answer = folded(&fixture, "", (0, 600)).await;
    assert_eq!(answer, ("main;a 90".to_owned(), true));
    fixture.stop().await;
}
