//! Every metric of the ingester. Names get the prefix `cairn_ingester_`.

use cairn_block::Lsn;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::push::{Door, Origin};

#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// Bytes of profiles, pprof as sent and others as decoded, whether they were stored or not.
    pub(crate) received_bytes: Family<DoorLabel, Counter>,
    /// Profiles that are durable and readable.
    pub(crate) stored_profiles: Family<DoorLabel, Counter>,
    /// Samples of stored profiles.
    pub(crate) stored_samples: Family<DoorLabel, Counter>,
    /// Profiles that came twice and were stored once.
    pub(crate) repeated_profiles: Counter,
    /// Profiles that can never be stored, by what is wrong with them.
    pub(crate) refused_profiles: Family<Label, Counter>,
    /// Parts of stored profiles that were changed or left out, by what and why.
    pub(crate) altered_parts: Family<Label, Counter>,
    /// Requests that were answered with an error, by its kind.
    pub(crate) failed_requests: Family<Label, Counter>,
    /// Bytes of these requests and profiles.
    pub(crate) discarded_bytes: Family<Label, Counter>,
    /// Payload bytes that were appended to the log.
    pub(crate) log_bytes: Counter,
    /// Seconds of one group commit, its sync included.
    pub(crate) log_commit_seconds: Histogram,
    /// Pushes that shared one sync.
    pub(crate) log_commit_pushes: Histogram,
    /// Group commits that failed.
    pub(crate) log_failures: Counter,
    /// Newest entry of the log.
    pub(crate) log_lsn: Gauge,
    /// Newest entry of the log that is in a committed block.
    pub(crate) flushed_lsn: Gauge,
    /// Memory of rows that are not in blocks yet.
    pub(crate) unflushed_bytes: Gauge,
    /// Memory of rows that are kept for queries that planned before they were in blocks.
    pub(crate) flushed_bytes: Gauge,
    /// Seconds from freezing rows to their commit in the catalog.
    pub(crate) flush_seconds: Histogram,
    /// Flushes that failed and are tried again.
    pub(crate) flush_failures: Counter,
    /// Blocks that were committed.
    pub(crate) blocks: Counter,
    /// Bytes of committed blocks.
    pub(crate) block_bytes: Counter,
    /// Questions about the tail that were answered.
    pub(crate) tail_scans: Counter,
    /// Entries of other writers' logs that were put into blocks here.
    pub(crate) recovered_entries: Counter,
    /// Recoveries of other writers' logs that failed and are tried again.
    pub(crate) recovery_failures: Counter,
    /// Log entries that could not be decoded again at the start; their profiles are not readable.
    pub(crate) unreadable_profiles: Counter,
    pub(crate) route: RouteMetrics,
}

