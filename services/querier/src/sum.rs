//! Answers that are added up a few at a time: every step waits for a core, in turns with other
//! tenants, and most answers are small.

use cairn_chassis::Job;
use cairn_engine::{Answer, Merge, Question, Scanned, WrongAnswer};

/// Answers that are merged in one step. Stacks are merged so many at a time anyway.
const WAITING_MAX: usize = 8;
const WAITING_NODES_MAX: usize = 1 << 14;
const WAITING_NAMES_MAX: usize = 1 << 10;

/// What answers add up to.
#[derive(Debug)]
pub(crate) struct Sum {
    merge: Merge,
    waiting: Vec<Scanned>,
}

impl Sum {
    /// See [`Merge::within`].
    pub(crate) fn within(question: &Question, bytes_max: usize) -> Self {
        Self {
            merge: Merge::within(question, bytes_max),
            waiting: Vec::new(),
        }
    }

    pub(crate) async fn add(mut self, job: &Job, scanned: Scanned) -> Result<Self, WrongAnswer> {
        let may_wait = may_wait(&scanned.answer);
        self.waiting.push(scanned);
        if may_wait && self.waiting.len() < WAITING_MAX {
            return Ok(self);
        }
        job.compute(move || self.merged()).await
    }

    /// The sum of all, which takes a while.
    pub(crate) fn finish(self) -> Result<Scanned, WrongAnswer> {
        Ok(self.merged()?.merge.finish())
    }

    fn merged(mut self) -> Result<Self, WrongAnswer> {
        for scanned in std::mem::take(&mut self.waiting) {
            self.merge.add(scanned)?;
        }
        Ok(self)
    }
}

/// Whether it is so small that it may wait for others. Of series that is not known at a glance.
fn may_wait(answer: &Answer) -> bool {
    match answer {
        Answer::Stacks(partial) => partial.trie.len() <= WAITING_NODES_MAX,
        Answer::Names(names) => names.len() <= WAITING_NAMES_MAX,
        Answer::ProfileTypes(_) => true,
        Answer::Series(_) => false,
    }
}
