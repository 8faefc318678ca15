//! What answering took: who was asked for what, what they read, and how long it took.

use std::sync::Arc;
use std::time::Duration;

use cairn_engine::Stats;
use cairn_engine::exchange::Cost;
use parking_lot::Mutex;
use serde::Serialize;

/// Steps of one request so far. Cheap to clone; clones share the steps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Explain(Arc<Mutex<Vec<Step>>>);

/// One call to somebody.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Step {
    /// What was asked of: `catalog`, `blocks`, `tail`, `log` or `symbolizer`.
    pub(crate) source: &'static str,
    /// Who was asked.
    pub(crate) address: String,
    pub(crate) milliseconds: f64,
    /// Names of the blocks that were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) blocks: Vec<String>,
    /// What went wrong, if something did.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) error: String,
    /// Why addresses have no name, most of them first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unnamed: Vec<Unnamed>,
    #[serde(flatten)]
    pub(crate) read: Read,
}

/// Addresses of one binary that have no name for the same reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Unnamed {
    pub(crate) build_id: String,
    pub(crate) addresses: u64,
    pub(crate) reason: String,
}

/// What was read. Sums up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Read {
    pub(crate) profiles: u64,
    pub(crate) rows: u64,
    /// Blocks that were read, or whose answer was kept.
    pub(crate) read_blocks: u64,
    /// Blocks whose answer was kept from before.
    pub(crate) kept_blocks: u64,
    /// About how many bytes came from the object store: what others read of the same block at the
    /// same time counts too.
    pub(crate) bytes: u64,
}

/// All steps and their sums.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    #[serde(flatten)]
    read: Read,
    /// Steps that are left out below, since there are too many.
    #[serde(skip_serializing_if = "is_zero")]
    more_steps: usize,
    steps: Vec<Step>,
}

/// What of it fits into a header.
const HEADER_STEPS_MAX: usize = 16;
const HEADER_ERROR_CHARS_MAX: usize = 120;

impl Explain {
    pub(crate) fn add(&self, step: Step) {
        self.0.lock().push(step);
    }

    pub(crate) fn summary(&self) -> Summary {
        let steps = self.0.lock().clone();
        let mut read = Read::default();
        steps.iter().for_each(|step| read.add(step.read));
        Summary {
            read,
            more_steps: 0,
            steps,
        }
    }
}

impl Summary {
    /// Without names of blocks, and with the longest steps only: what a header can hold.
    pub(crate) fn short(mut self) -> Self {
        for step in &mut self.steps {
            step.blocks.clear();
            step.unnamed.clear();
            step.error = step.error.chars().take(HEADER_ERROR_CHARS_MAX).collect();
        }
        let time = |step: &Step| step.milliseconds;
        self.steps.sort_by(|a, b| time(b).total_cmp(&time(a)));
        self.more_steps = self.steps.len().saturating_sub(HEADER_STEPS_MAX);
        self.steps.truncate(HEADER_STEPS_MAX);
        self
    }
}

impl Step {
    pub(crate) fn took(mut self, time: Duration) -> Self {
        self.milliseconds = (time.as_secs_f64() * 1e6).round() / 1e3;
        self
    }
}

impl Read {
    pub(crate) fn of(stats: &Stats, cost: Cost) -> Self {
        Self {
            profiles: stats.profiles,
            rows: stats.rows,
            read_blocks: stats.blocks,
            kept_blocks: cost.kept_blocks,
            bytes: cost.bytes,
        }
    }

    fn add(&mut self, other: Self) {
        self.profiles += other.profiles;
        self.rows += other.rows;
        self.read_blocks += other.read_blocks;
        self.kept_blocks += other.kept_blocks;
        self.bytes += other.bytes;
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_holds_the_sums_and_the_longest_steps() {
        let explain = Explain::default();
        for at in 1..=20 {
            let step = Step {
                source: "blocks",
                blocks: vec!["01A".to_owned()],
                read: Read {
                    rows: at,
                    ..Read::default()
                },
                ..Step::default()
            };
            explain.add(step.took(Duration::from_micros(at)));
        }
        let whole = serde_json::to_value(explain.summary()).expect("plain data");
        assert_eq!(whole["rows"], 210);
        assert_eq!(whole["steps"].as_array().map(Vec::len), Some(20));
        assert_eq!(whole["steps"][0]["blocks"][0], "01A");
        let short = serde_json::to_value(explain.summary().short()).expect("plain data");
        assert_eq!(
            (&short["rows"], &short["more_steps"]),
            (&210.into(), &4.into())
        );
        assert_eq!(short["steps"][0]["milliseconds"], 0.02);
        assert_eq!(short["steps"][0].get("blocks"), None);
    }
}
