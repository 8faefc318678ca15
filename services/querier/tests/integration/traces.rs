//! One request across services and kinds of profiles.

use crate::fixture::{Fixture, Sent, head};

#[tokio::test]
async fn a_trace_is_found_in_every_service_and_type_at_once() {
    let fixture = Fixture::start().await;
    let cart = Sent {
        span: 0xab,
        ..Sent::default()
    };
    let checkout = Sent {
        labels: &[("service_name", "checkout")],
        samples: &[("main;pay", "", 5)],
        ..cart
    };
    let heap = Sent {
        name: "memory",
        types: &[("alloc_space", "bytes")],
        samples: &[("main;load", "", 1_000)],
        ..cart
    };
    let other = Sent { span: 0xcd, ..cart };
    fixture.add(&head(&[cart, other])).await;
    fixture.add(&head(&[checkout, heap, Sent::default()])).await;

    let path = format!("/api/v1/traces/{}", "AB".repeat(16));
    let body = fixture.json(&path).await;
    assert_eq!(body["trace_id"], "ab".repeat(16));
    let types = body["types"].as_array().unwrap();
    assert_eq!(types.len(), 2, "{body}");
    let (heap, cpu) = (&types[0], &types[1]);
    assert_eq!(heap["type"], "memory:alloc_space:bytes:cpu:nanoseconds");
    assert_eq!(
        (&heap["total"], &heap["unit"]),
        (&1_000.into(), &"bytes".into())
    );
    assert_eq!(cpu["total"], 42 + 5);
    assert_eq!(
        cpu["services"],
        serde_json::json!({"cart": 42, "checkout": 5})
    );
    let names = cpu["flamegraph"]["names"].as_array().unwrap();
    let mut names: Vec<&str> = names.iter().filter_map(|name| name.as_str()).collect();
    names.sort_unstable();
    // Services are a level of the graph; the type is said beside it.
    let services = ["service_name=cart", "service_name=checkout"];
    assert_eq!(names[..4], ["main", "pay", "read", services[0]]);
    assert_eq!(names[4..], [services[1], "total", "work"]);
    assert_eq!(cpu["flamegraph"]["total"], 47);

    let nobody = fixture
        .json(&format!("/api/v1/traces/{}", "01".repeat(16)))
        .await;
    assert_eq!(nobody["types"], serde_json::json!([]));
    assert_eq!(fixture.get("/api/v1/traces/xyz").await.status(), 400);
    fixture.stop().await;
}
