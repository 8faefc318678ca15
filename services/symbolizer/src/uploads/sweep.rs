//! Now and then deletes what nobody needs: bytes that no record names, records that newer ones
//! followed, uploads that never ended, symbol files of formats that are read no more, and files that
//! were not used for long and that no block refers to.
//!
//! Several replicas may do it at once: deleting twice is deleting. Whatever is younger than
//! [`GRACE`] stays, since a decision on an older state may still be on its way.

mod overflow;
#[cfg(test)]
mod tests;
mod unused;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use cairn_block::Block;
use cairn_model::{BuildId, FileKind, TenantId, UploadId};
use cairn_store::{DebuginfoName, DebuginfoObject, Key};

use super::Uploads;
use super::inventory::{Entry, upload_of};
use crate::error::Error;
use crate::record::Record;
use crate::records::{Change, Place};
use crate::sources;
use overflow::{Fetched, overflow};
use unused::{Unused, unused};

/// No request takes as long as this.
const GRACE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it is remembered that a file was deleted.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

type Known<'a> = HashMap<(&'a BuildId, FileKind), &'a Record>;

/// The objects of a tenant that nothing leads to any more.
pub(super) fn leftovers<'a>(
    objects: &'a [DebuginfoObject],
    entries: &[Entry],
    now_unix_ms: i64,
) -> Vec<&'a DebuginfoObject> {
    let known = known(entries);
    let built: HashSet<_> = known.keys().map(|(build_id, _)| *build_id).collect();
    let readable = known.values().filter_map(|record| record.readable());
    let there: HashSet<_> = readable.map(|file| file.upload).collect();
    let states = states(objects);
    let used = last_used(objects);
    let is_left = |object: &&DebuginfoObject| {
        let age = Duration::from_millis((now_unix_ms - object.stored_unix_ms).max(0) as u64);
        if age < GRACE {
            return false;
        }
        let record = |build_id, kind| known.get(&(build_id, kind)).copied();
        match &object.name {
            DebuginfoName::State { kind, number } => {
                let states = states.get(&(&object.build_id, *kind));
                let is_newest = states.is_some_and(|states| states.newest == *number);
                // Without the newest, the one before would hold.
                let is_only = states.is_some_and(|states| states.count == 1);
                let record = record(&object.build_id, *kind);
                let is_over = record.is_some_and(|record| {
                    let is_empty = record.upload.is_none() && record.file.is_none();
                    is_empty && (record.deleted_unix_ms.is_none() || age >= REMEMBERED)
                });
                !is_newest || (is_only && is_over)
            }
            // Whoever writes it writes the record next.
            DebuginfoName::Also { kind, of } => {
                let record = record(of, *kind);
                !record.is_some_and(Record::has_names)
            }
            // Beginning anew with each day, the last one tells enough.
            DebuginfoName::Used { day } => {
                let is_last = used.get(&object.build_id) == Some(day);
                let is_built = built.contains(&object.build_id);
                !is_last || (!is_built && age >= REMEMBERED)
            }
            // Whoever needs one makes it anew, and not of this version.
            DebuginfoName::Symbols { version, .. } if *version < cairn_symbols::VERSION => true,
            DebuginfoName::Joined { version, .. } if *version < cairn_symbols::VERSION => true,
            DebuginfoName::Texts { version, .. } if *version < sources::VERSION => true,
            // Its program may have been replaced, or be kept under another name of the build.
            DebuginfoName::Joined { program, .. } if !there.contains(program) => true,
            name => match (upload_of(name), name.kind()) {
                (Some(upload), Some(kind)) => {
                    let record = record(&object.build_id, kind);
                    let is_needed = record.is_some_and(|record| match name {
                        DebuginfoName::File { content, .. } => record.needs_bytes(upload, *content),
                        _ => record.needs(upload),
                    });
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

/// The upload of a record that began so long ago that nobody ends it any more.
pub(super) fn abandoned(
    record: &Record,
    stale_after: Duration,
    now_unix_ms: i64,
) -> Option<UploadId> {
    let upload = record.upload.as_ref()?;
    let age = now_unix_ms.saturating_sub(upload.started_unix_ms).max(0);
    let is_over = u128::from(age.unsigned_abs()) > GRACE.max(stale_after).as_millis();
    is_over.then_some(upload.id)
}

fn known(entries: &[Entry]) -> Known<'_> {
    let known = entries.iter();
    known
        .map(|entry| ((&entry.place.build_id, entry.place.kind), &entry.record))
        .collect()
}

/// The records of one file that there are.
#[derive(Default)]
struct States {
    newest: u32,
    count: usize,
}

fn states(objects: &[DebuginfoObject]) -> HashMap<(&BuildId, FileKind), States> {
    let mut states: HashMap<_, States> = HashMap::new();
    for object in objects {
        if let DebuginfoName::State { kind, number } = object.name {
            let states = states.entry((&object.build_id, kind)).or_default();
            states.newest = number.max(states.newest);
            states.count += 1;
        }
    }
    states
}

/// The last day on which each build was used.
fn last_used(objects: &[DebuginfoObject]) -> HashMap<&BuildId, u32> {
    let mut used = HashMap::new();
    for object in objects {
        if let DebuginfoName::Used { day } = object.name {
            let last = used.entry(&object.build_id).or_default();
            *last = day.max(*last);
        }
    }
    used
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
        let mut entries = self.entries(tenant, &objects).await?;
        let now = self.now_unix_ms();
        for entry in &mut entries {
            if let Some(upload) = abandoned(&entry.record, self.config.stale_after, now) {
                entry.record = self.abandon(&entry.place, upload).await?;
            }
        }
        self.delete_leftovers(tenant, &leftovers(&objects, &entries, now))
            .await?;
        for fetched in overflow(&objects, self.files.fetched_bytes_max(), self.today()) {
            self.delete_fetched(tenant, fetched).await?;
        }
        self.recount(tenant);
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
        // Reading all blocks took a while: what was asked for meanwhile stays, as does what came.
        let asked = self.asked_lately(tenant).await?;
        for unused in unused {
            let is_in = |found: &BTreeSet<BuildId>| {
                let mut build_ids = unused.build_ids.iter();
                build_ids.any(|build_id| found.contains(build_id))
            };
            if is_in(&in_blocks) {
                // It is looked for again when that is long ago.
                let records = self.files.records();
                records.note_use(&unused.place, self.today()).await?;
            } else if !is_in(&asked) {
                self.delete_if_unused(&unused).await?;
            }
        }
        self.recount(tenant);
        Ok(())
    }

    /// Gives up an upload that never ended, and gives the record as it is then. Its bytes are
    /// nobody's from then on.
    async fn abandon(&self, place: &Place, upload: UploadId) -> Result<Record, Error> {
        let decide = |record: Option<&Record>| {
            let next = record.and_then(|record| record.give_up(upload));
            Ok(match next {
                Some(next) => Change::Write(Box::new(next.clone()), next),
                None => Change::Keep(record.cloned().unwrap_or_default()),
            })
        };
        self.files.records().change(place, decide).await
    }

    async fn delete_leftovers(
        &self,
        tenant: &TenantId,
        leftovers: &[&DebuginfoObject],
    ) -> Result<(), Error> {
        let records = self.files.records();
        for DebuginfoObject { build_id, name, .. } in leftovers {
            let key = Key::Debuginfo {
                tenant,
                build_id,
                name,
            };
            records.store().delete(key).await?;
            let DebuginfoName::Also { kind, of } = name else {
                continue;
            };
            // Whoever uploaded the build again meanwhile may have found this one there and have
            // taken it for its own. Its upload was announced before that, so it is seen here.
            let place = Place {
                tenant: tenant.clone(),
                build_id: of.clone(),
                kind: *kind,
            };
            if records
                .read(&place)
                .await?
                .1
                .is_some_and(|record| record.has_names())
            {
                records.also(&place, build_id).await?;
            }
        }
        Ok(())
    }

    async fn delete_fetched(&self, tenant: &TenantId, fetched: Fetched) -> Result<(), Error> {
        let Fetched {
            build_id,
            kind,
            upload,
        } = fetched;
        let place = Place {
            tenant: tenant.clone(),
            build_id,
            kind,
        };
        if let Some(deleted) = self.delete_unused(&place, upload).await? {
            tracing::info!(
                %tenant, build_id = %place.build_id, kind = kind.as_str(), bytes = deleted.bytes,
                "a fetched file made room for others"
            );
        }
        Ok(())
    }

    async fn delete_if_unused(&self, Unused { place, upload, .. }: &Unused) -> Result<(), Error> {
        if let Some(deleted) = self.delete_unused(place, *upload).await? {
            tracing::info!(
                tenant = %place.tenant, build_id = %place.build_id, kind = place.kind.as_str(),
                bytes = deleted.bytes,
                "a file was not used for long, and no block refers to it: it is deleted"
            );
        }
        Ok(())
    }

    /// The builds that were asked for since yesterday.
    async fn asked_lately(&self, tenant: &TenantId) -> Result<BTreeSet<BuildId>, Error> {
        let since = self.today().saturating_sub(1);
        let store = self.files.records().store();
        let objects = store.list_debuginfo(tenant, None).await?;
        let asked = objects.into_iter().filter_map(|object| match object.name {
            DebuginfoName::Used { day } if day >= since => Some(object.build_id),
            _ => None,
        });
        Ok(asked.collect())
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
