//! Published clients, installed here, push and read: what they see is what their users see.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use cairn_model::TimeRange;
use cairn_testkit::corpus;
use serde_json::Value;

use crate::cairn::Cairn;

/// Seconds that a program under an SDK runs: at least one whole upload interval of two seconds.
const RUN_SECONDS: &str = "6";
const ALWAYS: TimeRange = TimeRange {
    start: 0,
    end: 4_000_000_000_000_000_000,
};
/// Held while clients are installed: tests that run at the same time share their folders.
pub(crate) static INSTALLING: Mutex<()> = Mutex::new(());

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(name)
}

/// Where clients are installed: kept between runs.
pub(crate) fn installed(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("clients")
        .join(name);
    std::fs::create_dir_all(&path).unwrap();
    path
}

pub(crate) fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{command:?} ended with {}:\n{out}\n{err}",
        output.status
    );
    out
}

/// A virtual environment with the pinned packages of a folder.
pub(crate) fn python(name: &str) -> PathBuf {
    let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let home = installed(name);
    let python = home.join("bin/python");
    let requirements = folder(name).join("requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).unwrap();
    let marker = home.join("installed.txt");
    if std::fs::read_to_string(&marker).ok().as_ref() != Some(&wanted) {
        run(Command::new("python3").args(["-m", "venv"]).arg(&home));
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "-r"])
            .arg(&requirements));
        std::fs::write(marker, wanted).unwrap();
    }
    python
}

/// A folder with the pinned packages and our scripts, the one for Parca bundled.
fn node() -> PathBuf {
    let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let home = installed("node");
    for file in ["package.json", "package-lock.json", "push.js", "parca.js"] {
        std::fs::copy(folder("node").join(file), home.join(file)).unwrap();
    }
    let wanted = std::fs::read_to_string(home.join("package-lock.json")).unwrap();
    let marker = home.join("installed.json");
    if std::fs::read_to_string(&marker).ok().as_ref() != Some(&wanted) {
        // Their install scripts only pick a ready-made binary that is in the package anyway.
        let args = [
            "ci",
            "--no-audit",
            "--no-fund",
            "--silent",
            "--ignore-scripts",
        ];
        run(Command::new("npm").args(args).current_dir(&home));
        std::fs::write(marker, wanted).unwrap();
    }
    // The client's modules name each other without extensions, which only a bundler resolves.
    let esbuild = home.join("node_modules/@esbuild/linux-x64/bin/esbuild");
    let args = [
        "parca.js",
        "--bundle",
        "--platform=node",
        "--outfile=bundle.js",
        "--log-level=error",
    ];
    run(Command::new(esbuild).args(args).current_dir(&home));
    home
}

