use cairn_model::{About, ProfileBuilder, TRUNCATED_FRAME};
use cairn_pprof::encode;

use super::*;
use crate::{pack, pack_tables};

#[test]
fn hashes_tell_parts_apart_and_stay_what_they_are() {
    let of = |parts: &[&[u8]]| {
        let mut hash = Hash::default();
        parts.iter().for_each(|part| hash.part(part));
        hash.finish()
    };
    let all = [
        of(&[]),
        of(&[b""]),
        of(&[b"", b""]),
        of(&[b"ab"]),
        of(&[b"a", b"b"]),
        of(&[b"ab\0"]),
        of(&[&[7; 16]]),
        of(&[&[7; 17]]),
        of(&[&[7; 32]]),
    ];
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    assert_eq!(of(&[b"a profile", &[7; 100]]), GOLDEN);
}

/// Blocks hold hashes: this number never changes.
const GOLDEN: u128 = 0x9f05_b768_c62a_077a_eb16_71cf_a945_0401;

/// Two samples of value 1 with a stack of `depth` frames.
fn deep(depth: usize) -> Profile {
    let mut builder = ProfileBuilder::default();
    builder.value_type("samples", "count");
    let frame = builder.frame("work");
    let stack = vec![frame; depth];
    for _ in 0..2 {
        builder.sample(&stack, &[1], About::default());
    }
    builder.finish()
}

fn entry(encoding: Encoding, kept: Kept, profile: &[u8], tables: Vec<Bytes>) -> Entry {
    let name = LogLabel {
        name: NAME_LABEL.to_owned(),
        value: "process_cpu".to_owned(),
    };
    Entry {
        tenant: TenantId::anonymous(),
        span: Span {
            received: 5,
            from: Some(1),
            until: None,
        },
        encoding,
        tables,
        normalized: true,
        kept,
        series: vec![LogSeries {
            labels: vec![name],
            profile: profile.to_vec().into(),
            ..LogSeries::default()
        }],
    }
}

fn reread(entry: Entry) -> Profile {
    let read = Entry::decode(&entry.encode()).expect("it is one");
    let row = read.rows().pop().expect("it has one profile");
    row.expect("readable").profile
}

#[test]
fn pprof_is_cut_as_when_it_was_acknowledged() {
    let sent = encode(&deep(5));
    for samples_max in [1, 2, usize::MAX] {
        for depth_max in [2, 5] {
            let limits = Limits {
                depth_max,
                samples_max,
                ..Limits::default()
            };
            let then = Decoder::default().decode(&sent, &limits, &Options::default());
            let kept = Kept::from(&limits);
            let now = reread(entry(Encoding::Pprof, kept, &sent, Vec::new()));
            assert_eq!(now, then.expect("valid").profile);
        }
    }
}

#[test]
fn packed_profiles_stay_as_they_are() {
    let profile = deep(5);
    let kept = Kept {
        depth_max: 1,
        samples_max: 1,
    };
    let tables = vec![pack_tables(&profile.tables).into()];
    let entry = entry(Encoding::Packed, kept, &pack(&profile), tables);
    assert_eq!(reread(entry), profile);
}

/// Two samples with stacks of 2,049 frames, from before entries said what they kept.
const GOLDEN_1: &[u8] = include_bytes!("../../tests/golden/entry-1");

#[test]
fn entries_that_do_not_say_what_they_kept_kept_this() {
    let earlier = Entry::decode(GOLDEN_1).expect("it is one");
    assert_eq!(earlier.kept, Kept::UNSAID);
    let rows = earlier.rows();
    let profile = &rows[0].as_ref().expect("readable").profile;
    assert_eq!(profile.samples.values, [1, 1]);
    for sample in 0..2 {
        assert_eq!(profile.stack(sample).len(), 2_048);
    }
    assert!(
        profile
            .tables
            .strings
            .iter()
            .any(|text| text == TRUNCATED_FRAME)
    );
}

/// Whatever later versions write, they still must read this.
const GOLDEN_2: &[u8] = include_bytes!("../../tests/golden/entry-2");

#[test]
fn entries_say_what_they_keep() {
    let kept = Kept {
        depth_max: 3,
        samples_max: 1,
    };
    let read = Entry::decode(GOLDEN_2).expect("it is one");
    assert_eq!(read.kept, kept);
    assert_eq!(
        entry(Encoding::Pprof, kept, b"pprof", Vec::new()).encode(),
        GOLDEN_2
    );
}

/// The same for packed profiles: `deep(2)`.
const GOLDEN_3: &[u8] = include_bytes!("../../tests/golden/entry-3");

#[test]
fn packed_entries_hold_their_tables() {
    let kept = Kept {
        depth_max: 3,
        samples_max: 5,
    };
    let tables = vec![pack_tables(&deep(2).tables).into()];
    let mut made = entry(Encoding::Packed, kept, &pack(&deep(2)), tables);
    made.series[0].content = vec![7; 16].into();
    let hashes: Vec<u128> = made.hashes().collect();
    let made = made.encode();
    assert_eq!(made, GOLDEN_3);
    let read = Entry::decode(GOLDEN_3).expect("it is one");
    assert_eq!(read.hashes().collect::<Vec<_>>(), hashes);
    let row = read
        .rows()
        .pop()
        .expect("it has one profile")
        .expect("readable");
    assert_eq!(row.profile, deep(2));
}

#[test]
fn requests_and_places_have_contents_of_their_own() {
    let of = |request: &[u8], place| Digest::of(&[request]).at(place);
    let all = [of(b"a", 0), of(b"a", 1), of(b"b", 0), of(b"", 0)];
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    assert_eq!(of(b"a", 1), all[1]);
}
