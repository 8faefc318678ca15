//! The object store of the cluster, and what stands in front of it to make it fail: Envoy for
//! errors and delays, a proxy of ours for answers that get lost.
//!
//! Owns three processes on one host. What the store promises is its own business.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use cairn_testkit::process::{self, Process, spawn};
use cairn_testkit::servers::{envoy, seaweedfs};
use serde_json::{Value, json};

use crate::hosts::Host;
use crate::proxy;

const BUCKET: &str = "cairn";
const KEY: &str = "cairn";
const SECRET: &str = "not-a-secret";

/// What clients connect to: the proxy, then Envoy, then the store itself.
const PROXY_PORT: u16 = 9000;
const ENVOY_PORT: u16 = 9001;
const ENVOY_ADMIN_PORT: u16 = 9002;
const S3_PORT: u16 = 8333;
const MASTER_PORT: u16 = 9333;

const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

/// The running store.
#[derive(Debug)]
pub struct StoreServer {
    ip: Ipv4Addr,
    switch: proxy::Switch,
    _processes: Vec<Process>,
}

impl StoreServer {
    pub(crate) fn start(folder: &Path, host: &Host) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).context("make the store's folder")?;
        let s3 = folder.join("s3.json");
        let config = folder.join("envoy.json");
        write(&s3, &identities())?;
        write(&config, &envoy_config(host.ip))?;
        let (text, ip) = (
            |path: &Path| path.display().to_string(),
            host.ip.to_string(),
        );
        let weed: Vec<String> = [
            "server",
            &format!("-dir={}", text(folder)),
            &format!("-ip={ip}"),
            &format!("-ip.bind={ip}"),
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=64",
            "-volume.max=50",
            "-filer",
            "-s3",
            &format!("-s3.port={S3_PORT}"),
            &format!("-s3.config={}", text(&s3)),
        ]
        .map(str::to_owned)
        .to_vec();
        let through = [
            "-c".to_owned(),
            text(&config),
            "--log-level".to_owned(),
            "error".to_owned(),
        ];
        let switch = proxy::Switch::in_folder(folder)?;
        let listen = SocketAddr::from((host.ip, PROXY_PORT)).to_string();
        let upstream = SocketAddr::from((host.ip, ENVOY_PORT)).to_string();
        let own = std::env::current_exe().context("find this program")?;
        let proxy = ["proxy".to_owned(), listen, upstream, text(switch.path())];
        let mut processes = vec![start(host, &seaweedfs(), &weed), start(host, &own, &proxy)];
        let mut envoy = start(host, &envoy(), &through);
        let admin = SocketAddr::from((host.ip, ENVOY_ADMIN_PORT));
        envoy.wait_until_ready(admin, "/ready", PATIENCE);
        processes.push(envoy);
        let server = Self {
            ip: host.ip,
            switch,
            _processes: processes,
        };
        server.make_bucket(host)?;
        Ok(server)
    }

    /// As the services' settings spell it.
    pub(crate) fn settings(&self) -> Value {
        json!({
            "bucket": BUCKET,
            "endpoint": format!("http://{}:{PROXY_PORT}", self.ip),
            "region": "us-east-1",
            "access_key_id": KEY,
            "secret_access_key": SECRET,
            "allow_http": true,
        })
    }

    /// Of a hundred requests, so many are answered 503 before they reach the store.
    pub fn refuse(&self, percent: u8) -> anyhow::Result<()> {
        self.envoy(&format!("fault.http.abort.abort_percent={percent}"))
    }

    /// Of a hundred requests, so many wait for half a second.
    pub fn delay(&self, percent: u8) -> anyhow::Result<()> {
        self.envoy(&format!("fault.http.delay.fixed_delay_percent={percent}"))
    }

    /// Of a hundred puts, the connections of so many end after the store took them and before it
    /// could say so.
    pub fn lose_replies(&self, percent: u8) -> anyhow::Result<()> {
        self.switch.set(percent)
    }

    fn envoy(&self, setting: &str) -> anyhow::Result<()> {
        let admin = SocketAddr::from((self.ip, ENVOY_ADMIN_PORT));
        let (status, body) =
            process::request(admin, "POST", &format!("/runtime_modify?{setting}"))?;
        if status != 200 {
            bail!("Envoy: {}", String::from_utf8_lossy(&body));
        }
        Ok(())
    }

    /// The server answers some seconds before it can store anything, so this is tried until it
    /// works.
    fn make_bucket(&self, host: &Host) -> anyhow::Result<()> {
        let start = now();
        let master = SocketAddr::from((self.ip, MASTER_PORT));
        let script = format!("echo s3.bucket.create -name {BUCKET}; echo s3.bucket.list");
        let shell = format!(
            "({script}) | {} shell -master={master}",
            seaweedfs().display()
        );
        loop {
            let args = host.exec().into_iter().chain(["sh", "-c", &shell]);
            let output = std::process::Command::new("ip").args(args).output()?;
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            if said
                .lines()
                .any(|line| line.trim_start().starts_with(BUCKET))
            {
                return Ok(());
            }
            if now() - start > PATIENCE {
                bail!("the object store takes no bucket: {said}");
            }
            std::thread::sleep(POLL);
        }
    }
}

fn start(host: &Host, program: &Path, args: &[String]) -> Process {
    let own = [program.display().to_string()];
    let exec = host.exec().map(str::to_owned);
    let args = exec.iter().chain(&own).chain(args);
    spawn("ip", args, &[])
}

fn write(path: &Path, value: &Value) -> anyhow::Result<()> {
    std::fs::write(path, value.to_string()).with_context(|| format!("write {}", path.display()))
}

fn identities() -> Value {
    json!({"identities": [{
        "name": "cairn",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }]})
}

/// Passes everything on, until its runtime settings say otherwise.
fn envoy_config(ip: Ipv4Addr) -> Value {
    let kind = |name: &str| format!("type.googleapis.com/envoy.extensions.filters.{name}");
    let at = |port: u16| json!({"socket_address": {"address": ip, "port_value": port}});
    let none = json!({"numerator": 0});
    let fault = json!({"name": "envoy.filters.http.fault", "typed_config": {
        "@type": kind("http.fault.v3.HTTPFault"),
        "delay": {"fixed_delay": "0.5s", "percentage": none},
        "abort": {"http_status": 503, "percentage": none},
    }});
    let router = json!({"name": "envoy.filters.http.router", "typed_config": {
        "@type": kind("http.router.v3.Router"),
    }});
    let route = json!({"match": {"prefix": "/"}, "route": {"cluster": "store", "timeout": "0s"}});
    let hosts = json!([{"name": "store", "domains": ["*"], "routes": [route]}]);
    let connections = json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": {
        "@type": kind("network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "store",
        "route_config": {"virtual_hosts": hosts},
        "http_filters": [fault, router],
    }});
    let endpoint = json!({"endpoint": {"address": at(S3_PORT)}});
    json!({
        "admin": {"address": at(ENVOY_ADMIN_PORT)},
        "layered_runtime": {"layers": [{"name": "admin", "admin_layer": {}}]},
        "static_resources": {
            "listeners": [{"address": at(ENVOY_PORT), "filter_chains": [{"filters": [connections]}]}],
            "clusters": [{
                "name": "store",
                "type": "STATIC",
                "load_assignment": {
                    "cluster_name": "store",
                    "endpoints": [{"lb_endpoints": [endpoint]}],
                },
            }],
        },
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "other programs run on the real clock"
)]
fn now() -> Instant {
    Instant::now()
}
