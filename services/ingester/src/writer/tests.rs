use std::collections::VecDeque;

use async_trait::async_trait;
use cairn_chassis::{FakeClock, Options, Process};
use cairn_model::{Labels, ProfileBuilder, TenantId, WriterId};
use cairn_store::Store;
use cairn_wal::{Encoding, Kept, Lease, LogReader, ObjectLog, Row, Span};
use cairn_wire::cairn::ingest::v1::LogSeries;
use futures::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;

use super::*;
use crate::admission::Admission;
use crate::config::AdmissionConfig;
use crate::log::outside;
use crate::prepare::Item;

/// A log that answers as it was told to, then well.
#[derive(Clone, Default)]
struct Told {
    answers: Arc<Mutex<VecDeque<wal::Error>>>,
    kept: Arc<Mutex<Vec<Payload>>>,
    /// How many entries each append brought.
    groups: Arc<Mutex<Vec<usize>>>,
}

#[async_trait]
impl DurableLog for Told {
    async fn append(&mut self, payloads: Vec<Payload>, _: i64) -> Result<Lsn, wal::Error> {
        if let Some(error) = self.answers.lock().pop_front() {
            return Err(error);
        }
        self.groups.lock().push(payloads.len());
        let mut kept = self.kept.lock();
        let first = kept.len() as Lsn + 1;
        kept.extend(payloads);
        Ok(first)
    }

    fn truncate(&mut self, _: Lsn, _: i64) -> BoxFuture<'static, Result<(), wal::Error>> {
        std::future::ready(Ok(())).boxed()
    }

    async fn close(self: Box<Self>) {}
}

struct Harness {
    log: Told,
    tail: Arc<Tail>,
    writer: Writer,
    admission: Admission,
    process: Process,
}

impl Harness {
    async fn start() -> Self {
        let grouping = Grouping {
            bytes_max: 1 << 20,
            delay: Duration::ZERO,
        };
        Self::grouping(grouping, Clock::real()).await
    }

    async fn grouping(grouping: Grouping, clock: Clock) -> Self {
        let log = Told::default();
        let over = log.clone();
        let harness = Self::over(move |_| Box::new(over), grouping, clock).await;
        Self { log, ..harness }
    }

    /// A writer over another log, which is made of what the process has.
    async fn over(
        log: impl FnOnce(&Context) -> Box<dyn DurableLog>,
        grouping: Grouping,
        clock: Clock,
    ) -> Self {
        let mut options = Options::for_tests();
        options.clock = clock;
        let process = Process::bind(options, &["ingester"]).await;
        let process = process.expect("loopback has free ports");
        let metrics = Metrics::register(&mut Registry::default());
        let tail = Arc::new(Tail::new(0, u64::MAX, metrics.clone()));
        let cx = process.context("ingester");
        let (writer, task) = Writer::new(Parts {
            log: log(&cx),
            window: Window::new(Duration::from_secs(60)),
            tail: Arc::clone(&tail),
            grouping,
            cx: cx.clone(),
            metrics,
        });
        cx.own("log", task.run());
        let admission = Admission::new(&AdmissionConfig::default(), cx.clock());
        Self {
            log: Told::default(),
            tail,
            writer,
            admission,
            process,
        }
    }

    async fn store(&self, batch: u128) -> Result<Stored, Error> {
        let permit = self.admission.decoding(1).await.expect("there is room");
        self.writer.store(ready(batch), permit).await
    }

    fn readable(&self) -> usize {
        let heads = self.tail.after(&TenantId::anonymous(), 0).expect("kept");
        heads
            .iter()
            .map(|head| head.read().index().profiles.len())
            .sum()
    }

    async fn stop(self) {
        self.writer.stop().await;
        self.process.stop().await.expect("stopped");
    }
}

const PROFILE_BYTES: usize = 10;

fn ready(batch: u128) -> Ready {
    let mut builder = ProfileBuilder::default();
    builder.value_type("cpu", "");
    Ready {
        tenant: TenantId::anonymous(),
        span: Span {
            received: 1,
            from: None,
            until: None,
        },
        encoding: Encoding::Pprof,
        tables: Vec::new(),
        normalized: false,
        kept: Kept::UNSAID,
        items: vec![Item {
            logged: LogSeries {
                profile: vec![7; PROFILE_BYTES].into(),
                ..LogSeries::default()
            },
            row: Row {
                name: "process_cpu".into(),
                labels: Labels::default(),
                time: 1,
                batch,
                profile: builder.finish(),
            },
        }],
    }
}

#[tokio::test]
async fn an_acknowledged_push_is_logged_and_readable_and_counts_once() {
    let harness = Harness::start().await;
    for (batch, stored, repeats) in [(7, 1, 0), (7, 0, 1), (8, 1, 0), (0, 1, 0), (0, 1, 0)] {
        let answer = harness.store(batch).await.expect("stored");
        assert_eq!(
            (answer.profiles, answer.repeats),
            (stored, repeats),
            "{batch}"
        );
    }
    assert_eq!(harness.log.kept.lock().len(), 4);
    assert_eq!(harness.readable(), 4);
    assert!(harness.writer.rotate().await.expect("running"));
    let part = harness.tail.unflushed().expect("frozen");
    assert_eq!((part.from, part.to), (1, 4));
    assert!(
        !harness.writer.rotate().await.expect("running"),
        "nothing is new"
    );
    harness.stop().await;
}

