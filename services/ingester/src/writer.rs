//! The one task that decides the order: it drops repeats, appends to the log, makes rows readable
//! and answers, in this order.
//!
//! Being one task that does one thing at a time is what makes the tail a gapless prefix of the log
//! at every moment. Owns the log and the window of repeats; decoding happens before, blocks after.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use cairn_block::Lsn;
use cairn_chassis::{Clock, Context};
use cairn_wal as wal;
use cairn_wal::{DurableLog, Payload};
use tokio::sync::{mpsc, oneshot};

use crate::admission::Permit;
use crate::dedup::Window;
use crate::error::Error;
use crate::metrics::{Metrics, gauge};
use crate::prepare::{Item, Ready};
use crate::tail::Tail;

/// Pushes and orders that wait for the task; the memory of pushes is bounded by admission.
const QUEUE_MAX: usize = 1024;
/// Pushes that share one append, at most.
const GROUP_MAX: usize = wal::ENTRIES_MAX;

/// A handle on the task. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    orders: mpsc::Sender<Order>,
    clock: Clock,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) profiles: usize,
    pub(crate) samples: usize,
    /// Profiles that were stored before.
    pub(crate) repeats: usize,
    /// Of those that were not, as the log keeps them; 0 if another ingester stored them.
    pub(crate) bytes: usize,
}

/// What the task works with.
pub(crate) struct Parts {
    pub(crate) log: Box<dyn DurableLog>,
    pub(crate) window: Window,
    pub(crate) tail: Arc<Tail>,
    pub(crate) grouping: Grouping,
    pub(crate) cx: Context,
    pub(crate) metrics: Metrics,
}

/// Which pushes share one append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grouping {
    /// A group is closed when it is at least this large.
    pub(crate) bytes_max: u64,
    /// How long the first of a group waits for company.
    pub(crate) delay: Duration,
}

#[derive(Debug)]
enum Order {
    Store(Queued),
    Rotate(oneshot::Sender<bool>),
    Truncate(Lsn),
    Note(Vec<u128>, oneshot::Sender<()>),
    Tell(oneshot::Sender<Vec<u128>>),
    Stop,
}

#[derive(Debug)]
struct Queued {
    ready: Ready,
    arrived: Instant,
    _permit: Permit,
    answer: oneshot::Sender<Result<Stored, Error>>,
    stored: Stored,
    noted: Vec<u128>,
}

impl Writer {
    /// A writer, and the task that does its work.
    pub(crate) fn new(parts: Parts) -> (Self, Task) {
        let (orders, queue) = mpsc::channel(QUEUE_MAX);
        let clock = parts.cx.clock();
        (Self { orders, clock }, Task { parts, queue })
    }

    /// Returns when the profiles are durable and readable.
    pub(crate) async fn store(&self, ready: Ready, permit: Permit) -> Result<Stored, Error> {
        let (answer, answered) = oneshot::channel();
        let order = Order::Store(Queued {
            ready,
            arrived: self.clock.instant(),
            _permit: permit,
            answer,
            stored: Stored::default(),
            noted: Vec::new(),
        });
        self.orders.send(order).await.map_err(|_| Error::Stopping)?;
        answered.await.unwrap_or(Err(Error::Stopping))
    }

    /// Gives how many orders wait, of which most are pushes, as often as it is called.
    pub(crate) fn queued(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let orders = self.orders.downgrade();
        move || {
            let orders = orders.upgrade();
            orders.map_or(0, |orders| orders.max_capacity() - orders.capacity())
        }
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

    /// Tells of profiles that others have stored: they are repeats from now on.
    pub(crate) async fn note(&self, hashes: Vec<u128>) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        let sent = self.orders.send(Order::Note(hashes, answer)).await;
        sent.map_err(|_| Error::Stopping)?;
        answered.await.map_err(|_| Error::Stopping)
    }

