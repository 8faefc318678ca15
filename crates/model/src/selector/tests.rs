use super::*;

fn shown(text: &str) -> String {
    match Selector::parse(text) {
        Ok(selector) => selector.to_string(),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn values_are_listed_where_no_others_match() {
    let listed = |op, value| Matcher::new("a", op, value).unwrap().alternatives();
    let texts = |texts: &[&str]| Some(texts.iter().map(|text| text.to_string()).collect());
    assert_eq!(listed(MatchOp::Equal, "x|y"), texts(&["x|y"]));
    for whole in ["^(x|yz)$", "^(?:x|yz)$", "^(?:(x)|yz)$", "^x$|^yz$"] {
        assert_eq!(
            listed(MatchOp::Regex, whole),
            texts(&["x", "yz"]),
            "{whole}"
        );
    }
    assert_eq!(listed(MatchOp::Regex, "^(|x)$"), texts(&["", "x"]));
    for open in [
        "x",
        "^x",
        "x$",
        "^x|y$",
        "^x.*$",
        "^(x|[0-9a-f]{16})$",
        "(?m)^x$",
    ] {
        assert_eq!(listed(MatchOp::Regex, open), None, "{open}");
    }
    assert_eq!(listed(MatchOp::NotEqual, "x"), None);
    assert_eq!(listed(MatchOp::NotRegex, "^x$"), None);
}

#[test]
fn selectors_parse() {
    let cpu = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
    assert_eq!(shown(cpu), format!("{cpu}{{}}"));
    assert_eq!(shown(&format!("{cpu}{{}}")), format!("{cpu}{{}}"));
    assert_eq!(
        shown(&format!(
            " {cpu}:delta {{ a = 'x' , b!=\"y\\\"\",c=~`z\\d`,d!~\"\", }} "
        )),
        format!(r#"{cpu}:delta{{a="x", b!="y\"", c=~"z\\d", d!~""}}"#)
    );
    assert_eq!(
        shown(&format!("{{__name__=\"{cpu}\"}}")),
        format!("{cpu}{{}}")
    );
    assert_eq!(
        shown(r#"{"process.runtime/x"="é"}"#),
        r#"{"process.runtime/x"="é"}"#
    );
    assert_eq!(shown(""), "{}");
}

#[test]
fn what_only_quotes_can_hold_is_printed_in_quotes() {
    for text in [
        r#"{__name__="a b:c{:d:e:f"}"#,
        r#"{__name__="a b:c:d:e:f:delta", x="y"}"#,
        r#"{""="x"}"#,
    ] {
        assert_eq!(shown(text), text);
    }
}

#[test]
fn bad_selectors_say_what_is_wrong_and_where() {
    assert_eq!(
        shown("{a}"),
        "error: failed to parse query: expected one of = != =~ !~ at byte 2"
    );
    assert_eq!(
        shown("{a=b}"),
        "error: failed to parse query: expected a quoted value at byte 3"
    );
    assert_eq!(
        shown("{a=\"b}"),
        "error: failed to parse query: a quoted value does not end at byte 3"
    );
    assert_eq!(
        shown("{a=\"b\" c=\"d\"}"),
        "error: failed to parse query: expected ',' or '}' at byte 7"
    );
    assert!(
        shown("{a=~\"(\"}")
            .starts_with("error: failed to parse query: invalid regular expression \"(\"")
    );
    assert!(shown("{a=~\"(x{1000}){1000}\"}").contains("size limit"));
    assert_eq!(
        shown("{} x"),
        "error: failed to parse query: unexpected text after the selector at byte 3"
    );
    assert!(shown("cpu{}").contains("got(1): \"cpu\""));
    assert!(shown("{é=\"1\"}").contains("expected a label name"));
    let untyped = Selector::parse_typed("{a=\"b\"}");
    assert_eq!(
        untyped.expect_err("untyped").to_string(),
        "query must contain a profile-type selection"
    );
}

#[test]
fn absent_labels_match_as_empty_and_regexes_are_not_anchored() {
    let matcher = |op, value| Matcher::new("a", op, value).expect("valid");
    assert!(matcher(MatchOp::Equal, "").matches(None));
    assert!(!matcher(MatchOp::NotEqual, "").matches(None));
    assert!(matcher(MatchOp::NotEqual, "x").matches(None));
    assert!(matcher(MatchOp::Regex, "web").matches(Some("web-7")));
    assert!(!matcher(MatchOp::Regex, "^web$").matches(Some("web-7")));
    assert!(matcher(MatchOp::NotRegex, "web").matches(None));
}

#[test]
fn regexes_match_whole_values_where_promql_is_spoken() {
    let read = |text| Selector::parse_as(text, Regexes::MatchWhole);
    let matcher = |text| read(text).expect("valid").matchers.remove(0);
    for (text, yes, no) in [
        (r#"{a=~"web"}"#, "web", "web-7"),
        (r#"{a=~"web|db"}"#, "db", "db-1"),
        (r#"{a=~".*-7"}"#, "web-7", "web-77"),
        (r#"{a!~"web"}"#, "web-7", "web"),
        (r#"{a="w.b"}"#, "w.b", "web"),
    ] {
        let matcher = matcher(text);
        assert!(matcher.matches(Some(yes)), "{text}");
        assert!(!matcher.matches(Some(no)), "{text}");
        // As it travels, the other way of reading means the same.
        let again = Selector::parse(&format!("{{{matcher}}}")).expect("valid");
        assert_eq!(again.matchers, [matcher]);
    }
    let error = read(r#"{a=~"a)|(b"}"#).expect_err("unbalanced");
    assert!(
        error
            .to_string()
            .contains(r#"invalid regular expression "a)|(b""#)
    );
}

proptest::proptest! {
    #[test]
    fn parsing_never_panics(text in ".{0,80}") {
        let _ = Selector::parse(&text);
    }
}
