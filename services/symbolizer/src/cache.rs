//! Opened symbol files in memory, bounded in bytes. Knows neither the store nor where files come
//! from.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_chassis::Lru;
use cairn_model::{ContentHash, UploadId};
use cairn_store::DebuginfoName;
use cairn_symbols::SymbolFile;
use parking_lot::Mutex;

use crate::absence::Absence;
use crate::records::Place;

/// What one entry takes besides the symbol file itself, so that absences are bounded too.
const ENTRY_BYTES: usize = 512;

/// Which upload of whose file of which binary: one content for ever. The tenant is part of it: no
/// answer crosses tenants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    pub(crate) place: Place,
    pub(crate) upload: UploadId,
    pub(crate) content: Option<ContentHash>,
    /// The program with which a package is read, since other content is made of it with another.
    pub(crate) program: Option<Box<Slot>>,
}

impl Slot {
    pub(crate) fn new(place: Place, upload: UploadId, content: Option<ContentHash>) -> Self {
        Self {
            place,
            upload,
            content,
            program: None,
        }
    }

    /// A package together with its program.
    pub(crate) fn with(&self, program: &Self) -> Self {
        Self {
            program: Some(Box::new(program.clone())),
            ..self.clone()
        }
    }

    pub(crate) fn file(&self) -> DebuginfoName {
        self.place.file(self.upload, self.content)
    }

    pub(crate) fn symbols(&self) -> DebuginfoName {
        let (kind, upload) = (self.place.kind, self.upload);
        let version = cairn_symbols::VERSION;
        match &self.program {
            None => DebuginfoName::Symbols {
                kind,
                upload,
                version,
            },
            Some(program) => DebuginfoName::Joined {
                kind,
                upload,
                version,
                program: program.upload,
            },
        }
    }
}

/// A symbol file, or why there is none.
pub(crate) type Answer = Result<Arc<SymbolFile>, Absence>;

pub(crate) struct Cache {
    bytes_max: u64,
    absence_ttl: Duration,
    entries: Mutex<Lru<Slot, (Answer, Instant)>>,
}

impl Cache {
    pub(crate) fn new(bytes_max: u64, absence_ttl: Duration) -> Self {
        Self {
            bytes_max,
            absence_ttl,
            entries: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, slot: &Slot, now: Instant) -> Option<Answer> {
        let mut entries = self.entries.lock();
        let (answer, since) = entries.touch(slot)?.clone();
        if answer.is_err() && now.duration_since(since) >= self.absence_ttl {
            entries.remove(slot);
            return None;
        }
        Some(answer)
    }

    pub(crate) fn insert(&self, slot: Slot, answer: Answer, now: Instant) {
        let held = answer.as_ref().map_or(0, |file| file.memory_bytes());
        let bytes = (ENTRY_BYTES + held) as u64;
        let mut entries = self.entries.lock();
        entries.remove(&slot);
        if bytes > self.bytes_max {
            return;
        }
        while entries.bytes() + bytes > self.bytes_max {
            drop(entries.pop().expect("bytes are held by entries"));
        }
        entries.insert(slot, (answer, now), bytes);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.entries.lock().bytes()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin")]
mod tests {
    use cairn_model::{BuildId, FileKind, TenantId};

    use super::*;

    fn slot(name: &str) -> Slot {
        let place = Place {
            tenant: TenantId::anonymous(),
            build_id: BuildId::parse(name).expect("valid"),
            kind: FileKind::Executable,
        };
        Slot::new(place, UploadId(1), None)
    }

    #[test]
    fn the_least_recently_used_goes_first_and_the_bound_holds() {
        let now = Instant::now();
        let cache = Cache::new(3 * ENTRY_BYTES as u64, Duration::from_secs(1));
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
        assert_eq!(cache.bytes(), 3 * ENTRY_BYTES as u64);
    }

    #[test]
    fn absences_are_forgotten_and_tenants_share_nothing() {
        let now = Instant::now();
        let cache = Cache::new(1 << 20, Duration::from_secs(1));
        cache.insert(slot("a"), Err(Absence::NoFile), now);
        let mut other = slot("a");
        other.place.tenant = TenantId::parse("other").expect("valid");
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
