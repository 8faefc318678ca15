//! Speedscope's JSON.

use cairn_formats::{Format, Unit};
use cairn_model::Limits;

use crate::{decode, one, pairs, refused, singles, total, types};

const FRAMES: &str = r#""shared":{"x":1,"frames":[{"name":"a","file":"a.py","line":3,"col":4},{"name":"b"},
    {"name":"c","file":null,"line":null,"col":null,"y":[{}]}]}"#;

fn file(profiles: &str) -> String {
    format!(r#"{{"$schema":"s","profiles":[{profiles}],{FRAMES},"exporter":"x"}}"#)
}

fn sampled(unit: &str, samples: &str, weights: &str) -> String {
    file(&format!(
        r#"{{"type":"sampled","unit":"{unit}","samples":{samples},"weights":{weights},"name":""}}"#
    ))
}

/// Events as kind, frame and time.
fn evented(events: &[(&str, i64, &str)], end: &str) -> String {
    let events = events
        .iter()
        .map(|(kind, frame, at)| format!(r#"{{"at":{at},"type":"{kind}","frame":{frame}}}"#));
    let events = events.collect::<Vec<_>>().join(",");
    file(&format!(
        r#"{{"events":[{events}],"type":"evented","unit":"milliseconds","name":"t","startValue":1,"endValue":{end}}}"#
    ))
}

#[test]
fn sampled_stacks_have_their_root_first() {
    let text = sampled("none", "[[0,1],[],[0,1,2],[0,1],[1]]", "[1,2,4.0,8,0]");
    let (profile, decoded) = one(Format::Speedscope, &text);
    assert_eq!(
        singles(&profile),
        pairs(&[("", 2), ("a;b", 9), ("a;b;c", 4)])
    );
    assert_eq!(types(&profile), [("samples", "count")]);
    assert_eq!(decoded.profiles[0].labels, []);
    assert_eq!(decoded.skipped, [("stacks with a weight of zero", 1)]);
    let function = profile.tables.functions[0];
    assert_eq!(
        (profile.str(function.name), profile.str(function.file)),
        ("a", "a.py")
    );
    assert_eq!(
        (profile.tables.lines[0].line, profile.tables.lines[0].column),
        (3, 4)
    );
    assert_eq!(profile.str(profile.tables.functions[1].file), "");
}

#[test]
fn units_become_ours() {
    for (unit, weight, kind, ours, value) in [
        ("seconds", "0.1", "wall", "nanoseconds", 100_000_000),
        ("milliseconds", "0.1", "wall", "nanoseconds", 100_000),
        ("microseconds", "1.0005", "wall", "nanoseconds", 1_001),
        ("nanoseconds", "7", "wall", "nanoseconds", 7),
        ("bytes", "7", "space", "bytes", 7),
        ("none", "7", "samples", "count", 7),
    ] {
        let (profile, _) = one(
            Format::Speedscope,
            sampled(unit, "[[0]]", &format!("[{weight}]")),
        );
        assert_eq!(types(&profile), [(kind, ours)]);
        assert_eq!(total(&profile, 0), value);
    }
    let unit = Unit {
        kind: "cpu".to_owned(),
        unit: "nanoseconds".to_owned(),
        scale: 1_000,
        ..Unit::default()
    };
    for (text, kind) in [("seconds", "cpu"), ("bytes", "space"), ("none", "samples")] {
        let text = sampled(text, "[[0]]", "[1]");
        let limits = Limits::default();
        let decoded = cairn_formats::decode(Format::Speedscope, text.as_bytes(), &unit, &limits);
        let decoded = decoded.expect("it is valid");
        assert_eq!(types(&decoded.profiles[0].profile)[0].0, kind);
    }
}

#[test]
fn events_give_each_stack_its_own_time() {
    let events = [
        ("O", 0, "1"),
        ("O", 1, "2"),
        ("C", 1, "4.5"),
        ("O", 1, "5"),
        ("O", 2, "5"),
        ("C", 2, "9"),
        ("C", 1, "9"),
        ("C", 0, "10"),
        ("O", 2, "12"),
        ("C", 2, "13"),
    ];
    let (profile, decoded) = one(Format::Speedscope, evented(&events, "20"));
    let expected = [
        ("a", 2_500_000),
        ("a;b", 2_500_000),
        ("a;b;c", 4_000_000),
        ("c", 1_000_000),
    ];
    assert_eq!(singles(&profile), pairs(&expected));
    // From 1 to 10 and from 12 to 13.
    assert_eq!(total(&profile, 0), 10_000_000);
    assert_eq!(profile.duration, 19_000_000);
    assert_eq!(
        decoded.profiles[0].labels,
        [("profile_name".to_owned(), "t".to_owned())]
    );
    assert!(decoded.skipped.is_empty());
}

#[test]
fn frames_that_never_close_last_until_the_end() {
    let (profile, decoded) = one(
        Format::Speedscope,
        evented(&[("O", 0, "1"), ("O", 1, "3")], "10"),
    );
    assert_eq!(
        singles(&profile),
        pairs(&[("a", 2_000_000), ("a;b", 7_000_000)])
    );
    assert_eq!(decoded.skipped, [("ends of frames that never close", 2)]);
}

#[test]
fn events_that_do_not_match_are_refused_by_number() {
    for (events, reason) in [
        (
            &[("C", 0, "1")][..],
            "event 0 of profile 0 closes frame 0, but none is open",
        ),
        (
            &[("O", 0, "1"), ("O", 1, "1"), ("C", 0, "2")],
            "event 2 of profile 0 closes frame 0, but frame 1 is the innermost open one",
        ),
        (
            &[("O", 0, "2"), ("C", 0, "1")],
            "event 1 of profile 0 is earlier than the event before",
        ),
        (
            &[("O", 0, "1"), ("C", 0, "2"), ("O", 0, "1")],
            "event 2 of profile 0 is earlier than the event before",
        ),
        (
            &[("O", 0, "30")],
            "the end of profile 0 is earlier than the event before",
        ),
        (
            &[("O", 3, "1")],
            "event 0 of profile 0 refers to frame 3, but there are 3",
        ),
        (
            &[("O", -1, "1")],
            "event 0 of profile 0 refers to frame -1, but there are 3",
        ),
        (
            &[("O", 0, "1e30")],
            "the time of event 0 of profile 0 has more than 64 bits",
        ),
    ] {
        let refusal = refused(Format::Speedscope, evented(events, "20"));
        assert_eq!(refusal, format!("invalid profile: {reason}"));
    }
    assert_eq!(
        refused(Format::Speedscope, evented(&[("X", 0, "1")], "20")),
        "failed to parse profile: event 0 of profile 0 must have a type, O or C, a frame and a time"
    );
}

#[test]
fn contained_profiles_are_told_apart() {
    let one = r#"{"type":"sampled","unit":"none","samples":[[0]],"weights":[1]}"#;
    let named = r#"{"type":"sampled","name":"x","unit":"none","samples":[[1]],"weights":[2]}"#;
    let text = file(&format!("{one},{named},{one}"));
    let decoded = decode(Format::Speedscope, text).expect("it is valid");
    let names: Vec<_> = decoded
        .profiles
        .iter()
        .map(|one| one.labels[0].1.as_str())
        .collect();
    assert_eq!(names, ["1", "x", "3"]);
    let stacks: Vec<_> = decoded
        .profiles
        .iter()
        .map(|one| singles(&one.profile))
        .collect();
    assert_eq!(
        stacks,
        [pairs(&[("a", 1)]), pairs(&[("b", 2)]), pairs(&[("a", 1)])]
    );
    assert_eq!(
        decode(Format::Speedscope, file(""))
            .expect("valid")
            .profiles,
        []
    );
}

#[test]
fn what_is_no_speedscope_is_refused() {
    for (text, reason) in [
        (
            sampled("none", "[[0]]", "[1,2]"),
            "profile 0 has not as many weights as samples",
        ),
        (
            sampled("none", "[[0],[0]]", "[1]"),
            "profile 0 has not as many weights as samples",
        ),
        (
            sampled("none", "[[0]]", "[]"),
            "profile 0 has not as many weights as samples",
        ),
        (
            sampled("none", "[[0]]", "[-1]"),
            "the weight of sample 0 of profile 0 is negative",
        ),
        (
            sampled("bytes", "[[0],[0]]", "[1,1.5]"),
            "the weight of sample 1 of profile 0 must be whole and have at most 64 bits",
        ),
        (
            sampled("none", "[[3]]", "[1]"),
            "sample 0 of profile 0 refers to frame 3, but there are 3",
        ),
        (
            sampled("none", "[[4294967296]]", "[1]"),
            "sample 0 of profile 0 refers to frame 4294967296, but there are 3",
        ),
        (
            sampled("none", "[[0],[0]]", "[9223372036854775807,1]"),
            "a sum of profile 0 is too large",
        ),
        (
            evented(&[], "0"),
            "startValue and endValue of profile 0 are no stretch of time",
        ),
    ] {
        assert_eq!(
            refused(Format::Speedscope, text),
            format!("invalid profile: {reason}")
        );
    }
}

#[test]
fn what_lacks_a_member_is_refused() {
    for (text, reason) in [
        (
            "{}".to_owned(),
            "it has no shared.frames or no profiles, so it is not of speedscope",
        ),
        (
            sampled("hours", "[]", "[]"),
            "the unit \"hours\" of profile 0 is no unit of speedscope",
        ),
        (
            file(r#"{"type":"x","unit":"none"}"#),
            "the type \"x\" of profile 0 is neither sampled nor evented",
        ),
        (
            file(r#"{"type":"sampled","unit":"none","samples":[]}"#),
            "profile 0 is sampled, but has no samples or no weights",
        ),
        (
            file(r#"{"type":"evented","unit":"none"}"#),
            "profile 0 is evented, but has no events",
        ),
        (
            r#"{"profiles":[],"shared":{"frames":[{"file":"x"}]}}"#.to_owned(),
            "frame 0 has no name",
        ),
        (
            format!("{}x", file("")),
            "JSON: the end is expected at byte 191, not \"x\"",
        ),
    ] {
        assert_eq!(
            refused(Format::Speedscope, text),
            format!("failed to parse profile: {reason}")
        );
    }
}
