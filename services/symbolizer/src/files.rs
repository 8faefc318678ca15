//! The symbol files of a tenant's binaries: in memory, from the store, or converted again.

mod made;
mod package;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cairn_chassis::Context;
use cairn_model::{BuildId, FileKind, TenantId};
use cairn_store::Store;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::absence::Absence;
use crate::believed::Believed;
use crate::cache::{Answer, Cache, Slot};
use crate::config::Config;
use crate::convert::Converter;
use crate::disk::Disk;
use crate::error::Error;
use crate::metrics::{LoadLabel, Metrics, Source};
use crate::record::{Record, Refusal};
use crate::records::{Change, Place, Records};
use crate::symbol_files::SymbolFiles;
use crate::turns::{Turn, Turns};

/// Symbol files that are read from the store at a time, each a part after another.
const LOADS_MAX: usize = 16;
/// Builds of which it is remembered what was uploaded; some hundred bytes each.
const KNOWN_MAX: usize = 10_000;

pub(crate) struct Files {
    records: Records,
    symbols: SymbolFiles,
    converter: Converter,
    cache: Cache,
    /// What the records said lately. Other replicas change them, so this is believed for a short
    /// time only.
    known: parking_lot::Mutex<HashMap<(TenantId, BuildId), (Instant, Known)>>,
    known_ttl: Duration,
    /// The number of the last change of each build, and how many there were.
    changes: parking_lot::Mutex<HashMap<(TenantId, BuildId), u64>>,
    changes_made: AtomicU64,
    /// The last day on which the use of a build was noted.
    noted: parking_lot::Mutex<HashMap<(TenantId, BuildId), u32>>,
    /// Bytes of what was fetched for each tenant.
    fetched: Believed<u64>,
    fetched_bytes_max: u64,
    /// So that no file is loaded twice at once.
    turns: Turns<Slot>,
    loads: Semaphore,
    /// Builds whose records are read at a time.
    reads: Semaphore,
    /// Of stored files that are to be converted, only these are on the scratch disk.
    conversions: Semaphore,
    /// How often reading a file took too long.
    late: parking_lot::Mutex<HashMap<Slot, u32>>,
    /// Source maps that no texts can be made of, packages that can't be read with a program, and why.
    unmade: parking_lot::Mutex<HashMap<Slot, Arc<str>>>,
    /// Programs no units of which were split off.
    unsplit: parking_lot::Mutex<HashMap<Slot, ()>>,
    metrics: Metrics,
    cx: Context,
}

/// What a build is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Code {
    Machine,
    /// Generated JavaScript.
    Script,
}

/// The symbol files that name one build. Both are asked for every address. Of a script the source
/// map stands for debug information, and there is nothing else.
#[derive(Clone)]
pub(crate) struct Build {
    pub(crate) debuginfo: Answer,
    pub(crate) executable: Answer,
    /// Why debuginfod servers gave neither, as far as they were to be asked.
    pub(crate) upstream: Vec<Absence>,
}

/// What was uploaded of one build.
#[derive(Clone)]
struct Known {
    debuginfo: Result<Slot, Absence>,
    executable: Result<Slot, Absence>,
    source_map: Result<Slot, Absence>,
    package: Result<Slot, Absence>,
}

impl Files {
    pub(crate) fn new(
        (store, disk): (Store, Option<Disk>),
        converter: Converter,
        config: &Config,
        metrics: Metrics,
        cx: Context,
    ) -> Self {
        let bytes_max = config.cache_bytes_max.as_u64();
        Self {
            symbols: SymbolFiles::new(store.clone(), disk, metrics.clone(), cx.clone()),
            records: Records::new(store),
            converter,
            cache: Cache::new(bytes_max, config.absence_ttl),
            known: parking_lot::Mutex::default(),
            known_ttl: config.absence_ttl,
            changes: parking_lot::Mutex::default(),
            changes_made: AtomicU64::new(0),
            noted: parking_lot::Mutex::default(),
            fetched: Believed::default(),
            fetched_bytes_max: config.upstream.kept_bytes_max.as_u64(),
            turns: Turns::default(),
            loads: Semaphore::new(LOADS_MAX),
            reads: Semaphore::new(LOADS_MAX),
            // One is at hand when another ends.
            conversions: Semaphore::new(config.conversion.concurrent_max.max(1) + 1),
            late: parking_lot::Mutex::default(),
            unmade: parking_lot::Mutex::default(),
            unsplit: parking_lot::Mutex::default(),
            metrics,
            cx,
        }
    }

