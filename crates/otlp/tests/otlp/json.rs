//! The JSON form: both spellings of names, numbers as text, ids in hex, and what is refused.

use cairn_model::{Limits, Link};
use cairn_otlp::{Layout, decode_json};

use crate::{attrs, frames, kinds, label, only, points};

pub(crate) const REQUEST: &str = r#"{
  "resourceProfiles": [{
    "resource": {"attributes": [
      {"key": "service.name", "value": {"stringValue": "cart"}},
      {"keyStrindex": 5, "value": {"stringValueStrindex": 6}},
      {"key": "list", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"boolValue": true}]}}},
      {"key": "map", "value": {"kvlistValue": {"values": [{"key": "x", "value": {"doubleValue": 1.5}}]}}},
      {"key": "raw", "value": {"bytesValue": "3q0="}}
    ], "droppedAttributesCount": 2},
    "scopeProfiles": [{
      "scope": {"name": "agent", "version": "1"},
      "profiles": [{
        "sampleType": {"typeStrindex": 1, "unitStrindex": 2},
        "samples": [{
          "stackIndex": 1,
          "attributeIndices": [1],
          "linkIndex": 1,
          "values": ["3", 4],
          "timestampsUnixNano": ["1764000000000000005", 1764000000000000006]
        }],
        "timeUnixNano": "1764000000000000000",
        "durationNano": "1000",
        "periodType": {"typeStrindex": 3, "unitStrindex": 4},
        "period": "100",
        "profileId": "0102030405060708090a0b0c0d0e0f10",
        "originalPayloadFormat": "jfr",
        "originalPayload": "AAAA",
        "unknownField": {"nested": [1, null]},
        "attributeIndices": null
      }]
    }],
    "schemaUrl": "https://example.com"
  }],
  "dictionary": {
    "mappingTable": [{}, {"memoryStart": "4194304", "filenameStrindex": 7}],
    "locationTable": [{}, {"mappingIndex": 1, "address": "4194320", "lines": [{"functionIndex": 1, "line": "7", "column": 3}]}],
    "functionTable": [{}, {"nameStrindex": 8, "startLine": 5}],
    "linkTable": [{}, {"traceId": "0AF7651916CD43DD8448EB211C80319C", "spanId": "b7ad6b7169203331"}],
    "stringTable": ["", "samples", "count", "cpu", "nanoseconds", "zone", "eu", "app", "ma\u0069n", "size", "bytes"],
    "attributeTable": [{}, {"keyStrindex": 9, "value": {"intValue": 8}, "unitStrindex": 10}],
    "stackTable": [{}, {"locationIndices": [1]}]
  }
}"#;

