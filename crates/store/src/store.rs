//! The operations on stored objects.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::signer::Method;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::config::{Connection, Signing};
use crate::{Config, Error, Key, probe};

pub(crate) mod list;
pub(crate) mod parts;
mod ranges;

/// How often a create is tried that met a conflict but no object, and the first pause between.
const CONFLICT_ATTEMPTS: u32 = 6;
const CONFLICT_PAUSE: Duration = Duration::from_millis(20);

/// A handle on the object store. Clones share it.
#[derive(Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    /// Whether objects are files, of which all parts are read in one go.
    is_folder: bool,
    signer: Option<Signing>,
}

impl Store {
    /// Opens the store and proves that it enforces create-only puts, on objects of its own under
    /// `probe/`, which it deletes. `nonce` names them: a random number.
    ///
    /// A created object is durable when [`Store::create`] returns. In a local folder its file is
    /// synced before it gets its name, and the folders that hold the name afterwards.
    pub async fn open(config: &Config, nonce: u128) -> Result<Self, Error> {
        let Connection {
            objects,
            place,
            is_folder,
            signer,
        } = config.connect()?;
        let store = Self {
            objects,
            is_folder,
            signer,
        };
        let effort = match is_folder {
            true => probe::Effort::Folder,
            false => probe::Effort::Network,
        };
        probe::run(&store, &place, nonce, effort).await?;
        Ok(store)
    }

    /// A store that lives as long as its last clone: for tests.
    pub fn memory() -> Self {
        Self {
            objects: Arc::new(InMemory::new()),
            is_folder: false,
            signer: None,
        }
    }

    /// A store over these objects, which nothing has probed: for tests and simulation.
    #[cfg(any(test, feature = "faults"))]
    pub fn over(objects: Arc<dyn ObjectStore>) -> Self {
        Self {
            objects,
            is_folder: false,
            signer: None,
        }
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

    /// The bytes of an object.
    pub async fn size(&self, key: Key<'_>) -> Result<u64, Error> {
        let meta = self.objects.head(&key.path()).await;
        Ok(meta.map_err(|error| Error::new(key, error))?.size)
    }

    /// A URL to which whoever has it may put the object under this key, as often as it likes until
    /// it expires; none where the store has no such URLs.
    pub async fn signed_put(
        &self,
        key: Key<'_>,
        lifetime: Duration,
    ) -> Result<Option<String>, Error> {
        let Some(Signing { signer, prefix }) = &self.signer else {
            return Ok(None);
        };
        let path: Path = prefix.parts().chain(key.path().parts()).collect();
        let url = signer.signed_url(Method::PUT, &path, lifetime).await;
        let url = url.map_err(|error| Error::new(key, error))?;
        Ok(Some(url.into()))
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
