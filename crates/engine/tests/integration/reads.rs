//! How often, and how much, a scan reads of a block.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cairn_block::{Block, First, Head, Options, Origin, merge, write};
use cairn_engine::{Alone, Answer, GroupBy, Query, Question, Source, scan_block};
use cairn_model::{
    Attr, AttrValue, BlockId, Labels, Link, MatchOp, Matcher, Profile, Tables, TenantId, ValueType,
};
use cairn_store::faulty::{Faults, Server};
use cairn_store::{Key, Store};
use cairn_testkit::generator::{Generator, Spec};
use futures::FutureExt;

use crate::scan::query;

/// Requests of which one began after the one before was answered.
#[derive(Debug, Default)]
struct Reads {
    open: AtomicU64,
    in_sequence: AtomicU64,
}

impl Reads {
    fn take(&self) -> u64 {
        self.in_sequence.swap(0, Ordering::Relaxed)
    }
}

/// A store of which every request takes a while, in which others may begin.
fn store() -> (Store, Arc<Reads>) {
    let reads = Arc::new(Reads::default());
    let counted = Arc::clone(&reads);
    let sleep = move |_| {
        let reads = Arc::clone(&counted);
        async move {
            if reads.open.fetch_add(1, Ordering::Relaxed) == 0 {
                reads.in_sequence.fetch_add(1, Ordering::Relaxed);
            }
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            reads.open.fetch_sub(1, Ordering::Relaxed);
        }
        .boxed()
    };
    let server = Server::new(1, Arc::new(sleep), Arc::new(|| 0));
    server.set_faults(Faults {
        latency: Duration::from_millis(1)..Duration::from_millis(1),
        ..Faults::default()
    });
    (Store::over(server.connect()), reads)
}

const PROFILES: u64 = 800;
const SAMPLES: u64 = 200;
/// Of each profile.
const TRACES: u64 = 20;

fn trace(number: u64) -> [u8; 16] {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (u128::from(mixed) << 64 | u128::from(number)).to_be_bytes()
}

fn hex(number: u64) -> String {
    trace(number).map(|byte| format!("{byte:02x}")).concat()
}

/// Many stacks, traces that are of one profile each, and a label that is of one sample.
fn head(first: u64) -> Head {
    let mut head = Head::default();
    for at in first..first + PROFILES {
        let mut tables = Tables::default();
        let mut profile = Profile {
            time: at as i64,
            duration: 1,
            ..Profile::default()
        };
        let (kind, key) = (tables.strings.push("cpu"), tables.strings.push("request"));
        profile.types = vec![ValueType { kind, unit: kind }];
        tables.locations = (0..1_000)
            .map(|address| cairn_model::Location {
                mapping: cairn_model::NONE,
                address,
                lines: (0, 0),
            })
            .collect();
        let link = |number| Link {
            trace_id: trace(at * TRACES + number),
            span_id: [1; 8],
        };
        tables.links = (0..TRACES).map(link).collect();
        let samples = &mut profile.samples;
        for sample in 0..SAMPLES {
            let mixed = (at * SAMPLES + sample).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let leaf = (mixed >> 32) as u32 % 1_000;
            samples.stacks.push(tables.stacks.push(&[leaf, leaf / 7]));
            samples.values.push(1 + (mixed >> 50) as i64);
            let value = AttrValue::Str(tables.strings.push(&format!("{mixed:x}")));
            samples.attrs.push(Attr { key, value });
            samples.attr_ends.push(samples.attrs.len() as u32);
            samples.links.push((sample % TRACES) as u32);
        }
        profile.tables = Arc::new(tables);
        let origin = Origin {
            name: "cpu".into(),
            labels: Labels::from_pairs([("pod", format!("{}", at % 10))]).expect("valid"),
            time: at as i64,
            lsn: at + 1,
            batch: 0,
        };
        head.append(&profile, &origin).expect("it fits");
    }
    head
}

