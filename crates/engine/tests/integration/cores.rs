//! A scan that others help is the scan that nobody helps.
#![expect(
    clippy::disallowed_methods,
    reason = "whoever helps is a task, as another core's work is"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use cairn_block::{Block, Head, Options, Origin, write};
use cairn_engine::{
    Alone, Answer, Budget, GroupBy, Query, Question, Scanned, Source, Work, scan_block,
};
use cairn_model::{MatchOp, Matcher};
use cairn_testkit::generator::{Generator, Spec};
use futures::FutureExt;

use crate::scan::query;

/// Enough for three to have some at a time.
const ROWS: usize = 800_000;

/// So many cores, each a thread's.
#[derive(Debug)]
struct Threads {
    free: usize,
    begun: Arc<AtomicUsize>,
}

impl Budget for Threads {
    fn free_cores(&self) -> usize {
        self.free
    }

    fn run(&self, work: Work) -> Work {
        let begun = Arc::clone(&self.begun);
        let counted = async move {
            begun.fetch_add(1, Ordering::Relaxed);
            work.await;
        };
        async { tokio::spawn(counted).await.expect("it ends well") }.boxed()
    }
}

static BLOCK: LazyLock<Block> = LazyLock::new(|| {
    let spec = Spec {
        services: 2,
        pods: 20,
        endpoints: 8,
        traced_percent: 1,
        ..Spec::default()
    };
    let generator = Generator::new(spec.clone());
    let mut head = Head::default();
    let pods = (0..).flat_map(|step| (0..spec.pods).map(move |pod| (step, pod)));
    for (step, pod) in pods {
        for service in 0..spec.services {
            let profile = generator.profile(service, pod, step);
            let origin = Origin {
                name: "process_cpu".into(),
                labels: generator.labels(service, pod),
                time: profile.time,
                lsn: 1,
                batch: 0,
            };
            head.append(&profile, &origin).expect("it fits");
        }
        if head.samples().len() >= ROWS {
            break;
        }
    }
    let built = write(&head, Options::default()).expect("written");
    Block::from_bytes(built.bytes).expect("a block")
});

fn questions() -> Vec<Query> {
    let by = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let series = |names: &[&str]| Question::Series {
        step: 1_000_000_000,
        sum_by: Some(by(names)),
    };
    let matcher = Matcher::new("endpoint", MatchOp::NotEqual, "/api/v1/resource-3").expect("valid");
    let of_rows = |question| Query {
        matchers: vec![matcher.clone()],
        ..query(question)
    };
    vec![
        query(Question::Stacks(GroupBy::Nothing)),
        query(Question::Stacks(GroupBy::SampleLabels)),
        query(Question::Stacks(GroupBy::Labels(by(&["pod", "endpoint"])))),
        of_rows(Question::Stacks(GroupBy::Nothing)),
        of_rows(series(&["pod"])),
        query(series(&["endpoint"])),
        of_rows(Question::LabelValues("endpoint".to_owned())),
    ]
}

