//! Every metric of the compactor. Names get the prefix `cairn_compactor_`.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// Merges, by the level that they wrote and how they ended.
    pub(crate) jobs: Family<JobLabel, Counter>,
    /// Seconds of one merge, reading and writing included.
    pub(crate) job_seconds: Histogram,
    /// Blocks that merges replaced.
    pub(crate) input_blocks: Counter,
    /// Bytes of the blocks that merges replaced.
    pub(crate) input_bytes: Counter,
    /// Bytes of the blocks that merges wrote.
    pub(crate) output_bytes: Counter,
    /// Profiles that merges left out since another block holds them.
    pub(crate) repeated_profiles: Counter,
    /// Merges that were due when the compactor last looked.
    pub(crate) due: Gauge,
    /// Blocks that are left out of merges because they can't be read: someone must look.
    pub(crate) quarantined: Gauge,
    /// Blocks that take too much memory to be merged any further.
    pub(crate) full: Gauge,
    /// Replaced blocks whose objects were deleted.
    pub(crate) deleted_blocks: Counter,
    /// Objects that could not be deleted; they are tried again.
    pub(crate) delete_failures: Counter,
    /// Looks for work that failed because the catalog did not answer.
    pub(crate) catalog_failures: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct JobLabel {
    pub(crate) level: u32,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Outcome {
    /// The output is live.
    Done,
    /// Too few inputs were readable, or memory did not suffice.
    Skipped,
    /// Another compactor was faster, or a block came meanwhile that shares something.
    Outrun,
    /// It is tried again.
    Failed,
}

impl Metrics {
    fn new() -> Self {
        Self {
            jobs: Family::default(),
            job_seconds: Histogram::new(exponential_buckets(0.01, 2.0, 16)),
            input_blocks: Counter::default(),
            input_bytes: Counter::default(),
            output_bytes: Counter::default(),
            repeated_profiles: Counter::default(),
            due: Gauge::default(),
            quarantined: Gauge::default(),
            full: Gauge::default(),
            deleted_blocks: Counter::default(),
            delete_failures: Counter::default(),
            catalog_failures: Counter::default(),
        }
    }

    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::new();
        let m = &metrics;
        registry.register(
            "jobs",
            "Merges, by the level that they wrote and how they ended",
            m.jobs.clone(),
        );
        registry.register(
            "job_seconds",
            "Seconds of one merge, reading and writing included",
            m.job_seconds.clone(),
        );
        let counters = [
            (
                "input_blocks",
                "Blocks that merges replaced",
                &m.input_blocks,
            ),
            (
                "input_bytes",
                "Bytes of the blocks that merges replaced",
                &m.input_bytes,
            ),
            (
                "output_bytes",
                "Bytes of the blocks that merges wrote",
                &m.output_bytes,
            ),
            (
                "repeated_profiles",
                "Profiles that merges left out since another block holds them",
                &m.repeated_profiles,
            ),
            (
                "deleted_blocks",
                "Replaced blocks whose objects were deleted",
                &m.deleted_blocks,
            ),
            (
                "delete_failures",
                "Objects that could not be deleted and are tried again",
                &m.delete_failures,
            ),
            (
                "catalog_failures",
                "Looks for work that failed because the catalog did not answer",
                &m.catalog_failures,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let gauges = [
            ("due", "Merges that were due at the last look", &m.due),
            (
                "quarantined",
                "Blocks left out of merges because they can't be read",
                &m.quarantined,
            ),
            (
                "full",
                "Blocks that take too much memory to be merged any further",
                &m.full,
            ),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        metrics
    }
}
