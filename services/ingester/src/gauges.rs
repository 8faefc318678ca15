//! Figures that are asked for at every scrape: queues, leases, the node of the catalog.
//!
//! Owns how they are shown; what counts as it happens is in `metrics`.

use std::fmt;

use cairn_catalog::Status;
use cairn_chassis::Clock;
use cairn_wal::Lease;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

/// Name, explanation, value.
type Gauge = (&'static str, &'static str, f64);

/// Gives some gauges as they are now.
pub(crate) struct Gauges(Box<dyn Fn() -> Vec<Gauge> + Send + Sync>);

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauges")
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, help, value) in (self.0)() {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        Ok(())
    }
}

impl Gauges {
    pub(crate) fn of_queue(queued: impl Fn() -> usize + Send + Sync + 'static) -> Self {
        Self(Box::new(move || {
            let help = "Pushes and orders that wait for the writer";
            vec![("queued_pushes", help, queued() as f64)]
        }))
    }

    pub(crate) fn of_lease(lease: Lease, clock: Clock) -> Self {
        Self(Box::new(move || {
            let now = clock.instant();
            let (left, waited) = (lease.left(now), lease.waited(now));
            vec![
                (
                    "lease_seconds",
                    "For how long the lease holds",
                    left.as_secs_f64(),
                ),
                (
                    "store_wait_seconds",
                    "For how long the put of the log that is on its way has waited",
                    waited.as_secs_f64(),
                ),
            ]
        }))
    }

    pub(crate) fn of_catalog(status: impl Fn() -> Option<Status> + Send + Sync + 'static) -> Self {
        Self(Box::new(move || {
            let Some(status) = status() else {
                return Vec::new();
            };
            let is_leader = status.leader == Some(status.node);
            let lag = status.last_log_index.saturating_sub(status.applied_index);
            vec![
                (
                    "catalog_term",
                    "Term of raft, as the node here knows it",
                    status.term as f64,
                ),
                (
                    "catalog_leader",
                    "Number of the node that leads; 0 if none is known",
                    status.leader.unwrap_or_default() as f64,
                ),
                (
                    "catalog_is_leader",
                    "1 if the node here leads",
                    f64::from(u8::from(is_leader)),
                ),
                (
                    "catalog_log_index",
                    "Newest entry of the log of the node here",
                    status.last_log_index as f64,
                ),
                (
                    "catalog_apply_lag",
                    "Entries of the log that are not applied yet",
                    lag as f64,
                ),
                (
                    "catalog_snapshot_index",
                    "Newest entry in the snapshot of the node here",
                    status.snapshot_index as f64,
                ),
                (
                    "catalog_version",
                    "How often the state of the catalog changed",
                    status.version as f64,
                ),
            ]
        }))
    }
}
