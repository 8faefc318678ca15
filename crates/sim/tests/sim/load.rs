//! Clients that never stop: pushes to any ingester, questions to any querier, and what became of
//! each. Owns the ledger and judges every answer; which faults happen meanwhile is others'.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use cairn_catalog::Client;
use cairn_chassis::Context;
use cairn_model::TenantId;
use cairn_testkit::ledger::{self, Attempt, Ledger, Outcome};
use tokio::time::{sleep, timeout};

use crate::client::{self, Answer};
use crate::cluster::{CLIENTS, Cluster, INGESTERS, QUERIERS};
use crate::trace::note;

/// Between two pushes of one client.
const PAUSE: Duration = Duration::from_millis(150);
/// Between two questions.
const QUESTION_PAUSE: Duration = Duration::from_millis(700);
/// A request that takes longer has failed for whoever asked.
const PATIENCE: Duration = Duration::from_secs(5);
/// Services whose profiles are pushed, each with an owner of its own.
const SERVICES: u64 = 16;
/// How often a push without an answer is tried again, at most.
const REPEATS_MAX: u64 = 6;
/// One in so many acknowledgements is lost on the last piece of its way.
const UNSEEN: u64 = 16;
/// Complete answers that every querier must give in the end.
const FINAL_ANSWERS: usize = 3;

/// What clients know and want.
#[derive(Default)]
pub(crate) struct Load {
    ledger: RefCell<Ledger>,
    seen: RefCell<Seen>,
    stage: RefCell<Stage>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    #[default]
    Pushing,
    /// No more pushes; every querier must soon give complete answers.
    Settling,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) complete_answers: usize,
    pub(crate) partial_answers: usize,
    pub(crate) failed_questions: usize,
    /// What contradicts the ledger.
    pub(crate) violations: Vec<String>,
    /// What the last incomplete answer said.
    pub(crate) incomplete: String,
    /// Per service, when a push of it was last acknowledged, or first tried.
    acknowledged: BTreeMap<String, Duration>,
    /// The longest time from such a moment to the next one of the service, or to the end.
    pub(crate) longest_outage: Duration,
}

impl Seen {
    fn tried(&mut self, service: &str) {
        let now = turmoil::sim_elapsed().unwrap_or_default();
        self.acknowledged.entry(service.to_owned()).or_insert(now);
    }

    fn acknowledged(&mut self, service: &str) {
        let now = turmoil::sim_elapsed().unwrap_or_default();
        let before = self.acknowledged.insert(service.to_owned(), now);
        self.outage(now, before.unwrap_or(now));
    }

    /// Nothing is pushed any more.
    fn ended(&mut self, now: Duration) {
        let open: Vec<Duration> = self.acknowledged.values().copied().collect();
        open.into_iter().for_each(|since| self.outage(now, since));
    }

    fn outage(&mut self, now: Duration, since: Duration) {
        self.longest_outage = self.longest_outage.max(now.saturating_sub(since));
    }
}

