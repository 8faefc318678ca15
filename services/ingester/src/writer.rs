//! The one thread that decides the order: it drops repeats, appends to the log, makes rows readable
//! and answers, in this order.
//!
//! Being one thread is what makes the tail a gapless prefix of the log at every moment. Owns the
//! log and the window of repeats; decoding happens before, blocks after.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use cairn_block::Lsn;
use cairn_chassis::{Clock, Readiness};
use tokio::sync::{mpsc, oneshot};

use crate::admission::Permit;
use crate::config::LogConfig;
use crate::dedup::Window;
use crate::entry;
use crate::error::Error;
use crate::log::{self, DurableLog};
use crate::metrics::Metrics;
use crate::prepare::Ready;
use crate::tail::Tail;

/// Pushes and orders that wait for the thread; the memory of pushes is bounded by admission.
const QUEUE_MAX: usize = 1024;

/// A handle on the thread. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    orders: mpsc::Sender<Order>,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) profiles: usize,
    pub(crate) samples: usize,
    /// Profiles that were stored before.
    pub(crate) repeats: usize,
}

/// What the thread works with.
pub(crate) struct Parts {
    pub(crate) log: Box<dyn DurableLog>,
    pub(crate) window: Window,
    pub(crate) tail: Arc<Tail>,
    pub(crate) config: LogConfig,
    pub(crate) clock: Clock,
    pub(crate) ready: Readiness,
    pub(crate) metrics: Metrics,
}

#[derive(Debug)]
enum Order {
    Store(Queued),
    Rotate(oneshot::Sender<bool>),
    Truncate(Lsn),
    Stop,
}

#[derive(Debug)]
struct Queued {
    ready: Ready,
    _permit: Permit,
    answer: oneshot::Sender<Result<Stored, Error>>,
    stored: Stored,
    noted: Vec<u128>,
}

impl Writer {
    /// Starts the thread. It ends after [`Writer::stop`], or when the last handle is gone.
    pub(crate) fn start(parts: Parts) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (orders, queue) = mpsc::channel(QUEUE_MAX);
        let thread = Thread { parts, queue };
        let handle = std::thread::Builder::new()
            .name("ingester-log".to_owned())
            .spawn(move || thread.run())?;
        Ok((Self { orders }, handle))
    }

    /// Returns when the profiles are durable and readable.
    pub(crate) async fn store(&self, ready: Ready, permit: Permit) -> Result<Stored, Error> {
        let (answer, answered) = oneshot::channel();
        let order = Order::Store(Queued {
            ready,
            _permit: permit,
            answer,
            stored: Stored::default(),
            noted: Vec::new(),
        });
        self.orders.send(order).await.map_err(|_| Error::Stopping)?;
        answered.await.unwrap_or(Err(Error::Stopping))
    }

    /// Closes the part of the tail that is being filled; false if there is nothing in it.
    pub(crate) async fn rotate(&self) -> Result<bool, Error> {
        let (answer, answered) = oneshot::channel();
        let sent = self.orders.send(Order::Rotate(answer)).await;
        sent.map_err(|_| Error::Stopping)?;
        answered.await.map_err(|_| Error::Stopping)
    }

    /// Lets the log forget what is in blocks.
    pub(crate) async fn truncate(&self, flushed: Lsn) {
        // A writer that has stopped keeps its log for the next start.
        drop(self.orders.send(Order::Truncate(flushed)).await);
    }

    /// Ends the thread once everything before is done.
    pub(crate) async fn stop(&self) {
        drop(self.orders.send(Order::Stop).await);
    }
}

struct Thread {
    parts: Parts,
    queue: mpsc::Receiver<Order>,
}

impl Thread {
    fn run(mut self) {
        let mut next = self.queue.blocking_recv();
        while let Some(order) = next.take() {
            let mut then = None;
            match order {
                Order::Store(first) => then = self.group(first),
                Order::Rotate(answer) => drop(answer.send(self.parts.tail.rotate())),
                Order::Truncate(flushed) => self.truncate(flushed),
                Order::Stop => return,
            }
            next = then.or_else(|| self.queue.blocking_recv());
        }
    }

