//! The settings of a querier. Each has a default that suits all services in one process.

use std::path::PathBuf;
use std::time::Duration;

use cairn_chassis::config;
use serde::{Deserialize, Serialize};

/// The settings of a querier.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where blocks are read from.
    pub store: cairn_store::Config,
    /// The queriers that share the scanning of blocks, as URIs, this one included: the same list
    /// everywhere. Empty: this process alone.
    pub workers: Vec<String>,
    /// Ingesters that serve the catalog, as URIs. Empty: this process.
    pub catalog: config::Addresses,
    /// A symbolizer, as a URI. Empty: this process.
    pub symbolizer: String,
    pub limits: Limits,
    pub hedge: Hedge,
    pub cache: Cache,
    pub share: Share,
    pub ui: Ui,
}

/// What one query may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// A query that takes longer is given up; clients may ask for less.
    #[serde(with = "humantime_serde")]
    pub query_timeout: Duration,
    /// Names that take longer are left out of the answer.
    #[serde(with = "humantime_serde")]
    pub symbolize_timeout: Duration,
    /// How long a writer may take to answer for what is in its memory before its log in the object
    /// store is read instead. A log on a writer's own disk can't be.
    #[serde(with = "humantime_serde")]
    pub tail_timeout: Duration,
    /// Bytes of one message, in and out.
    pub message_bytes_max: usize,
    /// Bytes of one worker's whole answer.
    pub answer_bytes_max: usize,
    /// Answers of workers that one process merges. Where there are more workers, some of them merge
    /// those of others first.
    pub fan_in_max: usize,
    /// Blocks that one request to a worker scans at a time, as far as `scan_bytes_max` lets it.
    pub block_scans_max: usize,
    /// Blocks kept open between queries.
    pub open_blocks_max: usize,
    /// Memory of those blocks: their indexes, and the stacks that were asked for.
    pub open_block_bytes_max: u64,
    /// Bytes of blocks that are scanned at a time, for everybody. Tenants take turns.
    pub scan_bytes_max: u64,
    /// Memory of answers from blocks that are kept for whoever asks the same again; 0 keeps none.
    pub answers_bytes_max: u64,
    /// Memory for the stacks of one query, in each process that adds them up. What does not fit is
    /// summed up in calls named `(folded)`, and a warning says how much that may hide.
    pub query_bytes_max: usize,
    /// Bytes of blocks that queries may be about which are answered at a time, weighed by how much of
    /// their times is asked for; a query about more goes alone. Tenants take turns.
    pub admitted_bytes_max: u64,
    /// Queries of one tenant that may wait for that; more are refused, to be sent again later.
    pub waiting_queries_max: usize,
    /// Nodes of a flame graph for the web page, unless the request says otherwise.
    pub flamegraph_nodes: usize,
}

/// Reads of blocks that take unusually long and are sent a second time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hedge {
    /// Of all reads at most this part is sent again; 0 sends none.
    pub share: f64,
    /// None is sent again earlier, however fast reads of its size usually are.
    #[serde(with = "humantime_serde")]
    pub after_min: Duration,
}

/// Files of what was read of blocks, for stores that are farther away than a disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// A folder of this process alone; it is made if it is missing, and what is in it may be
    /// deleted while the process does not run. Empty: nothing is kept.
    pub path: PathBuf,
    /// Room on the disk that the files take at most.
    pub bytes_max: u64,
}

/// Profiles that somebody makes a link to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Share {
    /// How long a shared profile is kept; `0s` turns sharing off.
    #[serde(with = "humantime_serde")]
    pub lifetime: Duration,
    /// What links begin with, such as `https://cairn.example.com`. Empty: they are paths.
    pub base_url: String,
}

/// The web page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ui {
    /// Serve the page at `/`.
    pub enabled: bool,
}

// === impl Config ===

impl config::Service for Config {
    fn within(mut self, bytes: u64) -> Self {
        self.limits.open_block_bytes_max = bytes / 2;
        self.limits.scan_bytes_max = bytes / 8;
        self.limits.answers_bytes_max = bytes / 8;
        self.limits.query_bytes_max = usize::try_from(bytes / 4).unwrap_or(usize::MAX);
        self
    }
}

impl Config {
    /// Those that share the scanning; this process alone if none are named.
    pub(crate) fn workers_or(&self, own: &str) -> Vec<String> {
        match self.workers.as_slice() {
            [] => vec![own.to_owned()],
            workers => workers.to_vec(),
        }
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            query_timeout: Duration::from_secs(30),
            symbolize_timeout: Duration::from_secs(5),
            tail_timeout: Duration::from_secs(1),
            message_bytes_max: 64 << 20,
            answer_bytes_max: 512 << 20,
            fan_in_max: 16,
            block_scans_max: 64,
            open_blocks_max: 256,
            open_block_bytes_max: 256 << 20,
            scan_bytes_max: 64 << 20,
            answers_bytes_max: 64 << 20,
            query_bytes_max: 128 << 20,
            admitted_bytes_max: 64 << 30,
            waiting_queries_max: 1_000,
            flamegraph_nodes: 16_384,
        }
    }
}

// === impl Hedge ===

impl Default for Hedge {
    fn default() -> Self {
        Self {
            share: 0.05,
            after_min: Duration::from_millis(20),
        }
    }
}

// === impl Cache ===

impl Default for Cache {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            bytes_max: 10 << 30,
        }
    }
}

// === impl Share ===

impl Default for Share {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(30 * 24 * 3600),
            base_url: String::new(),
        }
    }
}

// === impl Ui ===

impl Default for Ui {
    fn default() -> Self {
        Self { enabled: true }
    }
}
