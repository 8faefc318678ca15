//! The answering side of a scan: the blocks of a ticket, merged into one answer.
//!
//! A block that can't be read is a warning in the trailer, never the end of the scan. Which blocks
//! there are is the business of whoever wrote the ticket.

use std::sync::Arc;

use cairn_chassis::Context;
use cairn_engine::exchange::{Asked, BlockFlight, Partial, blocks};
use cairn_engine::repeats::{Ask, SourceId};
use cairn_engine::{Merge, Query, Scanned, Source as ScanSource, scan_block};
use cairn_model::{BlockId, Code, TenantId};
use cairn_wire::cairn::catalog::v1::BlockMeta;
use cairn_wire::cairn::query::v1::ScanWarning;
use cairn_wire::cairn::query::v1::scan_ticket::Source;
use futures::{FutureExt, StreamExt};
use tonic::Status;

use crate::blocks::Blocks;
use crate::error::{Warning, chain};
use crate::metrics::Metrics;

/// Scans blocks for queriers, this process included.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) blocks: Arc<Blocks>,
    pub(crate) block_scans_max: usize,
    pub(crate) cx: Context,
    pub(crate) metrics: Metrics,
}

/// What is wanted of every block.
type Wanted = (Query, Ask);

impl Worker {
    /// As a gRPC service under the name that queriers call.
    pub(crate) fn serve(self, message_bytes_max: usize) -> BlockFlight {
        let scan = move |asked| {
            let worker = self.clone();
            async move { worker.answer(asked).await }.boxed()
        };
        blocks(Arc::new(scan), message_bytes_max)
    }

    async fn answer(&self, asked: Asked) -> Result<Partial, Status> {
        let Source::Blocks(blocks) = asked.source else {
            let text = "a querier holds no tail";
            return Err(cairn_wire::status(Code::Invalid, text));
        };
        let wanted = Arc::new((asked.query, asked.repeats));
        let (scanned, warnings) = self.scan(&asked.tenant, &wanted, blocks.blocks).await?;
        let warning = |Warning { block, code, text }| ScanWarning { block, code, text };
        let warnings = warnings.into_iter().map(warning).collect();
        let encode = move || Partial::new(&scanned, warnings);
        Ok(self.cx.compute(encode).await)
    }

    async fn scan(
        &self,
        tenant: &TenantId,
        wanted: &Arc<Wanted>,
        blocks: Vec<BlockMeta>,
    ) -> Result<(Scanned, Vec<Warning>), Status> {
        let mut merge = Merge::new(&wanted.0.question);
        let mut warnings = Vec::new();
        let mut scans = futures::stream::iter(blocks)
            .map(|block| self.scan_one(tenant, wanted, block))
            .buffer_unordered(self.block_scans_max.max(1));
        while let Some(scanned) = scans.next().await {
            match scanned {
                Ok(scanned) => {
                    self.metrics.blocks_scanned.inc();
                    self.metrics.rows_scanned.inc_by(scanned.stats.rows);
                    merge = self.add(merge, scanned).await?;
                }
                Err(warning) => {
                    self.metrics.blocks_failed.inc();
                    tracing::warn!(%tenant, %warning, "a block is missing from an answer");
                    warnings.push(warning);
                }
            }
        }
        Ok((self.cx.compute(move || merge.finish()).await, warnings))
    }

    async fn add(&self, mut merge: Merge, scanned: Scanned) -> Result<Merge, Status> {
        let added = self.cx.compute(move || {
            merge.add(scanned)?;
            Ok::<_, cairn_engine::WrongAnswer>(merge)
        });
        added
            .await
            .map_err(|error| cairn_wire::status(error.code(), &error.to_string()))
    }

    async fn scan_one(
        &self,
        tenant: &TenantId,
        wanted: &Arc<Wanted>,
        meta: BlockMeta,
    ) -> Result<Scanned, Warning> {
        let name = meta.id;
        let id: BlockId = name
            .parse()
            .map_err(|_| Warning::new(&name, Code::Invalid, "not the name of a block"))?;
        let failed = |error: cairn_block::Error| Warning::new(&name, error.code(), chain(&error));
        let size = (meta.bytes > 0).then_some(meta.bytes);
        let block = self.blocks.open(tenant, id, size).await.map_err(failed)?;
        let wanted = Arc::clone(wanted);
        // Decoding dominates, so the whole scan counts as computing; its reads overlap each other.
        let (blocks, key) = (Arc::clone(&self.blocks), (tenant.clone(), id));
        let scan = move || async move {
            let (query, ask) = &*wanted;
            let source = ScanSource {
                id: SourceId::block(&id),
                ask,
            };
            let scanned = scan_block(&block, query, source).await;
            // Here, since whoever asked may have gone by now.
            match &scanned {
                Ok(_) => blocks.weigh(&key, &block),
                Err(_) => blocks.forget(&key, &block),
            }
            scanned
        };
        self.cx.compute_async(scan).await.map_err(failed)
    }
}
