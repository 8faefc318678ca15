//! Real files, against sums that are made in another way.

use std::collections::BTreeMap;

use cairn_formats::{Format, guess};
use cairn_testkit::corpus;
use serde_json::Value;

use crate::{attrs, decode, one, singles, stacks, total, types};

fn json(path: &str) -> Value {
    serde_json::from_slice(&corpus::read(path)).expect("it is JSON")
}

#[test]
fn folded_stacks_of_real_tools_keep_their_sums() {
    for (path, stacks, sum) in [
        ("generated/python/py-spy.folded.txt", 24, 416),
        ("generated/python/py-spy-native.folded.txt", 55, 394),
        ("generated/php/excimer.folded.txt", 8, 236),
    ] {
        let bytes = corpus::read(path);
        let text = String::from_utf8(bytes.clone()).expect("they are UTF-8");
        let mut expected: BTreeMap<String, i64> = BTreeMap::new();
        for line in text.lines() {
            let (stack, count) = line.rsplit_once(' ').expect("a count");
            let stack = stack.trim_start_matches(';').to_owned();
            *expected.entry(stack).or_default() += count.parse::<i64>().expect("a number");
        }
        let (profile, _) = one(Format::Folded, bytes);
        assert_eq!(
            singles(&profile),
            expected.into_iter().collect::<Vec<_>>(),
            "{path}"
        );
        assert_eq!(
            (profile.samples.len(), total(&profile, 0)),
            (stacks, sum),
            "{path}"
        );
    }
}

#[test]
fn speedscope_of_py_spy_keeps_its_sums() {
    let path = "generated/python/py-spy.speedscope.json";
    let decoded = decode(Format::Speedscope, corpus::read(path)).expect("it is valid");
    let theirs = json(path);
    let labels: Vec<_> = decoded
        .profiles
        .iter()
        .map(|one| one.labels.clone())
        .collect();
    let label = |name: &str| vec![("profile_name".to_owned(), name.to_owned())];
    assert_eq!(
        labels,
        [
            label("Thread 20074 \"MainThread\""),
            label("Thread 20081 \"worker-1\"")
        ]
    );
    for (described, (samples, nanos)) in decoded.profiles.iter().zip([(203, 2_030), (177, 1_770)]) {
        let profile = &described.profile;
        assert_eq!(types(profile), [("wall", "nanoseconds")]);
        assert_eq!(total(profile, 0), nanos * 1_000_000);
        assert_eq!(total(profile, 0), samples * 10_000_000);
        assert_eq!(profile.duration, nanos * 1_000_000);
    }
    for (at, described) in decoded.profiles.iter().enumerate() {
        assert_eq!(singles(&described.profile), weighed(at, &theirs));
    }
    let function = decoded.profiles[0].profile.tables.functions[0];
    let profile = &decoded.profiles[0].profile;
    assert_eq!(profile.str(function.file), "/srv/example/pyapp.py");
}

/// Stacks by name, with hundredths of a second for each sample.
fn weighed(at: usize, json: &Value) -> Vec<(String, i64)> {
    let frames = &json["shared"]["frames"];
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    for sample in json["profiles"][at]["samples"].as_array().expect("samples") {
        let names = sample.as_array().expect("frames").iter().map(|frame| {
            let frame = frame.as_u64().expect("a number") as usize;
            frames[frame]["name"].as_str().expect("a name")
        });
        *sums.entry(names.collect::<Vec<_>>().join(";")).or_default() += 10_000_000;
    }
    sums.into_iter().collect()
}

