//! Heaptrack: a real recording, and lines by hand.

use std::collections::BTreeMap;

use cairn_formats::Format;
use cairn_model::{NONE, Profile};

use crate::{one, refused, stack, stacks, total, types};

const WORK: &str = include_str!("../data/heaptrack.work.txt");

/// Strings `main`, `leaf`, `a.c` and `/bin/app`; a stack of both functions, and one that has one
/// more call within `leaf`.
const HEAD: &str = "v 10400 3\nX app\nI 1000 7d09db\n\
    s 4 main\ns 4 leaf\ns 3 a.c\ns 8 /bin/app\n\
    i 55d0 4 1 3 a\ni 55d8 4 2\ni 55e8 4 2 3 b 1 3 c\n\
    t 1 0\nt 2 1\nt 3 1\n";

fn of(lines: &str) -> String {
    format!("{HEAD}{lines}")
}

fn totals(profile: &Profile) -> [i64; 4] {
    [0, 1, 2, 3].map(|column| total(profile, column))
}

/// File, line and module of each frame, leaf first.
fn places(profile: &Profile, sample: usize) -> Vec<(&str, i64, &str)> {
    let stack = profile.stack(sample).iter();
    let place = |location: &u32| {
        let line = profile.lines(*location)[0];
        let file = profile.tables.functions[line.function as usize].file;
        let mapping = profile.tables.locations[*location as usize].mapping;
        let module = match mapping {
            NONE => "",
            mapping => profile.str(profile.tables.mappings[mapping as usize].file),
        };
        (profile.str(file), line.line, module)
    };
    stack.map(place).collect()
}

#[test]
fn a_real_recording_keeps_its_sums() {
    let (profile, decoded) = one(Format::Heaptrack, WORK);
    assert_eq!(decoded.profiles[0].name.as_deref(), Some("memory"));
    let expected = [
        ("alloc_objects", "count"),
        ("alloc_space", "bytes"),
        ("inuse_objects", "count"),
        ("inuse_space", "bytes"),
    ];
    assert_eq!(types(&profile), expected);
    let period = profile.period_type;
    let period = (profile.str(period.kind), profile.str(period.unit));
    assert_eq!((period, profile.period), (("space", "bytes"), 1));
    assert_eq!((profile.time, profile.duration), (0, 0));
    // What heaptrack itself prints.
    let [allocated, bytes, in_use, bytes_in_use] = totals(&profile);
    assert_eq!((allocated, bytes_in_use), (2_016, 62_554));
    let hex = |word: &str| usize::from_str_radix(word, 16).expect("a number");
    let lines = |letter| {
        WORK.lines()
            .filter_map(move |line| line.strip_prefix(letter))
    };
    let sizes: Vec<usize> = lines("a ")
        .map(|line| hex(line.split(' ').next().unwrap_or("")))
        .collect();
    let sum: usize = lines("+ ").map(|line| sizes[hex(line)]).sum();
    assert_eq!(bytes, sum as i64);
    assert_eq!(in_use, 2_016 - lines("- ").count() as i64);
    let skipped = [
        ("lines about the process and the time", 4),
        ("comment lines", 3),
    ];
    assert_eq!(decoded.skipped, skipped);
}

#[test]
fn a_real_recording_keeps_its_stacks() {
    let (profile, _) = one(Format::Heaptrack, WORK);
    let root = "_start;__libc_start_main_impl;__libc_start_call_main;main;";
    let mut own: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (stack, values) in stacks(&profile) {
        if let Some(stack) = stack.strip_prefix(root) {
            own.insert(stack.to_owned(), values);
        }
    }
    // Of 1000 rounds half are inlined, and every tenth is of these.
    assert_eq!(own["churn(int);block(unsigned long)"], [500, 50_000, 0, 0]);
    let inlined = "churn(int);twice;block(unsigned long)";
    assert_eq!(own[inlined], [500, 100_000, 100, 20_000]);
    let deep = format!("{}{inlined}", "descend(int);".repeat(21));
    assert_eq!(own[&deep], [50, 10_000, 10, 2_000]);
    let sample = (0..profile.samples.len())
        .find(|sample| stack(&profile, *sample) == format!("{root}{inlined}"))
        .expect("it is there");
    let (file, module) = ("/srv/example/work.cpp", "/srv/example/work");
    let places = places(&profile, sample);
    let lines: Vec<i64> = places[..4].iter().map(|(_, line, _)| *line).collect();
    assert_eq!(lines, [15, 18, 23, 40]);
    assert!(places[..4].iter().all(|at| (at.0, at.2) == (file, module)));
    assert_eq!(places[5].2, "/lib/x86_64-linux-gnu/libc.so.6");
}

