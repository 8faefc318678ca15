use std::time::Duration;

use cairn_model::Profile;
use cairn_pprof::encode_gzip;
use cairn_store::Store;
use cairn_testkit::generator::{Generator, Spec};
use cairn_wire::cairn::ingest::v1::{LogLabel, LogSeries};

use super::*;
use crate::testing::{World, writer};
use crate::{
    DurableLog as _, Encoding, Kept, Lease, LogReader, NAME_LABEL, ObjectLog, Payload, Span,
};

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).expect("valid")
}

fn sent(step: u32) -> Profile {
    let spec = Spec {
        samples: 5,
        ..Spec::default()
    };
    Generator::new(spec).profile(0, 0, step)
}

fn payload(name: &str, step: u32) -> Payload {
    let labels = [(NAME_LABEL, "process_cpu"), ("service_name", "shop")];
    let series = LogSeries {
        labels: labels
            .map(|(name, value)| LogLabel {
                name: name.to_owned(),
                value: value.to_owned(),
            })
            .into(),
        profile: encode_gzip(&sent(step)).into(),
        ..LogSeries::default()
    };
    let broken = LogSeries {
        profile: "no profile".into(),
        ..series.clone()
    };
    let entry = Entry {
        tenant: tenant(name),
        span: Span {
            received: 5,
            from: Some(1),
            until: None,
        },
        encoding: Encoding::Pprof,
        tables: Vec::new(),
        normalized: false,
        kept: Kept::UNSAID,
        series: match step {
            0 => vec![series, broken],
            _ => vec![series],
        },
    };
    Payload {
        bytes: entry.encode(),
        hashes: Vec::new(),
    }
}

/// The segments `a b | a | b`.
fn segments() -> Vec<Segment> {
    let world = World::new(1);
    let store = Store::memory();
    let lease = Lease::new(world.instant() + Duration::from_secs(60));
    let mut log = ObjectLog::new(store.clone(), (writer(), 1), lease, world.outside());
    let groups = [
        vec![payload("a", 1), payload("b", 2)],
        vec![payload("a", 3)],
        vec![payload("b", 0)],
    ];
    for group in groups {
        world.run(log.append(group, 0)).expect("stored");
    }
    let reader = LogReader::new(store, writer(), 1);
    world.run(async {
        let mut segments = Vec::new();
        for segment in &reader.segments(0).await.expect("listed").segments {
            segments.push(reader.read(segment).await.expect("read"));
        }
        segments
    })
}

/// Numbers of the entries that a head has rows of.
fn lsns(head: &Head) -> Vec<Lsn> {
    let mut lsns: Vec<_> = head.index().profiles.iter().map(|row| row.lsn).collect();
    lsns.dedup();
    lsns
}

fn by_tenant(all: &BTreeMap<TenantId, Head>) -> Vec<(&str, Vec<Lsn>)> {
    all.iter()
        .map(|(id, head)| (id.as_str(), lsns(head)))
        .collect()
}

#[test]
fn entries_become_rows_of_their_tenants_with_their_numbers() {
    let mut heads = Heads::new(0);
    assert_eq!(heads.stretch(), None);
    for segment in &segments() {
        heads.fill(segment).expect("in order");
    }
    assert_eq!(heads.stretch(), Some((1, 4)));
    assert_eq!(heads.unreadable(), 1);
    assert!(heads.bytes() > 0);
    let all = heads.take_all();
    assert_eq!(by_tenant(&all), [("a", vec![1, 3]), ("b", vec![2, 4])]);
    let first = &all[&tenant("a")].index().profiles[0];
    assert_ne!(first.batch, 0, "the push says when it is from");
    assert_eq!(heads.stretch(), None, "the next stretch begins");
}

#[test]
fn stretches_follow_each_other_also_within_a_segment() {
    let segments = segments();
    let mut heads = Heads::new(1);
    heads.fill(&segments[0]).expect("it holds 2");
    assert_eq!(heads.stretch(), Some((2, 2)));
    assert_eq!(by_tenant(&heads.take_all()), [("b", vec![2])]);
    heads.fill(&segments[0]).expect("nothing is new");
    assert_eq!(heads.stretch(), None);
    let error = heads.fill(&segments[2]).expect_err("3 is missing");
    assert!(error.to_string().contains("3 should come first"), "{error}");
    heads.fill(&segments[1]).expect("in order");
    assert_eq!(heads.stretch(), Some((3, 3)));
}

#[test]
fn one_tenant_can_be_asked_for_alone() {
    let mut heads = Heads::of(tenant("b"), 0);
    for segment in &segments() {
        heads.fill(segment).expect("in order");
    }
    assert_eq!(heads.stretch(), Some((1, 4)));
    assert_eq!(by_tenant(&heads.take_all()), [("b", vec![2, 4])]);
}
