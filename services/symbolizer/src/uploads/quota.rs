//! How much a tenant may keep. What it keeps is read from the store now and then: several replicas
//! may let in a little more together than each would alone.

use cairn_model::TenantId;
use cairn_store::{DebuginfoName, DebuginfoObject};

use super::Uploads;
use crate::config::QuotaConfig;
use crate::error::Error;
use crate::fetched;

/// What a tenant keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

impl Kept {
    pub(super) fn of(objects: &[DebuginfoObject]) -> Self {
        let mut kept = Self::default();
        let fetched = fetched::marked(objects);
        for object in objects {
            let counts = match object.name {
                DebuginfoName::File { kind, upload, .. } => !fetched.contains(&(kind, upload)),
                // What clients put themselves counts from then on, whatever becomes of it.
                DebuginfoName::Incoming { .. } => true,
                _ => false,
            };
            if counts {
                kept.files += 1;
                kept.bytes += object.bytes;
            }
        }
        kept
    }

    /// Whether so many files and bytes may come besides.
    fn allows(self, more: Self, quota: &QuotaConfig) -> Result<(), Error> {
        let Self { files, bytes } = more;
        let bytes_max = quota.bytes_max.as_u64();
        if files > 0 && self.files.saturating_add(files) > quota.files_max {
            let (files, max) = (self.files, quota.files_max);
            let text = format!("{files} files are kept, and {max} are allowed");
            return Err(Error::Quota(text));
        }
        let kept = self.bytes;
        if kept.saturating_add(bytes) > bytes_max {
            let text = format!(
                "{kept} bytes are kept, this file has {bytes}, and {bytes_max} are allowed"
            );
            return Err(Error::Quota(text));
        }
        Ok(())
    }
}

impl Uploads {
    /// Whether this tenant may keep so much besides what it keeps.
    pub(super) async fn check_quota(&self, tenant: &TenantId, more: Kept) -> Result<(), Error> {
        let now = self.cx.clock().instant();
        let quota = self.config.tenants.get(tenant.as_str());
        let quota = quota.unwrap_or(&self.config.quota);
        let count = async || {
            let store = self.files.records().store();
            Ok(Kept::of(&store.list_debuginfo(tenant, None).await?))
        };
        let kept = self.kept.get(tenant, now, count).await?;
        kept.allows(more, quota)
    }

    /// Whether a file that was announced without its size may have so many bytes.
    pub(crate) async fn check_room(&self, tenant: &TenantId, bytes: u64) -> Result<(), Error> {
        self.check_quota(tenant, Kept { files: 0, bytes }).await
    }

    /// Counts what is about to come.
    pub(super) fn count_kept(&self, tenant: &TenantId, more: Kept) {
        self.kept.change(tenant, |kept| {
            kept.files = kept.files.saturating_add(more.files);
            kept.bytes = kept.bytes.saturating_add(more.bytes);
        });
    }

    /// Has it read anew what a tenant keeps.
    pub(super) fn recount(&self, tenant: &TenantId) {
        self.kept.forget(tenant);
    }
}