/// All functions of the merged answer, and its total.
async fn functions(cairn: &Cairn, selector: &str) -> (Vec<String>, i64) {
    let (profile, warnings) = cairn
        .connect()
        .await
        .merged(selector, ALWAYS)
        .await
        .expect(selector);
    assert!(warnings.is_empty(), "{selector}: {warnings:?}");
    let names = profile
        .tables
        .functions
        .iter()
        .map(|function| profile.str(function.name).to_owned())
        .collect();
    (names, profile.samples.values.iter().sum())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_sdk_pushes_what_its_program_does() {
    let python = python("python");
    let data = tempfile::tempdir().unwrap();
    let cairn = Cairn::start(data.path(), &[]);
    run(Command::new(python)
        .arg(folder("python").join("push.py"))
        .args([&cairn.url(), RUN_SECONDS]));
    let selector = r#"process_cpu:cpu:nanoseconds:cpu:nanoseconds{service_name="python-app", region="eu-west-1"}"#;
    let (names, total) = functions(&cairn, selector).await;
    assert!(
        names.iter().any(|name| name.contains("cairn_python_hot")),
        "{names:?}"
    );
    assert!(
        total > 1_000_000_000,
        "only {total} ns in {RUN_SECONDS} busy seconds"
    );
    let tagged = selector.replace('}', r#", endpoint="/checkout"}"#);
    assert!(
        functions(&cairn, &tagged).await.1 > total / 2,
        "tags of the program do not select"
    );
    cairn.stop();
}

/// Two releases of the protocol, which number its fields differently, over both transports.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opentelemetry_profilers_push_what_a_traced_request_does() {
    let data = tempfile::tempdir().unwrap();
    let cairn = Cairn::start(data.path(), &[]);
    for (release, protocol) in [
        ("otel-1.9", "http/protobuf"),
        ("otel-1.10", "http/protobuf"),
        ("otel-1.9", "grpc"),
        ("otel-1.10", "grpc"),
    ] {
        let service = format!("{release} {protocol}");
        let said = run(Command::new(python(release))
            .arg(folder(release).join("push.py"))
            .arg("4")
            .env("OTEL_SERVICE_NAME", &service)
            .env("OTEL_PROFILING_EXPORTER", "otlp")
            .env("OTEL_PROFILING_EXPORT_INTERVAL", "2")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", cairn.url())
            .env("OTEL_EXPORTER_OTLP_INSECURE", "true")
            .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
            .env("OTEL_EXPORTER_OTLP_PROFILES_PROTOCOL", protocol));
        let of_service = format!("service_name={service:?}");
        let wall = "wall:wall:nanoseconds:wall:nanoseconds";
        let (names, total) = functions(&cairn, &format!("{wall}{{{of_service}}}")).await;
        assert!(
            names.iter().any(|name| name == "cairn_otel_hot"),
            "{service}: {names:?}"
        );
        assert!(total > 1_000_000_000, "{service}: only {total} ns in 4 s");
        let of_trace = format!("{wall}{{{of_service}, trace_id={:?}}}", said.trim());
        let (_, traced) = functions(&cairn, &of_trace).await;
        assert!(
            traced > 500_000_000,
            "{service}: only {traced} ns of {total} are of the request"
        );
    }
    cairn.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_sdk_pushes_what_its_program_does() {
    let home = node();
    let data = tempfile::tempdir().unwrap();
    let cairn = Cairn::start(data.path(), &[]);
    run(Command::new("node")
        .arg("push.js")
        .args([&cairn.url(), RUN_SECONDS])
        .current_dir(home));
    let selector =
        r#"wall:cpu:nanoseconds:wall:nanoseconds{service_name="node-app", endpoint="/checkout"}"#;
    let (names, total) = functions(&cairn, selector).await;
    assert!(
        names.iter().any(|name| name.contains("cairnNodeHot")),
        "{names:?}"
    );
    assert!(
        total > 1_000_000_000,
        "only {total} ns in {RUN_SECONDS} busy seconds"
    );
    cairn.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parcas_client_pushes_over_grpc_and_reads_over_grpc_web() {
    let home = node();
    let file = corpus::root().join("generated/go/go1.27-cpu-5s.pb.gz");
    let sent = cairn_pprof::decode(
        &std::fs::read(&file).unwrap(),
        &Default::default(),
        &Default::default(),
    );
    let sent = sent.unwrap().profile;
    let total: i64 = (0..sent.samples.len())
        .map(|sample| sent.values(sample)[1])
        .sum();
    let data = tempfile::tempdir().unwrap();
    let cairn = Cairn::start(data.path(), &[]);
    let (from, until) = (
        sent.time / 1_000_000 - 60_000,
        sent.time / 1_000_000 + 60_000,
    );
    let mut command = Command::new("node");
    command
        .arg("bundle.js")
        .arg(cairn.address.to_string())
        .arg(&file)
        .args([from.to_string(), until.to_string()]);
    let printed = run(command.current_dir(home));
    let answers: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), 2, "{printed}");
    for answer in answers {
        assert_eq!(
            answer["types"],
            serde_json::json!(["process_cpu:cpu", "process_cpu:samples"]),
            "{answer}"
        );
        assert_eq!(
            answer["labels"],
            serde_json::json!(["endpoint", "job", "region"]),
            "{answer}"
        );
        assert_eq!(
            answer["values"],
            serde_json::json!(["parca-client"]),
            "{answer}"
        );
        for figure in ["series", "total", "root"] {
            assert_eq!(answer[figure], total, "{figure} of {answer}");
        }
        assert_eq!(answer["unit"], "nanoseconds", "{answer}");
        assert!(answer["functions"].as_u64().unwrap() > 30, "{answer}");
    }
    cairn.stop();
}
