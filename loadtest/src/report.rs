//! The one table that a run ends with.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use crate::read::Seen;
use crate::run::{Outcome, Plan};

pub(crate) fn print(plan: &Plan, outcome: &Outcome) -> std::io::Result<()> {
    std::io::stdout().write_all(table(plan, outcome).as_bytes())
}

fn table(plan: &Plan, outcome: &Outcome) -> String {
    let seconds = outcome.elapsed.as_secs_f64().max(1e-9);
    let samples: u64 = outcome.samples.iter().sum();
    let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    let per_second = |count: u64| format!("{:.0}/s", count as f64 / seconds);
    let speed = |bytes: u64| format!("{:.1} MB/s", bytes as f64 / 1e6 / seconds);
    let latency = |percent| {
        format!(
            "{:.1} ms",
            at(&outcome.latencies, percent).as_secs_f64() * 1e3
        )
    };
    let rows = [
        (
            "workload",
            plan.workload.name.clone(),
            format!("seed {}", plan.workload.seed),
        ),
        ("run", plan.run.clone(), String::new()),
        (
            "acked profiles",
            outcome.profiles.to_string(),
            per_second(outcome.profiles),
        ),
        ("acked samples", samples.to_string(), per_second(samples)),
        (
            "acked rows",
            outcome.rows.to_string(),
            per_second(outcome.rows),
        ),
        (
            "pprof bytes",
            megabytes(outcome.plain_bytes),
            speed(outcome.plain_bytes),
        ),
        (
            "sent bytes (gzip)",
            megabytes(outcome.sent_bytes),
            speed(outcome.sent_bytes),
        ),
        ("seconds", format!("{seconds:.1}"), String::new()),
        ("latency p50, p99", latency(50), latency(99)),
        (
            "refused, sent again",
            outcome.refused.to_string(),
            String::new(),
        ),
    ];
    let mut text = String::new();
    for (what, value, rate) in &rows {
        line(&mut text, (what, value.as_str(), rate.as_str()));
    }
    text + &answers(&outcome.seen)
}

fn line(text: &mut String, (what, value, rate): (&str, &str, &str)) {
    let line = format!("{what:<20} {value:>16} {rate:>14}");
    writeln!(text, "{}", line.trim_end()).expect("writing to a string succeeds");
}

/// What those waited for who asked meanwhile; nothing if nobody did.
fn answers(seen: &Seen) -> String {
    let mut text = String::new();
    for (question, latencies) in &seen.latencies {
        let ms = |percent| format!("{:.1} ms", at(latencies, percent).as_secs_f64() * 1e3);
        let name = format!("{} p50, p99", question.name());
        line(&mut text, (&name, &ms(50), &ms(99)));
        line(&mut text, ("  answers", &latencies.len().to_string(), ""));
    }
    if !text.is_empty() || seen.failed > 0 {
        line(
            &mut text,
            ("partial answers", &seen.partial.to_string(), ""),
        );
        line(
            &mut text,
            ("failed questions", &seen.failed.to_string(), ""),
        );
    }
    if let Some(failure) = &seen.failure {
        line(&mut text, ("  the last one", failure, ""));
    }
    text
}

/// The smallest latency that `percent` of all do not exceed.
fn at(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_values_measured() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(at(&sorted, 50), Duration::from_millis(100));
        assert_eq!(at(&sorted, 99), Duration::from_millis(198));
        assert_eq!(at(&sorted[..1], 99), Duration::from_millis(1));
        assert_eq!(at(&[], 50), Duration::ZERO);
    }
}
