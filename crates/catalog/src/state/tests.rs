//! Each command by example, then random ones against invariants; and the commands that tests of
//! other modules share. Nothing here touches a disk.

use cairn_model::TimeRange;
use proptest::prelude::*;

use super::*;

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).expect("valid")
}

pub(crate) fn writer(name: &str) -> WriterId {
    WriterId::parse(name).expect("valid")
}

pub(crate) fn id(number: u64) -> BlockId {
    BlockId::new(number, u128::from(number))
}

pub(crate) fn block(owner: &TenantId, number: u64, rows: u64) -> BlockMeta {
    BlockMeta {
        id: id(number),
        tenant: owner.clone(),
        level: 0,
        range: TimeRange { start: 5, end: 9 },
        bytes: 100,
        rows,
        profiles: 1,
        created_unix_ms: 7,
    }
}

pub(crate) fn register(incarnation: u64) -> Command {
    Command::RegisterWriter {
        writer: writer("w"),
        incarnation,
        address: "http://w".to_owned(),
    }
}

pub(crate) fn commit(incarnation: u64, lsns: (u64, u64), blocks: Vec<BlockMeta>) -> Command {
    Command::Commit {
        writer: writer("w"),
        incarnation,
        lsn_from: lsns.0,
        lsn_to: lsns.1,
        blocks,
    }
}

fn replace(inputs: &[u64], outputs: Vec<BlockMeta>) -> Command {
    Command::Replace {
        tenant: tenant("t"),
        inputs: inputs.iter().map(|number| id(*number)).collect(),
        outputs,
        at_unix_ms: 50,
    }
}

fn forget(blocks: &[u64]) -> Command {
    Command::Forget {
        tenant: tenant("t"),
        blocks: blocks.iter().map(|number| id(*number)).collect(),
    }
}

fn live(state: &State) -> Vec<BlockId> {
    let blocks = state.snapshot(&tenant("t")).blocks;
    blocks.iter().map(|block| block.id).collect()
}

fn started() -> State {
    let mut state = State::default();
    apply(&mut state, register(1)).expect("first");
    state
}

#[test]
fn commits_are_taken_once_and_without_gaps() {
    let t = tenant("t");
    let mut state = started();
    let gap = |flushed_lsn| {
        Err(Refused::Gap {
            writer: writer("w"),
            flushed_lsn,
        })
    };
    assert_eq!(apply(&mut state, commit(1, (2, 3), vec![])), gap(0));
    let first = commit(1, (1, 3), vec![block(&t, 1, 10)]);
    assert_eq!(apply(&mut state, first.clone()), Ok(Reply::Done));
    assert_eq!(apply(&mut state, first), gap(3));
    assert_eq!(apply(&mut state, commit(1, (3, 4), vec![])), gap(3));
    assert_eq!(apply(&mut state, commit(1, (5, 6), vec![])), gap(3));
    assert!(matches!(
        apply(&mut state, commit(1, (4, 3), vec![])),
        Err(Refused::Invalid(_))
    ));
    assert_eq!(
        apply(&mut state, commit(1, (4, 4), vec![block(&t, 1, 1)])),
        Err(Refused::Known(id(1)))
    );
    assert_eq!(
        apply(
            &mut state,
            commit(1, (4, 4), vec![block(&t, 2, 1), block(&t, 2, 1)])
        ),
        Err(Refused::Known(id(2)))
    );
    assert_eq!(
        apply(&mut state, commit(1, (4, 4), vec![])),
        Ok(Reply::Done)
    );
    let snapshot = state.snapshot(&t);
    assert_eq!(snapshot.writers[0].flushed_lsn, 4);
    assert_eq!(live(&state), [id(1)]);
    assert_eq!(snapshot.version, 3);
}

#[test]
fn a_newer_incarnation_fences_off_older_ones_and_goes_on_where_they_stopped() {
    let mut state = started();
    apply(&mut state, commit(1, (1, 3), vec![])).expect("gapless");
    assert_eq!(
        apply(&mut state, register(2)),
        Ok(Reply::Registered { flushed_lsn: 3 })
    );
    assert_eq!(
        apply(&mut state, commit(1, (4, 5), vec![])),
        Err(Refused::Fenced {
            writer: writer("w"),
            incarnation: 1,
            current: 2
        })
    );
    assert!(apply(&mut state, register(1)).is_err());
    assert_eq!(
        apply(&mut state, register(2)),
        Ok(Reply::Registered { flushed_lsn: 3 })
    );
    let elsewhere = Command::RegisterWriter {
        writer: writer("w"),
        incarnation: 2,
        address: "http://other".to_owned(),
    };
    assert!(matches!(
        apply(&mut state, elsewhere),
        Err(Refused::Fenced { .. })
    ));
    assert_eq!(
        apply(&mut state, commit(2, (4, 5), vec![])),
        Ok(Reply::Done)
    );
    let stranger = Command::Seal {
        writer: writer("x"),
        incarnation: 1,
        lsn: 0,
    };
    assert_eq!(
        apply(&mut state, stranger),
        Err(Refused::UnknownWriter(writer("x")))
    );
}

