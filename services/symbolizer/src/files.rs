//! The symbol files of a tenant's binaries: in memory, from the store, or converted again.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use cairn_chassis::Context;
use cairn_model::{BuildId, FileKind, TenantId};
use cairn_store::{Key, Store};
use cairn_symbols::SymbolFile;
use tokio::sync::{Mutex, MutexGuard};

use crate::cache::{Absence, Answer, Cache, Slot};
use crate::config::Config;
use crate::convert::Converter;
use crate::disk::Disk;
use crate::error::Error;
use crate::metrics::{LoadLabel, Metrics, Source};
use crate::symbol_files::SymbolFiles;

/// Loads at a time, at most: slots that share a stripe wait for each other, so no file is loaded
/// twice at once.
const STRIPES: usize = 16;

pub(crate) struct Files {
    store: Store,
    symbols: SymbolFiles,
    converter: Converter,
    cache: Cache,
    stripes: [Mutex<()>; STRIPES],
    hasher: RandomState,
    metrics: Metrics,
    cx: Context,
}

/// The symbol files that name one build. Both are asked for every address.
#[derive(Clone)]
pub(crate) struct Build {
    pub(crate) debuginfo: Answer,
    pub(crate) executable: Answer,
}

impl Slot {
    pub(crate) fn file_key(&self) -> Key<'_> {
        Key::Debuginfo {
            tenant: &self.tenant,
            build_id: &self.build_id,
            kind: self.kind,
        }
    }

    fn refusal_key(&self) -> Key<'_> {
        Key::Refusal {
            tenant: &self.tenant,
            build_id: &self.build_id,
            kind: self.kind,
        }
    }

    fn symbols_key(&self) -> Key<'_> {
        Key::SymbolFile {
            tenant: &self.tenant,
            build_id: &self.build_id,
            kind: self.kind,
            version: cairn_symbols::VERSION,
        }
    }
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
            store,
            converter,
            cache: Cache::new(bytes_max, config.absence_ttl),
            stripes: std::array::from_fn(|_| Mutex::new(())),
            hasher: RandomState::new(),
            metrics,
            cx,
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn converter(&self) -> &Converter {
        &self.converter
    }

    /// Whatever names this build for this tenant.
    pub(crate) async fn build(
        &self,
        tenant: &TenantId,
        build_id: &BuildId,
    ) -> Result<Build, Error> {
        let slot = |kind| Slot {
            tenant: tenant.clone(),
            build_id: build_id.clone(),
            kind,
        };
        Ok(Build {
            debuginfo: self.file(slot(FileKind::Debuginfo)).await?,
            executable: self.file(slot(FileKind::Executable)).await?,
        })
    }

    async fn file(&self, slot: Slot) -> Result<Answer, Error> {
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
        let now = self.cx.clock().instant();
        self.cache.insert(slot, answer.clone(), now);
        self.note_size();
        Ok(answer)
    }

    fn cached(&self, slot: &Slot) -> Option<Answer> {
        let answer = self.cache.get(slot, self.cx.clock().instant())?;
        let from = Source::Memory;
        self.metrics.loads.get_or_create(&LoadLabel { from }).inc();
        Some(answer)
    }

    async fn turn(&self, slot: &Slot) -> MutexGuard<'_, ()> {
        let stripe = self.hasher.hash_one(slot) as usize % STRIPES;
        self.stripes[stripe].lock().await
    }

    async fn load(&self, slot: &Slot) -> Result<(Answer, Source), Error> {
        if let Some((file, from)) = self.symbols.get(slot.symbols_key()).await? {
            return Ok((Ok(file), from));
        }
        let elf = match self.store.get(slot.file_key()).await {
            Ok(elf) => elf,
            Err(cairn_store::Error::NotFound { .. }) => {
                let absence = self.refusal(slot).await?;
                return Ok((Err(absence), Source::Nowhere));
            }
            Err(error) => return Err(error.into()),
        };
        let path = self.converter.scratch_file()?;
        tokio::fs::write(&path, elf).await?;
        let symbols = match self.converter.convert(&path, &self.cx.clock()).await {
            Ok(symbols) => Bytes::from(symbols),
            Err(Error::Refused(reason)) => {
                return Ok((Err(Absence::Refused(reason.into())), Source::Conversion));
            }
            Err(error) => return Err(error),
        };
        let file = self.open(symbols.clone()).await.map_err(not_ours)?;
        self.create_unless_there(slot.symbols_key(), symbols)
            .await?;
        Ok((Ok(file), Source::Conversion))
    }

    async fn refusal(&self, slot: &Slot) -> Result<Absence, Error> {
        match self.store.get(slot.refusal_key()).await {
            Ok(reason) => {
                let reason = String::from_utf8_lossy(&reason);
                Ok(Absence::Refused(reason.into()))
            }
            Err(cairn_store::Error::NotFound { .. }) => Ok(Absence::NoFile),
            Err(error) => Err(error.into()),
        }
    }

    async fn open(&self, bytes: Bytes) -> Result<Arc<SymbolFile>, cairn_symbols::Error> {
        let open = move || {
            let file = SymbolFile::open(bytes)?;
            file.verify().map(|()| Arc::new(file))
        };
        self.cx.compute(open).await
    }

    /// Stores an upload and what it was converted to, and forgets earlier refusals. `aliases` are
    /// the other build ids of the file.
    pub(crate) async fn keep(
        &self,
        slot: &Slot,
        aliases: &[BuildId],
        elf: Bytes,
        symbols: Bytes,
    ) -> Result<(), Error> {
        self.open(symbols.clone()).await.map_err(not_ours)?;
        let _turn = self.turn(slot).await;
        // A client that lost the answer sends the file again.
        match self.store.create_once(slot.file_key(), elf).await {
            Err(cairn_store::Error::AlreadyExists { .. }) => {
                return Err(Error::Taken(slot.build_id.to_string()));
            }
            outcome => outcome?,
        }
        self.create_unless_there(slot.symbols_key(), symbols.clone())
            .await?;
        self.store.delete(slot.refusal_key()).await?;
        self.cache.remove(slot);
        for alias in aliases {
            let alias = Slot {
                build_id: alias.clone(),
                ..slot.clone()
            };
            self.create_unless_there(alias.symbols_key(), symbols.clone())
                .await?;
            self.cache.remove(&alias);
        }
        self.note_size();
        Ok(())
    }

    /// Keeps why a file was refused, for those who wonder where its names are.
    pub(crate) async fn keep_refusal(&self, slot: &Slot, reason: &str) -> Result<(), Error> {
        let _turn = self.turn(slot).await;
        self.store.delete(slot.refusal_key()).await?;
        let reason = Bytes::copy_from_slice(reason.as_bytes());
        self.create_unless_there(slot.refusal_key(), reason).await?;
        // An answer from a file that is there stays right.
        if self.cached(slot).is_some_and(|answer| answer.is_err()) {
            self.cache.remove(slot);
        }
        Ok(())
    }

    async fn create_unless_there(&self, key: Key<'_>, bytes: Bytes) -> Result<(), Error> {
        match self.store.create(key, bytes).await {
            Ok(()) | Err(cairn_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn note_size(&self) {
        let bytes = i64::try_from(self.cache.bytes()).unwrap_or(i64::MAX);
        self.metrics.cached_bytes.set(bytes);
    }
}

/// A worker wrote something that does not open: the program that ran is not this one.
fn not_ours(error: cairn_symbols::Error) -> Error {
    Error::Convert(anyhow::Error::new(error).context("open what a worker wrote"))
}
