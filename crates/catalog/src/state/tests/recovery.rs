//! Writers whose logs others recover.

use super::{block, claim, claimed, commit, id, registered, tenant, writer};
use crate::Writer;
use crate::state::*;

fn register(lease_until_unix_ms: i64) -> Command {
    Command::RegisterWriter {
        writer: writer("w"),
        address: "http://w".to_owned(),
        zone: String::new(),
        log: Log::OnePerIncarnation,
        lease_until_unix_ms,
    }
}

fn seal(incarnation: u64, at_unix_ms: i64) -> Command {
    Command::Seal {
        writer: writer("w"),
        incarnation,
        at_unix_ms,
    }
}

fn recover(ticket: Ticket, lsns: (u64, u64), blocks: &[u64], is_last: bool) -> Command {
    Command::Recover {
        ticket,
        lsn_from: lsns.0,
        lsn_to: lsns.1,
        blocks: blocks
            .iter()
            .map(|number| block(&tenant("t"), *number, 1))
            .collect(),
        at_unix_ms: 9,
        is_last,
    }
}

fn recovery_of(state: &State, incarnation: u64) -> Job {
    let wanted = Work::Recover {
        writer: writer("w"),
        incarnation,
    };
    let mut jobs = state.jobs().filter(|job| job.work == wanted);
    let found = jobs.next().expect("there is a recovery");
    assert!(jobs.next().is_none());
    found
}

fn sealed(state: &State) -> Vec<(u64, u64)> {
    let shown = |writer: Writer| (writer.incarnation, writer.flushed_lsn);
    state.sealed().into_iter().map(shown).collect()
}

#[test]
fn a_writer_is_sealed_when_its_lease_is_over_and_not_before() {
    let mut state = State::default();
    apply(&mut state, register(100)).expect("first");
    let leased = |until_unix_ms| {
        let writer = writer("w");
        Err(Refused::Leased {
            writer,
            until_unix_ms,
        })
    };
    assert_eq!(apply(&mut state, seal(1, 99)), leased(100));
    let renew = |until_unix_ms| Command::RenewLease {
        writer: writer("w"),
        incarnation: 1,
        until_unix_ms,
    };
    apply(&mut state, renew(200)).expect("open");
    apply(&mut state, renew(150)).expect("an older renewal that came late");
    assert_eq!(apply(&mut state, seal(1, 199)), leased(200));
    assert!(state.overdue(199).is_empty());
    assert_eq!(state.overdue(200)[0].incarnation, 1);
    let job = recovery_id(&mut state, 200);
    assert_eq!(recovery_of(&state, 1).id, job);
    assert_eq!(sealed(&state), [(1, 0)]);
    assert!(state.snapshot(&tenant("t")).writers.is_empty());
    for late in [commit(1, (1, 1), vec![]), renew(300), seal(1, 300)] {
        assert_eq!(apply(&mut state, late), Err(Refused::Sealed(writer("w"))));
    }
}

fn recovery_id(state: &mut State, at_unix_ms: i64) -> JobId {
    match apply(state, seal(1, at_unix_ms)) {
        Ok(Reply::Offered { job }) => job,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_that_only_its_writer_can_read_is_never_sealed() {
    let mut state = State::default();
    apply(&mut state, super::register()).expect("first");
    let refused = apply(&mut state, seal(1, i64::MAX)).expect_err("nobody could recover it");
    assert!(matches!(refused, Refused::Invalid(_)));
}

#[test]
fn a_new_incarnation_starts_a_log_of_its_own_and_leaves_the_old_one_to_be_recovered() {
    let mut state = State::default();
    apply(&mut state, register(100)).expect("first");
    apply(&mut state, commit(1, (1, 3), vec![])).expect("gapless");
    assert_eq!(apply(&mut state, register(100)), registered(2, 0));
    // Its answer was lost: the incarnation that nobody knows of leaves an empty log.
    assert_eq!(apply(&mut state, register(100)), registered(3, 0));
    assert_eq!(sealed(&state), [(1, 3), (2, 0)]);
    recovery_of(&state, 1);
    let job = recovery_of(&state, 2).id;
    let ticket = claimed(&mut state, job, "a", 0);
    apply(&mut state, recover(ticket, (1, 0), &[], true)).expect("nothing was left");
    let fenced = apply(&mut state, commit(1, (4, 4), vec![]));
    assert!(matches!(fenced, Err(Refused::Fenced { current: 3, .. })));
    apply(&mut state, commit(3, (1, 1), vec![])).expect("its own log");

    // A writer that closed left nothing.
    let close = Command::Close {
        writer: writer("w"),
        incarnation: 3,
        lsn: 1,
    };
    apply(&mut state, close).expect("flushed");
    apply(&mut state, register(100)).expect("newer");
    assert_eq!(sealed(&state), [(1, 3)]);
    let other_log = apply(&mut state, super::register());
    assert!(matches!(other_log, Err(Refused::Invalid(_))));
}

#[test]
fn the_newest_claim_recovers_a_log_once_and_without_gaps() {
    let mut state = State::default();
    apply(&mut state, register(0)).expect("first");
    apply(&mut state, commit(1, (1, 3), vec![])).expect("gapless");
    let job = recovery_id(&mut state, 0);
    let first = claimed(&mut state, job, "a", 0);
    let busy = Err(Refused::NotYours(job));
    assert_eq!(apply(&mut state, claim(job, "b", 9)), busy);
    let second = claimed(&mut state, job, "b", 10);
    assert_eq!(apply(&mut state, recover(first, (4, 5), &[1], true)), busy);
    for (gap, blocks) in [((3, 5), &[1][..]), ((5, 5), &[1]), ((4, 3), &[1])] {
        assert!(apply(&mut state, recover(second, gap, blocks, true)).is_err());
    }
    apply(&mut state, recover(second, (4, 5), &[1], false)).expect("a part");
    assert_eq!(sealed(&state), [(1, 5)]);
    apply(&mut state, recover(second, (6, 5), &[], true)).expect("nothing was left");
    assert!(sealed(&state).is_empty() && state.jobs().next().is_none());
    let repeated = apply(&mut state, recover(second, (6, 5), &[], true));
    assert_eq!(repeated, Err(Refused::NoJob(job)));
    assert_eq!(state.snapshot(&tenant("t")).blocks[0].id, id(1));
}
