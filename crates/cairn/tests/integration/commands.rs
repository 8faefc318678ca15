//! The command line, as somebody meets it who uses it for the first time.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use cairn_testkit::process::binary;

use crate::cairn::Cairn;
use crate::crash::profile;

const QUIET: (&str, &str) = ("CAIRN__SELF_PROFILE__ENABLED", "false");
const NOWHERE: &str = "http://127.0.0.1:1";

struct Said {
    success: bool,
    out: String,
    err: String,
}

/// Runs a command of `cairn` in a folder, with something on standard input.
fn run(folder: &Path, server: &str, args: &[&str], input: &[u8]) -> Said {
    let mut child = Command::new(binary("cairn"))
        .args(args)
        .env("CAIRN_SERVER", server)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said {
        success: output.status.success(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

#[test]
fn what_is_pushed_is_shown_by_the_query_that_push_prints() {
    let data = tempfile::tempdir().unwrap();
    let cairn = Cairn::start(&data.path().join("data"), &[QUIET]);
    let folder = data.path();
    std::fs::write(folder.join("good.pb"), profile(1)).unwrap();
    let run = |args: &[&str], input: &[u8]| run(folder, &cairn.url(), args, input);

    let labels = ["--name", "crash", "--label", "service_name=cart"];
    let pushed = run(&[&["push", "good.pb"], &labels[..]].concat(), &[]);
    assert!(pushed.success, "{}", pushed.err);
    let (_, query) = pushed.out.split_once("cairn query '").unwrap();
    let (selector, range) = query.split_once("' ").unwrap();
    let query: Vec<&str> = ["query", selector]
        .into_iter()
        .chain(range.split_whitespace())
        .collect();
    let shown = run(&query, &[]);
    assert!(
        shown.success && shown.out.contains("f1"),
        "{}{}",
        shown.out,
        shown.err
    );

    let listed = run(&[&query[..], &["-o", "profiles"]].concat(), &[]);
    assert!(
        listed.success && listed.out.contains("service_name=\"cart\""),
        "{}{}",
        listed.out,
        listed.err
    );

    let piped = run(&[&["push", "-"], &labels[..]].concat(), &profile(2));
    assert!(
        piped.out.starts_with("standard input: stored 1 samples"),
        "{}",
        piped.out
    );
    cairn.stop();
}

/// Files of other tools, a function that is in each, and what `push` finds out by itself.
#[test]
fn profiles_of_other_tools_are_pushed_as_they_are() {
    let data = tempfile::tempdir().unwrap();
    let cairn = Cairn::start(&data.path().join("data"), &[QUIET]);
    let run = |args: &[&str], input: &[u8]| run(data.path(), &cairn.url(), args, input);
    let recording = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../jfr/tests/data/jdk17.jfr.gz"
    );
    let generated = |file: &str| cairn_testkit::corpus::root().join("generated").join(file);
    for (path, function) in [
        (generated("python/py-spy.folded.txt"), "handler"),
        (generated("python/py-spy.speedscope.json"), "handler"),
        (generated("php/excimer.folded.txt"), "fib"),
        (generated("node/node.cpuprofile"), "(program)"),
        (generated("node/node.heapprofile"), "(root)"),
        (generated("perf/cpp_pie-dwarf.perf.script.txt"), "main"),
        (recording.into(), "java"),
    ] {
        let file = path.to_str().unwrap();
        let service = format!("service_name={}", path.file_name().unwrap().display());
        let pushed = run(&["push", file, "--label", &service], &[]);
        assert!(pushed.success, "{file}: {}", pushed.err);
        let (_, query) = pushed.out.split_once("cairn query '").expect(file);
        let (selector, rest) = query.split_once("' ").expect(file);
        let range = rest.lines().next().expect(file).split_whitespace();
        let query: Vec<&str> = ["query", selector, "-o", "folded"]
            .into_iter()
            .chain(range)
            .collect();
        let shown = run(&query, &[]);
        assert!(shown.success, "{file}: {}", shown.err);
        let found = shown.out.to_lowercase();
        assert!(
            found.contains(function) || function == "(root)",
            "{file}: {found}"
        );
    }
    let folded = run(
        &[
            "push",
            "-",
            "--format",
            "folded",
            "--label",
            "service_name=sh",
        ],
        b"main;a b 3\n",
    );
    assert!(
        folded.out.starts_with("standard input: stored 1 samples"),
        "{}",
        folded.err
    );
    cairn.stop();
}

#[test]
fn a_push_that_fails_names_the_file_and_the_reason() {
    let data = tempfile::tempdir().unwrap();
    let cairn = Cairn::start(&data.path().join("data"), &[QUIET]);
    let folder = data.path();
    std::fs::write(folder.join("good.pb"), profile(1)).unwrap();
    std::fs::write(folder.join("hello.txt"), "hello").unwrap();
    let push = |files: &[&str]| run(folder, &cairn.url(), &[&["push"], files].concat(), &[]);
    for (file, reason) in [
        ("missing.pb", "missing.pb: open the file: No such file"),
        ("hello.txt", "hello.txt: not a pprof file"),
        ("-", "standard input: it is empty"),
    ] {
        let said = push(&[file]);
        assert!(!said.success);
        assert!(said.err.contains(reason), "{reason} in {}", said.err);
        assert_eq!(said.out, "");
    }
    let said = push(&["missing.pb", "good.pb", "hello.txt"]);
    assert!(!said.success);
    assert!(said.out.starts_with("good.pb: stored"), "{}", said.out);
    assert!(
        said.err.contains("2 of 3 files were not stored"),
        "{}",
        said.err
    );
    let nobody = run(folder, NOWHERE, &["push", "good.pb"], &[]);
    for words in [NOWHERE, "Connection refused", "cairn serve", "--server"] {
        assert!(nobody.err.contains(words), "{words} in {}", nobody.err);
    }
    cairn.stop();
}

#[test]
fn a_query_without_an_answer_says_what_to_ask_instead() {
    let data = tempfile::tempdir().unwrap();
    let cairn = Cairn::start(&data.path().join("data"), &[QUIET]);
    let folder = data.path();
    let query = |args: &[&str]| run(folder, &cairn.url(), &[&["query"], args].concat(), &[]);
    let always = ["--from", "0"];
    let selector = "a:b:c:d:e{}";
    let said = query(&[&[selector], &always[..]].concat());
    assert!(!said.success);
    assert!(said.err.contains("no profiles at all"), "{}", said.err);

    run(
        folder,
        &cairn.url(),
        &["push", "-", "--name", "crash"],
        &profile(1),
    );
    for output in ["top", "flamegraph", "folded", "svg", "pprof"] {
        let said = query(&[&[selector, "--output", output], &always[..]].concat());
        assert!(!said.success && said.out.is_empty(), "{output}");
        let found = "crash:cpu:count:cpu:count:delta";
        assert!(said.err.contains(found), "{found} in {}", said.err);
    }
    for (args, reason) in [
        (&["nonsense"][..], "TYPE{LABEL="),
        (&["a:b:c:d:e{x=y}"], "TYPE{LABEL="),
        (&[selector, "--from", "yesterday"], "use now-15m"),
        (&[selector, "--until", "now-1h"], "ends before it starts"),
    ] {
        let said = query(args);
        assert!(!said.success && said.err.contains(reason), "{}", said.err);
    }
    cairn.stop();
}

#[test]
fn a_file_that_is_no_block_is_called_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hello.txt"), "hello ".repeat(1000)).unwrap();
    let said = run(
        folder.path(),
        NOWHERE,
        &["block", "inspect", "hello.txt"],
        &[],
    );
    assert!(!said.success);
    assert!(said.err.contains("hello.txt is no block"), "{}", said.err);
}

#[test]
fn the_catalog_tells_who_its_nodes_are_and_keeps_its_only_one() {
    let data = tempfile::tempdir().unwrap();
    let cairn = Cairn::start(&data.path().join("data"), &[QUIET]);
    let catalog = |args: &[&str]| {
        run(
            data.path(),
            &cairn.url(),
            &[&["catalog"], args].concat(),
            &[],
        )
    };
    let status = catalog(&["status"]);
    assert!(status.success, "{}", status.err);
    assert!(status.out.contains("node 1 leads"), "{}", status.out);
    for (args, told) in [
        (&["remove", "1"][..], "node 1 votes: set other voters first"),
        (&["remove", "7"], "there is no node 7"),
        (
            &["set-voters", "1", "2", "3"],
            "there is no node 2: add it as a learner first",
        ),
        (&["set-voters"], "NODES"),
        (&["add-learner", "0", "http://x"], "0 is not in"),
    ] {
        let said = catalog(args);
        assert!(
            !said.success && said.err.contains(told),
            "{args:?}: {}",
            said.err
        );
    }
    let snapshot = catalog(&["snapshot"]);
    assert!(snapshot.success, "{}", snapshot.err);
    let nobody = run(data.path(), NOWHERE, &["catalog", "status"], &[]);
    assert!(nobody.err.contains("no Cairn answers"), "{}", nobody.err);
}
