//! How much of what debuginfod servers gave is kept for a tenant. It counts in no quota of uploads,
//! since nobody decided to keep it, but has a bound of its own.

use std::collections::HashSet;

use cairn_model::{FileKind, TenantId, UploadId};
use cairn_store::{DebuginfoName, DebuginfoObject};

use crate::error::Error;
use crate::files::Files;

/// Which of these files were fetched.
pub(crate) fn marked(objects: &[DebuginfoObject]) -> HashSet<(FileKind, UploadId)> {
    let marked = objects.iter().filter_map(|object| match object.name {
        DebuginfoName::Fetched { kind, upload } => Some((kind, upload)),
        _ => None,
    });
    marked.collect()
}

/// The stored files among these that were fetched, with the whole object.
pub(crate) fn files(
    objects: &[DebuginfoObject],
) -> impl Iterator<Item = (FileKind, UploadId, &DebuginfoObject)> {
    let marked = marked(objects);
    objects.iter().filter_map(move |object| match object.name {
        DebuginfoName::File { kind, upload, .. } if marked.contains(&(kind, upload)) => {
            Some((kind, upload, object))
        }
        _ => None,
    })
}

impl Files {
    /// Whether one more may be kept for this tenant. Those that are being kept meanwhile are counted
    /// when they are, so there may be a few more.
    pub(crate) async fn has_room(&self, tenant: &TenantId) -> Result<bool, Error> {
        let count = async || {
            let objects = self.records().store().list_debuginfo(tenant, None).await?;
            Ok(files(&objects).map(|(_, _, object)| object.bytes).sum())
        };
        let bytes: u64 = self.fetched().get(tenant, self.now(), count).await?;
        Ok(bytes < self.fetched_bytes_max())
    }

    /// Counts one that came.
    pub(crate) fn count_fetched(&self, tenant: &TenantId, more: u64) {
        let add = |bytes: &mut u64| *bytes = bytes.saturating_add(more);
        self.fetched().change(tenant, add);
    }
}
