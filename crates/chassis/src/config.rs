//! Settings: what every process has, and how a document of them is read. What services configure
//! is their own.

mod addresses;
mod document;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use addresses::Addresses;
pub use cairn_model::Secret;
pub use document::{ConfigError, Document};

/// The ports and the end of a process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Where clients and peers connect: gRPC, gRPC-web and HTTP on one port.
    pub listen: SocketAddr,
    /// Where operators connect: liveness, readiness, metrics, effective config, log filter.
    pub admin_listen: SocketAddr,
    /// Take addresses that other machines reach, although anybody there may then read and write
    /// every profile.
    pub insecure_listen_anywhere: bool,
    /// From the first stop signal until the process gives up on what is still running.
    #[serde(with = "humantime_serde")]
    pub shutdown_deadline: Duration,
    /// How long requests are still accepted after readiness is off, for load balancers to notice.
    #[serde(with = "humantime_serde")]
    pub drain_delay: Duration,
    /// Web origins, besides those on this machine, whose pages may read answers. `*` is any.
    pub cors_origins: Vec<String>,
    /// Connections open at once; more wait to be accepted.
    pub connections_max: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 7070).into(),
            admin_listen: (Ipv4Addr::LOCALHOST, 7071).into(),
            insecure_listen_anywhere: false,
            shutdown_deadline: Duration::from_secs(25),
            drain_delay: Duration::ZERO,
            cors_origins: Vec::new(),
            connections_max: 4096,
        }
    }
}

impl Server {
    /// Closed by default: while nobody has to say who they are, only this machine is listened to.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let addresses = [self.listen, self.admin_listen];
        let exposed = addresses.into_iter().find(|at| !at.ip().is_loopback());
        match exposed {
            Some(address) if !self.insecure_listen_anywhere => Err(ConfigError::Exposed(address)),
            Some(_) | None => Ok(()),
        }
    }
}

/// Settings of a service.
pub trait Service: Default + Serialize + DeserializeOwned + Send + 'static {
    /// The same with sizes that keep the service within so many bytes of memory.
    #[must_use]
    fn within(self, bytes: u64) -> Self;
}

/// What the process may take of the machine's memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Memory {
    /// Resident bytes of this process, not of processes that it starts. The sizes of tail,
    /// admission, merges and caches follow from it.
    pub bytes_max: ByteSize,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            bytes_max: ByteSize::gib(1),
        }
    }
}

/// What services divide: the memory that is not the program's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget(u64);

impl Memory {
    /// Code, stacks of threads, connections, and gaps between allocations.
    const OVERHEAD_PERCENT: u64 = 15;
    /// Debug information of this very program, which names its functions.
    const SELF_PROFILE_BYTES: u64 = 256 << 20;
    /// With less, services could hardly take one large profile.
    const BUDGET_MIN: u64 = 192 << 20;

    pub(crate) fn budget(&self, self_profile: &SelfProfile) -> Result<Budget, ConfigError> {
        let own = match self_profile.enabled {
            true => Self::SELF_PROFILE_BYTES,
            false => 0,
        };
        let rest = self.bytes_max.as_u64().saturating_sub(own);
        let budget = rest / 100 * (100 - Self::OVERHEAD_PERCENT);
        if budget < Self::BUDGET_MIN {
            return Err(ConfigError::Memory(self.bytes_max));
        }
        Ok(Budget(budget))
    }
}

impl Budget {
    pub fn percent(self, percent: u64) -> u64 {
        self.0 / 100 * percent
    }
}

/// Logs and traces.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// Directives as `tracing` understands them: `info,cairn_ingester=debug`.
    pub log_filter: String,
    pub log_format: LogFormat,
    /// Where spans are sent, OTLP over gRPC. Nothing is sent if absent.
    pub otlp_endpoint: Option<String>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            // The sampler of self-profiling tells of every window.
            // Of raft the catalog tells itself what matters.
            log_filter: "info,pprof=warn,openraft=off".to_owned(),
            log_format: LogFormat::Text,
            otlp_endpoint: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object per line.
    Json,
}

/// Profiling this very process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelfProfile {
    pub enabled: bool,
    /// Also who holds memory, besides who takes CPU time. Costs little; only on Linux.
    pub heap: bool,
    /// Who takes the profiles, as `http://host:port`. This process itself if absent.
    pub address: Option<String>,
    /// The span of one CPU profile, and the time between two of the heap.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
}

impl Default for SelfProfile {
    fn default() -> Self {
        Self {
            enabled: false,
            heap: true,
            address: None,
            window: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_services_divide_leaves_room_for_the_program() {
        let budget = |mib, enabled| {
            let memory = Memory {
                bytes_max: ByteSize::mib(mib),
            };
            let self_profile = SelfProfile {
                enabled,
                ..SelfProfile::default()
            };
            let budget = memory.budget(&self_profile).ok();
            budget.map(|budget| budget.percent(100) >> 20)
        };
        assert_eq!(budget(1000, false), Some(850));
        assert_eq!(budget(1256, true), Some(850));
        assert_eq!(
            (budget(256, false), budget(512, true)),
            (Some(217), Some(217))
        );
        assert_eq!((budget(192, false), budget(448, true)), (None, None));
        assert_eq!((budget(0, false), budget(0, true)), (None, None));
    }
}
