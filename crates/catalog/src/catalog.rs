//! The catalog of one process: the state in memory, and the journal that makes it last.
//!
//! Commands that arrive while a sync runs share the next one. Answers are given after the sync,
//! and questions see only what is durable.

use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use crate::journal::Journal;
use crate::{Command, Error, Reply, State, apply};

/// A handle on the catalog. Cheap to clone; the journal closes with the last one.
#[derive(Clone, Debug)]
pub(crate) struct Catalog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    waiting: Mutex<Vec<Waiting>>,
    ahead: Mutex<Ahead>,
    /// What is durable.
    state: RwLock<State>,
}

#[derive(Debug)]
struct Waiting {
    command: Command,
    answer: oneshot::Sender<Result<Reply, Error>>,
}

/// The state as it will be once the journal has it.
#[derive(Debug)]
struct Ahead {
    journal: Journal,
    state: State,
}

impl Catalog {
    /// Opens or creates the catalog in a folder of its own. Blocks while it reads.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        let (journal, state) = Journal::open(dir)?;
        Ok(Self(Arc::new(Inner {
            waiting: Mutex::new(Vec::new()),
            state: RwLock::new(state.clone()),
            ahead: Mutex::new(Ahead { journal, state }),
        })))
    }

    /// Carries one command out and answers once it is durable. Dropping the future does not take
    /// the command back. Must run inside a tokio runtime.
    pub(crate) async fn apply(&self, command: Command) -> Result<Reply, Error> {
        let (answer, answered) = oneshot::channel();
        self.0.waiting.lock().push(Waiting { command, answer });
        let inner = Arc::clone(&self.0);
        // Whichever of these gets the journal first takes every command that waits by then. Waiting
        // for one's own means that once all calls have returned, nothing holds the journal open.
        let worked = tokio::task::spawn_blocking(move || inner.work_off()).await;
        worked.map_err(|_| Error::Unavailable("it is closing".to_owned()))?;
        answered
            .await
            .unwrap_or(Err(Error::Unavailable("it is closing".to_owned())))
    }

    pub(crate) fn read<R>(&self, ask: impl FnOnce(&State) -> R) -> R {
        ask(&self.0.state.read())
    }
}

impl Inner {
    /// Makes every waiting command durable with one sync and answers them.
    fn work_off(&self) {
        let mut ahead = self.ahead.lock();
        let waiting = std::mem::take(&mut *self.waiting.lock());
        let mut accepted = Vec::new();
        let mut answers = Vec::new();
        for Waiting { command, answer } in waiting {
            let result = apply(&mut ahead.state, command.clone());
            if result.is_ok() {
                accepted.push(command);
            }
            answers.push((answer, result));
        }
        // A refusal may rest on a command of this batch, so it waits for the sync too.
        if !accepted.is_empty()
            && let Err(error) = ahead.journal.append(&accepted)
        {
            ahead.state = self.state.read().clone();
            for (answer, _) in answers {
                drop(answer.send(Err(error.clone().into())));
            }
            return;
        }
        let rewrite = !accepted.is_empty();
        let mut state = self.state.write();
        for command in accepted {
            apply(&mut state, command).expect("what one copy accepted, its equal accepts");
        }
        drop(state);
        for (answer, result) in answers {
            drop(answer.send(result.map_err(Error::from)));
        }
        if rewrite {
            let Ahead { journal, state } = &mut *ahead;
            journal.rewrite_if_large(state);
        }
    }
}
