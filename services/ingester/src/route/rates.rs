//! How many shards tenants and services use, by how much they send.
//!
//! What is seen here is taken times the number of ingesters, as senders spread over them. So two
//! ingesters may differ for a while. That costs a series its company, and a retry through the other
//! ingester its owner's memory of repeats: queries and compaction drop the repeat then.
//!
//! Sizes are powers of two, so that rates that differ a little give the same size. A size grows at
//! once, and shrinks when a quarter of an hour saw less than half of what it is for.
//!
//! Memory is bounded: what is new while a table is full counts as small, and what is small makes
//! room from time to time. Something small is no different when it is forgotten.

use std::time::Duration;

use cairn_catalog::SHARDS;
use hashbrown::HashMap;

/// Rates of tenants and services.
#[derive(Debug)]
pub(super) struct Rates {
    tenants: Table,
    services: Table,
}

/// What is known of one tenant, or of one service.
#[derive(Clone, Copy, Debug)]
struct Meter {
    /// Bytes per second at `at`, of all ingesters.
    rate: f64,
    /// Nanoseconds since the epoch.
    at: i64,
    size: u16,
    /// Since when the rate is low, and the largest size that it has asked for since.
    low: Option<(i64, u16)>,
}

#[derive(Debug)]
struct Table {
    meters: HashMap<u64, Meter, foldhash::fast::RandomState>,
    /// Bytes per second that one shard is for.
    target: f64,
    size_min: u16,
    len_max: usize,
    /// When small meters last made room.
    swept: i64,
}

/// Rates are averages over about this time.
const MEMORY: Duration = Duration::from_secs(60);
/// A size shrinks when the rate was low for so long.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// A tenant's few services are in several zones, and a burst meets more than one owner.
const TENANT_SIZE_MIN: u16 = 4;
const TENANTS_MAX: usize = 10_000;
const SERVICES_MAX: usize = 65_536;
/// A full table looks for room so often.
const SWEEP: Duration = Duration::from_secs(10);
/// A meter is small below this part of what one shard is for.
const SMALL: f64 = 1.0 / 16.0;

impl Rates {
    /// `target`: bytes per second that one shard is for.
    pub(super) fn new(target: u64) -> Self {
        Self {
            tenants: Table::new(target, TENANT_SIZE_MIN, TENANTS_MAX),
            services: Table::new(target, 1, SERVICES_MAX),
        }
    }

    /// Counts bytes of a tenant, given by hash; says how many shards it uses.
    pub(super) fn tenant(&mut self, tenant: u64, bytes: u64, now: i64) -> u16 {
        self.tenants.count(tenant, bytes as f64, now)
    }

    /// The same for a service of a tenant.
    pub(super) fn service(&mut self, service: u64, bytes: u64, now: i64) -> u16 {
        self.services.count(service, bytes as f64, now)
    }
}

impl Table {
    fn new(target: u64, size_min: u16, len_max: usize) -> Self {
        Self {
            meters: HashMap::default(),
            target: target.max(1) as f64,
            size_min,
            len_max,
            swept: i64::MIN,
        }
    }

    fn count(&mut self, key: u64, bytes: f64, now: i64) -> u16 {
        if self.meters.len() >= self.len_max && !self.meters.contains_key(&key) {
            self.sweep(now);
            if self.meters.len() >= self.len_max {
                return self.size_min;
            }
        }
        let (target, size_min) = (self.target, self.size_min);
        let meter = self.meters.entry(key).or_insert(Meter {
            rate: 0.0,
            at: now,
            size: size_min,
            low: None,
        });
        meter.count(bytes, now);
        meter.resize(target, size_min, now);
        meter.size
    }

    fn sweep(&mut self, now: i64) {
        if now.saturating_sub(self.swept) < nanos(SWEEP) {
            return;
        }
        self.swept = now;
        let (small, size_min) = (self.target * SMALL, self.size_min);
        self.meters.retain(|_, meter| {
            let is_silent = now.saturating_sub(meter.at) >= nanos(PATIENCE);
            meter.rate(now) >= small || (meter.size > size_min && !is_silent)
        });
    }
}

impl Meter {
    fn rate(&self, now: i64) -> f64 {
        let passed = now.saturating_sub(self.at).max(0) as f64 / nanos(MEMORY) as f64;
        self.rate * (-passed).exp()
    }

    fn count(&mut self, bytes: f64, now: i64) {
        self.rate = self.rate(now) + bytes / MEMORY.as_secs_f64();
        self.at = self.at.max(now);
    }