fn check(text: &str) {
    let request = decode_json(text.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(request.layout, Layout::V1_10);
    let decoded = only(&request);
    for (name, value) in [
        ("service_name", "cart"),
        ("zone", "eu"),
        ("list", "[1,true]"),
        ("map", r#"{"x":1.5}"#),
        ("raw", "dead"),
        ("otel.scope.name", "agent"),
    ] {
        assert_eq!(label(decoded, name), Some(value), "{name}");
    }
    let id = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
    assert_eq!(decoded.profile_id, Some(id));
    let profile = &decoded.described.profile;
    assert_eq!(kinds(profile), ["cpu/nanoseconds", "cpu/nanoseconds"]);
    assert_eq!(frames(profile, 0), ["main"]);
    let line = profile.lines(0)[0];
    assert_eq!((line.line, line.column), (7, 3));
    assert_eq!(profile.tables.functions[0].start_line, 5);
    assert_eq!(profile.tables.locations[0].address, 0x40_0010);
    assert_eq!(profile.str(profile.tables.mappings[0].file), "app");
    assert_eq!(attrs(profile, 0), ["size=8 bytes"]);
    assert_eq!(profile.samples.values, [700]);
    let time = 1_764_000_000_000_000_000;
    assert_eq!((profile.time, profile.duration), (time, 1_000));
    assert_eq!(points(profile, 0), [(time + 5, 300), (time + 6, 400)]);
    let link = Link {
        trace_id: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes(),
        span_id: 0xb7ad_6b71_6920_3331_u64.to_be_bytes(),
    };
    assert_eq!(profile.tables.links, [link]);
    assert_eq!(request.counts.dropped_attributes, 2);
    assert_eq!(request.counts.original_payloads, 1);
    assert_eq!(request.counts.schema_urls, 1);
}

#[test]
fn json_is_read() {
    check(REQUEST);
}

#[test]
fn names_with_underscores_and_those_of_1_8_are_read() {
    let mut snake = String::new();
    let mut is_name = false;
    for (at, part) in REQUEST.split('"').enumerate() {
        if at > 0 {
            snake.push('"');
        }
        let next = REQUEST.split('"').nth(at + 1).unwrap_or_default();
        is_name = !is_name && at % 2 == 1 && next.starts_with(':');
        for char in part.chars() {
            if is_name && char.is_ascii_uppercase() {
                snake.push('_');
                snake.push(char.to_ascii_lowercase());
            } else {
                snake.push(char);
            }
        }
        is_name = false;
    }
    assert!(snake.contains("\"time_unix_nano\"") && snake.contains("\"string_value_strindex\""));
    check(&snake);
    check(
        &REQUEST
            .replace("\"samples\": [", "\"sample\": [")
            .replace("\"lines\"", "\"line\""),
    );
}

#[test]
fn ids_may_be_base64() {
    let text = REQUEST
        .replace(
            "0AF7651916CD43DD8448EB211C80319C",
            "CvdlGRbNQ92ESOshHIAxnA==",
        )
        .replace("b7ad6b7169203331", "t61rcWkgMzE=")
        .replace("0102030405060708090a0b0c0d0e0f10", "AQIDBAUGBwgJCgsMDQ4PEA");
    check(&text);
}

#[test]
fn a_wrong_id_refuses_its_profile_only() {
    let text = REQUEST.replace("b7ad6b7169203331", "b7ad");
    let request = decode_json(text.as_bytes(), &Limits::default()).unwrap();
    let refusal = crate::refusal(&request);
    assert!(
        refusal.reason.contains("span id of link 1 has 2 bytes"),
        "{}",
        refusal.reason
    );
}

#[test]
fn what_is_no_request_is_refused_in_one_short_line() {
    let deep = |count: usize| {
        let open = r#"{"arrayValue":{"values":["#.repeat(count);
        let close = "]}}".repeat(count);
        format!(
            r#"{{"resourceProfiles":[{{"resource":{{"attributes":[{{"key":"k","value":{open}{close}}}]}},"scopeProfiles":[{{"profiles":[{{}}]}}]}}]}}"#
        )
    };
    let long = format!(
        r#"{{"resourceProfiles": [{{"schemaUrl": 7, "x": "{}"}}]}}"#,
        "y".repeat(500)
    );
    let echoed = format!(r#"{{"resourceProfiles": "{}\n"}}"#, "y".repeat(500));
    for text in [
        "",
        "[]",
        "7",
        "{",
        "{} {}",
        r#"{"resourceProfiles": {}}"#,
        r#"{"resourceProfiles": [[]]}"#,
        r#"{"resourceProfiles": [7]}"#,
        r#"{"dictionary": [{}]}"#,
        r#"{"dictionary": {"stackTable": [{"locationIndices": [1.5]}]}}"#,
        r#"{"dictionary": {"stackTable": [{"locationIndices": ["x"]}]}}"#,
        r#"{"dictionary": {"linkTable": [{"traceId": "xyz"}]}}"#,
        r#"{"dictionary": {"stringTable": [7]}}"#,
        &long,
        &echoed,
        &deep(60),
    ] {
        let error = decode_json(text.as_bytes(), &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), "undecodable", "{text}");
        let said = error.to_string();
        assert!(said.len() < 200 && !said.contains('\n'), "{said}");
    }
    assert!(
        decode_json(b"{}", &Limits::default())
            .unwrap()
            .profiles
            .is_empty()
    );
    assert!(
        decode_json(deep(20).as_bytes(), &Limits::default())
            .unwrap()
            .profiles[0]
            .is_ok()
    );
}

#[test]
fn older_releases_are_refused_by_name() {
    for (text, release) in [
        (
            r#"{"resourceProfiles":[{"scopeProfiles":[{"profiles":[{"sample":[{"locationsStartIndex":1}]}]}]}]}"#,
            "1.7",
        ),
        (r#"{"string_table":[""]}"#, "1.6"),
        (
            r#"{"resourceProfiles":[{"scopeProfiles":[{"profiles":[{"stringTable":[""]}]}]}]}"#,
            "1.5",
        ),
    ] {
        let error = decode_json(text.as_bytes(), &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), "unsupported");
        assert!(
            error.to_string().contains(&format!("release {release},")),
            "{error}"
        );
    }
}
