//! What came of every fault, as a table for people.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use crate::load::Seen;

/// Writes must work again within this time.
const WRITE_OUTAGE_MAX: Duration = Duration::from_secs(15);
/// Questions must be answered again within this time.
const READ_OUTAGE_MAX: Duration = Duration::from_secs(5);

/// One row of the matrix.
#[derive(Clone, Debug)]
pub struct Row {
    pub fault: &'static str,
    pub about: &'static str,
    pub result: Result<Seen, Missed>,
    /// Whether times without service count. On a busy machine they say little.
    pub is_timed: bool,
    /// How long nobody could have answered.
    pub dark: Duration,
}

/// Why there is nothing to show.
#[derive(Clone, Debug)]
pub enum Missed {
    /// The machine can't do this.
    Skipped(String),
    Failed(String),
}

impl Row {
    /// What is wrong, if anything is.
    pub fn faults(&self) -> Vec<String> {
        match &self.result {
            Ok(seen) => self.judge(seen),
            Err(Missed::Skipped(_)) => Vec::new(),
            Err(Missed::Failed(reason)) => vec![reason.clone()],
        }
    }

    fn judge(&self, seen: &Seen) -> Vec<String> {
        let mut faults: Vec<String> = seen.wrong_answers.iter().take(5).cloned().collect();
        if !self.is_timed {
            return faults;
        }
        for (what, outage, max) in [
            ("writes", seen.write_outage, WRITE_OUTAGE_MAX + self.dark),
            ("questions", seen.read_outage, READ_OUTAGE_MAX + self.dark),
        ] {
            if outage > max {
                faults.push(format!("{what} failed for {outage:.1?}, more than {max:?}"));
            }
        }
        faults
    }
}

/// The whole page: what was done, the matrix, and where it was seen.
pub fn page(rows: &[Row], seed: u64) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok());
    let gib = kib.unwrap_or_default().div_ceil(1 << 20);
    let commit = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .output();
    let commit = commit.ok().filter(|said| said.status.success());
    let commit = commit.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned());
    let commit = commit.as_deref().unwrap_or("unknown");
    let profile = match cfg!(debug_assertions) {
        true => "development",
        false => "release",
    };
    let (about, table) = (include_str!("report.md"), table(rows));
    format!(
        "{about}{table}\n{cores} cores, {gib} GiB, commit {commit}, {profile} profile, seed {seed}.\n"
    )
}

/// The matrix as Markdown.
pub fn table(rows: &[Row]) -> String {
    let mut out = String::from(
        "| fault | what happens | acknowledged | sent again | unknown | lost or doubled | writes out | questions out | of which dark | flagged answers | result |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let Row {
            fault,
            about,
            result,
            dark,
            is_timed: _,
        } = row;
        let cells = match result {
            Ok(seen) => {
                let Seen {
                    acknowledged,
                    failed_pushes,
                    unknown,
                    write_outage,
                    read_outage,
                    partial_answers,
                    wrong_answers,
                    ..
                } = seen;
                let verdict = if row.judge(seen).is_empty() {
                    "held"
                } else {
                    "**broken**"
                };
                format!(
                    "{acknowledged} | {failed_pushes} | {unknown} | {} | {:.1} s | {:.1} s | {} | {partial_answers} | {verdict}",
                    wrong_answers.len(),
                    write_outage.as_secs_f64(),
                    read_outage.as_secs_f64(),
                    match dark.is_zero() {
                        true => String::new(),
                        false => format!("{dark:?}"),
                    },
                )
            }
            Err(Missed::Skipped(reason)) => format!("| | | | | | | | skipped: {reason}"),
            Err(Missed::Failed(reason)) => format!("| | | | | | | | **failed**: {reason}"),
        };
        writeln!(out, "| {fault} | {about} | {cells} |").expect("a string takes everything");
    }
    out
}
