//! What an answer took, as a table.

use std::fmt::Write;

use anyhow::Context;
use serde::Deserialize;

/// Asks for it, and holds it.
pub(super) const HEADER: &str = "cairn-explain";

#[derive(Debug, Deserialize)]
struct Summary {
    #[serde(flatten)]
    read: Read,
    #[serde(default)]
    more_steps: usize,
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
struct Step {
    source: String,
    address: String,
    milliseconds: f64,
    #[serde(default)]
    error: String,
    #[serde(flatten)]
    read: Read,
}

#[derive(Debug, Deserialize)]
struct Read {
    profiles: u64,
    rows: u64,
    read_blocks: u64,
    kept_blocks: u64,
    bytes: u64,
}

/// One line per call, the longest first, and one of the sums.
pub(super) fn text(json: &[u8]) -> anyhow::Result<String> {
    let summary: Summary = serde_json::from_slice(json).context("read what the answer took")?;
    let mut out = format!(
        "{:<10} {:>10} {:>7} {:>7} {:>10} {:>12} {:>12}  asked\n",
        "source", "ms", "blocks", "(kept)", "profiles", "rows", "bytes read"
    );
    for step in &summary.steps {
        let ms = format!("{:.3}", step.milliseconds);
        line(&mut out, (&step.source, &ms), &step.read, &step.address);
        if !step.error.is_empty() {
            let _ = writeln!(out, "{:<10} {}", "", step.error);
        }
    }
    if summary.more_steps > 0 {
        let _ = writeln!(out, "and {} shorter calls", summary.more_steps);
    }
    line(&mut out, ("sum", ""), &summary.read, "");
    Ok(out)
}

fn line(out: &mut String, (source, ms): (&str, &str), read: &Read, address: &str) {
    let Read {
        profiles,
        rows,
        read_blocks,
        kept_blocks,
        bytes,
    } = read;
    let text = format!(
        "{source:<10} {ms:>10} {read_blocks:>7} {kept_blocks:>7} {profiles:>10} {rows:>12} {bytes:>12}  {address}"
    );
    let _ = writeln!(out, "{}", text.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_their_sums_are_lines() {
        let json = r#"{"profiles":3,"rows":40,"read_blocks":2,"kept_blocks":1,"bytes":500,"more_steps":2,
            "steps":[{"source":"blocks","address":"http://q","milliseconds":1.5,"error":"late",
            "profiles":3,"rows":40,"read_blocks":2,"kept_blocks":1,"bytes":500}]}"#;
        let text = text(json.as_bytes()).expect("valid");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        let words = |line: &str| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            words(lines[1]),
            ["blocks", "1.500", "2", "1", "3", "40", "500", "http://q"]
        );
        assert_eq!(words(lines[2]), ["late"]);
        assert_eq!(words(lines[4]), ["sum", "2", "1", "3", "40", "500"]);
    }
}
