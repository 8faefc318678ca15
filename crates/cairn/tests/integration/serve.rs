//! `cairn serve` as a program: it becomes ready, shows its own profile, and ends when asked.

use std::process::Command;
use std::time::{Duration, Instant};

use cairn_testkit::process::{binary, get, spawn};

use crate::cairn::{Cairn, PATIENCE};

const CPU: &str = r#"process_cpu:cpu:nanoseconds:cpu:nanoseconds{service_name="cairn"}"#;
const HEAP: &str = r#"memory:inuse_space:bytes:space:bytes{service_name="cairn"}"#;
const QUIET: (&str, &str) = ("CAIRN__SELF_PROFILE__ENABLED", "false");
const TEN_SECONDS: Duration = Duration::from_secs(10);

#[test]
fn it_becomes_ready_and_ends_well_on_sigterm() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("CAIRN__INGESTER__WRITER", "somebody")];
    let cairn = Cairn::start(data.path(), &settings);
    let admin = cairn.admin();
    let (status, body) = get(admin, "/ready").unwrap();
    assert_eq!(status, 200);
    for service in ["ingester", "querier", "symbolizer", "compactor"] {
        let line = format!("{service}: ready");
        assert!(String::from_utf8_lossy(&body).contains(&line), "{line}");
    }
    let (_, config) = get(admin, "/config").unwrap();
    assert!(String::from_utf8_lossy(&config).contains("writer: somebody"));
    let (_, metrics) = get(admin, "/metrics").unwrap();
    assert!(String::from_utf8_lossy(&metrics).ends_with("# EOF\n"));
    cairn.stop();
}

/// Waits until the selector finds something that is not zero.
fn folded(cairn: &Cairn, selector: &str, patience: Duration) -> String {
    let start = Instant::now();
    loop {
        let query = Command::new(binary("cairn"))
            .args(["query", selector, "--from", "now-5m", "--output", "folded"])
            .args(["--server", &cairn.url()])
            .output()
            .unwrap();
        let folded = String::from_utf8(query.stdout).unwrap();
        if !folded.trim().is_empty() {
            return folded;
        }
        assert!(
            start.elapsed() < patience,
            "nothing from {selector}:\n{}",
            cairn.output()
        );
    }
}

#[test]
fn its_own_profiles_are_there_within_ten_seconds() {
    let data = tempfile::tempdir().unwrap();
    let cairn = Cairn::start(data.path(), &[]);
    let ready = Instant::now();
    for selector in [CPU, HEAP] {
        let folded = folded(&cairn, selector, PATIENCE);
        assert!(folded.contains("cairn"), "{folded}");
    }
    assert!(ready.elapsed() < TEN_SECONDS, "{:?}", ready.elapsed());
    cairn.stop();
}

#[test]
fn its_heap_is_not_profiled_if_a_setting_says_so() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("CAIRN__SELF_PROFILE__HEAP", "false")];
    let cairn = Cairn::start(data.path(), &settings);
    // Both come in the same request.
    folded(&cairn, CPU, PATIENCE);
    let query = Command::new(binary("cairn"))
        .args(["query", HEAP, "--server", &cairn.url()])
        .output()
        .unwrap();
    assert!(!query.status.success());
    let refusal = String::from_utf8(query.stderr).unwrap();
    assert!(refusal.contains("nothing matches"), "{refusal}");
    cairn.stop();
}

/// The exit code of `PROGRAM config`, and what it said.
fn config(program: &str, args: &[&str], settings: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut process = spawn(binary(program), ["config"].iter().chain(args), settings);
    (process.wait(PATIENCE).code(), process.output())
}

#[test]
fn one_setting_says_what_the_sizes_of_services_follow_from() {
    let said = |program, memory| {
        let settings = [
            ("CAIRN__MEMORY__BYTES_MAX", memory),
            ("CAIRN__INGESTER__TAIL__HEAD_BYTES_MAX", "7MiB"),
            QUIET,
        ];
        config(program, &[], &settings)
    };
    // Some is for the program itself; rows have half of the ingester's share.
    for (program, rows) in [("cairn-ingester", "850.0 MiB"), ("cairn", "382.5 MiB")] {
        let (code, text) = said(program, "2000MiB");
        assert_eq!(code, Some(0), "{program}: {text}");
        for line in [
            format!("    memory_bytes_max: {rows}"),
            "    head_bytes_max: 7.0 MiB".to_owned(),
        ] {
            assert!(text.contains(&line), "{program}: {line} in\n{text}");
        }
    }
    for bad in ["plenty", "100MiB"] {
        let (code, text) = said("cairn", bad);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains("memory.bytes_max"), "{text}");
    }
}

#[test]
fn no_program_listens_where_others_reach_it_unless_told_to() {
    let services = ["ingester", "querier", "symbolizer", "compactor"];
    let services = services.map(|service| format!("cairn-{service}"));
    for program in services.iter().map(String::as_str).chain(["cairn"]) {
        for flag in ["--listen", "--admin-listen"] {
            let exposed = [flag, "0.0.0.0:0"];
            let (code, text) = config(program, &exposed, &[]);
            assert_eq!(code, Some(2), "{program}: {text}");
            assert!(text.contains("--insecure-listen-anywhere"), "{text}");
            let told = [flag, "0.0.0.0:0", "--insecure-listen-anywhere"];
            assert_eq!(config(program, &told, &[]).0, Some(0), "{program}");
        }
        let told = [
            ("CAIRN__SERVER__LISTEN", "0.0.0.0:0"),
            ("CAIRN__SERVER__INSECURE_LISTEN_ANYWHERE", "true"),
        ];
        assert_eq!(config(program, &[], &told).0, Some(0), "{program}");
        assert_eq!(config(program, &[], &told[..1]).0, Some(2), "{program}");
    }
}

#[test]
fn settings_that_nobody_knows_are_refused() {
    let (code, text) = config("cairn", &[], &[("CAIRN__QUERIER__TIMEOUT", "1s")]);
    assert_eq!(code, Some(2));
    assert!(text.contains("timeout"), "{text}");
}
