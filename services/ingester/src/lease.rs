//! Keeps the lease of a writer whose log others may recover.
//!
//! Owns asking in time. What is acknowledged while the lease holds is the log's rule; a writer whose
//! lease is over has no way back but to start anew, as a new incarnation.

use std::time::Duration;

use cairn_catalog::Client;
use cairn_chassis::Context;
use cairn_model::{Code, WriterId};
use cairn_wal::Lease;
use tokio_util::sync::CancellationToken;

/// A third of the lease: two renewals may be lost before it is over.
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
            match catalog
                .renew(&self.writer, self.incarnation, self.ttl)
                .await
            {
                Ok(()) => self.lease.renewed(sent + self.ttl),
                // It was on its way while the writer was closed.
                Err(_) if self.closed.is_cancelled() => return Ok(()),
                Err(error) if error.code() == Code::Conflict => {
                    return Err(anyhow::Error::new(error).context(
                        "another incarnation writes under this name, or this one was given up",
                    ));
                }
                Err(error) => tracing::warn!(%error, "the lease is not renewed yet"),
            }
            anyhow::ensure!(
                self.lease.is_valid(clock.instant()),
                "the lease is over: others recover this log; start again"
            );
        }
    }
}
