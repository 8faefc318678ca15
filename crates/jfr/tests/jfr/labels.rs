//! Labels of contexts, and what events say about requests.

use cairn_jfr::{Decoded, LabelsSnapshot, Options, labels_snapshot};
use cairn_model::{AttrValue, Limits, Link};

use crate::writer::{Writer, id};

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(field: u64, value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, field << 3);
    varint(&mut out, value.cast_unsigned());
    out
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, field << 3 | 2);
    varint(&mut out, value.len() as u64);
    out.extend_from_slice(value);
    out
}

fn context(key: i64, labels: &[(i64, i64)]) -> Vec<u8> {
    let labels: Vec<Vec<u8>> = labels
        .iter()
        .map(|(name, value)| bytes(1, &[number(1, *name), number(2, *value)].concat()))
        .collect();
    bytes(1, &[number(1, key), bytes(2, &labels.concat())].concat())
}

fn string(key: i64, text: &str) -> Vec<u8> {
    bytes(2, &[number(1, key), bytes(2, text.as_bytes())].concat())
}

fn snapshot(parts: &[Vec<u8>]) -> LabelsSnapshot {
    labels_snapshot(&parts.concat(), &Limits::default()).expect("valid")
}

fn decode(writer: &Writer, snapshot: &LabelsSnapshot) -> Decoded {
    let options = Options::default();
    cairn_jfr::decode(
        &writer.finish(),
        Some(snapshot),
        &options,
        &Limits::default(),
    )
    .expect("valid")
}

/// The attributes and the link of each sample of the only profile.
fn samples(decoded: &Decoded) -> Vec<(String, Option<Link>)> {
    let [described] = &*decoded.profiles else {
        panic!("one profile")
    };
    let profile = &described.profile;
    (0..profile.samples.len())
        .map(|sample| {
            let attrs = profile.samples.attrs(sample).iter().map(|attr| {
                let AttrValue::Str(value) = attr.value else {
                    panic!("a string")
                };
                format!("{}={}", profile.str(attr.key), profile.str(value))
            });
            let link = profile.samples.link(sample);
            let link = link.map(|link| profile.tables.links[link as usize]);
            (attrs.collect::<Vec<_>>().join(" "), link)
        })
        .collect()
}

const SPAN: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];

fn link(trace_id: [u8; 16], span_id: [u8; 8]) -> Option<Link> {
    Some(Link { trace_id, span_id })
}

#[test]
fn contexts_give_samples_their_labels() {
    let mut writer = Writer::usual(true);
    for context in [0, 1, 2, 3, 4, 1] {
        writer.add(id::MALLOC, 5, &[8], [context, 0, 0, 0, 0]);
    }
    let snapshot = snapshot(&[
        string(10, "region"),
        string(11, "eu"),
        string(12, "us"),
        string(13, "profile_id"),
        string(14, "0123456789abcdef"),
        string(15, "span_name"),
        string(16, "GET /cart"),
        string(17, "not an id"),
        string(18, ""),
        context(1, &[(10, 11), (15, 16)]),
        context(2, &[(13, 14), (10, 12)]),
        context(3, &[(13, 17), (18, 11), (10, 18)]),
        // Unknown fields, and a context whose strings are not all there.
        bytes(9, b"later"),
        context(4, &[(10, 99), (98, 11), (15, 16)]),
    ]);
    let decoded = decode(&writer, &snapshot);
    let expected = [
        ("", None),
        ("region=eu span_name=GET /cart", None),
        ("region=us", link([0; 16], SPAN)),
        ("profile_id=not an id", None),
        ("span_name=GET /cart", None),
    ];
    assert_eq!(
        samples(&decoded),
        expected.map(|(attrs, link)| (attrs.to_owned(), link))
    );
    assert_eq!(decoded.unnamed_labels, 2);
    assert_eq!(
        decoded.profiles[0].profile.samples.values,
        [1, 8, 2, 16, 1, 8, 1, 8, 1, 8]
    );
}

#[test]
fn events_name_spans_and_traces() {
    let mut writer = Writer::usual(false);
    let span = i64::from_be_bytes(SPAN);
    for correlation in [
        [0, span, 0, 0, 0],
        [0, span, 16, 1, -1],
        [1, 0, 16, 0, 0],
        [0, 0, 77, 0, 0],
    ] {
        writer.add(id::EXECUTION, 5, &[1], correlation);
    }
    let snapshot = snapshot(&[
        string(10, "span_name"),
        string(11, "of the context"),
        string(16, "GET /cart"),
        context(1, &[(10, 11)]),
    ]);
    let decoded = decode(&writer, &snapshot);
    let mut trace = [0xff; 16];
    trace[..8].copy_from_slice(&1_u64.to_be_bytes());
    let expected = [
        ("", link([0; 16], SPAN)),
        ("span_name=GET /cart", link(trace, SPAN)),
        ("span_name=GET /cart", None),
        ("", None),
    ];
    assert_eq!(
        samples(&decoded),
        expected.map(|(attrs, link)| (attrs.to_owned(), link))
    );
    assert_eq!(decoded.unnamed_labels, 1);
}

#[test]
fn broken_and_oversized_snapshots_are_refused() {
    let limits = Limits {
        label_value_bytes_max: 4,
        sample_labels_max: 2,
        profile_bytes_max: 200,
        ..Limits::default()
    };
    let refused = |parts: &[Vec<u8>]| {
        let error = labels_snapshot(&parts.concat(), &limits).expect_err("refused");
        error.to_string()
    };
    assert_eq!(
        refused(&[string(1, "12345")]),
        "invalid recording: a label: more than label_value_bytes_max=4"
    );
    assert_eq!(
        refused(&[context(1, &[(1, 1), (2, 2), (3, 3)])]),
        "invalid recording: labels of a context: more than sample_labels_max=2"
    );
    assert_eq!(
        refused(&[vec![0; 201]]),
        "invalid recording: its labels' bytes: more than profile_bytes_max=200"
    );
    let whole = [string(1, "1234"), context(1, &[(1, 1)])].concat();
    assert!(labels_snapshot(&whole, &limits).is_ok());
    assert_eq!(
        refused(&[whole[..whole.len() - 1].to_vec()]),
        "failed to parse recording: labels: unexpected end of a message"
    );
    assert_eq!(
        refused(&[vec![0x0b]]),
        "failed to parse recording: labels: a wire type that does not exist"
    );
}

#[test]
fn long_names_of_labels_are_refused() {
    let mut writer = Writer::usual(true);
    writer.add(id::MALLOC, 5, &[8], [1, 0, 0, 0, 0]);
    let snapshot = snapshot(&[string(1, "region"), context(1, &[(1, 1)])]);
    let limits = Limits {
        label_name_bytes_max: 5,
        ..Limits::default()
    };
    let error = cairn_jfr::decode(
        &writer.finish(),
        Some(&snapshot),
        &Options::default(),
        &limits,
    );
    assert_eq!(
        error.expect_err("refused").to_string(),
        "invalid recording: a label's name: more than label_name_bytes_max=5"
    );
}