/// What is passed on to other ingesters, and what this one owns.
#[derive(Clone, Debug)]
pub(crate) struct RouteMetrics {
    /// Requests that were passed on to the ingesters that own their shards.
    pub(crate) forwarded_requests: Counter,
    /// Bytes of profiles in these, as sent.
    pub(crate) forwarded_bytes: Counter,
    /// Seconds until the owner answered.
    pub(crate) forward_seconds: Histogram,
    /// Requests of other ingesters that were sent back, since a shard belongs to another writer.
    pub(crate) misrouted_requests: Counter,
    /// The epoch of the shard map by which this ingester works.
    pub(crate) shard_map_epoch: Gauge,
    /// Fetches of the shard map that failed; the one before stays in use.
    pub(crate) shard_map_failures: Counter,
    /// Shards whose writes this ingester takes.
    pub(crate) owned_shards: Gauge,
    /// Shards that wait until the log of a writer that crashed is read.
    pub(crate) pending_shards: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct DoorLabel {
    pub(crate) door: Door,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Label {
    tenant: String,
    door: Door,
    reason: &'static str,
}

impl Label {
    pub(crate) fn new((tenant, door): Origin<'_>, reason: &'static str) -> Self {
        Self {
            tenant: tenant.to_string(),
            door,
            reason,
        }
    }
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let r = registry;
        let time = || Histogram::new(exponential_buckets(0.000_5, 2.0, 16));
        Self {
            received_bytes: add(r, "received_bytes", "Bytes of profiles that came"),
            stored_profiles: add(r, "stored_profiles", "Profiles durable and readable"),
            stored_samples: add(r, "stored_samples", "Samples of stored profiles"),
            repeated_profiles: add(r, "repeated_profiles", "Profiles sent twice, stored once"),
            refused_profiles: add(r, "refused_profiles", "Profiles that can never be stored"),
            altered_parts: add(
                r,
                "altered_parts",
                "Parts of stored profiles that were changed or left out",
            ),
            failed_requests: add(r, "failed_requests", "Requests answered with an error"),
            discarded_bytes: add(
                r,
                "discarded_bytes",
                "Bytes of what was refused and can never be stored",
            ),
            log_bytes: add(r, "log_bytes", "Payload bytes appended to the log"),
            log_commit_seconds: add_as(r, "log_commit_seconds", "Time of a group commit", time()),
            log_commit_pushes: add_as(
                r,
                "log_commit_pushes",
                "Pushes that shared one sync",
                Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            ),
            log_failures: add(r, "log_failures", "Group commits that failed"),
            log_lsn: add(r, "log_lsn", "Newest entry of the log"),
            flushed_lsn: add(
                r,
                "flushed_lsn",
                "Newest entry of the log that is in a block",
            ),
            unflushed_bytes: add(r, "unflushed_bytes", "Memory of rows not in blocks yet"),
            flushed_bytes: add(
                r,
                "flushed_bytes",
                "Memory of rows kept for earlier queries",
            ),
            flush_seconds: add_as(r, "flush_seconds", "Time from freezing to commit", time()),
            flush_failures: add(
                r,
                "flush_failures",
                "Flushes that failed and are tried again",
            ),
            blocks: add(r, "blocks", "Blocks committed"),
            block_bytes: add(r, "block_bytes", "Bytes of committed blocks"),
            tail_scans: add(
                r,
                "tail_scans",
                "Questions about the tail that were answered",
            ),
            recovered_entries: add(
                r,
                "recovered_entries",
                "Entries of other writers' logs put into blocks here",
            ),
            recovery_failures: add(
                r,
                "recovery_failures",
                "Recoveries that failed and are tried again",
            ),
            unreadable_profiles: add(
                r,
                "unreadable_profiles",
                "Logged profiles that could not be decoded again",
            ),
            route: RouteMetrics::register(r),
        }
    }
}

impl RouteMetrics {
    fn register(r: &mut Registry) -> Self {
        let time = Histogram::new(exponential_buckets(0.000_5, 2.0, 16));
        Self {
            forwarded_requests: add(
                r,
                "forwarded_requests",
                "Requests passed on to their owners",
            ),
            forwarded_bytes: add(
                r,
                "forwarded_bytes",
                "Bytes of profiles passed on to their owners",
            ),
            forward_seconds: add_as(r, "forward_seconds", "Time until the owner answered", time),
            misrouted_requests: add(
                r,
                "misrouted_requests",
                "Requests of other ingesters for shards that are not owned here",
            ),
            shard_map_epoch: add(r, "shard_map_epoch", "Epoch of the shard map in use"),
            shard_map_failures: add(
                r,
                "shard_map_failures",
                "Fetches of the shard map that failed",
            ),
            owned_shards: add(r, "owned_shards", "Shards whose writes are taken here"),
            pending_shards: add(
                r,
                "pending_shards",
                "Shards that wait for the log of a writer that crashed",
            ),
        }
    }
}

/// Positions are far below what a gauge holds.
pub(crate) fn gauge(lsn: Lsn) -> i64 {
    i64::try_from(lsn).unwrap_or(i64::MAX)
}

fn add<M>(registry: &mut Registry, name: &str, help: &str) -> M
where
    M: prometheus_client::registry::Metric + Clone + Default,
{
    add_as(registry, name, help, M::default())
}

fn add_as<M>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M
where
    M: prometheus_client::registry::Metric + Clone,
{
    registry.register(name, help, metric.clone());
    metric
}