    /// What is a repeat at this moment.
    pub(crate) async fn stored_lately(&self) -> Result<Vec<u128>, Error> {
        let (answer, answered) = oneshot::channel();
        let sent = self.orders.send(Order::Tell(answer)).await;
        sent.map_err(|_| Error::Stopping)?;
        answered.await.map_err(|_| Error::Stopping)
    }

    /// Ends the task once everything before is done.
    pub(crate) async fn stop(&self) {
        drop(self.orders.send(Order::Stop).await);
    }
}

/// What [`Writer`] hands its orders to.
pub(crate) struct Task {
    parts: Parts,
    queue: mpsc::Receiver<Order>,
}

impl Task {
    /// Works until [`Writer::stop`], or until the last handle is gone. Fails if another may write
    /// in this one's place: then nothing may be acknowledged any more, and the process has to end.
    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        let worked = self.work().await;
        self.parts.log.close().await;
        worked
    }

    async fn work(&mut self) -> anyhow::Result<()> {
        let mut next = self.queue.recv().await;
        while let Some(order) = next.take() {
            let mut then = None;
            match order {
                Order::Store(first) => then = self.group(first).await?,
                Order::Rotate(answer) => drop(answer.send(self.parts.tail.rotate())),
                Order::Truncate(flushed) => self.truncate(flushed),
                Order::Tell(answer) => {
                    let hashes = self.parts.window.hashes();
                    // Who asked may have gone.
                    let _ = answer.send(hashes.collect());
                }
                Order::Note(hashes, answer) => {
                    let now = self.parts.cx.clock().now();
                    for hash in hashes {
                        self.parts.window.insert(hash, now);
                    }
                    // Who asked may have gone.
                    let _ = answer.send(());
                }
                Order::Stop => return Ok(()),
            }
            next = match then {
                Some(order) => Some(order),
                None => self.queue.recv().await,
            };
        }
        Ok(())
    }

    /// Commits `first` and what comes while it waits, up to the next other order, which it returns.
    async fn group(&mut self, first: Queued) -> anyhow::Result<Option<Order>> {
        let Grouping { bytes_max, delay } = self.parts.grouping;
        let clock = self.parts.cx.clock();
        // What arrived during the last append has waited already.
        let waited = clock.instant().saturating_duration_since(first.arrived);
        let patience = async move {
            // A timer may take a millisecond to find that no time is left.
            match delay.saturating_sub(waited) {
                Duration::ZERO => {}
                left => clock.sleep(left).await,
            }
        };
        tokio::pin!(patience);
        let mut bytes = first.bytes();
        let mut group = vec![first];
        let mut then = None;
        while bytes < bytes_max && group.len() < GROUP_MAX {
            // What is there already comes along without waiting.
            let order = tokio::select! {
                biased;
                order = self.queue.recv() => order,
                () = &mut patience => break,
            };
            match order {
                Some(Order::Store(queued)) => {
                    bytes += queued.bytes();
                    group.push(queued);
                }
                other => {
                    then = other;
                    break;
                }
            }
        }
        self.commit(group).await?;
        Ok(then)
    }

    async fn commit(&mut self, mut group: Vec<Queued>) -> anyhow::Result<()> {
        let clock = self.parts.cx.clock();
        let (now, start) = (clock.now(), clock.instant());
        let window = &mut self.parts.window;
        group
            .iter_mut()
            .for_each(|queued| queued.drop_repeats(window, now));
        let fresh = group
            .iter_mut()
            .filter(|queued| !queued.ready.items.is_empty());
        let payloads: Vec<Payload> = fresh.map(|queued| queued.ready.take_payload()).collect();
        let bytes: usize = payloads.iter().map(|payload| payload.bytes.len()).sum();
        let entries = payloads.len() as Lsn;
        #[cfg(feature = "failpoints")]
        points::acknowledge_early(&mut group);
        let appended = match payloads.is_empty() {
            true => Ok(0),
            false => self.parts.log.append(payloads, now).await,
        };
        match appended {
            Ok(first) => {
                let metrics = &self.parts.metrics;
                metrics.log_bytes.inc_by(bytes as u64);
                metrics.log_commit_pushes.observe(group.len() as f64);
                if entries > 0 {
                    metrics.log_lsn.set(gauge(first + entries - 1));
                }
                let took = clock.instant().duration_since(start);
                metrics.log_commit_seconds.observe(took.as_secs_f64());
                let (tail, metrics) = (Arc::clone(&self.parts.tail), metrics.clone());
                let publish = move || publish(group, first, &tail, &metrics);
                self.parts.cx.compute(publish).await;
                Ok(())
            }
            Err(error) => {
                self.fail(group, &error);
                match error.is_fatal() {
                    true => Err(error).context("append to the log"),
                    false => Ok(()),
                }
            }
        }
    }

    /// Nothing of the group is stored. Pushes of repeats fail too: the first of their kind may be
    /// in this very group.
    fn fail(&mut self, group: Vec<Queued>, error: &wal::Error) {
        let Parts {
            window,
            cx,
            metrics,
            ..
        } = &mut self.parts;
        metrics.log_failures.inc();
        tracing::error!(
            error = text(error),
            "the log did not take a group of pushes"
        );
        if error.is_final() {
            cx.ready().hold(text(error));
        }
        for queued in group {
            queued.noted.iter().for_each(|hash| window.remove(*hash));
            drop(queued.answer.send(Err(error.into())));
        }
    }

    /// Beside what comes next: deleting may take a while.
    fn truncate(&mut self, flushed: Lsn) {
        let Parts {
            log, window, cx, ..
        } = &mut self.parts;
        let truncated = log.truncate(flushed, window.start(cx.clock().now()));
        cx.spawn("truncate", async move {
            if let Err(error) = truncated.await {
                tracing::warn!(error = text(&error), "old parts of the log stay for now");
            }
        });
    }
}

