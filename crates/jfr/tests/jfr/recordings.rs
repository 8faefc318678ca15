//! Real recordings, against what the JDK's own reader says of them.
//!
//! `tests/data/jdk*.jfr.gz` are recordings of a small program of ours by OpenJDK 17 and 25; the
//! numbers are sums over `jfr print --json --stack-depth 64`.

use std::collections::BTreeMap;
use std::io::Read;

use cairn_jfr::{Decoded, Options};
use cairn_model::{Described, Limits, Profile};

use crate::decode;

pub(crate) fn read(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    let packed = std::fs::read(path).expect("the recording is there");
    let mut plain = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(&*packed);
    reader.read_to_end(&mut plain).expect("it is gzip");
    plain
}

/// What a profile should be: totals per column, events with a stack, frames of all events, and
/// the commonest function at the leaf with its line and its events.
struct Expected {
    profile: &'static str,
    totals: &'static [i64],
    leaf: (&'static str, i64, i64),
}

fn title(described: &Described) -> String {
    let profile = &described.profile;
    let types = profile.types.iter().map(|t| profile.str(t.kind));
    let types: Vec<&str> = types.collect();
    let name = described.name.as_deref().expect("named");
    format!("{name}:{}", types.join("+"))
}

pub(crate) fn totals(profile: &Profile) -> Vec<i64> {
    let mut totals = vec![0; profile.types.len()];
    for sample in 0..profile.samples.len() {
        for (total, value) in totals.iter_mut().zip(profile.values(sample)) {
            *total += value;
        }
    }
    totals
}

/// First values by name and line of the leaf.
fn leaves(profile: &Profile) -> BTreeMap<(String, i64), i64> {
    let mut leaves = BTreeMap::new();
    for sample in 0..profile.samples.len() {
        let line = profile.lines(profile.stack(sample)[0])[0];
        let name = profile.str(profile.tables.functions[line.function as usize].name);
        *leaves.entry((name.to_owned(), line.line)).or_default() += profile.values(sample)[0];
    }
    leaves
}

fn check(decoded: &Decoded, expected: &[Expected], times: i64) {
    let titles: Vec<String> = decoded.profiles.iter().map(title).collect();
    let expected_titles: Vec<&str> = expected.iter().map(|e| e.profile).collect();
    assert_eq!(titles, expected_titles);
    for (described, expected) in decoded.profiles.iter().zip(expected) {
        let what = expected.profile;
        assert_eq!(described.labels, [("jfr_event".into(), "itimer".into())]);
        let totals = totals(&described.profile);
        assert_eq!(totals.len(), expected.totals.len(), "{what}");
        for (column, (total, expected)) in totals.iter().zip(expected.totals).enumerate() {
            // The JDK's reader turns ticks into nanoseconds by floating point.
            let slack = if column == 1 && what.ends_with("delay") {
                100
            } else {
                0
            };
            assert!(
                (total - expected * times).abs() <= slack * times,
                "{what}: {totals:?}"
            );
        }
        let (leaf, line, count) = expected.leaf;
        let found = leaves(&described.profile)[&(leaf.to_owned(), line)];
        assert_eq!(found, count * times, "{what}");
    }
}

fn of_jdk_17() -> Vec<Expected> {
    let expected = |profile, totals, leaf| Expected {
        profile,
        totals,
        leaf,
    };
    vec![
        expected(
            "process_cpu:cpu",
            &[510_000_000],
            ("Work.hash", 7, 420_000_000),
        ),
        expected(
            "memory:alloc_in_new_tlab_objects+alloc_in_new_tlab_bytes",
            &[1_240, 634_074_192],
            ("java.util.HashMap.newNode", 1901, 228),
        ),
        expected(
            "memory:alloc_outside_tlab_objects+alloc_outside_tlab_bytes",
            &[2_294, 4_574_135_008],
            ("Work.lambda$main$1", 14, 2_287),
        ),
        expected(
            "memory:alloc_sample_objects+alloc_sample_bytes",
            &[62, 5_119_785_440],
            ("Work.lambda$main$1", 14, 54),
        ),
        expected(
            "mutex:contentions+delay",
            &[17, 1_188_721_073],
            ("Work.locked", 10, 17),
        ),
        expected(
            "block:contentions+delay",
            &[57, 1_192_382_817],
            ("jdk.internal.misc.Unsafe.park", 0, 57),
        ),
    ]
}

#[test]
fn jdk_17_means_what_its_own_reader_says() {
    let bytes = read("jdk17.jfr.gz");
    let decoded = decode(&bytes).expect("valid");
    check(&decoded, &of_jdk_17(), 1);
    let skipped = [
        ("jdk.ActiveRecording".to_owned(), 1),
        ("jdk.ObjectAllocationInNewTLAB".to_owned(), 4),
    ];
    assert_eq!(decoded.skipped, BTreeMap::from(skipped));
    let cpu = &decoded.profiles[0].profile;
    assert_eq!(
        (cpu.str(cpu.period_type.kind), cpu.period),
        ("cpu", 10_000_000)
    );
    // 2026-11-26 06:32:25 UTC, and a length of 1 s after rounding down.
    assert_eq!(cpu.time / 1_000_000_000, 1_795_674_745);
    assert_eq!(cpu.duration / 1_000_000_000, 1);
}

#[test]
fn stacks_cut_by_the_jdk_are_counted_and_marked() {
    let decoded = decode(&read("jdk17.jfr.gz")).expect("valid");
    let cpu = &decoded.profiles[0].profile;
    let mut marked = 0;
    let mut samples = 0;
    for sample in 0..cpu.samples.len() {
        let root = *cpu.stack(sample).last().expect("not empty");
        let function = cpu.lines(root)[0].function;
        if cpu.str(cpu.tables.functions[function as usize].name) == "[truncated]" {
            assert_eq!(cpu.stack(sample).len(), 65);
            marked += cpu.values(sample)[0] / 10_000_000;
            samples += 1;
        }
    }
    assert_eq!(marked, 26);
    assert_eq!(decoded.truncated_stacks, samples);
}

#[test]
fn jdk_25_means_what_its_own_reader_says() {
    let expected = |profile, totals, leaf| Expected {
        profile,
        totals,
        leaf,
    };
    let expected = [
        expected(
            "process_cpu:cpu",
            &[560_000_000],
            ("Work.hash", 7, 420_000_000),
        ),
        expected(
            "memory:alloc_in_new_tlab_objects+alloc_in_new_tlab_bytes",
            &[1_751, 646_266_560],
            ("java.util.HashMap.newNode", 1910, 391),
        ),
        expected(
            "memory:alloc_outside_tlab_objects+alloc_outside_tlab_bytes",
            &[2_629, 4_933_273_304],
            ("Work.lambda$main$1", 14, 2_465),
        ),
        expected(
            "memory:alloc_sample_objects+alloc_sample_bytes",
            &[75, 5_531_436_992],
            ("Work.lambda$main$1", 14, 42),
        ),
        expected(
            "mutex:contentions+delay",
            &[13, 1_199_464_306],
            ("Work.locked", 10, 13),
        ),
        expected(
            "block:contentions+delay",
            &[52, 1_163_140_781],
            ("jdk.internal.misc.Unsafe.park", 0, 52),
        ),
    ];
    check(&decode(&read("jdk25.jfr.gz")).expect("valid"), &expected, 1);
}

#[test]
fn chunks_of_one_kind_become_one_profile() {
    let once = read("jdk17.jfr.gz");
    let twice = [&*once, &*once].concat();
    let decoded = decode(&twice).expect("valid");
    check(&decoded, &of_jdk_17(), 2);
    let single = decode(&once).expect("valid");
    for (both, one) in decoded.profiles.iter().zip(&single.profiles) {
        assert_eq!(both.profile.time, one.profile.time);
        assert_eq!(both.profile.duration, 2 * one.profile.duration);
        assert_eq!(both.profile.tables.functions, one.profile.tables.functions);
    }
}

#[test]
fn threads_are_told_on_request() {
    let options = Options {
        threads: true,
        ..Options::default()
    };
    let bytes = read("jdk17.jfr.gz");
    let decoded = cairn_jfr::decode(&bytes, None, &options, &Limits::default()).expect("valid");
    check(&decoded, &of_jdk_17(), 1);
    let mutex = &decoded.profiles[4].profile;
    let mut names: Vec<&str> = (0..mutex.samples.len())
        .map(|sample| {
            let [attr] = mutex.samples.attrs(sample) else {
                panic!("one attribute")
            };
            assert_eq!(mutex.str(attr.key), "thread");
            let cairn_model::AttrValue::Str(name) = attr.value else {
                panic!("a string")
            };
            mutex.str(name)
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names, ["lock-1", "lock-2"]);
}
