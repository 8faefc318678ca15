//! The operations on stored objects.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::{Config, Error, Key, probe};

pub(crate) mod list;

/// How often a create is tried that met a conflict but no object, and the first pause between.
const CONFLICT_ATTEMPTS: u32 = 6;
const CONFLICT_PAUSE: Duration = Duration::from_millis(20);

/// A handle on the object store. Clones share it.
#[derive(Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
}

impl Store {
    /// Opens the store and proves that it enforces create-only puts, on objects of its own under
    /// `probe/`, which it deletes. `nonce` names them: a random number.
    ///
    /// A created object is durable when [`Store::create`] returns. In a local folder its file is
    /// synced before it gets its name, and the folders that hold the name afterwards.
    pub async fn open(config: &Config, nonce: u128) -> Result<Self, Error> {
        let (objects, place) = config.connect()?;
        let store = Self { objects };
        let effort = match config.s3 {
            Some(_) => probe::Effort::Network,
            None => probe::Effort::Folder,
        };
        probe::run(&store, &place, nonce, effort).await?;
        Ok(store)
    }

    /// A store that lives as long as its last clone: for tests.
    pub fn memory() -> Self {
        Self {
            objects: Arc::new(InMemory::new()),
        }
    }

    /// A store over these objects, which nothing has probed: for tests and simulation.
    #[cfg(any(test, feature = "faults"))]
    pub fn over(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects }
    }

    /// Stores a new object. An object under this key is never replaced: that is
    /// [`Error::AlreadyExists`]. Readers see the whole object or none.
    ///
    /// The object found may be the caller's own: a reply that was lost, here or in a retry below,
    /// leaves it behind. Where that matters, use [`Store::create_once`].
    pub async fn create(&self, key: Key<'_>, bytes: Bytes) -> Result<(), Error> {
        let options = PutOptions::from(PutMode::Create);
        self.objects
            .put_opts(&key.path(), bytes.into(), options)
            .await
            .map_err(|error| Error::new(key, error))?;
        Ok(())
    }

    /// Stores a new object like [`Store::create`], and succeeds too if the object under this key
    /// holds these very bytes already: then an earlier attempt stored them and its reply was lost.
    ///
    /// After [`cairn_model::Code::Unavailable`] the object may or may not be there, or come later:
    /// repeat the call with the same bytes. Where only one of several writers may succeed, the
    /// bytes must hold something that only this writer knows, such as a random number.
    pub async fn create_once(&self, key: Key<'_>, bytes: Bytes) -> Result<(), Error> {
        let mut pause = CONFLICT_PAUSE;
        for _ in 0..CONFLICT_ATTEMPTS {
            match self.create(key, bytes.clone()).await {
                Err(Error::AlreadyExists { .. }) => {}
                outcome => return outcome,
            }
            match self.holds(key, &bytes).await {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    return Err(Error::AlreadyExists {
                        key: key.to_string(),
                    });
                }
                // S3 answers "conflict" to creators that race, also when in the end none wins.
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err(Error::Contended {
            key: key.to_string(),
        })
    }

    /// Whether this object holds exactly these bytes. Reads no object of another size.
    async fn holds(&self, key: Key<'_>, bytes: &Bytes) -> Result<bool, Error> {
        let found = self.objects.get(&key.path()).await;
        let found = found.map_err(|error| Error::new(key, error))?;
        if found.meta.size != bytes.len() as u64 {
            return Ok(false);
        }
        let stored = found
            .bytes()
            .await
            .map_err(|error| Error::new(key, error))?;
        Ok(stored == *bytes)
    }

    /// Reads a whole object. Ask [`Store::size`] first where it may be too large to hold.
    pub async fn get(&self, key: Key<'_>) -> Result<Bytes, Error> {
        let found = self.objects.get(&key.path()).await;
        let found = found.map_err(|error| Error::new(key, error))?;
        found.bytes().await.map_err(|error| Error::new(key, error))
    }

    /// Reads exactly these bytes; an object that does not hold them all is [`Error::OutOfRange`].
    pub async fn get_range(&self, key: Key<'_>, range: Range<u64>) -> Result<Bytes, Error> {
        let mut parts = self.get_ranges(key, std::slice::from_ref(&range)).await?;
        Ok(parts.pop().expect("one range gives one part"))
    }

    /// Reads several ranges at once, in the order asked; near ones may share a request.
    pub async fn get_ranges(
        &self,
        key: Key<'_>,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, Error> {
        let out_of_range = |range: &Range<u64>| Error::OutOfRange {
            key: key.to_string(),
            start: range.start,
            end: range.end,
        };
        // A local file's ranges are allocated as asked: one read from a damaged object must not
        // become an allocation of the size it claims.
        let size = self.size(key).await?;
        if let Some(bad) = ranges.iter().find(|r| r.start > r.end || r.end > size) {
            return Err(out_of_range(bad));
        }
        // Stores refuse to read nothing.
        let asked: Vec<_> = ranges.iter().filter(|r| !r.is_empty()).cloned().collect();
        let parts = self.objects.get_ranges(&key.path(), &asked).await;
        let mut parts = parts.map_err(|error| Error::new(key, error))?.into_iter();
        let mut out = Vec::with_capacity(ranges.len());
        for range in ranges {
            let part = match range.is_empty() {
                true => Bytes::new(),
                false => parts.next().ok_or_else(|| out_of_range(range))?,
            };
            if part.len() as u64 != range.end - range.start {
                return Err(out_of_range(range));
            }
            out.push(part);
        }
        Ok(out)
    }

    /// The bytes of an object.
    pub async fn size(&self, key: Key<'_>) -> Result<u64, Error> {
        let meta = self.objects.head(&key.path()).await;
        Ok(meta.map_err(|error| Error::new(key, error))?.size)
    }

    /// Removes an object; removing what is not there is a success. A power cut may bring the
    /// object back, so whoever deletes must be ready to delete again.
    pub async fn delete(&self, key: Key<'_>) -> Result<(), Error> {
        match self.objects.delete(&key.path()).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(Error::new(key, error)),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.objects)
    }
}