#[test]
fn a_sealed_writer_has_no_tail_and_commits_nothing() {
    let mut state = started();
    let seal = |lsn| Command::Seal {
        writer: writer("w"),
        incarnation: 1,
        lsn,
    };
    assert!(matches!(
        apply(&mut state, seal(4)),
        Err(Refused::Gap { .. })
    ));
    apply(&mut state, commit(1, (1, 4), vec![])).expect("gapless");
    assert_eq!(apply(&mut state, seal(4)), Ok(Reply::Done));
    assert!(state.snapshot(&tenant("t")).writers.is_empty());
    assert_eq!(
        apply(&mut state, commit(1, (5, 5), vec![])),
        Err(Refused::Sealed(writer("w")))
    );
    assert!(apply(&mut state, register(1)).is_err());
    assert_eq!(
        apply(&mut state, register(2)),
        Ok(Reply::Registered { flushed_lsn: 4 })
    );
}

#[test]
fn a_replacement_swaps_at_once_and_only_what_is_live() {
    let t = tenant("t");
    let mut state = started();
    let blocks = (1..=3).map(|number| block(&t, number, 1)).collect();
    apply(&mut state, commit(1, (1, 1), blocks)).expect("gapless");

    let merged = replace(&[1, 2], vec![block(&t, 10, 2)]);
    assert_eq!(apply(&mut state, merged.clone()), Ok(Reply::Done));
    assert_eq!(live(&state), [id(3), id(10)]);
    let before = state.clone();
    assert_eq!(apply(&mut state, merged), Ok(Reply::Done), "a repetition");
    assert_eq!(state.tenants, before.tenants);

    for (command, refused) in [
        (
            replace(&[1, 2], vec![block(&t, 11, 2)]),
            Refused::NotLive(id(1)),
        ),
        (replace(&[1, 2], vec![]), Refused::NotLive(id(1))),
        (replace(&[3, 99], vec![]), Refused::NotLive(id(99))),
        (
            replace(&[3], vec![block(&t, 10, 1)]),
            Refused::Known(id(10)),
        ),
        (replace(&[3], vec![block(&t, 3, 1)]), Refused::Known(id(3))),
        (forget(&[1, 3]), Refused::StillLive(id(3))),
    ] {
        assert_eq!(apply(&mut state, command), Err(refused));
    }
    for invalid in [
        replace(&[], vec![block(&t, 11, 2)]),
        replace(&[3, 3], vec![block(&t, 11, 2)]),
        replace(&[3], vec![block(&tenant("other"), 11, 1)]),
    ] {
        assert!(matches!(
            apply(&mut state, invalid),
            Err(Refused::Invalid(_))
        ));
    }
    assert_eq!(live(&state), [id(3), id(10)]);
}

#[test]
fn tombstones_expire_and_are_forgotten() {
    let t = tenant("t");
    let mut state = started();
    apply(&mut state, commit(1, (1, 1), vec![block(&t, 1, 1)])).expect("gapless");
    apply(&mut state, replace(&[1], vec![])).expect("live");
    assert!(live(&state).is_empty());
    assert!(state.expired(49).is_empty());
    assert_eq!(state.expired(50)[0].block.id, id(1));
    assert_eq!(state.tenants(), [t]);
    for _ in 0..2 {
        assert_eq!(apply(&mut state, forget(&[1])), Ok(Reply::Done));
    }
    assert!(state.expired(i64::MAX).is_empty());
    assert!(state.tenants().is_empty());
}

#[test]
fn tenants_do_not_see_each_other() {
    let mut state = started();
    let blocks = vec![block(&tenant("a"), 1, 1), block(&tenant("b"), 1, 1)];
    apply(&mut state, commit(1, (1, 1), blocks)).expect("gapless");
    let foreign = Command::Replace {
        tenant: tenant("c"),
        inputs: vec![id(1)],
        outputs: vec![],
        at_unix_ms: 0,
    };
    assert_eq!(apply(&mut state, foreign), Err(Refused::NotLive(id(1))));
    assert_eq!(state.snapshot(&tenant("a")).blocks.len(), 1);
    assert_eq!(state.tenants(), [tenant("a"), tenant("b")]);
}

