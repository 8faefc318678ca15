//! What others read, and looking closer at what a graph leaves out.

use cairn_model::Limits;

use crate::fixture::Sent;
use crate::fixture::{Fixture, SECOND, START, encoded, head};

fn asking(path: &str, more: &str) -> String {
    format!(
        "{path}?type={}&from={}&until={}{more}",
        encoded("process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta"),
        START / SECOND,
        START / SECOND + 60
    )
}

async fn filled() -> Fixture {
    let fixture = Fixture::start().await;
    let samples = &[
        ("main;work;a", "", 30),
        ("main;work;b", "", 7),
        ("main;work;c", "", 5),
        ("main;idle", "", 1),
    ];
    let sent = Sent {
        samples,
        ..Sent::default()
    };
    fixture.add(&head(&[sent])).await;
    fixture
}

#[tokio::test]
async fn a_trimmed_graph_tells_its_error_and_can_be_looked_into() {
    let fixture = filled().await;
    let graph = async |more: &str| fixture.json(&asking("/api/v1/flamegraph", more)).await;
    // The root, `main`, `work` and `a` fit.
    let whole = graph("&max_nodes=4").await;
    assert_eq!(
        (&whole["total"], &whole["maxError"]),
        (&43.into(), &7.into())
    );
    let below = graph("&max_nodes=5&stack_prefix=main&stack_prefix=work").await;
    assert_eq!(below["total"], 42);
    let names = below["names"].as_array().unwrap();
    assert!(
        names.contains(&"b".into()) && !names.contains(&"idle".into()),
        "{names:?}"
    );
    assert_eq!(below["maxError"], 5);
    let all = graph("&stack_prefix=main&stack_prefix=work").await;
    assert_eq!((&all["trimmed"], all.get("maxError")), (&0.into(), None));
    assert_eq!(graph("&stack_prefix=nobody").await["total"], 0);
    fixture.stop().await;
}

#[tokio::test]
async fn speedscope_and_go_s_compiler_get_files_of_their_own() {
    let fixture = filled().await;
    let file = fixture.json(&asking("/api/v1/speedscope.json", "")).await;
    let weights = file["profiles"][0]["weights"].as_array().unwrap();
    assert_eq!(weights.iter().filter_map(|w| w.as_i64()).sum::<i64>(), 43);
    assert_eq!(file["profiles"][0]["unit"], "nanoseconds");
    assert_eq!(file["shared"]["frames"].as_array().unwrap().len(), 6);

    let answer = fixture.get(&asking("/api/v1/pgo.pb.gz", "")).await;
    assert_eq!(answer.status(), 200);
    let limits = Limits::default();
    let decoded = cairn_pprof::decode(answer.body(), &limits, &Default::default());
    let profile = decoded.unwrap().profile;
    assert_eq!(profile.samples.values.iter().sum::<i64>(), 43);
    assert_eq!(profile.samples.len(), 4);
    fixture.stop().await;
}
