//! Work that several may wait for, done once and to its end, however long each of them waits.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use cairn_chassis::Context;
use parking_lot::Mutex;
use tokio::sync::watch;

/// What is being done, by what it is about.
pub(crate) struct Flights<K, V> {
    running: Mutex<HashMap<K, watch::Receiver<Option<V>>>>,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self {
            running: Mutex::default(),
        }
    }
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The result of `work` about `key`, which is begun unless it is being done. None if the
    /// process stops, or the work panics.
    pub(crate) async fn join<F>(
        self: &Arc<Self>,
        cx: &Context,
        key: K,
        work: impl FnOnce() -> F,
    ) -> Option<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut result = self.begin(cx, key, work);
        let result = result.wait_for(Option::is_some).await.ok()?;
        result.clone()
    }

    fn begin<F>(
        self: &Arc<Self>,
        cx: &Context,
        key: K,
        work: impl FnOnce() -> F,
    ) -> watch::Receiver<Option<V>>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut running = self.running.lock();
        if let Some(result) = running.get(&key) {
            return result.clone();
        }
        let (sender, result) = watch::channel(None);
        running.insert(key.clone(), result.clone());
        drop(running);
        let done = Done {
            flights: Arc::clone(self),
            key,
        };
        let (work, stopping) = (work(), cx.stopping());
        cx.spawn("load", async move {
            let value = stopping.run_until_cancelled(work).await;
            // Whoever comes now begins anew; whoever waits gets it.
            drop(done);
            if value.is_some() {
                let _ = sender.send(value);
            }
        });
        result
    }
}

/// Forgets a flight, also when it panics.
struct Done<K: Eq + Hash, V> {
    flights: Arc<Flights<K, V>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Done<K, V> {
    fn drop(&mut self) {
        self.flights.running.lock().remove(&self.key);
    }
}
