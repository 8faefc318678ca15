//! Random commands against invariants.

use cairn_model::WriterId;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::{block, id, tenant, writer};
use crate::BlockMeta;
use crate::state::*;

/// A command that is often right and often wrong.
pub(crate) fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![5 => of_writers(), 3 => of_blocks(), 3 => of_jobs(), 1 => of_others()]
}

fn owner() -> impl Strategy<Value = TenantId> + Clone {
    prop_oneof![Just("t"), Just("u")].prop_map(tenant)
}

fn numbers() -> impl Strategy<Value = Vec<u64>> + Clone {
    prop::collection::vec(0..400u64, 0..4)
}

fn who() -> impl Strategy<Value = (WriterId, u64)> {
    let writers = prop_oneof![Just("w"), Just("v")].prop_map(writer);
    (writers, 0..4u64)
}

/// One row per log position, so that rows count what is covered.
fn blocks_of(owner: &TenantId, numbers: &[u64], rows: u64) -> Vec<BlockMeta> {
    let shares = shares(numbers.len(), rows).zip(numbers);
    let blocks = shares.map(|(rows, number)| block(owner, *number, rows));
    blocks.collect()
}

fn of_writers() -> impl Strategy<Value = Command> {
    prop_oneof![
        1 => (who(), any::<bool>(), 0..9i64).prop_map(|((writer, _), own, lease)| {
            Command::RegisterWriter {
                writer,
                address: String::new(),
                zone: String::new(),
                log: if own { Log::OnePerIncarnation } else { Log::Continued },
                lease_until_unix_ms: lease,
            }
        }),
        1 => (who(), 0..9i64).prop_map(|((writer, incarnation), until_unix_ms)| {
            Command::RenewLease { writer, incarnation, until_unix_ms }
        }),
        6 => (who(), (1..12u64, 0..3u64), owner(), numbers()).prop_map(
            |((writer, incarnation), (lsn_from, more), owner, numbers)| Command::Commit {
                writer,
                incarnation,
                lsn_from,
                lsn_to: lsn_from + more,
                blocks: blocks_of(&owner, &numbers, more + 1),
                at_unix_ms: 9,
            }
        ),
        1 => (who(), 0..12u64).prop_map(|((writer, incarnation), lsn)| {
            Command::Close { writer, incarnation, lsn }
        }),
        2 => (who(), 0..12i64).prop_map(|((writer, incarnation), at_unix_ms)| {
            Command::Seal { writer, incarnation, at_unix_ms }
        }),
    ]
}

fn of_blocks() -> impl Strategy<Value = Command> {
    let manifest = (0..3i64, 0..9u64, any::<bool>());
    prop_oneof![
        5 => (owner(), numbers(), numbers(), 0..9i64, any_ticket()).prop_map(
            |(tenant, inputs, outputs, at_unix_ms, ticket)| Command::Replace {
                inputs: inputs.into_iter().map(id).collect(),
                outputs: outputs.iter().map(|number| block(&tenant, *number, 1)).collect(),
                tenant,
                at_unix_ms,
                ticket: Some(ticket).filter(|ticket| ticket.token % 2 == 0),
                compared: (ticket.job.0 % 4 == 0).then(|| (0..9).map(id).collect()),
            }
        ),
        1 => (owner(), numbers(), manifest).prop_map(|(tenant, blocks, (day, number, first))| {
            Command::Spill {
                tenant,
                manifest: super::manifest(day, number, (!first).then(|| id(number / 2))),
                blocks: blocks.into_iter().map(id).collect(),
                at_unix_ms: 9,
            }
        }),
        1 => (owner(), numbers()).prop_map(|(tenant, blocks)| Command::Forget {
            tenant,
            blocks: blocks.into_iter().map(id).collect(),
        }),
    ]
}

fn any_ticket() -> impl Strategy<Value = Ticket> {
    (0..60u64, 0..60u64).prop_map(|(job, token)| Ticket {
        job: JobId(job),
        token,
    })
}

