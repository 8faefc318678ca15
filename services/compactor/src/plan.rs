//! Which blocks to merge. Pure: it reads a list and the time, and changes nothing.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use cairn_catalog::BlockMeta;
use cairn_model::{BlockId, TenantId, TimeRange};

use crate::config::{PlanConfig, Window};

/// Blocks of one tenant and one window that should become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub tenant: TenantId,
    /// The level of the block that comes out.
    pub level: u32,
    /// By time. A single one becomes what it is, without what other blocks hold as well.
    pub inputs: Vec<BlockMeta>,
}

impl Job {
    /// Whether an input has never been compared with others.
    pub fn is_new(&self) -> bool {
        self.inputs.iter().any(|input| input.level == 0)
    }

    /// Blocks over the same time that may hold deliveries of the inputs' profiles. What is merged
    /// already has been compared: it is only made anew if something is left to be found.
    pub fn outside<'a>(&self, live: &'a [BlockMeta]) -> Vec<&'a BlockMeta> {
        let ranges = self.inputs.iter().map(|input| input.range);
        let Some(range) = ranges.reduce(|all, range| all.union(&range)) else {
            return Vec::new();
        };
        let is_input = |block: &BlockMeta| self.inputs.iter().any(|input| input.id == block.id);
        if !self.is_new() && self.inputs.len() > 1 {
            return Vec::new();
        }
        let live = live.iter();
        live.filter(|block| block.range.overlaps(&range) && !is_input(block))
            .collect()
    }
}

/// All merges that are due at `now` (nanoseconds since the epoch); no block is in two of them.
///
/// The largest window that has closed takes its blocks first: after a pause nothing is merged
/// twice. Only the smallest windows take what a client may still send again, so the others close
/// later. A block that reaches over the end of a window waits for a larger one; of the largest, it
/// belongs to the one that it begins in. That one takes also a block that is alone and was never
/// merged.
pub fn plan(blocks: &[BlockMeta], now: i64, config: &PlanConfig) -> Vec<Job> {
    let mut taken: HashSet<BlockId> = HashSet::new();
    let mut jobs = Vec::new();
    for (below, window) in config.windows.iter().enumerate().rev() {
        let level = below as u32 + 1;
        let is_largest = level as usize == config.windows.len();
        let is_smallest = below == 0;
        let settle = match is_smallest {
            true => config.settle,
            // What came in time was merged by the smallest windows within the first of these two.
            false => (config.settle).saturating_add(config.resent_within.saturating_mul(2)),
        };
        let mut windows: BTreeMap<(i64, &TenantId), Vec<&BlockMeta>> = BTreeMap::new();
        for block in blocks.iter().filter(|block| block.level < level) {
            if let Some(start) = closed_window(block, now, (*window, is_largest), settle)
                && (is_smallest || is_old(block, now, config))
                && !taken.contains(&block.id)
            {
                windows
                    .entry((start, &block.tenant))
                    .or_default()
                    .push(block);
            }
        }
        for ((_, tenant), mut found) in windows {
            found.sort_by_key(|block| (block.range.start, block.id));
            for inputs in pack(&found, config) {
                let is_due = match &inputs[..] {
                    [] => false,
                    [alone] => is_largest && alone.level == 0,
                    _ => true,
                };
                if !is_due {
                    continue;
                }
                taken.extend(inputs.iter().map(|block| block.id));
                jobs.push(Job {
                    tenant: tenant.clone(),
                    level,
                    inputs,
                });
            }
        }
    }
    // Small merges free the most blocks per byte.
    jobs.sort_by_key(|job| job.level);
    jobs
}

/// Start of the window that the block belongs to, if that window and the block are over.
fn closed_window(
    block: &BlockMeta,
    now: i64,
    (window, is_largest): (Window, bool),
    settle: Duration,
) -> Option<i64> {
    let window = i64::try_from(window.0.as_nanos()).ok()?;
    let settle = i64::try_from(settle.as_nanos()).ok()?;
    let TimeRange { start, end } = block.range;
    let first = start.div_euclid(window);
    let is_whole = first == end.div_euclid(window);
    let reaches_over = is_largest && end.checked_sub(start)? <= window;
    let first = first.checked_mul(window)?;
    let over = first.checked_add(window)?.max(end).checked_add(settle)?;
    (over <= now && (is_whole || reaches_over)).then_some(first)
}

/// Whether nobody sends again any more what is in the block.
fn is_old(block: &BlockMeta, now: i64, config: &PlanConfig) -> bool {
    let made = block.created_unix_ms.saturating_mul(1_000_000);
    let age = u128::try_from(now.saturating_sub(made)).unwrap_or(0);
    age >= config.resent_within.as_nanos()
}