/// A command that is often right and often wrong.
pub(crate) fn any_command() -> impl Strategy<Value = Command> {
    let owners = prop_oneof![Just("t"), Just("u")].prop_map(tenant);
    let numbers = prop::collection::vec(0..400u64, 0..4);
    let writers = prop_oneof![Just("w"), Just("v")].prop_map(writer);
    prop_oneof![
        1 => (writers.clone(), 0..4u64).prop_map(|(writer, incarnation)| Command::RegisterWriter {
            writer,
            incarnation,
            address: String::new(),
        }),
        6 => (writers.clone(), 0..4u64, 1..12u64, 0..3u64, owners.clone(), numbers.clone()).prop_map(
            |(writer, incarnation, lsn_from, more, owner, numbers)| Command::Commit {
                writer,
                incarnation,
                lsn_from,
                lsn_to: lsn_from + more,
                // One row per log position, so that rows count what is covered.
                blocks: shares(numbers.len(), more + 1)
                    .zip(numbers)
                    .map(|(rows, number)| block(&owner, number, rows))
                    .collect(),
            }
        ),
        1 => (writers, 0..4u64, 0..12u64).prop_map(|(writer, incarnation, lsn)| Command::Seal {
            writer,
            incarnation,
            lsn,
        }),
        5 => (owners.clone(), numbers.clone(), numbers.clone(), 0..9i64).prop_map(
            |(tenant, inputs, outputs, at_unix_ms)| Command::Replace {
                inputs: inputs.into_iter().map(id).collect(),
                outputs: outputs.iter().map(|number| block(&tenant, *number, 1)).collect(),
                tenant,
                at_unix_ms,
            }
        ),
        1 => (owners, numbers).prop_map(|(tenant, blocks)| Command::Forget {
            tenant,
            blocks: blocks.into_iter().map(id).collect(),
        }),
    ]
}

/// `rows`, shared between `count` blocks.
fn shares(count: usize, rows: u64) -> impl Iterator<Item = u64> {
    let count = count as u64;
    (0..count).map(move |at| rows / count + u64::from(at < rows % count))
}

/// Makes most commands plausible, which chance alone would hardly ever do, and lets a replacement's
/// outputs hold the rows of its inputs, as a compactor's do.
pub(crate) fn aim(state: &State, command: &mut Command) {
    match command {
        Command::Commit {
            writer,
            incarnation,
            lsn_from,
            lsn_to,
            ..
        } if *lsn_from % 4 > 0 => {
            if let Some(known) = state.writer(writer) {
                let more = *lsn_to - *lsn_from;
                *incarnation = known.incarnation;
                *lsn_from = known.flushed_lsn + 1;
                *lsn_to = *lsn_from + more;
            }
        }
        Command::Replace {
            tenant,
            inputs,
            outputs,
            at_unix_ms,
        } => {
            let live = state.snapshot(tenant).blocks;
            if *at_unix_ms % 4 > 0 && !live.is_empty() {
                for input in &mut *inputs {
                    *input = live[input.unix_ms() as usize % live.len()].id;
                }
                inputs.dedup();
            }
            let rows = live.iter().filter(|block| inputs.contains(&block.id));
            let rows = rows.map(|block| block.rows).sum();
            let count = outputs.len();
            for (output, share) in outputs.iter_mut().zip(shares(count, rows)) {
                output.rows = share;
            }
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn every_row_is_in_exactly_one_live_block_until_it_is_deleted(
        commands in prop::collection::vec(any_command(), 0..120)
    ) {
        let mut state = State::default();
        let (mut committed, mut deleted) = (0, 0);
        let mut flushed: BTreeMap<WriterId, u64> = BTreeMap::new();
        for mut command in commands {
            aim(&state, &mut command);
            let before = state.clone();
            let accepted = apply(&mut state, command.clone()).is_ok();
            if !accepted {
                prop_assert_eq!(&state, &before, "a refusal changed something");
                continue;
            }
            prop_assert_eq!(state.version, before.version + 1);
            let rows_of = |state: &State| -> u64 {
                let blocks = state.tenants.values().flat_map(|t| t.blocks.values());
                blocks.map(|block| block.rows).sum()
            };
            match command {
                Command::Commit { writer, lsn_from, lsn_to, blocks, .. } => {
                    let flushed = flushed.entry(writer).or_default();
                    prop_assert_eq!(lsn_from, *flushed + 1, "a gap or an overlap");
                    *flushed = lsn_to;
                    committed += blocks.iter().map(|block| block.rows).sum::<u64>();
                }
                Command::Replace { outputs, .. } if outputs.is_empty() => {
                    deleted += rows_of(&before) - rows_of(&state);
                }
                Command::Replace { .. } | Command::Forget { .. } => {
                    prop_assert_eq!(rows_of(&state), rows_of(&before), "rows were lost or doubled");
                }
                Command::RegisterWriter { .. } | Command::Seal { .. } => {}
            }
            prop_assert_eq!(rows_of(&state) + deleted, committed);
            for (id, lsn) in &flushed {
                prop_assert_eq!(state.writer(id).expect("known").flushed_lsn, *lsn);
            }
            for tenant in state.tenants.values() {
                prop_assert!(tenant.blocks.keys().all(|id| !tenant.tombstones.contains_key(id)));
            }
        }
    }

    #[test]
    fn the_state_survives_json(commands in prop::collection::vec(any_command(), 0..60)) {
        let mut state = State::default();
        for mut command in commands {
            aim(&state, &mut command);
            let text = serde_json::to_string(&command).expect("plain data");
            prop_assert_eq!(&serde_json::from_str::<Command>(&text).expect("own JSON"), &command);
            let _ = apply(&mut state, command);
        }
        let text = serde_json::to_string(&state).expect("plain data");
        prop_assert_eq!(serde_json::from_str::<State>(&text).expect("own JSON"), state);
    }
}
