//! Every report of random profiles equals what a loop over all their rows gives: from one querier,
//! from several, and from several of which one is dead; before and after blocks are merged; with
//! blocks that are missing, damaged or too late.
//!
//! `CAIRN_QUERY_CASES` says how many cases, each of which then asks everybody for everything. Without
//! it they are few, and take turns in what they ask whom.

mod case;
mod client;
pub(crate) mod cluster;
mod expected;
mod exports;
mod filters;
mod growth;
mod growth_compared;
mod growth_over_time;
mod names;
mod pages;
mod parca;
mod parca_chart;
mod parca_diff;
mod parca_graph;
mod parca_names;
mod parca_share;
mod profiles;
mod pyroscope;
mod pyroscope_exemplars;
mod pyroscope_heatmap;
mod pyroscope_names;
mod pyroscope_series;
mod read;
mod render;
mod shape;
mod singles;
mod stacks;
mod trimmed;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use cairn_block::Head;
use cairn_model::TimeRange;
use futures::future::{BoxFuture, join_all};
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use proptest::test_runner::{Config, TestRunner};

use self::case::{Asked, Case, Fault, cases};
use self::cluster::{Cluster, Fate, Written, url};
use crate::fixture::send;

const CASES: u32 = 12;
const TIMEOUT: Duration = Duration::from_secs(30);
/// Of queries that blocks are too late for.
const PATIENCE: Duration = Duration::from_secs(4);
/// Other cases for each of those.
const PER_LATE_CASE: u32 = 20;

/// A querier that is asked, and what its answers must miss.
#[derive(Clone)]
pub(crate) struct Place<'a> {
    address: SocketAddr,
    /// For messages.
    name: &'a str,
    /// Blocks that can't be read.
    missing: Vec<String>,
    /// All that the catalog knows of the case, whether they can be read or not.
    blocks: &'a [Written],
    /// Times of all profiles of blocks, of all cases.
    stored: Option<TimeRange>,
    /// Whether some stacks of counters have less than before.
    has_shrunk: bool,
}

impl Place<'_> {
    fn url(&self) -> String {
        url(self.address)
    }

    fn said(&self, what: &str) -> String {
        format!("{what} from {}", self.name)
    }

    /// The same where stacks of counters have less than before, or not.
    fn shrinking(&self, has_shrunk: bool) -> Self {
        Self {
            has_shrunk,
            ..self.clone()
        }
    }

    /// The same where no block is read.
    fn whole(&self) -> Self {
        Self {
            missing: Vec::new(),
            ..self.clone()
        }
    }

    /// The same where only profiles of this range are looked for.
    fn within(&self, range: TimeRange) -> Self {
        let is_within = |id: &&String| {
            let mut blocks = self.blocks.iter();
            blocks.any(|block| block.id.to_string() == **id && block.range.overlaps(&range))
        };
        Self {
            missing: self.missing.iter().filter(is_within).cloned().collect(),
            ..self.clone()
        }
    }

    /// Answers name each block that is missing from them, and nothing else.
    fn check_flags(&self, headers: &HeaderMap) {
        let all = headers.get_all("cairn-warning").iter();
        let mut texts: BTreeSet<String> =
            all.map(|text| text.to_str().unwrap().to_owned()).collect();
        let flagged = headers.contains_key("cairn-partial");
        let is_partial = self.has_shrunk || !self.missing.is_empty();
        assert_eq!(flagged, is_partial, "{}: {texts:?}", self.name);
        let shrunk = texts.extract_if(.., |text| text.contains("less at the end"));
        assert_eq!(shrunk.count() > 0, self.has_shrunk, "{}", self.name);
        let named = texts.iter().map(|text| {
            let rest = text.strip_prefix("block ").unwrap_or(text);
            rest.split(':').next().unwrap_or_default().to_owned()
        });
        let missing = self.missing.iter().cloned().collect::<BTreeSet<_>>();
        assert_eq!(named.collect::<BTreeSet<_>>(), missing, "{texts:?}");
    }

    async fn get(&self, path: &str) -> Bytes {
        let response = self.get_unflagged(path).await;
        self.check_flags(response.headers());
        response.into_body()
    }

    async fn get_unflagged(&self, path: &str) -> Response<Bytes> {
        let request = Request::get(format!("{}{path}", self.url()));
        let response = send(request.body(Full::default()).unwrap()).await;
        let text = String::from_utf8_lossy(response.body()).into_owned();
        assert_eq!(response.status(), 200, "{path}: {text}");
        response
    }

    async fn json(&self, path: &str) -> serde_json::Value {
        serde_json::from_slice(&self.get(path).await).unwrap()
    }
}

/// Labels of samples without a value may show where no row was read.
fn names_agree(got: Vec<String>, expected: BTreeSet<String>, asked: &Asked, what: &str) {
    let got: BTreeSet<String> = got.into_iter().collect();
    if asked.has_zeros {
        assert!(
            got.is_superset(&expected),
            "{what}: {got:?} lacks some of {expected:?}"
        );
    } else {
        assert_eq!(got, expected, "{what}");
    }
}

