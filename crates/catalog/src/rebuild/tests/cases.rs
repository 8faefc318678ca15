//! Decisions one by one.

use cairn_model::{BlockId, Stretch, TenantId, TimeRange, WriterId};

use crate::rebuild::{Conflict, Dead, Found, FoundLog, Plan, plan};
use crate::{BlockMeta, Command, Refused, Reply, Work, apply};

fn writer() -> WriterId {
    WriterId::parse("w").expect("valid")
}

fn id(number: u64) -> BlockId {
    BlockId::new(number, 0)
}

fn stretch(incarnation: u64, (from, to): (u64, u64)) -> Stretch {
    Stretch {
        writer: writer(),
        incarnation,
        from,
        to,
    }
}

fn found((number, tenant): (u64, &str), level: u32, origins: Vec<Stretch>) -> Found {
    Found {
        meta: BlockMeta {
            id: id(number),
            tenant: TenantId::parse(tenant).expect("valid"),
            level,
            range: TimeRange { start: 0, end: 9 },
            bytes: 1,
            rows: 1,
            profiles: 1,
            created_unix_ms: 0,
        },
        origins,
        unknown: vec![],
        siblings: 0,
    }
}

/// A block of level 0, one of so many.
fn written(at: (u64, &str), siblings: u32, origin: Stretch) -> Found {
    Found {
        siblings,
        ..found(at, 0, vec![origin])
    }
}

fn log(incarnation: u64, (first, end): (u64, u64), is_fenced: bool) -> FoundLog {
    FoundLog {
        writer: writer(),
        incarnation,
        first,
        end,
        is_fenced,
    }
}

fn live(plan: &Plan) -> Vec<u64> {
    plan.live.iter().map(|block| block.id.unix_ms()).collect()
}

fn dead(plan: &Plan) -> Vec<(u64, Dead)> {
    let dead = plan.dead.iter();
    dead.map(|(block, why)| (block.id.unix_ms(), *why))
        .collect()
}

fn positions(plan: &Plan) -> Vec<(u64, u64, bool)> {
    let positions = plan.logs.iter();
    positions
        .map(|p| (p.incarnation, p.flushed_lsn, p.is_unfinished))
        .collect()
}

#[test]
fn an_empty_bucket_is_an_empty_catalog() {
    assert_eq!(plan(vec![], &[]), Plan::default());
    let state = Plan::default().state(7);
    assert_eq!((state.version(), state.tenants().len()), (7, 0));
}

#[test]
fn the_last_commit_counts_if_all_its_blocks_are_there() {
    for incarnation in [0, 1] {
        let whole = stretch(incarnation, (1, 5));
        let half = stretch(incarnation, (6, 9));
        let blocks = vec![
            written((1, "a"), 2, whole.clone()),
            written((2, "b"), 2, whole),
            written((3, "a"), 2, half),
        ];
        let logs = [log(incarnation, (4, 12), false)];
        let plan = plan(blocks, &logs[..incarnation as usize]);
        assert_eq!(live(&plan), [1, 2]);
        assert_eq!(dead(&plan), [(3, Dead::Uncommitted)]);
        assert_eq!(positions(&plan), [(incarnation, 5, incarnation > 0)]);
        assert_eq!(plan.conflicts, []);
    }
}

#[test]
fn of_several_attempts_the_longest_whole_one_is_taken() {
    let blocks = vec![
        written((1, "a"), 1, stretch(0, (1, 3))),
        written((2, "a"), 1, stretch(0, (1, 5))),
        written((3, "a"), 1, stretch(0, (1, 5))),
        written((4, "a"), 2, stretch(0, (1, 7))),
    ];
    let plan = plan(blocks, &[]);
    assert_eq!(live(&plan), [2]);
    assert_eq!(positions(&plan), [(0, 5, false)]);
}

#[test]
fn a_merge_stands_for_its_inputs_and_inputs_for_what_is_left_of_a_merge() {
    let of = |from, to| vec![stretch(0, (from, to))];
    let mut blocks = vec![
        found((10, "a"), 1, of(1, 4)),
        written((1, "a"), 1, stretch(0, (1, 2))),
        written((2, "a"), 1, stretch(0, (3, 4))),
        written((3, "a"), 1, stretch(0, (5, 6))),
    ];
    assert_eq!(live(&plan(blocks.clone(), &[])), [3, 10]);
    // The merge was refused, since another one took one of its inputs. Both of that are deleted.
    blocks.truncate(2);
    blocks.push(found((11, "a"), 1, of(3, 6)));
    let plan = plan(blocks, &[]);
    assert_eq!(live(&plan), [1, 11]);
    assert_eq!(dead(&plan), [(10, Dead::Covered)]);
    assert_eq!(plan.conflicts, []);
}

#[test]
fn what_no_choice_covers_is_said() {
    let of = |from, to| vec![stretch(0, (from, to))];
    let blocks = vec![
        found((1, "a"), 1, of(1, 6)),
        found((2, "a"), 1, of(5, 10)),
        found((3, "a"), 1, of(20, 21)),
    ];
    let plan = plan(blocks, &[]);
    assert_eq!(plan.live.len(), 2);
    let [(lost, Dead::Lost)] = &plan.dead[..] else {
        panic!("one is lost: {:?}", plan.dead);
    };
    let tenant = lost.tenant.clone();
    let blocks = vec![lost.id];
    assert_eq!(plan.conflicts, [Conflict::LeftOut { tenant, blocks }]);
}