    fn resize(&mut self, target: f64, size_min: u16, now: i64) {
        let shards = (self.rate / target).ceil().clamp(1.0, f64::from(SHARDS));
        let wanted = (shards as u16).next_power_of_two().clamp(size_min, SHARDS);
        let is_low = self.rate < target * f64::from(self.size) / 2.0;
        if wanted > self.size {
            (self.size, self.low) = (wanted, None);
        } else if !is_low || self.size == size_min {
            self.low = None;
        } else {
            let (since, most) = self.low.unwrap_or((now, wanted));
            let most = most.max(wanted);
            self.low = Some((since, most));
            if now.saturating_sub(since) >= nanos(PATIENCE) {
                (self.size, self.low) = (most, None);
            }
        }
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: u64 = 1_000_000;
    const SECOND: i64 = 1_000_000_000;

    /// A service that sends for a while, once per second.
    struct Sender {
        rates: Rates,
        now: i64,
    }

    impl Sender {
        fn new() -> Self {
            let rates = Rates::new(TARGET);
            Self { rates, now: 0 }
        }

        fn send(&mut self, bytes_per_second: u64, seconds: i64) -> u16 {
            let mut size = 0;
            for _ in 0..seconds {
                self.now += SECOND;
                size = self.rates.service(7, bytes_per_second, self.now);
            }
            size
        }
    }

    #[test]
    fn sizes_follow_rates_up_at_once() {
        let mut sender = Sender::new();
        assert_eq!(sender.send(TARGET / 2, 600), 1);
        assert_eq!(sender.send(TARGET * 3, 300), 4);
        assert_eq!(sender.send(TARGET * 5, 300), 8);
        assert_eq!(sender.send(TARGET * 1_000_000, 300), SHARDS);
    }

    #[test]
    fn sizes_shrink_after_a_quarter_of_an_hour_below_half() {
        let mut sender = Sender::new();
        sender.send(TARGET * 7, 600);
        assert_eq!(sender.send(TARGET * 5, 3_600), 8, "more than half");
        assert_eq!(sender.send(TARGET, 14 * 60), 8, "not long enough");
        assert_eq!(sender.send(TARGET * 5, 120), 8, "a burst starts it anew");
        assert_eq!(sender.send(TARGET, 14 * 60), 8);
        let size = sender.send(TARGET / 4, 4 * 60);
        assert_eq!(size, 4, "what it asked for since");
        assert_eq!(sender.send(TARGET / 4, 17 * 60), 1);
    }

    #[test]
    fn a_rate_near_a_border_does_not_swing() {
        let mut sender = Sender::new();
        let mut sizes = Vec::new();
        for round in 0..200 {
            let rate = TARGET * 4 + TARGET / 5 * (round % 2) - TARGET / 10;
            sizes.push(sender.send(rate, 60));
        }
        sizes.dedup();
        assert!(sizes.len() <= 4, "{sizes:?}");
        assert!(sizes.is_sorted());
    }

    #[test]
    fn tenants_begin_with_a_few_shards() {
        let mut rates = Rates::new(TARGET);
        assert_eq!(rates.tenant(1, 10, 0), TENANT_SIZE_MIN);
        assert_eq!(rates.service(1, 10, 0), 1);
    }

    #[test]
    fn services_without_end_take_bounded_memory_and_hide_no_large_one() {
        let mut rates = Rates::new(TARGET);
        let mut now = 0;
        let mut large = 0;
        for service in 0..4 * SERVICES_MAX as u64 {
            now += SECOND / 1_000;
            rates.service(service + 10, 100, now);
            if service % 100 == 0 {
                large = rates.service(1, TARGET / 10 * 3, now);
            }
        }
        assert!(rates.services.meters.len() <= SERVICES_MAX);
        assert_eq!(large, 4, "three shards' worth");
    }

    #[test]
    fn a_full_table_takes_newcomers_for_small() {
        let mut table = Table::new(TARGET, 1, 3);
        for key in 0..3 {
            assert_eq!(table.count(key, 1e9, 0), 32);
        }
        assert_eq!(table.count(9, 1e9, 0), 1);
        // The others went silent.
        let later = nanos(PATIENCE) + SECOND;
        assert_eq!(table.count(9, 1e9, later), 32);
        assert_eq!(table.meters.len(), 1);
    }

    #[test]
    fn a_clock_that_steps_back_changes_nothing() {
        let mut rates = Rates::new(TARGET);
        rates.service(1, 60 * TARGET, 100 * SECOND);
        assert_eq!(rates.service(1, 60 * TARGET, 0), 2);
    }
}
