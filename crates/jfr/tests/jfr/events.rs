//! Each event of hand-made chunks means its profile, in both forms of integers.

use cairn_jfr::{Decoded, Options};
use cairn_model::{Limits, Profile};

use crate::writer::{DURATION, START, Writer, id};
use crate::{decode, recordings};

const NOTHING: [i64; 5] = [0; 5];

/// Name, types, period type, totals per column, of every profile.
fn summary(decoded: &Decoded) -> Vec<String> {
    let text = |profile: &Profile, id| profile.str(id).to_owned();
    decoded
        .profiles
        .iter()
        .map(|described| {
            let profile = &described.profile;
            let types = profile.types.iter().zip(recordings::totals(profile));
            let types: Vec<String> = types
                .map(|(t, total)| {
                    format!(
                        "{}/{}={total}",
                        text(profile, t.kind),
                        text(profile, t.unit)
                    )
                })
                .collect();
            let period = profile.period_type;
            format!(
                "{} {} {}/{}={} {}",
                described.name.as_deref().unwrap_or_default(),
                types.join(" "),
                text(profile, period.kind),
                text(profile, period.unit),
                profile.period,
                described.labels[0].1
            )
        })
        .collect()
}

pub(crate) fn frames(profile: &Profile, sample: usize) -> Vec<String> {
    let stack = profile.stack(sample).iter();
    stack
        .map(|location| {
            let [line] = profile.lines(*location) else {
                panic!("one line per location")
            };
            let function = profile.tables.functions[line.function as usize];
            let (name, file) = (profile.str(function.name), profile.str(function.file));
            format!("{name} {file}:{}", line.line)
        })
        .collect()
}

#[test]
fn every_event_means_its_profile() {
    for compressed in [true, false] {
        let mut writer = Writer::usual(compressed);
        writer.setting(id::EXECUTION, "interval", "5000000");
        writer.setting(id::EXECUTION, "wall", "20000000");
        writer.setting(107, "event", "ctimer");
        writer.add(id::EXECUTION, 5, &[1], NOTHING);
        writer.add(id::EXECUTION, 5, &[0], NOTHING);
        writer.add(id::EXECUTION, 5, &[2], NOTHING);
        writer.add(id::WALL_CLOCK, 5, &[1, 3], NOTHING);
        writer.add(id::NEW_TLAB, 5, &[24, 1_000], NOTHING);
        writer.add(id::OUTSIDE_TLAB, 5, &[5_000], NOTHING);
        writer.add(id::ALLOC_SAMPLE, 5, &[700], NOTHING);
        writer.add(id::MONITOR_ENTER, 5, &[3_000], NOTHING);
        writer.add(id::THREAD_PARK, 5, &[4_001], NOTHING);
        writer.add(id::THREAD_PARK, 5, &[-4], NOTHING);
        writer.add(id::LIVE_OBJECT, 5, &[64], NOTHING);
        writer.add(id::MALLOC, 5, &[128], NOTHING);
        writer.add(id::MALLOC, 5, &[256], NOTHING);
        let decoded = decode(&writer.finish()).expect("valid");
        assert_eq!(
            summary(&decoded),
            [
                "process_cpu cpu/nanoseconds=10000000 cpu/nanoseconds=5000000 ctimer",
                "wall wall/nanoseconds=60000000 wall/nanoseconds=20000000 ctimer",
                "memory alloc_in_new_tlab_objects/count=1 alloc_in_new_tlab_bytes/bytes=1000 space/bytes=0 ctimer",
                "memory alloc_outside_tlab_objects/count=1 alloc_outside_tlab_bytes/bytes=5000 space/bytes=0 ctimer",
                "memory alloc_sample_objects/count=1 alloc_sample_bytes/bytes=700 space/bytes=0 ctimer",
                "mutex contentions/count=1 delay/nanoseconds=1500 mutex/count=0 ctimer",
                "block contentions/count=2 delay/nanoseconds=2000 block/count=0 ctimer",
                "memory live/count=1 objects/count=0 ctimer",
                "memory malloc_objects/count=2 malloc_bytes/bytes=384 /=0 ctimer",
            ]
        );
        for described in &decoded.profiles {
            let profile = &described.profile;
            assert_eq!(profile.samples.len(), 1, "equal samples are added up");
            assert_eq!(
                frames(profile, 0),
                ["a.Leaf.work a.Leaf:12", "a.Main.main a.Main:3"]
            );
            assert_eq!((profile.time, profile.duration), (START, DURATION));
        }
        assert_eq!(
            decoded.skipped,
            [("jdk.ExecutionSample".to_owned(), 1)].into()
        );
        assert_eq!((decoded.truncated_stacks, decoded.unnamed_labels), (0, 0));
    }
}

