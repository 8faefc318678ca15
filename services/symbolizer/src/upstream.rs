//! Debuginfod servers of others, asked in order for what nobody uploaded.
//!
//! That a server has nothing is remembered for a while; that it could not be asked is not, but one
//! that fails again and again is left alone for a while.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cairn_chassis::Clock;
use cairn_model::BuildId;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::metrics::{Metrics, UpstreamLabel, UpstreamOutcome};

mod addresses;
mod breaker;
mod config;
mod server;
#[cfg(test)]
mod tests;

pub use config::{UpstreamConfig, UpstreamServer};
use server::Server;

/// What is remembered at most; each takes some hundred bytes.
const ABSENCES_MAX: usize = 100_000;
/// Hex digits of a build id that servers know: no hash is longer.
const DIGITS_MAX: usize = 128;

/// Which file of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Artifact {
    Debuginfo,
    Executable,
}

impl Artifact {
    fn as_str(self) -> &'static str {
        match self {
            Self::Debuginfo => "debuginfo",
            Self::Executable => "executable",
        }
    }
}

/// What is wanted of a file.
#[derive(Clone, Copy, Debug)]
enum Want<'a> {
    /// Whether it is there.
    Word,
    /// All of it, written there, unless it has more bytes.
    Bytes(&'a Path, u64),
}

/// What came of asking all servers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    File {
        server: String,
    },
    /// Every server says that it has none.
    Absent,
}

/// A server that could not be asked, or did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{server}: {fault}")]
pub(crate) struct Trouble {
    server: String,
    fault: Fault,
}

/// Whose fault it is that there is neither a file nor word that there is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("it failed too often, and is left alone for a while")]
    Paused,
    #[error("{0}")]
    Server(String),
    #[error("{0}")]
    File(String),
    #[error("{0}")]
    Ours(String),
}

pub(crate) struct Upstream {
    servers: Vec<Server>,
    slots: Semaphore,
    bytes_max: u64,
    absence_ttl: Duration,
    absences: Mutex<HashMap<(BuildId, Artifact), Absence>>,
    metrics: Metrics,
    clock: Clock,
}

struct Absence {
    since: Instant,
    /// Why what there is is of no use; none if there is nothing.
    bad: Option<Arc<str>>,
}

impl Upstream {
    pub(crate) fn new(
        config: &UpstreamConfig,
        metrics: Metrics,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let server = |server: &UpstreamServer| {
            let made = Server::new(server, config);
            made.with_context(|| format!("use the debuginfod server {:?}", server.url))
        };
        let servers = config.servers.iter().map(server);
        Ok(Self {
            servers: servers.collect::<Result<_, _>>()?,
            slots: Semaphore::new(config.concurrent_max.max(1)),
            bytes_max: config.bytes_max.as_u64(),
            absence_ttl: config.absence_ttl,
            absences: Mutex::default(),
            metrics,
            clock,
        })
    }

    /// Whether a server may know such a build id.
    pub(crate) fn knows(&self, build_id: &BuildId) -> bool {
        let text = build_id.as_str();
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        !self.servers.is_empty()
            && is_hex
            && build_id.is_distinct()
            && text.len().is_multiple_of(2)
            && text.len() <= DIGITS_MAX
    }

    /// Whether a server has debug information of a build, without fetching it. An executable alone is
    /// no reason not to upload what may be stripped from it.
    pub(crate) async fn exists(&self, build_id: &BuildId) -> Result<bool, Error> {
        let artifact = Artifact::Debuginfo;
        if !self.knows(build_id) || self.absence(build_id, artifact).is_some() {
            return Ok(false);
        }
        let found = self.ask(build_id, artifact, Want::Word).await?;
        Ok(found.is_some())
    }

    /// Fetches a file into another, from the first server that has it. [`Error::Refused`] if it was
    /// of no use lately.
    pub(crate) async fn fetch(
        &self,
        build_id: &BuildId,
        artifact: Artifact,
        into: &Path,
    ) -> Result<Fetched, Error> {
        match self.absence(build_id, artifact) {
            Some(Some(bad)) => return Err(Error::Refused(bad.to_string())),
            Some(None) => return Ok(Fetched::Absent),
            None => {}
        }
        let _slot = self.slots.acquire().await.expect("it is never closed");
        let want = Want::Bytes(into, self.bytes_max);
        let found = self.ask(build_id, artifact, want).await?;
        Ok(found.map_or(Fetched::Absent, |server| Fetched::File {
            server: server.name().to_owned(),
        }))
    }

    /// Remembers that what the servers have is of no use.
    pub(crate) fn is_bad(&self, build_id: &BuildId, artifact: Artifact, reason: &str) {
        self.remember(build_id, artifact, Some(reason.into()));
    }

    /// The first server that has it. None, which is remembered, if each says that it has not.
    async fn ask(
        &self,
        build_id: &BuildId,
        artifact: Artifact,
        want: Want<'_>,
    ) -> Result<Option<&Server>, Error> {
        let path = format!("buildid/{build_id}/{}", artifact.as_str());
        let (mut trouble, mut bad) = (None, None);
        for server in &self.servers {
            let asked = match server.may_be_asked(self.clock.instant()) {
                true => {
                    let asked = server.ask(&path, want).await;
                    server.note(&asked, self.clock.instant());
                    asked
                }
                false => Err(Fault::Paused),
            };
            let outcome = match &asked {
                Ok(true) => UpstreamOutcome::Found,
                Ok(false) => UpstreamOutcome::Absent,
                Err(_) => UpstreamOutcome::Failed,
            };
            let label = UpstreamLabel { outcome };
            self.metrics.upstream_requests.get_or_create(&label).inc();
            match asked {
                Ok(true) => return Ok(Some(server)),
                Ok(false) => {}
                Err(Fault::File(text)) => bad = Some(format!("{}: {text}", server.name())),
                Err(fault) => {
                    let server = server.name().to_owned();
                    trouble = Some(Trouble { server, fault });
                }
            }
        }
        match (trouble, bad) {
            (Some(trouble), _) => Err(Error::Upstream(trouble)),
            (None, Some(bad)) => {
                self.is_bad(build_id, artifact, &bad);
                Err(Error::Refused(bad))
            }
            (None, None) => {
                self.remember(build_id, artifact, None);
                Ok(None)
            }
        }
    }

    /// What is remembered of a file that there is not, or is of no use.
    fn absence(&self, build_id: &BuildId, artifact: Artifact) -> Option<Option<Arc<str>>> {
        let now = self.clock.instant();
        let key = (build_id.clone(), artifact);
        let absences = self.absences.lock();
        let absence = absences.get(&key)?;
        (now.duration_since(absence.since) < self.absence_ttl).then(|| absence.bad.clone())
    }

    fn remember(&self, build_id: &BuildId, artifact: Artifact, bad: Option<Arc<str>>) {
        let since = self.clock.instant();
        let mut absences = self.absences.lock();
        if absences.len() >= ABSENCES_MAX {
            absences.retain(|_, absence| since.duration_since(absence.since) < self.absence_ttl);
        }
        if absences.len() >= ABSENCES_MAX {
            absences.clear();
        }
        absences.insert((build_id.clone(), artifact), Absence { since, bad });
    }
}
