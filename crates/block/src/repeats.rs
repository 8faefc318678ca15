//! Batches that were stored more than once.

use cairn_model::{Labels, ProfileType};
use hashbrown::HashMap;

use crate::tables::{Index, Lsn, ProfileRow};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// What two deliveries of one batch agree on, profile by profile.
#[derive(PartialEq, Eq, Hash)]
struct Sent<'a> {
    batch: u128,
    labels: &'a Labels,
    profile_type: &'a ProfileType,
    time: i64,
    total: i64,
}

/// Per index and profile: whether it repeats one that came in another delivery of its batch.
///
/// One delivery is one log entry of one of the indexes. Equal profiles of one delivery were sent
/// apart and both count.
pub fn repeats<'a>(indexes: &[&'a Index]) -> Vec<Vec<bool>> {
    let mut first: Map<Sent<'a>, (usize, Lsn)> = Map::default();
    let mut out = Vec::with_capacity(indexes.len());
    for (at, index) in indexes.iter().copied().enumerate() {
        let repeated = |row: &ProfileRow| {
            if row.batch == 0 {
                return false;
            }
            let sent = Sent {
                batch: row.batch,
                labels: &index.label_sets[row.label_set as usize],
                profile_type: &index.types[row.profile_type as usize],
                time: row.time,
                total: row.total,
            };
            *first.entry(sent).or_insert((at, row.lsn)) != (at, row.lsn)
        };
        out.push(index.profiles.iter().map(repeated).collect());
    }
    out
}
