//! Latency by question, rows, blocks and store, and of one window while more and more is stored.

use std::net::SocketAddr;
use std::time::Duration;

use cairn_chassis::Process;
use cairn_model::{TenantId, TimeRange};

use crate::data::Data;
use crate::stand::{Stand, ask};
use crate::{numbers, percentile};

const TYPE: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta";
pub(crate) const QUESTIONS: [&str; 5] = [
    "flame graph",
    "range by pod",
    "values of pod",
    "trace id",
    "diff",
];
/// What takes longer is asked once.
const LONG: Duration = Duration::from_secs(5);
const COLD: usize = 3;
const WARM: usize = 7;
/// What one core scans at most, and the reads that follow one another if a block's index and then
/// its rows are read.
const ROWS_PER_SECOND: f64 = 300e6;
const READS: f64 = 2.0;

/// Medians, or why there are none.
struct Times {
    cold: Result<Duration, String>,
    warm: Result<Duration, String>,
    repeated: Result<Duration, String>,
}

pub(crate) async fn print() {
    println!("\nlatency, milliseconds; the limit is {READS} reads and the rows at 300 M/s/core:\n");
    println!(
        "| rows | blocks | first byte | question | cold | warm | repeated | limit, cold / warm |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for rows in numbers("rows", &[1_000_000, 10_000_000]) {
        for blocks in numbers("blocks", &[1, 100]) {
            let tenant = TenantId::anonymous();
            let Some(data) = Data::of(&tenant, rows, blocks) else {
                println!(
                    "| {} | {blocks} | | not measured: {} rows a block | | | | |",
                    count(rows),
                    count(rows / blocks)
                );
                continue;
            };
            let mut stand = Stand::start().await;
            stand.add(&data.blocks).await;
            for first_byte in numbers("first-byte", &[0, 30]) {
                stand.set_first_byte(Duration::from_millis(first_byte));
                for question in QUESTIONS {
                    let times = times(&stand, question, &data).await;
                    let wait = first_byte as f64 * READS;
                    let scan = scanned(question, data.rows) / ROWS_PER_SECOND / cores() * 1e3;
                    println!(
                        "| {} | {blocks} | {first_byte} ms | {question} | {} | {} | {} | {:.0} / {:.0} |",
                        count(rows),
                        ms(&times.cold),
                        ms(&times.warm),
                        ms(&times.repeated),
                        wait + scan,
                        scan,
                    );
                }
            }
            stand.stop().await;
        }
    }
}

/// A window of a day with one, ten and a hundred such days stored.
pub(crate) async fn print_curve() {
    println!("\none window of 10 M rows in 100 blocks, milliseconds; flat is the target:\n");
    println!("| stored | blocks | first byte | flame graph, cold | warm | repeated |");
    println!("|---|---|---|---|---|---|");
    let tenant = TenantId::anonymous();
    let data = Data::of(&tenant, 10_000_000, 100).unwrap();
    for times_stored in [1, 10, 100] {
        let mut stand = Stand::start().await;
        stand.add(&data.blocks).await;
        let earlier = data.earlier(times_stored);
        let blocks = earlier.len() + data.blocks.len();
        stand.record(earlier).await;
        for first_byte in [0, 30] {
            stand.set_first_byte(Duration::from_millis(first_byte));
            let times = times(&stand, QUESTIONS[0], &data).await;
            println!(
                "| {times_stored}x | {blocks} | {first_byte} ms | {} | {} | {} |",
                ms(&times.cold),
                ms(&times.warm),
                ms(&times.repeated),
            );
        }
        stand.stop().await;
    }
}

async fn times(stand: &Stand, question: &str, data: &Data) -> Times {
    let mut cold = Vec::new();
    let mut process: Option<Process> = None;
    while cold.len() < COLD {
        if let Some(before) = process.take() {
            before.stop().await.unwrap();
        }
        let fresh = stand.querier().await;
        let took = ask(fresh.address(), &path(question, data, 0)).await;
        process = Some(fresh);
        let is_enough = took.as_ref().map_or(true, |took| *took > LONG);
        cold.push(took);
        if is_enough {
            break;
        }
    }
    let process = process.unwrap();
    let address = process.address();
    // Other matchers that every row fulfils, so that no kept answer helps.
    let warm = several(address, |number| path(question, data, 1 + number)).await;
    let repeated = several(address, |_| path(question, data, 1)).await;
    process.stop().await.unwrap();
    Times {
        cold: median(cold),
        warm: median(warm),
        repeated: median(repeated),
    }
}

async fn several(
    address: SocketAddr,
    path: impl Fn(usize) -> String,
) -> Vec<Result<Duration, String>> {
    let mut all = Vec::new();
    for number in 0..WARM {
        let took = ask(address, &path(number)).await;
        let is_enough = took.as_ref().map_or(true, |took| *took > LONG);
        all.push(took);
        if is_enough {
            break;
        }
    }
    all
}

fn median(all: Vec<Result<Duration, String>>) -> Result<Duration, String> {
    let mut times = all.into_iter().collect::<Result<Vec<Duration>, String>>()?;
    Ok(percentile(&mut times, 50))
}

/// The `variant`s of a question differ in their words only.
pub(crate) fn path(question: &str, data: &Data, variant: usize) -> String {
    let TimeRange { start, end } = data.range;
    let middle = start + (end - start) / 2;
    let mut matchers = format!("namespace!=\"none-{variant}\"");
    if question == "trace id" {
        matchers += &format!(",trace_id=\"{}\"", data.trace_id);
    }
    let query: String =
        form_urlencoded::byte_serialize(format!("{TYPE}{{{matchers}}}").as_bytes()).collect();
    let all = format!("query={query}&from={start}&until={end}");
    match question {
        "flame graph" | "trace id" => format!("/api/v1/flamegraph?{all}"),
        "range by pod" => format!("/api/v1/series?{all}&step=60&group_by=pod"),
        "values of pod" => format!("/api/v1/labels/pod/values?{all}"),
        _ => {
            let sides = format!("from={start}&until={middle}&b_from={middle}&b_until={end}");
            format!("/api/v1/diff?query={query}&{sides}")
        }
    }
}

/// Rows that the question is about, of one of the two types that all profiles have.
fn scanned(question: &str, rows: u64) -> f64 {
    match question {
        "flame graph" | "diff" => rows as f64 / 2.0,
        _ => 0.0,
    }
}

fn cores() -> f64 {
    std::thread::available_parallelism().unwrap().get() as f64
}

fn count(rows: u64) -> String {
    match rows {
        1_000_000.. => format!("{} M", rows / 1_000_000),
        _ => rows.to_string(),
    }
}

fn ms(time: &Result<Duration, String>) -> String {
    match time {
        Ok(time) => format!("{:.1}", time.as_secs_f64() * 1e3),
        Err(why) => format!(
            "failed: {}",
            why.chars().take(80).collect::<String>().replace('|', "/")
        ),
    }
}
