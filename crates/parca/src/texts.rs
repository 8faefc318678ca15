//! Texts of rows: names and values of labels, types. Owns that equal ones have one number.

use std::hash::BuildHasher;

use cairn_model::{StrId, Strings};
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::Error;
use crate::meter::Meter;

/// Texts, equal ones the same; the empty one is 0.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    strings: Strings,
    known: HashTable<StrId>,
    hasher: RandomState,
}

impl Texts {
    pub(crate) fn take(&mut self, bytes: &[u8], meter: &mut Meter<'_>) -> Result<StrId, Error> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let text = meter.text(bytes)?;
        let Self {
            strings,
            known,
            hasher,
        } = self;
        let hash = hasher.hash_one(&*text);
        if let Some(id) = known.find(hash, |id| strings.get(*id) == text) {
            return Ok(*id);
        }
        meter.tables.take(text.len() + 16)?;
        let id = strings.push(&text);
        known.insert_unique(hash, id, |id| hasher.hash_one(strings.get(*id)));
        Ok(id)
    }

    pub(crate) fn get(&self, id: StrId) -> &str {
        self.strings.get(id)
    }
}