/// Groups come in the order in which rows are seen, which nobody relies on.
fn sorted(mut scanned: Scanned) -> Scanned {
    if let Answer::Stacks(partial) = &mut scanned.answer {
        let groups = std::mem::take(&mut partial.groups);
        let mut order: Vec<usize> = (0..groups.len()).collect();
        order.sort_by_key(|at| groups[*at].clone());
        for value in &mut partial.values {
            let place = order.iter().position(|at| *at == value.group as usize);
            value.group = place.expect("each group has a place") as u32;
        }
        partial
            .values
            .sort_by_key(|value| (value.group, value.node));
        partial.groups = order.into_iter().map(|at| groups[at].clone()).collect();
    }
    scanned
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_helps_changes_nothing() {
    for query in questions() {
        let alone = scan_block(&BLOCK, &query, Source::ALONE, &Alone).await;
        let alone = sorted(alone.expect("a good block"));
        for free in [1, 2] {
            let begun = Arc::default();
            let cores = Threads { free, begun };
            let helped = scan_block(&BLOCK, &query, Source::ALONE, &cores).await;
            let helped = sorted(helped.expect("a good block"));
            let is_helped = matches!(query.question, Question::Stacks(_));
            let expected = if is_helped { free } else { 0 };
            assert_eq!(cores.begun.load(Ordering::Relaxed), expected, "{query:?}");
            assert_eq!(helped.stats, alone.stats, "{query:?}");
            assert!(helped == alone, "{query:?}");
        }
    }
}

/// No other core, and little memory.
#[derive(Debug)]
struct Frugal(usize);

impl Budget for Frugal {
    fn free_cores(&self) -> usize {
        0
    }

    fn bytes_max(&self) -> usize {
        self.0
    }

    fn run(&self, work: Work) -> Work {
        work
    }
}

/// Every sample has a span of its own, more or less.
#[tokio::test]
async fn groups_that_there_is_no_memory_for_are_summed_up() {
    let by = || {
        vec![
            "span_id".to_owned(),
            "endpoint".to_owned(),
            "pod".to_owned(),
        ]
    };
    for question in [
        Question::Stacks(GroupBy::Labels(by())),
        Question::Series {
            step: 1,
            sum_by: Some(by()),
        },
    ] {
        let query = query(question);
        let whole = scan_block(&BLOCK, &query, Source::ALONE, &Alone)
            .await
            .expect("a good block");
        let budget = Frugal(whole.bytes() / 4);
        let little = scan_block(&BLOCK, &query, Source::ALONE, &budget)
            .await
            .expect("a good block");
        assert!(
            little.bytes() <= budget.0,
            "{} {}",
            little.bytes(),
            budget.0
        );
        assert_eq!(
            (little.stats.profiles, little.stats.rows),
            (whole.stats.profiles, whole.stats.rows)
        );
        assert!(!whole.stats.is_cut && whole.stats.folded == 0);
        let little_stats = little.stats;
        match (whole.answer, little.answer) {
            (Answer::Stacks(whole), Answer::Stacks(little)) => {
                assert!(little_stats.folded > 0);
                assert_eq!(little.total(), whole.total());
            }
            (Answer::Series(whole), Answer::Series(little)) => {
                assert!(!little.0.is_empty() && little_stats.is_cut);
                for (labels, points) in little.0 {
                    assert!(
                        !points.is_empty()
                            && points
                                .iter()
                                .all(|(time, point)| whole.0[&labels].get(time) == Some(point))
                    );
                }
            }
            _ => panic!("other answers than were asked for"),
        }
    }
}

#[tokio::test]
async fn few_rows_are_nobody_elses_work() {
    let pod = BLOCK.index().await.expect("read").label_sets[0].clone();
    let matchers = ["service_name", "pod"].map(|name| {
        let value = pod.get(name).expect("generated");
        Matcher::new(name, MatchOp::Equal, value).expect("valid")
    });
    let query = Query {
        matchers: matchers.into(),
        ..query(Question::Stacks(GroupBy::Nothing))
    };
    let cores = Threads {
        free: 3,
        begun: Arc::default(),
    };
    let scanned = scan_block(&BLOCK, &query, Source::ALONE, &cores).await;
    let scanned = scanned.expect("a good block");
    assert!(matches!(scanned.answer, Answer::Stacks(_)) && scanned.stats.rows > 0);
    assert_eq!(cores.begun.load(Ordering::Relaxed), 0);
}

/// Whoever stops waiting for a scan stops those who help.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_helps_a_scan_that_was_given_up() {
    let query = query(Question::Stacks(GroupBy::Nothing));
    let (alive, mut gone) = tokio::sync::mpsc::channel::<()>(1);
    let cores = Watched { alive };
    {
        let mut scan = std::pin::pin!(scan_block(&BLOCK, &query, Source::ALONE, &cores));
        // Far enough that somebody helps, and not to the end.
        for _ in 0..3 {
            assert!((&mut scan).now_or_never().is_none());
        }
    }
    drop(cores);
    assert_eq!(gone.recv().await, None);
}

/// Says by the end of a channel when nobody works any more.
#[derive(Debug)]
struct Watched {
    alive: tokio::sync::mpsc::Sender<()>,
}

impl Budget for Watched {
    fn free_cores(&self) -> usize {
        1
    }

    fn run(&self, work: Work) -> Work {
        let alive = self.alive.clone();
        let watched = async move {
            work.await;
            drop(alive);
        };
        async { tokio::spawn(watched).await.expect("it ends well") }.boxed()
    }
}