    pub(crate) fn records(&self) -> &Records {
        &self.records
    }

    pub(crate) fn fetched(&self) -> &Believed<u64> {
        &self.fetched
    }

    /// Bytes of fetched files of one tenant.
    pub(crate) fn fetched_bytes_max(&self) -> u64 {
        self.fetched_bytes_max
    }

    pub(crate) fn now(&self) -> Instant {
        self.cx.clock().instant()
    }

    pub(crate) fn converter(&self) -> &Converter {
        &self.converter
    }

    /// Whatever names this build for this tenant.
    pub(crate) async fn build(
        &self,
        tenant: &TenantId,
        build_id: &BuildId,
        code: Code,
    ) -> Result<Build, Error> {
        let known = self.known(tenant, build_id).await?;
        let (debuginfo, executable) = match code {
            Code::Machine => (known.debuginfo.clone(), known.executable.clone()),
            Code::Script => (known.source_map.clone(), Err(Absence::NoMap)),
        };
        let mut build = Build {
            debuginfo: self.answer(debuginfo).await?,
            executable: self.answer(executable).await?,
            upstream: Vec::new(),
        };
        if code == Code::Machine {
            self.join(&known, &mut build).await;
        }
        Ok(build)
    }

    /// Notes that what was uploaded of this build was changed here, by somebody who wants that later
    /// questions see it.
    pub(crate) fn changed(&self, tenant: &TenantId, build_id: &BuildId) {
        self.forget(tenant, build_id);
        let key = (tenant.clone(), build_id.clone());
        let mut changes = self.changes.lock();
        bound(&mut changes);
        // Never a number that was there before, also of those that were forgotten.
        let next = self.changes_made.fetch_add(1, Ordering::Relaxed) + 1;
        changes.insert(key, next);
    }

    /// A number that is another after each change of a build made here.
    pub(crate) fn changes(&self, tenant: &TenantId, build_id: &BuildId) -> u64 {
        let key = (tenant.clone(), build_id.clone());
        self.changes.lock().get(&key).copied().unwrap_or_default()
    }

    /// Forgets what was known of this build.
    fn forget(&self, tenant: &TenantId, build_id: &BuildId) {
        let key = (tenant.clone(), build_id.clone());
        self.known.lock().remove(&key);
    }

    async fn known(&self, tenant: &TenantId, build_id: &BuildId) -> Result<Known, Error> {
        let key = (tenant.clone(), build_id.clone());
        let now = self.cx.clock().instant();
        let is_fresh = |since: Instant| now.duration_since(since) < self.known_ttl;
        if let Some((since, known)) = self.known.lock().get(&key)
            && is_fresh(*since)
        {
            return Ok(known.clone());
        }
        let changes = self.changes(tenant, build_id);
        let reading = self.reads.acquire().await.expect("it is never closed");
        let folder = self.records.folder(tenant, build_id).await?;
        let slot = async |kind| {
            let place = Place {
                tenant: tenant.clone(),
                build_id: build_id.clone(),
                kind,
            };
            let (place, record) = self.records.find(&folder, &place).await?;
            Ok::<_, Error>(readable(place, record))
        };
        let debuginfo = slot(FileKind::Debuginfo).await?;
        let executable = slot(FileKind::Executable).await?;
        let package = match slot(FileKind::Package).await? {
            Err(absence) => {
                let programs = [&debuginfo, &executable].into_iter().flatten();
                let by_name = self.package_of(build_id, programs).await?;
                by_name.ok_or(absence)
            }
            there => there,
        };
        let known = Known {
            debuginfo,
            executable,
            source_map: match slot(FileKind::SourceMap).await? {
                Err(Absence::NoFile) => Err(Absence::NoMap),
                slot => slot,
            },
            package,
        };
        drop(reading);
        let all = [&known.debuginfo, &known.executable, &known.source_map];
        for slot in all.into_iter().flatten() {
            self.note_use(&slot.place).await;
        }
        let mut all = self.known.lock();
        if all.len() >= KNOWN_MAX {
            all.retain(|_, (since, _)| is_fresh(*since));
        }
        bound(&mut all);
        // What was changed since is read anew.
        if self.changes(tenant, build_id) == changes {
            all.insert(key, (now, known.clone()));
        }
        Ok(known)
    }

