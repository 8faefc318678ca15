//! Answers that are added up a few at a time: every step waits for a core, in turns with other
//! tenants, and most answers are small.

use cairn_chassis::Context;
use cairn_engine::{Merge, Question, Scanned, WrongAnswer};
use cairn_model::TenantId;

/// Answers that are merged in one step. Stacks are merged so many at a time anyway.
const WAITING_MAX: usize = 8;
const WAITING_BYTES_MAX: usize = 4 << 20;

/// What answers add up to.
#[derive(Debug)]
pub(crate) struct Sum {
    merge: Merge,
    waiting: Vec<Scanned>,
    waiting_bytes: usize,
}

impl Sum {
    /// See [`Merge::within`].
    pub(crate) fn within(question: &Question, bytes_max: usize) -> Self {
        Self {
            merge: Merge::within(question, bytes_max),
            waiting: Vec::new(),
            waiting_bytes: 0,
        }
    }

    pub(crate) async fn add(
        mut self,
        (cx, tenant): (&Context, &TenantId),
        scanned: Scanned,
    ) -> Result<Self, WrongAnswer> {
        self.waiting_bytes += scanned.bytes();
        self.waiting.push(scanned);
        if self.waiting.len() < WAITING_MAX && self.waiting_bytes < WAITING_BYTES_MAX {
            return Ok(self);
        }
        cx.compute_for(tenant, move || self.merged()).await
    }

    /// The sum of all, which takes a while.
    pub(crate) fn finish(self) -> Result<Scanned, WrongAnswer> {
        Ok(self.merged()?.merge.finish())
    }

    fn merged(mut self) -> Result<Self, WrongAnswer> {
        for scanned in std::mem::take(&mut self.waiting) {
            self.merge.add(scanned)?;
        }
        self.waiting_bytes = 0;
        Ok(self)
    }
}