fn of_jobs() -> impl Strategy<Value = Command> {
    let work = prop_oneof![
        3 => (owner(), numbers()).prop_map(|(tenant, inputs)| Work::Merge {
            tenant,
            inputs: inputs.into_iter().map(id).collect(),
        }),
        1 => Just(Work::Sweep),
    ];
    prop_oneof![
        2 => work.prop_map(|work| Command::Offer { work }),
        4 => (0..60u64, 0..3u8, 0..9i64, 0..9i64).prop_map(
            |(job, worker, at_unix_ms, until_unix_ms)| Command::Claim {
                job: JobId(job),
                worker: format!("c{worker}"),
                at_unix_ms,
                until_unix_ms,
            }
        ),
        1 => (any_ticket(), 0..9i64).prop_map(|(ticket, until_unix_ms)| {
            Command::Extend { ticket, until_unix_ms }
        }),
        1 => any_ticket().prop_map(|ticket| Command::Abandon { ticket }),
        4 => (any_ticket(), (1..12u64, 0..3u64), owner(), numbers(), any::<bool>()).prop_map(
            |(ticket, (lsn_from, more), owner, numbers, is_last)| Command::Recover {
                ticket,
                lsn_from,
                lsn_to: lsn_from + more,
                blocks: blocks_of(&owner, &numbers, more + 1),
                at_unix_ms: 9,
                is_last,
            }
        ),
    ]
}

fn of_others() -> impl Strategy<Value = Command> {
    let hash = (0..3u8).prop_map(|byte| TokenHash([byte; 32]));
    prop_oneof![
        (0..4u64, who(), 0..3u16).prop_map(|(epoch, (writer, _), shard)| Command::Assign {
            epoch,
            moves: vec![(shard * 2000, writer)],
        }),
        owner().prop_map(|tenant| Command::PutTenant {
            tenant,
            settings: Tenant::default(),
        }),
        (hash.clone(), owner()).prop_map(|(hash, tenant)| Command::PutToken {
            hash,
            token: super::tenants::token(tenant),
        }),
        hash.prop_map(|hash| Command::RevokeToken { hash }),
    ]
}

/// `rows`, shared between `count` blocks.
fn shares(count: usize, rows: u64) -> impl Iterator<Item = u64> {
    let count = count as u64;
    (0..count).map(move |at| rows / count + u64::from(at < rows % count))
}

