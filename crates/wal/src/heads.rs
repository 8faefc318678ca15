//! Entries of a log as rows that can be scanned and written to blocks.
//!
//! Owns which entries were taken in; where they come from is the reader's business.

use std::collections::BTreeMap;

use cairn_block::{Head, Lsn, Origin, Refused};
use cairn_model::TenantId;

use crate::{Entry, Error, Row, Segment};

/// Rows of a gapless stretch of a log, by tenant.
#[derive(Debug)]
pub struct Heads {
    /// The only one whose rows are wanted.
    tenant: Option<TenantId>,
    heads: BTreeMap<TenantId, Head>,
    after: Lsn,
    to: Lsn,
    unreadable: u64,
}

impl Heads {
    /// For rows of all tenants, from the entry after `after` on.
    pub fn new(after: Lsn) -> Self {
        Self {
            tenant: None,
            heads: BTreeMap::new(),
            after,
            to: after,
            unreadable: 0,
        }
    }

    /// For rows of one tenant only.
    pub fn of(tenant: TenantId, after: Lsn) -> Self {
        Self {
            tenant: Some(tenant),
            ..Self::new(after)
        }
    }

    /// Takes the entries in that follow the last one that was taken in, all of them.
    pub fn fill(&mut self, segment: &Segment) -> Result<(), Error> {
        let place = &segment.header.place;
        let corrupt = |reason: String| Error::Corrupt {
            key: place.key().to_string(),
            reason,
        };
        let expected = self.to + 1;
        if place.first > expected {
            return Err(corrupt(format!("{expected} should come first")));
        }
        for (lsn, payload) in segment.entries() {
            if lsn <= self.to {
                continue;
            }
            let entry = Entry::decode(payload);
            let entry = entry.map_err(|error| corrupt(format!("entry {lsn}: {error}")))?;
            if self
                .tenant
                .as_ref()
                .is_none_or(|only| *only == entry.tenant)
            {
                self.take(lsn, &entry);
            }
            self.to = lsn;
        }
        Ok(())
    }

    fn take(&mut self, lsn: Lsn, entry: &Entry) {
        let head = self.heads.entry(entry.tenant.clone()).or_default();
        let report = |error: &dyn std::fmt::Display| {
            tracing::error!(tenant = %entry.tenant, lsn, %error, "a durable profile is not readable");
        };
        let read = entry.rows().into_iter();
        let read = read.filter_map(|row| row.inspect_err(|error| report(error)).ok());
        let rows: Vec<Row> = read.collect();
        let unread = entry.series.len() - rows.len();
        let refused = append_all(head, lsn, rows);
        refused.iter().for_each(|error| report(error));
        self.unreadable += (unread + refused.len()) as u64;
    }

    /// About how much memory the rows take.
    pub fn bytes(&self) -> usize {
        self.heads.values().map(Head::bytes).sum()
    }

    /// The first and the last entry that were taken in; none if nothing was.
    pub fn stretch(&self) -> Option<(Lsn, Lsn)> {
        (self.to > self.after).then_some((self.after + 1, self.to))
    }

    /// Profiles that could not be decoded again.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// The rows of every tenant that has any, and room for those of the next stretch.
    pub fn take_all(&mut self) -> BTreeMap<TenantId, Head> {
        self.after = self.to;
        let mut heads = std::mem::take(&mut self.heads);
        heads.retain(|_, head| !head.is_empty());
        heads
    }
}

/// Adds the rows of entry `lsn` to its tenant's head; gives why some could not be.
pub fn append_all(head: &mut Head, lsn: Lsn, rows: Vec<Row>) -> Vec<Refused> {
    let mut intake = head.intake();
    let append = |row| {
        let Row {
            name,
            labels,
            time,
            batch,
            profile,
        } = row;
        let origin = Origin {
            name,
            labels,
            time,
            lsn,
            batch,
        };
        intake.append(&profile, &origin).err()
    };
    rows.into_iter().filter_map(append).collect()
}

#[cfg(test)]
mod tests;
