//! Gives equal stacks one position.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::profile::Stacks;

/// Finds stacks by their locations. One index serves one table.
#[derive(Clone, Debug, Default)]
pub struct StackIndex {
    known: HashTable<u32>,
    hasher: RandomState,
}

impl StackIndex {
    /// The position of a stack, which is appended if there is no equal one.
    pub fn intern(&mut self, stacks: &mut Stacks, locations: &[u32]) -> u32 {
        let hasher = &self.hasher;
        let hash = hasher.hash_one(locations);
        let is_same = |id: &u32| stacks.get(*id) == locations;
        if let Some(id) = self.known.find(hash, is_same) {
            return *id;
        }
        let id = stacks.push(locations);
        let hash_of = |id: &u32| hasher.hash_one(stacks.get(*id));
        self.known.insert_unique(hash, id, hash_of);
        id
    }

    /// How much memory it takes.
    pub fn bytes(&self) -> usize {
        self.known.allocation_size()
    }
}
