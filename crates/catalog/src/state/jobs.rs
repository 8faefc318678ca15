//! Work that one of several processes does, and who may finish it.
//!
//! A claim gives a token; only the newest token of a job counts. A worker that was thought dead
//! and comes back finds its token refused, whatever it believes about its lease.

use std::collections::BTreeMap;
use std::fmt;

use cairn_model::{BlockId, TenantId, WriterId};
use serde::{Deserialize, Serialize};

use super::Refused;

/// Bytes of a worker's name.
const WORKER_BYTES_MAX: usize = 256;

/// The number of a job; no two jobs ever have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What there is to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Work {
    /// Put what is left in a sealed log into blocks.
    Recover { writer: WriterId, incarnation: u64 },
    /// Make one block of these, or of some of them.
    Merge {
        tenant: TenantId,
        inputs: Vec<BlockId>,
    },
    /// Delete objects that nothing refers to.
    Sweep,
}

/// A worker's right to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ticket {
    pub job: JobId,
    pub token: u64,
}

/// A job as workers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub id: JobId,
    pub work: Work,
    /// Who has it, until when.
    pub worker: Option<(String, i64)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Jobs(BTreeMap<JobId, JobState>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct JobState {
    work: Work,
    claim: Option<Claim>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Claim {
    token: u64,
    worker: String,
    until_unix_ms: i64,
}

impl Jobs {
    pub(super) fn add(&mut self, id: JobId, work: Work) {
        self.0.insert(id, JobState { work, claim: None });
    }

    pub(super) fn finish(&mut self, id: JobId) {
        self.0.remove(&id);
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Job> + '_ {
        self.0.iter().map(|(id, job)| Job {
            id: *id,
            work: job.work.clone(),
            worker: job
                .claim
                .as_ref()
                .map(|claim| (claim.worker.clone(), claim.until_unix_ms)),
        })
    }

    /// Free jobs go to whoever asks, others once their time is over. A worker may claim its own job
    /// again: the answer may have been lost.
    pub(super) fn claim(
        &mut self,
        id: JobId,
        worker: String,
        (at_unix_ms, until_unix_ms): (i64, i64),
        token: u64,
    ) -> Result<(), Refused> {
        if worker.len() > WORKER_BYTES_MAX {
            return Err(Refused::Invalid(format!(
                "a worker's name has at most {WORKER_BYTES_MAX} bytes"
            )));
        }
        let job = self.0.get_mut(&id).ok_or(Refused::NoJob(id))?;
        let is_held = |claim: &Claim| claim.worker != worker && claim.until_unix_ms > at_unix_ms;
        if job.claim.as_ref().is_some_and(is_held) {
            return Err(Refused::NotYours(id));
        }
        job.claim = Some(Claim {
            token,
            worker,
            until_unix_ms,
        });
        Ok(())
    }

    pub(super) fn extend(&mut self, ticket: Ticket, until_unix_ms: i64) -> Result<(), Refused> {
        let job = self.held(ticket)?;
        if let Some(claim) = &mut job.claim {
            claim.until_unix_ms = claim.until_unix_ms.max(until_unix_ms);
        }
        Ok(())
    }

    pub(super) fn abandon(&mut self, ticket: Ticket) -> Result<(), Refused> {
        let job = self.held(ticket)?;
        match job.work {
            Work::Recover { .. } => job.claim = None,
            Work::Merge { .. } | Work::Sweep => self.finish(ticket.job),
        }
        Ok(())
    }

    /// Whose log the ticket allows to recover.
    pub(super) fn recovery(&mut self, ticket: Ticket) -> Result<(WriterId, u64), Refused> {
        match &self.held(ticket)?.work {
            Work::Recover {
                writer,
                incarnation,
            } => Ok((writer.clone(), *incarnation)),
            Work::Merge { .. } | Work::Sweep => Err(not_for(ticket)),
        }
    }

    /// Whether the ticket allows to merge these.
    pub(super) fn check_merge(
        &mut self,
        ticket: Ticket,
        owner: &TenantId,
        inputs: &[BlockId],
    ) -> Result<(), Refused> {
        match &self.held(ticket)?.work {
            Work::Merge {
                tenant,
                inputs: allowed,
            } if tenant == owner && inputs.iter().all(|input| allowed.contains(input)) => Ok(()),
            _ => Err(not_for(ticket)),
        }
    }

    /// Whether no job is about any of these.
    pub(super) fn check_free(&self, owner: &TenantId, blocks: &[BlockId]) -> Result<(), Refused> {
        for (job, state) in &self.0 {
            if let Work::Merge { tenant, inputs } = &state.work
                && tenant == owner
                && let Some(block) = inputs.iter().find(|input| blocks.contains(input))
            {
                let (block, job) = (*block, *job);
                return Err(Refused::Busy { block, job });
            }
        }
        Ok(())
    }

    /// Whether there is no job of just this work.
    pub(super) fn check_none(&self, work: &Work) -> Result<(), Refused> {
        let same = self.0.iter().find(|(_, job)| job.work == *work);
        same.map_or(Ok(()), |(id, _)| Err(Refused::Offered(*id)))
    }

    fn held(&mut self, ticket: Ticket) -> Result<&mut JobState, Refused> {
        let job = self.0.get_mut(&ticket.job);
        let job = job.ok_or(Refused::NoJob(ticket.job))?;
        match &job.claim {
            Some(claim) if claim.token == ticket.token => Ok(job),
            _ => Err(Refused::NotYours(ticket.job)),
        }
    }
}

fn not_for(ticket: Ticket) -> Refused {
    Refused::Invalid(format!("job {} is other work", ticket.job))
}

#[cfg(test)]
impl Jobs {
    pub(super) fn any_claimed(&self, wanted: impl Fn(&Work) -> bool) -> Option<(Ticket, Work)> {
        self.0.iter().find_map(|(id, job)| {
            let token = job.claim.as_ref()?.token;
            wanted(&job.work).then(|| (Ticket { job: *id, token }, job.work.clone()))
        })
    }
}