#[test]
fn cpu_profile_of_node_keeps_its_sums() {
    let path = "generated/node/node.cpuprofile";
    let (profile, decoded) = one(Format::CpuProfile, corpus::read(path));
    let theirs = json(path);
    assert_eq!(
        types(&profile),
        [("samples", "count"), ("wall", "nanoseconds")]
    );
    assert_eq!(total(&profile, 0), 539);
    // From the first sample to the end: 2057554 less the 18266 before it.
    assert_eq!(total(&profile, 1), 2_039_288_000);
    assert_eq!(profile.duration, 2_057_554_000);
    let hits: i64 = theirs["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .map(|node| node["hitCount"].as_i64().expect("hits"))
        .sum();
    assert_eq!(hits, 539);
    let expected = v8_stacks(&theirs, "hitCount");
    let ours = stacks(&profile)
        .into_iter()
        .map(|(stack, values)| (stack, values[0]));
    assert_eq!(ours.collect::<BTreeMap<_, _>>(), expected);
    assert_eq!(decoded.skipped.len(), 1);
    assert_eq!(decoded.skipped[0].0, "tables of lines within functions");
}

/// Stacks by name and line of a list of nodes, with the sum of a member.
fn v8_stacks(json: &Value, member: &str) -> BTreeMap<String, i64> {
    let nodes = json["nodes"].as_array().expect("nodes");
    let parent = |id: &Value| {
        nodes.iter().find(|node| {
            let children = node["children"].as_array();
            children.is_some_and(|children| children.contains(id))
        })
    };
    let mut sums = BTreeMap::new();
    for node in nodes.iter().filter(|node| node[member] != 0) {
        let mut names = Vec::new();
        let mut at = Some(node);
        while let Some(node) = at {
            names.push(
                match node["callFrame"]["functionName"].as_str().expect("a name") {
                    "" => "(anonymous)",
                    name => name,
                },
            );
            at = parent(&node["id"]);
        }
        assert_eq!(names.pop(), Some("(root)"));
        names.reverse();
        *sums.entry(names.join(";")).or_default() += node[member].as_i64().expect("a number");
    }
    sums
}

#[test]
fn heap_profile_of_node_keeps_its_sums() {
    let path = "generated/node/node.heapprofile";
    let (profile, decoded) = one(Format::HeapProfile, corpus::read(path));
    let theirs = json(path);
    let mut open = vec![(&theirs["head"], String::new())];
    let mut expected: BTreeMap<String, i64> = BTreeMap::new();
    while let Some((node, above)) = open.pop() {
        let name = match node["callFrame"]["functionName"].as_str().expect("a name") {
            "" => "(anonymous)",
            name => name,
        };
        let stack = match (above.as_str(), name) {
            (_, "(root)") => String::new(),
            ("", name) => name.to_owned(),
            (above, name) => format!("{above};{name}"),
        };
        let size = node["selfSize"].as_i64().expect("a size");
        if size > 0 {
            *expected.entry(stack.clone()).or_default() += size;
        }
        let children = node["children"].as_array().into_iter().flatten();
        open.extend(children.map(|child| (child, stack.clone())));
    }
    assert_eq!(singles(&profile), pairs_of(&expected));
    // The samples beside the tree add up to 352 bytes more.
    assert_eq!(total(&profile, 0), 27_209_312);
    assert_eq!(types(&profile), [("inuse_space", "bytes")]);
    assert_eq!(decoded.profiles[0].name.as_deref(), Some("memory"));
    let samples = theirs["samples"].as_array().map_or(0, Vec::len) as u64;
    let skipped = [("samples of a heap profile beside its sums", samples)];
    assert_eq!(decoded.skipped, skipped);
}

#[test]
fn perf_script_of_a_real_program_keeps_its_sums() {
    let bytes = corpus::read("generated/perf/cpp_pie-dwarf.perf.script.txt");
    let text = String::from_utf8(bytes.clone()).expect("it is UTF-8");
    let headers: Vec<&str> = text
        .lines()
        .filter(|line| line.ends_with("cpu-clock: "))
        .collect();
    let (profile, decoded) = one(Format::PerfScript, bytes);
    assert_eq!(
        types(&profile),
        [("samples", "count"), ("cpu", "nanoseconds")]
    );
    assert_eq!((headers.len(), total(&profile, 0)), (194, 194));
    let periods = headers.iter().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words[3].parse::<i64>().expect("a period")
    });
    assert_eq!(total(&profile, 1), periods.sum::<i64>());
    assert_eq!(decoded.skipped, []);
    let label = ("event".to_owned(), "cpu-clock".to_owned());
    assert_eq!(decoded.profiles[0].labels, [label]);
    for sample in 0..profile.samples.len() {
        assert_eq!(
            attrs(&profile, sample),
            ["thread_name=cpp_pie", "tid:25492"]
        );
    }
    let expected = perf_stacks(&text);
    let ours = stacks(&profile)
        .into_iter()
        .map(|(stack, values)| (stack, values[0]));
    assert_eq!(ours.collect::<Vec<_>>(), pairs_of(&expected));
    assert_eq!(perf_seconds(&headers), profile.duration);
}

