//! Source maps that tools made, asked for the positions that V8 saw.

use std::collections::BTreeMap;
use std::path::Path;

use cairn_model::javascript::called;
use cairn_symbols::{Error, Limits, SymbolFile, convert_source_map, source_map_texts};

/// Of code that nobody changed, what is seen of the sources themselves is the truth.
const TOOLS: [&str; 3] = ["esbuild", "plain", "terser"];

fn read(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/source_map");
    std::fs::read(folder.join(name)).expect("committed")
}

/// A function, where it begins, and a call in it; lines and columns from 1.
#[derive(serde::Deserialize)]
struct Seen {
    file: String,
    name: String,
    begin: (u32, u32),
    call: (u32, u32),
}

fn seen(name: &str) -> BTreeMap<String, Seen> {
    serde_json::from_slice(&read(name)).expect("what the observer prints")
}

fn converted(map: &[u8]) -> SymbolFile {
    let bytes = convert_source_map(map, &Limits::default()).expect("a source map");
    let file = SymbolFile::open(bytes).expect("what conversion writes opens");
    file.verify().expect("whole");
    file
}

/// Both names, file, line and column.
type Place = (String, String, String, u32, u32);

fn place(file: &SymbolFile, (line, column): (u32, u32)) -> Option<Place> {
    let mut frames = file.at_position(line, column).ok()?;
    let frame = frames.next().expect("a call");
    assert!(frames.next().is_none(), "nothing is inlined");
    let texts = [frame.function(), frame.system_name(), frame.file()];
    let [was, is, path] = texts.map(str::to_owned);
    Some((was, is, path, frame.line, frame.column))
}

fn bundle(code: &[u8], map: &[u8]) -> Vec<u8> {
    let lengths = [code.len() as u64, map.len() as u64].map(u64::to_le_bytes);
    [&lengths.concat(), code, map].concat()
}

#[test]
fn calls_and_functions_are_where_they_are_written() {
    let original = seen("original.json");
    for tool in TOOLS {
        let (code, map) = (
            read(&format!("{tool}.cjs")),
            read(&format!("{tool}.cjs.map")),
        );
        for map in [bundle(&code, &map), map] {
            let file = converted(&map);
            for (tag, seen) in seen(&format!("{tool}.json")) {
                let truth = &original[&tag];
                let about = format!("{tool}: {tag}");
                let (_, _, path, line, column) = place(&file, seen.call).expect(&about);
                assert!(path.ends_with(&truth.file), "{about}: {path}");
                assert_eq!((line, column), truth.call, "{about}");

                let (name, is, path, line, _) = place(&file, seen.begin).expect(&about);
                assert!(path.ends_with(&truth.file), "{about}: {path}");
                assert_eq!(line, truth.begin.0, "{about}");
                // V8 names a constructor as its class, whose name stands elsewhere, and what has no
                // name not at all.
                if tag != "constructor" && tag != "callback" {
                    let has_code = map.starts_with(&(code.len() as u64).to_le_bytes());
                    let shown = called(&seen.name, &name, &is);
                    // Without the code it is not known what the identifier before `=` is.
                    let by_value = ["arrowOfTwo", "arrowOfOne", "expression"].contains(&&*tag);
                    let known = has_code || tool == "plain" || !by_value;
                    let want = if known { &truth.name } else { &seen.name };
                    assert_eq!(shown, **want, "{about}");
                }
            }
        }
    }
}

