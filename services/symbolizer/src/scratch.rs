//! Files on the scratch disk: what is too large to hold lies there while it is worked on.

use std::ops::Deref;
use std::path::Path;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use memmap2::Mmap;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

/// The bytes of a scratch file, of which memory holds what is looked at, for as long as the system
/// likes. They stay when the file is removed.
#[derive(Debug)]
pub(crate) struct Mapped(Option<Mmap>);

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Maps a file that came whole. Looking at it may wait for the disk.
pub(crate) fn map(path: &Path) -> std::io::Result<Mapped> {
    let file = std::fs::File::open(path)?;
    // Nothing can't be mapped.
    if file.metadata()?.len() == 0 {
        return Ok(Mapped(None));
    }
    #[expect(unsafe_code, reason = "the libraries at hand have no safe call for it")]
    // SAFETY: nobody writes to the file while it is mapped. This process is done with it, and a
    // worker that wrote it has ended: locked in, it left nobody behind who could go on, and of what
    // one wrote that may not have been locked in, this is a copy.
    let map = unsafe { Mmap::map(&file)? };
    Ok(Mapped(Some(map)))
}

/// Writes what comes into a file, and calls `see` with each part before.
pub(crate) async fn write<S, E>(
    mut parts: S,
    path: &Path,
    mut see: impl FnMut(&Bytes) -> Result<(), E>,
) -> Result<(), E>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: From<std::io::Error>,
{
    let mut file = File::create(path).await?;
    while let Some(part) = parts.next().await {
        let part = part?;
        see(&part)?;
        file.write_all(&part).await?;
    }
    // Writes are buffered in another thread until flushed.
    Ok(file.flush().await?)
}