    /// Commits `first` and what waits behind it, up to the next other order, which it returns.
    fn group(&mut self, first: Queued) -> Option<Order> {
        let LogConfig {
            batch_bytes_max,
            commit_delay,
            ..
        } = self.parts.config;
        if commit_delay > Duration::ZERO {
            std::thread::sleep(commit_delay);
        }
        let mut bytes = first.bytes();
        let mut group = vec![first];
        let mut then = None;
        while bytes < batch_bytes_max.as_u64() {
            match self.queue.try_recv() {
                Ok(Order::Store(queued)) => {
                    bytes += queued.bytes();
                    group.push(queued);
                }
                Ok(order) => {
                    then = Some(order);
                    break;
                }
                Err(_) => break,
            }
        }
        self.commit(group);
        then
    }

    fn commit(&mut self, mut group: Vec<Queued>) {
        let Parts {
            log,
            window,
            clock,
            metrics,
            ..
        } = &mut self.parts;
        let (now, start) = (clock.now(), clock.instant());
        group
            .iter_mut()
            .for_each(|queued| queued.drop_repeats(window, now));
        let fresh = group.iter().filter(|queued| !queued.ready.items.is_empty());
        let payloads: Vec<Vec<u8>> = fresh.map(|queued| entry::encode(&queued.ready)).collect();
        let appended = match payloads.is_empty() {
            true => Ok(0),
            false => log.append(&payloads, now),
        };
        match appended {
            Ok(first) => {
                let bytes: usize = payloads.iter().map(Vec::len).sum();
                metrics.log_bytes.inc_by(bytes as u64);
                metrics.log_commit_pushes.observe(group.len() as f64);
                let took = clock.instant().duration_since(start);
                metrics.log_commit_seconds.observe(took.as_secs_f64());
                self.publish(group, first);
            }
            Err(error) => self.fail(group, &error),
        }
    }

    /// Makes durable rows readable, then says so.
    fn publish(&self, group: Vec<Queued>, first: Lsn) {
        let mut lsn = first;
        for queued in group {
            let Queued {
                ready,
                answer,
                stored,
                _permit,
                ..
            } = queued;
            if !ready.items.is_empty() {
                let rows = ready.items.into_iter().map(|item| item.row).collect();
                self.parts.tail.apply(lsn, &ready.tenant, rows);
                lsn += 1;
            }
            self.parts
                .metrics
                .repeated_profiles
                .inc_by(stored.repeats as u64);
            // Who asked may have gone; the push is stored all the same.
            drop(answer.send(Ok(stored)));
        }
    }

    /// Nothing of the group is stored. Pushes of repeats fail too: the first of their kind may be
    /// in this very group.
    fn fail(&mut self, group: Vec<Queued>, error: &log::Error) {
        let Parts {
            window,
            ready,
            metrics,
            ..
        } = &mut self.parts;
        metrics.log_failures.inc();
        tracing::error!(
            error = text(error),
            "the log did not take a group of pushes"
        );
        if matches!(error, log::Error::Poisoned(_)) {
            ready.hold(text(error));
        }
        for queued in group {
            queued.noted.iter().for_each(|hash| window.remove(*hash));
            drop(queued.answer.send(Err(error.into())));
        }
    }

    fn truncate(&mut self, flushed: Lsn) {
        let Parts {
            log, window, clock, ..
        } = &mut self.parts;
        if let Err(error) = log.truncate(flushed, window.start(clock.now())) {
            tracing::warn!(error = text(&error), "old parts of the log stay for now");
        }
    }
}

fn text(error: &log::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

impl Queued {
    fn bytes(&self) -> u64 {
        let items = self.ready.items.iter();
        items.map(|item| item.logged.profile.len() as u64).sum()
    }

    fn drop_repeats(&mut self, window: &mut Window, now: i64) {
        let before = self.ready.items.len();
        let noted = &mut self.noted;
        self.ready.items.retain(|item| {
            let new = window.insert(item.row.batch, now);
            if new {
                noted.push(item.row.batch);
            }
            new
        });
        let samples = |item: &crate::prepare::Item| item.row.profile.samples.len();
        self.stored = Stored {
            profiles: self.ready.items.len(),
            samples: self.ready.items.iter().map(samples).sum(),
            repeats: before - self.ready.items.len(),
        };
    }
}

#[cfg(test)]
mod tests;
