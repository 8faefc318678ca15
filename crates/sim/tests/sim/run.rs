//! One run: servers come up, faults happen, faults stop, everything must heal.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use cairn_store::faulty::{Faults, Link};
use cairn_testkit::generator::Rng;
use cairn_testkit::ledger::Outcome;
use turmoil::Sim;

use crate::cluster::{CLIENTS, Cluster, EPOCH_SECONDS, SERVERS};
use crate::load::Load;
use crate::plan::{self, Event, FAULTY, Fault, Plan};
use crate::trace::{self, note};

/// How far simulated time goes at once.
const TICK: Duration = Duration::from_millis(2);
/// Everything is ready by then if nothing fails.
const START_MAX: Duration = Duration::from_secs(60);
/// How long pushes go on after the last fault.
const CALM: Duration = Duration::from_secs(15);
/// From the last fault until every server is ready and every answer complete.
const HEAL_MAX: Duration = Duration::from_secs(90);
/// How long a supervisor waits before it starts a process again.
const RESTART_AFTER: Duration = Duration::from_millis(500);
const LATENCY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(15));

/// What came of a run.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) violations: Vec<String>,
    pub(crate) digest: u64,
    /// In words.
    pub(crate) figures: String,
    /// The longest time without an acknowledgement of any one service.
    pub(crate) longest_outage: Duration,
}

/// Runs the simulation with this seed.
pub(crate) fn run(seed: u64) -> Verdict {
    follow(plan::plan(&mut Rng::new(seed)), seed)
}

/// Runs what is planned; the seed decides about everything else.
pub(crate) fn follow(plan: Plan, seed: u64) -> Verdict {
    let Plan {
        events,
        skews,
        begins_well,
    } = plan;
    let cluster = Cluster::new(seed, &skews);
    let mut run = Run {
        sim: network(seed),
        cluster,
        load: Rc::default(),
        crashed: BTreeMap::new(),
        restart_at: BTreeMap::new(),
    };
    run.start();
    let mut violations = run
        .play(&events, begins_well)
        .err()
        .into_iter()
        .collect::<Vec<_>>();
    let seen = run.load.seen();
    violations.extend(seen.violations.iter().cloned());
    let (digest, traced) = trace::digest();
    let figures = format!(
        "{} pushed, {} acknowledged, {} stored twice, {} answers complete, {} partial, {} failed, {} s, \
         {traced} events",
        run.load.attempts(),
        run.load.count(Outcome::Acknowledged),
        trace::left_out(),
        seen.complete_answers,
        seen.partial_answers,
        seen.failed_questions,
        run.sim.elapsed().as_secs(),
    );
    Verdict {
        violations,
        digest,
        figures,
        longest_outage: seen.longest_outage,
    }
}

fn network(seed: u64) -> Sim<'static> {
    let epoch = SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH_SECONDS);
    turmoil::Builder::new()
        .rng_seed(seed)
        .epoch(epoch)
        .simulation_duration(Duration::from_secs(3600))
        .tick_duration(TICK)
        .min_message_latency(LATENCY.0)
        .max_message_latency(LATENCY.1)
        .tcp_capacity(4096)
        .enable_random_order()
        .build()
}

struct Run {
    sim: Sim<'static>,
    cluster: Rc<Cluster>,
    load: Rc<Load>,
    /// How many crashes of a host go on.
    crashed: BTreeMap<&'static str, usize>,
    restart_at: BTreeMap<&'static str, Duration>,
}

impl Run {
    fn start(&mut self) {
        for name in SERVERS {
            let cluster = Rc::clone(&self.cluster);
            let serve = move || Rc::clone(&cluster).serve(name);
            self.sim.host(name, serve);
        }
        for (client, name) in CLIENTS.into_iter().enumerate() {
            let (load, cluster) = (Rc::clone(&self.load), Rc::clone(&self.cluster));
            self.sim.client(name, load.run(cluster, client));
        }
    }

    /// All phases. The error is what did not come about in time, or what broke the simulation.
    fn play(&mut self, events: &[Event], begins_well: bool) -> Result<(), String> {
        let ready = |run: &Self| run.cluster.unready().is_empty();
        if begins_well && !self.step_until(START_MAX, ready)? {
            return Err(format!("not ready at first: {:?}", self.cluster.unready()));
        }
        note("faults begin");
        self.fail(events)?;
        note("faults are over");
        let calm = self.sim.elapsed();
        self.step_until(CALM, |_| false)?;
        self.load.settle_down(self.sim.elapsed());
        if !self.step_until(HEAL_MAX - CALM, ready)? {
            return Err(format!("not ready again: {:?}", self.cluster.unready()));
        }
        loop {
            if self.step()? {
                return Ok(());
            }
            if self.sim.elapsed() - calm > HEAL_MAX {
                let incomplete = self.load.seen().incomplete;
                return Err(format!(
                    "no complete answer after {HEAL_MAX:?}: {incomplete}"
                ));
            }
        }
    }

