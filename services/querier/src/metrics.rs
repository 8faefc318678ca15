//! Every metric of the querier. Names get the prefix `cairn_querier_`.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// Questions answered, partial answers included.
    pub(crate) queries: Counter,
    /// Questions that had no answer.
    pub(crate) failures: Counter,
    /// Answers from which something was missing.
    pub(crate) partial: Counter,
    /// Times that a plan was made again because a tail had moved on.
    pub(crate) replans: Counter,
    /// Sources that were asked again without profiles that others hold as well.
    pub(crate) repeats: Counter,
    /// Seconds from the question to the merged answer.
    pub(crate) seconds: Histogram,
    /// Blocks that this process scanned as a worker.
    pub(crate) blocks_scanned: Counter,
    /// Answers from blocks that this process had kept.
    pub(crate) answers_kept: Counter,
    /// Blocks that this process scans at the moment.
    pub(crate) running_scans: Gauge,
    /// Sample rows that this process scanned as a worker.
    pub(crate) rows_scanned: Counter,
    /// Blocks that this process could not scan.
    pub(crate) blocks_failed: Counter,
    pub(crate) reads: Reads,
    /// Addresses that a symbolizer was asked for.
    pub(crate) addresses_asked: Counter,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let queries = counter("queries", "Questions answered, partial answers included");
        let failures = counter("query_failures", "Questions that had no answer");
        let partial = counter(
            "partial_answers",
            "Answers from which something was missing",
        );
        let replans = counter(
            "replans",
            "Times that a plan was made again because a tail had moved on",
        );
        let repeats = counter(
            "repeated_scans",
            "Sources asked again without profiles that others hold as well",
        );
        let blocks_scanned = counter("blocks_scanned", "Blocks scanned as a worker");
        let answers_kept = counter(
            "kept_answers",
            "Answers from blocks that were given again without a scan",
        );
        let rows_scanned = counter("rows_scanned", "Sample rows scanned as a worker");
        let blocks_failed = counter("blocks_failed", "Blocks that could not be scanned");
        let addresses_asked = counter(
            "addresses_asked",
            "Addresses that a symbolizer was asked for",
        );
        let running_scans = Gauge::default();
        registry.register(
            "running_scans",
            "Blocks that are being scanned as a worker",
            running_scans.clone(),
        );
        let reads = Reads::register(registry);
        let seconds = Histogram::new(exponential_buckets(0.001, 2.0, 16));
        registry.register(
            "query_seconds",
            "Seconds from the question to the merged answer",
            seconds.clone(),
        );
        Self {
            queries,
            failures,
            partial,
            replans,
            repeats,
            seconds,
            blocks_scanned,
            answers_kept,
            running_scans,
            rows_scanned,
            blocks_failed,
            reads,
            addresses_asked,
        }
    }
}

/// How blocks are read.
#[derive(Clone, Debug)]
pub(crate) struct Reads {
    /// Reads of blocks that were sent a second time.
    pub(crate) hedged: Counter,
    /// Of these those whose second answer came first.
    pub(crate) won: Counter,
    /// Ranges of blocks that were read from files.
    pub(crate) hits: Counter,
    /// Ranges of blocks that were in no file.
    pub(crate) misses: Counter,
    /// Ranges of blocks that should have become files and did not.
    pub(crate) dropped: Counter,
    /// What those files take.
    pub(crate) bytes: Gauge,
}

impl Reads {
    fn register(registry: &mut Registry) -> Self {
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let hedged = counter(
            "hedged_reads",
            "Reads of blocks that took unusually long and were sent a second time",
        );
        let won = counter(
            "won_hedges",
            "Reads sent a second time whose second answer came first",
        );
        let hits = counter("cache_hits", "Ranges of blocks read from files");
        let misses = counter("cache_misses", "Ranges of blocks that were in no file");
        let dropped = counter(
            "cache_dropped",
            "Ranges of blocks that were not written to files, for want of time or room",
        );
        let bytes = Gauge::default();
        registry.register(
            "cache_bytes",
            "Room on the disk that files of blocks take",
            bytes.clone(),
        );
        Self {
            hedged,
            won,
            hits,
            misses,
            dropped,
            bytes,
        }
    }
}