/// A map whose text begins at a place in that of others.
fn section((line, column): (u32, u32), map: &[u8]) -> String {
    let map = std::str::from_utf8(map).expect("a map");
    format!(r#"{{"offset":{{"line":{line},"column":{column}}},"map":{map}}}"#)
}

#[test]
fn maps_of_parts_are_of_their_parts_only() {
    let map = read("esbuild.cjs.map");
    let sections = [
        section((0, 0), &map),
        section((0, 3000), &map),
        section((5, 10), &map),
    ];
    let sections = sections.join(",");
    let whole = format!(r#"{{"version":3,"sections":[{sections}]}}"#);
    let whole = format!(")]}}'\n{whole}");
    let (alone, whole) = (converted(&map), converted(whole.as_bytes()));
    for column in (1..1500).step_by(7) {
        let want = place(&alone, (1, column));
        assert_eq!(place(&whole, (1, column)), want);
        assert_eq!(place(&whole, (1, column + 3000)), want);
        assert_eq!(place(&whole, (6, column + 10)), want);
    }
    assert_eq!(place(&whole, (6, 10)), None);
    assert_eq!(place(&whole, (5, 10)), None);
}

#[test]
fn positions_that_no_source_has_are_told_so() {
    // Text of no source, then text up to the end of the line; and a line that only its end has.
    let map = br#"{"version":3,"sources":["a.js"],"names":[],"mappings":"A,IAAA,IAEE,U;;yBAAA"}"#;
    let file = converted(map);
    for ((line, column), want) in [
        ((0, 1), None),
        ((1, 0), None),
        ((1, 1), None),
        ((1, 4), None),
        ((1, 5), Some((1, 1))),
        ((1, 8), Some((1, 1))),
        ((1, 9), Some((3, 3))),
        ((1, 18), Some((3, 3))),
        ((1, 19), None),
        ((1, u32::MAX), None),
        ((2, 1), None),
        ((3, 25), None),
        ((3, 26), Some((3, 3))),
        ((3, u32::MAX), Some((3, 3))),
        ((4, 1), None),
        ((u32::MAX, 1), None),
    ] {
        let found = place(&file, (line, column)).map(|(_, _, _, line, column)| (line, column));
        assert_eq!(found, want, "{line}:{column}");
    }
}

#[test]
fn sources_have_one_spelling_in_frames_and_in_what_the_map_carries() {
    for (root, source, want) in [
        ("", "src/main.ts", "src/main.ts"),
        ("", "../src/./main.ts", "../src/main.ts"),
        ("/build/", "../src/main.ts", "/src/main.ts"),
        ("app", "/src/main.ts", "/src/main.ts"),
        (
            "webpack://shop",
            "src/main.ts",
            "webpack://shop/src/main.ts",
        ),
        ("x", "webpack:///./src/a.ts?1", "webpack://src/a.ts?1"),
        ("x", "file:///home/me/a.ts", "/home/me/a.ts"),
    ] {
        let map = serde_json::json!({
            "version": 3,
            "sourceRoot": root,
            "sources": [null, source],
            "sourcesContent": ["none", "text"],
            "mappings": "ACAA",
        });
        let map = map.to_string().into_bytes();
        let (_, _, path, ..) = place(&converted(&map), (1, 1)).expect("mapped");
        assert_eq!(path, want);
        let mut texts = Vec::new();
        let take = |name: &str, text: &[u8]| {
            texts.push((name.to_owned(), text.to_vec()));
            Ok::<_, Error>(())
        };
        source_map_texts(&map, &Limits::default(), take).expect("texts");
        assert_eq!(texts, [(want.to_owned(), b"text".to_vec())]);
    }
}

#[test]
fn hostile_maps_are_refused_or_half_understood() {
    let limits = Limits {
        locations_max: 1000,
        string_bytes_max: 1000,
        ..Limits::default()
    };
    let fault = |map: &str| match convert_source_map(map.as_bytes(), &limits) {
        Ok(bytes) => panic!("{} bytes of {map}", bytes.len()),
        Err(error) => error.to_string(),
    };
    let map = |mappings: &str| {
        format!(r#"{{"version":3,"sources":["a.js"],"names":["n"],"mappings":"{mappings}"}}"#)
    };
    let section = |line: u32| {
        format!(
            r#"{{"offset":{{"line":{line},"column":4294967295}},"map":{}}}"#,
            map("CAAA")
        )
    };
    let far = format!(r#"{{"version":3,"sections":[{}]}}"#, section(1));
    for (map, why) in [
        (map("AA"), "mappings are malformed"),
        (map("AAA\\u00e9"), "mappings are malformed"),
        (
            map(&"+/////HAAA;".repeat(2)),
            "lines of its text are too long",
        ),
        (map(&"CAAC,".repeat(2000)), "more than 1000 locations"),
        (far, "lead too far"),
        (r#"{"version":3}"#.to_owned(), "no mappings"),
        (
            map("")
                .replace("a.js", &"a".repeat(2000))
                .replace(r#""mappings":"""#, r#""mappings":"AAAA""#),
            "bytes of names",
        ),
        ("{".repeat(100_000), "not a source map"),
        ("[".repeat(100_000), "not a source map"),
    ] {
        let fault = fault(&map);
        assert!(
            fault.contains(why),
            "{}: {fault}",
            &map[..map.len().min(200)]
        );
    }
    // Sources and names that there are not, lines without number, columns in any order.
    let odd = map(&format!(
        "AQAAQ,{};;{}KAAA,JAAA,AAAA",
        "A,".repeat(10_000),
        ";".repeat(1_000_000)
    ));
    let file =
        SymbolFile::open(convert_source_map(odd.as_bytes(), &limits).expect("odd, but a map"));
    let file = file.expect("what conversion writes opens");
    assert_eq!(place(&file, (1, 1)), None, "the last at a place counts");
    let (_, _, path, line, _) = place(&file, (1_000_003, 2)).expect("mapped");
    assert_eq!((path.as_str(), line), ("", 1));
}
