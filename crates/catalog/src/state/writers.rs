//! Writers, their incarnations, and how far each one's log is in blocks.

use cairn_model::WriterId;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Refused, Work};
use crate::Writer;

/// Bytes of a writer's address.
const ADDRESS_BYTES_MAX: usize = 1_024;
/// Bytes of the name of a zone.
const ZONE_BYTES_MAX: usize = 256;

/// What becomes of a writer's log when the writer starts again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Log {
    /// It goes on: a log on the writer's own disk.
    #[default]
    Continued,
    /// Every incarnation has a log of its own, which others can read when it is gone.
    OnePerIncarnation,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Writers(BTreeMap<WriterId, WriterState>);

/// The newest incarnation, and earlier ones that left something.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct WriterState {
    incarnation: u64,
    address: String,
    zone: String,
    flushed_lsn: u64,
    open: bool,
    lease_until_unix_ms: i64,
    log: Log,
    /// Incarnations that ended with something in their logs that may be in no block: how far they
    /// are in blocks.
    sealed: BTreeMap<u64, u64>,
}

/// Where a writer is.
pub(super) struct Place {
    pub(super) address: String,
    pub(super) zone: String,
}

/// What came of a registration.
pub(super) struct Registered {
    pub(super) incarnation: u64,
    pub(super) flushed_lsn: u64,
    /// What the incarnation before left to do.
    pub(super) recovery: Option<Work>,
}

impl Writers {
    /// Starts the next incarnation. Whoever asks twice, having had no answer, gets the newer one; an
    /// earlier one with a log of its own is sealed with nothing in it.
    pub(super) fn register(
        &mut self,
        id: &WriterId,
        Place { address, zone }: Place,
        lease_until_unix_ms: i64,
        log: Log,
    ) -> Result<Registered, Refused> {
        if address.len() > ADDRESS_BYTES_MAX || zone.len() > ZONE_BYTES_MAX {
            return Err(Refused::Invalid(format!(
                "a writer's address has at most {ADDRESS_BYTES_MAX} bytes, its zone {ZONE_BYTES_MAX}"
            )));
        }
        let mut new = WriterState {
            incarnation: 1,
            address,
            zone,
            flushed_lsn: 0,
            open: true,
            lease_until_unix_ms,
            log,
            sealed: BTreeMap::new(),
        };
        let mut recovery = None;
        if let Some(known) = self.0.get(id) {
            if known.log != log && (known.open || !known.sealed.is_empty()) {
                let text = format!("writer {id} has another kind of log, which is not in blocks");
                return Err(Refused::Invalid(text));
            }
            new.incarnation += known.incarnation;
            new.sealed.clone_from(&known.sealed);
            if log == Log::Continued {
                new.flushed_lsn = known.flushed_lsn;
            } else if known.open {
                new.sealed.insert(known.incarnation, known.flushed_lsn);
                recovery = Some(Work::Recover {
                    writer: id.clone(),
                    incarnation: known.incarnation,
                });
            }
        }
        let registered = Registered {
            incarnation: new.incarnation,
            flushed_lsn: new.flushed_lsn,
            recovery,
        };
        self.0.insert(id.clone(), new);
        Ok(registered)
    }

    /// The incarnation, if it may still commit.
    pub(super) fn open(
        &mut self,
        id: &WriterId,
        incarnation: u64,
    ) -> Result<&mut WriterState, Refused> {
        let writer = self.0.get_mut(id);
        let writer = writer.ok_or_else(|| Refused::UnknownWriter(id.clone()))?;
        if writer.incarnation != incarnation {
            return Err(fenced(id, incarnation, writer.incarnation));
        }
        if !writer.open {
            return Err(Refused::Sealed(id.clone()));
        }
        Ok(writer)
    }

    pub(super) fn is_open(&self, id: &WriterId) -> bool {
        self.0.get(id).is_some_and(|writer| writer.open)
    }

    pub(super) fn seal(
        &mut self,
        id: &WriterId,
        incarnation: u64,
        at_unix_ms: i64,
    ) -> Result<(), Refused> {
        let writer = self.open(id, incarnation)?;
        if writer.log == Log::Continued {
            let text = format!("the log of writer {id} is its own, and nobody else can recover it");
            return Err(Refused::Invalid(text));
        }
        if at_unix_ms < writer.lease_until_unix_ms {
            return Err(Refused::Leased {
                writer: id.clone(),
                until_unix_ms: writer.lease_until_unix_ms,
            });
        }
        writer.open = false;
        writer.sealed.insert(incarnation, writer.flushed_lsn);
        Ok(())
    }

