//! Symbol files that were made: on the disk, if there is room for them, or else in the store.

use std::path::Path;
use std::sync::Arc;

use cairn_chassis::Context;
use cairn_store::{Key, Store};
use cairn_symbols::SymbolFile;
use futures::TryStreamExt as _;
use memmap2::Mmap;
use tempfile::TempPath;

use crate::convert::Converter;
use crate::disk::Disk;
use crate::error::Error;
use crate::metrics::{Metrics, Source};
use crate::scratch;

pub(crate) struct SymbolFiles {
    store: Store,
    disk: Option<Arc<Disk>>,
    metrics: Metrics,
    cx: Context,
}

/// Where the bytes of a symbol file are mapped from.
enum Raw {
    Disk(Mmap),
    /// The file is removed, and its bytes stay as long as they are mapped.
    Scratch(scratch::Mapped),
}

impl AsRef<[u8]> for Raw {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Disk(map) => map,
            Self::Scratch(map) => map,
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
        converter: &Converter,
    ) -> Result<Option<(Arc<SymbolFile>, Source)>, Error> {
        if let Some(file) = self.on_disk(&key).await {
            return Ok(Some((file, Source::Disk)));
        }
        let path = converter.scratch_file()?;
        match self.copy(key, &path).await {
            Ok(()) => {}
            Err(Error::Store(cairn_store::Error::NotFound { .. })) => return Ok(None),
            Err(error) => return Err(error),
        }
        match self.keep(&key, path).await? {
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

    /// Copies what the store has, in parts.
    async fn copy(&self, key: Key<'_>, path: &Path) -> Result<(), Error> {
        let bytes = self.store.size(key).await?;
        let parts = std::pin::pin!(self.store.parts(key, bytes).map_err(Error::from));
        scratch::write(parts, path, |_| Ok(())).await
    }

    /// Opens what the store has, from the disk from now on if there is one for it.
    async fn keep(&self, key: &Key<'_>, path: TempPath) -> std::io::Result<Opened> {
        let (disk, key, now) = (self.disk.clone(), key.to_string(), self.cx.clock().now());
        let keep = move || {
            let scratch = scratch::map(&path)?;
            let Some(disk) = disk else {
                return Ok(open(Raw::Scratch(scratch)));
            };
            let raw = match disk.write(&key, &scratch, now) {
                Ok(Some(map)) => Raw::Disk(map),
                Ok(None) => Raw::Scratch(scratch),
                Err(error) => {
                    tracing::warn!(key, %error, "a symbol file can't be kept on disk");
                    Raw::Scratch(scratch)
                }
            };
            let opened = open(raw);
            if opened.is_err() {
                disk.remove(&key);
            }
            Ok(opened)
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
