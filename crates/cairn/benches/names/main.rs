//! How long the first flame graph takes of which no frame has a name yet: 100,000 functions of 20
//! libraries whose symbol files are in the store, asked of a process that has just started and
//! holds nothing in memory. The whole of `cairn serve`, over HTTP, everything read to the end.
//!
//! "First" is the first question of a process, "warm" another one about the same addresses,
//! "repeated" the same once more. Medians, with the fastest in brackets.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark measures real time, prints, and stops when it fails"
)]

#[expect(dead_code, reason = "tests need more of it")]
#[path = "../../tests/integration/cairn.rs"]
mod cairn;
#[path = "../../tests/integration/http.rs"]
mod http;
mod library;

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use cairn_model::{Addressing, Location, Mapping, Strings};
use cairn_pprof::{Heading, Rows};
use cairn_testkit::process::{binary, get};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::cairn::Cairn;
use crate::library::{FUNCTIONS, Library};

const LIBRARIES: u8 = 20;
const TARGET: Duration = Duration::from_secs(1);
/// Processes that are started, and warm questions to each.
const STARTS: usize = 9;
const WARM: usize = 3;
/// How long the symbol files may take to be made.
const PATIENCE: Duration = Duration::from_secs(60);

const TIME: i64 = 1_795_400_000_000_000_000;
const SECOND: i64 = 1_000_000_000;
const TYPE: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta";
/// More than there are calls, so that none is left out.
const NODES_MAX: u64 = 200_000;
/// The process' own profile would be named, too.
const QUIET: (&str, &str) = ("CAIRN__SELF_PROFILE__ENABLED", "false");

fn main() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let data = folder.path().join("data");
    prepare(folder.path(), &data);
    let (mut first, mut warm, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let cairn = Cairn::start(&data, &[QUIET]);
        first.push(ask(&cairn, 0).unwrap());
        let loads = loads(&cairn);
        let from_store = format!("cairn_symbolizer_loads_total{{from=\"Store\"}} {LIBRARIES}");
        let is_converted = loads.iter().any(|line| line.contains("Conversion"));
        assert!(loads.contains(&from_store) && !is_converted, "{loads:?}");
        warm.extend((1..=WARM).map(|variant| ask(&cairn, variant).unwrap()));
        repeated.extend((1..=WARM).map(|variant| ask(&cairn, variant).unwrap()));
        cairn.stop();
    }
    let (middle, _) = middle_and_fastest(&mut first);
    let verdict = if middle < TARGET { "met" } else { "missed" };
    println!("\nnames, from the question to the end of the answer; {STARTS} starts:\n");
    println!("| addresses | builds | first | warm | repeated | target, first |");
    println!("|---|---|---|---|---|---|");
    println!(
        "| {} | {LIBRARIES} | {} | {} | {} | {} s: {verdict} |",
        u64::from(LIBRARIES) * FUNCTIONS,
        ms(&mut first),
        ms(&mut warm),
        ms(&mut repeated),
        TARGET.as_secs(),
    );
}

fn libraries() -> impl Iterator<Item = Library> {
    (0..LIBRARIES).map(Library)
}

/// Uploads the libraries and pushes the profile, and asks until everything has its name.
fn prepare(folder: &Path, data: &Path) {
    let cairn = Cairn::start(data, &[QUIET]);
    let mut upload = Command::new(binary("cairn"));
    upload.args(["debuginfo", "upload", "--server", &cairn.url()]);
    for library in libraries() {
        let path = folder.join(format!("library_{:02}.so", library.0));
        std::fs::write(&path, library.elf()).unwrap();
        upload.arg(path);
    }
    let uploaded = upload.output().unwrap();
    assert!(uploaded.status.success(), "{uploaded:?}");
    let push = "POST /api/v1/profiles?name=process_cpu&label=service.name=names";
    let answer = http::send(cairn.address, push, &[], &profile());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let start = Instant::now();
    while let Err(why) = ask(&cairn, 0) {
        assert!(start.elapsed() < PATIENCE, "{why}");
        std::thread::sleep(Duration::from_millis(100));
    }
    cairn.stop();
}

