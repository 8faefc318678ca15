//! Clients that never stop: pushes to any ingester, questions to any querier, and what became of
//! each. Owns the ledger and the times without an answer; which faults happen meanwhile is others'.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cairn_testkit::ledger::{self, Ledger, Outcome};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::client::{Answer, Client};

/// Services that push, each from a task of its own.
const SERVICES: usize = 8;
/// Between two pushes of one service.
const PAUSE: Duration = Duration::from_millis(40);
/// Between two questions.
const QUESTION_PAUSE: Duration = Duration::from_millis(150);
/// How often a profile is sent again that was not acknowledged.
const REPEATS_MAX: usize = 8;
/// A request that takes longer has failed, as a real client would say.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the clients saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub attempts: usize,
    /// Requests that were not acknowledged; most profiles were when they were sent again.
    pub failed_pushes: usize,
    pub acknowledged: usize,
    pub unknown: usize,
    /// The longest time in which some service could push nothing.
    pub write_outage: Duration,
    /// The longest time in which no question was answered completely.
    pub read_outage: Duration,
    /// Answers that said that something was missing.
    pub partial_answers: usize,
    /// Answers that contradicted the ledger without saying so.
    pub wrong_answers: Vec<String>,
}

/// A running load.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    /// Profiles are stored under this name.
    name: String,
    writers: Vec<Client>,
    readers: Vec<Client>,
    ledger: Mutex<Ledger>,
    seen: Mutex<Seen>,
    stop: AtomicBool,
}

/// The time since something last went well.
struct Outage {
    well: Instant,
    longest: Duration,
}

impl Load {
    /// Starts pushing to `writers` and asking `readers`.
    pub fn start(name: &str, writers: Vec<Client>, readers: Vec<Client>) -> Self {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            writers,
            readers,
            ledger: Mutex::default(),
            seen: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let mut tasks = JoinSet::new();
        for service in 0..SERVICES {
            tasks.spawn(Arc::clone(&shared).push(service));
        }
        tasks.spawn(Arc::clone(&shared).ask());
        Self { shared, tasks }
    }

    /// Profiles that were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.shared.ledger.lock().count(Outcome::Acknowledged)
    }

    /// Waits until this many more profiles are acknowledged, by every service together.
    pub async fn flows(&self, more: usize, patience: Duration) -> anyhow::Result<()> {
        let wanted = self.acknowledged() + more;
        let flowing = async {
            while self.acknowledged() < wanted {
                tokio::time::sleep(PAUSE).await;
            }
        };
        let flowed = tokio::time::timeout(patience, flowing).await;
        flowed.map_err(|_| {
            let got = self.acknowledged();
            anyhow::anyhow!("{got} of {wanted} profiles were acknowledged within {patience:?}")
        })
    }

    /// Stops the clients and says what they saw.
    pub async fn stop(mut self) -> (Ledger, Seen) {
        self.shared.stop.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        let ledger = self.shared.ledger.lock().clone();
        let mut seen = self.shared.seen.lock().clone();
        seen.attempts = ledger.attempts();
        seen.acknowledged = ledger.count(Outcome::Acknowledged);
        seen.unknown = ledger.count(Outcome::Unknown);
        (ledger, seen)
    }
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// One service: a new profile each time, sent again to the next ingester after one that failed,
    /// as real clients do.
    async fn push(self: Arc<Self>, service: usize) {
        let mut outage = Outage::new();
        let mut at = service;
        let service = format!("service-{service}");
        while !self.stopped() {
            let attempt = self.ledger.lock().begin();
            for _ in 0..=REPEATS_MAX {
                let client = &self.writers[at % self.writers.len()];
                let pushed = client.push(&self.name, &service, attempt);
                if let Ok(Ok(())) = tokio::time::timeout(PATIENCE, pushed).await {
                    self.ledger.lock().set(attempt, Outcome::Acknowledged);
                    outage.well();
                    break;
                }
                // Even a refusal may come from behind a log that has it.
                at += 1;
                self.seen.lock().failed_pushes += 1;
                tokio::time::sleep(PAUSE).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
        let longest = outage.end();
        let mut seen = self.seen.lock();
        seen.write_outage = seen.write_outage.max(longest);
    }

    /// Asks for everything, over and over, and holds it against what was acknowledged before.
    async fn ask(self: Arc<Self>) {
        let mut outage = Outage::new();
        let mut at = 0;
        while !self.stopped() {
            let before = self.ledger.lock().clone();
            let client = &self.readers[at % self.readers.len()];
            let asked = client.stored(&self.name);
            match tokio::time::timeout(PATIENCE, asked).await {
                Ok(Ok(Answer { found, warnings })) if warnings.is_empty() => {
                    outage.well();
                    let wrong = before.check(&found);
                    let texts = wrong.iter().map(ToString::to_string);
                    self.seen.lock().wrong_answers.extend(texts);
                }
                Ok(Ok(Answer { found, warnings })) => {
                    let mut seen = self.seen.lock();
                    seen.partial_answers += 1;
                    let wrong = ledger::excess(&found, &warnings);
                    seen.wrong_answers
                        .extend(wrong.iter().map(ToString::to_string));
                    at += 1;
                }
                Ok(Err(_)) | Err(_) => at += 1,
            }
            tokio::time::sleep(QUESTION_PAUSE).await;
        }
        self.seen.lock().read_outage = outage.end();
    }
}

impl Outage {
    fn new() -> Self {
        Self {
            well: now(),
            longest: Duration::ZERO,
        }
    }

    fn well(&mut self) {
        let now = now();
        self.longest = self.longest.max(now - self.well);
        self.well = now;
    }

    fn end(mut self) -> Duration {
        self.well();
        self.longest
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "other programs run on the real clock"
)]
fn now() -> Instant {
    Instant::now()
}
