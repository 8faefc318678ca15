//! Which writer should own which shard: a plan, made of the map and the open writers alone.
//!
//! Owns the plan, not its execution: moves become true by `Command::Assign`, and only if nobody
//! was faster. The same input gives the same plan wherever it is made.

use std::collections::BTreeMap;

use cairn_model::WriterId;

use crate::{Command, Log, SHARDS, ShardMap, State};

/// A writer that may own shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub id: WriterId,
    /// What fails together with it; empty if nobody said.
    pub zone: String,
}

/// The moves after which every shard has an owner among `writers`, and each of them has as many as
/// the others, give or take one. Those that have one more are spread over zones.
///
/// Only shards without such an owner move, and those that an owner has beyond its share. So one
/// more among N writers moves about one Nth of all shards, one less moves what it had, and nothing
/// moves twice.
pub fn assign(map: &ShardMap, writers: &[Candidate]) -> Vec<(u16, WriterId)> {
    let owner = |shard| map.owner(shard).map(|owner| &owner.writer);
    let owners: Vec<Option<&WriterId>> = (0..SHARDS).map(owner).collect();
    plan(&owners, writers)
}

/// What should change hands by what the catalog knows: nothing if all is well. Only writers whose
/// logs others can recover share shards; one with a log on its own disk is alone.
pub fn place(state: &State) -> Option<Command> {
    let open = state.open_writers().into_iter();
    let sharing = open.filter(|writer| writer.log == Log::OnePerIncarnation);
    let candidates = sharing.map(|writer| Candidate {
        id: writer.id,
        zone: writer.zone,
    });
    let candidates: Vec<Candidate> = candidates.collect();
    let moves = assign(state.shards(), &candidates);
    (!moves.is_empty()).then(|| Command::Assign {
        epoch: state.shards().epoch(),
        moves,
    })
}

/// A writer, and what it has of the shards.
struct Seat<'a> {
    id: &'a WriterId,
    zone: &'a str,
    held: usize,
    quota: usize,
}

fn plan(owners: &[Option<&WriterId>], writers: &[Candidate]) -> Vec<(u16, WriterId)> {
    let zones: BTreeMap<&WriterId, &str> = writers.iter().map(|w| (&w.id, &*w.zone)).collect();
    if zones.is_empty() {
        return Vec::new();
    }
    let seat = |(id, zone)| Seat {
        id,
        zone,
        held: 0,
        quota: 0,
    };
    let mut seats: Vec<Seat<'_>> = zones.into_iter().map(seat).collect();
    let by_id: BTreeMap<&WriterId, usize> = seats.iter().map(|seat| seat.id).zip(0..).collect();
    let seat_of = |owner: &Option<&WriterId>| owner.and_then(|id| by_id.get(id).copied());
    for seat in owners.iter().filter_map(seat_of) {
        seats[seat].held += 1;
    }
    share_out(&mut seats, owners.len());
    let mut kept = vec![0; seats.len()];
    let mut free = Vec::new();
    for (shard, owner) in (0..).zip(owners) {
        match seat_of(owner) {
            Some(seat) if kept[seat] < seats[seat].quota => kept[seat] += 1,
            _ => free.push(shard),
        }
    }
    deal(free, &seats, kept)
}

/// Says how many shards each gets: all the same, then one more for as many as are left over. The
/// zone that has least goes first; among equals, whoever has one more already keeps it.
fn share_out(seats: &mut [Seat<'_>], shards: usize) {
    let (each, extras) = (shards / seats.len(), shards % seats.len());
    let mut zones: BTreeMap<&str, Zone> = BTreeMap::new();
    for (at, seat) in seats.iter_mut().enumerate() {
        seat.quota = each;
        let zone = zones.entry(seat.zone).or_default();
        zone.total += each;
        match seat.held > each {
            true => zone.keeping.push(at),
            false => zone.others.push(at),
        }
    }
    for _ in 0..extras {
        let open = zones.values_mut().filter(|zone| !zone.is_full());
        let least = open.min_by_key(|zone| (zone.total, zone.keeping.is_empty()));
        let zone = least.expect("fewer are left over than there are writers");
        seats[zone.take()].quota += 1;
    }
}

/// Writers that can get one more.
#[derive(Default)]
struct Zone {
    total: usize,
    keeping: Vec<usize>,
    others: Vec<usize>,
}

impl Zone {
    fn is_full(&self) -> bool {
        self.keeping.is_empty() && self.others.is_empty()
    }

    fn take(&mut self) -> usize {
        let from = match self.keeping.is_empty() {
            true => &mut self.others,
            false => &mut self.keeping,
        };
        self.total += 1;
        from.remove(0)
    }
}

/// Gives shards to those that have fewer than their quota, in turns.
fn deal(free: Vec<u16>, seats: &[Seat<'_>], mut kept: Vec<usize>) -> Vec<(u16, WriterId)> {
    let mut turns: Vec<usize> = (0..seats.len()).collect();
    let mut turn = 0;
    let mut moves = Vec::with_capacity(free.len());
    for shard in free {
        turns.retain(|at| kept[*at] < seats[*at].quota);
        if turn >= turns.len() {
            turn = 0;
        }
        let at = turns[turn];
        kept[at] += 1;
        moves.push((shard, seats[at].id.clone()));
        turn += 1;
    }
    moves
}

#[cfg(test)]
mod tests;
