//! `go tool pprof` reads what Cairn gives back as it reads what was pushed: the same stacks, labels,
//! values and units, and the same places in the same binaries where there are no names.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::PoisonError;

use cairn_model::TimeRange;
use cairn_testkit::corpus;
use cairn_testkit::process::binary;

use crate::cairn::{Cairn, Client};
use crate::clients::{INSTALLING, installed, python, run};
use crate::http::send;
use crate::roundtrip::ANY_TIME;

const QUIET: (&str, &str) = ("CAIRN__SELF_PROFILE__ENABLED", "false");

/// Go's own reader, which it builds from its sources when it is asked for the first time.
struct GoPprof {
    go: std::path::PathBuf,
}

impl GoPprof {
    fn install() -> Self {
        let python = python("go");
        let pprof = Self {
            go: python.with_file_name("go"),
        };
        let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
        run(pprof.command().arg("--help"));
        pprof
    }

    fn command(&self) -> Command {
        let home = installed("go");
        let mut command = Command::new(&self.go);
        command
            .args(["tool", "pprof"])
            .env("HOME", &home)
            .env("GOCACHE", home.join("build"))
            .env("GOPATH", home.join("path"))
            .env("PPROF_TMPDIR", home.join("pprof"))
            .env("GOPROXY", "off")
            .env("GOTOOLCHAIN", "local")
            .env("GOFLAGS", "-mod=mod")
            .current_dir(home);
        command
    }

    fn read(&self, file: &Path) -> Read {
        let args = ["-raw", "-symbolize=none"];
        Read::parse(&run(self.command().args(args).arg(file)))
    }
}

/// Stack, leaf first, and labels as they are printed.
type Row = (Vec<String>, String);

/// What the tool prints of a profile.
#[derive(Debug, Default)]
struct Read {
    period: (String, String),
    /// As `kind/unit`.
    types: Vec<String>,
    rows: BTreeMap<Row, Vec<i64>>,
}

impl Read {
    fn parse(printed: &str) -> Self {
        let (head, rest) = printed.split_once("\nSamples:\n").expect("samples");
        let (samples, rest) = rest.split_once("\nLocations\n").expect("locations");
        let (locations, mappings) = rest.split_once("\nMappings\n").unwrap_or((rest, ""));
        let after = |mark: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(mark));
            line.unwrap_or_default().to_owned()
        };
        let stacks = frames(locations, &places(mappings));
        let mut read = Self {
            period: (after("PeriodType: "), after("Period: ")),
            ..Self::default()
        };
        let mut lines = samples.lines().peekable();
        let types = lines.next().expect("types").split_whitespace();
        // One of them is marked as the one that is shown first.
        let types = types.map(|of| of.trim_end_matches("[dflt]").to_owned());
        read.types = types.collect();
        while let Some(line) = lines.next() {
            let (values, ids) = line.split_once(':').expect("values and a stack");
            let values = values
                .split_whitespace()
                .map(|value| value.parse::<i64>().unwrap());
            let stack = ids.split_whitespace().flat_map(|id| stacks[id].clone());
            let mut labels = Vec::new();
            // Numbers stand first in the lines of samples, names in those of labels.
            while let Some(line) = lines.next_if(|line| line.contains(":[")) {
                labels.push(line.trim());
            }
            let row = (stack.collect(), labels.join(" "));
            let sums = read
                .rows
                .entry(row)
                .or_insert_with(|| vec![0; read.types.len()]);
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += value;
            }
        }
        read
    }

    /// Rows that have something in a column.
    fn column(&self, at: usize) -> BTreeMap<&Row, i64> {
        let cells = self.rows.iter().map(|(row, values)| (row, values[at]));
        cells.filter(|(_, value)| *value != 0).collect()
    }
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).expect(text)
}

struct Place {
    range: std::ops::Range<u64>,
    offset: u64,
    file: String,
}

