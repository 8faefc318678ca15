//! Merging answers of other workers for whoever asks: a level of a tree where there are many.
//!
//! What one of them does not answer is read here, if there is time left.

use std::sync::Arc;

use cairn_chassis::Context;
use cairn_engine::exchange::{self, BLOCK_SCAN, Cost};
use cairn_model::Code;
use cairn_wire::cairn::query::v1::scan_ticket::Source;
use cairn_wire::cairn::query::v1::{Blocks, Share};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tonic::Status;

use crate::config::Config;
use crate::deadline::Deadline;
use crate::error::Warning;
use crate::peers::Failure;
use crate::scan::{Answered, Peers};
use crate::sum::Sum;
use crate::worker::{Wanted, Worker, wrong};

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
    /// How its process reaches itself.
    pub(crate) fn address(&self) -> &str {
        &self.relay.own
    }

    /// The sum of what several workers answer.
    pub(crate) async fn relay(
        &self,
        wanted: &Arc<Wanted>,
        (shares, deadline): (Vec<Share>, Deadline),
    ) -> Result<Answered, Status> {
        let (mut cost, mut warnings) = (Cost::default(), Vec::new());
        let mut sum = Sum::within(&wanted.query.question, self.query_bytes_max);
        let asks = shares.into_iter().map(|share| {
            let deadline = deadline.clone();
            async move { self.share(wanted, (share, deadline)).await }
        });
        let mut asks: FuturesUnordered<_> = asks.collect();
        while let Some(answered) = asks.next().await {
            let (scanned, of, missing) = answered?;
            let added = sum.add(&wanted.job, scanned);
            sum = added.await.map_err(wrong)?;
            cost.add(of);
            warnings.extend(missing);
        }
        let finish = move || sum.finish();
        let scanned = wanted.job.compute(finish).await.map_err(wrong)?;
        if scanned.stats.is_cut {
            Warning::too_many().say(&mut warnings);
        }
        Ok((scanned, cost, warnings))
    }

    async fn share(
        &self,
        wanted: &Arc<Wanted>,
        (Share { worker, blocks }, deadline): (Share, Deadline),
    ) -> Result<Answered, Status> {
        if !self.relay.workers.contains(&worker) {
            let text = format!("{worker} is none of the workers that this one knows");
            return Err(cairn_wire::status(Code::Invalid, &text));
        }
        if worker != self.address() {
            let asked = deadline.within(deadline.tenths(8));
            let source = Source::Blocks(Blocks {
                blocks: blocks.clone(),
            });
            let ticket = exchange::encode(wanted.job.tenant(), &wanted.query, source, &wanted.ask);
            let peers = &self.relay.peers;
            let asked = peers.ask(&wanted.job, &worker, (BLOCK_SCAN, &ticket), &asked);
            match asked.await {
                Ok(answered) => return Ok(answered),
                Err(failure) => {
                    tracing::warn!(worker, error = %failure, "scanning the blocks of another worker");
                }
            }
        }
        let (own, wanted) = (self.clone(), Arc::clone(wanted));
        let until = deadline.clone();
        let scan = async move {
            let scanned = own.scan(&wanted, (blocks, until));
            scanned.await.map_err(wrong)
        };
        let failed = |failure: Failure| cairn_wire::status(failure.code, &failure.text);
        self.apart(scan, &deadline).await.map_err(failed)
    }
}
