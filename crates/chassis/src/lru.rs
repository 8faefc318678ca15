//! What was used last, and how much all of it weighs. Pure; whoever owns one decides what goes.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Values by key, in the order of their last use.
#[derive(Debug)]
pub struct Lru<K, V> {
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
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Of all values.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The value, which is the one used last from now on.
    pub fn touch(&mut self, key: &K) -> Option<&V> {
        let entry = self.entries.get_mut(key)?;
        self.uses += 1;
        if let Some(key) = self.order.remove(&entry.used) {
            self.order.insert(self.uses, key);
        }
        entry.used = self.uses;
        Some(&entry.value)
    }

    /// The value, which does not count as a use.
    pub fn peek(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// As the one used last, in place of what had this key.
    pub fn insert(&mut self, key: K, value: V, bytes: u64) {
        self.remove(&key);
        self.uses += 1;
        self.bytes += bytes;
        self.order.insert(self.uses, key.clone());
        let entry = Entry {
            value,
            bytes,
            used: self.uses,
        };
        self.entries.insert(key, entry);
    }

    /// In no order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.entries.keys()
    }

    pub fn weigh(&mut self, key: &K, bytes: u64) {
        if let Some(entry) = self.entries.get_mut(key) {
            self.bytes = self.bytes - entry.bytes + bytes;
            entry.bytes = bytes;
        }
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.remove(key)?;
        self.order.remove(&entry.used);
        self.bytes -= entry.bytes;
        Some(entry.value)
    }

    /// Takes out what was not used for the longest time.
    pub fn pop(&mut self) -> Option<(K, V)> {
        let (_, key) = self.order.first_key_value()?;
        let key = key.clone();
        let value = self.remove(&key)?;
        Some((key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_goes_first_and_weights_add_up() {
        let mut lru = Lru::default();
        for (key, bytes) in [("a", 1), ("b", 10), ("c", 100), ("d", 1000)] {
            lru.insert(key, key.len(), bytes);
        }
        assert_eq!(lru.touch(&"a"), Some(&1));
        assert_eq!(lru.touch(&"x"), None);
        assert_eq!(lru.peek(&"b"), Some(&1));
        lru.insert("b", 7, 20);
        lru.weigh(&"c", 200);
        assert_eq!((lru.len(), lru.bytes()), (4, 1221));
        assert_eq!(lru.remove(&"d"), Some(1));
        let order = std::iter::from_fn(|| lru.pop());
        assert_eq!(order.collect::<Vec<_>>(), [("c", 1), ("a", 1), ("b", 7)]);
        assert_eq!((lru.len(), lru.bytes()), (0, 0));
    }
}