/// A block of level 0, and what it and another become.
async fn blocks(store: &Store, tenant: &TenantId) -> Vec<(BlockId, u64)> {
    let first = write(&head(0), Options::default()).expect("written");
    let other = write(&head(PROFILES), Options::default()).expect("written");
    let mut loaded = Vec::new();
    for built in [&first, &other] {
        let block = Block::from_bytes(built.bytes.clone()).expect("a block");
        loaded.push(block.load().await.expect("read"));
    }
    let merged = merge(&loaded, 1, usize::MAX).expect("merged");
    let mut ids = Vec::new();
    for (number, built) in (1u64..).zip([first, merged]) {
        let id = BlockId::new(number, 1);
        let size = built.info.bytes;
        let key = Key::Block { tenant, id };
        store.create(key, built.bytes).await.expect("stored");
        ids.push((id, size));
    }
    ids
}

fn of_trace(number: u64, question: Question) -> Query {
    let matcher = Matcher::new("trace_id", MatchOp::Equal, &hex(number));
    Query {
        matchers: vec![matcher.expect("valid")],
        ..query(question)
    }
}

#[tokio::test]
async fn a_trace_takes_two_reads_and_one_that_is_not_there_none() {
    let ((store, reads), tenant) = (store(), TenantId::anonymous());
    for (id, size) in blocks(&store, &tenant).await {
        let stacks = || Question::Stacks(GroupBy::Nothing);
        let open = async || {
            let block = Block::open(&store, &tenant, id, Some(size)).await;
            block.expect("opened")
        };
        reads.take();
        let block = open().await;
        assert_eq!(reads.take(), 1);
        let opened = block.read_bytes();
        for absent in 1_000_000..1_000_020 {
            let query = of_trace(absent, stacks());
            let scanned = scan_block(&block, &query, Source::ALONE, &Alone).await;
            let scanned = scanned.expect("a good block");
            assert_eq!((scanned.stats.profiles, scanned.stats.blocks), (0, 1));
        }
        assert_eq!((reads.take(), block.read_bytes()), (0, opened));

        let query = of_trace(7 * TRACES, stacks());
        let scanned = scan_block(&block, &query, Source::ALONE, &Alone).await;
        let scanned = scanned.expect("a good block");
        assert_eq!(reads.take(), 2);
        assert_eq!(scanned.stats.profiles, 1);
        // Of the whole block one profile is looked at.
        assert_eq!(scanned.stats.rows, SAMPLES);
        // Of what is open only the rows are read.
        let names = of_trace(8 * TRACES, Question::LabelNames);
        scan_block(&block, &names, Source::ALONE, &Alone)
            .await
            .expect("a good block");
        assert_eq!(reads.take(), 1);
    }
}

#[tokio::test]
async fn stacks_are_read_beside_an_index_that_may_need_them() {
    let ((store, reads), tenant) = (store(), TenantId::anonymous());
    for (id, size) in blocks(&store, &tenant).await {
        let of_pod = |pod| {
            let matcher = Matcher::new("pod", MatchOp::Equal, pod);
            Query {
                matchers: vec![matcher.expect("valid")],
                ..query(Question::Stacks(GroupBy::Nothing))
            }
        };
        for (pod, profiles, rounds) in [("3", PROFILES / 10, 2), ("none", 0, 1)] {
            let block = Block::open(&store, &tenant, id, Some(size)).await;
            let block = block.expect("opened");
            reads.take();
            for rounds in [rounds, rounds - 1] {
                let scanned = scan_block(&block, &of_pod(pod), Source::ALONE, &Alone).await;
                let scanned = scanned.expect("a good block");
                let level = u64::from(block.level());
                assert_eq!(scanned.stats.profiles, profiles * (1 + level), "{pod}");
                assert_eq!(reads.take(), rounds, "{pod}");
            }
        }
    }
}