fn pairs_of(map: &BTreeMap<String, i64>) -> Vec<(String, i64)> {
    map.iter()
        .map(|(stack, count)| (stack.clone(), *count))
        .collect()
}

/// Stacks by symbol and how often they are printed.
fn perf_stacks(text: &str) -> BTreeMap<String, i64> {
    let mut stacks = BTreeMap::new();
    for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
        let frames = block.trim().lines().skip(1).map(|line| {
            let (_, rest) = line.trim().split_once(' ').expect("an address");
            let (symbol, file) = rest.rsplit_once(" (").expect("a file");
            match symbol.rsplit_once("+0x") {
                Some((name, _)) => name.to_owned(),
                None => {
                    assert_eq!(symbol, "[unknown]");
                    let address = line.trim().split(' ').next().expect("an address");
                    format!("{}@{address}", file.trim_end_matches(')'))
                }
            }
        });
        let mut frames: Vec<String> = frames.collect();
        frames.reverse();
        *stacks.entry(frames.join(";")).or_default() += 1;
    }
    stacks
}

fn perf_seconds(headers: &[&str]) -> i64 {
    let time = |line: &str| {
        let word = line.split_whitespace().nth(2).expect("a time");
        let micros: String = word.chars().filter(char::is_ascii_digit).collect();
        micros.parse::<i64>().expect("a time") * 1_000
    };
    time(headers[headers.len() - 1]) - time(headers[0])
}

#[test]
fn formats_of_real_files_are_guessed() {
    for (path, expected) in [
        ("generated/python/py-spy.folded.txt", Some(Format::Folded)),
        ("generated/php/excimer.folded.txt", Some(Format::Folded)),
        (
            "generated/python/py-spy.speedscope.json",
            Some(Format::Speedscope),
        ),
        ("generated/node/node.cpuprofile", Some(Format::CpuProfile)),
        ("generated/node/node.heapprofile", Some(Format::HeapProfile)),
        (
            "generated/perf/cpp_pie-dwarf.perf.script.txt",
            Some(Format::PerfScript),
        ),
        ("generated/python/py-spy.chrometrace.json", None),
        ("generated/go/go1.27-heap.pb.gz", None),
        ("generated/perf/cpp_pie-fp.perf.data", None),
        ("generated/native/bin/work_pie", None),
    ] {
        let bytes = corpus::read(path);
        assert_eq!(guess(&bytes, path), expected, "{path}");
        assert_eq!(guess(&bytes, "-"), expected, "{path} without its name");
    }
    let heaptrack = include_bytes!("../data/heaptrack.work.txt");
    assert_eq!(guess(heaptrack, "-"), Some(Format::Heaptrack));
    assert_eq!(guess(b"v 10200\n", "-"), Some(Format::Heaptrack));
    assert_eq!(guess(b"v 10400 3 7\n", "-"), Some(Format::Folded));
    assert_eq!(guess(b"v 1040 3\n", "-"), Some(Format::Folded));
    assert_eq!(guess(b"a;b;c\n", "-"), Some(Format::Lines));
    assert_eq!(guess(b"# x\n\na b\n", "-"), None);
    assert_eq!(guess(b"", "x.tree"), Some(Format::Tree));
    assert_eq!(guess(b"", "a/b.TRIE"), Some(Format::Trie));
    assert_eq!(guess(b"", ""), None);
    assert_eq!(
        guess(br#"{"head":{"hitCount":0}}"#, ""),
        Some(Format::CpuProfile)
    );
    assert_eq!(guess(br#"{"profiles":[],"shared":{}"#, ""), None);
}
