//! Crashes and damage at every byte. What a command means is tested in `state`.

use std::fs;

use proptest::prelude::*;

use super::*;
use crate::state::tests::{aim, any_command, block, commit, register, tenant};

fn path(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join(NAME)
}

/// A journal of three commits and the state after each of its frames.
fn written(dir: &tempfile::TempDir) -> Vec<(u64, State)> {
    let (mut journal, mut state) = Journal::open(dir.path()).expect("fresh");
    let mut states = vec![(journal.len, state.clone())];
    let t = tenant("t");
    for command in [
        register(1),
        commit(1, (1, 4), vec![block(&t, 1, 4)]),
        commit(1, (5, 5), vec![block(&t, 2, 1), block(&t, 3, 0)]),
    ] {
        apply(&mut state, command.clone()).expect("valid");
        journal.append(&[command]).expect("the disk is well");
        states.push((journal.len, state.clone()));
    }
    states
}

fn reopened(bytes: &[u8]) -> Result<State, Error> {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(path(&dir), bytes).expect("written");
    Journal::open(dir.path()).map(|(_, state)| state)
}

#[test]
fn a_journal_opened_again_gives_the_same_state_and_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_, last) = written(&dir).pop().expect("some");
    let (mut journal, mut state) = Journal::open(dir.path()).expect("well");
    assert_eq!(state, last);
    let more = commit(1, (6, 6), vec![]);
    apply(&mut state, more.clone()).expect("gapless");
    journal.append(&[more]).expect("the disk is well");
    drop(journal);
    assert_eq!(Journal::open(dir.path()).expect("well").1, state);
}

#[test]
fn a_last_frame_cut_at_any_byte_gives_the_state_before_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let states = written(&dir);
    let bytes = fs::read(path(&dir)).expect("read");
    let [.., (before, expected), (end, whole)] = states.as_slice() else {
        panic!("several frames");
    };
    assert_eq!(*end, bytes.len() as u64);
    for len in *before..*end {
        let cut = &bytes[..len as usize];
        assert_eq!(&reopened(cut).expect("torn"), expected, "cut at {len}");
        // File systems may give a torn file its full length, with zeros.
        let mut zeroed = cut.to_vec();
        zeroed.resize(bytes.len() + 100, 0);
        assert_eq!(
            &reopened(&zeroed).expect("torn"),
            expected,
            "zeros from {len}"
        );
    }
    assert_eq!(&reopened(&bytes).expect("well"), whole);
}

#[test]
fn a_torn_end_is_cut_off_before_the_journal_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let states = written(&dir);
    let (_, last) = states.last().expect("some");
    let mut bytes = fs::read(path(&dir)).expect("read");
    bytes.extend([7; 200]);
    fs::write(path(&dir), &bytes).expect("written");
    let (mut journal, mut state) = Journal::open(dir.path()).expect("torn");
    assert_eq!(&state, last);
    let more = commit(1, (6, 6), vec![]);
    apply(&mut state, more.clone()).expect("gapless");
    journal.append(&[more]).expect("the disk is well");
    drop(journal);
    assert_eq!(Journal::open(dir.path()).expect("well").1, state);
}

#[test]
fn damage_before_the_last_frame_is_an_error_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let states = written(&dir);
    let bytes = fs::read(path(&dir)).expect("read");
    let last_frame = states[states.len() - 2].0;
    for at in 0..last_frame as usize {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let error = reopened(&damaged).expect_err("damaged");
        assert_eq!(
            error.code(),
            cairn_model::Code::Corrupt,
            "byte {at}: {error}"
        );
    }
    for bad in [
        &b""[..],
        b"CRNCAT\x00\x02",
        MAGIC,
        &bytes[..MAGIC.len() + 20],
    ] {
        assert!(
            matches!(reopened(bad), Err(Error::Corrupt { .. })),
            "{bad:?}"
        );
    }
    let kept = tempfile::tempdir().expect("a folder");
    let mut damaged = bytes;
    damaged[last_frame as usize - 1] ^= 1;
    fs::write(path(&kept), &damaged).expect("written");
    assert!(Journal::open(kept.path()).is_err());
    assert_eq!(fs::read(path(&kept)).expect("read"), damaged);
}

#[test]
fn a_second_process_is_kept_out() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = Journal::open(dir.path()).expect("fresh");
    assert!(matches!(Journal::open(dir.path()), Err(Error::Locked(_))));
    drop(first);
    Journal::open(dir.path()).expect("free again");
}

#[test]
fn folders_are_created_and_a_left_over_temporary_file_does_not_matter() {
    let dir = tempfile::tempdir().expect("a folder");
    let nested = dir.path().join("a/b");
    drop(Journal::open(&nested).expect("fresh"));
    fs::write(fresh(&nested), b"half").expect("written");
    Journal::open(&nested).expect("well");
}

#[test]
fn a_large_journal_becomes_a_small_one_with_the_same_state() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut journal, mut state) = Journal::open(dir.path()).expect("fresh");
    let mut incarnation = 0;
    let mut largest = 0;
    while incarnation == 0 || journal.len > largest {
        largest = journal.len;
        let batch: Vec<Command> = (0..1_000)
            .map(|_| {
                incarnation += 1;
                register(incarnation)
            })
            .collect();
        for command in &batch {
            apply(&mut state, command.clone()).expect("newer");
        }
        journal.append(&batch).expect("the disk is well");
        journal.rewrite_if_large(&state);
    }
    assert!(largest + 200_000 > REWRITE_BYTES_MIN && journal.len < 1_000);
    let more = commit(incarnation, (1, 1), vec![]);
    apply(&mut state, more.clone()).expect("gapless");
    journal.append(&[more]).expect("the disk is well");
    drop(journal);
    assert_eq!(Journal::open(dir.path()).expect("well").1, state);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn replaying_gives_the_same_state(
        batches in prop::collection::vec(prop::collection::vec(any_command(), 1..8), 0..12)
    ) {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut journal, mut state) = Journal::open(dir.path()).expect("fresh");
        for batch in batches {
            let accepted: Vec<Command> = batch
                .into_iter()
                .filter_map(|mut command| {
                    aim(&state, &mut command);
                    apply(&mut state, command.clone()).ok().map(|_| command)
                })
                .collect();
            if !accepted.is_empty() {
                journal.append(&accepted).expect("the disk is well");
            }
        }
        drop(journal);
        prop_assert_eq!(Journal::open(dir.path()).expect("well").1, state);
    }

    #[test]
    fn replaying_anything_never_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        payload in prop::collection::vec(any::<u8>(), 1..60),
    ) {
        let _ = replay(&bytes);
        let framed = [&MAGIC[..], &frame::encode(&payload).expect("short"), &bytes].concat();
        prop_assert!(replay(&framed).is_err());
        let state = serde_json::to_vec(&State::default()).expect("plain data");
        let framed = [&MAGIC[..], &frame::encode(&state).expect("short"), &bytes].concat();
        let _ = replay(&framed);
    }
}
