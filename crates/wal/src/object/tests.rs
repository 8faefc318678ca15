use cairn_store::faulty::{Faults, FaultyStore, Link, Server};

use super::*;
use crate::LogReader;
use crate::testing::{World, id_of, payload, writer};

mod random;

const TTL: Duration = Duration::from_secs(6);

/// A store that fails as told, and the log of one writer in it.
struct Fixture {
    world: World,
    server: Server,
    link: Arc<FaultyStore>,
    lease: Lease,
    log: ObjectLog,
}

fn server(world: &World, seed: u64) -> Server {
    let (sleep, now) = (world.clone(), world.clone());
    Server::new(
        seed,
        Arc::new(move |duration| sleep.sleep(duration)),
        Arc::new(move || now.now().as_millis() as i64),
    )
}

impl Fixture {
    fn new() -> Self {
        let world = World::new(1);
        let server = server(&world, 1);
        let link = server.connect();
        let lease = Lease::new(world.instant() + TTL);
        let log = ObjectLog::new(
            Store::over(Arc::clone(&link) as _),
            (writer(), 1),
            lease.clone(),
            world.outside(),
        );
        Self {
            world,
            server,
            link,
            lease,
            log,
        }
    }

    fn append(&mut self, ids: &[u64]) -> Result<Lsn, Error> {
        let payloads = ids.iter().map(|id| payload(*id)).collect();
        let now = self.world.now().as_nanos() as i64;
        self.world.run(self.log.append(payloads, now))
    }

    fn reader(&self) -> LogReader {
        LogReader::new(Store::over(self.server.connect()), writer(), 1)
    }

    /// Every entry that a reader finds.
    fn found(&self) -> Vec<u64> {
        self.server.set_faults(Faults::default());
        let reader = self.reader();
        self.world.run(async {
            let listing = reader.segments(0).await.expect("listed");
            let mut found = Vec::new();
            for segment in &listing.segments {
                let segment = reader.read(segment).await.expect("read");
                found.extend(segment.entries().map(|(_, bytes)| id_of(bytes)));
            }
            assert_eq!(listing.end, found.len() as Lsn + 1);
            found
        })
    }

    fn fence(&self) -> Lsn {
        let outside = self.world.outside();
        let fenced = self.reader();
        let fenced = self.world.run(fenced.fence(0, 5, &outside));
        fenced.expect("fenced")
    }

    fn objects(&self) -> Vec<Lsn> {
        let store = Store::over(self.server.connect());
        let listed = self.world.run(store.list_log(&writer(), 1, 0));
        listed.expect("listed").iter().map(|o| o.first).collect()
    }
}

