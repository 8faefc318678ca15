//! Cairn as a cluster of processes, each on a host of its own: three ingesters, two queriers, a
//! compactor and the object store.
//!
//! Owns which programs run where with which settings, and starts again what ended. What goes wrong
//! meanwhile is the scenario's business.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use cairn_testkit::process::{self, Process, binary, spawn};

use crate::client::Client;
use crate::hosts::{Host, Network};
use crate::settings;
use crate::store::StoreServer;

pub const INGESTERS: [&str; 3] = ["ingester-1", "ingester-2", "ingester-3"];
pub const QUERIERS: [&str; 2] = ["querier-1", "querier-2"];
pub const COMPACTOR: &str = "compactor";
pub const STORE: &str = "store";

/// Ports are the same on every host.
pub(crate) const PORT: u16 = 7070;
pub(crate) const ADMIN_PORT: u16 = 7071;
pub(crate) const PEER_PORT: u16 = 7072;

const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// The running cluster.
#[derive(Debug)]
pub struct Cluster {
    pub network: Network,
    folder: PathBuf,
    services: Vec<Service>,
    pub store: StoreServer,
}

/// One of our programs.
#[derive(Debug)]
struct Service {
    name: String,
    host: Host,
    process: Option<Process>,
    /// Added to the environment at the next start.
    env: Vec<(String, String)>,
    /// Programs that start the program, such as a tracer.
    wrapper: Vec<String>,
}

impl Cluster {
    /// Starts everything over `folder` and waits until it is ready.
    pub fn start(folder: &Path, network: Network) -> anyhow::Result<Self> {
        let store = StoreServer::start(&folder.join(STORE), network.host(STORE))?;
        let names = INGESTERS.into_iter().chain(QUERIERS).chain([COMPACTOR]);
        let services = names.map(|name| Service {
            name: name.to_owned(),
            host: network.host(name).clone(),
            process: None,
            env: Vec::new(),
            wrapper: Vec::new(),
        });
        let mut cluster = Self {
            services: services.collect(),
            folder: folder.to_owned(),
            network,
            store,
        };
        for name in cluster.names() {
            cluster.spawn(&name)?;
        }
        cluster.ready(PATIENCE)?;
        Ok(cluster)
    }

    fn names(&self) -> Vec<String> {
        self.services.iter().map(|s| s.name.clone()).collect()
    }

    fn service(&mut self, name: &str) -> &mut Service {
        let found = self.services.iter_mut().find(|s| s.name == name);
        found.unwrap_or_else(|| panic!("there is no service {name}"))
    }

    /// Where clients of every one of these connect.
    pub fn clients(&self, names: &[&str]) -> anyhow::Result<Vec<Client>> {
        let url = |name: &&str| url(self.network.host(name), PORT);
        names.iter().map(|name| Client::new(&url(name))).collect()
    }

    /// Starts a service that does not run; does not wait for it.
    pub fn spawn(&mut self, name: &str) -> anyhow::Result<()> {
        let settings = settings::of(name, &self.network, &self.store, &self.folder.join(name));
        let file = self.folder.join(format!("{name}.yaml"));
        std::fs::write(&file, settings.to_string()).context("write the settings")?;
        let service = self.service(name);
        anyhow::ensure!(service.process.is_none(), "{name} runs already");
        let program = binary(&format!("cairn-{}", settings::section(name)));
        let at = |port| SocketAddr::from((service.host.ip, port)).to_string();
        let mut args: Vec<String> = service.host.exec().map(str::to_owned).to_vec();
        args.extend(service.wrapper.iter().cloned());
        args.push(program.display().to_string());
        args.push("--insecure-listen-anywhere".to_owned());
        for (flag, value) in [
            ("--config", file.display().to_string()),
            ("--listen", at(PORT)),
            ("--admin-listen", at(ADMIN_PORT)),
        ] {
            args.extend([flag.to_owned(), value]);
        }
        let env = service.env.iter();
        let env: Vec<(&str, &str)> = env.map(|(k, v)| (k.as_str(), v.as_str())).collect();
        service.process = Some(spawn("ip", args, &env));
        Ok(())
    }

