//! What a tenant keeps, which takes long to count: believed for a while once it was counted, with
//! what comes and goes here.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use cairn_model::TenantId;
use parking_lot::Mutex;

use crate::error::Error;

/// How long it is believed. Other replicas change it meanwhile.
const BELIEVED: Duration = Duration::from_secs(60);

pub(crate) struct Believed<T> {
    known: Mutex<HashMap<TenantId, (Instant, T)>>,
    /// Counting lists all files of a tenant: one at a time.
    counting: tokio::sync::Mutex<()>,
}

impl<T> Default for Believed<T> {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            counting: tokio::sync::Mutex::default(),
        }
    }
}

impl<T: Copy> Believed<T> {
    /// What is believed of a tenant, counted if nothing is.
    pub(crate) async fn get(
        &self,
        tenant: &TenantId,
        now: Instant,
        count: impl AsyncFnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let is_fresh = |since: Instant| now.saturating_duration_since(since) < BELIEVED;
        let fresh = || {
            let known = self.known.lock().get(tenant).copied();
            let fresh = known.filter(|(since, _)| is_fresh(*since));
            fresh.map(|(_, value)| value)
        };
        if let Some(value) = fresh() {
            return Ok(value);
        }
        let _counting = self.counting.lock().await;
        // Whoever counted before may have counted this.
        if let Some(value) = fresh() {
            return Ok(value);
        }
        let value = count().await?;
        let mut known = self.known.lock();
        known.retain(|_, (since, _)| is_fresh(*since));
        known.insert(tenant.clone(), (now, value));
        Ok(value)
    }

    /// Something came or went.
    pub(crate) fn change(&self, tenant: &TenantId, change: impl FnOnce(&mut T)) {
        if let Some((_, value)) = self.known.lock().get_mut(tenant) {
            change(value);
        }
    }

    /// Has it counted anew.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        self.known.lock().remove(tenant);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test]
    async fn it_is_counted_once_for_all_who_ask_until_it_is_old() {
        let (believed, counted) = (Believed::default(), AtomicU64::new(0));
        let tenant = TenantId::anonymous();
        let now = cairn_chassis::Clock::real().instant();
        let at = async |now| {
            let count = async || {
                tokio::task::yield_now().await;
                Ok(10 * counted.fetch_add(1, Ordering::Relaxed))
            };
            believed.get(&tenant, now, count).await.expect("counted")
        };
        assert_eq!(futures::join!(at(now), at(now), at(now)), (0, 0, 0));
        believed.change(&tenant, |value| *value += 3);
        assert_eq!(at(now + BELIEVED / 2).await, 3);
        assert_eq!(at(now + BELIEVED).await, 10);
        believed.forget(&tenant);
        assert_eq!(at(now + BELIEVED).await, 20);
    }
}