#[tokio::test]
async fn pushes_that_come_within_the_delay_share_an_append() {
    let clock = FakeClock::at(1_000);
    let grouping = Grouping {
        bytes_max: 1 << 20,
        delay: Duration::from_secs(60),
    };
    let harness = Harness::grouping(grouping, clock.clock()).await;
    let later = async { clock.advance(Duration::from_secs(60)) };
    let stored = futures::join!(harness.store(1), harness.store(2), harness.store(3), later);
    stored.2.expect("stored");
    assert_eq!(*harness.log.groups.lock(), [3]);
    harness.stop().await;
}

#[tokio::test]
async fn a_full_group_and_an_order_behind_it_do_not_wait_for_the_delay() {
    let grouping = Grouping {
        bytes_max: 2 * PROFILE_BYTES as u64,
        delay: Duration::from_secs(60),
    };
    let harness = Harness::grouping(grouping, FakeClock::at(1_000).clock()).await;
    let (one, two) = futures::join!(harness.store(1), harness.store(2));
    one.and(two).expect("stored although no time has passed");
    let (three, rotated) = futures::join!(harness.store(3), harness.writer.rotate());
    three.expect("stored although no time has passed");
    assert!(rotated.expect("running"));
    assert_eq!(*harness.log.groups.lock(), [2, 1]);
    harness.stop().await;
}

#[tokio::test]
async fn a_fence_ends_the_writer_and_what_it_acknowledged_is_in_the_log() {
    let store = Store::memory();
    let id = WriterId::parse("ingester-0").expect("valid");
    let (objects, name) = (store.clone(), (id.clone(), 3));
    let log = move |cx: &Context| -> Box<dyn DurableLog> {
        let lease = Lease::new(cx.clock().instant() + Duration::from_secs(600));
        Box::new(ObjectLog::new(objects, name, lease, outside(cx)))
    };
    let grouping = Grouping {
        bytes_max: 1 << 20,
        delay: Duration::from_millis(1),
    };
    let harness = Harness::over(log, grouping, Clock::real()).await;
    for batch in [1, 2] {
        harness.store(batch).await.expect("stored");
    }
    let reader = LogReader::new(store, id, 3);
    let outside = outside(&harness.process.context("ingester"));
    assert_eq!(reader.fence(0, 0, &outside).await.expect("fenced"), 3);
    let error = harness.store(3).await.expect_err("fenced");
    assert_eq!(error.code(), cairn_model::Code::Unavailable);
    let error = harness.store(4).await.expect_err("the writer has ended");
    assert!(matches!(error, Error::Stopping), "{error:?}");
    assert_eq!(harness.readable(), 2);
    let listing = reader.segments(0).await.expect("listed");
    let mut hashes = Vec::new();
    for segment in &listing.segments {
        let read = reader.read(segment).await.expect("intact");
        hashes.extend(read.header.entries().flat_map(|(_, l)| l.hashes.clone()));
    }
    assert_eq!(hashes, [1, 2]);
    let stopped = harness.process.stop().await.expect_err("its task failed");
    assert!(format!("{stopped:#}").contains("log"), "{stopped:#}");
}

#[tokio::test]
async fn a_refused_append_is_nowhere_and_may_be_sent_again() {
    let harness = Harness::start().await;
    let full = || wal::Error::NoSpace(std::io::Error::other("full"));
    harness.log.answers.lock().push_back(full());
    let error = harness.store(7).await.expect_err("the disk is full");
    assert_eq!(error.code(), cairn_model::Code::Unavailable);
    assert_eq!(harness.readable(), 0);
    assert_eq!(harness.store(7).await.expect("room again").profiles, 1);
    assert_eq!(harness.readable(), 1);
    harness.stop().await;
}

#[tokio::test]
async fn a_part_is_dropped_only_after_its_commit_and_then_named_too_old() {
    let harness = Harness::start().await;
    let tenant = TenantId::anonymous();
    harness.store(1).await.expect("stored");
    harness.writer.rotate().await.expect("running");
    harness.tail.drop_flushed(i64::MAX, 0);
    assert_eq!(harness.readable(), 1, "it is nowhere else");
    let part = harness.tail.unflushed().expect("frozen");
    harness.tail.committed(&part, 50);
    harness.tail.drop_flushed(50, usize::MAX);
    assert_eq!(harness.readable(), 1, "it is kept for a while");
    assert_eq!(harness.tail.after(&tenant, 1).expect("kept").len(), 0);
    harness.tail.drop_flushed(51, usize::MAX);
    assert!(matches!(
        harness.tail.after(&tenant, 0),
        Err(Error::TooOld { after: 0, kept: 1 })
    ));
    assert_eq!(
        harness
            .tail
            .after(&tenant, 1)
            .expect("it is all in blocks")
            .len(),
        0
    );
    harness.stop().await;
}
