//! What a tenant has: listed, and deleted.

use std::collections::BTreeMap;

use cairn_model::{BuildId, FileKind, TenantId, UploadId};
use cairn_store::{DebuginfoName, DebuginfoObject, Key};
use futures::{StreamExt, TryStreamExt};

use super::Uploads;
use crate::error::Error;
use crate::record::Record;
use crate::records::{Change, Place};

/// Records that are read at a time.
const CONCURRENT: usize = 16;

/// One file of a tenant.
pub(crate) struct Entry {
    pub(crate) place: Place,
    pub(crate) record: Record,
}

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deleted {
    pub(crate) files: u32,
    pub(crate) bytes: u64,
}

impl Uploads {
    /// Every file of which something is known, by build id.
    pub(crate) async fn list(&self, tenant: &TenantId) -> Result<Vec<Entry>, Error> {
        let store = self.files.records().store();
        let objects = store.list_debuginfo(tenant, None).await?;
        self.entries(tenant, &objects).await
    }

    /// The newest record of each file among these objects.
    pub(super) async fn entries(
        &self,
        tenant: &TenantId,
        objects: &[DebuginfoObject],
    ) -> Result<Vec<Entry>, Error> {
        let mut newest: BTreeMap<(BuildId, FileKind), u32> = BTreeMap::new();
        for object in objects {
            if let DebuginfoName::State { kind, number } = object.name {
                let known = newest.entry((object.build_id.clone(), kind)).or_default();
                *known = number.max(*known);
            }
        }
        let read = newest.into_iter().map(|((build_id, kind), number)| {
            let place = Place {
                tenant: tenant.clone(),
                build_id,
                kind,
            };
            self.entry(place, number)
        });
        let read = futures::stream::iter(read.collect::<Vec<_>>()).buffered(CONCURRENT);
        let entries: Vec<Option<Entry>> = read.try_collect().await?;
        Ok(entries.into_iter().flatten().collect())
    }

    async fn entry(&self, place: Place, number: u32) -> Result<Option<Entry>, Error> {
        let record = self.files.records().newest(&place, number).await?;
        Ok(record.map(|record| Entry { place, record }))
    }

    /// Deletes whatever is kept of a build, by any of its names. First the records say so, then the
    /// bytes go: what a crash leaves of these is swept up later.
    pub(crate) async fn delete(
        &self,
        tenant: &TenantId,
        build_id: &BuildId,
    ) -> Result<Deleted, Error> {
        let mut deleted = Deleted::default();
        let records = self.files.records();
        // A file that is found by one name may lie under another, under which there may be more.
        let mut names = vec![build_id.clone()];
        let mut at = 0;
        while let Some(name) = names.get(at).cloned() {
            at += 1;
            let folder = records.folder(tenant, &name).await?;
            for kind in FileKind::ALL {
                let place = Place {
                    tenant: tenant.clone(),
                    build_id: name.clone(),
                    kind,
                };
                let (place, record) = records.find(&folder, &place).await?;
                if record.is_none() {
                    continue;
                }
                if let Some(gone) = self.delete_place(&place).await? {
                    deleted.files += gone.files;
                    deleted.bytes += gone.bytes;
                }
                if !names.contains(&place.build_id) {
                    names.push(place.build_id);
                }
            }
            self.files.changed(tenant, &name);
        }
        self.recount(tenant);
        match deleted.files {
            0 => Err(Error::Missing(format!(
                "there is no file of build {build_id}"
            ))),
            _ => Ok(deleted),
        }
    }

    /// Deletes one file; none if it is not there.
    async fn delete_place(&self, place: &Place) -> Result<Option<Deleted>, Error> {
        let now = self.now_unix_ms();
        self.delete_as(place, |record| record.delete(now)).await
    }

    /// Deletes the file of an upload that nobody used, unless something came since.
    pub(super) async fn delete_unused(
        &self,
        place: &Place,
        upload: UploadId,
    ) -> Result<Option<Deleted>, Error> {
        let now = self.now_unix_ms();
        self.delete_as(place, |record| record.delete_unused(upload, now))
            .await
    }

    async fn delete_as(
        &self,
        place: &Place,
        delete: impl Fn(&Record) -> Option<Record>,
    ) -> Result<Option<Deleted>, Error> {
        let decide = |record: Option<&Record>| {
            Ok(match record.and_then(&delete) {
                Some(next) => Change::Write(Box::new(next), true),
                None => Change::Keep(false),
            })
        };
        let was_there = self.files.records().change(place, decide).await?;
        if !was_there {
            return Ok(None);
        }
        let bytes = self.sweep(place).await?;
        self.files.changed(&place.tenant, &place.build_id);
        Ok(Some(Deleted { files: 1, bytes }))
    }

    /// Deletes the bytes that no record of this file needs, and tells how many the uploads had.
    async fn sweep(&self, place: &Place) -> Result<u64, Error> {
        let store = self.files.records().store();
        let build_id = Some(&place.build_id);
        let objects = store.list_debuginfo(&place.tenant, build_id).await?;
        let (_, record) = self.files.records().read(place).await?;
        let record = record.unwrap_or_default();
        let mut bytes = 0;
        for object in objects {
            let is_of_this = object.name.kind() == Some(place.kind);
            let upload = upload_of(&object.name).filter(|_| is_of_this);
            let is_needed = |upload| match object.name {
                DebuginfoName::File { content, .. } => record.needs_bytes(upload, content),
                _ => record.needs(upload),
            };
            if upload.is_some_and(|upload| !is_needed(upload)) {
                if matches!(object.name, DebuginfoName::File { .. }) {
                    bytes += object.bytes;
                }
                let key = Key::Debuginfo {
                    tenant: &place.tenant,
                    build_id: &object.build_id,
                    name: &object.name,
                };
                store.delete(key).await?;
            }
        }
        Ok(bytes)
    }
}

/// The upload that an object came with or was made of.
pub(super) fn upload_of(name: &DebuginfoName) -> Option<UploadId> {
    match name {
        DebuginfoName::File { upload, .. }
        | DebuginfoName::Incoming { upload, .. }
        | DebuginfoName::Fetched { upload, .. }
        | DebuginfoName::Symbols { upload, .. }
        | DebuginfoName::Joined { upload, .. }
        | DebuginfoName::Texts { upload, .. } => Some(*upload),
        DebuginfoName::State { .. } | DebuginfoName::Also { .. } | DebuginfoName::Used { .. } => {
            None
        }
    }
}
