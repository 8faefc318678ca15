//! Acknowledged means stored: the process is killed at random moments under load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cairn_model::TimeRange;
use cairn_testkit::generator::Rng;
use cairn_testkit::ledger::{self, Attempt, Ledger, Outcome};
use parking_lot::Mutex;

use crate::cairn::Cairn;

const KILLS: u64 = 50;
const PUSHERS: usize = 4;
/// Blocks are written and merged all the time, so that kills fall into every step.
const SETTINGS: [(&str, &str); 4] = [
    ("CAIRN__INGESTER__TAIL__FLUSH_INTERVAL", "150ms"),
    ("CAIRN__COMPACTOR__POLL_INTERVAL", "200ms"),
    ("CAIRN__COMPACTOR__DELETION_DELAY", "1s"),
    ("CAIRN__SELF_PROFILE__ENABLED", "false"),
];
pub(crate) const LABELS: [(&str, &str); 2] = [("__name__", "crash"), ("service_name", "crash")];
const TIME: i64 = 1_700_000_000_000_000_000;

pub(crate) fn profile(attempt: Attempt) -> Vec<u8> {
    cairn_pprof::encode(&ledger::profile(attempt, TIME + attempt.cast_signed()))
}

async fn push_until_gone(client: crate::cairn::Client, ledger: Arc<Mutex<Ledger>>) {
    loop {
        let attempt = ledger.lock().begin();
        match client.push(profile(attempt), &LABELS).await {
            Ok(()) => ledger.lock().set(attempt, Outcome::Acknowledged),
            Err(_) => return,
        }
    }
}

/// What is stored: attempt -> value.
pub(crate) async fn stored(cairn: &Cairn) -> BTreeMap<Attempt, i64> {
    let range = TimeRange {
        start: TIME,
        end: TIME + 1_000_000_000_000,
    };
    let merged = cairn
        .connect()
        .await
        .merged("crash:cpu:count:cpu:count:delta{}", range)
        .await;
    let (answer, warnings) = match merged {
        Ok(answer) => answer,
        Err(status) if status.code() == tonic::Code::NotFound => return BTreeMap::new(),
        Err(status) => panic!("{status}\n{}", cairn.output()),
    };
    assert!(warnings.is_empty(), "{warnings:?}");
    ledger::found(&answer)
}

fn check(ledger: &Ledger, stored: &BTreeMap<Attempt, i64>, kill: u64) {
    let violations = ledger.check(stored);
    let violations: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(
        violations.is_empty(),
        "kill {kill}: {}",
        violations.join("; ")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_lose_nothing_acknowledged() {
    let data = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let mut rng = Rng::new(7);
    for kill in 0..KILLS {
        let cairn = Cairn::start(data.path(), &SETTINGS);
        let found = stored(&cairn).await;
        check(&ledger.lock(), &found, kill);
        let mut pushers = tokio::task::JoinSet::new();
        for _ in 0..PUSHERS {
            pushers.spawn(push_until_gone(cairn.connect().await, Arc::clone(&ledger)));
        }
        tokio::time::sleep(Duration::from_millis(20 + rng.below(400))).await;
        cairn.kill();
        pushers.join_all().await;
    }
    let cairn = Cairn::start(data.path(), &SETTINGS);
    let ledger = ledger.lock().clone();
    let acknowledged = ledger.count(Outcome::Acknowledged);
    assert!(
        acknowledged > 500,
        "only {acknowledged} profiles were acknowledged: the load is too small to prove anything"
    );
    check(&ledger, &stored(&cairn).await, KILLS);
    println!(
        "{KILLS} kills, {acknowledged} of {} profiles acknowledged, none lost, none twice",
        ledger.attempts()
    );
    cairn.stop();
}