/// Mappings by their numbers: `1: 0x400000/0x6ea000/0x0 /bin/file build-id [FN]`.
fn places(printed: &str) -> BTreeMap<&str, Place> {
    let mut places = BTreeMap::new();
    for line in printed.lines().filter(|line| !line.is_empty()) {
        let (id, rest) = line.split_once(": ").expect("a number");
        let (range, file) = rest.split_once(' ').expect("a range");
        let [start, limit, offset] = range.split('/').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let file = file.split(" [").next().unwrap_or(file);
        let place = Place {
            range: hex(start)..hex(limit),
            offset: hex(offset),
            file: file.trim().to_owned(),
        };
        places.insert(id, place);
    }
    places
}

/// Frames by the numbers of their locations. The first line of a location is `7: 0x68049b M=1 NAME`
/// and the others are `NAME`, of the calls that it was inlined into.
fn frames<'a>(printed: &'a str, places: &BTreeMap<&str, Place>) -> BTreeMap<&'a str, Vec<String>> {
    let mut frames: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut last = "";
    for line in printed.lines() {
        let line = line.trim();
        let numbered = line
            .split_once(": 0x")
            .filter(|(id, _)| id.parse::<u64>().is_ok());
        let Some((id, rest)) = numbered else {
            let of = frames.get_mut(last).expect("a location comes first");
            of.push(line.to_owned());
            continue;
        };
        last = id;
        let (address, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let (mapping, name) = match rest.strip_prefix("M=") {
            Some(rest) => rest.split_once(' ').unwrap_or((rest, "")),
            None => ("", rest),
        };
        let name = match name.trim() {
            "" => unnamed(hex(address), places.get(mapping)),
            name => name.to_owned(),
        };
        frames.insert(id, vec![name]);
    }
    frames
}

/// An address within a mapping is one of a process, and any other is one of the file.
fn unnamed(address: u64, place: Option<&Place>) -> String {
    match place {
        None => format!("{address:#x}"),
        Some(Place {
            range,
            offset,
            file,
        }) if range.contains(&address) => {
            format!("{file} at offset {:#x}", address - range.start + offset)
        }
        Some(place) => format!("{} at address {address:#x}", place.file),
    }
}

