//! Every metric of the symbolizer. Names get the prefix `cairn_symbolizer_`.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};

#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// Uploads that ended, by how.
    pub(crate) uploads: Family<UploadLabel, Counter>,
    /// Bytes of files that were stored.
    pub(crate) stored_bytes: Counter,
    /// Addresses that were asked for, by whether they got a name.
    pub(crate) addresses: Family<AddressLabel, Counter>,
    /// Symbol files that were needed, by where they came from.
    pub(crate) loads: Family<LoadLabel, Counter>,
    /// Memory of opened symbol files.
    pub(crate) cached_bytes: Gauge,
    /// Symbol files on the disk.
    pub(crate) disk_bytes: Gauge,
    /// Seconds from starting a worker process to its end.
    pub(crate) conversion_seconds: Histogram,
    /// Worker processes that crashed or took more than their share.
    pub(crate) conversion_crashes: Counter,
    /// Questions to debuginfod servers, by what came of them.
    pub(crate) upstream_requests: Family<UpstreamLabel, Counter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct UpstreamLabel {
    pub(crate) outcome: UpstreamOutcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum UpstreamOutcome {
    Found,
    Absent,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct UploadLabel {
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Outcome {
    Stored,
    Refused,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AddressLabel {
    pub(crate) named: Named,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Named {
    Yes,
    No,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct LoadLabel {
    pub(crate) from: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Source {
    /// Opened already.
    Memory,
    /// A symbol file on the disk.
    Disk,
    /// The stored symbol file.
    Store,
    /// The stored ELF file, converted again.
    Conversion,
    /// There is none.
    Nowhere,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let r = registry;
        Self {
            uploads: add(r, "uploads", "Uploads that ended", Family::default()),
            stored_bytes: add(r, "stored_bytes", "Bytes stored", Counter::default()),
            addresses: add(r, "addresses", "Addresses asked for", Family::default()),
            loads: add(r, "loads", "Symbol files needed", Family::default()),
            cached_bytes: add(
                r,
                "cached_bytes",
                "Memory of opened symbol files",
                Gauge::default(),
            ),
            disk_bytes: add(
                r,
                "disk_bytes",
                "Symbol files on the disk",
                Gauge::default(),
            ),
            conversion_seconds: add(
                r,
                "conversion_seconds",
                "Time of one conversion",
                Histogram::new(exponential_buckets(0.01, 2.0, 16)),
            ),
            conversion_crashes: add(
                r,
                "conversion_crashes",
                "Conversions that crashed or took too much",
                Counter::default(),
            ),
            upstream_requests: add(
                r,
                "upstream_requests",
                "Questions to debuginfod servers",
                Family::default(),
            ),
        }
    }
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}
