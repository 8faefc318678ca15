//! The compactor's settings. Owns no defaults of other crates.

use std::time::Duration;

use bytesize::ByteSize;
use cairn_chassis::config;
use serde::{Deserialize, Serialize};

/// Settings of one compactor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where blocks are.
    pub store: cairn_store::Config,
    /// Ingesters that serve the catalog, as URIs; this process if there are none.
    pub catalog: config::Addresses,
    /// How long to wait for an answer of the catalog.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// How often to look for work.
    #[serde(with = "humantime_serde")]
    pub poll_interval: Duration,
    /// How long a replaced block stays in the store: longer than any query takes.
    #[serde(with = "humantime_serde")]
    pub deletion_delay: Duration,
    /// Memory that the stacks of a merge may take; blocks that have more stay apart.
    pub stacks_bytes_max: ByteSize,
    pub plan: PlanConfig,
}

/// Settings of what is merged with what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlanConfig {
    /// Blocks of one window become one; each window is a multiple of the one before.
    pub windows: Vec<Window>,
    /// How long after its end a window is left alone: until writers have flushed its profiles.
    #[serde(with = "humantime_serde")]
    pub settle: Duration,
    /// How long a client may send again what was stored, until that is in a block as well: for so long
    /// only the smallest windows take what is new. Queries compare the blocks that come of these with
    /// what ingesters hold, and larger ones not.
    #[serde(with = "humantime_serde")]
    pub resent_within: Duration,
    /// Bytes of blocks that are merged at once. A merge holds them packed, and what becomes of them.
    pub job_bytes_max: ByteSize,
    /// Blocks that are merged at once.
    pub job_blocks_max: usize,
}

/// A length of time such as `15m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Window(#[serde(with = "humantime_serde")] pub Duration);

/// A setting that makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidConfig {
    #[error("plan.windows: {0:?} is not a positive multiple of the window before it")]
    Windows(Duration),
    #[error("plan.job_blocks_max: a merge takes 2 to 10000 blocks, not {0}")]
    JobBlocks(usize),
}

/// The catalog takes no more names at once.
const JOB_BLOCKS_LIMIT: usize = 10_000;

impl PlanConfig {
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let mut before = 1u128;
        for Window(window) in &self.windows {
            let nanos = window.as_nanos();
            if nanos <= before || nanos % before != 0 || i64::try_from(nanos).is_err() {
                return Err(InvalidConfig::Windows(*window));
            }
            before = nanos;
        }
        if !(2..=JOB_BLOCKS_LIMIT).contains(&self.job_blocks_max) {
            return Err(InvalidConfig::JobBlocks(self.job_blocks_max));
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: cairn_store::Config::default(),
            catalog: config::Addresses::default(),
            request_timeout: Duration::from_secs(30),
            poll_interval: Duration::from_secs(30),
            deletion_delay: Duration::from_secs(30 * 60),
            stacks_bytes_max: ByteSize::mib(320),
            plan: PlanConfig::default(),
        }
    }
}

impl config::Service for Config {
    fn within(mut self, bytes: u64) -> Self {
        // The rest is for blocks that are read, and for what becomes of them.
        self.stacks_bytes_max = ByteSize::b(bytes / 8 * 5);
        self.plan.job_bytes_max = ByteSize::b(bytes / 8);
        self
    }
}

impl Default for PlanConfig {
    fn default() -> Self {
        let minutes = |minutes: u64| Window(Duration::from_secs(minutes * 60));
        Self {
            windows: vec![minutes(15), minutes(2 * 60), minutes(24 * 60)],
            settle: Duration::from_secs(3 * 60),
            // Twice as long as ingesters remember what they stored.
            resent_within: Duration::from_secs(30 * 60),
            job_bytes_max: ByteSize::mib(64),
            job_blocks_max: 512,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_suit_half_a_gibibyte() {
        let config = config::Service::within(Config::default(), 512 << 20);
        assert_eq!(config, Config::default());
    }

    #[test]
    fn windows_must_fit_into_each_other() {
        let check = |seconds: &[u64]| {
            let windows = seconds.iter().map(|s| Window(Duration::from_secs(*s)));
            let windows = windows.collect();
            PlanConfig {
                windows,
                ..PlanConfig::default()
            }
            .check()
        };
        assert_eq!(PlanConfig::default().check(), Ok(()));
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&[60, 120, 600]), Ok(()));
        for bad in [&[0][..], &[60, 90], &[60, 60], &[60, 30], &[u64::MAX]] {
            assert!(check(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
