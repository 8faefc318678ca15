//! Symbol files that were made: on the disk, if there is room for them, or else in the store.

use std::sync::Arc;

use bytes::Bytes;
use cairn_chassis::Context;
use cairn_store::{Key, Store};
use cairn_symbols::SymbolFile;
use memmap2::Mmap;

use crate::disk::Disk;
use crate::error::Error;
use crate::metrics::{Metrics, Source};

pub(crate) struct SymbolFiles {
    store: Store,
    disk: Option<Arc<Disk>>,
    metrics: Metrics,
    cx: Context,
}

/// The bytes of a symbol file.
enum Raw {
    Mapped(Mmap),
    Held(Bytes),
}

impl AsRef<[u8]> for Raw {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Held(bytes) => bytes,
        }
    }
}

type Opened = Result<Arc<SymbolFile>, cairn_symbols::Error>;

impl SymbolFiles {
    pub(crate) fn new(store: Store, disk: Option<Disk>, metrics: Metrics, cx: Context) -> Self {
        let this = Self {
            store,
            disk: disk.map(Arc::new),
            metrics,
            cx,
        };
        this.note_size();
        this
    }

    /// None if there is no good one; a damaged one is deleted.
    pub(crate) async fn get(
        &self,
        key: Key<'_>,
    ) -> Result<Option<(Arc<SymbolFile>, Source)>, Error> {
        if let Some(file) = self.on_disk(&key).await {
            return Ok(Some((file, Source::Disk)));
        }
        let bytes = match self.store.get(key).await {
            Ok(bytes) => bytes,
            Err(cairn_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match self.keep(&key, bytes).await {
            Ok(file) => Ok(Some((file, Source::Store))),
            Err(error) => {
                tracing::warn!(%key, %error, "a symbol file is made again");
                self.store.delete(key).await?;
                Ok(None)
            }
        }
    }

    async fn on_disk(&self, key: &Key<'_>) -> Option<Arc<SymbolFile>> {
        let disk = Arc::clone(self.disk.as_ref()?);
        let (key, now) = (key.to_string(), self.cx.clock().now());
        let read = move || {
            let map = disk.read(&key, now)?;
            // The disk's checksum covers what the file's own does.
            let opened = SymbolFile::open(map).map(Arc::new);
            if opened.is_err() {
                disk.remove(&key);
            }
            opened.ok()
        };
        self.cx.compute(read).await
    }

    /// Opens what the store has, from the disk from now on.
    async fn keep(&self, key: &Key<'_>, bytes: Bytes) -> Opened {
        let (disk, key, now) = (self.disk.clone(), key.to_string(), self.cx.clock().now());
        let keep = move || {
            let Some(disk) = disk else {
                return open(Raw::Held(bytes));
            };
            let raw = match disk.write(&key, &bytes, now) {
                Ok(Some(map)) => Raw::Mapped(map),
                Ok(None) => Raw::Held(bytes),
                Err(error) => {
                    tracing::warn!(key, %error, "a symbol file can't be kept on disk");
                    Raw::Held(bytes)
                }
            };
            let opened = open(raw);
            if opened.is_err() {
                disk.remove(&key);
            }
            opened
        };
        let opened = self.cx.compute(keep).await;
        self.note_size();
        opened
    }

    fn note_size(&self) {
        let bytes = self.disk.as_ref().map_or(0, |disk| disk.bytes());
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.metrics.disk_bytes.set(bytes);
    }
}

fn open(raw: Raw) -> Opened {
    let file = SymbolFile::open(raw)?;
    file.verify().map(|()| Arc::new(file))
}
