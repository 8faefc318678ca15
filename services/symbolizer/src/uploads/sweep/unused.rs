//! Which files nobody asked for in a long time. Pure; whether a block refers to one is looked up by
//! who sweeps.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use cairn_model::{BuildId, UploadId};
use cairn_store::{DebuginfoName, DebuginfoObject};

use super::super::inventory::Entry;
use super::DAY;
use crate::records::Place;

/// A file that nobody asked for in a long time.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::uploads) struct Unused {
    pub(super) place: Place,
    pub(super) upload: UploadId,
    /// All names of its build.
    pub(super) build_ids: Arc<HashSet<BuildId>>,
}

/// The names of one build.
struct Build {
    build_ids: Arc<HashSet<BuildId>>,
    /// The end of the last day on which one of them was asked for.
    used_unix_ms: i64,
}

/// The files that were neither uploaded nor used in the time that they are kept for. A file is used
/// by whatever name its build has: sources state none, but the build's other files do.
pub(in crate::uploads) fn unused(
    objects: &[DebuginfoObject],
    entries: &[Entry],
    kept_for: Duration,
    now_unix_ms: i64,
) -> Vec<Unused> {
    let (builds, by_id) = builds(objects);
    let unused = entries.iter().filter_map(|entry| {
        let file = entry.record.readable()?;
        let build = by_id.get(&entry.place.build_id).map(|&at| &builds[at]);
        let used = build.map_or(0, |build| build.used_unix_ms);
        let since = now_unix_ms - used.max(file.finished_unix_ms);
        let is_unused = entry.record.upload.is_none() && since > kept_for.as_millis() as i64;
        is_unused.then(|| Unused {
            place: entry.place.clone(),
            upload: file.upload,
            build_ids: match build {
                Some(build) => Arc::clone(&build.build_ids),
                None => Arc::new(HashSet::from([entry.place.build_id.clone()])),
            },
        })
    });
    unused.collect()
}

/// The builds that have several names or were used, and which of them an id is of.
fn builds(objects: &[DebuginfoObject]) -> (Vec<Build>, HashMap<&BuildId, usize>) {
    let mut others: HashMap<&BuildId, Vec<&BuildId>> = HashMap::new();
    let mut used: HashMap<&BuildId, i64> = HashMap::new();
    for object in objects {
        let build_id = &object.build_id;
        match &object.name {
            DebuginfoName::Also { of, .. } => {
                others.entry(build_id).or_default().push(of);
                others.entry(of).or_default().push(build_id);
            }
            DebuginfoName::Used { day } => {
                others.entry(build_id).or_default();
                let end = (i64::from(*day) + 1) * DAY.as_millis() as i64;
                let last = used.entry(build_id).or_default();
                *last = end.max(*last);
            }
            _ => {}
        }
    }
    let mut builds = Vec::new();
    let mut by_id = HashMap::new();
    for &first in others.keys() {
        if by_id.contains_key(first) {
            continue;
        }
        let (mut build_ids, mut used_unix_ms) = (HashSet::new(), 0);
        let mut left = vec![first];
        while let Some(build_id) = left.pop() {
            if by_id.insert(build_id, builds.len()).is_none() {
                build_ids.insert(build_id.clone());
                used_unix_ms = used.get(build_id).copied().unwrap_or(0).max(used_unix_ms);
                left.extend(&others[build_id]);
            }
        }
        builds.push(Build {
            build_ids: Arc::new(build_ids),
            used_unix_ms,
        });
    }
    (builds, by_id)
}