/// A profile of the corpus, and the door that it is pushed by.
struct Pushed {
    file: &'static str,
    door: Door,
    /// What the profile is called: the first part of its types.
    name: &'static str,
    columns: usize,
    is_delta: bool,
    /// Something that must be in one of its frames.
    frame: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Door {
    Profiles,
    Ingest,
    WriteRaw,
}

const PUSHED: [Pushed; 5] = [
    Pushed {
        file: "go/go1.27-cpu-5s.pb.gz",
        door: Door::Profiles,
        name: "process_cpu",
        columns: 2,
        is_delta: true,
        frame: "main.hashLoop /srv/example/goapp/main.go:31",
    },
    Pushed {
        file: "go/go1.27-heap.pb.gz",
        door: Door::WriteRaw,
        name: "memory",
        columns: 4,
        is_delta: false,
        frame: "sync.(*Mutex).Lock ",
    },
    Pushed {
        file: "node/datadog-pprof-wall-cpu.pb.gz",
        door: Door::Ingest,
        name: "wall",
        columns: 3,
        is_delta: true,
        frame: "",
    },
    // Addresses of a process, within its mappings; no build ids.
    Pushed {
        file: "native/cpp_nopie.unsymbolized.pb.gz",
        door: Door::Profiles,
        name: "process_cpu",
        columns: 2,
        is_delta: false,
        frame: "./cpp_nopie at offset 0x1",
    },
    // Addresses of files, mostly outside of the mappings of the processes; build ids.
    Pushed {
        file: "lightswitch/mixed-none.pb",
        door: Door::Ingest,
        name: "process_cpu",
        columns: 2,
        is_delta: true,
        frame: "cpp_pie gnu-da7350760257e2998a3687d780fd94869ce6b6d9 at address 0x1",
    },
];

async fn push(cairn: &Cairn, client: &Client, number: usize, pushed: &Pushed) {
    let bytes = corpus::read(&format!("generated/{}", pushed.file));
    let at = match pushed.door {
        Door::WriteRaw => {
            let number = number.to_string();
            let labels = [("__name__", pushed.name), ("number", number.as_str())];
            return client.push(bytes, &labels).await.unwrap();
        }
        Door::Profiles => format!(
            "/api/v1/profiles?name={}&label=number={number}",
            pushed.name
        ),
        Door::Ingest => format!("/ingest?format=pprof&name=app%7Bnumber%3D{number}%7D"),
    };
    let answer = send(cairn.address, &format!("POST {at}"), &[], &bytes);
    assert_eq!(answer.status, 200, "{}: {}", pushed.file, answer.text());
}

/// What is given back for a selector by each of the ways to get a pprof file.
async fn given_back(
    cairn: &Cairn,
    client: &Client,
    selector: &str,
) -> [(&'static str, Vec<u8>); 3] {
    let TimeRange { start, end } = ANY_TIME;
    let (from, until) = (start / 1_000_000_000, end / 1_000_000_000);
    let (parca, warnings) = client
        .merged_bytes(selector, ANY_TIME)
        .await
        .expect(selector);
    assert!(warnings.is_empty(), "{selector}: {warnings:?}");
    let escaped: String = selector
        .bytes()
        .map(|byte| match byte {
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02x}"),
        })
        .collect();
    let at = format!("GET /api/v1/profile.pb.gz?query={escaped}&from={from}&until={until}");
    let http = send(cairn.address, &at, &[], &[]);
    assert_eq!(http.status, 200, "{selector}: {}", http.text());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.pb.gz");
    run(Command::new(binary("cairn"))
        .args(["query", selector, "--output", "pprof", "--to"])
        .arg(&file)
        .args(["--from", &from.to_string(), "--until", &until.to_string()])
        .args(["--server", &cairn.url()]));
    [
        ("Parca's Query", parca),
        ("profile.pb.gz", http.body),
        ("cairn query", std::fs::read(file).unwrap()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn go_tool_pprof_reads_the_same_before_and_after() {
    let pprof = GoPprof::install();
    let data = tempfile::tempdir().unwrap();
    let cairn = Cairn::start(&data.path().join("data"), &[QUIET]);
    let client = cairn.connect().await;
    for (number, pushed) in PUSHED.iter().enumerate() {
        push(&cairn, &client, number, pushed).await;
        let file = corpus::root().join("generated").join(pushed.file);
        let before = pprof.read(&file);
        assert_eq!(before.types.len(), pushed.columns, "{}", pushed.file);
        let frames = before.rows.keys().flat_map(|(stack, _)| stack);
        let mut found = frames.filter(|frame| frame.contains(pushed.frame));
        assert!(found.next().is_some(), "{}: {before:#?}", pushed.file);
        for at in 0..pushed.columns {
            let (of, period) = (&before.types[at], &before.period.0);
            let of = format!("{}:{of}:{period}", pushed.name).replace(['/', ' '], ":");
            let delta = if pushed.is_delta { ":delta" } else { "" };
            let selector = format!("{of}{delta}{{number=\"{number}\"}}");
            for (way, bytes) in given_back(&cairn, &client, &selector).await {
                let what = format!("{selector} of {} by {way}", pushed.file);
                let file = data.path().join("back.pb.gz");
                std::fs::write(&file, bytes).unwrap();
                let after = pprof.read(&file);
                assert_eq!(after.types, before.types[at..=at], "{what}");
                assert_eq!(after.period, before.period, "{what}");
                assert_eq!(after.column(0), before.column(at), "{what}");
            }
        }
    }
    cairn.stop();
}