/// None unless somebody runs the test by hand.
#[expect(clippy::disallowed_methods, reason = "a test's own knob")]
fn cases_asked_for() -> Option<u32> {
    let cases = std::env::var("CAIRN_QUERY_CASES").ok()?;
    Some(cases.parse().unwrap())
}

/// A part of what can be asked.
type Family = for<'a> fn(&'a Place<'a>, &'a Asked) -> BoxFuture<'a, ()>;

const FAMILIES: [Family; 3] = [
    |place, asked| Box::pin(parca::check(place, asked)),
    |place, asked| Box::pin(pyroscope::check(place, asked)),
    |place, asked| {
        let pages = pages::check(place, asked);
        Box::pin(async {
            futures::join!(
                pages,
                Box::pin(exports::check(place, asked)),
                Box::pin(growth::check(place, asked))
            );
        })
    },
];

/// Runs every case against one cluster.
fn each(fault: Fault, check: impl AsyncFn(&mut Cluster, Case)) {
    let cases_max = cases_asked_for().unwrap_or(CASES);
    let (number, timeout, shrinks) = match fault {
        Fault::Repeats | Fault::Damage => (cases_max, TIMEOUT, 200),
        // Every question takes as long as a query may.
        Fault::Lateness => (cases_max.div_ceil(PER_LATE_CASE), PATIENCE, 0),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let cluster = runtime.block_on(Cluster::start(timeout));
    let state = std::cell::RefCell::new((cluster, 0));
    let mut runner = TestRunner::new(Config {
        cases: number,
        max_shrink_iters: shrinks,
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&cases(fault), |case| {
        let (cluster, number) = &mut *state.borrow_mut();
        *number += 1;
        runtime.block_on(check(cluster, case.at(*number)));
        Ok(())
    });
    if let Err(failed) = result {
        panic!("{failed}");
    }
    runtime.block_on(state.into_inner().0.stop());
}

async fn ask_everything(
    cluster: &Cluster,
    asked: &Asked,
    (blocks, missing): (&[Written], &[String]),
    when: &str,
) {
    let families: &[Family] = match cases_asked_for() {
        Some(_) => &FAMILIES,
        None => &FAMILIES[..1],
    };
    let turn = cluster.turn();
    let all = cluster.asked().into_iter().zip(turn..);
    let all = all.map(|((address, who), turn)| async move {
        let place = Place {
            address,
            name: &format!("{who}, {when}"),
            missing: missing.to_vec(),
            blocks,
            stored: cluster.stored,
            has_shrunk: false,
        };
        let families = families.iter().enumerate();
        let families = families.map(|(at, _)| FAMILIES[(at + turn) % FAMILIES.len()]);
        join_all(families.map(|family| family(&place, asked))).await;
    });
    join_all(all).await;
}

/// Writes the blocks of a case that hold something, and the tail.
async fn write(cluster: &mut Cluster, case: &Case) -> Vec<(Written, Fate)> {
    let mut heads = case.heads();
    cluster.set_tail(heads.pop().unwrap());
    let fates = heads.into_iter().zip(case.fates);
    let filled: Vec<(Head, Fate)> = fates.filter(|(head, _)| !head.is_empty()).collect();
    let written = cluster.add(&filled).await;
    written
        .into_iter()
        .zip(filled)
        .map(|(written, (_, fate))| (written, fate))
        .collect()
}

#[test]
fn every_report_equals_the_rows_before_and_after_merging() {
    each(Fault::Repeats, async |cluster, case| {
        let asked = case.asked();
        let written = write(cluster, &case).await;
        let mut blocks: Vec<Written> = written.into_iter().map(|(written, _)| written).collect();
        ask_everything(cluster, &asked, (&blocks, &[]), "before merging").await;
        if blocks.len() < 2 {
            return;
        }
        let rest = blocks.split_off(2);
        let merged = cluster.merge(&blocks).await;
        let mut all = vec![merged];
        if rest.is_empty() {
            ask_everything(cluster, &asked, (&all, &[]), "merged").await;
        } else {
            all.extend(rest);
            let merged = [cluster.merge(&all).await];
            ask_everything(cluster, &asked, (&merged, &[]), "merged twice").await;
        }
    });
}

/// Asks for everything where some blocks can't be read.
async fn without_some(cluster: &mut Cluster, case: Case, when: &str) {
    let asked = case.asked();
    let written = write(cluster, &case).await;
    let lost = written
        .iter()
        .filter(|(block, fate)| *fate != Fate::Stored && block.range.overlaps(&asked.range));
    let missing: Vec<String> = lost.map(|(block, _)| block.id.to_string()).collect();
    let blocks: Vec<Written> = written.into_iter().map(|(written, _)| written).collect();
    ask_everything(cluster, &asked, (&blocks, &missing), when).await;
}

#[test]
fn reports_without_some_blocks_say_which_and_equal_the_other_rows() {
    each(Fault::Damage, async |cluster, case| {
        without_some(cluster, case, "with damage").await;
    });
}

#[test]
fn reports_do_not_wait_for_blocks_that_come_too_late_and_say_which() {
    each(Fault::Lateness, async |cluster, case| {
        without_some(cluster, case, "in time").await;
    });
}
