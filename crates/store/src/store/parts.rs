//! Objects too large to hold: between the store and a disk, one part in memory at a time.

use std::path::Path;

use bytes::Bytes;
use futures::{Stream, stream};
use object_store::{MultipartUpload, ObjectStoreExt as _};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::Store;
use crate::{Error, Key};

/// Bytes of one part. Stores want 5 MiB at least.
pub(crate) const PART_BYTES: u64 = 8 << 20;
/// Parts of one object, as S3 allows them.
const PARTS_MAX: u64 = 10_000;

/// Why a file did not become an object.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("read the file to store")]
    File(#[from] std::io::Error),
    #[error(transparent)]
    Store(#[from] Error),
}

impl Store {
    /// Stores what a file holds. What fits into one part is stored like [`Store::create_once`].
    ///
    /// S3 knows create-only for what comes in parts, but the client at hand has no way to ask for
    /// it: a larger file replaces what is there. So whoever calls this has seen to it that only
    /// these bytes ever come under this key. Readers see the whole object or none.
    pub async fn create_from(&self, key: Key<'_>, path: &Path) -> Result<(), FileError> {
        let mut file = File::open(path).await?;
        let bytes = file.metadata().await?.len();
        if bytes <= PART_BYTES {
            let all = read(&mut file, bytes).await?;
            return Ok(self.create_once(key, all).await?);
        }
        let failed = |error| Error::new(key, error);
        let upload = self.objects.put_multipart(&key.path()).await;
        let mut upload = upload.map_err(failed)?;
        let sent = send(&mut *upload, &mut file, bytes, failed).await;
        if let Err(error) = sent {
            // What is left of it goes by the store's own rules.
            let _ = upload.abort().await;
            return Err(error);
        }
        let Err(error) = upload.complete().await else {
            return Ok(());
        };
        // The reply may be lost, and the object there. So it is not aborted either.
        match self.size(key).await {
            Ok(stored) if stored == bytes => Ok(()),
            _ => Err(failed(error).into()),
        }
    }

    /// The first so many bytes of an object, in parts.
    pub fn parts<'a>(
        &'a self,
        key: Key<'a>,
        bytes: u64,
    ) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'a {
        stream::try_unfold(0, move |start: u64| async move {
            let end = bytes.min(start + PART_BYTES);
            if start == end {
                return Ok(None);
            }
            let part = self.get_range(key, start..end).await?;
            Ok(Some((part, end)))
        })
    }
}

/// Sends all parts of an object, which is there only once the upload is completed.
async fn send(
    upload: &mut dyn MultipartUpload,
    file: &mut File,
    bytes: u64,
    failed: impl Fn(object_store::Error) -> Error,
) -> Result<(), FileError> {
    // All of one size but the last, which some stores want.
    let part_bytes = PART_BYTES.max(bytes.div_ceil(PARTS_MAX));
    let mut left = bytes;
    while left > 0 {
        let part = read(file, left.min(part_bytes)).await?;
        left -= part.len() as u64;
        upload.put_part(part.into()).await.map_err(&failed)?;
    }
    Ok(())
}

/// Reads exactly so many bytes; a file that is shorter by now is an error.
async fn read(file: &mut File, bytes: u64) -> std::io::Result<Bytes> {
    let length = usize::try_from(bytes).map_err(|_| std::io::ErrorKind::OutOfMemory)?;
    let mut part = vec![0; length];
    file.read_exact(&mut part).await?;
    Ok(part.into())
}