/// One sample in each function, without calls around it.
fn profile() -> Vec<u8> {
    let mut strings = Strings::default();
    strings.push("");
    let (mut mappings, mut locations) = (Vec::new(), Vec::new());
    for library in libraries() {
        let mapping = mappings.len() as u32;
        mappings.push(Mapping {
            file: strings.push(&format!("/usr/lib/library_{:02}.so", library.0)),
            build_id: strings.push(&library.build_id()),
            addressing: Addressing::FileOffset,
        });
        locations.extend((0..FUNCTIONS).map(|number| Location {
            mapping,
            address: Library::address(number),
            lines: (0, 0),
        }));
    }
    let rows = Rows {
        strings: &strings,
        functions: &[],
        mappings: &mappings,
        locations: &locations,
        lines: &[],
    };
    let heading = Heading {
        value_type: ("cpu", "nanoseconds"),
        period_type: ("cpu", "nanoseconds"),
        period: 1,
        time: TIME,
        duration: SECOND,
    };
    let samples = (0..locations.len() as u32).map(|at| (std::iter::once(at), 1));
    let plain = cairn_pprof::encode_stacks(rows, &heading, samples);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    std::io::Write::write_all(&mut gzip, &plain).unwrap();
    gzip.finish().unwrap()
}

/// How long the flame graph took, or what is wrong with it. The `variant`s of the question differ in
/// a matcher that every row fulfils, so that no kept answer helps.
fn ask(cairn: &Cairn, variant: usize) -> Result<Duration, String> {
    let query = format!("{TYPE}{{namespace!=\"none-{variant}\"}}");
    let query = query.replace('{', "%7B").replace('}', "%7D");
    let query = query.replace('"', "%22").replace('=', "%3D");
    let (from, until) = (TIME - SECOND, TIME + SECOND);
    let what = format!(
        "GET /api/v1/flamegraph?query={query}&from={from}&until={until}&max_nodes={NODES_MAX}"
    );
    let start = Instant::now();
    let answer = http::send(cairn.address, &what, &[], &[]);
    let took = start.elapsed();
    if answer.status != 200 || answer.head.contains("\ncairn-warning:") {
        let text = answer.text().chars().take(500).collect::<String>();
        return Err(format!("{}{text}", answer.head));
    }
    let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    check(&answer).map(|()| took)
}

/// Each function is there by its name, with its one sample, and nothing else is.
fn check(answer: &serde_json::Value) -> Result<(), String> {
    let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    let (names, label, own) = (list("names"), list("label"), list("self"));
    let sampled = label.iter().zip(&own).filter(|(_, own)| **own != 0);
    let mut found = HashSet::new();
    for (label, own) in sampled {
        let name = names[label.as_u64().unwrap() as usize].as_str().unwrap();
        if own != 1 || !found.insert(name.to_owned()) {
            return Err(format!("{name} has {own}, or is there twice"));
        }
    }
    let made: HashSet<String> = libraries()
        .flat_map(|library| (0..FUNCTIONS).map(move |number| library.function(number)))
        .collect();
    match made == found {
        true => Ok(()),
        false => {
            let named = made.intersection(&found).count();
            let other = found.difference(&made).next();
            Err(format!(
                "{named} of {} functions have a name; other: {other:?}",
                made.len()
            ))
        }
    }
}

/// Where the process says that symbol files came from. Separate debug files there are none.
fn loads(cairn: &Cairn) -> Vec<String> {
    let (_, metrics) = get(cairn.admin(), "/metrics").unwrap();
    let metrics = String::from_utf8_lossy(&metrics);
    let lines = metrics.lines().map(str::to_owned);
    lines
        .filter(|line| line.starts_with("cairn_symbolizer_loads_total"))
        .collect()
}

fn middle_and_fastest(times: &mut [Duration]) -> (Duration, Duration) {
    times.sort_unstable();
    (times[(times.len() - 1) / 2], times[0])
}

fn ms(times: &mut [Duration]) -> String {
    let (middle, fastest) = middle_and_fastest(times);
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    format!("{:.0} ms ({:.0})", ms(middle), ms(fastest))
}