    /// Waits until every service that runs is ready.
    pub fn ready(&mut self, patience: Duration) -> anyhow::Result<()> {
        for service in &mut self.services {
            let address = SocketAddr::from((service.host.ip, ADMIN_PORT));
            if let Some(process) = &mut service.process {
                process.wait_until_ready(address, "/ready", patience);
            }
        }
        Ok(())
    }

    /// Ends a process at once (SIGKILL).
    pub fn kill(&mut self, name: &str) {
        if let Some(process) = self.service(name).process.take() {
            process.kill();
        }
    }

    /// Asks a process to stop (SIGTERM) and waits for its end.
    pub fn terminate(&mut self, name: &str) -> anyhow::Result<()> {
        if let Some(process) = self.service(name).process.take() {
            let status = process.terminate(PATIENCE);
            anyhow::ensure!(status.success(), "{name} ended with {status}");
        }
        Ok(())
    }

    /// Sends a signal such as `STOP`.
    pub fn signal(&mut self, name: &str, signal: &str) -> anyhow::Result<()> {
        let process = self.service(name).process.as_ref();
        let id = process
            .with_context(|| format!("{name} does not run"))?
            .id();
        let sent = Command::new("kill")
            .args([format!("-{signal}"), id.to_string()])
            .status();
        anyhow::ensure!(sent.context("run kill")?.success(), "{name} has ended");
        Ok(())
    }

    /// Environment and wrapper of a service from its next start on.
    pub fn start_with(&mut self, name: &str, env: &[(&str, &str)], wrapper: &[&str]) {
        let service = self.service(name);
        let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        service.env = env.iter().map(owned).collect();
        service.wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Starts every service that has ended by itself or was killed, as a supervisor would, and
    /// names them.
    pub fn supervise(&mut self) -> anyhow::Result<Vec<String>> {
        let mut started = Vec::new();
        for name in self.names() {
            let process = &mut self.service(&name).process;
            if process.as_mut().is_some_and(Process::has_ended) {
                self.note_output(&name)?;
                self.service(&name).process = None;
            }
            let process = &self.service(&name).process;
            if process.is_none() {
                self.spawn(&name)?;
                started.push(name);
            }
        }
        Ok(started)
    }

    /// Supervises until this much time has passed.
    pub async fn supervised(&mut self, time: Duration) -> anyhow::Result<()> {
        let mut left = time;
        while left > POLL {
            self.supervise()?;
            tokio::time::sleep(POLL * 4).await;
            left = left.saturating_sub(POLL * 4);
        }
        Ok(())
    }

    /// What a service has printed since its last start.
    pub fn output(&mut self, name: &str) -> String {
        let process = self.service(name).process.as_ref();
        process.map(Process::output).unwrap_or_default()
    }

    /// Writes what every service has printed since its last start beside its files.
    pub fn keep_output(&mut self) -> anyhow::Result<()> {
        let names = self.names();
        names.iter().try_for_each(|name| self.note_output(name))
    }

    fn note_output(&mut self, name: &str) -> anyhow::Result<()> {
        let file = self.folder.join(format!("{name}.log"));
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(file);
        let mut file = file.context("keep what was printed")?;
        let output = self.output(name);
        file.write_all(output.as_bytes())
            .context("keep what was printed")
    }

    /// The folder of a service's own files.
    pub fn data(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The value of a metric that a service reports; 0 if it has none of that name.
    pub fn metric(&self, name: &str, metric: &str) -> anyhow::Result<f64> {
        let address = SocketAddr::from((self.network.host(name).ip, ADMIN_PORT));
        let (_, body) = process::get(address, "/metrics").context("ask for metrics")?;
        let body = String::from_utf8_lossy(&body);
        let value = |line: &str| line.strip_prefix(metric)?.trim().parse::<f64>().ok();
        Ok(body.lines().filter_map(value).sum())
    }
}

pub(crate) fn url(host: &Host, port: u16) -> String {
    format!("http://{}:{port}", host.ip)
}
