//! Now and then deletes what nobody needs: bytes that no record names, records that newer ones
//! followed, and files that were not used for long and that no block refers to.
//!
//! Several replicas may do it at once: deleting twice is deleting. Whatever is younger than
//! [`GRACE`] stays, since a decision on an older state may still be on its way.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use cairn_block::Block;
use cairn_model::{BuildId, FileKind, TenantId, UploadId};
use cairn_store::{DebuginfoName, DebuginfoObject, Key};

use super::Uploads;
use super::inventory::{Entry, upload_of};
use crate::error::Error;
use crate::record::Record;
use crate::records::Place;

/// No request takes as long as this.
const GRACE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it is remembered that a file was deleted.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

type Known<'a> = HashMap<(&'a BuildId, FileKind), &'a Record>;

/// A file that nobody asked for in a long time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unused {
    pub(super) place: Place,
    pub(super) upload: UploadId,
    /// All its names.
    pub(super) build_ids: HashSet<BuildId>,
}

/// The objects of a tenant that nothing leads to any more.
pub(super) fn leftovers<'a>(
    objects: &'a [DebuginfoObject],
    entries: &[Entry],
    now_unix_ms: i64,
) -> Vec<&'a DebuginfoObject> {
    let known = known(entries);
    let newest = newest(objects);
    let is_left = |object: &&DebuginfoObject| {
        let age = Duration::from_millis((now_unix_ms - object.stored_unix_ms).max(0) as u64);
        if age < GRACE {
            return false;
        }
        let record = |build_id, kind| known.get(&(build_id, kind)).copied();
        match &object.name {
            DebuginfoName::State { kind, number } => {
                let newest = newest.get(&(&object.build_id, *kind));
                let is_newest = newest == Some(number);
                let record = record(&object.build_id, *kind);
                let is_empty =
                    record.is_some_and(|record| record.upload.is_none() && record.file.is_none());
                !is_newest || (is_empty && age >= REMEMBERED)
            }
            // Whoever writes it writes the record next.
            DebuginfoName::Also { kind, of } => {
                let record = record(of, *kind);
                record.is_none_or(|record| record.upload.is_none() && record.readable().is_none())
            }
            // Beginning anew with each day, the last one tells enough.
            DebuginfoName::Used { day } => {
                let last = objects.iter().filter_map(|other| match other.name {
                    DebuginfoName::Used { day } if other.build_id == object.build_id => Some(day),
                    _ => None,
                });
                last.max() != Some(*day)
            }
            name => match (upload_of(name), name.kind()) {
                (Some(upload), Some(kind)) => {
                    let record = record(&object.build_id, kind);
                    let is_needed = record.is_some_and(|record| record.needs(upload));
                    let is_taken = matches!(name, DebuginfoName::Incoming { .. })
                        && record.is_some_and(|record| record.upload.is_none());
                    !is_needed || is_taken
                }
                _ => false,
            },
        }
    };
    objects.iter().filter(is_left).collect()
}

/// The files that were neither uploaded nor used in the time that they are kept for.
pub(super) fn unused(
    objects: &[DebuginfoObject],
    entries: &[Entry],
    kept_for: Duration,
    now_unix_ms: i64,
) -> Vec<Unused> {
    let mut names: HashMap<(&BuildId, FileKind), HashSet<BuildId>> = HashMap::new();
    let mut used: HashMap<&BuildId, i64> = HashMap::new();
    for object in objects {
        match &object.name {
            DebuginfoName::Also { kind, of } => {
                let names = names.entry((of, *kind)).or_default();
                names.insert(object.build_id.clone());
            }
            DebuginfoName::Used { day } => {
                let end = (i64::from(*day) + 1) * DAY.as_millis() as i64;
                let last = used.entry(&object.build_id).or_default();
                *last = end.max(*last);
            }
            _ => {}
        }
    }
    let unused_upload = |entry: &Entry| {
        let file = entry.record.readable()?;
        let last = used.get(&entry.place.build_id).copied().unwrap_or_default();
        let since = now_unix_ms - last.max(file.finished_unix_ms);
        let is_unused = entry.record.upload.is_none() && since > kept_for.as_millis() as i64;
        is_unused.then_some(file.upload)
    };
    let unused = entries.iter().filter_map(|entry| {
        let upload = unused_upload(entry)?;
        let names = names.remove(&(&entry.place.build_id, entry.place.kind));
        let mut build_ids = names.unwrap_or_default();
        build_ids.insert(entry.place.build_id.clone());
        Some(Unused {
            place: entry.place.clone(),
            upload,
            build_ids,
        })
    });
    unused.collect()
}