#[test]
fn the_wall_clock_gives_both() {
    let mut writer = Writer::usual(true);
    writer.add(id::EXECUTION, 5, &[1], NOTHING);
    writer.add(id::EXECUTION, 5, &[2], NOTHING);
    writer.add(id::WALL_CLOCK, 5, &[1, 3], NOTHING);
    writer.add(id::WALL_CLOCK, 5, &[2, 4], NOTHING);
    writer.add(id::WALL_CLOCK, 5, &[0, 5], NOTHING);
    // Settings hold wherever they stand in the chunk.
    writer.setting(107, "event", "wall");
    writer.setting(id::EXECUTION, "interval", "1000");
    writer.setting(id::NEW_TLAB, "interval", "77");
    writer.setting(id::NEW_TLAB, "wall", "77");
    let decoded = decode(&writer.finish()).expect("valid");
    assert_eq!(
        summary(&decoded),
        [
            "process_cpu cpu/nanoseconds=4000 cpu/nanoseconds=1000 wall",
            "wall wall/nanoseconds=14000 wall/nanoseconds=1000 wall",
        ]
    );
    assert!(decoded.skipped.is_empty());
}

#[test]
fn without_settings_the_sender_says_the_rate() {
    let mut writer = Writer::usual(true);
    writer.add(id::EXECUTION, 5, &[1], NOTHING);
    // A period of another event, and one that is none.
    writer.setting(id::THREAD_PARK, "period", "1 ms");
    writer.setting(id::EXECUTION, "period", "everyChunk");
    writer.setting(id::EXECUTION, "interval", "0");
    writer.setting(id::THREAD_PARK, "interval", "77");
    let bytes = writer.finish();
    for (sample_rate, period) in [(0, 10_000_000), (100, 10_000_000), (250, 4_000_000)] {
        let options = Options {
            sample_rate,
            ..Options::default()
        };
        let decoded = cairn_jfr::decode(&bytes, None, &options, &Limits::default());
        let profile = &decoded.expect("valid").profiles[0].profile;
        assert_eq!(recordings::totals(profile), [period], "{sample_rate}");
    }
    writer.setting(id::EXECUTION, "period", "20 ms");
    let decoded = decode(&writer.finish()).expect("valid");
    assert_eq!(
        summary(&decoded),
        ["process_cpu cpu/nanoseconds=20000000 cpu/nanoseconds=20000000 itimer"]
    );
}

#[test]
fn settings_hold_in_later_chunks_and_split_by_event() {
    let mut first = Writer::usual(true);
    first.setting(107, "event", "cpu");
    first.setting(id::EXECUTION, "interval", "1000");
    first.add(id::EXECUTION, 5, &[1], NOTHING);
    let mut second = Writer::usual(false);
    second.add(id::EXECUTION, 5, &[1], NOTHING);
    let mut third = second.clone();
    third.setting(107, "event", "itimer");
    let chunks = [first.finish(), second.finish(), third.finish()].concat();
    let decoded = decode(&chunks).expect("valid");
    assert_eq!(
        summary(&decoded),
        [
            "process_cpu cpu/nanoseconds=2000 cpu/nanoseconds=1000 cpu",
            "process_cpu cpu/nanoseconds=1000 cpu/nanoseconds=1000 itimer",
        ]
    );
    let durations = decoded.profiles.iter().map(|d| d.profile.duration);
    assert_eq!(durations.collect::<Vec<_>>(), [2 * DURATION, DURATION]);
}

