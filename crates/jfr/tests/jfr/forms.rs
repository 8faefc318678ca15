//! Forms of values: encodings of strings, structures without constants, types of no interest.

use crate::writer::{Values, Writer, id};
use crate::{decode, events};

fn leaf(writer: &mut Writer) -> String {
    writer.stack(6, false, &[(1, 0, 1)]);
    writer.add(id::LIVE_OBJECT, 6, &[1], [0; 5]);
    let decoded = decode(&writer.finish()).expect("valid");
    let frames = events::frames(&decoded.profiles[0].profile, 0);
    frames[0].split(' ').next().expect("a name").to_owned()
}

fn ignore(_: &mut Values) {}

#[test]
fn each_encoding_of_strings_is_read() {
    type Write = fn(&mut Values);
    let encodings: [(&str, Write, &str); 6] = [
        ("null", |v| ignore(v.byte(0)), "a.Leaf."),
        ("empty", |v| ignore(v.byte(1)), "a.Leaf."),
        ("constant", |v| ignore(v.byte(2).long(77)), "a.Leaf.größe"),
        ("utf-8", |v| ignore(v.utf8("größe")), "a.Leaf.größe"),
        (
            "utf-16",
            |v| {
                let units: Vec<u16> = "größe\u{1f600}".encode_utf16().collect();
                v.byte(4).int(units.len() as i32);
                for unit in units {
                    v.short(unit);
                }
            },
            "a.Leaf.größe\u{1f600}",
        ),
        (
            "latin-1",
            |v| ignore(v.byte(5).int(5).raw(b"gr\xf6\xdfe")),
            "a.Leaf.größe",
        ),
    ];
    for compressed in [true, false] {
        for (what, write, expected) in encodings {
            let mut writer = Writer::usual(compressed);
            writer.text(id::STRING, 77, "größe");
            let mut name = writer.values();
            write(&mut name);
            writer.constants(id::SYMBOL, &[(11, name)]);
            assert_eq!(
                leaf(&mut writer),
                expected,
                "{what}, compressed: {compressed}"
            );
        }
    }
}

#[test]
fn constants_that_name_each_other_in_a_ring_are_empty() {
    let mut writer = Writer::usual(true);
    for (key, other) in [(77, 78), (78, 77)] {
        let mut value = writer.values();
        value.byte(2).long(other);
        writer.constants(id::STRING, &[(key, value)]);
    }
    let mut name = writer.values();
    name.byte(2).long(77);
    writer.constants(id::SYMBOL, &[(11, name)]);
    assert_eq!(leaf(&mut writer), "a.Leaf.");
}

#[test]
fn structures_may_stand_where_constants_do() {
    for compressed in [true, false] {
        let mut writer = Writer::usual(compressed);
        writer.class(
            id::METHOD,
            "jdk.types.Method",
            &[
                ("type", id::CLASS, ""),
                ("name", id::SYMBOL, ""),
                ("descriptor", id::STRING, "p"),
            ],
        );
        writer.class(
            id::CLASS,
            "java.lang.Class",
            &[("modifiers", id::INT, ""), ("name", id::SYMBOL, "")],
        );
        writer.class(
            id::STACK_FRAME,
            "jdk.types.StackFrame",
            &[("method", id::METHOD, ""), ("lineNumber", id::SHORT, "")],
        );
        writer.class(
            id::LIVE_OBJECT,
            "profiler.LiveObject",
            &[("stackTrace", id::STACK_TRACE, "")],
        );
        // The constants of before have other forms.
        writer.events.clear();
        for _ in 0..2 {
            writer.event(id::LIVE_OBJECT, |values| {
                values
                    .byte(0)
                    .int(1)
                    .int(9)
                    .utf8("b/Inline")
                    .utf8("run")
                    .long(3)
                    .short(42);
            });
        }
        let decoded = decode(&writer.finish()).expect("valid");
        let profile = &decoded.profiles[0].profile;
        assert_eq!(
            profile.samples.len(),
            2,
            "stacks without a key are not compared"
        );
        assert_eq!(events::frames(profile, 1), ["b.Inline.run b.Inline:42"]);
    }
}

