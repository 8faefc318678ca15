//! Keeps the lease of a writer whose log others may recover.
//!
//! Owns asking in time, and not asking while the object store takes nothing from here but answers
//! others: they should have the shards then. What is acknowledged while the lease holds is the log's
//! rule; a writer whose lease is over has no way back but to start anew, as a new incarnation.

use std::time::{Duration, Instant};

use cairn_catalog::Client;
use cairn_chassis::Context;
use cairn_model::{Code, WriterId};
use cairn_wal::Lease;
use cairn_wire::cairn::ingest::v1::ReachStoreRequest;
use cairn_wire::cairn::ingest::v1::forward_service_client::ForwardServiceClient;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

/// A third of the lease: a renewal may be lost before it is over.
const RENEWALS: u32 = 3;

pub(crate) struct Keeper {
    pub(crate) cx: Context,
    pub(crate) catalog: Client,
    pub(crate) writer: WriterId,
    pub(crate) incarnation: u64,
    pub(crate) ttl: Duration,
    pub(crate) lease: Lease,
    /// Cancelled when everything is in blocks and the lease is needed no longer.
    pub(crate) closed: CancellationToken,
}

impl Keeper {
    /// Renews until the writer is closed, which is after the process was asked to stop; fails when
    /// the lease is lost, which stops the process.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let clock = self.cx.clock();
        // One answer may take as long as the next renewal has time.
        let catalog = self.catalog.clone().with_patience(self.ttl / RENEWALS);
        loop {
            tokio::select! {
                biased;
                () = self.closed.cancelled() => return Ok(()),
                () = clock.sleep(self.ttl / RENEWALS) => {}
            }
            // From before it is sent: the catalog's count begins later.
            let sent = clock.instant();
            // One that is over stays so: the log has stopped by it already.
            self.ensure_valid()?;
            let is_cut_off = tokio::select! {
                is_cut_off = self.is_cut_off(&catalog, sent) => is_cut_off,
                () = self.closed.cancelled() => return Ok(()),
            };
            self.ensure_valid()?;
            if is_cut_off {
                tracing::warn!(
                    "the object store answers others, but not here: the lease is not renewed"
                );
            } else {
                self.renew(&catalog, sent).await?;
            }
            if self.closed.is_cancelled() {
                return Ok(());
            }
            self.ensure_valid()?;
        }
    }

    fn ensure_valid(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.lease.is_valid(self.cx.clock().instant()),
            "the lease is over: others recover this log; start again"
        );
        Ok(())
    }

    async fn renew(&self, catalog: &Client, sent: Instant) -> anyhow::Result<()> {
        match catalog
            .renew(&self.writer, self.incarnation, self.ttl)
            .await
        {
            Ok(()) => self.lease.renewed(sent + self.ttl),
            // It was on its way while the writer was closed.
            Err(_) if self.closed.is_cancelled() => {}
            Err(error) if error.code() == Code::Conflict => {
                return Err(anyhow::Error::new(error).context(
                    "another incarnation writes under this name, or this one was given up",
                ));
            }
            Err(error) => tracing::warn!(%error, "the lease is not renewed yet"),
        }
        Ok(())
    }

    /// Whether a put waits here for long, while the store answers another ingester.
    async fn is_cut_off(&self, catalog: &Client, now: Instant) -> bool {
        if self.lease.waited(now) < self.ttl / RENEWALS {
            return false;
        }
        // Of a catalog that can't be asked others renew nothing either.
        let Ok(shards) = catalog.shards().await else {
            return false;
        };
        let others = shards.writers.iter().filter(|(id, _)| **id != self.writer);
        let asked = others.map(|(_, place)| self.is_reached_from(&place.address));
        let mut asked: FuturesUnordered<_> = asked.collect();
        while let Some(is_reached) = asked.next().await {
            if is_reached {
                return true;
            }
        }
        false
    }

    /// Whether the ingester there has the store's answers.
    async fn is_reached_from(&self, address: &str) -> bool {
        let Ok(channel) = (self.cx.connector())(address) else {
            return false;
        };
        let mut client = ForwardServiceClient::new(channel);
        let asked = async {
            let answer = client.reach_store(ReachStoreRequest {}).await;
            answer.is_ok_and(|answer| answer.into_inner().is_reached)
        };
        let clock = self.cx.clock();
        tokio::select! {
            is_reached = asked => is_reached,
            () = clock.sleep(self.ttl / RENEWALS / 2) => false,
        }
    }
}
