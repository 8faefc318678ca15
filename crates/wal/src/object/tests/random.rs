//! Whole lives of logs by seed: a writer whose store fails and whose lease runs out at some moment,
//! crashes, zombies, those who recover it, side by side, and one who deletes what was recovered.

use std::collections::BTreeSet;

use futures::future::{Either, join, join_all, select};

use super::*;

/// What everybody agrees on.
#[derive(Default)]
struct Catalog {
    leased_until: Duration,
    flushed: Lsn,
    is_sealed: bool,
}

/// What was done to one log, and what was seen of it.
struct Life {
    world: World,
    server: Server,
    catalog: Mutex<Catalog>,
    acknowledged: Mutex<Vec<(Lsn, u64)>>,
    recovered: Mutex<Vec<Recovered>>,
    /// What no log may come to.
    wrong: Mutex<Option<String>>,
}

/// Which number the log ends before, and its entries.
type Recovered = (Lsn, Vec<(Lsn, u64)>);

/// How often something happened in many lives.
#[derive(Debug, Default)]
struct Seen {
    acknowledged: usize,
    recovered: usize,
    zombies: usize,
}

impl Life {
    fn new(seed: u64) -> Self {
        let world = World::new(seed);
        let server = server(&world, seed);
        let up_to = |ms: u64| Duration::from_millis(world.below(ms) + 1);
        let slowest = [20, 300, 9_000][world.below(3) as usize];
        server.set_faults(Faults {
            refused: world.below(200) as u16,
            lost_replies: world.below(300) as u16,
            hanging: world.below(100) as u16,
            latency: Duration::ZERO..up_to(slowest),
            patience: up_to(10_000),
        });
        Self {
            world,
            server,
            catalog: Mutex::default(),
            acknowledged: Mutex::default(),
            recovered: Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    async fn pause(&self, ms: u64) {
        let pause = Duration::from_millis(self.world.below(ms));
        self.world.sleep(pause).await;
    }

    fn store(&self) -> Store {
        Store::over(self.server.connect())
    }

    /// Renews the lease for a while.
    async fn renew(&self, lease: &Lease) {
        let last = Duration::from_millis(self.world.below(20_000));
        while self.world.now() < last {
            let sent = self.world.instant();
            self.pause(500).await;
            {
                let mut catalog = self.catalog.lock();
                if catalog.is_sealed {
                    return;
                }
                catalog.leased_until = self.world.now() + TTL;
            }
            self.pause(500).await;
            lease.renewed(sent + TTL);
            self.world.sleep(TTL / 3).await;
        }
    }

    /// Seals the writer when its lease is over.
    async fn lead(&self) {
        loop {
            self.world.sleep(Duration::from_millis(200)).await;
            let mut catalog = self.catalog.lock();
            if self.world.now() >= catalog.leased_until {
                catalog.is_sealed = true;
                return;
            }
        }
    }

    async fn write(&self, mut log: ObjectLog) {
        let mut id = 0;
        loop {
            let ids: Vec<u64> = (id..=id + self.world.below(4)).collect();
            id += ids.len() as u64;
            let payloads = ids.iter().map(|id| payload(*id)).collect();
            let now = self.world.now().as_millis() as i64;
            match log.append(payloads, now).await {
                Ok(first) => self.acknowledged.lock().extend((first..).zip(ids)),
                Err(error) => {
                    assert!(error.is_fatal(), "{error:?}");
                    return;
                }
            }
            if self.world.below(8) == 0 {
                self.flush(&mut log).await;
            }
            self.pause(400).await;
        }
    }

    async fn flush(&self, log: &mut ObjectLog) {
        let flushed = {
            let mut catalog = self.catalog.lock();
            let last = self.acknowledged.lock().len() as Lsn;
            if catalog.is_sealed {
                return;
            }
            catalog.flushed += self.world.below(last - catalog.flushed + 1);
            catalog.flushed
        };
        let older_than = self.world.now().as_millis() as i64;
        let older_than = older_than - self.world.below(3_000) as i64;
        // What can't be deleted is deleted later.
        let _ = log.truncate(flushed, older_than).await;
    }

    async fn sealed(&self) -> Lsn {
        loop {
            self.pause(400).await;
            let catalog = self.catalog.lock();
            if catalog.is_sealed {
                return catalog.flushed;
            }
        }
    }

    async fn recover(&self) {
        let flushed = self.sealed().await;
        let reader = LogReader::new(self.store(), writer(), 1);
        let outside = self.world.outside();
        let recovered = loop {
            match recover(&reader, flushed, &outside).await {
                Ok(recovered) => break recovered,
                Err(Error::Store(_)) => self.pause(1_000).await,
                Err(error) => {
                    *self.wrong.lock() = Some(error.to_string());
                    return;
                }
            }
        };
        self.recovered.lock().push(recovered);
    }

    /// Recovers the log, more than once, and may delete it then.
    async fn after(&self) {
        join_all((0..=self.world.below(3)).map(|_| self.recover())).await;
        if self.world.below(2) == 0 {
            let store = self.store();
            loop {
                let Ok(objects) = store.list_log(&writer(), 1, 0).await else {
                    continue;
                };
                let Some(object) = objects.first() else {
                    return;
                };
                let writer = writer();
                // Fails at times, and is found again.
                let _ = store
                    .delete(Key::LogSegment {
                        writer: &writer,
                        incarnation: 1,
                        first: object.first,
                    })
                    .await;
            }
        }
    }

    /// What is wrong at the end, if anything.
    fn judge(&self) -> Result<(), String> {
        if let Some(wrong) = self.wrong.lock().take() {
            return Err(wrong);
        }
        let recovered = self.recovered.lock();
        let acknowledged = self.acknowledged.lock();
        let flushed = self.catalog.lock().flushed;
        let (end, entries) = &recovered[0];
        if recovered.iter().any(|other| *other != recovered[0]) {
            return Err(format!("not agreed on: {recovered:?}"));
        }
        if !entries.iter().map(|(lsn, _)| *lsn).eq(flushed + 1..*end) {
            return Err(format!("gaps in {entries:?} after {flushed} before {end}"));
        }
        let in_blocks = acknowledged.iter().filter(|(lsn, _)| *lsn <= flushed);
        let all = in_blocks.chain(entries);
        let kept: BTreeSet<_> = all.clone().collect();
        let ids: BTreeSet<_> = all.clone().map(|(_, id)| id).collect();
        if ids.len() != all.count() {
            return Err("something is there twice".to_owned());
        }
        match acknowledged.iter().find(|entry| !kept.contains(entry)) {
            Some(lost) => Err(format!("{lost:?} was acknowledged and is lost")),
            None => Ok(()),
        }
    }
}

async fn recover(reader: &LogReader, flushed: Lsn, outside: &Outside) -> Result<Recovered, Error> {
    let end = reader.fence(flushed, 0, outside).await?;
    let listing = reader.segments(flushed).await?;
    assert!(listing.is_fenced && listing.end == end);
    let mut entries = Vec::new();
    for segment in &listing.segments {
        let segment = reader.read(segment).await?;
        let found = segment.entries().filter(|(lsn, _)| *lsn > flushed);
        entries.extend(found.map(|(lsn, bytes)| (lsn, id_of(bytes))));
    }
    Ok((end, entries))
}

fn live(seed: u64, fault: Fault, seen: &mut Seen) -> Result<(), String> {
    let life = Life::new(seed);
    let lease = Lease::new(life.world.instant() + TTL);
    life.catalog.lock().leased_until = TTL;
    let mut log = ObjectLog::new(
        life.store(),
        (writer(), 1),
        lease.clone(),
        life.world.outside(),
    );
    log.fault = fault;
    // A third of all writers crash. A writer that ignores its lease may live on for ever.
    let crash = match life.world.below(3) {
        0 => life.world.below(20_000),
        _ => 60_000,
    };
    let crash = life.world.sleep(Duration::from_millis(crash));
    let written = async {
        if let Either::Left(_) = select(Box::pin(life.write(log)), crash).await {
            seen.zombies += 1;
        }
    };
    let others = join(join(life.renew(&lease), life.lead()), life.after());
    life.world.run(join(written, others));
    life.world.run(life.server.deliver_late());
    seen.acknowledged += life.acknowledged.lock().len();
    let first = life.recovered.lock();
    seen.recovered += first.first().map_or(0, |(_, entries)| entries.len());
    drop(first);
    life.judge()
}

const LIVES: u64 = 200;

#[test]
fn nothing_acknowledged_is_ever_lost_or_there_twice() {
    let mut seen = Seen::default();
    for seed in 0..LIVES {
        live(seed, Fault::None, &mut seen).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
    }
    println!("{LIVES} lives: {seen:?}");
    assert!(
        seen.acknowledged > 1_000 && seen.recovered > 1_000,
        "{seen:?}"
    );
}

#[test]
fn broken_rules_are_found_out() {
    for fault in [
        Fault::AcknowledgesUnknownPuts,
        Fault::IgnoresLease,
        Fault::TakesForeignForOwn,
    ] {
        let mut seen = Seen::default();
        let found =
            (0..LIVES).find_map(|seed| live(seed, fault, &mut seen).err().map(|e| (seed, e)));
        let (seed, wrong) = found.unwrap_or_else(|| panic!("{fault:?} is never found out"));
        println!("{fault:?}: seed {seed}: {wrong}");
    }
}
