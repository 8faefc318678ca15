//! Frames of bundled JavaScript, as Node's agent sends them: named after V8 at first, and after their
//! sources once somebody uploads the source map.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use cairn_model::Profile;
use cairn_testkit::process::binary;
use prost::Message as _;

use crate::cairn::Cairn;
use crate::clients::run;
use crate::http::send;
use crate::oracle;
use crate::roundtrip::ANY_TIME;

const DEBUG_ID: &str = "85314830-023f-4cf1-a267-535f4e37bb17";
const START: i64 = 1_795_400_000_000_000_000;
const QUIET: (&str, &str) = ("CAIRN__SELF_PROFILE__ENABLED", "false");

/// Where V8 sees a function of the bundle, or of its sources, begin.
#[derive(serde::Deserialize)]
struct Seen {
    file: String,
    name: String,
    begin: (i64, i64),
}

fn data(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../symbols/tests/data/source_map");
    std::fs::read(folder.join(name)).unwrap()
}

fn seen(name: &str) -> BTreeMap<String, Seen> {
    serde_json::from_slice(&data(name)).unwrap()
}

/// One sample of each function, whose value is its number.
fn pprof(functions: &BTreeMap<String, Seen>) -> Vec<u8> {
    let mut strings: Vec<String> = [
        "",
        "inuse_space",
        "bytes",
        "v8js",
        DEBUG_ID,
        "/app/esbuild.cjs",
    ]
    .map(str::to_owned)
    .to_vec();
    let kind = oracle::ValueType { kind: 1, unit: 2 };
    let mut profile = oracle::Profile {
        sample_type: vec![kind],
        mapping: vec![oracle::Mapping {
            id: 1,
            file: 3,
            build_id: 4,
            ..oracle::Mapping::default()
        }],
        time: START,
        duration: 1_000_000_000,
        period_type: Some(kind),
        period: 1,
        ..oracle::Profile::default()
    };
    for (id, seen) in (1..).zip(functions.values()) {
        let name = if seen.name.is_empty() {
            "anonymous"
        } else {
            &seen.name
        };
        let (line, column) = seen.begin;
        strings.push(format!("{name}:L#{line}:C#{column}"));
        let name = strings.len() as i64 - 1;
        profile.function.push(oracle::Function {
            id,
            name,
            system_name: name,
            file: 5,
            ..oracle::Function::default()
        });
        profile.location.push(oracle::Location {
            id,
            mapping_id: 1,
            address: 0,
            line: vec![oracle::Line {
                function_id: id,
                line,
                column: 0,
            }],
        });
        profile.sample.push(oracle::Sample {
            location_id: vec![id],
            value: vec![id.cast_signed()],
            label: Vec::new(),
        });
    }
    profile.string_table = strings.into_iter().map(String::into_bytes).collect();
    profile.encode_to_vec()
}

/// Name, file and line of the only call of each sample, by values.
fn calls(profile: &Profile) -> BTreeMap<i64, (String, String, i64)> {
    let call = |at: usize| {
        let [line] = profile.lines(profile.stack(at)[0]) else {
            panic!("one call")
        };
        let function = profile.tables.functions[line.function as usize];
        let text = |id| profile.str(id).to_owned();
        let call = (text(function.name), text(function.file), line.line);
        (profile.values(at)[0], call)
    };
    (0..profile.samples.len()).map(call).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_map_that_comes_later_names_what_was_stored() {
    let folder = tempfile::tempdir().unwrap();
    let cairn = Cairn::start(&folder.path().join("data"), &[QUIET]);
    let (generated, original) = (seen("esbuild.json"), seen("original.json"));
    let at = "POST /api/v1/profiles?name=memory&label=service.name=shop";
    let answer = send(cairn.address, at, &[], &pprof(&generated));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let client = cairn.connect().await;
    let selector = "memory:inuse_space:bytes:inuse_space:bytes{service.name=\"shop\"}";
    let before = client
        .merged(selector, ANY_TIME)
        .await
        .expect("an answer")
        .0;
    for (call, seen) in calls(&before).values().zip(generated.values()) {
        let name = if seen.name.is_empty() {
            "anonymous"
        } else {
            &seen.name
        };
        let want = (name.to_owned(), "/app/esbuild.cjs".to_owned(), seen.begin.0);
        assert_eq!(*call, want);
    }

    let (code, map) = (data("esbuild.cjs"), data("esbuild.cjs.map"));
    let lengths = [code.len() as u64, map.len() as u64].map(u64::to_le_bytes);
    let bundle = folder.path().join("bundle");
    std::fs::write(&bundle, [lengths.concat(), code, map].concat()).unwrap();
    run(Command::new(binary("cairn"))
        .args(["debuginfo", "upload", "--server", &cairn.url()])
        .args(["--type", "source-map", "--build-id", DEBUG_ID])
        .arg(&bundle));
    let after = client
        .merged(selector, ANY_TIME)
        .await
        .expect("an answer")
        .0;
    let calls = calls(&after);
    assert_eq!(calls.len(), original.len());
    for (call, (tag, seen)) in calls.values().zip(&original) {
        let name = match tag.as_str() {
            "callback" => "anonymous",
            // V8 calls it as its class, whose name was made short.
            "constructor" => "e",
            _ => &seen.name,
        };
        let want = (name.to_owned(), format!("src/{}", seen.file), seen.begin.0);
        assert_eq!(*call, want, "{tag}");
    }
    cairn.stop();
}