    /// Everything up to `lsn` is in blocks, and nothing comes after. Closing twice is closing: the
    /// answer to the first try may have been lost.
    pub(super) fn close(
        &mut self,
        id: &WriterId,
        incarnation: u64,
        lsn: u64,
    ) -> Result<(), Refused> {
        let known = self.0.get(id);
        let is_closed = |w: &WriterState| !w.open && !w.sealed.contains_key(&incarnation);
        if known
            .is_some_and(|w| w.incarnation == incarnation && is_closed(w) && w.flushed_lsn == lsn)
        {
            return Ok(());
        }
        let writer = self.open(id, incarnation)?;
        if writer.flushed_lsn != lsn {
            return Err(gap(id, writer.flushed_lsn));
        }
        writer.open = false;
        Ok(())
    }

    /// How far a sealed log is in blocks.
    pub(super) fn sealed(&self, id: &WriterId, incarnation: u64) -> Result<u64, Refused> {
        let writer = self.0.get(id);
        let flushed = writer.and_then(|writer| writer.sealed.get(&incarnation));
        let flushed = flushed.ok_or_else(|| Refused::UnknownWriter(id.clone()))?;
        Ok(*flushed)
    }

    /// A stretch of a sealed log is in blocks; `None`: all of it.
    pub(super) fn recover(&mut self, id: &WriterId, incarnation: u64, flushed_lsn: Option<u64>) {
        if let Some(writer) = self.0.get_mut(id) {
            match flushed_lsn {
                Some(flushed_lsn) => writer.sealed.insert(incarnation, flushed_lsn),
                None => writer.sealed.remove(&incarnation),
            };
        }
    }

    pub(super) fn newest(&self, id: &WriterId) -> Option<Writer> {
        self.0.get(id).map(|writer| writer.shown(id))
    }

    pub(super) fn all_open(&self) -> Vec<Writer> {
        let open = self.0.iter().filter(|(_, writer)| writer.open);
        open.map(|(id, writer)| writer.shown(id)).collect()
    }

    pub(super) fn all_sealed(&self) -> Vec<Writer> {
        let sealed = |(id, writer): (&WriterId, &WriterState)| {
            let shown = |(incarnation, flushed_lsn): (&u64, &u64)| Writer {
                id: id.clone(),
                incarnation: *incarnation,
                address: String::new(),
                zone: String::new(),
                log: writer.log,
                flushed_lsn: *flushed_lsn,
            };
            writer.sealed.iter().map(shown).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(sealed).collect()
    }

    pub(super) fn overdue(&self, at_unix_ms: i64) -> Vec<Writer> {
        let late = |writer: &WriterState| writer.open && writer.lease_until_unix_ms <= at_unix_ms;
        let overdue = self.0.iter().filter(|(_, writer)| late(writer));
        overdue.map(|(id, writer)| writer.shown(id)).collect()
    }
}

impl WriterState {
    /// Renewals may overtake each other on their way.
    pub(super) fn renew(&mut self, until_unix_ms: i64) {
        self.lease_until_unix_ms = self.lease_until_unix_ms.max(until_unix_ms);
    }

    pub(super) fn flushed_lsn(&mut self) -> &mut u64 {
        &mut self.flushed_lsn
    }

    fn shown(&self, id: &WriterId) -> Writer {
        Writer {
            id: id.clone(),
            incarnation: self.incarnation,
            address: self.address.clone(),
            zone: self.zone.clone(),
            log: self.log,
            flushed_lsn: self.flushed_lsn,
        }
    }
}

/// Where a log is flushed to that was flushed to `flushed_lsn` before: without gaps, and once.
pub(super) fn advance(
    id: &WriterId,
    flushed_lsn: u64,
    (from, to): (u64, u64),
) -> Result<u64, Refused> {
    if flushed_lsn.checked_add(1) != Some(from) {
        return Err(gap(id, flushed_lsn));
    }
    if to < from {
        return Err(Refused::Invalid(format!(
            "a commit ends at {to}, before it starts at {from}"
        )));
    }
    Ok(to)
}

fn gap(id: &WriterId, flushed_lsn: u64) -> Refused {
    Refused::Gap {
        writer: id.clone(),
        flushed_lsn,
    }
}

fn fenced(id: &WriterId, incarnation: u64, current: u64) -> Refused {
    Refused::Fenced {
        writer: id.clone(),
        incarnation,
        current,
    }
}
