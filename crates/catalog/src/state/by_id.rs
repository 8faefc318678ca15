//! A map by block that is cheap to clone, and cheap to change after it was cloned.
//!
//! Blocks made around the same time share a chunk; a change copies its chunk if a clone still
//! uses it.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_model::BlockId;
use serde::{Deserialize, Serialize};

/// Blocks whose names are within this many bits of a millisecond: about half an hour.
const CHUNK_BITS: u32 = 21;

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct ById<T>(BTreeMap<u64, Arc<BTreeMap<BlockId, T>>>);

impl<T> Default for ById<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Clone> ById<T> {
    pub(super) fn get(&self, id: &BlockId) -> Option<&T> {
        self.0.get(&chunk(id))?.get(id)
    }

    pub(super) fn contains_key(&self, id: &BlockId) -> bool {
        self.get(id).is_some()
    }

    pub(super) fn insert(&mut self, id: BlockId, value: T) {
        let chunk = self.0.entry(chunk(&id)).or_default();
        Arc::make_mut(chunk).insert(id, value);
    }

    pub(super) fn remove(&mut self, id: &BlockId) -> Option<T> {
        let number = chunk(id);
        let chunk = self.0.get_mut(&number)?;
        if !chunk.contains_key(id) {
            return None;
        }
        let removed = Arc::make_mut(chunk).remove(id);
        // Equal maps have equal chunks.
        if chunk.is_empty() {
            self.0.remove(&number);
        }
        removed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of ids.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.values().flat_map(|chunk| chunk.values())
    }

    #[cfg(test)]
    pub(super) fn keys(&self) -> impl Iterator<Item = &BlockId> {
        self.0.values().flat_map(|chunk| chunk.keys())
    }
}

fn chunk(id: &BlockId) -> u64 {
    id.unix_ms() >> CHUNK_BITS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_behaves_like_a_map_and_clones_stay_as_they_are(
            steps in prop::collection::vec((0..40u64, any::<bool>(), any::<bool>()), 0..100)
        ) {
            let (mut map, mut model) = (ById::default(), BTreeMap::new());
            let mut clones = Vec::new();
            for (at, (number, is_insert, is_cloned)) in steps.into_iter().enumerate() {
                let id = BlockId::new(number << (CHUNK_BITS - 2), 1);
                if is_insert {
                    map.insert(id, at);
                    model.insert(id, at);
                } else {
                    prop_assert_eq!(map.remove(&id), model.remove(&id));
                }
                prop_assert_eq!(map.get(&id), model.get(&id));
                if is_cloned {
                    clones.push((map.clone(), model.clone()));
                }
            }
            clones.push((map, model));
            for (map, model) in clones {
                prop_assert!(map.values().eq(model.values()) && map.keys().eq(model.keys()));
                prop_assert_eq!(map.is_empty(), model.is_empty());
                let mut built = ById::default();
                model.into_iter().for_each(|(id, value)| built.insert(id, value));
                prop_assert_eq!(map, built);
            }
        }
    }
}
