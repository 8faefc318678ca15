//! Who hands out this process' memory: jemalloc, which can tell who holds how much of it. What is
//! made of that is `self_profile`'s.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use tikv_jemalloc_ctl::{epoch, stats};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Ready to note one allocation in about 512 KiB, once it is told to begin. A thread of its own
/// gives memory back, also while the others are idle, a second after nobody used it.
#[expect(
    unsafe_code,
    reason = "jemalloc reads its settings before `main`, from the variable of this name and type"
)]
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: &[u8; 109] =
    b"prof:true,prof_active:false,lg_prof_sample:19,background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:1000\0";

/// Shows on every scrape how much memory is in use, and how much is kept for later use.
pub(crate) fn register(registry: &mut Registry) {
    registry.register_collector(Box::new(Memory));
}

#[derive(Debug)]
struct Memory;

impl Collector for Memory {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let failed = |_| std::fmt::Error;
        epoch::advance().map_err(failed)?;
        let gauges = [
            (
                "allocated",
                "What the program holds",
                stats::allocated::read(),
            ),
            (
                "active",
                "Pages in use: besides what the program holds, the gaps between",
                stats::active::read(),
            ),
            (
                "resident",
                "Active pages, those to be used again or given back soon, and the allocator's own",
                stats::resident::read(),
            ),
        ];
        for (name, help, value) in gauges {
            let value = i64::try_from(value.map_err(failed)?).unwrap_or(i64::MAX);
            let name = format!("memory_{name}");
            let metric =
                encoder.encode_descriptor(&name, help, Some(&Unit::Bytes), MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        Ok(())
    }
}
