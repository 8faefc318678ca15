//! Folded stacks and lines.

use cairn_formats::{Format, Unit};
use cairn_model::Limits;

use crate::{one, pairs, refused, singles, total, types};

#[test]
fn stacks_are_read_from_the_root_and_summed() {
    let text = "main;work item;leaf 3\nmain 4\r\n\nmain;work item;leaf\t5  \n# a remark\nmain;idle 0\n;x;;y; 7";
    let (profile, decoded) = one(Format::Folded, text);
    let expected = [("main", 4), ("main;work item;leaf", 8), ("x;y", 7)];
    assert_eq!(singles(&profile), pairs(&expected));
    assert_eq!(types(&profile), [("samples", "count")]);
    // Leaf first.
    let names: Vec<&str> = profile
        .stack(1)
        .iter()
        .map(|at| {
            profile.str(profile.tables.functions[profile.lines(*at)[0].function as usize].name)
        })
        .collect();
    assert_eq!(names, ["leaf", "work item", "main"]);
    let skipped = [
        ("blank lines", 1),
        ("comment lines", 1),
        ("stacks with a count of zero", 1),
        ("frames without a name", 3),
    ];
    assert_eq!(decoded.skipped, skipped);
    assert_eq!((decoded.truncated_stacks, decoded.replaced_strings), (0, 0));
    assert_eq!((profile.time, profile.duration, profile.period), (0, 0, 0));
}

#[test]
fn nothing_is_no_stacks() {
    for format in [Format::Folded, Format::Lines] {
        let (profile, decoded) = one(format, "");
        assert_eq!(profile.samples.len(), 0);
        assert_eq!(types(&profile), [("samples", "count")]);
        assert!(decoded.skipped.is_empty());
    }
}

#[test]
fn stacks_that_begin_alike_stay_apart() {
    let text =
        "a;b 1\na;bc 2\na;b;c 4\na 8\na;b 16\nab 32\na; 64\na;b;c;d 128\na;b;c 256\na;x;c 512";
    let (profile, _) = one(Format::Folded, text);
    let expected = [
        ("a", 72),
        ("a;b", 17),
        ("a;b;c", 260),
        ("a;b;c;d", 128),
        ("a;bc", 2),
        ("a;x;c", 512),
        ("ab", 32),
    ];
    assert_eq!(singles(&profile), pairs(&expected));
}

#[test]
fn lines_count_one_each() {
    let (profile, decoded) = one(Format::Lines, "a;b\na\n\na;b\r\n#\na;b 7\n");
    assert_eq!(
        singles(&profile),
        pairs(&[("a", 1), ("a;b", 2), ("a;b 7", 1)])
    );
    assert_eq!(decoded.skipped, [("blank lines", 1), ("comment lines", 1)]);
}

#[test]
fn values_mean_what_the_receiver_says() {
    let unit = Unit {
        kind: "cpu".to_owned(),
        unit: "nanoseconds".to_owned(),
        scale: 10_000_000,
        period_type: ("cpu".to_owned(), "nanoseconds".to_owned()),
        period: 10_000_000,
    };
    for (format, text) in [(Format::Folded, "a 3"), (Format::Lines, "a\na\na")] {
        let decoded = cairn_formats::decode(format, text.as_bytes(), &unit, &Limits::default());
        let profile = &decoded.expect("it is valid").profiles[0].profile;
        assert_eq!(singles(profile), pairs(&[("a", 30_000_000)]));
        assert_eq!(types(profile), [("cpu", "nanoseconds")]);
        assert_eq!(profile.period, 10_000_000);
        assert_eq!(profile.str(profile.period_type.kind), "cpu");
    }
    let large = format!("a {}", i64::MAX / 1_000_000);
    let error = cairn_formats::decode(Format::Folded, large.as_bytes(), &unit, &Limits::default());
    assert_eq!(
        error.expect_err("too large").to_string(),
        "invalid profile: line 1: its value is too large"
    );
}

#[test]
fn a_long_line_loses_nothing() {
    let deep: Vec<String> = (0..2_000)
        .map(|at| format!("com.example.deeply.nested.package.name.Frame{at}.invoke"))
        .collect();
    let deep = deep.join(";");
    assert!(deep.len() > 64 << 10);
    let wide = "w".repeat(1 << 20);
    let text = format!("a 1\n{deep} 2\nb 4\n{wide} 8\nc 16\n");
    let (profile, _) = one(Format::Folded, &text);
    let mut expected = pairs(&[("a", 1), (&deep, 2), ("b", 4), (&wide, 8), ("c", 16)]);
    expected.sort();
    assert_eq!(singles(&profile), expected);
    assert_eq!(total(&profile, 0), 31);
    let refusal = refused(Format::Folded, format!("a 1\nx;{wide}w 1"));
    assert_eq!(
        refusal,
        "invalid profile: a frame of line 2 has 1048577 bytes: more than string_bytes_max=1048576"
    );
}

#[test]
fn lines_that_cannot_be_counted_are_refused_by_number() {
    for (line, reason) in [
        ("a;b", "no count after the stack \"a;b\""),
        ("12", "no count after the stack \"12\""),
        (" 12 ", "no count after the stack \"12\""),
        ("a 1.5", "the count \"1.5\" is no whole number"),
        ("a 1e3", "the count \"1e3\" is no whole number"),
        ("a +1", "the count \"+1\" is no whole number"),
        ("a -", "the count \"-\" is no whole number"),
        ("a 0x10", "the count \"0x10\" is no whole number"),
        (
            "a -5",
            "the count \"-5\" is negative, as only differences of profiles are",
        ),
        (
            "a 9223372036854775808",
            "the count \"9223372036854775808\" is too large",
        ),
        (
            "a 99999999999999999999999",
            "the count \"99999999999999999999999\" is too large",
        ),
    ] {
        let refusal = refused(Format::Folded, format!("ok 1\n\n{line}\nok 2"));
        assert_eq!(
            refusal,
            format!("failed to parse profile: line 3: {reason}")
        );
    }
    let half = i64::MAX / 2 + 1;
    assert_eq!(
        refused(Format::Folded, format!("a {half}\na {half}")),
        "invalid profile: line 2: the sum is too large"
    );
    let long = refused(Format::Folded, "x".repeat(1_000));
    assert!(long.len() < 160, "{long}");
}

#[test]
fn bytes_that_are_no_text_are_replaced_and_counted() {
    let (profile, decoded) = one(Format::Folded, b"a;\xff\xfe 1\na;\xff\xfe 1\n\xe2\x82 2\n");
    let expected = [("a;\u{fffd}\u{fffd}", 2), ("\u{fffd}", 2)];
    assert_eq!(singles(&profile), pairs(&expected));
    assert_eq!(decoded.replaced_strings, 2);
}
