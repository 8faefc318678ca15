//! Damaged profiles: never a panic, and the same verdict as the oracle's.

use cairn_model::Limits;
use cairn_pprof::{Options, canonical, encode};
use cairn_testkit::generator::Rng;

use crate::{decode, oracle};

const ROUNDS: usize = 4_000;
const BYTES_MAX: usize = 24 << 10;

#[test]
fn damage_is_judged_as_the_oracle_does() {
    let seeds: Vec<Vec<u8>> = cairn_testkit::corpus::pprofs()
        .iter()
        .map(|pprof| oracle::inflate(&pprof.bytes))
        .filter(|plain| plain.len() <= BYTES_MAX)
        .collect();
    let limits = Limits {
        depth_max: usize::MAX,
        sample_types_max: usize::MAX,
        sample_labels_max: usize::MAX,
        ..Limits::default()
    };
    let mut rng = Rng::new(7);
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        let mut bytes = seeds[rng.below(seeds.len() as u64) as usize].clone();
        for _ in 0..=rng.below(4) {
            damage(&mut bytes, &mut rng);
        }
        if bytes.starts_with(&[0x1f, 0x8b]) {
            continue;
        }
        let ours = cairn_pprof::decode(&bytes, &limits, &Options::default());
        match (ours, oracle::decode(&bytes)) {
            (Ok(ours), Ok(theirs)) => {
                accepted += 1;
                let rows = canonical(&ours.profile);
                assert!(rows == canonical(&theirs), "round {round}: rows differ");
                assert_eq!(ours.profile.samples.values, theirs.samples.values);
                let again =
                    cairn_pprof::decode(&encode(&ours.profile), &limits, &Options::default());
                let again = again.expect("we encode valid profiles").profile;
                assert!(rows == canonical(&again), "round {round}: no round trip");
            }
            (Err(_), Err(_)) => refused += 1,
            // The oracle's library skips groups, which pprof never had.
            (Err(error), Ok(_)) => assert!(
                error.to_string().contains("wire type 3"),
                "round {round}: only we refuse: {error}"
            ),
            (Ok(_), Err(error)) => panic!("round {round}: only the oracle refuses: {error}"),
        }
    }
    assert!(
        accepted > ROUNDS / 20,
        "{accepted} accepted, {refused} refused"
    );
    assert!(
        refused > ROUNDS / 20,
        "{accepted} accepted, {refused} refused"
    );
}

#[test]
fn damaged_gzip_never_panics() {
    let raw = cairn_testkit::corpus::read("generated/go/go1.27-heap.pb.gz");
    let mut rng = Rng::new(11);
    for _ in 0..500 {
        let mut bytes = raw.clone();
        damage(&mut bytes, &mut rng);
        let _ = decode(&bytes);
    }
}

fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    if bytes.is_empty() {
        bytes.push(rng.next() as u8);
        return;
    }
    let at = rng.below(bytes.len() as u64) as usize;
    let end = (at + 1 + rng.below(16) as usize).min(bytes.len());
    match rng.below(8) {
        0 | 1 => bytes[at] ^= 1 << rng.below(8),
        2 => bytes[at] = rng.next() as u8,
        3 => bytes[at] = bytes[at].wrapping_add(1),
        4 => bytes.insert(at, rng.next() as u8),
        5 => drop(bytes.drain(at..end)),
        6 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        _ => bytes.truncate(at),
    }
}
