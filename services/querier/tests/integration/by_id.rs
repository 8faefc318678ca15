//! What single counters have grown by, asked for by their ids.

use crate::fixture::{Fixture, SECOND, START, encoded, head, stood};

/// What stacks have grown by, of the profile of that id, and what is missing from it.
async fn grown_to(fixture: &Fixture, id: &str, (from, until): (i64, i64)) -> (String, Vec<String>) {
    let delta = encoded("memory:alloc_space:bytes:cpu:nanoseconds:delta{}");
    let (from, until) = (START / SECOND + from, START / SECOND + until);
    let path =
        format!("/api/v1/flamegraph?query={delta}&from={from}&until={until}&profile_id={id}");
    let graph = fixture.json(&path).await;
    let warnings = graph["warnings"].as_array().cloned().unwrap_or_default();
    let texts = warnings
        .iter()
        .map(|text| text.as_str().unwrap().to_owned());
    (graph["total"].to_string(), texts.collect())
}

#[tokio::test]
async fn growth_of_one_profile_is_since_the_one_before_wherever_that_is() {
    let fixture = Fixture::start().await;
    fixture
        .add(&head(&[
            stood(0, &[("main;a", "", 10), ("main;b", "", 10)]),
            stood(20_000, &[("main;a", "", 100), ("main;b", "", 4)]),
        ]))
        .await;
    let query = encoded("memory:alloc_space:bytes:cpu:nanoseconds:delta{}");
    let (from, until) = (START / SECOND, START / SECOND + 20_060);
    let path = format!("/api/v1/profiles?query={query}&from={from}&until={until}");
    let page = fixture.json(&path).await;
    let id = page["profiles"][0]["id"].as_str().unwrap().to_owned();
    // Less of a stack than before counts as nothing, and is told, as it is of a range.
    for range in [(0, 20_060), (19_990, 20_060)] {
        let (total, warnings) = grown_to(&fixture, &id, range).await;
        assert_eq!(total, "90", "{range:?}");
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("count as 0"), "{warnings:?}");
    }
    // The same series at its beginning.
    let mut bits = uuid_bits(&id);
    let at = |bits: u128| bits >> 80 << 12 | (bits >> 64) & 0xfff;
    let later = (START + 20_000 * SECOND) as u128;
    let low = bits & ((1 << 62) - 1);
    let rest = (at(bits) << 62 | low) & ((1 << 58) - 1);
    assert_eq!((at(bits) << 62 | low) >> 58, later);
    let whole = (START as u128) << 58 | rest;
    let (high, low) = (whole >> 62, whole & ((1 << 62) - 1));
    bits = high >> 12 << 80 | 8 << 76 | (high & 0xfff) << 64 | 0b10 << 62 | low;
    let (total, warnings) = grown_to(&fixture, &uuid_text(bits), (0, 60)).await;
    assert_eq!(total, "0");
    assert!(
        warnings[0].contains("the first of their counters"),
        "{warnings:?}"
    );
    fixture.stop().await;
}

fn uuid_bits(text: &str) -> u128 {
    u128::from_str_radix(&text.replace('-', ""), 16).unwrap()
}

fn uuid_text(bits: u128) -> String {
    let text = format!("{bits:032x}");
    let parts = [
        &text[..8],
        &text[8..12],
        &text[12..16],
        &text[16..20],
        &text[20..],
    ];
    parts.join("-")
}
