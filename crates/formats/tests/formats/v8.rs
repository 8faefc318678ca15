//! V8's CPU and heap profiles.

use cairn_formats::Format;

use crate::{decode, one, pairs, refused, singles, stacks, types};

const NODES: &str = r#""nodes":[
    {"id":10,"callFrame":{"functionName":"(root)","url":"","lineNumber":-1,"columnNumber":-1},"children":[20,40]},
    {"id":30,"callFrame":{"functionName":"","url":"b.js","lineNumber":6,"columnNumber":0},"hitCount":2},
    {"id":20,"callFrame":{"functionName":"main","url":"a.js","lineNumber":0,"columnNumber":9},"hitCount":1,
     "children":[30],"positionTicks":[{"line":1,"ticks":1}]},
    {"id":40,"callFrame":{"functionName":"(idle)"},"children":null,"deoptReason":"x"}]"#;

fn cpu(rest: &str) -> String {
    format!("{{{NODES}{rest}}}")
}

#[test]
fn a_sample_lasts_until_the_next() {
    let text = cpu(
        r#","startTime":1000,"endTime":1100,"samples":[20,30,40,30],"timeDeltas":[10,20,30,25]"#,
    );
    let (profile, decoded) = one(Format::CpuProfile, text);
    assert_eq!(
        types(&profile),
        [("samples", "count"), ("wall", "nanoseconds")]
    );
    let ours: Vec<_> = stacks(&profile).into_iter().collect();
    let expected = [
        ("(idle)", vec![1, 25_000]),
        ("main", vec![1, 20_000]),
        ("main;(anonymous)", vec![2, 45_000]),
    ];
    assert_eq!(
        ours,
        expected.map(|(stack, values)| (stack.to_owned(), values))
    );
    assert_eq!((profile.time, profile.duration), (0, 100_000));
    assert_eq!(decoded.skipped, [("tables of lines within functions", 1)]);
    let main = profile.tables.functions[0];
    assert_eq!(
        (profile.str(main.name), profile.str(main.file)),
        ("main", "a.js")
    );
    assert_eq!(main.start_line, 1);
    let lines: Vec<_> = profile
        .tables
        .lines
        .iter()
        .map(|line| (line.line, line.column))
        .collect();
    assert_eq!(lines, [(1, 10), (0, 0), (7, 1)]);
}

#[test]
fn samples_out_of_order_are_put_in_order() {
    let text = cpu(r#","startTime":0,"endTime":100,"samples":[20,30,40],"timeDeltas":[50,-40,70]"#);
    let (profile, _) = one(Format::CpuProfile, text);
    let ours: Vec<_> = stacks(&profile).into_iter().collect();
    // Taken at 50, 10 and 80.
    let expected = [
        ("(idle)", vec![1, 20_000]),
        ("main", vec![1, 30_000]),
        ("main;(anonymous)", vec![1, 40_000]),
    ];
    assert_eq!(
        ours,
        expected.map(|(stack, values)| (stack.to_owned(), values))
    );
}

#[test]
fn hits_count_where_there_are_no_samples() {
    let (profile, _) = one(Format::CpuProfile, cpu(""));
    assert_eq!(types(&profile), [("samples", "count")]);
    assert_eq!(
        singles(&profile),
        pairs(&[("main", 1), ("main;(anonymous)", 2)])
    );
    let (profile, _) = one(Format::CpuProfile, cpu(r#","samples":[10,30]"#));
    assert_eq!(types(&profile), [("samples", "count")]);
    // Samples at the root itself keep its name; others do without.
    assert_eq!(
        singles(&profile),
        pairs(&[("(root)", 1), ("main;(anonymous)", 1)])
    );
    let (profile, _) = one(Format::CpuProfile, cpu(r#","samples":[],"timeDeltas":[]"#));
    assert_eq!(profile.samples.len(), 0);
}

#[test]
fn callers_may_be_named_by_those_they_call() {
    let text = r#"{"nodes":[{"id":2,"parent":1,"callFrame":{"functionName":"b"},"hitCount":4},
        {"id":1,"callFrame":{"functionName":"a"}}]}"#;
    let (profile, _) = one(Format::CpuProfile, text);
    assert_eq!(singles(&profile), pairs(&[("a;b", 4)]));
}

#[test]
fn older_files_nest_their_nodes() {
    let text = r#"{"typeId":"CPU","head":{"children":[
        {"functionName":"x","url":"u.js","lineNumber":5,"columnNumber":2,"hitCount":1,"id":2,"children":[
            {"functionName":"y","hitCount":3,"id":3,"children":[]}]},
        {"functionName":"z","hitCount":0,"id":4}],
        "functionName":"(root)","hitCount":0,"id":1},
        "startTime":10,"endTime":12.5,"samples":[2,3,4],"timestamps":[10000000,11000000,12000000]}"#;
    let (profile, _) = one(Format::CpuProfile, text);
    let ours: Vec<_> = stacks(&profile).into_iter().collect();
    let expected = [
        ("x", vec![1, 1_000_000_000]),
        ("x;y", vec![1, 1_000_000_000]),
        ("z", vec![1, 500_000_000]),
    ];
    assert_eq!(
        ours,
        expected.map(|(stack, values)| (stack.to_owned(), values))
    );
    assert_eq!(profile.duration, 2_500_000_000);
    assert!(
        profile
            .tables
            .lines
            .iter()
            .any(|line| (line.line, line.column) == (5, 2))
    );
}

