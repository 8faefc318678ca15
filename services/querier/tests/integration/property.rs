//! Every report of random profiles equals what a loop over all their rows gives: from one querier
//! and from several, before and after blocks are merged, with blocks that are missing or damaged.
//!
//! `CAIRN_QUERY_CASES` says how many cases; each asks for everything.

mod case;
pub(crate) mod cluster;
mod expected;
mod names;
mod pages;
mod parca;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use cairn_block::Head;
use http::{HeaderMap, Request};
use http_body_util::Full;
use proptest::test_runner::{Config, TestRunner};

use self::case::{Asked, Case, cases};
use self::cluster::{Cluster, Fate, Written, url};
use crate::fixture::send;

const CASES: u32 = 12;
const TIMEOUT: Duration = Duration::from_secs(30);

/// A querier that is asked, and what its answers must miss.
pub(crate) struct Place<'a> {
    address: SocketAddr,
    /// For messages.
    name: &'a str,
    /// Blocks that can't be read.
    missing: Vec<String>,
}

impl Place<'_> {
    fn url(&self) -> String {
        url(self.address)
    }

    fn said(&self, what: &str) -> String {
        format!("{what} from {}", self.name)
    }

    /// Answers name each block that is missing from them, and nothing else.
    fn check_flags(&self, headers: &HeaderMap) {
        let all = headers.get_all("cairn-warning").iter();
        let texts: BTreeSet<String> = all.map(|text| text.to_str().unwrap().to_owned()).collect();
        let flagged = headers.contains_key("cairn-partial");
        assert_eq!(
            flagged,
            !self.missing.is_empty(),
            "{}: {texts:?}",
            self.name
        );
        let named = texts.iter().map(|text| {
            let rest = text.strip_prefix("block ").unwrap_or(text);
            rest.split(':').next().unwrap_or_default().to_owned()
        });
        let missing = self.missing.iter().cloned().collect::<BTreeSet<_>>();
        assert_eq!(named.collect::<BTreeSet<_>>(), missing, "{texts:?}");
    }

    async fn get(&self, path: &str) -> Bytes {
        let request = Request::get(format!("{}{path}", self.url()));
        let response = send(request.body(Full::default()).unwrap()).await;
        let text = String::from_utf8_lossy(response.body()).into_owned();
        assert_eq!(response.status(), 200, "{path}: {text}");
        self.check_flags(response.headers());
        response.into_body()
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

#[expect(clippy::disallowed_methods, reason = "a test's own knob")]
fn cases_asked_for() -> u32 {
    let cases = std::env::var("CAIRN_QUERY_CASES");
    cases.map_or(CASES, |cases| cases.parse().unwrap())
}

/// Runs every case against one cluster.
fn each(repeats: bool, check: impl AsyncFn(&mut Cluster, Case)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let cluster = runtime.block_on(Cluster::start(TIMEOUT));
    let state = std::cell::RefCell::new((cluster, 0));
    let mut runner = TestRunner::new(Config {
        cases: cases_asked_for(),
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&cases(repeats), |case| {
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

async fn ask_everything(cluster: &Cluster, asked: &Asked, missing: &[String], when: &str) {
    for (address, who) in cluster
        .asked()
        .into_iter()
        .zip(["one querier", "several queriers"])
    {
        let place = Place {
            address,
            name: &format!("{who}, {when}"),
            missing: missing.to_vec(),
        };
        parca::check(&place, asked).await;
        pages::check(&place, asked).await;
    }
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
    each(true, async |cluster, case| {
        let asked = case.asked();
        let written = write(cluster, &case).await;
        ask_everything(cluster, &asked, &[], "before merging").await;
        let mut blocks: Vec<Written> = written.into_iter().map(|(written, _)| written).collect();
        if blocks.len() < 2 {
            return;
        }
        let rest = blocks.split_off(2);
        let merged = cluster.merge(&blocks).await;
        if rest.is_empty() {
            ask_everything(cluster, &asked, &[], "merged").await;
        } else {
            let mut all = vec![merged];
            all.extend(rest);
            cluster.merge(&all).await;
            ask_everything(cluster, &asked, &[], "merged twice").await;
        }
    });
}

#[test]
fn reports_without_some_blocks_say_which_and_equal_the_other_rows() {
    each(false, async |cluster, case| {
        let asked = case.asked();
        let written = write(cluster, &case).await;
        let lost = written
            .iter()
            .filter(|(block, fate)| *fate != Fate::Stored && block.range.overlaps(&asked.range));
        let missing: Vec<String> = lost.map(|(block, _)| block.id.to_string()).collect();
        ask_everything(cluster, &asked, &missing, "with damage").await;
    });
}