impl Load {
    /// No more pushes, from this moment on.
    pub(crate) fn settle_down(&self, now: Duration) {
        *self.stage.borrow_mut() = Stage::Settling;
        self.seen.borrow_mut().ended(now);
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    pub(crate) fn count(&self, outcome: Outcome) -> usize {
        self.ledger.borrow().count(outcome)
    }

    pub(crate) fn attempts(&self) -> usize {
        self.ledger.borrow().attempts()
    }

    /// One client: pushes and asks by turns, until every answer is right in the end.
    pub(crate) async fn run(
        self: Rc<Self>,
        cluster: Rc<Cluster>,
        client: usize,
    ) -> turmoil::Result {
        let (_process, cx) = cluster.client(CLIENTS[client]).await?;
        tokio::join!(self.push(&cx, client), self.ask(&cx, client));
        let stored = self.settle(&cx).await;
        self.drain(&cluster.catalog(&cx), stored).await;
        let merged = self.settle(&cx).await;
        if merged != stored {
            let wrong = format!("{stored} profiles were stored, {merged} after all was merged");
            self.seen.borrow_mut().violations.push(wrong);
        }
        note(&format!("{} is done", CLIENTS[client]));
        Ok(())
    }

    fn pushing(&self) -> bool {
        *self.stage.borrow() == Stage::Pushing
    }

    /// A new profile each time, or the last one again if its sender does not know what became of it,
    /// as agents do; then to the next ingester.
    async fn push(&self, cx: &Context, client: usize) {
        let mut at = client;
        while self.pushing() {
            let attempt = self.ledger.borrow_mut().begin();
            let service = format!("service-{}", cx.random().u64() % SERVICES);
            for _ in 0..=cx.random().u64() % (REPEATS_MAX + 1) {
                let ingester = INGESTERS[at % INGESTERS.len()];
                let outcome = self.push_to(cx, ingester, (&service, attempt)).await;
                sleep(PAUSE).await;
                let is_seen = !cx.random().u64().is_multiple_of(UNSEEN);
                if outcome == Outcome::Acknowledged && is_seen {
                    break;
                }
                at += 1;
            }
        }
    }

    async fn push_to(&self, cx: &Context, ingester: &str, of: (&str, Attempt)) -> Outcome {
        let (service, attempt) = of;
        self.seen.borrow_mut().tried(service);
        let pushed = timeout(PATIENCE, client::push(cx, ingester, service, attempt)).await;
        let (outcome, said) = match pushed {
            Ok(Ok(())) => (Outcome::Acknowledged, "stored".to_owned()),
            // Even a refusal may come from behind a store that took it. Headers hold dates.
            Ok(Err(status)) => (
                Outcome::Unknown,
                format!("{:?}: {}", status.code(), status.message()),
            ),
            Err(_) => (Outcome::Unknown, "no answer in time".to_owned()),
        };
        note(&format!(
            "push {attempt} of {service} to {ingester}: {said}"
        ));
        if outcome == Outcome::Acknowledged {
            self.seen.borrow_mut().acknowledged(service);
        }
        self.ledger.borrow_mut().set(attempt, outcome);
        outcome
    }

    /// Asks for everything, over and over.
    async fn ask(&self, cx: &Context, client: usize) {
        let mut at = client;
        while self.pushing() {
            let querier = QUERIERS[at % QUERIERS.len()];
            if self.question(cx, querier).await.is_none() {
                at += 1;
            }
            sleep(QUESTION_PAUSE).await;
        }
    }

    /// Every querier, until it answers completely a few times. Returns how many profiles there are.
    async fn settle(&self, cx: &Context) -> usize {
        let mut stored = 0;
        for querier in QUERIERS {
            let mut complete = 0;
            while complete < FINAL_ANSWERS {
                if let Some(found) = self.question(cx, querier).await {
                    complete += 1;
                    stored = found;
                }
                sleep(QUESTION_PAUSE).await;
            }
        }
        stored
    }

    /// Until every profile is in a merged block, once, and the logs of all that died are recovered.
    async fn drain(&self, catalog: &Client, stored: usize) {
        let tenant = TenantId::anonymous();
        loop {
            match catalog.snapshot(&tenant).await {
                Ok(snapshot) => {
                    let in_blocks: u64 = snapshot.blocks.iter().map(|block| block.profiles).sum();
                    let sealed = snapshot.sealed.len();
                    let new = snapshot.blocks.iter().filter(|block| block.level == 0);
                    let new = new.count();
                    let left = format!(
                        "{in_blocks} of {stored} profiles are in blocks, {new} blocks to merge, \
                         {sealed} logs to recover"
                    );
                    note(&left);
                    if sealed == 0 && new == 0 && in_blocks == stored as u64 {
                        return;
                    }
                    self.seen.borrow_mut().incomplete = left;
                }
                Err(error) => self.seen.borrow_mut().incomplete = error.to_string(),
            }
            sleep(QUESTION_PAUSE).await;
        }
    }

    /// How many profiles a complete answer holds. Every answer is held against what was
    /// acknowledged before it was asked for.
    async fn question(&self, cx: &Context, querier: &str) -> Option<usize> {
        let before = self.ledger.borrow().clone();
        let answer = timeout(PATIENCE, client::stored(cx, querier)).await;
        let mut seen = self.seen.borrow_mut();
        match answer {
            Ok(Ok(Answer { found, warnings })) if warnings.is_empty() => {
                seen.complete_answers += 1;
                let stored = found.len();
                note(&format!("{querier} knows {stored}"));
                let wrong = before.check(&found).into_iter();
                seen.violations
                    .extend(wrong.map(|wrong| format!("{querier}: {wrong}")));
                Some(stored)
            }
            Ok(Ok(Answer { found, warnings })) => {
                seen.partial_answers += 1;
                seen.incomplete = format!("{querier}: {}", warnings.join("; "));
                note(&format!(
                    "{querier} knows {} and warns: {warnings:?}",
                    found.len()
                ));
                let wrong = ledger::excess(&found, &warnings).into_iter();
                let texts = wrong.map(|wrong| format!("{querier}: {wrong}"));
                seen.violations.extend(texts);
                None
            }
            failed => {
                seen.failed_questions += 1;
                let text = match failed {
                    Ok(Err(error)) => format!("{error:#}"),
                    Ok(Ok(_)) | Err(_) => "no answer in time".to_owned(),
                };
                note(&format!("{querier} fails: {text}"));
                seen.incomplete = format!("{querier}: {text}");
                None
            }
        }
    }
}