/// Neighbours, as many as one merge may take.
fn pack(blocks: &[&BlockMeta], config: &PlanConfig) -> Vec<Vec<BlockMeta>> {
    let bytes_max = config.job_bytes_max.as_u64();
    let mut jobs: Vec<Vec<BlockMeta>> = Vec::new();
    let (mut job, mut bytes) = (Vec::new(), 0u64);
    for block in blocks {
        let full = bytes.saturating_add(block.bytes) > bytes_max;
        if full || job.len() >= config.job_blocks_max {
            jobs.push(std::mem::take(&mut job));
            bytes = 0;
        }
        bytes = bytes.saturating_add(block.bytes);
        job.push((*block).clone());
    }
    jobs.push(job);
    // What is alone too large stays as it is.
    jobs.retain(|job| job.iter().map(|block| block.bytes).sum::<u64>() <= bytes_max);
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytesize::ByteSize;
    use proptest::prelude::*;

    const MINUTE: i64 = 60_000_000_000;

    fn block(n: u64, level: u32, minutes: (i64, i64), bytes: u64) -> BlockMeta {
        BlockMeta {
            id: BlockId::new(n, 0),
            tenant: TenantId::anonymous(),
            level,
            range: TimeRange {
                start: minutes.0 * MINUTE,
                end: minutes.1 * MINUTE,
            },
            bytes,
            rows: 1,
            profiles: 1,
            created_unix_ms: 0,
        }
    }

    fn config() -> PlanConfig {
        PlanConfig {
            job_bytes_max: ByteSize::b(100),
            ..PlanConfig::default()
        }
    }

    /// Level and block numbers of every job.
    fn shown(blocks: &[BlockMeta], minute: i64) -> Vec<(u32, Vec<u64>)> {
        let jobs = plan(blocks, minute * MINUTE, &config());
        let ids = |job: &Job| job.inputs.iter().map(|block| block.id.unix_ms()).collect();
        jobs.iter().map(|job| (job.level, ids(job))).collect()
    }

    #[test]
    fn a_window_is_merged_once_it_is_over_and_has_settled() {
        let blocks = [
            block(2, 0, (5, 6), 1),
            block(1, 0, (1, 2), 1),
            block(3, 0, (14, 15), 1),
            block(4, 0, (16, 17), 1),
        ];
        assert_eq!(shown(&blocks, 15), []);
        assert_eq!(shown(&blocks, 17), []);
        assert_eq!(shown(&blocks, 18), [(1, vec![1, 2])]);
    }

    #[test]
    fn a_larger_window_takes_what_the_smaller_left_and_what_reaches_over() {
        let blocks = [
            block(1, 1, (0, 14), 1),
            block(2, 0, (14, 16), 1),
            block(3, 1, (15, 29), 1),
            block(4, 2, (30, 40), 1),
            block(5, 0, (119, 121), 1),
        ];
        assert_eq!(shown(&blocks, 182), []);
        assert_eq!(shown(&blocks, 183), [(2, vec![1, 2, 3])]);
    }

    #[test]
    fn what_came_late_goes_into_small_windows_until_nobody_sends_it_again() {
        let made = |at: i64, block: BlockMeta| BlockMeta {
            created_unix_ms: at * MINUTE / 1_000_000,
            ..block
        };
        let blocks = [
            made(400, block(1, 0, (1, 2), 1)),
            made(400, block(2, 0, (3, 4), 1)),
            made(400, block(3, 0, (20, 21), 1)),
            made(300, block(4, 1, (30, 40), 1)),
            made(300, block(5, 1, (50, 60), 1)),
        ];
        assert_eq!(shown(&blocks, 401), [(1, vec![1, 2]), (2, vec![4, 5])]);
        assert_eq!(shown(&blocks, 429), [(1, vec![1, 2]), (2, vec![4, 5])]);
        assert_eq!(shown(&blocks, 430), [(2, vec![1, 2, 3, 4, 5])]);
        let of_another_time = [i64::MIN, i64::MAX].map(|at| BlockMeta {
            created_unix_ms: at,
            ..block(6, 0, (1, 2), 1)
        });
        assert_eq!(shown(&of_another_time, 182), [(1, vec![6, 6])]);
    }

    #[test]
    fn the_largest_window_takes_what_reaches_over_its_end_and_what_is_alone() {
        const DAY: i64 = 24 * 60;
        let blocks = [
            block(1, 0, (DAY - 1, DAY + 1), 1),
            block(2, 0, (DAY - 2, DAY + 2), 1),
            block(3, 1, (DAY - 15, DAY - 1), 1),
        ];
        assert_eq!(shown(&blocks, DAY + 63), []);
        assert_eq!(shown(&blocks, DAY + 64), [(3, vec![3, 1])]);
        assert_eq!(shown(&blocks, DAY + 65), [(3, vec![3, 2, 1])]);
        let late = [block(1, 3, (0, DAY - 1), 1), block(2, 0, (5, 6), 1)];
        assert_eq!(shown(&late, DAY + 63), [(3, vec![2])]);
        let never = [block(1, 0, (5, 6), 101), block(2, 0, (1, DAY + 2), 1)];
        assert_eq!(shown(&never, 9 * DAY), []);
    }

    #[test]
    fn tenants_are_never_merged() {
        let mut blocks = [block(1, 0, (0, 1), 1), block(2, 0, (1, 2), 1)];
        blocks[1].tenant = TenantId::parse("other").expect("valid");
        assert_eq!(shown(&blocks, 10_000), [(3, vec![1]), (3, vec![2])]);
    }

    #[test]
    fn merges_are_bounded_in_bytes() {
        let sizes = [60, 30, 30, 30, 200, 10, 10];
        let blocks: Vec<BlockMeta> = (0..)
            .zip(sizes)
            .map(|(n, bytes)| block(n, 0, (n as i64, n as i64), bytes))
            .collect();
        assert_eq!(
            shown(&blocks, 18),
            [(1, vec![0, 1]), (1, vec![2, 3]), (1, vec![5, 6])]
        );
    }

    proptest! {
        #[test]
        fn plans_keep_their_promises_and_come_to_an_end(
            drawn in prop::collection::vec((0u32..4, -3_000i64..3_000, 0i64..40, 0u64..120, 0u8..2), 0..60),
            now in -1_000i64..4_000,
        ) {
            let mut blocks: Vec<BlockMeta> = (0..).zip(drawn)
                .map(|(n, (level, start, len, bytes, tenant))| BlockMeta {
                    tenant: TenantId::parse(if tenant == 0 { "a" } else { "b" }).expect("valid"),
                    ..block(n, level, (start, start + len), bytes)
                })
                .collect();
            let config = config();
            let mut next = 1_000;
            for _ in 0..blocks.len() + 1 {
                let jobs = plan(&blocks, now * MINUTE, &config);
                let mut seen = HashSet::new();
                for Job { tenant, level, inputs } in &jobs {
                    prop_assert!(inputs.len() >= 2 || *level == 3 && inputs[0].level == 0);
                    prop_assert!(inputs.iter().map(|b| b.bytes).sum::<u64>() <= 100);
                    let window = config.windows[*level as usize - 1].0.as_nanos() as i64;
                    let start = inputs[0].range.start.div_euclid(window);
                    prop_assert!((start + 1) * window + 3 * MINUTE <= now * MINUTE);
                    for input in inputs {
                        prop_assert!(input.level < *level && input.tenant == *tenant);
                        prop_assert_eq!(input.range.start.div_euclid(window), start);
                        let end = input.range.end;
                        prop_assert!(end + 3 * MINUTE <= now * MINUTE);
                        let reaches = end.div_euclid(window) - start;
                        prop_assert!(reaches == 0 || *level == 3 && reaches == 1);
                        prop_assert!(seen.insert(input.id), "a block is in two merges");
                    }
                }
                if jobs.is_empty() {
                    return Ok(());
                }
                blocks.retain(|block| !seen.contains(&block.id));
                for job in jobs {
                    next += 1;
                    let ranges = job.inputs.iter().map(|block| block.range);
                    blocks.push(BlockMeta {
                        range: ranges.reduce(|a, b| a.union(&b)).expect("inputs"),
                        tenant: job.tenant,
                        ..block(next, job.level, (0, 0), job.inputs.iter().map(|b| b.bytes).sum())
                    });
                }
            }
            prop_assert!(false, "planning never ends");
        }
    }

    #[test]
    fn ranges_at_the_ends_of_time_are_left_alone() {
        let mut blocks = [block(1, 0, (0, 0), 1), block(2, 0, (0, 0), 1)];
        for range in [
            TimeRange::ALL,
            TimeRange {
                start: i64::MIN,
                end: i64::MIN,
            },
            TimeRange {
                start: i64::MAX,
                end: i64::MAX,
            },
        ] {
            blocks.iter_mut().for_each(|block| block.range = range);
            assert_eq!(
                plan(
                    &blocks,
                    i64::MAX,
                    &PlanConfig {
                        settle: Duration::MAX,
                        ..config()
                    }
                ),
                []
            );
            let _ = plan(&blocks, i64::MAX, &config());
        }
    }
}
