//! Which shards are this ingester's, and which of them wait for what those before it have stored.
//!
//! A client whose push was stored by a writer that then crashed, or lost the shard, may send it
//! again. The new owner counts it once only if it knows what the old one has stored: until then the
//! shards that it got are pending. One that had ended is read once and for all; one that is open is
//! asked every time that it loses shards.
//!
//! Pure. Asking the old writer, or fencing and reading its log, is others' work.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cairn_catalog::{Log, SHARDS};
use cairn_model::WriterId;

use super::view::{Peer, Predecessor, View};

/// What this ingester may do with a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Take its writes.
    Owned,
    /// Wait, then take them.
    Pending,
    /// Leave it to others.
    Foreign,
}

/// The shards of one ingester, from map to map.
#[derive(Debug)]
pub(crate) struct Handover {
    own: WriterId,
    epoch: u64,
    shards: Vec<Shard>,
    /// Read before anyone had to wait for them.
    admitted: BTreeSet<Predecessor>,
    has_begun: bool,
}

/// One shard.
#[derive(Clone, Debug)]
enum Shard {
    /// Its owner by the latest map that named an open one, and what those before it may have left.
    Foreign(Arc<[Predecessor]>),
    /// Taken once all of these are read.
    Own(Arc<[Predecessor]>),
}

impl Handover {
    pub(crate) fn new(own: WriterId) -> Self {
        let nobody: Arc<[Predecessor]> = Arc::default();
        Self {
            own,
            epoch: 0,
            shards: vec![Shard::Foreign(nobody); usize::from(SHARDS)],
            admitted: BTreeSet::new(),
            has_begun: false,
        }
    }

    /// Goes on to a newer map. Says whose logs must be read that nobody was told of before.
    pub(crate) fn follow(&mut self, view: &View) -> Vec<Predecessor> {
        let open = view.writers().iter();
        let open: HashMap<&WriterId, u64> = open.map(|w| (&w.id, w.incarnation)).collect();
        let is_open = |left: &Predecessor| open.get(&left.writer) == Some(&left.incarnation);
        let awaited = |left: &Predecessor| match is_open(left) {
            true => Some(Predecessor {
                epoch: view.epoch(),
                ..left.clone()
            }),
            false => (!self.admitted.contains(left)).then(|| left.clone()),
        };
        // Who owned what before the first map is not known: anyone who left something, or is there.
        let sealed: Arc<[Predecessor]> = view.shards().sealed.iter().cloned().collect();
        let others = view.writers().iter().filter(|peer| peer.id != self.own);
        let others = others.flat_map(|peer| Holders::one(peer).to_vec());
        let anyone: Arc<[Predecessor]> = sealed.iter().cloned().chain(others).collect();
        let mut holders = Holders::default();
        let before = self.awaited();
        let mut shards = Vec::with_capacity(self.shards.len());
        for (number, shard) in (0..SHARDS).zip(&self.shards) {
            let owner = view.owner(number);
            shards.push(match (owner, shard) {
                (Some(owner), Shard::Own(waits)) if owner.id == self.own => {
                    Shard::Own(Arc::clone(waits))
                }
                (Some(owner), Shard::Foreign(left)) if owner.id == self.own => {
                    let left = if self.has_begun { left } else { &anyone };
                    Shard::Own(left.iter().filter_map(awaited).collect())
                }
                (Some(owner), _) => Shard::Foreign(holders.of(owner)),
                (None, Shard::Foreign(_)) if !self.has_begun => Shard::Foreign(Arc::clone(&anyone)),
                (None, Shard::Foreign(left)) => Shard::Foreign(Arc::clone(left)),
                // It comes back only by a map that names us again.
                (None, Shard::Own(waits)) => Shard::Foreign(Arc::clone(waits)),
            });
        }
        self.shards = shards;
        self.epoch = view.epoch();
        self.has_begun = true;
        self.forget(&sealed);
        self.awaited().difference(&before).cloned().collect()
    }

    /// Drops from memory whom no shard can come to wait for any more.
    fn forget(&mut self, sealed: &[Predecessor]) {
        let left = self.shards.iter().filter_map(|shard| match shard {
            Shard::Foreign(left) => Some(left.iter()),
            Shard::Own(_) => None,
        });
        let needed: BTreeSet<&Predecessor> = left.flatten().chain(sealed).collect();
        self.admitted.retain(|read| needed.contains(read));
    }

    /// What this predecessor has stored is known.
    pub(crate) fn admit(&mut self, read: &Predecessor) {
        // One that was open may have stored more since.
        if read.epoch == 0 {
            self.admitted.insert(read.clone());
        }
        for shard in &mut self.shards {
            if let Shard::Own(waits) = shard
                && waits.contains(read)
            {
                *waits = waits
                    .iter()
                    .filter(|other| *other != read)
                    .cloned()
                    .collect();
            }
        }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn standing(&self, shard: u16) -> Standing {
        match self.shards.get(usize::from(shard)) {
            Some(Shard::Own(waits)) if waits.is_empty() => Standing::Owned,
            Some(Shard::Own(_)) => Standing::Pending,
            Some(Shard::Foreign(_)) | None => Standing::Foreign,
        }
    }

    /// How many shards are owned, and how many pending.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let standing = (0..SHARDS).map(|shard| self.standing(shard));
        standing.fold((0, 0), |(owned, pending), standing| match standing {
            Standing::Owned => (owned + 1, pending),
            Standing::Pending => (owned, pending + 1),
            Standing::Foreign => (owned, pending),
        })
    }

    /// Everyone whom some shard waits for.
    fn awaited(&self) -> BTreeSet<Predecessor> {
        let waits = self.shards.iter().filter_map(|shard| match shard {
            Shard::Own(waits) => Some(waits.iter()),
            Shard::Foreign(_) => None,
        });
        waits.flatten().cloned().collect()
    }
}

/// One shared list per writer instead of one per shard.
#[derive(Default)]
struct Holders(HashMap<WriterId, Arc<[Predecessor]>>);

impl Holders {
    fn of(&mut self, owner: &Peer) -> Arc<[Predecessor]> {
        if let Some(holder) = self.0.get(&owner.id) {
            return Arc::clone(holder);
        }
        let holder = Self::one(owner);
        self.0.insert(owner.id.clone(), Arc::clone(&holder));
        holder
    }

    fn one(owner: &Peer) -> Arc<[Predecessor]> {
        match owner.log {
            // It goes on with the writer, whoever runs it, and nobody else can read it.
            Log::Continued => Arc::default(),
            Log::OnePerIncarnation => Arc::new([Predecessor {
                writer: owner.id.clone(),
                incarnation: owner.incarnation,
                epoch: 0,
            }]),
        }
    }
}

#[cfg(test)]
mod tests;
