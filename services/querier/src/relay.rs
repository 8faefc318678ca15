//! Merging answers of other workers for whoever asks: a level of a tree where there are many.
//!
//! What one of them does not answer is read here, if there is time left.

use std::sync::Arc;

use cairn_chassis::Context;
use cairn_engine::Merge;
use cairn_engine::exchange::{self, BLOCK_SCAN, Cost};
use cairn_model::{Code, TenantId};
use cairn_wire::cairn::query::v1::scan_ticket::Source;
use cairn_wire::cairn::query::v1::{Blocks, Share};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tonic::Status;

use crate::config::Config;
use crate::deadline::Deadline;
use crate::error::Warning;
use crate::scan::{Answered, Peers};
use crate::worker::{Wanted, Worker};

/// The workers that there are: nobody else is asked, whatever a ticket says.
#[derive(Clone, Debug)]
pub(crate) struct Relay {
    workers: Vec<String>,
    /// How the process reaches itself.
    own: String,
    peers: Peers,
}

impl Relay {
    pub(crate) fn new(cx: &Context, config: &Config) -> Self {
        let own = cx.own_address();
        Self {
            workers: config.workers_or(&own),
            own,
            peers: Peers::new(cx, &config.limits),
        }
    }
}

impl Worker {
    /// Whether it is the one that is reached there.
    pub(crate) fn is_at(&self, address: &str) -> bool {
        self.relay.own == address
    }

    /// The sum of what several workers answer.
    pub(crate) async fn relay(
        &self,
        tenant: &TenantId,
        wanted: &Arc<Wanted>,
        (shares, deadline): (Vec<Share>, Deadline),
    ) -> Result<Answered, Status> {
        let mut sum = (Cost::default(), Vec::new());
        let mut merge = Merge::within(&wanted.query.question, self.query_bytes_max);
        let asks = shares.into_iter().map(|share| {
            let deadline = deadline.clone();
            async move { self.share(tenant, wanted, (share, deadline)).await }
        });
        let mut asks: FuturesUnordered<_> = asks.collect();
        while let Some(answered) = asks.next().await {
            let (scanned, cost, warnings) = answered?;
            merge = self.add(tenant, merge, scanned).await?;
            sum.0.add(cost);
            sum.1.extend(warnings);
        }
        sum.1.extend(merge.is_cut().then(Warning::too_many));
        let scanned = self.cx.compute_for(tenant, move || merge.finish()).await;
        Ok((scanned, sum.0, sum.1))
    }

    async fn share(
        &self,
        tenant: &TenantId,
        wanted: &Arc<Wanted>,
        (Share { worker, blocks }, deadline): (Share, Deadline),
    ) -> Result<Answered, Status> {
        if !self.relay.workers.contains(&worker) {
            let text = format!("{worker} is none of the workers that this one knows");
            return Err(cairn_wire::status(Code::Invalid, &text));
        }
        if !self.is_at(&worker) {
            let asked = deadline.within(deadline.tenths(8));
            let source = Source::Blocks(Blocks {
                blocks: blocks.clone(),
            });
            let ticket = exchange::encode(tenant, &wanted.query, source, &wanted.ask);
            let peers = &self.relay.peers;
            let asked = peers.ask(tenant, &worker, (BLOCK_SCAN, &ticket), &asked);
            match asked.await {
                Ok(answered) => return Ok(answered),
                Err(failure) => {
                    tracing::warn!(worker, error = %failure, "scanning the blocks of another worker");
                }
            }
        }
        self.scan(tenant, wanted, (blocks, deadline)).await
    }
}
