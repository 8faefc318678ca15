//! `cairn serve` as a program: it becomes ready, shows its own profile, and ends when asked.

use std::process::Command;
use std::time::Instant;

use cairn_testkit::process::{binary, get, spawn};

use crate::cairn::{Cairn, PATIENCE, address_after};

#[test]
fn it_becomes_ready_and_ends_well_on_sigterm() {
    let data = tempfile::tempdir().unwrap();
    let args = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ];
    let settings = [("CAIRN__INGESTER__WRITER", "somebody")];
    let cairn = spawn(
        binary("cairn"),
        args.into_iter()
            .chain(["--data", data.path().to_str().unwrap()]),
        &settings,
    );
    let admin = address_after(&cairn.wait_for_line("Admin", PATIENCE), "http://");
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
    assert!(cairn.terminate(PATIENCE).success());
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_profile_is_soon_there() {
    let data = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let cairn = Cairn::start(data.path(), &[]);
    let selector = "process_cpu:cpu:nanoseconds:cpu:nanoseconds{service_name=\"cairn\"}";
    let folded = loop {
        let query = Command::new(binary("cairn"))
            .args(["query", selector, "--from", "now-5m", "--output", "folded"])
            .args(["--server", &cairn.url()])
            .output()
            .unwrap();
        let folded = String::from_utf8(query.stdout).unwrap();
        if !folded.trim().is_empty() {
            break folded;
        }
        assert!(start.elapsed() < PATIENCE, "nothing from {selector}");
    };
    assert!(folded.contains("cairn"), "{folded}");
    cairn.stop();
}

#[test]
fn it_refuses_addresses_that_others_reach_and_settings_it_does_not_know() {
    let refusal = |args: &[&str], settings: &[(&str, &str)]| {
        let mut cairn = spawn(binary("cairn"), ["config"].iter().chain(args), settings);
        let status = cairn.wait(PATIENCE);
        assert_eq!(status.code(), Some(2));
        cairn.output()
    };
    let text = refusal(&["--listen", "0.0.0.0:0"], &[]);
    assert!(text.contains("--insecure-listen-anywhere"), "{text}");
    let text = refusal(&[], &[("CAIRN__QUERIER__TIMEOUT", "1s")]);
    assert!(text.contains("timeout"), "{text}");
}
