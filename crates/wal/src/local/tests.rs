use proptest::prelude::*;

use super::*;

const SMALL: u64 = 200;

type Found = Vec<(Lsn, Vec<u8>)>;

fn replayed(folder: &Path) -> Result<(Found, LocalLog), Error> {
    let mut found = Vec::new();
    let log = LocalLog::open(folder, SMALL)?.replay(|lsn, payload| {
        found.push((lsn, payload.to_vec()));
        Ok(0)
    })?;
    Ok((found, log))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<_> = all.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "log"));
    paths.sort();
    paths
}

fn append(log: &mut LocalLog, batches: &[&[&[u8]]]) {
    for batch in batches {
        let batch: Vec<Vec<u8>> = batch.iter().map(|payload| payload.to_vec()).collect();
        log.append(&batch, 0).expect("written");
    }
}

#[test]
fn appended_payloads_come_back_in_order_over_restarts_and_segments() {
    let folder = folder();
    for round in 0..5u8 {
        let (found, mut log) = replayed(folder.path()).expect("clean");
        assert_eq!(found.len(), usize::from(round) * 3);
        append(&mut log, &[&[&[round], &[round; 100]], &[&[round; 150]]]);
    }
    let (found, _) = replayed(folder.path()).expect("clean");
    assert!(found.iter().map(|(lsn, _)| *lsn).eq(1..=15));
    assert_eq!(found[14].1, [4; 150]);
    assert_eq!(
        segments(folder.path()).len(),
        5,
        "a start opens a segment of its own"
    );
}

#[test]
fn a_log_cut_at_any_byte_keeps_every_whole_record_and_goes_on() {
    let folder = folder();
    let (_, mut log) = replayed(folder.path()).expect("clean");
    append(&mut log, &[&[b"one", b"two"], &[b"three"], &[b"", b"five"]]);
    drop(log);
    let path = segments(folder.path()).remove(0);
    let whole = std::fs::read(&path).expect("written");
    let ends: Vec<usize> = [3, 3, 5, 0, 4]
        .iter()
        .scan(8, |end, len| {
            *end += 24 + len;
            Some(*end)
        })
        .collect();
    for cut in 0..=whole.len() {
        for path in segments(folder.path()) {
            std::fs::remove_file(path).expect("removed");
        }
        std::fs::write(&path, &whole[..cut]).expect("written");
        let (found, mut log) = replayed(folder.path()).expect("a torn end is no damage");
        let kept = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(found.len(), kept, "cut at {cut}");
        append(&mut log, &[&[b"next"]]);
        drop(log);
        let (found, _) = replayed(folder.path()).expect("clean");
        assert_eq!(found.len(), kept + 1, "cut at {cut}");
        assert_eq!(found[kept], (kept as Lsn + 1, b"next".to_vec()));
    }
}

#[test]
fn a_flipped_byte_before_a_later_batch_is_damage_and_names_the_place() {
    let folder = folder();
    let (_, mut log) = replayed(folder.path()).expect("clean");
    append(&mut log, &[&[b"one"], &[b"two"]]);
    drop(log);
    let path = segments(folder.path()).remove(0);
    let whole = std::fs::read(&path).expect("written");
    for at in 0..8 + 27 {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).expect("written");
        let error = replayed(folder.path()).expect_err("acknowledged data is unreadable");
        let text = error.to_string();
        assert!(matches!(error, Error::Damaged { .. }), "byte {at}: {text}");
        assert!(text.contains("00000001.log at byte "), "{text}");
    }
    // In the last batch the same flip looks like a write that never finished.
    let mut bytes = whole.clone();
    *bytes.last_mut().expect("not empty") ^= 1;
    std::fs::write(&path, &bytes).expect("written");
    assert_eq!(replayed(folder.path()).expect("torn").0.len(), 1);
}