/// Makes most commands plausible, which chance alone would hardly ever do, and lets a replacement's
/// outputs hold the rows of its inputs, as a compactor's do.
#[expect(clippy::too_many_lines, reason = "one short arm per command")]
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
        Command::Seal {
            writer,
            incarnation,
            ..
        }
        | Command::RenewLease {
            writer,
            incarnation,
            ..
        } => {
            if let Some(known) = state.writer(writer) {
                *incarnation = known.incarnation;
            }
        }
        Command::Close {
            writer,
            incarnation,
            lsn,
        } if *lsn % 4 > 0 => {
            if let Some(known) = state.writer(writer) {
                (*incarnation, *lsn) = (known.incarnation, known.flushed_lsn);
            }
        }
        Command::Extend { ticket, .. } | Command::Abandon { ticket } => {
            if let Some((found, _)) = state.jobs.any_claimed(|_| true) {
                *ticket = found;
            }
        }
        Command::Claim { job, .. } => {
            let jobs: Vec<Job> = state.jobs().collect();
            if !jobs.is_empty() {
                *job = jobs[job.0 as usize % jobs.len()].id;
            }
        }
        Command::Recover {
            ticket,
            lsn_from,
            lsn_to,
            ..
        } if *lsn_from % 4 > 0 => {
            if let Some((found, flushed_lsn)) = recovery(state) {
                let more = *lsn_to - *lsn_from;
                *ticket = found;
                *lsn_from = flushed_lsn + 1;
                *lsn_to = *lsn_from + more;
            }
        }
        Command::Offer {
            work: Work::Merge { tenant, inputs },
        } => aim_inputs(state, tenant, inputs),
        Command::Spill { tenant, blocks, .. } => aim_inputs(state, tenant, blocks),
        Command::Replace {
            tenant,
            inputs,
            outputs,
            at_unix_ms,
            ticket,
            compared: _,
        } => {
            let merge = |work: &Work| matches!(work, Work::Merge { .. });
            if let Some(ticket) = ticket
                && let Some((
                    found,
                    Work::Merge {
                        tenant: of,
                        inputs: all,
                    },
                )) = state.jobs.any_claimed(merge)
            {
                (*ticket, *tenant, *inputs) = (found, of, all);
            } else if *at_unix_ms % 4 > 0 {
                aim_inputs(state, tenant, inputs);
            }
            let live = state.snapshot(tenant).blocks;
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

fn aim_inputs(state: &State, tenant: &TenantId, inputs: &mut Vec<cairn_model::BlockId>) {
    let live = state.snapshot(tenant).blocks;
    if !live.is_empty() {
        for input in &mut *inputs {
            *input = live[input.unix_ms() as usize % live.len()].id;
        }
        inputs.dedup();
    }
}

/// The ticket of a claimed recovery, and how far its log is in blocks.
fn recovery(state: &State) -> Option<(Ticket, u64)> {
    let (ticket, work) = state
        .jobs
        .any_claimed(|work| matches!(work, Work::Recover { .. }))?;
    let Work::Recover {
        writer,
        incarnation,
    } = work
    else {
        return None;
    };
    let flushed_lsn = state.writers.sealed(&writer, incarnation).ok()?;
    Some((ticket, flushed_lsn))
}

/// How far the log of each incarnation that can still be flushed is in blocks.
fn flushed(state: &State) -> BTreeMap<(WriterId, u64), u64> {
    let open = state.writers.all_open().into_iter();
    let all = open.chain(state.sealed());
    all.map(|writer| ((writer.id, writer.incarnation), writer.flushed_lsn))
        .collect()
}

fn spilled_rows(before: &State, after: &State, tenant: &TenantId) -> u64 {
    let rows = |state: &State| -> u64 {
        let blocks = state.snapshot(tenant).blocks;
        blocks.iter().map(|block| block.rows).sum()
    };
    rows(before) - rows(after)
}

/// Properties of what never happens would hold for nothing.
#[test]
fn chance_reaches_every_command() {
    let mut runner = TestRunner::deterministic();
    let mut accepted: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..200 {
        let mut state = State::default();
        for _ in 0..160 {
            let tree = any_command().new_tree(&mut runner).expect("drawn");
            let mut command = tree.current();
            aim(&state, &mut command);
            let shown = format!("{command:?}");
            let name = shown.split(' ').next().unwrap_or_default();
            let accepted = accepted.entry(name.to_owned()).or_default();
            *accepted += usize::from(apply(&mut state, command).is_ok());
        }
    }
    let rare: Vec<_> = accepted.iter().filter(|(_, count)| **count < 20).collect();
    assert!(rare.is_empty() && accepted.len() == 17, "{accepted:?}");
}

proptest! {
    #[test]
    fn every_row_is_in_exactly_one_live_block_until_it_is_deleted(
        commands in prop::collection::vec(any_command(), 0..160)
    ) {
        let mut state = State::default();
        let (mut committed, mut gone) = (0, 0);
        for mut command in commands {
            aim(&state, &mut command);
            let before = state.clone();
            if apply(&mut state, command.clone()).is_err() {
                prop_assert_eq!(&state, &before, "a refusal changed something");
                continue;
            }
            prop_assert_eq!(state.version, before.version + 1);
            let (rows, rows_before) = (state.blocks.rows(), before.blocks.rows());
            match command {
                Command::Commit { blocks, .. } | Command::Recover { blocks, .. } => {
                    committed += blocks.iter().map(|block| block.rows).sum::<u64>();
                }
                Command::Replace { outputs, .. } if outputs.is_empty() => gone += rows_before - rows,
                Command::Spill { tenant, .. } => gone += spilled_rows(&before, &state, &tenant),
                _ => prop_assert_eq!(rows, rows_before, "rows were lost or doubled"),
            }
            prop_assert_eq!(rows + gone, committed);
            prop_assert!(state.blocks.are_live_or_dead());
        }
    }

    #[test]
    fn logs_get_into_blocks_once_without_gaps_and_are_never_forgotten_before(
        commands in prop::collection::vec(any_command(), 0..160)
    ) {
        let mut state = State::default();
        for mut command in commands {
            aim(&state, &mut command);
            let before = state.clone();
            if apply(&mut state, command.clone()).is_err() {
                continue;
            }
            let (was, is) = (flushed(&before), flushed(&state));
            for (log, lsn) in &was {
                match (is.get(log), &command) {
                    (Some(now), Command::Commit { lsn_from, lsn_to, .. } | Command::Recover { lsn_from, lsn_to, .. }) if now != lsn => {
                        prop_assert_eq!((*lsn_from, *lsn_to), (*lsn + 1, *now));
                    }
                    (Some(now), _) => prop_assert_eq!(now, lsn),
                    (None, Command::Close { lsn: end, .. }) => prop_assert_eq!(end, lsn),
                    (None, Command::Recover { is_last, .. }) => prop_assert!(*is_last),
                    (None, Command::RegisterWriter { writer, log: Log::Continued, .. }) => {
                        prop_assert_eq!(writer, &log.0, "its log goes on under another number");
                    }
                    (None, other) => prop_assert!(false, "{log:?} was forgotten by {other:?}"),
                }
            }
            // Whatever is sealed, somebody is asked to recover.
            for writer in state.sealed() {
                let work = Work::Recover { writer: writer.id, incarnation: writer.incarnation };
                prop_assert!(state.jobs().any(|job| job.work == work));
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