    /// Whether it came true in time.
    fn step_until(&mut self, max: Duration, done: impl Fn(&Self) -> bool) -> Result<bool, String> {
        let end = self.sim.elapsed() + max;
        while !done(self) {
            if self.sim.elapsed() >= end {
                return Ok(false);
            }
            self.step()?;
        }
        Ok(true)
    }

    /// Whether all clients are done.
    fn step(&mut self) -> Result<bool, String> {
        let done = self.sim.step().map_err(|error| error.to_string())?;
        trace::at(self.sim.elapsed());
        let wrong = self.load.seen().violations;
        if let Some(first) = wrong.first() {
            return Err(format!("stopped: {first}"));
        }
        let now = self.sim.elapsed();
        for name in self.cluster.take_ended() {
            self.restart_at.insert(name, now + RESTART_AFTER);
        }
        let due = self.restart_at.iter().filter(|(_, at)| **at <= now);
        let due: Vec<_> = due.map(|(name, _)| *name).collect();
        for name in due {
            self.restart_at.remove(name);
            if !self.crashed.contains_key(name) {
                note(&format!("{name} starts again"));
                self.cluster.forget(name);
                self.sim.bounce(name);
            }
        }
        Ok(done)
    }

    // === Faults ===

    fn fail(&mut self, events: &[Event]) -> Result<(), String> {
        let start = self.sim.elapsed();
        let mut changes: Vec<(Duration, bool, usize)> = Vec::new();
        for (at, event) in events.iter().enumerate() {
            changes.push((event.from, true, at));
            changes.push((event.until, false, at));
        }
        changes.sort();
        let mut active: Vec<usize> = Vec::new();
        for (at, begins, event) in changes {
            self.step_until(FAULTY, |run| run.sim.elapsed() - start >= at)?;
            let fault = &events[event].fault;
            note(&format!(
                "{fault:?} {}",
                if begins { "begins" } else { "ends" }
            ));
            match begins {
                true => active.push(event),
                false => active.retain(|other| *other != event),
            }
            let dead: &[&'static str] = match fault {
                Fault::Crash(name) => &[*name],
                Fault::CrashOfAll(names) => names,
                _ => &[],
            };
            for name in dead {
                match begins {
                    true => self.crash(name),
                    false => self.bounce(name),
                }
            }
            if let (Fault::Skew(name, by), true) = (fault, begins) {
                self.cluster.set_clock(name, *by);
            }
            self.apply(active.iter().map(|event| &events[*event].fault));
        }
        Ok(())
    }

    fn crash(&mut self, name: &'static str) {
        *self.crashed.entry(name).or_default() += 1;
        self.cluster.forget(name);
        self.sim.crash(name);
    }

    fn bounce(&mut self, name: &'static str) {
        match self.crashed.get_mut(name) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                self.crashed.remove(name);
                self.cluster.forget(name);
                self.sim.bounce(name);
            }
        }
    }

    /// Makes network and store as they are while exactly these faults go on.
    fn apply<'a>(&mut self, active: impl Iterator<Item = &'a Fault>) {
        let others = |of: &'static str| {
            let all = SERVERS.into_iter().chain(CLIENTS);
            all.filter(move |name| *name != of)
        };
        for a in SERVERS {
            for b in others(a) {
                self.sim.release(a, b);
                self.sim.set_link_max_message_latency(a, b, LATENCY.1);
                self.sim.set_link_fail_rate(a, b, 0.0);
            }
            self.cluster.stores[a].set_link(Link::Up);
        }
        let mut store = Faults {
            latency: Duration::from_millis(1)..Duration::from_millis(20),
            ..Faults::default()
        };
        for fault in active {
            match fault {
                Fault::Crash(_) | Fault::CrashOfAll(_) | Fault::Skew(..) => {}
                Fault::OneWay(a, b) => self.sim.partition_oneway(*a, *b),
                Fault::Partition(a, b) => self.sim.partition(*a, *b),
                Fault::Isolation(a) => others(a).for_each(|b| self.sim.partition(*a, b)),
                Fault::Hold(a, b) => self.sim.hold(*a, *b),
                Fault::Delay(a, b, max) => self.sim.set_link_max_message_latency(*a, *b, *max),
                Fault::Loss(a, b, of) => {
                    self.sim.set_link_fail_rate(*a, *b, f64::from(*of) / 1000.0);
                }
                Fault::Store(faults) => store = faults.clone(),
                Fault::CutOff(name, link) => self.cluster.stores[name].set_link(*link),
            }
        }
        self.cluster.objects.set_faults(store);
    }
}
