//! How much of what debuginfod servers gave is kept for a tenant. It counts in no quota of uploads,
//! since nobody decided to keep it, but has a bound of its own.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use cairn_model::{FileKind, TenantId, UploadId};
use cairn_store::{DebuginfoName, DebuginfoObject};
use parking_lot::Mutex;

use crate::error::Error;
use crate::files::Files;

/// How long it is believed what a tenant keeps, besides what comes here.
const BELIEVED: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct Fetched {
    bytes: Mutex<HashMap<TenantId, (Instant, u64)>>,
    /// Counting lists all files of a tenant: one at a time.
    counting: tokio::sync::Mutex<()>,
}

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
        DebuginfoName::File { kind, upload } if marked.contains(&(kind, upload)) => {
            Some((kind, upload, object))
        }
        _ => None,
    })
}

impl Files {
    /// Whether one more may be kept for this tenant. Those that are being kept meanwhile are counted
    /// when they are, so there may be a few more.
    pub(crate) async fn has_room(&self, tenant: &TenantId) -> Result<bool, Error> {
        let now = self.now();
        let is_fresh = |since: Instant| now.duration_since(since) < BELIEVED;
        let max = self.fetched_bytes_max();
        let known = || {
            let known = self.fetched().bytes.lock().get(tenant).copied();
            let fresh = known.filter(|(since, _)| is_fresh(*since));
            fresh.map(|(_, bytes)| bytes)
        };
        if let Some(bytes) = known() {
            return Ok(bytes < max);
        }
        let _counting = self.fetched().counting.lock().await;
        // Whoever counted before may have counted these.
        if let Some(bytes) = known() {
            return Ok(bytes < max);
        }
        let objects = self.records().store().list_debuginfo(tenant, None).await?;
        let bytes = files(&objects).map(|(_, _, object)| object.bytes).sum();
        let mut all = self.fetched().bytes.lock();
        all.retain(|_, (since, _)| is_fresh(*since));
        all.insert(tenant.clone(), (now, bytes));
        Ok(bytes < max)
    }

    /// Counts one that came.
    pub(crate) fn count_fetched(&self, tenant: &TenantId, more: u64) {
        if let Some((_, bytes)) = self.fetched().bytes.lock().get_mut(tenant) {
            *bytes = bytes.saturating_add(more);
        }
    }
}