#[test]
fn groups_are_objects_named_by_their_first_entry() {
    let mut f = Fixture::new();
    assert_eq!(f.append(&[1, 2, 3]).expect("stored"), 1);
    assert_eq!(f.append(&[4]).expect("stored"), 4);
    assert_eq!(f.append(&[5, 6]).expect("stored"), 5);
    assert_eq!(f.objects(), [1, 4, 5]);
    assert_eq!(f.found(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_lost_reply_is_a_success_and_stores_nothing_twice() {
    let mut f = Fixture::new();
    f.server.set_faults(Faults {
        lost_replies: 700,
        ..Faults::default()
    });
    for id in 1..=20 {
        f.lease.renewed(f.world.instant() + TTL * 10);
        assert_eq!(f.append(&[id]).expect("found to be stored"), id);
    }
    assert_eq!(f.found(), Vec::from_iter(1..=20));
}

#[test]
fn a_store_that_comes_back_within_the_lease_costs_time_only() {
    let mut f = Fixture::new();
    f.link.set_link(Link::Refused);
    let (world, link) = (f.world.clone(), Arc::clone(&f.link));
    let payloads = vec![payload(1)];
    let back = async {
        world.sleep(Duration::from_secs(3)).await;
        link.set_link(Link::Up);
    };
    let (stored, ()) = f
        .world
        .run(futures::future::join(f.log.append(payloads, 0), back));
    assert_eq!(stored.expect("stored"), 1);
    assert!(f.world.now() >= Duration::from_secs(3));
    assert_eq!(f.found(), [1]);
}

#[test]
fn a_put_that_outlives_the_lease_is_not_acknowledged_and_ends_the_log() {
    for link in [Link::Refused, Link::Silent] {
        let mut f = Fixture::new();
        f.append(&[1]).expect("stored");
        f.link.set_link(link);
        let error = f.append(&[2]).expect_err("the store is away");
        assert!(matches!(error, Error::LeaseLost), "{error:?}");
        assert_eq!(f.world.now(), TTL, "the lease is what is waited for");
        f.link.set_link(Link::Up);
        f.lease.renewed(f.world.instant() + TTL);
        let error = f.append(&[3]).expect_err("the log is over");
        assert!(matches!(error, Error::LeaseLost), "{error:?}");
        assert!(error.is_final() && error.is_fatal());
        assert_eq!(f.found(), [1]);
    }
}

#[test]
fn a_renewed_lease_gives_a_slow_put_more_time() {
    let mut f = Fixture::new();
    f.link.set_link(Link::Refused);
    let (world, link, lease) = (f.world.clone(), Arc::clone(&f.link), f.lease.clone());
    let renew = async {
        for _ in 0..10 {
            world.sleep(TTL / 3).await;
            lease.renewed(world.instant() + TTL);
        }
        link.set_link(Link::Up);
    };
    let append = f.log.append(vec![payload(1)], 0);
    let (stored, ()) = f.world.run(futures::future::join(append, renew));
    assert_eq!(stored.expect("stored"), 1);
    assert!(f.world.now() > TTL * 3);
}

#[test]
fn a_put_that_succeeds_after_the_lease_is_over_is_not_acknowledged() {
    let mut f = Fixture::new();
    // The process stands still while its request is carried out: both end at once.
    f.server.set_faults(Faults {
        latency: TTL..TTL,
        ..Faults::default()
    });
    let error = f.append(&[1]).expect_err("the lease is over");
    assert!(matches!(error, Error::LeaseLost), "{error:?}");
    assert_eq!(f.found(), [1], "it is in the log all the same");
}

#[test]
fn a_writer_without_a_lease_puts_nothing() {
    let mut f = Fixture::new();
    f.world.run(f.world.sleep(TTL));
    let error = f.append(&[1]).expect_err("the lease is over");
    assert!(matches!(error, Error::LeaseLost), "{error:?}");
    assert!(f.objects().is_empty());
}

#[test]
fn a_fence_stops_its_writer_for_good() {
    let mut f = Fixture::new();
    f.append(&[1, 2]).expect("stored");
    assert_eq!(f.fence(), 3);
    for _ in 0..2 {
        let error = f.append(&[3]).expect_err("fenced");
        assert!(matches!(error, Error::Fenced), "{error:?}");
        assert!(error.is_final() && error.is_fatal());
    }
    assert_eq!(f.fence(), 3, "once is enough");
    assert_eq!(f.objects(), [1, 3]);
    assert_eq!(f.found(), [1, 2]);
}

#[test]
fn an_append_that_was_given_up_ends_the_log() {
    let mut f = Fixture::new();
    f.server.set_faults(Faults {
        latency: Duration::from_secs(1)..Duration::from_secs(1),
        ..Faults::default()
    });
    let log = &mut f.log;
    let given_up = f.world.run(async {
        futures::select_biased! {
            stored = log.append(vec![payload(1)], 0).fuse() => Some(stored.is_ok()),
            () = f.world.sleep(Duration::from_millis(1)).fuse() => None,
        }
    });
    assert_eq!(given_up, None);
    let error = f
        .append(&[2])
        .expect_err("nobody knows what became of the first");
    assert!(matches!(error, Error::Poisoned(_)), "{error:?}");
}

#[test]
fn a_group_that_is_too_large_is_refused_and_the_log_goes_on() {
    let mut f = Fixture::new();
    let many = vec![payload(1); format::ENTRIES_MAX + 1];
    let error = f.world.run(f.log.append(many, 0)).expect_err("too many");
    assert!(matches!(error, Error::TooLarge), "{error:?}");
    assert!(!error.is_final());
    assert_eq!(f.append(&[1]).expect("stored"), 1);
}

#[test]
fn only_old_and_flushed_segments_are_deleted_and_failures_come_again() {
    let mut f = Fixture::new();
    for id in 0..6 {
        f.world.run(f.world.sleep(Duration::from_millis(1)));
        f.append(&[id, id]).expect("stored");
    }
    let at = |ms: i64| ms * 1_000_000;
    let truncate = |f: &mut Fixture, flushed, older_than| {
        let done = f.log.truncate(flushed, older_than);
        f.world.run(done)
    };
    truncate(&mut f, 4, at(2)).expect("deleted");
    assert_eq!(
        f.objects(),
        [3, 5, 7, 9, 11],
        "the second is not older than two"
    );
    truncate(&mut f, 7, at(100)).expect("deleted");
    assert_eq!(
        f.objects(),
        [7, 9, 11],
        "half of the fourth is not in blocks"
    );
    f.link.set_link(Link::Refused);
    truncate(&mut f, 10, at(100)).expect_err("the store is away");
    f.link.set_link(Link::Up);
    truncate(&mut f, 10, at(100)).expect("deleted");
    assert_eq!(f.objects(), [11]);
    assert_eq!(f.append(&[7]).expect("stored"), 13);
}
