//! Blocks of a generated fleet, written once and kept below the target folder.

use std::path::PathBuf;

use bytes::Bytes;
use cairn_block::{Block, Head, Options, Origin};
use cairn_catalog::BlockMeta;
use cairn_model::{BlockId, TenantId, TimeRange};
use cairn_testkit::generator::{Generator, Rng, Spec};

/// In what they are generated from; another number makes them anew.
const VERSION: u32 = 2;
/// Blocks of one size that differ; more are copies under other names.
const DISTINCT: u64 = 16;
/// Rows that one block may have: at most what its writer holds in memory.
const BLOCK_ROWS_MIN: u64 = 1_000;
const BLOCK_ROWS_MAX: u64 = 10_000_000;
/// As large as a compactor makes them, so that nobody looks for deliveries stored twice.
const LEVEL: u8 = 2;
/// Time that one block is given, at least.
const DAY: i64 = 24 * 3600 * 1_000_000_000;

/// Blocks of which one alone holds the trace.
pub(crate) struct Data {
    pub(crate) blocks: Vec<(BlockMeta, Bytes)>,
    pub(crate) range: TimeRange,
    pub(crate) rows: u64,
    pub(crate) trace_id: String,
}

/// A few services with names, as one team has them, at a percent of traced requests.
fn spec() -> Spec {
    Spec {
        services: 3,
        pods: 40,
        endpoints: 8,
        traced_percent: 1,
        ..Spec::default()
    }
}

impl Data {
    /// About so many rows in so many blocks; none if blocks would be too large or have no rows.
    pub(crate) fn of(tenant: &TenantId, rows: u64, blocks: u64) -> Option<Self> {
        let each = rows / blocks;
        if !(BLOCK_ROWS_MIN..=BLOCK_ROWS_MAX).contains(&each) {
            return None;
        }
        let distinct: Vec<Bytes> = (0..blocks.min(DISTINCT))
            .map(|at| block(each, at))
            .collect();
        let infos: Vec<_> = distinct.iter().map(|bytes| open(bytes).info()).collect();
        let mut data = Self {
            blocks: Vec::new(),
            range: infos[0].range,
            rows: 0,
            trace_id: trace_id(),
        };
        for number in 0..blocks {
            // The first, which holds the trace, is there once.
            let at = match number {
                0 => 0,
                _ if distinct.len() == 1 => 0,
                _ => 1 + (number as usize - 1) % (distinct.len() - 1),
            };
            let info = &infos[at];
            data.range = data.range.union(&info.range);
            data.rows += info.rows;
            let meta = BlockMeta {
                id: BlockId::new(1 + number, u128::from(number)),
                tenant: tenant.clone(),
                level: LEVEL.into(),
                range: info.range,
                bytes: info.bytes,
                rows: info.rows,
                profiles: info.profiles,
                created_unix_ms: 0,
            };
            data.blocks.push((meta, distinct[at].clone()));
        }
        Some(data)
    }

    /// The catalog's entries for as many blocks of earlier days as make all of it `times` as many.
    /// Nobody opens them.
    pub(crate) fn earlier(&self, times: u64) -> Vec<BlockMeta> {
        let count = self.blocks.len() as u64;
        let earlier = (1..times).flat_map(|day| (0..count).map(move |at| (day, at)));
        let meta = |(day, at): (u64, u64)| {
            let (now, _) = &self.blocks[at as usize];
            let number = day * count + at;
            let ago = DAY * day as i64;
            BlockMeta {
                id: BlockId::new(1 + number, u128::from(number)),
                range: TimeRange {
                    start: now.range.start - ago,
                    end: now.range.end - ago,
                },
                ..now.clone()
            }
        };
        earlier.map(meta).collect()
    }
}

fn open(bytes: &Bytes) -> Block {
    Block::from_bytes(bytes.clone()).unwrap()
}

/// The block with this number of those with so many rows.
fn block(rows: u64, number: u64) -> Bytes {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("queries-{VERSION}"));
    let path = folder.join(format!("{rows}-{number}.block"));
    if let Ok(bytes) = std::fs::read(&path) {
        return bytes.into();
    }
    let head = head(rows, number);
    let options = Options {
        level: LEVEL,
        ..Options::default()
    };
    let built = cairn_block::write(&head, options).unwrap();
    std::fs::create_dir_all(&folder).unwrap();
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, &built.bytes).unwrap();
    std::fs::rename(&unfinished, &path).unwrap();
    built.bytes
}

/// Blocks follow each other in time; all pods are in each step.
fn head(rows: u64, number: u64) -> Head {
    let generator = Generator::new(spec());
    let mut jitter = Rng::new(number);
    let mut head = Head::default();
    // As many steps as a block with so many rows takes, and some air.
    let step_rows = u64::from(spec().services * spec().pods) * u64::from(spec().samples);
    let mut step = (number * (2 + 2 * rows / step_rows)) as u32;
    loop {
        for service in 0..spec().services {
            for pod in 0..spec().pods {
                if head.samples().len() as u64 >= rows {
                    return head;
                }
                let profile = generator.profile(service, pod, step);
                let origin = Origin {
                    name: "process_cpu".into(),
                    labels: generator.labels(service, pod),
                    time: profile.time + jitter.below(50_000_000) as i64,
                    lsn: 1,
                    batch: 0,
                };
                head.append(&profile, &origin).unwrap();
            }
        }
        step += 1;
    }
}

/// The first one, which is in the first block of any size.
fn trace_id() -> String {
    let generator = Generator::new(spec());
    let link = |pod| {
        let profile = generator.profile(0, pod, 0);
        let first = (0..profile.samples.len()).find_map(|at| profile.samples.link(at))?;
        Some(profile.tables.links[first as usize])
    };
    let id = (0..spec().pods).find_map(link).unwrap().trace_id;
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
