//! Work about one thing, one at a time; what is about something else goes on beside it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

/// Whose turn it is, by what it is about.
pub(crate) struct Turns<K> {
    taken: Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>,
}

/// A turn, given up when dropped.
pub(crate) struct Turn<'a, K: Eq + Hash> {
    turns: &'a Turns<K>,
    key: K,
    /// None while it waits.
    guard: Option<OwnedMutexGuard<()>>,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self {
            taken: Mutex::default(),
        }
    }
}

impl<K: Clone + Eq + Hash> Turns<K> {
    pub(crate) async fn take(&self, key: K) -> Turn<'_, K> {
        let lock = Arc::clone(self.taken.lock().entry(key.clone()).or_default());
        // From here on whoever goes away tidies up.
        let mut turn = Turn {
            turns: self,
            key,
            guard: None,
        };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }
}

impl<K: Eq + Hash> Drop for Turn<'_, K> {
    fn drop(&mut self) {
        let mut taken = self.turns.taken.lock();
        self.guard = None;
        // Whoever waits for it or has it holds another.
        if taken
            .get(&self.key)
            .is_some_and(|lock| Arc::strong_count(lock) == 1)
        {
            taken.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_about_the_same_and_nothing_is_left_behind() {
        let turns = Turns::default();
        let first = turns.take("a").await;
        assert!(turns.take("b").now_or_never().is_some());
        assert!(turns.take("a").now_or_never().is_none());
        let waits = turns.take("a");
        tokio::pin!(waits);
        assert!(futures::poll!(&mut waits).is_pending());
        drop(first);
        // It is still wanted, so who comes now waits behind.
        assert!(turns.take("a").now_or_never().is_none());
        let second = tokio::time::timeout(Duration::from_secs(60), waits).await;
        drop(second.expect("its turn has come"));
        assert!(turns.taken.lock().is_empty());
    }
}
