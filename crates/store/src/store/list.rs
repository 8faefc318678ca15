//! What is in the store. Names only objects that reading by key finds again: what is foreign there
//! is passed over.

use cairn_model::{BlockId, BuildId, ShareId, TenantId, WriterId};
use futures::TryStreamExt;
use futures::stream::BoxStream;
use object_store::ObjectMeta;
use object_store::path::Path;

use super::Store;
use crate::Error;
use crate::key::{self, DebuginfoName, Key};

/// A block that a listing found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockObject {
    pub id: BlockId,
    pub bytes: u64,
}

/// Something of a build of a binary that a listing found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DebuginfoObject {
    pub build_id: BuildId,
    pub name: DebuginfoName,
    pub bytes: u64,
    /// When it was stored, by the store's clock.
    pub stored_unix_ms: i64,
}

/// A segment of a log that a listing found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogObject {
    /// The number of its first entry.
    pub first: u64,
    pub bytes: u64,
    /// When it was stored, by the store's clock.
    pub stored_unix_ms: i64,
}

impl Store {
    /// The tenant's blocks, oldest first.
    pub async fn list_blocks(&self, tenant: &TenantId) -> Result<Vec<BlockObject>, Error> {
        let folder = key::tenant_blocks_folder(tenant);
        let found = self.objects.list(Some(&folder));
        named(&folder, found, |object| {
            Some(BlockObject {
                id: key::block_of_path(tenant, &object.location)?,
                bytes: object.size,
            })
        })
        .await
    }

    /// Everything about builds of the tenant's binaries, or about this one only, by build id.
    pub async fn list_debuginfo(
        &self,
        tenant: &TenantId,
        build_id: Option<&BuildId>,
    ) -> Result<Vec<DebuginfoObject>, Error> {
        let folder = match build_id {
            Some(build_id) => key::build_folder(tenant, build_id),
            None => key::tenant_debuginfo_folder(tenant),
        };
        let found = self.objects.list(Some(&folder));
        named(&folder, found, |object| {
            let (build_id, name) = key::debuginfo_of_path(tenant, &object.location)?;
            Some(DebuginfoObject {
                build_id,
                name,
                bytes: object.size,
                stored_unix_ms: object.last_modified.timestamp_millis(),
            })
        })
        .await
    }

    /// Every tenant that has something about binaries, in the order of their names.
    pub async fn list_debuginfo_tenants(&self) -> Result<Vec<TenantId>, Error> {
        let folders = self.folders(&key::debuginfo_folder()).await?;
        let mut tenants: Vec<_> = folders.iter().filter_map(key::tenant_of_folder).collect();
        tenants.sort();
        Ok(tenants)
    }

    /// The shared profiles of all tenants.
    pub async fn list_shares(&self) -> Result<Vec<(TenantId, ShareId)>, Error> {
        let folder = key::shares_folder();
        let found = self.objects.list(Some(&folder));
        named(&folder, found, |object| {
            key::share_of_path(&object.location)
        })
        .await
    }

    /// Every tenant that has blocks, in the order of their names.
    pub async fn list_tenants(&self) -> Result<Vec<TenantId>, Error> {
        let folders = self.folders(&key::blocks_folder()).await?;
        let mut tenants: Vec<_> = folders.iter().filter_map(key::tenant_of_folder).collect();
        tenants.sort();
        Ok(tenants)
    }

    /// The segments of one log whose first entry has number `from` or a higher one, in order. The
    /// segment before them may hold entries from `from` on too: only its inside says how far it
    /// goes.
    pub async fn list_log(
        &self,
        writer: &WriterId,
        incarnation: u64,
        from: u64,
    ) -> Result<Vec<LogObject>, Error> {
        let folder = key::log_folder(writer, incarnation);
        let found = match from.checked_sub(1) {
            Some(first) => {
                let before = Key::LogSegment {
                    writer,
                    incarnation,
                    first,
                };
                // Leaves out this name and all before it.
                self.objects.list_with_offset(Some(&folder), &before.path())
            }
            None => self.objects.list(Some(&folder)),
        };
        named(&folder, found, |object| {
            Some(LogObject {
                first: key::first_of_path(writer, incarnation, &object.location)?,
                bytes: object.size,
                stored_unix_ms: object.last_modified.timestamp_millis(),
            })
        })
        .await
    }

    /// Every log by writer and incarnation. A local folder names also those whose segments are all
    /// deleted.
    pub async fn list_logs(&self) -> Result<Vec<(WriterId, u64)>, Error> {
        let mut logs = Vec::new();
        for folder in self.folders(&key::logs_folder()).await? {
            let Some(writer) = key::writer_of_folder(&folder) else {
                continue;
            };
            for folder in self.folders(&folder).await? {
                let incarnation = key::incarnation_of_folder(&writer, &folder);
                logs.extend(incarnation.map(|incarnation| (writer.clone(), incarnation)));
            }
        }
        logs.sort();
        Ok(logs)
    }

    /// The folders in a folder.
    async fn folders(&self, folder: &Path) -> Result<Vec<Path>, Error> {
        let found = self.objects.list_with_delimiter(Some(folder)).await;
        let found = found.map_err(|error| Error::new(folder, error))?;
        Ok(found.common_prefixes)
    }
}

/// What `name` makes of the objects found, in order; it says `None` to foreign ones.
async fn named<T: Ord>(
    folder: &Path,
    mut found: BoxStream<'static, object_store::Result<ObjectMeta>>,
    name: impl Fn(&ObjectMeta) -> Option<T>,
) -> Result<Vec<T>, Error> {
    let mut out = Vec::new();
    loop {
        match found.try_next().await {
            Ok(Some(object)) => out.extend(name(&object)),
            Ok(None) => break,
            Err(error) => return Err(Error::new(folder, error)),
        }
    }
    out.sort();
    Ok(out)
}
