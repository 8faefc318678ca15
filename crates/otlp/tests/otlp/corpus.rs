//! Every recorded request decodes to what another program, in another language, read from it.

use std::collections::BTreeSet;

use cairn_model::AttrValue;
use cairn_otlp::Layout;
use cairn_testkit::corpus::Captured;

use crate::{decode, kinds, label, only};

/// What stands in one recorded profile.
struct Row {
    capture: &'static str,
    at: usize,
    name: &'static str,
    types: [&'static str; 2],
    period: i64,
    time: i64,
    duration: i64,
    samples: usize,
    sum: i64,
    points: usize,
    linked: usize,
    attributes: usize,
    frames: usize,
    locations: usize,
    id: u128,
}

const WALL: [&str; 2] = ["wall/nanoseconds", "wall/nanoseconds"];
const HTTP: &str = "otel-sdk-extension-profiling-http/001";

const ROWS: [Row; 9] = [
    Row {
        capture: HTTP,
        at: 0,
        name: "wall",
        types: WALL,
        period: 10_000_000,
        time: 1_795_364_599_866_867_208,
        duration: 2_287_251_173,
        samples: 20,
        sum: 71,
        points: 71,
        linked: 0,
        attributes: 40,
        frames: 242,
        locations: 53,
        id: 0xf47ace1cb34148169f13cce4f34ff445,
    },
    Row {
        capture: HTTP,
        at: 1,
        name: "memory",
        types: ["memory.heap.bytes/bytes", "memory.heap/count"],
        period: 1,
        time: 1_795_364_599_913_248_152,
        duration: 3_550_234_564,
        samples: 104,
        sum: 29_206,
        points: 119,
        linked: 0,
        attributes: 416,
        frames: 695,
        locations: 167,
        id: 0xd51d6c9aece14ff592ca24ddc2b6f385,
    },
    Row {
        capture: HTTP,
        at: 2,
        name: "memory",
        types: ["memory.heap.objects/count", "memory.heap/count"],
        period: 1,
        time: 1_795_364_599_913_248_152,
        duration: 3_550_234_564,
        samples: 104,
        sum: 317,
        points: 119,
        linked: 0,
        attributes: 416,
        frames: 695,
        locations: 167,
        id: 0x756aab89fc764356bfd2c41ae7b2b718,
    },
    Row {
        capture: "otel-sdk-extension-profiling-grpc/001",
        at: 0,
        name: "wall",
        types: WALL,
        period: 10_000_000,
        time: 1_795_364_620_015_062_910,
        duration: 4_094_011_704,
        samples: 154,
        sum: 319,
        points: 319,
        linked: 143,
        attributes: 308,
        frames: 606,
        locations: 33,
        id: 0x40105747326944969c6fe879b793f8b5,
    },
    Row {
        capture: "otel-sdk-extension-profiling-grpc/002",
        at: 0,
        name: "wall",
        types: WALL,
        period: 10_000_000,
        time: 1_795_364_624_183_350_086,
        duration: 4_042_096_685,
        samples: 130,
        sum: 288,
        points: 288,
        linked: 118,
        attributes: 260,
        frames: 496,
        locations: 17,
        id: 0x4fef65bad5da475daa4fc4c4b750c37b,
    },
    Row {
        capture: "otel-sdk-extension-profiling-grpc/003",
        at: 0,
        name: "wall",
        types: WALL,
        period: 10_000_000,
        time: 1_795_364_628_281_233_397,
        duration: 742_771_130,
        samples: 49,
        sum: 88,
        points: 88,
        linked: 40,
        attributes: 98,
        frames: 217,
        locations: 24,
        id: 0xc0799e3e1d3642559f5ae71da8947bbd,
    },
    Row {
        capture: "beacon-profiling-http/001",
        at: 0,
        name: "wall",
        types: WALL,
        period: 10_000_000,
        time: 1_795_364_732_739_495_116,
        duration: 4_011_448_688,
        samples: 112,
        sum: 237,
        points: 237,
        linked: 98,
        attributes: 224,
        frames: 533,
        locations: 27,
        id: 0xe00066c8eb43443082944eee67c7a4a1,
    },
    Row {
        capture: "beacon-profiling-http/002",
        at: 0,
        name: "wall",
        types: WALL,
        period: 10_000_000,
        time: 1_795_364_736_843_734_886,
        duration: 4_011_184_975,
        samples: 138,
        sum: 310,
        points: 310,
        linked: 123,
        attributes: 276,
        frames: 601,
        locations: 34,
        id: 0x3f0121c179f54287b7b5201123c39d3d,
    },
    Row {
        capture: "beacon-profiling-http/003",
        at: 0,
        name: "wall",
        types: WALL,
        period: 10_000_000,
        time: 1_795_364_740_939_859_086,
        duration: 807_340_580,
        samples: 45,
        sum: 82,
        points: 82,
        linked: 33,
        attributes: 90,
        frames: 217,
        locations: 28,
        id: 0x81fab897ff9246c39e25acb28f0ed3b6,
    },
];

fn captured() -> Vec<Captured> {
    let mut captured = cairn_testkit::corpus::captured();
    captured.retain(|request| {
        request.path.ends_with("v1development/profiles")
            || request.path.contains("v1development.ProfilesService")
    });
    captured
}

fn layout(client: &str) -> Layout {
    if client.starts_with("beacon") {
        Layout::V1_10
    } else {
        Layout::V1_9
    }
}

#[test]
fn recorded_requests_mean_what_another_reader_says() {
    let mut seen = 0;
    for captured in captured() {
        let request = decode(&captured.plain_body());
        assert_eq!(
            request.layout,
            layout(&captured.client),
            "{}",
            captured.name
        );
        assert_eq!(request.counts, cairn_otlp::Counts::default());
        for (at, profile) in request.profiles.iter().enumerate() {
            let row = ROWS
                .iter()
                .find(|row| row.capture == captured.name && row.at == at)
                .unwrap_or_else(|| panic!("{} {at} is not in the list", captured.name));
            check(row, profile.as_ref().unwrap());
            seen += 1;
        }
    }
    assert_eq!(seen, ROWS.len());
}

fn check(row: &Row, decoded: &cairn_otlp::Decoded) {
    let profile = &decoded.described.profile;
    let samples = &profile.samples;
    let what = format!("{} {}", row.capture, row.at);
    assert_eq!(decoded.described.name.as_deref(), Some(row.name), "{what}");
    assert_eq!(decoded.profile_id, Some(row.id.to_be_bytes()), "{what}");
    assert_eq!(kinds(profile), row.types, "{what}");
    assert_eq!(profile.period, row.period, "{what}");
    assert_eq!(
        (profile.time, profile.duration),
        (row.time, row.duration),
        "{what}"
    );
    assert_eq!(samples.len(), row.samples, "{what}");
    let factor = if row.types == WALL { row.period } else { 1 };
    assert_eq!(
        samples.values.iter().sum::<i64>(),
        row.sum * factor,
        "{what}"
    );
    assert_eq!(samples.points.len(), row.points, "{what}");
    for sample in 0..samples.len() {
        let points = samples.points(sample).iter().map(|point| point.value);
        assert_eq!(points.sum::<i64>(), samples.values[sample], "{what}");
    }
    let linked = (0..samples.len()).filter(|at| samples.link(*at).is_some());
    assert_eq!(linked.count(), row.linked, "{what}");
    assert_eq!(samples.attrs.len(), row.attributes, "{what}");
    let frames = || (0..samples.len()).flat_map(|at| profile.stack(at));
    assert_eq!(frames().count(), row.frames, "{what}");
    let locations: BTreeSet<&u32> = frames().collect();
    assert_eq!(locations.len(), row.locations, "{what}");
    assert!(profile.tables.mappings.is_empty(), "{what}");
}

#[test]
fn recorded_labels_come_from_resource_and_scope() {
    let captured = captured();
    let beacon = captured
        .iter()
        .find(|request| request.client.starts_with("beacon"));
    let request = decode(&beacon.unwrap().plain_body());
    let decoded = only(&request);
    for (name, value) in [
        ("telemetry.sdk.language", "python"),
        ("telemetry.sdk.version", "1.44.0"),
        ("service.name", "py-beacon-demo"),
        ("service_name", "py-beacon-demo"),
        ("otel.scope.name", "opentelemetry.sdk.extension.profiling"),
        ("otel.scope.version", "1.2.1"),
    ] {
        assert_eq!(label(decoded, name), Some(value), "{name}");
    }
    assert_eq!(decoded.described.labels.len(), 8);
}

/// This producer puts real rows at index 0 and sends no mappings at all.
#[test]
fn real_rows_at_index_zero_are_used() {
    let captured = captured();
    let request = captured
        .iter()
        .find(|request| request.name == HTTP)
        .unwrap();
    let request = decode(&request.plain_body());
    let profile = &request.profiles[0].as_ref().unwrap().described.profile;
    let frames = crate::frames(profile, 0);
    assert_eq!(frames.len(), 9);
    assert_eq!(frames[0], "wait");
    let [thread, name] = profile.samples.attrs(0) else {
        panic!("two attributes");
    };
    assert_eq!(profile.str(thread.key), "thread.id");
    assert!(matches!(thread.value, AttrValue::Num { unit: 0, .. }));
    assert_eq!(crate::attrs(profile, 0)[1], "thread.name=MainThread");
    assert_eq!(profile.str(name.key), "thread.name");
}
