//! The fuzz target's inputs, run as an ordinary test.

use bytes::Bytes;
use cairn_model::{
    About, Attr, AttrValue, Labels, Link, Point, ProfileBuilder, TenantId, WriterId,
};
use cairn_pprof::encode_gzip;
use cairn_testkit::generator::{Generator, Spec};
use cairn_testkit::seeds::{self, STALE};
use cairn_wal::{
    Content, Encoding, Entry, Header, Kept, Listed, NAME_LABEL, Place, Span, any, pack, pack_tables,
};
use cairn_wire::cairn::ingest::v1::{LogLabel, LogSeries};

#[path = "../../../fuzz/checks/wal_segment.rs"]
mod check;

const TARGET: &str = "wal_segment";

#[test]
fn seeds_are_refused_or_written_as_they_were_read() {
    let accepted = seeds::accepted(TARGET, check::check);
    assert!(accepted >= 4, "only {accepted} seeds are parts of logs");
}

#[test]
fn packed_profiles_are_readable() {
    assert_eq!(any::rows(&packed()), 2);
}

#[test]
fn generated_seeds_are_as_committed() {
    for (name, bytes) in generated() {
        let committed = seeds::committed(TARGET, name, &bytes);
        // Compressors may change: what is in the entries is compared by its length in the test
        // above, by its structure here.
        let is_same = match name.starts_with("file") {
            true => any::records(&committed, 1).len() == any::records(&bytes, 1).len(),
            false => match (any::object(&committed), any::object(&bytes)) {
                (Some((old, _)), Some((new, _))) => old.place == new.place,
                (old, new) => old.is_none() && new.is_none() && !committed.is_empty(),
            },
        };
        assert!(is_same, "{name} {STALE}");
    }
}

/// Two packed profiles that share their tables.
fn packed() -> Vec<u8> {
    let mut builder = ProfileBuilder::default();
    builder.value_type("cpu", "nanoseconds");
    builder.set_period("cpu", "nanoseconds", 10);
    let frames = ["main", "work"].map(|name| builder.frame(name));
    let (key, text) = (builder.str("thread"), builder.str("gc"));
    let attrs = [Attr {
        key,
        value: AttrValue::Str(text),
    }];
    let about = About {
        attrs: &attrs,
        link: Some(Link {
            trace_id: [1; 16],
            span_id: [2; 8],
        }),
        points: &[Point { time: 9, value: 20 }],
    };
    builder.sample(&frames, &[20], about);
    let profile = builder.finish();
    let series = |content: u8| LogSeries {
        labels: vec![LogLabel {
            name: NAME_LABEL.to_owned(),
            value: "process_cpu".to_owned(),
        }],
        profile: pack(&profile).into(),
        content: vec![content; 16].into(),
        ..LogSeries::default()
    };
    let entry = Entry {
        encoding: Encoding::Packed,
        tables: vec![pack_tables(&profile.tables).into()],
        series: vec![series(1), series(2)],
        ..plain(Vec::new())
    };
    entry.encode()
}

fn entry(step: u32) -> Vec<u8> {
    let spec = Spec {
        samples: 3,
        ..Spec::default()
    };
    let generator = Generator::new(spec);
    let labels: Labels = generator.labels(0, 0);
    let named = std::iter::once((NAME_LABEL, "process_cpu")).chain(labels.iter());
    let series = LogSeries {
        labels: named
            .map(|(name, value)| LogLabel {
                name: name.to_owned(),
                value: value.to_owned(),
            })
            .collect(),
        profile: encode_gzip(&generator.profile(0, 0, step)).into(),
        ..LogSeries::default()
    };
    let entry = Entry {
        normalized: step > 0,
        ..plain(vec![series])
    };
    entry.encode()
}

fn plain(series: Vec<LogSeries>) -> Entry {
    Entry {
        tenant: TenantId::anonymous(),
        span: Span {
            received: 5,
            from: Some(1),
            until: None,
        },
        encoding: Encoding::Pprof,
        tables: Vec::new(),
        normalized: false,
        kept: Kept::UNSAID,
        series,
    }
}

fn generated() -> Vec<(&'static str, Vec<u8>)> {
    let place = Place {
        writer: WriterId::parse("w").expect("valid"),
        incarnation: 2,
        first: 9,
        nonce: 77,
        made: 1,
    };
    let payloads: Vec<Bytes> = vec![entry(0).into(), Bytes::new(), entry(1).into()];
    let hashes = [vec![1, 2], vec![], vec![u128::MAX]];
    let listed = payloads.iter().zip(hashes);
    let listed = listed.map(|(payload, hashes)| Listed {
        payload_bytes: payload.len() as u32,
        hashes,
    });
    let segment = Header {
        place: place.clone(),
        content: Content::Segment(listed.collect()),
    };
    let fence = Header {
        place,
        content: Content::Fence,
    };
    let segment = any::encode_object(&segment, &payloads).to_vec();
    let mut flipped = segment.clone();
    flipped[68] ^= 2;
    let records = (1..).zip([1, 1, 3]).zip(&payloads);
    let records: Vec<_> = records
        .map(|((lsn, batch), payload)| (lsn, batch, payload.as_ref()))
        .collect();
    let file = any::encode_records(&records);
    let mut damaged = file.clone();
    damaged[40] ^= 1;
    vec![
        ("cut", segment[..segment.len() / 2].to_vec()),
        ("flipped", flipped),
        ("segment", segment),
        ("fence", any::encode_object(&fence, &[]).to_vec()),
        ("file-torn", file[..file.len() - 3].to_vec()),
        ("file-damaged", damaged),
        ("file", file),
        ("file-packed", any::encode_records(&[(1, 1, &packed())])),
    ]
}
