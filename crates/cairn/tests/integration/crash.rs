//! Acknowledged means stored: the process is killed at random moments under load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cairn_model::{Function, Line, Location, NONE, Profile, TimeRange, ValueType};
use cairn_testkit::generator::Rng;
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

/// One sample in the function `f<number>` whose value tells the number as well.
pub(crate) fn profile(number: u64) -> Vec<u8> {
    let mut profile = Profile {
        time: TIME + number as i64,
        duration: 1,
        period: 1,
        ..Profile::default()
    };
    let kind = profile.strings.push("cpu");
    let unit = profile.strings.push("count");
    let name = profile.strings.push(&format!("f{number}"));
    profile.types.push(ValueType { kind, unit });
    profile.period_type = ValueType { kind, unit };
    profile.functions.push(Function {
        name,
        ..Function::default()
    });
    profile.lines.push(Line {
        function: 0,
        line: 0,
        column: 0,
    });
    profile.locations.push(Location {
        mapping: NONE,
        address: 0,
        lines: (0, 1),
    });
    profile.samples.stacks.push(0);
    profile.samples.stack_ends.push(1);
    profile.samples.values.push(value(number));
    cairn_pprof::encode(&profile)
}

fn value(number: u64) -> i64 {
    number as i64 % 1000 + 1
}

#[derive(Default)]
struct Ledger {
    next: AtomicU64,
    /// Number -> acknowledged.
    sent: Mutex<BTreeMap<u64, bool>>,
}

async fn push_until_gone(client: crate::cairn::Client, ledger: Arc<Ledger>) {
    loop {
        let number = ledger.next.fetch_add(1, Ordering::Relaxed);
        ledger.sent.lock().insert(number, false);
        match client.push(profile(number), &LABELS).await {
            Ok(()) => ledger.sent.lock().insert(number, true),
            Err(_) => return,
        };
    }
}

/// What is stored: function number -> value.
pub(crate) async fn stored(cairn: &Cairn) -> BTreeMap<u64, i64> {
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
    let mut found = BTreeMap::new();
    for sample in 0..answer.samples.len() {
        let line = answer.lines(answer.samples.stack(sample)[0])[0];
        let name = answer.str(answer.functions[line.function as usize].name);
        *found.entry(name[1..].parse().unwrap()).or_default() += answer.values(sample)[0];
    }
    found
}

fn check(sent: &BTreeMap<u64, bool>, stored: &BTreeMap<u64, i64>, kill: u64) {
    for (number, acknowledged) in sent {
        match stored.get(number) {
            Some(found) => assert_eq!(
                *found,
                value(*number),
                "kill {kill}: profile {number} is not there once"
            ),
            None => assert!(
                !acknowledged,
                "kill {kill}: profile {number} was acknowledged and is lost"
            ),
        }
    }
    for number in stored.keys() {
        assert!(
            sent.contains_key(number),
            "kill {kill}: profile {number} was never sent"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_lose_nothing_acknowledged() {
    let data = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Ledger::default());
    let mut rng = Rng::new(7);
    for kill in 0..KILLS {
        let cairn = Cairn::start(data.path(), &SETTINGS);
        let found = stored(&cairn).await;
        check(&ledger.sent.lock(), &found, kill);
        let mut pushers = tokio::task::JoinSet::new();
        for _ in 0..PUSHERS {
            pushers.spawn(push_until_gone(cairn.connect().await, Arc::clone(&ledger)));
        }
        tokio::time::sleep(Duration::from_millis(20 + rng.below(400))).await;
        cairn.kill();
        pushers.join_all().await;
    }
    let cairn = Cairn::start(data.path(), &SETTINGS);
    let sent = ledger.sent.lock().clone();
    let acknowledged = sent.values().filter(|acknowledged| **acknowledged).count();
    assert!(
        acknowledged > 500,
        "only {acknowledged} profiles were acknowledged: the load is too small to prove anything"
    );
    check(&sent, &stored(&cairn).await, KILLS);
    println!(
        "{KILLS} kills, {acknowledged} of {} profiles acknowledged, none lost, none twice",
        sent.len()
    );
    cairn.stop();
}