#[test]
fn what_means_nothing_is_counted() {
    let mut writer = Writer::usual(true);
    writer.class(id::OTHER, "jdk.CPULoad", &[("startTime", id::LONG, "")]);
    writer.stack(6, false, &[]);
    writer.event(id::OTHER, |values| {
        values.long(7);
    });
    writer.event(999, |values| {
        values.raw(b"anything");
    });
    writer.event(999, |_| {});
    writer.add(id::THREAD_PARK, 0, &[1], NOTHING);
    writer.add(id::THREAD_PARK, 6, &[1], NOTHING);
    writer.add(id::THREAD_PARK, 5, &[1], NOTHING);
    writer.setting(107, "version", "3.0");
    let decoded = decode(&writer.finish()).expect("valid");
    let expected = [("[unknown]", 2), ("jdk.CPULoad", 1), ("jdk.ThreadPark", 2)];
    let expected = expected.map(|(name, count)| (name.to_owned(), count));
    assert_eq!(decoded.skipped, expected.into());
    assert_eq!(decoded.profiles.len(), 1);
}

#[test]
fn native_frames_are_bare_symbols() {
    let mut writer = Writer::usual(true);
    writer.method(10, "", "malloc", "()L;");
    writer.method(11, "libjvm.so", "JVM_Sleep", "()L;");
    writer.method(12, "java/lang/Thread", "sleep", "(J)V");
    writer.method(13, "vmlinux", "do_futex", "()L;");
    writer.method(14, "libc++.so", "std::sort<int*>", "()L;");
    writer.method(15, "", "", "");
    let frames_of = [
        (10, 0, 3),
        (11, 0, 3),
        (12, -1, 3),
        (13, 0, 5),
        (14, 0, 4),
        (15, 0, 3),
        (99, 4, 1),
        (1, 12, 2),
    ];
    writer.stack(6, false, &frames_of);
    writer.add(id::LIVE_OBJECT, 6, &[1], NOTHING);
    let decoded = decode(&writer.finish()).expect("valid");
    assert_eq!(
        frames(&decoded.profiles[0].profile, 0),
        [
            "malloc :0",
            "JVM_Sleep libjvm.so:0",
            "java.lang.Thread.sleep java.lang.Thread:0",
            "do_futex vmlinux:0",
            "std::sort<int*> libc++.so:0",
            "[unknown] :0",
            "[unknown] :4",
            "a.Leaf.work a.Leaf:12",
        ]
    );
}

#[test]
fn deep_and_cut_stacks_keep_their_leaves() {
    let mut writer = Writer::usual(true);
    let frames_of: Vec<_> = (1..=4).map(|line| (1, line, 1)).collect();
    writer.stack(6, false, &frames_of);
    writer.stack(7, true, &frames_of[..2]);
    writer.stack(8, true, &frames_of[..3]);
    writer.stack(9, false, &frames_of[..3]);
    for stack in [6, 7, 8, 9] {
        writer.add(id::LIVE_OBJECT, stack, &[1], NOTHING);
    }
    let limits = Limits {
        depth_max: 3,
        ..Limits::default()
    };
    let decoded = cairn_jfr::decode(&writer.finish(), None, &Options::default(), &limits);
    let decoded = decoded.expect("valid");
    let profile = &decoded.profiles[0].profile;
    let leaf = [
        "a.Leaf.work a.Leaf:1",
        "a.Leaf.work a.Leaf:2",
        "[truncated] :0",
    ];
    for sample in 0..3 {
        assert_eq!(frames(profile, sample), leaf, "{sample}");
    }
    assert_eq!(frames(profile, 3)[2], "a.Leaf.work a.Leaf:3");
    assert_eq!(decoded.truncated_stacks, 3);
}
