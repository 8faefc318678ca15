//! Deletes shared profiles that have expired. Their names say when, so nothing is read.

use std::time::Duration;

use cairn_store::{Error, Key};

use super::Compactor;

/// How often to list them: queriers refuse what has expired, so it only takes space.
const PAUSE: Duration = Duration::from_secs(60 * 60);

impl Compactor {
    /// Does nothing if that was done lately.
    pub(super) async fn sweep_shares(&mut self) {
        let now = self.cx.clock().instant();
        let is_recent = |swept| now.saturating_duration_since(swept) < PAUSE;
        if self.swept.is_some_and(is_recent) {
            return;
        }
        match self.delete_expired_shares().await {
            Ok(0) => {}
            Ok(deleted) => tracing::info!(deleted, "shared profiles expired and are deleted"),
            Err(error) => {
                self.metrics.delete_failures.inc();
                tracing::warn!(%error, "expired shared profiles could not be deleted");
            }
        }
        self.swept = Some(now);
    }

    async fn delete_expired_shares(&self) -> Result<usize, Error> {
        let now = self.cx.clock().now() / 1_000_000_000;
        let mut deleted = 0;
        for (tenant, id) in self.store.list_shares().await? {
            if self.cx.stopping().is_cancelled() {
                break;
            }
            if i64::from(id.expires_unix_s) <= now {
                let tenant = &tenant;
                match self.store.delete(Key::Share { tenant, id }).await {
                    Ok(()) => deleted += 1,
                    // The others can be deleted all the same.
                    Err(error) => tracing::warn!(%tenant, %error, "a shared profile stays for now"),
                }
            }
        }
        Ok(deleted)
    }
}
