//! What goes wrong when, drawn from the seed before anything runs. Does nothing itself.

use std::time::Duration;

use cairn_store::faulty::{Faults, Link};
use cairn_testkit::generator::Rng;

use crate::cluster::{CLIENTS, INGESTERS, QUERIERS, SERVERS};

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) events: Vec<Event>,
    /// By how much each server's time of day is wrong at first, in nanoseconds: mostly not at all.
    pub(crate) skews: Vec<i64>,
    /// Nothing fails before everything is ready.
    pub(crate) begins_well: bool,
}

/// Something that begins, lasts and ends.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Both since the faults began.
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    pub(crate) fault: Fault,
}

#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The process dies at once and starts again at the end.
    Crash(&'static str),
    /// As when a power supply fails that several share.
    CrashOfAll(&'static [&'static str]),
    /// The time of day jumps; in nanoseconds. It stays so.
    Skew(&'static str, i64),
    /// Nothing gets from the first to the second.
    OneWay(&'static str, &'static str),
    Partition(&'static str, &'static str),
    /// Nobody reaches this host and it reaches nobody.
    Isolation(&'static str),
    /// What is sent between the two arrives at the end.
    Hold(&'static str, &'static str),
    /// Messages between the two take up to this long.
    Delay(&'static str, &'static str, Duration),
    /// Of a thousand messages, this many are lost with what is under way beside them.
    Loss(&'static str, &'static str, u16),
    Store(Faults),
    CutOff(&'static str, Link),
}

/// How long faults go on.
pub(crate) const FAULTY: Duration = Duration::from_secs(30);
const EVENTS_MAX: u64 = 8;
const EVENT_MIN: Duration = Duration::from_millis(300);
const EVENT_MAX: Duration = Duration::from_secs(12);
const SKEW_MAX: Duration = Duration::from_secs(40);

/// What happens in the run with this seed.
pub(crate) fn plan(random: &mut Rng) -> Plan {
    let most = match random.below(4) {
        0 => EVENTS_MAX * 2,
        _ => EVENTS_MAX,
    };
    let count = 2 + random.below(most - 1);
    let mut events: Vec<Event> = (0..count).map(|_| event(random)).collect();
    events.sort_by_key(|event| event.from);
    let skews = SERVERS.iter().map(|_| match random.below(3) {
        0 => skew(random),
        _ => 0,
    });
    Plan {
        skews: skews.collect(),
        events,
        begins_well: random.below(5) > 0,
    }
}

/// Nanoseconds.
fn skew(random: &mut Rng) -> i64 {
    let max = SKEW_MAX.as_nanos() as u64;
    random.below(2 * max).cast_signed() - max.cast_signed()
}

fn event(random: &mut Rng) -> Event {
    let length = duration(random, EVENT_MIN, EVENT_MAX);
    let from = duration(random, Duration::ZERO, FAULTY - EVENT_MIN);
    Event {
        from,
        until: (from + length).min(FAULTY),
        fault: fault(random),
    }
}

fn fault(random: &mut Rng) -> Fault {
    match random.below(18) {
        0..=3 => Fault::Crash(server(random)),
        14 => Fault::CrashOfAll(&INGESTERS),
        15 => Fault::CrashOfAll(&INGESTERS[..2]),
        16 => Fault::CrashOfAll(&QUERIERS),
        17 => Fault::Skew(server(random), skew(random)),
        4 => {
            let (a, b) = pair(random);
            Fault::OneWay(a, b)
        }
        5 | 6 => {
            let (a, b) = pair(random);
            Fault::Partition(a, b)
        }
        7 => Fault::Isolation(server(random)),
        8 => {
            let (a, b) = pair(random);
            Fault::Hold(a, b)
        }
        9 => {
            let (a, b) = pair(random);
            let max = Duration::from_millis(200);
            Fault::Delay(a, b, duration(random, max, max * 10))
        }
        10 => {
            let (a, b) = pair(random);
            Fault::Loss(a, b, 1 + random.below(20) as u16)
        }
        11 | 12 => Fault::Store(store(random)),
        _ => {
            let link = match random.below(2) {
                0 => Link::Refused,
                _ => Link::Silent,
            };
            Fault::CutOff(server(random), link)
        }
    }
}

fn store(random: &mut Rng) -> Faults {
    let slowest = Duration::from_millis(20 + random.below(1500));
    Faults {
        refused: random.below(300) as u16,
        lost_replies: random.below(200) as u16,
        hanging: random.below(60) as u16,
        latency: Duration::from_millis(1)..slowest,
        ..Faults::default()
    }
}

fn server(random: &mut Rng) -> &'static str {
    SERVERS[random.below(SERVERS.len() as u64) as usize]
}

/// A server, and another server or a client.
fn pair(random: &mut Rng) -> (&'static str, &'static str) {
    let a = server(random);
    let others = SERVERS.into_iter().chain(CLIENTS);
    let others: Vec<_> = others.filter(|name| *name != a).collect();
    let b = others[random.below(others.len() as u64) as usize];
    match random.below(2) {
        0 => (a, b),
        _ => (b, a),
    }
}

fn duration(random: &mut Rng, min: Duration, max: Duration) -> Duration {
    let width = (max - min).as_nanos() as u64;
    min + Duration::from_nanos(random.below(width + 1))
}
