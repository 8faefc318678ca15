//! The text of `perf script`.

use cairn_formats::Format;

use crate::{attrs, decode, one, pairs, refused, singles, stack, stacks, types};

const TEXT: &str = "\
# captured on some day
Web Content 100/101 [002] 10.000001:   1000 cpu-clock:u:
\t  10 in_b+0x1 (inlined)
\t  10 in_a+0x2 (inlined)
\t  10 work(int, (x))+0x10 (/bin/app)
\t  20 [unknown] (/lib/libc.so.6)
\t  30 [unknown] ([unknown])
\t  main.c:12

         other  7 [000] 9.5: 500 cpu-clock:u:

Web Content 100/101 [002] 11.5: 2000 cpu-clock:u:
\t  10 in_b+0x7 (inlined)
\t  10 in_a+0x8 (inlined)
\t  17 work(int, (x))+0x17 (/bin/app)
\t  20 [unknown] (/lib/libc.so.6)
\t  30 [unknown] ([unknown])

Web Content 100/101 [002] 12.0: 3 cycles: ffffffff81 do_it+0x5 ([kernel.kallsyms])
Web Content 100/101 [002] 12.5: sched:sched_switch: prev_comm=x prev_pid=7
";

#[test]
fn events_become_profiles() {
    let decoded = decode(Format::PerfScript, TEXT).expect("it is valid");
    let labels: Vec<_> = decoded
        .profiles
        .iter()
        .map(|one| one.labels[0].clone())
        .collect();
    let label = |name: &str| ("event".to_owned(), name.to_owned());
    assert_eq!(
        labels,
        [
            label("cpu-clock:u"),
            label("cycles"),
            label("sched:sched_switch")
        ]
    );
    let [clock, cycles, switch] = [0, 1, 2].map(|at| &decoded.profiles[at].profile);
    assert_eq!(types(clock), [("samples", "count"), ("cpu", "nanoseconds")]);
    let ours: Vec<_> = stacks(clock).into_iter().collect();
    let deep = "?@30;/lib/libc.so.6@20;work(int, (x));in_a;in_b";
    let expected = [("", vec![1, 500]), (deep, vec![2, 3_000])];
    assert_eq!(
        ours,
        expected.map(|(stack, values)| (stack.to_owned(), values))
    );
    assert_eq!(
        attrs(clock, 0),
        ["thread_name=Web Content", "pid:100", "tid:101"]
    );
    assert_eq!(attrs(clock, 1), ["thread_name=other", "tid:7"]);
    // From 9.5 to 11.5 seconds.
    assert_eq!((clock.time, clock.duration), (0, 2_000_000_000));
    assert_eq!(types(cycles), [("samples", "count")]);
    assert_eq!(singles(cycles), pairs(&[("do_it", 1)]));
    assert_eq!(singles(switch), pairs(&[("", 1)]));
    let skipped = [
        ("comment lines", 1),
        ("lines of stacks that are no frames", 1),
        ("details of events", 1),
        ("periods of events that are no clocks", 1),
    ];
    let mut ours = decoded.skipped.clone();
    ours.sort_unstable();
    let mut skipped = skipped.to_vec();
    skipped.sort_unstable();
    assert_eq!(ours, skipped);
}

#[test]
fn inlined_frames_are_lines_of_their_caller() {
    let decoded = decode(Format::PerfScript, TEXT).expect("it is valid");
    let profile = &decoded.profiles[0].profile;
    let location = profile.stack(0)[0];
    let names: Vec<&str> = profile
        .lines(location)
        .iter()
        .map(|line| profile.str(profile.tables.functions[line.function as usize].name))
        .collect();
    assert_eq!(names, ["in_b", "in_a", "work(int, (x))"]);
    let location = profile.tables.locations[location as usize];
    let file = profile.tables.mappings[location.mapping as usize].file;
    assert_eq!(profile.str(file), "/bin/app");
    assert_eq!(profile.stack(0).len(), 3);
}

#[test]
fn equal_stacks_of_different_threads_stay_apart() {
    let text = "a 1 1.0: cycles:\n\t1 f (/x)\n\nb 2 1.0: cycles:\n\t1 f (/x)\n\na 1 2.0: cycles:\n\t2 f (/x)\n";
    let (profile, _) = one(Format::PerfScript, text);
    assert_eq!(profile.samples.len(), 2);
    assert_eq!((profile.values(0), profile.values(1)), (&[2][..], &[1][..]));
    assert_eq!(
        (stack(&profile, 0), stack(&profile, 1)),
        ("f".to_owned(), "f".to_owned())
    );
}

#[test]
fn samples_that_cannot_be_read_are_refused_by_line() {
    for (text, reason) in [
        (
            "hello\n",
            "failed to parse profile: line 1: \"hello\" begins no sample",
        ),
        (
            "\n\n  12 f (/x)\n",
            "failed to parse profile: line 3: \"12 f (/x)\" begins no sample",
        ),
        (
            "a 1 1.0: cycles:\nb 2.0: cycles:\n",
            "failed to parse profile: line 2: \"b 2.0: cycles:\" begins no sample",
        ),
        (
            "a 1 1.0: 5 cpu-clock:\n\na 1 1.0: cpu-clock:\n",
            "invalid profile: line 3: the sample has no period, but others of its event have",
        ),
        (
            "a 1 1.0: cpu-clock:\n\na 1 1.0: 5 cpu-clock:\n",
            "invalid profile: line 3: the sample has a period, but others of its event have none",
        ),
        (
            "a 1 1.0: 9223372036854775808 cpu-clock:\n",
            "invalid profile: line 1: the period is too large",
        ),
        (
            "a 1 1.0: 9223372036854775807 cpu-clock:\n\na 1 1.0: 1 cpu-clock:\n",
            "invalid profile: line 3: the sum is too large",
        ),
    ] {
        assert_eq!(refused(Format::PerfScript, text), reason);
    }
    assert_eq!(decode(Format::PerfScript, "").expect("empty").profiles, []);
}
