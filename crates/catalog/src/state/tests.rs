//! Each command by example; random ones against invariants are below. The commands that tests of
//! other modules share. Nothing here touches a disk.

mod jobs;
mod random;
mod recovery;
mod tenants;

use cairn_model::{BlockId, TimeRange, WriterId};

use super::*;

pub(crate) use random::any_command;

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

fn manifest(day: i64, number: u64, replaces: Option<BlockId>) -> Manifest {
    Manifest {
        id: id(number),
        day,
        range: TimeRange { start: 5, end: 9 },
        blocks: 1,
        bytes: 100,
        rows: 1,
        created_unix_ms: 7,
        replaces,
    }
}

pub(crate) fn register() -> Command {
    Command::RegisterWriter {
        writer: writer("w"),
        address: "http://w".to_owned(),
        zone: String::new(),
        log: Log::Continued,
        lease_until_unix_ms: i64::MAX,
    }
}

pub(crate) fn commit(incarnation: u64, lsns: (u64, u64), blocks: Vec<BlockMeta>) -> Command {
    Command::Commit {
        writer: writer("w"),
        incarnation,
        lsn_from: lsns.0,
        lsn_to: lsns.1,
        blocks,
        at_unix_ms: 7,
    }
}

fn replace(inputs: &[u64], outputs: Vec<BlockMeta>) -> Command {
    Command::Replace {
        tenant: tenant("t"),
        inputs: inputs.iter().map(|number| id(*number)).collect(),
        outputs,
        at_unix_ms: 50,
        ticket: None,
        compared: None,
    }
}

fn forget(blocks: &[u64]) -> Command {
    Command::Forget {
        tenant: tenant("t"),
        blocks: blocks.iter().map(|number| id(*number)).collect(),
    }
}

fn claim(job: JobId, worker: &str, at_unix_ms: i64) -> Command {
    Command::Claim {
        job,
        worker: worker.to_owned(),
        at_unix_ms,
        until_unix_ms: at_unix_ms + 10,
    }
}

/// Claims the job; gives the ticket.
fn claimed(state: &mut State, job: JobId, worker: &str, at_unix_ms: i64) -> Ticket {
    match apply(state, claim(job, worker, at_unix_ms)) {
        Ok(Reply::Claimed { token }) => Ticket { job, token },
        other => panic!("{other:?}"),
    }
}

fn registered(incarnation: u64, flushed_lsn: u64) -> Result<Reply, Refused> {
    Ok(Reply::Registered {
        incarnation,
        flushed_lsn,
    })
}

fn live(state: &State) -> Vec<BlockId> {
    let blocks = state.snapshot(&tenant("t")).blocks;
    blocks.iter().map(|block| block.id).collect()
}

fn started() -> State {
    let mut state = State::default();
    apply(&mut state, register()).expect("first");
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
    assert_eq!(apply(&mut state, register()), registered(2, 3));
    assert_eq!(
        apply(&mut state, commit(1, (4, 5), vec![])),
        Err(Refused::Fenced {
            writer: writer("w"),
            incarnation: 1,
            current: 2
        })
    );
    assert_eq!(
        apply(&mut state, register()),
        registered(3, 3),
        "its answer was lost"
    );
    assert_eq!(
        apply(&mut state, commit(3, (4, 5), vec![])),
        Ok(Reply::Done)
    );
    let stranger = Command::Close {
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
fn a_closed_writer_has_no_tail_and_commits_nothing() {
    let mut state = started();
    let close = |lsn| Command::Close {
        writer: writer("w"),
        incarnation: 1,
        lsn,
    };
    assert!(matches!(
        apply(&mut state, close(4)),
        Err(Refused::Gap { .. })
    ));
    apply(&mut state, commit(1, (1, 4), vec![])).expect("gapless");
    for _ in 0..2 {
        assert_eq!(apply(&mut state, close(4)), Ok(Reply::Done), "also again");
    }
    assert!(matches!(
        apply(&mut state, close(3)),
        Err(Refused::Sealed(_))
    ));
    assert!(state.snapshot(&tenant("t")).writers.is_empty());
    assert_eq!(
        apply(&mut state, commit(1, (5, 5), vec![])),
        Err(Refused::Sealed(writer("w")))
    );
    assert_eq!(apply(&mut state, register()), registered(2, 4));
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
    assert_eq!(state.blocks, before.blocks);

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
fn a_replacement_that_was_not_compared_with_all_over_its_time_is_refused() {
    let t = tenant("t");
    let mut state = started();
    let far = BlockMeta {
        range: TimeRange {
            start: 1_000,
            end: 2_000,
        },
        ..block(&t, 4, 1)
    };
    let near = (1..=3).map(|number| block(&t, number, 1));
    let blocks = near.chain([far]).collect();
    apply(&mut state, commit(1, (1, 1), blocks)).expect("gapless");
    let compared_with = |numbers: &[u64]| match replace(&[1], vec![block(&t, 10, 1)]) {
        Command::Replace {
            tenant,
            inputs,
            outputs,
            at_unix_ms,
            ticket,
            compared: _,
        } => Command::Replace {
            tenant,
            inputs,
            outputs,
            at_unix_ms,
            ticket,
            compared: Some(numbers.iter().map(|number| id(*number)).collect()),
        },
        other => other,
    };
    let refused = |number| Err(Refused::NotCompared(id(number)));
    assert_eq!(apply(&mut state, compared_with(&[2])), refused(3));
    assert_eq!(apply(&mut state, compared_with(&[3, 4])), refused(2));
    let compared = compared_with(&[2, 3]);
    assert_eq!(apply(&mut state, compared.clone()), Ok(Reply::Done));
    let another = apply(&mut state, commit(1, (2, 2), vec![block(&t, 5, 1)]));
    another.expect("gapless");
    assert_eq!(apply(&mut state, compared), Ok(Reply::Done), "a repetition");
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
        ticket: None,
        compared: None,
    };
    assert_eq!(apply(&mut state, foreign), Err(Refused::NotLive(id(1))));
    assert_eq!(state.snapshot(&tenant("a")).blocks.len(), 1);
    assert_eq!(state.tenants(), [tenant("a"), tenant("b")]);
}

#[test]
fn the_leader_dates_what_clients_ask_for() {
    const NOW: i64 = 1_000;
    let ticket = Ticket {
        job: JobId(1),
        token: 2,
    };
    let lease = |lease_until_unix_ms| Command::RegisterWriter {
        writer: writer("w"),
        address: String::new(),
        zone: String::new(),
        log: Log::Continued,
        lease_until_unix_ms,
    };
    let renew = |until_unix_ms| Command::RenewLease {
        writer: writer("w"),
        incarnation: 1,
        until_unix_ms,
    };
    let claim = |at_unix_ms, until_unix_ms| Command::Claim {
        job: JobId(1),
        worker: "a".to_owned(),
        at_unix_ms,
        until_unix_ms,
    };
    let extend = |until_unix_ms| Command::Extend {
        ticket,
        until_unix_ms,
    };
    for (asked, dated) in [
        (lease(5), lease(1_005)),
        (lease(i64::MAX), lease(i64::MAX)),
        (renew(5), renew(1_005)),
        (renew(-5), renew(1_000)),
        (claim(77, 5), claim(1_000, 1_005)),
        (extend(5), extend(1_005)),
    ] {
        assert_eq!(asked.dated(NOW), dated);
    }
    let mut at = commit(1, (1, 1), vec![]);
    if let Command::Commit { at_unix_ms, .. } = &mut at {
        *at_unix_ms = NOW;
    }
    assert_eq!(commit(1, (1, 1), vec![]).dated(NOW), at);
}