#[test]
fn older_versions_say_the_same() {
    let (expected, _) = one(Format::Heaptrack, WORK);
    for version in ["10200", "10000 1", "10100 2"] {
        let lines = WORK.lines().map(|line| match line.split_once(' ') {
            Some(("v", _)) => format!("v {version}"),
            Some(("s", text)) => format!("s {}", text.split_once(' ').expect("a length").1),
            _ => line.to_owned(),
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        assert_eq!(one(Format::Heaptrack, text).0, expected, "{version}");
    }
}

#[test]
fn frees_are_taken_off() {
    let lines = "a 10 2\na 8 3\na 0 1\n+ 0\n+ 0\n+ 0\n- 0\n+ 1\n- 1\n- 1\n+ 2\nc 5\nR 9\nA\n";
    let (profile, decoded) = one(Format::Heaptrack, of(lines));
    let expected = [
        ("main", vec![1, 0, 1, 0]),
        ("main;leaf", vec![3, 48, 2, 32]),
        ("main;main;leaf", vec![1, 8, 0, 0]),
    ];
    let expected = expected.map(|(stack, values)| (stack.to_owned(), values));
    assert_eq!(stacks(&profile), BTreeMap::from(expected));
    let skipped = [
        ("lines about the process and the time", 5),
        ("frees of what is not in use", 1),
    ];
    assert_eq!(decoded.skipped, skipped);
    let inlined = (0..3).find(|sample| stack(&profile, *sample) == "main;main;leaf");
    let module = "/bin/app";
    assert_eq!(
        places(&profile, inlined.expect("it is there")),
        [
            ("a.c", 11, module),
            ("a.c", 12, module),
            ("a.c", 10, module)
        ]
    );
}

#[test]
fn what_is_not_known_has_a_name_that_says_so() {
    let lines = "i 1 0\ni 1 4\ni 1 4 0 3 7\nt 4 1\nt 5 4\nt 6 5\nt 0 6\na 1 7\n+ 0\na 2 0\n+ 1\n";
    let (profile, decoded) = one(Format::Heaptrack, of(lines));
    let expected = [
        ("", vec![1, 2, 1, 2]),
        ("main;[unknown];[unknown];[unknown]", vec![1, 1, 1, 1]),
    ];
    let expected = expected.map(|(stack, values)| (stack.to_owned(), values));
    assert_eq!(stacks(&profile), BTreeMap::from(expected));
    let (deep, module) = (profile.stack(1), "/bin/app");
    assert_eq!(deep.len(), 4);
    assert_eq!(
        places(&profile, 1)[..3],
        [("a.c", 7, module), ("", 0, module), ("", 0, "")]
    );
    assert_eq!(decoded.skipped[1], ("frames without an address", 1));
}

#[test]
fn code_at_other_addresses_is_the_same_stack() {
    let lines = "i 99 4 2\nt 4 1\na 1 2\na 1 4\n+ 0\n+ 1\n";
    let (profile, _) = one(Format::Heaptrack, of(lines));
    assert_eq!(stacks(&profile)["main;leaf"], [2, 2, 2, 2]);
    assert_eq!(profile.samples.len(), 1);
}

#[test]
fn raw_files_are_told_apart() {
    for line in ["x c /srv/example/work\nX ./work\n", "m 1 -\n"] {
        assert_eq!(
            refused(Format::Heaptrack, format!("v 10400 3\n{line}")),
            "failed to parse profile: it is a raw file of heaptrack, without names; make one with \
             names of it: zstd -dc FILE.raw.zst | heaptrack_interpret | zstd > FILE.zst"
        );
    }
}

#[test]
fn lines_that_are_not_of_heaptrack_are_refused_by_number() {
    for (line, reason) in [
        ("t 1", "line 14: a number is missing"),
        ("t 1 g", "line 14: \"g\" is no hexadecimal number"),
        ("t  1", "line 14: \"\" is no hexadecimal number"),
        (
            "+ 11112222333344445",
            "line 14: \"11112222333344445\" is no hexadecimal number",
        ),
        ("s 5 four", "line 14: the string is shorter than it says"),
        ("s", "line 14: the string is shorter than it says"),
        ("? 1", "line 14: \"? 1\" is no line of heaptrack"),
        (
            "v 10400 4",
            "files of version 4 of heaptrack are not read, only those of 1 to 3",
        ),
        (
            "v 10300",
            "files of version 0 of heaptrack are not read, only those of 1 to 3",
        ),
    ] {
        let refusal = refused(Format::Heaptrack, of(line));
        assert_eq!(refusal, format!("failed to parse profile: {reason}"));
    }
    for (line, reason) in [
        ("i 1 5", "line 14 refers to string 5, but there are 4"),
        ("i 1 4 1 10", "line 14 refers to string 10, but there are 4"),
        ("t 4 1", "line 14 refers to instruction 4, but there are 3"),
        ("t 1 4", "line 14 refers to trace 4, but there are 3"),
        (
            "a 1 ffffffffffffffff",
            "line 14 refers to trace ffffffffffffffff, but there are 3",
        ),
        ("+ 0", "line 14 refers to allocation 0, but there are 0"),
        ("- 0", "line 14 refers to allocation 0, but there are 0"),
        ("a ffffffffffffffff 1", "line 14: the size is too large"),
        (
            "a 7fffffffffffffff 1\n+ 0\n+ 0",
            "what a stack allocates is too large",
        ),
        (
            "a 7fffffffffffffff 1\na 1 1\n+ 0\n+ 1",
            "what a stack allocates is too large",
        ),
    ] {
        let refusal = refused(Format::Heaptrack, of(line));
        assert_eq!(refusal, format!("invalid profile: {reason}"));
    }
    for (text, reason) in [
        ("", "it is empty"),
        ("# only this\n", "it is empty"),
        (
            "s 4 main\n",
            "line 1: \"s 4 main\" comes before a version, so it is not of heaptrack",
        ),
    ] {
        let refusal = refused(Format::Heaptrack, text);
        assert_eq!(refusal, format!("failed to parse profile: {reason}"));
    }
}