#[test]
fn a_commit_that_can_be_read_nowhere_else_is_taken_in_part() {
    let blocks = vec![written((1, "a"), 3, stretch(1, (1, 5)))];
    let gone = plan(blocks.clone(), &[]);
    assert_eq!(live(&gone), [1]);
    let stretch = stretch(1, (1, 5));
    let missing = 2;
    assert_eq!(gone.conflicts, [Conflict::Incomplete { stretch, missing }]);
    let begun = plan(blocks.clone(), &[log(1, (3, 9), true)]);
    assert_eq!(
        (live(&begun), positions(&begun)),
        (vec![1], vec![(1, 5, true)])
    );
    let whole = plan(blocks.clone(), &[log(1, (1, 9), true)]);
    assert_eq!((live(&whole), whole.conflicts), (vec![], vec![]));
    let short = plan(blocks, &[log(1, (1, 3), true)]);
    assert!(matches!(
        short.conflicts[..],
        [Conflict::Short { end: 3, .. }]
    ));
}

#[test]
fn blocks_of_unknown_origin_are_live_until_a_merge_of_them_is_there() {
    let unknown = |number, level, of: &[u64]| Found {
        unknown: of.iter().map(|n| id(*n)).collect(),
        ..found((number, "a"), level, vec![])
    };
    let mut blocks = vec![
        unknown(1, 0, &[1]),
        unknown(2, 0, &[2]),
        unknown(3, 1, &[3]),
    ];
    let before = plan(blocks.clone(), &[]);
    assert_eq!((live(&before), before.unknown), (vec![1, 2, 3], 3));
    blocks.push(unknown(4, 2, &[2, 3]));
    let after = plan(blocks, &[]);
    assert_eq!((live(&after), after.unknown), (vec![1, 4], 2));
    assert_eq!(dead(&after), [(2, Dead::Covered), (3, Dead::Covered)]);
}

#[test]
fn positions_at_the_end_of_numbers_are_calm() {
    let max = u64::MAX;
    let blocks = vec![
        found((1, "a"), 1, vec![stretch(1, (1, max))]),
        written((2, "a"), 0, stretch(1, (max, max))),
        written((3, "a"), max as u32, stretch(1, (0, 0))),
        written((4, "a"), 1, stretch(1, (9, 2))),
        found((5, "b"), 0, vec![]),
    ];
    let logs = [log(1, (max, 0), false), log(0, (0, 0), true)];
    let plan = plan(blocks, &logs);
    assert_eq!(plan.live.len() + plan.dead.len(), 5);
}

#[test]
fn thousands_of_blocks_that_overlap_crosswise_are_decided_in_time() {
    let of = |from, to| vec![stretch(0, (from, to))];
    let blocks = (0..4_000).flat_map(|n| {
        [
            found((2 * n, "a"), 1, of(10 * n + 1, 10 * n + 15)),
            found((2 * n + 1, "a"), 1, of(10 * n + 6, 10 * n + 20)),
        ]
    });
    let plan = plan(blocks.collect(), &[]);
    assert!(!plan.conflicts.is_empty());
    assert_eq!(plan.live.len() + plan.dead.len(), 8_000);
}

#[test]
fn the_state_of_a_plan_goes_on_where_the_bucket_ends() {
    let blocks = vec![
        written((1, "a"), 1, stretch(0, (1, 5))),
        written((2, "b"), 1, stretch(3, (1, 2))),
        written((3, "b"), 1, stretch(4, (1, 9))),
    ];
    let logs = [log(3, (1, 9), true), log(4, (10, 10), true)];
    let plan = plan(blocks, &logs);
    let mut state = plan.state(1_000);
    assert_eq!(state.version(), 1_001);
    let blocks = |tenant| {
        let tenant = TenantId::parse(tenant).expect("valid");
        state.snapshot(&tenant).blocks.len()
    };
    assert_eq!((blocks("a"), blocks("b")), (1, 2));
    assert!(state.snapshot(&TenantId::anonymous()).writers.is_empty());
    let sealed = state.sealed();
    assert_eq!((sealed.len(), sealed[0].incarnation), (1, 3));
    assert_eq!(sealed[0].flushed_lsn, 2);
    let jobs: Vec<_> = state.jobs().collect();
    let [job] = &jobs[..] else {
        panic!("one recovery: {jobs:?}");
    };
    assert!(job.id.0 > 1_000);
    let incarnation = 3;
    let writer = writer();
    assert_eq!(
        job.work,
        Work::Recover {
            writer,
            incarnation
        }
    );
    let claim = Command::Claim {
        job: job.id,
        worker: "x".to_owned(),
        at_unix_ms: 0,
        until_unix_ms: 1,
    };
    assert!(matches!(apply(&mut state, claim), Ok(Reply::Claimed { token }) if token > 1_001));
    let zombie = Command::Commit {
        writer: self::writer(),
        incarnation: 4,
        lsn_from: 10,
        lsn_to: 11,
        blocks: vec![],
        at_unix_ms: 0,
    };
    let refused = apply(&mut state, zombie);
    assert!(
        matches!(refused, Err(Refused::Fenced { .. })),
        "{refused:?}"
    );
}

#[test]
fn of_a_merged_block_and_the_one_made_anew_of_it_the_newer_counts() {
    let origins = || vec![stretch(1, (1, 9))];
    let blocks = vec![
        found((7, "a"), 1, origins()),
        found((9, "a"), 1, origins()),
        found((8, "a"), 1, origins()),
    ];
    let plan = plan(blocks, &[log(1, (10, 10), true)]);
    assert_eq!(live(&plan), [9]);
    let gone = [(7, Dead::Covered), (8, Dead::Covered)];
    assert_eq!(dead(&plan), gone);
    assert_eq!(plan.conflicts, []);
}