#[test]
fn heap_profiles_sum_their_nodes() {
    let text = r#"{"head":{"callFrame":{"functionName":"(root)"},"selfSize":0,"id":1,"children":[
        {"children":[{"selfSize":7,"callFrame":{"functionName":"b"},"children":[]},
                     {"selfSize":0,"callFrame":{"functionName":"idle"}},
                     {"selfSize":5,"callFrame":{"functionName":"b"}}],
         "selfSize":9,"callFrame":{"functionName":"a"}}]},"samples":[{},{}]}"#;
    let (profile, decoded) = one(Format::HeapProfile, text);
    assert_eq!(types(&profile), [("inuse_space", "bytes")]);
    assert_eq!(singles(&profile), pairs(&[("a", 9), ("a;b", 12)]));
    assert_eq!(decoded.profiles[0].name.as_deref(), Some("memory"));
    assert_eq!(
        decoded.skipped,
        [("samples of a heap profile beside its sums", 2)]
    );
}

#[test]
fn depth_costs_no_stack() {
    for depth in [2_000, 200_000] {
        let node =
            |name: &str, own: &str| format!(r#"{{"functionName":"{name}",{own},"children":["#);
        let mut heap = r#"{"head":"#.to_owned();
        let mut cpu = heap.clone();
        for _ in 1..depth {
            heap += &node("f", "\"selfSize\":0");
            cpu += &node("f", "\"hitCount\":0");
        }
        heap += r#"{"functionName":"leaf","selfSize":3}"#;
        cpu += r#"{"functionName":"leaf","hitCount":3}"#;
        let end = "]}".repeat(depth - 1) + "}";
        for (format, text) in [
            (Format::HeapProfile, heap + &end),
            (Format::CpuProfile, cpu + &end),
        ] {
            let (profile, decoded) = one(format, text);
            assert_eq!(profile.values(0), [3]);
            assert_eq!(profile.stack(0).len(), depth.min(2_048));
            assert_eq!(decoded.truncated_stacks, u64::from(depth > 2_048));
        }
    }
    let open = r#"{"head":{"children":["#.to_owned() + &r#"{"children":["#.repeat(100_000);
    assert!(decode(Format::HeapProfile, open).is_err());
}

#[test]
fn what_is_no_profile_of_v8_is_refused() {
    let a = r#""callFrame":{"functionName":"a"}"#;
    for (text, reason) in [
        (
            "{}".to_owned(),
            "failed to parse profile: it has no nodes and no head, so it is no CPU profile",
        ),
        (
            cpu(r#","samples":[20,21]"#),
            "invalid profile: sample 1 refers to node id 21, which is none",
        ),
        (
            cpu(r#","samples":[20],"timeDeltas":[1,2]"#),
            "invalid profile: there are 1 samples, but 2 times",
        ),
        (
            cpu(r#","startTime":2,"endTime":1"#),
            "invalid profile: startTime and endTime are no stretch of time",
        ),
        (
            cpu(r#","samples":[20],"timeDeltas":[-9223372036854775807],"endTime":9"#),
            "invalid profile: a time is too large",
        ),
        (
            format!(r#"{{"nodes":[{{"id":1,{a},"children":[2]}}]}}"#),
            "invalid profile: node 0 refers to node id 2, which is none",
        ),
        (
            format!(r#"{{"nodes":[{{"id":1,{a}}},{{"id":1,{a}}}]}}"#),
            "invalid profile: two nodes have the id 1",
        ),
        (
            format!(r#"{{"nodes":[{{"id":1,{a},"children":[2]}},{{"id":2,{a},"children":[1]}}]}}"#),
            "invalid profile: its nodes call each other in a circle",
        ),
        (
            format!(r#"{{"nodes":[{{"id":1,{a},"children":[1]}}]}}"#),
            "invalid profile: its nodes call each other in a circle",
        ),
        (
            format!(
                r#"{{"nodes":[{{"id":1,{a},"children":[3]}},{{"id":2,{a},"children":[3]}},{{"id":3,{a}}}]}}"#
            ),
            "invalid profile: node 2 has two callers",
        ),
        (
            format!(r#"{{"nodes":[{{{a}}}]}}"#),
            "failed to parse profile: node 0 has no id",
        ),
        (
            r#"{"nodes":[{"id":1}]}"#.to_owned(),
            "failed to parse profile: node 0 has no functionName",
        ),
        (
            format!(r#"{{"nodes":[{{"id":1,"hitCount":-1,{a}}}]}}"#),
            "invalid profile: the hitCount of node 0 is negative",
        ),
    ] {
        assert_eq!(refused(Format::CpuProfile, text), reason);
    }
    assert_eq!(
        refused(Format::HeapProfile, "{}"),
        "failed to parse profile: it has no head, so it is no heap profile"
    );
    assert_eq!(
        refused(Format::HeapProfile, format!(r#"{{"head":{{{a}}}}}"#)),
        "failed to parse profile: node 0 has no selfSize"
    );
}
