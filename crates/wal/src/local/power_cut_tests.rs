//! The log against power cuts: an XFS is shut down under a log that is being written.
//!
//! `CAIRN_POWER_CUTS` says how many cuts.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use cairn_testkit::disk::{Disk, Journal, cuts};
use cairn_testkit::generator::Rng;
use parking_lot::Mutex;

use super::segment;
use super::*;

const APPENDERS: usize = 4;
/// Small, so that cuts also meet the start of a segment.
const SEGMENT_BYTES: u64 = 64 << 10;

type Found = Vec<(Lsn, Vec<u8>)>;

fn log_of(disk: &Disk) -> PathBuf {
    disk.mounted().join("log")
}

fn replayed(folder: &Path) -> Result<(Found, LocalLog), Error> {
    let mut found = Vec::new();
    let log = LocalLog::open(folder, SEGMENT_BYTES)?.replay(|lsn, payload| {
        found.push((lsn, payload.to_vec()));
        Ok(0)
    })?;
    Ok((found, log))
}

/// The payload that can be told from its first eight bytes: mostly small, at times many pages.
fn payload(seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let most = [100, 5_000, 20_000, 200_000][rng.below(40).saturating_sub(36) as usize];
    let len = rng.below(most) as usize;
    let mut bytes = seed.to_le_bytes().to_vec();
    bytes.extend(
        std::iter::repeat_with(|| rng.next().to_le_bytes())
            .flatten()
            .take(len),
    );
    bytes
}

fn seed_of(payload: &[u8]) -> u64 {
    let seed = payload.first_chunk().expect("every payload has a seed");
    u64::from_le_bytes(*seed)
}

/// What became of the appends of one thread.
#[derive(Debug, Default)]
struct Written {
    acknowledged: Vec<(Lsn, u64)>,
    /// Batches of which the log said that it does not know, or whose acknowledgement came when there
    /// was no power to send it with: a sync that meets the shutdown may claim success.
    doubtful: Vec<Vec<u64>>,
}

impl Written {
    /// Appends a random batch to a log in `folder`.
    fn append(&mut self, log: &Mutex<LocalLog>, folder: &Path, rng: &mut Rng) -> Result<(), Error> {
        let seeds: Vec<u64> = (0..=rng.below(3)).map(|_| rng.next()).collect();
        let payloads: Vec<Vec<u8>> = seeds.iter().map(|seed| payload(*seed)).collect();
        let mut log = log.lock();
        match log.append(&payloads, 0) {
            Ok(_) if !Disk::has_power(folder) => self.doubtful.push(seeds),
            Ok(first) => self.acknowledged.extend((first..).zip(seeds)),
            Err(error) => {
                if matches!(error, Error::Poisoned(_)) {
                    self.doubtful.push(seeds);
                }
                return Err(error);
            }
        }
        Ok(())
    }
}

/// What the log has to hold.
#[derive(Default)]
struct History {
    /// Seeds by number.
    kept: BTreeMap<Lsn, u64>,
    /// Up to here the log was allowed to forget.
    truncated: Lsn,
    acknowledged: usize,
    survivors: usize,
    journals: [usize; 2],
}

impl History {
    fn note(&mut self, written: &[Written]) {
        for (lsn, seed) in written.iter().flat_map(|written| &written.acknowledged) {
            let twice = self.kept.insert(*lsn, *seed);
            assert_eq!(twice, None, "number {lsn} was given twice");
            self.acknowledged += 1;
        }
    }

    /// Holds what a replay found against what was acknowledged; the rest must be one batch of
    /// `doubtful`, or its beginning.
    fn check(&mut self, found: &Found, written: &[Written]) {
        let first = found.first().map_or(self.truncated + 1, |(lsn, _)| *lsn);
        assert!(first <= self.truncated + 1, "the log begins at {first}");
        assert!(
            found
                .iter()
                .map(|(lsn, _)| *lsn)
                .eq((first..).take(found.len())),
            "gapless and in order"
        );
        for (lsn, bytes) in found {
            assert!(*bytes == payload(seed_of(bytes)), "entry {lsn} is intact");
        }
        let last = self.kept.last_key_value().map_or(0, |(lsn, _)| *lsn);
        let end = first + found.len() as Lsn;
        assert!(last < end, "acknowledged {end}..={last} are lost");
        let (known, unknown) = found.split_at((last + 1 - first) as usize);
        for (lsn, bytes) in known {
            assert_eq!(self.kept.get(lsn), Some(&seed_of(bytes)), "entry {lsn}");
        }
        let survivors: Vec<u64> = unknown.iter().map(|(_, bytes)| seed_of(bytes)).collect();
        let mut doubtful = written.iter().flat_map(|written| &written.doubtful);
        assert!(
            survivors.is_empty() || doubtful.any(|batch| batch.starts_with(&survivors)),
            "refused or made up: {survivors:?}"
        );
        // They are readable now, so they have to stay.
        self.kept
            .extend((last + 1..).zip(survivors.iter().copied()));
        self.survivors += survivors.len();
    }
}

