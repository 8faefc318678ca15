use proptest::prelude::*;

use super::*;

fn string(json: &str) -> Option<(String, u64)> {
    let mut reader = Reader::new(json.as_bytes());
    let text = reader.string().ok()?.into_owned();
    reader.end().ok()?;
    Some((text, reader.replaced))
}

#[test]
fn strings_are_unescaped_as_another_library_does() {
    for json in [
        r#""""#,
        r#""plain größe""#,
        r#""\"\\\/\b\f\n\r\t""#,
        r#""\u00e9\uD83D\uDE00x""#,
        r#"  "spaces around" "#,
    ] {
        let theirs: String = serde_json::from_str(json).expect(json);
        assert_eq!(string(json), Some((theirs, 0)), "{json}");
    }
    for bad in [
        r#"""#,
        r#""\"#,
        r#""\""#,
        r#""\x""#,
        r#""\u12g4""#,
        r#""\u12""#,
        "\"\n\"",
        "x",
    ] {
        assert!(serde_json::from_str::<String>(bad).is_err());
        assert_eq!(string(bad), None, "{bad}");
    }
}

#[test]
fn half_characters_are_replaced_and_counted() {
    let replaced = Some(("\u{fffd}x".to_owned(), 1));
    assert_eq!(string(r#""\ud83dx""#), replaced);
    assert_eq!(string(r#""\ude00x""#), replaced);
    let two = Some(("\u{fffd}\u{fffd}".to_owned(), 1));
    assert_eq!(string(r#""\ud83d\ud83d""#), two);
    let mut reader = Reader::new(b"\"a\xffb\"");
    assert_eq!(reader.string().expect("a string"), "a\u{fffd}b");
    assert_eq!(reader.replaced, 1);
}

#[test]
fn values_are_skipped_however_deep() {
    let deep = format!("{}{}", "[".repeat(300_000), "]".repeat(300_000));
    let mut reader = Reader::new(deep.as_bytes());
    reader.skip().expect("balanced");
    reader.end().expect("all is read");
    let mut open = Reader::new(&deep.as_bytes()[..300_001]);
    open.skip().expect_err("not balanced");
}

#[test]
fn errors_say_where_and_show_little() {
    let mut reader = Reader::new(b"{\"a\": [1, 2 3333333333333333333333333333]}");
    let error = reader.skip().expect_err("a comma is missing");
    assert_eq!(
        error.to_string(),
        "failed to parse profile: JSON: a comma or the end of a list is expected at byte 12, \
         not \"33333333333333333333\""
    );
}

/// Text of the characters that JSON is made of, and well-formed JSON.
fn texts() -> impl Strategy<Value = String> {
    let noise = prop::collection::vec(
        prop::sample::select(b"{}[],:\"\\ 01.e-+ntrueals".to_vec()),
        0..24,
    )
    .prop_map(|bytes| String::from_utf8(bytes).expect("ASCII"));
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).expect("a string")),
    ];
    let whole = leaf.prop_recursive(4, 24, 4, |inner| {
        let array = prop::collection::vec(inner.clone(), 0..4)
            .prop_map(|values| format!("[ {} ]", values.join(" ,")));
        let object = prop::collection::vec((any::<String>(), inner), 0..4).prop_map(|members| {
            let members = members.iter().map(|(key, value)| {
                format!("{}:{value}", serde_json::to_string(key).expect("a string"))
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        });
        prop_oneof![array, object]
    });
    prop_oneof![noise, whole]
}

proptest! {
    #[test]
    fn json_is_what_another_library_takes_for_it(text in texts()) {
        let mut reader = Reader::new(text.as_bytes());
        let ours = reader.skip().and_then(|()| reader.end()).is_ok();
        let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
        // Strings that are skipped are not looked into.
        prop_assert!(ours == theirs || (ours && text.contains(['\\', '"'])), "{text}");
    }
}
