//! Flame graphs for any tenant, for benchmarks: who asks over the network is one tenant.

use std::sync::Arc;

use cairn_block::Reads;
use cairn_chassis::Context;
use cairn_engine::{Flame, GroupBy, KeyBy, Trim};
use cairn_model::{Selector, TenantId, TimeRange};
use cairn_store::Store;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::querier::{Querier, Rows};
use crate::worker::Worker;

/// A querier without APIs: its config names a catalog.
#[derive(Debug)]
pub struct Queries(Querier);

impl Queries {
    pub async fn open(config: Config, cx: Context) -> anyhow::Result<Self> {
        let store = Store::open(&config.store, cx.random().u128()).await?;
        let metrics = cx.metrics(Metrics::register);
        let reads = (store.clone(), Arc::new(store.clone()) as Arc<dyn Reads>);
        let worker = Worker::new(&config, reads, &cx, metrics);
        Ok(Self(Querier::new(config, store, cx, worker)))
    }

    /// The total of a flame graph as the page shows it, of which nothing is missing.
    pub async fn flame(
        &self,
        tenant: &TenantId,
        selector: &str,
        range: TimeRange,
    ) -> anyhow::Result<i64> {
        let session = self.0.session(tenant, None);
        let (profile_type, matchers) = Selector::parse_typed(selector)?;
        let rows = session
            .resolve(Rows {
                profile_type,
                matchers,
                range,
            })
            .await?;
        let found = session.stacks(&rows, GroupBy::Nothing).await?;
        anyhow::ensure!(found.warnings.is_empty(), "{:?}", found.warnings);
        let trim = Trim {
            fraction: 0.0,
            nodes_max: self.0.config().limits.flamegraph_nodes,
        };
        let partial = found.value.partial;
        let build = move || Flame::trimmed(&partial, KeyBy::default(), &trim);
        let flame = session.compute(build).await;
        Ok(flame.nodes.first().map_or(0, |root| root.cumulative))
    }
}
