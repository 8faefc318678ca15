//! The real debuginfod, in a network of its own, with what Debian ships of the C library.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cairn_testkit::process::{Process, spawn};
use cairn_wire::cairn::symbols::v1::Addressing;
use tempfile::TempDir;

use super::{NOWHERE, server};
use crate::server::Known;

const LIBC: &str = "/lib/x86_64-linux-gnu/libc.so.6";
const PORT: u16 = 8002;
const PATIENCE: Duration = Duration::from_secs(60);

/// Functions of which only the debug file has the names.
const FUNCTIONS: [(&str, &str); 5] = [
    ("_int_malloc", "malloc.c"),
    ("_int_free", "malloc.c"),
    ("new_do_write", "fileops.c"),
    ("sysmalloc", "malloc.c"),
    ("_int_realloc", "malloc.c"),
];

/// Two ends of a cable, one of which is in a network where nothing else is.
struct Network {
    name: String,
    inside: String,
}

impl Network {
    fn new() -> Self {
        let id = std::process::id();
        let name = format!("cairn{}", id % 1_000_000);
        let (third, fourth) = (id / 64 % 256, id % 64 * 4);
        let network = Self {
            inside: format!("10.231.{third}.{}", fourth + 2),
            name,
        };
        let Self { name, inside } = &network;
        let outside = format!("10.231.{third}.{}", fourth + 1);
        ip(&["netns", "add", name]);
        let (near, far) = (format!("{name}a"), format!("{name}b"));
        ip(&[
            "link", "add", &near, "type", "veth", "peer", "name", &far, "netns", name,
        ]);
        ip(&["addr", "add", &format!("{outside}/30"), "dev", &near]);
        ip(&["link", "set", &near, "up"]);
        ip(&[
            "-n",
            name,
            "addr",
            "add",
            &format!("{inside}/30"),
            "dev",
            &far,
        ]);
        ip(&["-n", name, "link", "set", &far, "up"]);
        network
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The cable goes with the network.
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
    }
}

fn ip(arguments: &[&str]) {
    let done = Command::new("ip").args(arguments).output();
    let done = done.expect("ip runs: apt-get install iproute2");
    assert!(
        done.status.success(),
        "ip {arguments:?} (as root): {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

struct Debuginfod {
    // It ends before its network does.
    process: Process,
    network: Network,
    _folder: TempDir,
}

impl Debuginfod {
    /// Serves the C library of this machine and its debug file.
    fn start(debug: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let files = folder.path().join("files");
        std::fs::create_dir(&files).expect("made");
        for (from, to) in [(Path::new(LIBC), "libc.so.6"), (debug, "libc.debug")] {
            std::fs::copy(from, files.join(to)).expect("copied");
        }
        let network = Network::new();
        let files = files.display().to_string();
        let port = PORT.to_string();
        let arguments = [
            "netns",
            "exec",
            &network.name,
            "debuginfod",
            "-v",
            "-p",
            &port,
            "-d",
            ":memory:",
            "-F",
            &files,
        ];
        let environment = [
            ("HOME", folder.path().to_str().expect("text")),
            ("DEBUGINFOD_URLS", ""),
        ];
        let mut process = spawn("ip", arguments, &environment);
        let address = format!("{}:{PORT}", network.inside)
            .parse()
            .expect("an address");
        process.wait_until_ready(
            address,
            &format!("/buildid/{}/debuginfo", build_id()),
            PATIENCE,
        );
        process.wait_until_ready(
            address,
            &format!("/buildid/{}/executable", build_id()),
            PATIENCE,
        );
        Self {
            process,
            network,
            _folder: folder,
        }
    }

    fn url(&self) -> String {
        format!("http://{}:{PORT}", self.network.inside)
    }
}

fn build_id() -> String {
    let libc = std::fs::read(LIBC).expect("this machine has a C library");
    let identity = cairn_symbols::Identity::read(&libc).expect("it is an ELF file");
    identity.gnu.expect("it has a build id").to_string()
}

/// Where Debian's package puts the debug file.
fn debug_file(build_id: &str) -> PathBuf {
    let (folder, file) = build_id.split_at(2);
    let path = format!("/usr/lib/debug/.build-id/{folder}/{file}.debug");
    assert!(
        Path::new(&path).exists(),
        "{path}: apt-get install libc6-dbg"
    );
    path.into()
}

/// Addresses inside of functions, by the symbols of the debug file.
fn addresses(debug: &Path) -> Vec<u64> {
    let listed = Command::new("nm").arg("--defined-only").arg(debug).output();
    let listed = listed.expect("nm runs: apt-get install binutils").stdout;
    let listed = String::from_utf8(listed).expect("names are text");
    let address = |name: &str| {
        let is_it = |line: &&str| {
            let symbol = line.rsplit(' ').next();
            symbol.is_some_and(|symbol| symbol.split('@').next() == Some(name))
        };
        let line = listed.lines().find(is_it);
        let line = line.unwrap_or_else(|| panic!("the C library has no {name}"));
        u64::from_str_radix(&line[..16], 16).expect("hex") + 1
    };
    FUNCTIONS.iter().map(|(name, _)| address(name)).collect()
}

#[tokio::test]
async fn a_real_debuginfod_names_the_c_library() {
    let build_id = build_id();
    let debug = debug_file(&build_id);
    let debuginfod = Debuginfod::start(&debug);
    let server = server(&[debuginfod.url()], |_| {}).await;
    let asked = addresses(&debug);
    let check = |known: Vec<Known>| {
        for ((function, file), known) in FUNCTIONS.iter().zip(known) {
            let outermost = known.frames.last().unwrap_or_else(|| panic!("{known:?}"));
            assert_eq!(&outermost.function, function);
            assert!(outermost.file.ends_with(file), "{outermost:?}");
            assert!(outermost.line > 0, "{outermost:?}");
        }
    };
    let named = server.symbolize("a", &build_id, Addressing::Virtual, &asked);
    check(named.await);

    // What does not exist is absent, and what is no build id is asked of nobody.
    let unknown = "00112233445566778899aabbccddeeff00112233";
    assert_eq!(server.reason("a", unknown, 1).await, NOWHERE);
    let odd = server.reason("a", "0", 1).await;
    assert_eq!(odd, "no file of this build id was uploaded");

    // It is kept: names come without the server too. This library's code lies where it is mapped.
    let Debuginfod {
        process, network, ..
    } = debuginfod;
    drop(process);
    drop(network);
    let named = server.symbolize("a", &build_id, Addressing::FileOffset, &asked);
    check(named.await);
    server.stop().await;
}
