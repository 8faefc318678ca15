//! The one who writes the log: takes what waits, makes it durable with one sync, and says so.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use openraft::storage::LogFlushed;
use tokio::sync::{mpsc, oneshot};

use super::disk::{Change, Disk};
use crate::Error;
use crate::raft::Types;

/// Orders that wait; openraft waits for most of its own before it gives the next.
const QUEUE_MAX: usize = 1_024;
/// Orders that share a sync.
const GROUP_MAX: usize = 256;

/// A change, and who waits for it.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) change: Change,
    pub(super) waiter: Waiter,
}

pub(super) enum Waiter {
    /// It is written together with whatever comes next.
    Nobody,
    Raft(LogFlushed<Types>),
    Caller(oneshot::Sender<Result<(), String>>),
}

impl std::fmt::Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waiter")
    }
}

/// Gives orders to the writer, which ends once the last of these is gone.
#[derive(Clone, Debug)]
pub(super) struct Orders(mpsc::Sender<Order>);

/// A writer that was started.
#[derive(Debug)]
pub(crate) enum Running {
    Thread(JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>),
}

/// Starts a thread, or a task of the current runtime.
pub(super) fn start(disk: Arc<Disk>, as_thread: bool) -> io::Result<(Orders, Running)> {
    let (orders, mut queue) = mpsc::channel(QUEUE_MAX);
    let mut writer = Writer {
        disk,
        postponed: Vec::new(),
        broken: None,
    };
    let running = if as_thread {
        let thread = std::thread::Builder::new().name("catalog-log".to_owned());
        Running::Thread(thread.spawn(move || {
            while let Some(first) = queue.blocking_recv() {
                writer.group(first, &mut queue);
            }
            writer.finish();
        })?)
    } else {
        Running::Task(tokio::runtime::Handle::current().spawn(async move {
            while let Some(first) = queue.recv().await {
                writer.group(first, &mut queue);
            }
            writer.finish();
        }))
    };
    Ok((Orders(orders), running))
}

impl Orders {
    pub(super) async fn give(&self, order: Order) -> Result<(), Error> {
        let ended = |_| Error::Unavailable("the writer of the log has ended".to_owned());
        self.0.send(order).await.map_err(ended)
    }
}

impl Running {
    /// Waits for what was ordered. Every [`Orders`] must be gone, or soon be.
    pub(crate) async fn ended(self) {
        match self {
            Self::Task(task) => drop(task.await),
            Self::Thread(thread) => {
                drop(tokio::task::spawn_blocking(move || thread.join()).await);
            }
        }
    }
}

struct Writer {
    disk: Arc<Disk>,
    /// Changes that nobody waits for.
    postponed: Vec<Change>,
    /// After a failed sync nobody knows what is on the disk, so nothing is written any more.
    broken: Option<String>,
}

impl Writer {
    fn group(&mut self, first: Order, queue: &mut mpsc::Receiver<Order>) {
        let mut orders = vec![first];
        while orders.len() < GROUP_MAX
            && let Ok(order) = queue.try_recv()
        {
            orders.push(order);
        }
        let mut waiters = Vec::new();
        for Order { change, waiter } in orders {
            self.postponed.push(change);
            if !matches!(waiter, Waiter::Nobody) {
                waiters.push(waiter);
            }
        }
        if waiters.is_empty() && self.postponed.len() < GROUP_MAX {
            return;
        }
        let written = self.write();
        for waiter in waiters {
            match waiter {
                Waiter::Nobody => {}
                Waiter::Raft(flushed) => {
                    flushed.log_io_completed(written.clone().map_err(io::Error::other));
                }
                Waiter::Caller(answer) => drop(answer.send(written.clone())),
            }
        }
    }

    fn write(&mut self) -> Result<(), String> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let changes = std::mem::take(&mut self.postponed);
        let appends = changes.iter().any(|c| matches!(c, Change::Append(_)));
        if appends {
            fail::fail_point!(crate::failpoints::BEFORE_APPEND);
        }
        let written = self.disk.write(&changes).map_err(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            let text = format!("{error}: {}", source.unwrap_or_default());
            tracing::error!(
                error = text,
                "the log of the catalog can't be written any more"
            );
            text
        });
        self.broken = written.clone().err();
        if appends {
            fail::fail_point!(crate::failpoints::AFTER_APPEND);
        }
        written
    }

    fn finish(&mut self) {
        if !self.postponed.is_empty() {
            drop(self.write());
        }
    }
}
