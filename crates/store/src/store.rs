//! The operations on stored objects.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use cairn_model::{BlockId, BuildId, FileKind, TenantId};
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::Error;
use crate::key::{self, Key};

/// Where objects are kept.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The local folder that holds every object; it is made if it is missing.
    pub path: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: PathBuf::from("./data/store"),
        }
    }
}

/// A handle on the object store. Clones share it.
#[derive(Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
}

/// A block that a listing found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockObject {
    pub id: BlockId,
    pub bytes: u64,
}

/// An uploaded file that a listing found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DebuginfoObject {
    pub build_id: BuildId,
    pub kind: FileKind,
    pub bytes: u64,
    /// When it was stored, by the store's clock.
    pub stored_unix_ms: i64,
}

impl Store {
    /// Opens the store, making its folder if needed.
    ///
    /// A created object is durable when [`Store::create`] returns: its file is synced before it
    /// gets its name, and the folders that hold the name afterwards.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Open {
            path: config.path.display().to_string(),
            source,
        };
        std::fs::create_dir_all(&config.path).map_err(|error| failed(error.into()))?;
        let local = LocalFileSystem::new_with_prefix(&config.path)
            .map_err(|error| failed(error.into()))?
            .with_fsync(true);
        Ok(Self {
            objects: Arc::new(local),
        })
    }

    /// A store that lives as long as its last clone: for tests.
    pub fn memory() -> Self {
        Self {
            objects: Arc::new(InMemory::new()),
        }
    }

    /// Stores a new object. An object under this key is never replaced: that is
    /// [`Error::AlreadyExists`]. Readers see the whole object or none.
    pub async fn create(&self, key: Key<'_>, bytes: Bytes) -> Result<(), Error> {
        let options = PutOptions::from(PutMode::Create);
        self.objects
            .put_opts(&key.path(), bytes.into(), options)
            .await
            .map_err(|error| Error::new(key, error))?;
        Ok(())
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

    /// The tenant's blocks, oldest first.
    pub async fn list_blocks(&self, tenant: &TenantId) -> Result<Vec<BlockObject>, Error> {
        let folder = key::tenant_blocks_folder(tenant);
        let found = self.objects.list(Some(&folder));
        let mut blocks: Vec<_> = found
            .try_filter_map(async |object| {
                let id = key::block_of_path(tenant, &object.location);
                Ok(id.map(|id| BlockObject {
                    id,
                    bytes: object.size,
                }))
            })
            .boxed()
            .try_collect()
            .await
            .map_err(|error| Error::new(&folder, error))?;
        blocks.sort();
        Ok(blocks)
    }

    /// The tenant's uploaded files, by build id.
    pub async fn list_debuginfo(&self, tenant: &TenantId) -> Result<Vec<DebuginfoObject>, Error> {
        let folder = key::tenant_debuginfo_folder(tenant);
        let found = self.objects.list(Some(&folder));
        let mut files: Vec<_> = found
            .try_filter_map(async |object| {
                let named = key::debuginfo_of_path(tenant, &object.location);
                Ok(named.map(|(build_id, kind)| DebuginfoObject {
                    build_id,
                    kind,
                    bytes: object.size,
                    stored_unix_ms: object.last_modified.timestamp_millis(),
                }))
            })
            .boxed()
            .try_collect()
            .await
            .map_err(|error| Error::new(&folder, error))?;
        files.sort();
        Ok(files)
    }

    /// Every tenant that has blocks, in the order of their names.
    pub async fn list_tenants(&self) -> Result<Vec<TenantId>, Error> {
        let folder = key::blocks_folder();
        let found = self.objects.list_with_delimiter(Some(&folder)).await;
        let found = found.map_err(|error| Error::new(&folder, error))?;
        let mut tenants: Vec<_> = found
            .common_prefixes
            .iter()
            .filter_map(key::tenant_of_folder)
            .collect();
        tenants.sort();
        Ok(tenants)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.objects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What every backing store must do.
    async fn contract(store: Store) {
        let (a, b) = (
            TenantId::parse("a").expect("valid"),
            TenantId::parse("ab").expect("valid"),
        );
        let id = |ms| BlockId::new(ms, 7);
        let block = |tenant, ms| Key::Block { tenant, id: id(ms) };
        assert_eq!(store.list_tenants().await.expect("listed"), []);
        assert_eq!(store.list_blocks(&a).await.expect("listed"), []);

        let bytes = Bytes::from_static(b"0123456789");
        for ms in [2, 1] {
            store
                .create(block(&a, ms), bytes.clone())
                .await
                .expect("created");
        }
        store
            .create(block(&b, 3), Bytes::from_static(b"other"))
            .await
            .expect("created");
        let again = store
            .create(block(&a, 1), Bytes::from_static(b"x"))
            .await
            .expect_err("the key is taken");
        assert!(matches!(again, Error::AlreadyExists { .. }), "{again:?}");
        assert_eq!(again.code(), cairn_model::Code::Conflict);

        assert_eq!(store.get(block(&a, 1)).await.expect("there"), bytes);
        assert_eq!(store.size(block(&a, 1)).await.expect("there"), 10);
        let parts = store.get_ranges(block(&a, 1), &[8..10, 4..4, 0..3]).await;
        assert_eq!(parts.expect("in range"), ["89", "", "012"]);
        for (start, end) in [(5, 11), (10, u64::MAX), (7, 2)] {
            let range = Range { start, end };
            let cut = store.get_range(block(&a, 1), range).await;
            let cut = cut.expect_err("the object is shorter");
            assert!(matches!(cut, Error::OutOfRange { .. }), "{cut:?}");
        }

        let listed = store.list_blocks(&a).await.expect("listed");
        assert_eq!(
            listed,
            [1, 2].map(|ms| BlockObject {
                id: id(ms),
                bytes: 10
            })
        );
        assert_eq!(
            store.list_tenants().await.expect("listed"),
            [a.clone(), b.clone()]
        );

        for _ in 0..2 {
            store.delete(block(&a, 1)).await.expect("deleted");
        }
        let gone = store.get(block(&a, 1)).await.expect_err("deleted");
        assert!(matches!(gone, Error::NotFound { .. }), "{gone:?}");
        assert_eq!(store.list_blocks(&a).await.expect("listed").len(), 1);
        debuginfo_contract(&store).await;
    }

    async fn debuginfo_contract(store: &Store) {
        let tenant = TenantId::parse("t").expect("valid");
        let ids = ["ab", "a/b"].map(|id| BuildId::parse(id).expect("valid"));
        for build_id in &ids {
            let kind = FileKind::Debuginfo;
            let (tenant, bytes) = (&tenant, Bytes::from_static(b"elf"));
            let file = Key::Debuginfo {
                tenant,
                build_id,
                kind,
            };
            let refusal = Key::Refusal {
                tenant,
                build_id,
                kind,
            };
            store.create(file, bytes.clone()).await.expect("created");
            store.create(refusal, bytes).await.expect("created");
        }
        let listed = store.list_debuginfo(&tenant).await.expect("listed");
        let listed: Vec<_> = listed.iter().map(|f| (&f.build_id, f.bytes)).collect();
        assert_eq!(listed, [(&ids[1], 3), (&ids[0], 3)]);
        let other = TenantId::parse("u").expect("valid");
        assert_eq!(store.list_debuginfo(&other).await.expect("listed"), []);
    }

    #[tokio::test]
    async fn memory_keeps_the_contract() {
        contract(Store::memory()).await;
    }

    #[tokio::test]
    async fn a_folder_keeps_the_contract() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("made/on/open");
        contract(Store::open(&Config { path }).expect("opened")).await;
    }

    #[tokio::test]
    async fn objects_outlive_the_handle_that_wrote_them() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = Config {
            path: folder.path().to_owned(),
        };
        let tenant = TenantId::anonymous();
        let key = Key::Block {
            tenant: &tenant,
            id: BlockId::new(1, 1),
        };
        let store = Store::open(&config).expect("opened");
        store
            .create(key, Bytes::from_static(b"kept"))
            .await
            .expect("created");
        drop(store);
        let store = Store::open(&config).expect("opened again");
        assert_eq!(store.get(key).await.expect("there"), "kept");
    }

    #[tokio::test]
    async fn one_of_many_racing_creators_wins() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = Config {
            path: folder.path().to_owned(),
        };
        let store = Store::open(&config).expect("opened");
        let tenant = TenantId::anonymous();
        let key = Key::Block {
            tenant: &tenant,
            id: BlockId::new(1, 1),
        };
        let writers = (0..16u8).map(|n| store.create(key, Bytes::from(vec![n; 1000])));
        let outcomes = futures::future::join_all(writers).await;
        let winner = outcomes.iter().position(Result::is_ok).expect("one wins");
        assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
        let kept = store.get(key).await.expect("there");
        assert_eq!(kept, vec![winner as u8; 1000]);
    }
}