/// Appends from several threads until the power is gone, and after that.
fn write_until_cut(
    disk: &Disk,
    log: LocalLog,
    history: &mut History,
    rng: &mut Rng,
) -> Vec<Written> {
    let checked = log.next() - 1;
    let (log, folder) = (Mutex::new(log), log_of(disk));
    let cutting = AtomicBool::new(false);
    let (acknowledge, acknowledged) = mpsc::channel();
    let append = |mut rng: Rng, acknowledge: mpsc::Sender<()>| {
        let mut written = Written::default();
        let error = loop {
            match written.append(&log, &folder, &mut rng) {
                Ok(()) => drop(acknowledge.send(())),
                Err(error) => break error,
            }
        };
        assert!(cutting.load(Ordering::SeqCst), "refused before: {error:?}");
        // Poisoned or not, nothing is acknowledged any more; what is refused now never comes back.
        for _ in 0..3 {
            let mut refused = Written::default();
            refused
                .append(&log, &folder, &mut rng)
                .expect_err("there is no disk");
        }
        written
    };
    let written = std::thread::scope(|scope| {
        let threads = [(); APPENDERS].map(|()| {
            let (rng, acknowledge) = (Rng::new(rng.next()), acknowledge.clone());
            scope.spawn(|| append(rng, acknowledge))
        });
        drop(acknowledge);
        // The start of the command that cuts takes a time of its own, so the moment is random.
        let (truncate_after, cut_after) = (rng.below(80), rng.below(80));
        for at in 0..=cut_after {
            if at == truncate_after {
                history.truncated = checked;
                log.lock().truncate(checked, 1).expect("there is power");
            }
            acknowledged.recv().expect("appenders go on until the cut");
        }
        cutting.store(true, Ordering::SeqCst);
        let journal = [Journal::Lost, Journal::Flushed][rng.below(2) as usize];
        history.journals[journal as usize] += 1;
        disk.cut(journal);
        threads.map(|thread| thread.join().expect("no assertion failed"))
    });
    written.into()
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the report says how long it took"
)]
fn power_cuts_lose_nothing_acknowledged() {
    let Some(disk) = Disk::format_or_skip("power_cut") else {
        return;
    };
    let cuts = cuts();
    let (start, mut history) = (Instant::now(), History::default());
    let (_, mut log) = replayed(&log_of(&disk)).expect("a new folder");
    for cut in 0..cuts {
        let written = write_until_cut(&disk, log, &mut history, &mut Rng::new(cut));
        history.note(&written);
        disk.restart();
        let (found, again) = replayed(&log_of(&disk)).expect("a power cut is no damage");
        history.check(&found, &written);
        log = again;
        // What the catalog makes the ingester do.
        log.skip_to(history.truncated + 1).expect("skipped");
    }
    println!(
        "power_cut: {cuts} cuts ({} with the journal lost, {} flushed), {} entries acknowledged, \
         0 lost, {} came back unacknowledged, {:.1} s",
        history.journals[0],
        history.journals[1],
        history.acknowledged,
        history.survivors,
        start.elapsed().as_secs_f64()
    );
}

/// Killed between a write and its sync, a process leaves records in the page cache that the next one
/// replays: they must not be gone after that, and later ones with them.
#[test]
fn power_cuts_keep_what_was_replayed_after_a_kill() {
    let Some(disk) = Disk::format_or_skip("power_cut after a kill") else {
        return;
    };
    let (_, mut log) = replayed(&log_of(&disk)).expect("a new folder");
    log.append(&[b"one".to_vec()], 0).expect("written");
    drop(log);
    let path = log_of(&disk).join("00000000000000000001.log");
    let mut unsynced = Vec::new();
    segment::put(&mut unsynced, 2, 2, b"two");
    segment::put(&mut unsynced, 3, 2, b"three");
    let file = OpenOptions::new().append(true).open(path);
    let mut file = file.expect("the segment");
    file.write_all(&unsynced).expect("written");
    drop(file);

    let (found, mut log) = replayed(&log_of(&disk)).expect("clean");
    assert_eq!(found.len(), 3);
    log.append(&[b"four".to_vec()], 0).expect("written");
    disk.cut(Journal::Lost);
    drop(log);
    disk.restart();
    let (found, _) = replayed(&log_of(&disk)).expect("a power cut is no damage");
    let found: Vec<&[u8]> = found.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    assert_eq!(found, [b"one".as_slice(), b"two", b"three", b"four"]);
}
