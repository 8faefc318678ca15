//! The local log on a thread of its own, since a sync holds up whoever waits for it.

use std::thread::JoinHandle;

use async_trait::async_trait;
use cairn_block::Lsn;
use futures::future::{BoxFuture, FutureExt};
use tokio::sync::{mpsc, oneshot};

use super::LocalLog;
use crate::{DurableLog, Error, Payload};

/// A [`LocalLog`] whose thread does one thing after the other. The thread ends with the handle.
#[derive(Debug)]
pub struct OnThread {
    jobs: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
    /// Closed when the thread has let go of the log.
    over: oneshot::Receiver<()>,
}

#[derive(Debug)]
enum Job {
    Append {
        payloads: Vec<Payload>,
        now: i64,
        answer: oneshot::Sender<Result<Lsn, Error>>,
    },
    Truncate {
        flushed: Lsn,
        older_than: i64,
        answer: oneshot::Sender<Result<(), Error>>,
    },
}

impl OnThread {
    pub fn start(log: LocalLog) -> std::io::Result<Self> {
        // One: the next is asked when the last is done.
        let (jobs, queue) = mpsc::channel(1);
        let (ended, over) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("wal".to_owned())
            .spawn(move || {
                work(log, queue);
                drop(ended);
            })?;
        Ok(Self { jobs, thread, over })
    }
}

async fn ask<A>(jobs: mpsc::Sender<Job>, job: impl FnOnce(oneshot::Sender<A>) -> Job) -> A {
    let (answer, answered) = oneshot::channel();
    // If the thread has ended, nobody sends an answer either.
    drop(jobs.send(job(answer)).await);
    match answered.await {
        Ok(answer) => answer,
        Err(_) => panic!("the thread of the log panicked"),
    }
}

/// Until nobody can ask any more. The log is closed on return.
fn work(mut log: LocalLog, mut queue: mpsc::Receiver<Job>) {
    while let Some(job) = queue.blocking_recv() {
        // Who asked may have given up; what was asked is done all the same.
        match job {
            Job::Append {
                payloads,
                now,
                answer,
            } => drop(answer.send(log.append(&payloads, now))),
            Job::Truncate {
                flushed,
                older_than,
                answer,
            } => drop(answer.send(log.truncate(flushed, older_than))),
        }
    }
}

#[async_trait]
impl DurableLog for OnThread {
    async fn append(&mut self, payloads: Vec<Payload>, now: i64) -> Result<Lsn, Error> {
        ask(self.jobs.clone(), |answer| Job::Append {
            payloads,
            now,
            answer,
        })
        .await
    }

    fn truncate(&mut self, flushed: Lsn, older_than: i64) -> BoxFuture<'static, Result<(), Error>> {
        ask(self.jobs.clone(), move |answer| Job::Truncate {
            flushed,
            older_than,
            answer,
        })
        .boxed()
    }

    async fn close(self: Box<Self>) {
        let Self { jobs, thread, over } = *self;
        drop(jobs);
        // The sender says nothing; it goes.
        let _ = over.await;
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// In place, holding up the caller: for a simulation, which has one thread.
#[async_trait]
impl DurableLog for LocalLog {
    async fn append(&mut self, payloads: Vec<Payload>, now: i64) -> Result<Lsn, Error> {
        self.append(&payloads, now)
    }

    fn truncate(&mut self, flushed: Lsn, older_than: i64) -> BoxFuture<'static, Result<(), Error>> {
        std::future::ready(self.truncate(flushed, older_than)).boxed()
    }

    async fn close(self: Box<Self>) {}
}