/// Makes durable rows readable, then says so.
fn publish(group: Vec<Queued>, first: Lsn, tail: &Tail, metrics: &Metrics) {
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
            tail.apply(lsn, &ready.tenant, rows);
            lsn += 1;
        }
        metrics.repeated_profiles.inc_by(stored.repeats as u64);
        // Who asked may have gone; the push is stored all the same.
        drop(answer.send(Ok(stored)));
    }
}

fn text(error: &wal::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

impl Queued {
    fn bytes(&self) -> u64 {
        let Ready { tables, items, .. } = &self.ready;
        let tables = tables.iter().map(|tables| tables.len() as u64);
        let bytes = |item: &Item| {
            let labels = item.logged.labels.iter();
            let labels: usize = labels
                .map(|label| label.name.len() + label.value.len())
                .sum();
            (item.logged.profile.len() + labels) as u64
        };
        tables.chain(items.iter().map(bytes)).sum()
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
        let samples = |item: &Item| item.row.profile.samples.len();
        let bytes = |item: &Item| item.logged.profile.len();
        let tables: usize = match self.ready.items.is_empty() {
            true => 0,
            false => self.ready.tables.iter().map(Bytes::len).sum(),
        };
        self.stored = Stored {
            profiles: self.ready.items.len(),
            samples: self.ready.items.iter().map(samples).sum(),
            repeats: before - self.ready.items.len(),
            bytes: tables + self.ready.items.iter().map(bytes).sum::<usize>(),
        };
    }
}

/// Bugs that a test puts in, to see that it finds them.
#[cfg(feature = "failpoints")]
mod points {
    use super::{Queued, oneshot};

    /// Answers that everything is stored before the log has it.
    pub(super) fn acknowledge_early(group: &mut [Queued]) {
        if crate::points::has_bug(crate::ACKNOWLEDGE_EARLY) {
            for queued in group {
                let answer = std::mem::replace(&mut queued.answer, oneshot::channel().0);
                drop(answer.send(Ok(queued.stored)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
