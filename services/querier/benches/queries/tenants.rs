//! What one tenant's short queries wait for while another one asks about everything it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cairn_chassis::{Options, Process};
use cairn_model::TenantId;
use cairn_querier::bench::Queries;

use crate::data::Data;
use crate::percentile;
use crate::stand::Stand;

/// Queries of each tenant, one after the other; of the one with much data several at a time. So many
/// that the p99 is not the bad luck of two or three.
const SHORT: usize = 1_000;
const LONG_AT_ONCE: usize = 4;
const TARGET: f64 = 2.0;

pub(crate) async fn print() {
    let (small, large) = (tenant("small"), tenant("large"));
    let window = Data::of(&small, 1_000_000, 10).unwrap();
    let month = Arc::new(Data::of(&large, 10_000_000, 100).unwrap());
    let mut stand = Stand::start().await;
    stand.add(&window.blocks).await;
    stand.add(&month.blocks).await;
    let process = Process::bind(Options::for_tests(), &["bench"]).await;
    let process = process.unwrap();
    let queries = Queries::open(stand.config(), process.context("bench")).await;
    let queries = Arc::new(queries.unwrap());
    // What both have read is kept.
    ask(&queries, &small, &window, 0).await;
    ask(&queries, &large, &month, 0).await;
    let mut alone = short(&queries, &small, &window, 1_000).await;

    let (stop, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let long = (0..LONG_AT_ONCE).map(|at| {
        let (queries, large, month) = (Arc::clone(&queries), large.clone(), Arc::clone(&month));
        let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
        // As requests are, which do not wait for each other's computing.
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let number = done.fetch_add(1, Ordering::Relaxed);
                ask(&queries, &large, &month, at * 1_000_000 + number + 1).await;
            }
        })
    });
    let long: Vec<_> = long.collect();
    let beside = async {
        let times = short(&queries, &small, &window, 10_000).await;
        stop.store(true, Ordering::Relaxed);
        times
    };
    let (mut beside, ended) = futures::join!(beside, futures::future::try_join_all(long));
    // Without the other tenant's queries there is nothing to compare.
    ended.unwrap();
    let ms = |times: &mut [Duration], percent| percentile(times, percent).as_secs_f64() * 1e3;
    let ratio = ms(&mut beside, 99) / ms(&mut alone, 99);
    println!(
        "\ntwo tenants: flame graphs of 1 M rows in 10 blocks, warm, while the other asks {LONG_AT_ONCE} \
         at a time about 10 M rows in 100 blocks ({} answered):\n",
        done.load(Ordering::Relaxed).saturating_sub(LONG_AT_ONCE)
    );
    println!("| | p50 | p99 |");
    println!("|---|---|---|");
    for (name, times) in [("alone", &mut alone), ("beside", &mut beside)] {
        println!(
            "| {name} | {:.1} ms | {:.1} ms |",
            ms(times, 50),
            ms(times, 99)
        );
    }
    let verdict = if ratio <= TARGET { "met" } else { "missed" };
    println!("\np99 beside is {ratio:.1} times that alone; the target is {TARGET}: {verdict}");
    process.stop().await.unwrap();
    stand.stop().await;
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

async fn short(queries: &Queries, tenant: &TenantId, data: &Data, first: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    for number in 0..SHORT {
        times.push(ask(queries, tenant, data, first + number).await);
    }
    times
}

/// `number` is in the words of the question, so that no kept answer helps.
async fn ask(queries: &Queries, tenant: &TenantId, data: &Data, number: usize) -> Duration {
    let selector = format!(
        "process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta{{namespace!=\"none-{number}\"}}"
    );
    let start = Instant::now();
    let total = queries.flame(tenant, &selector, data.range).await.unwrap();
    assert!(total > 0);
    start.elapsed()
}