#[test]
fn a_cut_or_missing_older_segment_is_damage() {
    let folder = folder();
    let (_, mut log) = replayed(folder.path()).expect("clean");
    append(&mut log, &[&[&[1; 300]], &[&[2; 300]], &[&[3; 300]]]);
    drop(log);
    let paths = segments(folder.path());
    assert_eq!(paths.len(), 3);
    let second = std::fs::read(&paths[1]).expect("written");
    std::fs::write(&paths[1], &second[..100]).expect("written");
    let error = replayed(folder.path()).expect_err("a cut in the middle");
    assert!(error.to_string().contains("ends early"), "{error}");
    std::fs::remove_file(&paths[1]).expect("removed");
    let error = replayed(folder.path()).expect_err("a gap");
    assert!(error.to_string().contains("begin with record 2"), "{error}");
}

#[test]
fn a_file_named_by_no_number_that_a_record_can_have_is_damage() {
    for first in [0, Lsn::MAX] {
        let folder = folder();
        let path = folder.path().join(format!("{first:020}{SUFFIX}"));
        std::fs::write(&path, segment::MAGIC).expect("written");
        let error = replayed(folder.path()).map(|_| ()).expect_err("damage");
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
    }
}

#[test]
fn only_old_and_flushed_segments_are_deleted() {
    let folder = folder();
    let (_, mut log) = replayed(folder.path()).expect("clean");
    for now in 0..4 {
        log.append(&[vec![0; 300]], now).expect("written");
    }
    log.truncate(3, 1).expect("truncated");
    assert_eq!(segments(folder.path()).len(), 3);
    log.truncate(2, 100).expect("truncated");
    assert_eq!(segments(folder.path()).len(), 2);
    drop(log);
    let (found, log) = replayed(folder.path()).expect("clean");
    assert!(found.iter().map(|(lsn, _)| *lsn).eq(3..=4));
    assert_eq!(log.next(), 5);
}

#[test]
fn numbers_that_others_know_are_never_given_again() {
    let folder = folder();
    let (_, mut log) = replayed(folder.path()).expect("clean");
    append(&mut log, &[&[b"flushed elsewhere"]]);
    drop(log);
    let (_, mut log) = replayed(folder.path()).expect("clean");
    log.skip_to(42).expect("skipped");
    append(&mut log, &[&[b"x"]]);
    drop(log);
    assert_eq!(replayed(folder.path()).expect("clean").0[0].0, 42);
}

#[test]
fn a_folder_serves_one_log_at_a_time() {
    let folder = folder();
    let (_, _log) = replayed(folder.path()).expect("clean");
    let error = replayed(folder.path()).expect_err("locked");
    assert!(
        error.to_string().contains("in use by another process"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    /// Acknowledged batches survive whatever becomes of the bytes that were written after them.
    #[test]
    fn nothing_acknowledged_is_lost_to_a_torn_batch(
        acknowledged in proptest::collection::vec(proptest::collection::vec(0usize..40, 1..4), 0..4),
        torn in proptest::collection::vec(0usize..40, 1..4),
        garbage in proptest::collection::vec((0usize..200, any::<u8>()), 1..20),
    ) {
        let folder = folder();
        let mut count = 0;
        let (_, log) = replayed(folder.path()).expect("clean");
        let mut log = LocalLog { segment_bytes: 1 << 20, ..log };
        for batch in &acknowledged {
            let batch: Vec<Vec<u8>> = batch.iter().map(|len| vec![7; *len]).collect();
            count += batch.len();
            log.append(&batch, 0).expect("written");
        }
        let durable = log.open.as_ref().map_or(0, |open| open.bytes as usize);
        let batch: Vec<Vec<u8>> = torn.iter().map(|len| vec![9; *len]).collect();
        log.append(&batch, 0).expect("written");
        drop(log);
        let path = segments(folder.path()).remove(0);
        let mut bytes = std::fs::read(&path).expect("written");
        for (at, value) in garbage {
            let at = durable.max(segment::MAGIC.len()) + at;
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        std::fs::write(&path, &bytes).expect("written");
        let (found, _) = replayed(folder.path()).expect("only the end is torn");
        prop_assert!(found.len() >= count);
        for (lsn, payload) in &found[count..] {
            prop_assert!(payload.iter().all(|b| *b == 9), "record {} is made up", lsn);
        }
    }
}
