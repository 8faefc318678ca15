//! Jobs, blocks in their hands, manifests, shards.

use super::{block, claimed, commit, id, manifest, replace, started, tenant, writer};
use crate::state::*;

fn offer(inputs: &[u64]) -> Command {
    let inputs = inputs.iter().map(|number| id(*number)).collect();
    let tenant = tenant("t");
    Command::Offer {
        work: Work::Merge { tenant, inputs },
    }
}

fn offered(state: &mut State, inputs: &[u64]) -> JobId {
    match apply(state, offer(inputs)) {
        Ok(Reply::Offered { job }) => job,
        other => panic!("{other:?}"),
    }
}

fn merge(ticket: Option<Ticket>, inputs: &[u64], output: u64) -> Command {
    let rows = inputs.len() as u64;
    match replace(inputs, vec![block(&tenant("t"), output, rows)]) {
        Command::Replace {
            tenant,
            inputs,
            outputs,
            at_unix_ms,
            ..
        } => Command::Replace {
            tenant,
            inputs,
            outputs,
            at_unix_ms,
            ticket,
            compared: None,
        },
        other => other,
    }
}

fn with_blocks(count: u64) -> State {
    let mut state = started();
    let blocks = (1..=count).map(|number| block(&tenant("t"), number, 1));
    apply(&mut state, commit(1, (1, 1), blocks.collect())).expect("gapless");
    state
}

#[test]
fn a_block_is_in_the_hands_of_one_job() {
    let mut state = with_blocks(4);
    let job = offered(&mut state, &[1, 2, 3]);
    let busy = |block| {
        Err(Refused::Busy {
            block: id(block),
            job,
        })
    };
    assert_eq!(apply(&mut state, offer(&[3, 4])), busy(3));
    assert_eq!(apply(&mut state, merge(None, &[2, 4], 9)), busy(2));
    let gone = Err(Refused::NotLive(id(9)));
    assert_eq!(apply(&mut state, offer(&[4, 9])), gone);

    let first = claimed(&mut state, job, "a", 0);
    let second = claimed(&mut state, job, "b", 10);
    let stale = Err(Refused::NotYours(job));
    assert_eq!(apply(&mut state, merge(Some(first), &[1, 2], 9)), stale);
    let foreign = apply(&mut state, merge(Some(second), &[1, 4], 9));
    assert!(matches!(foreign, Err(Refused::Invalid(_))));
    // Memory may suffice for some of the inputs only.
    let merged = merge(Some(second), &[1, 2], 9);
    assert_eq!(apply(&mut state, merged.clone()), Ok(Reply::Done));
    assert_eq!(apply(&mut state, merged), Ok(Reply::Done), "a repetition");
    offered(&mut state, &[3, 4, 9]);
}

#[test]
fn a_worker_that_gives_up_frees_the_blocks() {
    let mut state = with_blocks(2);
    let job = offered(&mut state, &[1, 2]);
    let ticket = claimed(&mut state, job, "a", 0);
    let extend = Command::Extend {
        ticket,
        until_unix_ms: 100,
    };
    apply(&mut state, extend).expect("held");
    let worker = state.jobs().next().expect("one").worker;
    assert_eq!(worker, Some(("a".to_owned(), 100)));
    assert_eq!(claimed(&mut state, job, "a", 5).job, job, "its own again");
    let late = apply(&mut state, Command::Abandon { ticket });
    assert_eq!(late, Err(Refused::NotYours(job)));
    let ticket = claimed(&mut state, job, "a", 5);
    apply(&mut state, Command::Abandon { ticket }).expect("held");
    assert_ne!(offered(&mut state, &[1, 2]), job);
}

#[test]
fn there_is_one_sweep_at_a_time_and_recoveries_cannot_be_made_up() {
    let mut state = started();
    let offer = |work| Command::Offer { work };
    apply(&mut state, offer(Work::Sweep)).expect("the first");
    let again = apply(&mut state, offer(Work::Sweep));
    assert!(matches!(again, Err(Refused::Offered(_))));
    let made_up = offer(Work::Recover {
        writer: writer("w"),
        incarnation: 1,
    });
    assert!(matches!(
        apply(&mut state, made_up),
        Err(Refused::Invalid(_))
    ));
}

#[test]
fn a_block_that_took_too_long_is_made_anew() {
    let mut state = started();
    let mut command = commit(1, (1, 1), vec![block(&tenant("t"), 1, 1)]);
    let half_a_day = 12 * 60 * 60 * 1000;
    if let Command::Commit { at_unix_ms, .. } = &mut command {
        *at_unix_ms = 7 + half_a_day + 1;
    }
    assert_eq!(
        apply(&mut state, command.clone()),
        Err(Refused::Stale(id(1)))
    );
    if let Command::Commit { at_unix_ms, .. } = &mut command {
        *at_unix_ms = 7 + half_a_day;
    }
    assert_eq!(apply(&mut state, command), Ok(Reply::Done));
}

#[test]
fn a_day_has_one_manifest_and_each_names_the_one_before() {
    let mut state = with_blocks(3);
    let t = tenant("t");
    let spill = |number, replaces: Option<u64>, blocks: &[u64]| Command::Spill {
        tenant: tenant("t"),
        manifest: manifest(3, number, replaces.map(id)),
        blocks: blocks.iter().map(|number| id(*number)).collect(),
        at_unix_ms: 9,
    };
    let job = offered(&mut state, &[3]);
    let busy = Err(Refused::Busy { block: id(3), job });
    assert_eq!(apply(&mut state, spill(50, None, &[3])), busy);
    apply(&mut state, spill(50, None, &[1])).expect("the first of its day");
    let current = |number| {
        Err(Refused::Manifest {
            day: 3,
            current: Some(id(number)),
        })
    };
    assert_eq!(apply(&mut state, spill(51, None, &[2])), current(50));
    assert_eq!(apply(&mut state, spill(50, Some(50), &[2])), current(50));
    apply(&mut state, spill(51, Some(50), &[2])).expect("it names the one before");
    assert_eq!(state.manifests(&t)[0].id, id(51));
    let live: Vec<_> = state.snapshot(&t).blocks;
    assert_eq!(live.len(), 1);
    assert!(
        state.expired(i64::MAX).is_empty(),
        "objects of manifests stay"
    );
}

#[test]
fn shards_change_hands_one_map_at_a_time() {
    let mut state = started();
    let assign = |epoch, shard, name| Command::Assign {
        epoch,
        moves: vec![(shard, writer(name))],
    };
    let assigned = |epoch| Ok(Reply::Assigned { epoch });
    assert_eq!(apply(&mut state, assign(0, 7, "w")), assigned(1));
    let outdated = Err(Refused::Epoch { current: 1 });
    assert_eq!(apply(&mut state, assign(0, 8, "w")), outdated);
    assert_eq!(apply(&mut state, assign(1, 7, "w")), assigned(1), "no move");
    assert_eq!(apply(&mut state, assign(1, 9, "w")), assigned(2));
    let owner = |shard| state.shards().owner(shard).map(|owner| owner.epoch);
    assert_eq!((owner(7), owner(8), owner(9)), (Some(1), None, Some(2)));
    assert_eq!(state.shards().iter().count(), 2);
    let stranger = apply(&mut state.clone(), assign(2, 1, "x"));
    assert_eq!(stranger, Err(Refused::UnknownWriter(writer("x"))));
    let beyond = apply(&mut state, assign(2, SHARDS, "w"));
    assert!(matches!(beyond, Err(Refused::Invalid(_))));
}
