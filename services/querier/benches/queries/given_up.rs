//! How soon the work for a question ends when whoever asked has gone.

use std::time::{Duration, Instant};

use cairn_model::TenantId;

use crate::data::Data;
use crate::latency::{QUESTIONS, path};
use crate::percentile;
use crate::stand::{Stand, ask, metric};

const QUERIES: usize = 50;
/// Enough for scans to have begun, and too little for an answer.
const WAITED: Duration = Duration::from_millis(60);
const TARGET: Duration = Duration::from_millis(100);

pub(crate) async fn print() {
    let data = Data::of(&TenantId::anonymous(), 10_000_000, 100).unwrap();
    let mut stand = Stand::start().await;
    stand.add(&data.blocks).await;
    stand.set_first_byte(Duration::from_millis(30));
    let process = stand.querier().await;
    let mut times = Vec::new();
    for number in 0..QUERIES {
        let path = path(QUESTIONS[0], &data, number);
        let asked = tokio::time::timeout(WAITED, ask(process.address(), &path)).await;
        assert!(asked.is_err(), "it was answered before anybody gave up");
        let start = Instant::now();
        while metric(process.admin_address(), "cairn_querier_running_scans").await > 0.0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times.push(start.elapsed());
    }
    let ms = |times: &mut [Duration], percent| percentile(times, percent).as_secs_f64() * 1e3;
    println!(
        "\nflame graphs of 10 M rows in 100 blocks at 30 ms, given up after {} ms: until no scan \
         goes on any more\n",
        WAITED.as_millis()
    );
    println!("| p50 | p99 | longest | target |");
    println!("|---|---|---|---|");
    println!(
        "| {:.1} ms | {:.1} ms | {:.1} ms | {} ms |",
        ms(&mut times, 50),
        ms(&mut times, 99),
        ms(&mut times, 100),
        TARGET.as_millis()
    );
    process.stop().await.unwrap();
    stand.stop().await;
}
