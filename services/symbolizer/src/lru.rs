//! What was used last, and how much all of it weighs. Pure; whoever owns one decides what goes.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Values by key, in the order of their last use.
#[derive(Debug)]
pub(crate) struct Lru<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// By the number of the last use.
    order: BTreeMap<u64, K>,
    uses: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    bytes: u64,
    used: u64,
}

impl<K, V> Default for Lru<K, V> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            order: BTreeMap::new(),
            uses: 0,
            bytes: 0,
        }
    }
}

impl<K: Clone + Eq + Hash, V> Lru<K, V> {
    /// Of all values.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The value, which is the one used last from now on.
    pub(crate) fn touch(&mut self, key: &K) -> Option<&V> {
        let entry = self.entries.get_mut(key)?;
        self.uses += 1;
        if let Some(key) = self.order.remove(&entry.used) {
            self.order.insert(self.uses, key);
        }
        entry.used = self.uses;
        Some(&entry.value)
    }

    /// As the one used last, in place of what had this key.
    pub(crate) fn insert(&mut self, key: K, value: V, bytes: u64) {
        self.remove(&key);
        self.uses += 1;
        self.bytes += bytes;
        self.order.insert(self.uses, key.clone());
        let used = self.uses;
        self.entries.insert(key, Entry { value, bytes, used });
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.remove(key)?;
        self.order.remove(&entry.used);
        self.bytes -= entry.bytes;
        Some(entry.value)
    }

    /// Takes out what was not used for the longest time, and how much it weighs.
    pub(crate) fn pop(&mut self) -> Option<(K, u64)> {
        let (_, key) = self.order.pop_first()?;
        let entry = self.entries.remove(&key)?;
        self.bytes -= entry.bytes;
        Some((key, entry.bytes))
    }
}