#[test]
fn fields_of_every_type_are_passed_over() {
    for compressed in [true, false] {
        let mut writer = Writer::usual(compressed);
        writer.class(id::OTHER, "Empty", &[]);
        writer.class(
            id::OTHER + 1,
            "Deeper",
            &[("a", id::BYTE, ""), ("empty", id::OTHER, "")],
        );
        writer.class(
            id::OTHER + 2,
            "Deep",
            &[("deeper", id::OTHER + 1, "a"), ("empties", id::OTHER, "a")],
        );
        writer.class(id::OTHER + 3, "OnlyEmpty", &[("empty", id::OTHER, "")]);
        let fields = [
            ("b", id::BOOLEAN, ""),
            ("c", id::CHAR, ""),
            ("f", id::FLOAT, ""),
            ("d", id::DOUBLE, ""),
            ("y", id::BYTE, ""),
            ("s", id::SHORT, ""),
            ("i", id::INT, ""),
            ("l", id::LONG, ""),
            ("t", id::STRING, ""),
            ("ts", id::STRING, "a"),
            ("ps", id::OTHER, "pa"),
            ("deep", id::OTHER + 2, ""),
            ("only", id::OTHER + 3, ""),
            ("empty", id::OTHER, ""),
            // Not of the type that we know under this name.
            ("weight", id::LONG, "a"),
            ("stackTrace", id::STACK_TRACE, "p"),
        ];
        writer.class(id::LIVE_OBJECT, "profiler.LiveObject", &fields);
        writer.event(id::LIVE_OBJECT, |values| {
            values
                .byte(1)
                .short(300)
                .raw(&[0; 4])
                .raw(&[0; 8])
                .byte(2)
                .short(300);
            values.int(-1).long(i64::MIN).utf8("text");
            values.int(2).utf8("one").byte(0);
            values.int(2).longs(&[1, 1 << 40]);
            // Two structures of a byte each, and a thousand that take none.
            values.int(2).byte(1).byte(2).int(1_000);
            values.int(3).longs(&[1, 2, 3]);
            values.long(5);
        });
        let decoded = decode(&writer.finish()).expect("valid");
        let profile = &decoded.profiles[0].profile;
        assert_eq!(events::frames(profile, 0)[0], "a.Leaf.work a.Leaf:12");
    }
}

#[test]
fn bytes_after_the_known_fields_are_passed_over() {
    let mut writer = Writer::usual(true);
    writer.class(
        id::LIVE_OBJECT,
        "profiler.LiveObject",
        &[("stackTrace", id::STACK_TRACE, "p")],
    );
    writer.event(id::LIVE_OBJECT, |values| {
        values.long(5).raw(b"a later version's field");
    });
    writer.event(id::LIVE_OBJECT, |values| {
        values.long(5);
    });
    let decoded = decode(&writer.finish()).expect("valid");
    assert_eq!(decoded.profiles[0].profile.samples.values, [2]);
}

#[test]
fn equal_keys_of_other_types_are_other_constants() {
    let mut writer = Writer::usual(true);
    writer.class(id::OTHER, "jdk.types.Symbol", &[("string", id::STRING, "")]);
    writer.text(id::OTHER, 5, "no stack");
    writer.class(
        id::LIVE_OBJECT,
        "profiler.LiveObject",
        &[("stackTrace", id::OTHER, "p")],
    );
    writer.add(id::MALLOC, 5, &[1], [0; 5]);
    writer.event(id::LIVE_OBJECT, |values| {
        values.long(5);
    });
    let decoded = decode(&writer.finish()).expect("valid");
    assert_eq!(decoded.profiles.len(), 1);
    assert_eq!(
        decoded.skipped,
        [("profiler.LiveObject".to_owned(), 1)].into()
    );
}
