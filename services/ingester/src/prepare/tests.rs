//! A profile is the same row and the same batch whatever way it took.

use cairn_model::{About, Attr, AttrValue, Described, Point, ProfileBuilder};
use cairn_testkit::generator::{Generator, Spec};
use cairn_wal::Digest;

use super::*;
use crate::push::Door;
use crate::route::testing::{parts, passed_on};

/// Two profiles with the same tables, and one with its own.
fn push() -> Push {
    let mut builder = ProfileBuilder::default();
    builder.value_type("cpu", "nanoseconds");
    builder.set_period("cpu", "nanoseconds", 10);
    builder.set_time(1_700_000_000_000_000_000, 5);
    let (main, work) = (builder.frame("main"), builder.frame("work"));
    let (key, text) = (builder.str("thread"), builder.str("gc"));
    let value = AttrValue::Str(text);
    let points = [Point {
        time: 1_700_000_000_000_000_001,
        value: 20,
    }];
    let about = About {
        attrs: &[Attr { key, value }],
        points: &points,
        ..About::default()
    };
    builder.sample(&[work, main], &[20], about);
    let first = builder.finish();
    let mut second = first.clone();
    second.samples.values = vec![40];
    second.samples.points[0].value = 40;
    let mut builder = ProfileBuilder::default();
    builder.value_type("samples", "count");
    builder.sample(&[], &[1], About::default());
    let third = builder.finish();
    let sent = Digest::of(&[b"a request"]);
    let series = |(place, profile): (usize, Profile)| {
        let described = Described {
            name: Some("process_cpu".to_owned()),
            labels: vec![("service_name".to_owned(), format!("s{place}"))],
            profile,
        };
        Series::decoded(described, sent, place)
    };
    let profiles = [first, second, third];
    Push {
        tenant: TenantId::anonymous(),
        door: Door::Otlp,
        sender: Default::default(),
        received: 7,
        from: None,
        until: None,
        normalized: true,
        series: profiles.into_iter().enumerate().map(series).collect(),
        tables: Vec::new(),
    }
}

fn rules() -> Rules {
    Rules {
        skew_max: Duration::MAX,
        ..Rules::new(&Config::default())
    }
}

/// Labels, batch, time, and samples as texts, by service.
fn rows(rows: impl IntoIterator<Item = Row>) -> Vec<String> {
    let one = |row: Row| {
        let stack = |sample| -> Vec<String> {
            let lines = row.profile.stack(sample).iter();
            let lines = lines.flat_map(|location| row.profile.lines(*location));
            let name = |function: u32| row.profile.tables.functions[function as usize].name;
            lines
                .map(|line| row.profile.str(name(line.function)).to_owned())
                .collect()
        };
        let samples = &row.profile.samples;
        let sample = |at| {
            let attrs = samples.attrs(at).iter();
            let attrs: Vec<&str> = attrs.map(|attr| row.profile.str(attr.key)).collect();
            let (values, points) = (row.profile.values(at), samples.points(at));
            format!("{:?} {values:?} {attrs:?} {points:?}", stack(at))
        };
        let samples: Vec<String> = (0..samples.len()).map(sample).collect();
        let (labels, batch, time) = (&row.labels, row.batch, row.time);
        format!("{labels:?} {} {batch:x} {time} {samples:?}", row.name)
    };
    let mut rows: Vec<String> = rows.into_iter().map(one).collect();
    rows.sort();
    rows
}

/// The rows now, and those after the log was read again.
fn both(push: Push) -> [Vec<String>; 2] {
    let prepared = prepare(push, &rules());
    assert!(prepared.refused.is_empty(), "{:?}", prepared.refused);
    let mut ready = prepared.ready;
    let entry = Entry::decode(&ready.take_payload().bytes).expect("as encoded");
    let again = entry.rows().into_iter();
    let again = rows(again.map(|row| row.expect("readable")));
    [rows(ready.items.into_iter().map(|item| item.row)), again]
}

#[test]
fn rows_and_batches_are_the_same_after_replay_and_over_other_ingesters() {
    let [now, again] = both(push());
    assert_eq!(now.len(), 3);
    assert_eq!(now, again);
    let batches: Vec<bool> = now
        .iter()
        .map(|row| row.contains("process_cpu 0 "))
        .collect();
    assert_eq!(batches, [false, false, true], "{now:?}");
    // Sent again, and split among three owners.
    let mut passed: Vec<String> = Vec::new();
    for part in parts(push(), &[0, 1, 2]) {
        let [now, again] = both(passed_on(part));
        assert_eq!(now, again);
        passed.extend(now);
    }
    passed.sort();
    assert_eq!(passed, now);
}

#[test]
fn parts_have_only_their_own_tables() {
    let whole = prepare(push(), &rules()).ready;
    let parts = parts(push(), &[0, 1, 1]);
    let tables = |push: Push| -> usize {
        let ready = prepare(push, &rules()).ready;
        ready.tables.iter().map(Bytes::len).sum()
    };
    let sizes: Vec<usize> = parts.into_iter().map(passed_on).map(tables).collect();
    assert_eq!((sizes.len(), whole.tables.len()), (2, 2));
    assert!(sizes[0] < sizes[1], "{sizes:?}");
}

#[test]
fn bytes_are_about_those_that_the_log_keeps() {
    let generator = Generator::new(Spec::default());
    let described = Described {
        name: Some("process_cpu".to_owned()),
        labels: Vec::new(),
        profile: generator.profile(0, 0, 0),
    };
    let push = Push {
        series: vec![Series::decoded(described, Digest::of(&[]), 0)],
        ..push()
    };
    let said = [push.bytes(), push.series[0].bytes()];
    let ready = prepare(push, &rules()).ready;
    let logged = &ready.items[0].logged;
    let kept = logged.profile.len() + ready.tables[0].len();
    for said in said {
        assert!((kept / 2..kept * 2).contains(&said), "{said} of {kept}");
    }
}

#[test]
fn limits_hold_for_what_other_ingesters_decoded() {
    let refused = |change: fn(&mut Limits)| -> Vec<String> {
        let mut rules = rules();
        change(&mut rules.limits);
        let [part] = <[_; 1]>::try_from(parts(push(), &[0, 0, 0])).expect("one owner");
        let refused = prepare(passed_on(part), &rules).refused;
        refused.into_iter().map(|refusal| refusal.reason).collect()
    };
    for (change, name, count) in [
        (
            (|limits| limits.samples_max = 0) as fn(&mut Limits),
            "samples_max=0",
            2,
        ),
        (
            |limits| limits.string_bytes_max = 7,
            "string_bytes_max=7",
            2,
        ),
        (
            |limits| limits.sample_labels_max = 0,
            "sample_labels_max=0",
            2,
        ),
        (
            |limits| limits.sample_types_max = 0,
            "sample_types_max=0",
            3,
        ),
    ] {
        let refused = refused(change);
        assert_eq!(refused.len(), count, "{refused:?}");
        assert!(
            refused.iter().all(|reason| reason.contains(name)),
            "{refused:?}"
        );
    }
    assert!(refused(|_| {}).is_empty());
}