#[tokio::test]
async fn rows_that_no_question_asks_for_stay_where_they_are() {
    let ((store, _), tenant) = (store(), TenantId::anonymous());
    for (id, size) in blocks(&store, &tenant).await {
        let read = async |query: Query| {
            let block = Block::open(&store, &tenant, id, Some(size)).await;
            let block = block.expect("opened");
            block.index().await.expect("read");
            block.stacks().await.expect("read");
            block.links().await.expect("read");
            block.parts(&[]).await.expect("read");
            let before = block.read_bytes();
            let scan = scan_block(&block, &query, Source::ALONE, &Alone);
            let scanned = scan.await.expect("a good block");
            let Answer::Stacks(partial) = scanned.answer else {
                panic!("not stacks")
            };
            let values = partial.values.iter().map(|value| value.value);
            (block.read_bytes() - before, values.sum::<i64>())
        };
        let labels = |name: &str| Question::Stacks(GroupBy::Labels(vec![name.to_owned()]));
        let (all, total) = read(query(Question::Stacks(GroupBy::SampleLabels))).await;
        let (plain, same) = read(query(Question::Stacks(GroupBy::Nothing))).await;
        let (by_pod, _) = read(query(labels("pod"))).await;
        let (by_trace, _) = read(query(labels("trace_id"))).await;
        let (by_request, _) = read(query(labels("request"))).await;
        assert_eq!(total, same);
        assert_eq!(plain, by_pod);
        assert!(
            plain < by_trace && by_trace < all,
            "{plain} {by_trace} {all}"
        );
        assert!(
            plain < by_request && by_request < all,
            "{plain} {by_request} {all}"
        );
        assert!(plain * 4 < all * 3, "{plain} of {all}");
    }
}

/// What most blocks are: profiles of a few pods, whose samples have no labels of their own.
fn plain(rows: usize) -> Head {
    let spec = Spec {
        samples: 20,
        ..Spec::default()
    };
    let generator = Generator::new(spec);
    let mut head = Head::default();
    for step in 0.. {
        let profile = generator.profile(0, step % 4, step / 4);
        let origin = Origin {
            name: "process_cpu".into(),
            labels: generator.labels(0, step % 4),
            time: profile.time,
            lsn: 1,
            batch: 0,
        };
        head.append(&profile, &origin).expect("it fits");
        if head.samples().len() >= rows {
            break;
        }
    }
    head
}

#[tokio::test]
async fn the_end_of_a_block_says_which_stacks_and_rows_to_read_and_they_are_read_at_once() {
    let ((store, reads), tenant) = (store(), TenantId::anonymous());
    let built = write(&plain(800_000), Options::default()).expect("written");
    let (id, size) = (BlockId::new(1, 1), built.info.bytes);
    let key = Key::Block {
        tenant: &tenant,
        id,
    };
    store.create(key, built.bytes).await.expect("stored");
    let pod = Generator::new(Spec::default()).labels(0, 1);
    let of = |value: &str| {
        let matcher = Matcher::new("pod", MatchOp::Equal, value);
        Query {
            matchers: vec![matcher.expect("valid")],
            ..query(Question::Stacks(GroupBy::Nothing))
        }
    };
    let all = query(Question::Stacks(GroupBy::Nothing));
    let of_pod = of(pod.get("pod").expect("generated"));
    let cases = [
        (&all, First::Index, 1),
        (&of_pod, First::Index, 1),
        (&of("none"), First::Index, 0),
        // What only a table of contents was read of takes a read more.
        (&of_pod, First::Contents, 2),
    ];
    for (query, first, expected) in cases {
        reads.take();
        let reader = Arc::new(store.clone());
        let block = Block::open_from(reader, &tenant, (id, size), first).await;
        let block = block.expect("opened");
        assert_eq!(reads.take(), 1);
        let opened = block.read_bytes();
        assert!(size > 2 * opened, "{opened} of {size} bytes are its end");
        let scanned = scan_block(&block, query, Source::ALONE, &Alone).await;
        let scanned = scanned.expect("a good block");
        assert_eq!(reads.take(), expected, "{query:?} {first:?}");
        assert_eq!(scanned.stats.rows > 0, expected > 0);
    }
}