    /// Notes, once a day, that a build is in use, so that its files are kept.
    pub(crate) async fn note_use(&self, place: &Place) {
        let today = self.cx.clock().now() / (24 * 60 * 60 * 1_000_000_000);
        let today = u32::try_from(today).unwrap_or_default();
        let key = (place.tenant.clone(), place.build_id.clone());
        {
            let mut noted = self.noted.lock();
            if noted.get(&key) == Some(&today) {
                return;
            }
            bound(&mut noted);
            noted.insert(key.clone(), today);
        }
        if let Err(error) = self.records.note_use(place, today).await {
            tracing::warn!(%error, build_id = %place.build_id, "its use is not noted");
            self.noted.lock().remove(&key);
        }
    }

    async fn answer(&self, slot: Result<Slot, Absence>) -> Result<Answer, Error> {
        match slot {
            Ok(slot) => self.file(slot).await,
            Err(absence) => {
                let from = Source::Nowhere;
                self.metrics.loads.get_or_create(&LoadLabel { from }).inc();
                Ok(Err(absence))
            }
        }
    }

    /// The symbol file of an upload; of a package, with the program that its units were split off.
    pub(crate) async fn file(&self, slot: Slot) -> Result<Answer, Error> {
        if let Some(answer) = self.cached(&slot) {
            return Ok(answer);
        }
        let _turn = self.turn(&slot).await;
        // Whoever held the turn before may have loaded it.
        if let Some(answer) = self.cached(&slot) {
            return Ok(answer);
        }
        let (answer, from) = self.load(&slot).await?;
        self.metrics.loads.get_or_create(&LoadLabel { from }).inc();
        // That is about the program.
        if !matches!(answer, Err(Absence::NotSplit)) {
            let now = self.cx.clock().instant();
            self.cache.insert(slot, answer.clone(), now);
            self.note_size();
        }
        Ok(answer)
    }

    fn cached(&self, slot: &Slot) -> Option<Answer> {
        let cached = self.cache.get(slot, self.cx.clock().instant());
        // No symbol file was made of it, so there is nothing to read either.
        let unmade = || slot.program.is_some().then(|| self.unmade(slot)).flatten();
        let answer = cached.or_else(|| unmade().map(Err))?;
        let from = Source::Memory;
        self.metrics.loads.get_or_create(&LoadLabel { from }).inc();
        Some(answer)
    }

    pub(crate) async fn turn(&self, slot: &Slot) -> Turn<'_, Slot> {
        self.turns.take(slot.clone()).await
    }

    /// A turn to read a stored file and have it converted.
    pub(crate) async fn turn_to_convert(&self) -> SemaphorePermit<'_> {
        let turn = self.conversions.acquire().await;
        turn.expect("it is never closed")
    }

    async fn load(&self, slot: &Slot) -> Result<(Answer, Source), Error> {
        let symbols = slot.symbols();
        let key = slot.place.key(&symbols);
        {
            let _turn = self.loads.acquire().await.expect("it is never closed");
            if let Some((file, from)) = self.symbols.get(key, &self.converter).await? {
                return Ok((Ok(file), from));
            }
        }
        self.made(slot).await
    }

    /// Runs what takes long on a core of its own.
    pub(crate) async fn compute<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> R {
        self.cx.compute(work).await
    }

    /// Keeps why a file is of no use, and then not the file.
    async fn refuse(&self, slot: &Slot, reason: &str) -> Result<(), Error> {
        let refusal = Refusal {
            reason: reason.to_owned(),
            by_version: cairn_symbols::VERSION,
        };
        let decide = |record: Option<&Record>| {
            let next = record.and_then(|record| record.refuse(slot.upload, refusal.clone()));
            Ok(match next {
                Some(next) => Change::Write(Box::new(next), ()),
                None => Change::Keep(()),
            })
        };
        self.records.change(&slot.place, decide).await?;
        let file = slot.file();
        self.records.store().delete(slot.place.key(&file)).await?;
        self.forget(&slot.place.tenant, &slot.place.build_id);
        Ok(())
    }

    fn note_size(&self) {
        let bytes = i64::try_from(self.cache.bytes()).unwrap_or(i64::MAX);
        self.metrics.cached_bytes.set(bytes);
    }
}

/// Forgets all rather than remember without bound.
fn bound<K, V>(known: &mut HashMap<K, V>) {
    if known.len() >= KNOWN_MAX {
        known.clear();
    }
}

/// What of a record readers get.
fn readable(place: Place, record: Option<Record>) -> Result<Slot, Absence> {
    let file = record.and_then(|record| record.file);
    let file = file.ok_or(Absence::NoFile)?;
    match file.refusal {
        None => Ok(Slot::new(place, file.upload, file.content)),
        Some(refusal) => Err(Absence::Refused(refusal.reason.into())),
    }
}
