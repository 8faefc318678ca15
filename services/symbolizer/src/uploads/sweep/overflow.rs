//! Which fetched files go so that there is room for others. Pure.

use cairn_model::{BuildId, FileKind, UploadId};
use cairn_store::DebuginfoObject;

use super::{DAY, last_used};
use crate::fetched;

/// A file that a debuginfod server gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) build_id: BuildId,
    pub(super) kind: FileKind,
    pub(super) upload: UploadId,
}

/// If fetched files have more bytes than this, those that have to go until they have three quarters
/// of it: the ones that were not asked for the longest, and none that was since yesterday.
pub(super) fn overflow(objects: &[DebuginfoObject], bytes_max: u64, today: u32) -> Vec<Fetched> {
    let used = last_used(objects);
    let day = |object: &DebuginfoObject| {
        let stored = object.stored_unix_ms / DAY.as_millis() as i64;
        let stored = u32::try_from(stored).unwrap_or_default();
        used.get(&object.build_id)
            .map_or(stored, |day| stored.max(*day))
    };
    let mut files: Vec<_> = fetched::files(objects)
        .map(|(kind, upload, object)| (day(object), kind, upload, object))
        .collect();
    let mut bytes: u64 = files.iter().map(|(.., object)| object.bytes).sum();
    if bytes < bytes_max {
        return Vec::new();
    }
    files.sort_by_key(|(day, ..)| *day);
    let old = files.into_iter();
    let old = old.take_while(|(day, ..)| *day < today.saturating_sub(1));
    let mut gone = Vec::new();
    for (_, kind, upload, object) in old {
        if bytes <= bytes_max / 4 * 3 {
            break;
        }
        bytes -= object.bytes;
        gone.push(Fetched {
            build_id: object.build_id.clone(),
            kind,
            upload,
        });
    }
    gone
}
