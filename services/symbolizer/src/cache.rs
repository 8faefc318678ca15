//! Opened symbol files in memory, bounded in bytes. Knows neither the store nor where files come
//! from.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_model::{BuildId, FileKind, TenantId};
use cairn_symbols::SymbolFile;
use parking_lot::Mutex;

/// What one entry takes besides the symbol file itself, so that absences are bounded too.
const ENTRY_BYTES: usize = 512;

/// Whose file of which binary. The tenant is part of it: no answer crosses tenants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    pub(crate) tenant: TenantId,
    pub(crate) build_id: BuildId,
    pub(crate) kind: FileKind,
}

/// A symbol file, or why there is none.
pub(crate) type Answer = Result<Arc<SymbolFile>, Absence>;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Absence {
    #[error("no file of this build id was uploaded")]
    NoFile,
    #[error("the uploaded file was refused: {0}")]
    Refused(Arc<str>),
    #[error("no file of this build id was uploaded, and no debuginfod server has one")]
    Nowhere,
    #[error(
        "no file of this build id was uploaded, and what a debuginfod server has is of no use: {0}"
    )]
    Bad(Arc<str>),
    #[error(
        "no file of this build id was uploaded, and debuginfod servers could not be asked: {0}"
    )]
    Unasked(Arc<str>),
    #[error("the file of this build id is still being fetched or read: ask again")]
    Unfinished,
    #[error("the file of this build id can't be read at present: ask again")]
    Unread,
}

impl Absence {
    /// Whether a later question may have another answer though nobody uploads anything.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::NoFile | Self::Refused(_) | Self::Nowhere | Self::Bad(_) => false,
            Self::Unasked(_) | Self::Unfinished | Self::Unread => true,
        }
    }
}

pub(crate) struct Cache {
    bytes_max: usize,
    absence_ttl: Duration,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_slot: HashMap<Slot, Entry>,
    /// Least recently used first.
    by_use: BTreeMap<u64, Slot>,
    uses: u64,
    bytes: usize,
}

struct Entry {
    answer: Answer,
    since: Instant,
    bytes: usize,
    last_use: u64,
}

impl Cache {
    pub(crate) fn new(bytes_max: usize, absence_ttl: Duration) -> Self {
        Self {
            bytes_max,
            absence_ttl,
            entries: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, slot: &Slot, now: Instant) -> Option<Answer> {
        let entries = &mut *self.entries.lock();
        let entry = entries.by_slot.get_mut(slot)?;
        if entry.answer.is_err() && now.duration_since(entry.since) >= self.absence_ttl {
            entries.remove(slot);
            return None;
        }
        entries.uses += 1;
        entries.by_use.remove(&entry.last_use);
        entries.by_use.insert(entries.uses, slot.clone());
        entry.last_use = entries.uses;
        Some(entry.answer.clone())
    }

    pub(crate) fn insert(&self, slot: Slot, answer: Answer, now: Instant) {
        let held = answer.as_ref().map_or(0, |file| file.memory_bytes());
        let bytes = ENTRY_BYTES + held;
        let entries = &mut *self.entries.lock();
        entries.remove(&slot);
        if bytes > self.bytes_max {
            return;
        }
        while entries.bytes + bytes > self.bytes_max {
            let (_, oldest) = entries
                .by_use
                .pop_first()
                .expect("bytes are held by entries");
            entries.remove(&oldest);
        }
        entries.uses += 1;
        entries.bytes += bytes;
        entries.by_use.insert(entries.uses, slot.clone());
        entries.by_slot.insert(
            slot,
            Entry {
                answer,
                since: now,
                bytes,
                last_use: entries.uses,
            },
        );
    }

    pub(crate) fn remove(&self, slot: &Slot) {
        self.entries.lock().remove(slot);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.entries.lock().bytes
    }
}

impl Entries {
    fn remove(&mut self, slot: &Slot) {
        if let Some(entry) = self.by_slot.remove(slot) {
            self.by_use.remove(&entry.last_use);
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin")]
mod tests {
    use super::*;

    fn slot(name: &str) -> Slot {
        Slot {
            tenant: TenantId::anonymous(),
            build_id: BuildId::parse(name).expect("valid"),
            kind: FileKind::Executable,
        }
    }

    #[test]
    fn the_least_recently_used_goes_first_and_the_bound_holds() {
        let now = Instant::now();
        let cache = Cache::new(3 * ENTRY_BYTES, Duration::from_secs(1));
        for name in ["a", "b", "c"] {
            cache.insert(slot(name), Err(Absence::NoFile), now);
        }
        assert!(cache.get(&slot("a"), now).is_some());
        cache.insert(slot("d"), Err(Absence::NoFile), now);
        let kept: Vec<_> = ["a", "b", "c", "d"]
            .into_iter()
            .filter(|name| cache.get(&slot(name), now).is_some())
            .collect();
        assert_eq!(kept, ["a", "c", "d"]);
        assert_eq!(cache.bytes(), 3 * ENTRY_BYTES);
        cache.remove(&slot("a"));
        cache.remove(&slot("a"));
        assert_eq!(cache.bytes(), 2 * ENTRY_BYTES);
    }

    #[test]
    fn absences_are_forgotten_and_tenants_share_nothing() {
        let now = Instant::now();
        let cache = Cache::new(1 << 20, Duration::from_secs(1));
        cache.insert(slot("a"), Err(Absence::NoFile), now);
        let other = Slot {
            tenant: TenantId::parse("other").expect("valid"),
            ..slot("a")
        };
        assert!(cache.get(&other, now).is_none());
        assert!(cache.get(&slot("a"), now).is_some());
        assert!(
            cache
                .get(&slot("a"), now + Duration::from_secs(1))
                .is_none()
        );
        assert_eq!(cache.bytes(), 0);
    }
}