fn known(entries: &[Entry]) -> Known<'_> {
    let known = entries.iter();
    known
        .map(|entry| ((&entry.place.build_id, entry.place.kind), &entry.record))
        .collect()
}

fn newest(objects: &[DebuginfoObject]) -> HashMap<(&BuildId, FileKind), u32> {
    let mut newest = HashMap::new();
    for object in objects {
        if let DebuginfoName::State { kind, number } = object.name {
            let known = newest.entry((&object.build_id, kind)).or_default();
            *known = number.max(*known);
        }
    }
    newest
}

impl Uploads {
    /// Sweeps until the process stops.
    pub(crate) async fn run_sweep(&self) {
        let stopping = self.cx.stopping();
        loop {
            // Not all replicas at once.
            let jitter = 0.75 + (self.cx.random().u64() % 512) as f64 / 1024.0;
            tokio::select! {
                () = stopping.cancelled() => return,
                () = self.sleep(self.config.sweep_interval.mul_f64(jitter)) => {}
            }
            let swept = tokio::select! {
                () = stopping.cancelled() => return,
                swept = self.sweep_all() => swept,
            };
            if let Err(error) = swept {
                let error = anyhow::Error::new(error);
                tracing::warn!(error = format!("{error:#}"), "debuginfo is not swept");
            }
        }
    }

    async fn sweep_all(&self) -> Result<(), Error> {
        let store = self.files.records().store();
        for tenant in store.list_debuginfo_tenants().await? {
            // What is wrong with one tenant's files holds up nobody else's.
            if let Err(error) = self.sweep_tenant(&tenant).await {
                let error = anyhow::Error::new(error);
                tracing::warn!(%tenant, error = format!("{error:#}"), "debuginfo is not swept");
            }
        }
        Ok(())
    }

    pub(super) async fn sweep_tenant(&self, tenant: &TenantId) -> Result<(), Error> {
        let store = self.files.records().store();
        let objects = store.list_debuginfo(tenant, None).await?;
        let entries = self.entries(tenant, &objects).await?;
        let now = self.now_unix_ms();
        for object in leftovers(&objects, &entries, now) {
            let key = Key::Debuginfo {
                tenant,
                build_id: &object.build_id,
                name: &object.name,
            };
            store.delete(key).await?;
        }
        let kept_for = self.config.unused_kept_for;
        if kept_for.is_zero() {
            return Ok(());
        }
        let unused = unused(&objects, &entries, kept_for, now);
        if unused.is_empty() {
            return Ok(());
        }
        // If one block can't be read, nothing is known of what it refers to.
        let in_blocks = self.in_blocks(tenant).await?;
        for unused in unused {
            let place = &unused.place;
            let mut build_ids = unused.build_ids.iter();
            if build_ids.any(|build_id| in_blocks.contains(build_id)) {
                // It is looked for again when that is long ago.
                self.files.records().note_use(place, self.today()).await?;
                continue;
            }
            self.delete_if_unused(&unused).await?;
        }
        Ok(())
    }

    /// Reading all blocks took a while: what was asked for meanwhile stays, as does what came.
    async fn delete_if_unused(&self, unused: &Unused) -> Result<(), Error> {
        let Unused { place, upload, .. } = unused;
        let store = self.files.records().store();
        let build_id = Some(&place.build_id);
        let objects = store.list_debuginfo(&place.tenant, build_id).await?;
        let since = self.today().saturating_sub(1);
        let is_used = |object: &DebuginfoObject| matches!(object.name, DebuginfoName::Used { day } if day >= since);
        if objects.iter().any(is_used) {
            return Ok(());
        }
        if let Some(deleted) = self.delete_unused(place, *upload).await? {
            tracing::info!(
                tenant = %place.tenant, build_id = %place.build_id, kind = place.kind.as_str(),
                bytes = deleted.bytes,
                "a file was not used for long, and no block refers to it: it is deleted"
            );
        }
        Ok(())
    }

    /// The builds that blocks of this tenant refer to.
    async fn in_blocks(&self, tenant: &TenantId) -> Result<BTreeSet<BuildId>, Error> {
        let store = self.files.records().store();
        let mut found = BTreeSet::new();
        for block in store.list_blocks(tenant).await? {
            let ids = async {
                let block = Block::open(store, tenant, block.id, Some(block.bytes)).await?;
                block.build_ids().await
            };
            match ids.await {
                Ok(ids) => found.extend(ids.iter().filter_map(|id| BuildId::parse(id).ok())),
                // It was merged into another since it was listed: read that later.
                Err(error) => return Err(Error::Block(block.id.to_string(), Box::new(error))),
            }
        }
        Ok(found)
    }

    fn today(&self) -> u32 {
        u32::try_from(self.now_unix_ms() / DAY.as_millis() as i64).unwrap_or_default()
    }
}
