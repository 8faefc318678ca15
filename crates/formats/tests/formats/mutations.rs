//! Damaged inputs: never a panic, and what is accepted holds together.

use cairn_formats::{Decoded, Format};
use cairn_model::NONE;
use cairn_testkit::corpus;
use cairn_testkit::generator::Rng;
use proptest::prelude::*;
use std::sync::LazyLock;

use crate::decode;

const FORMATS: [Format; 9] = [
    Format::Folded,
    Format::Lines,
    Format::Tree,
    Format::Trie,
    Format::Speedscope,
    Format::CpuProfile,
    Format::HeapProfile,
    Format::PerfScript,
    Format::Heaptrack,
];
const ROUNDS: usize = 3_000;

const EVENTED: &[u8] =
    br#"{"shared":{"frames":[{"name":"a","file":"f","line":1},{"name":"b"}]},"profiles":[
    {"type":"evented","unit":"seconds","name":"x\u00e9","startValue":0,"endValue":9.5,"events":[
    {"type":"O","frame":0,"at":0},{"type":"O","frame":1,"at":1.5},{"type":"C","frame":1,"at":2},
    {"type":"C","frame":0,"at":2e0}]}]}"#;
const OLD: &[u8] =
    br#"{"head":{"functionName":"(root)","id":1,"hitCount":0,"children":[{"functionName":"x",
    "hitCount":1,"id":2,"children":[{"functionName":"y","hitCount":2,"id":3,"lineNumber":4}]}]},
    "startTime":1,"endTime":2.5,"samples":[2,3,3],"timestamps":[1000000,1200000,1300000]}"#;
const TREE: &[u8] =
    b"\0\0\x02\x04main\x05\x02\x01b\x01\0\x03c;d\x02\x01\x01e\x82\x01\0\x02z;\x03\0";

fn seeds() -> Vec<(Format, Vec<u8>)> {
    let perf = corpus::read("generated/perf/cpp_pie-dwarf.perf.script.txt");
    vec![
        (
            Format::Folded,
            corpus::read("generated/php/excimer.folded.txt"),
        ),
        (Format::Lines, b"a;b;c\na;b\n\xff;x\n#\n".to_vec()),
        (Format::Tree, TREE.to_vec()),
        (Format::Trie, TREE.to_vec()),
        (Format::Speedscope, EVENTED.to_vec()),
        (
            Format::Speedscope,
            corpus::read("generated/python/py-spy.speedscope.json"),
        ),
        (Format::CpuProfile, OLD.to_vec()),
        (
            Format::CpuProfile,
            corpus::read("generated/node/node.cpuprofile"),
        ),
        (
            Format::HeapProfile,
            corpus::read("generated/node/node.heapprofile"),
        ),
        (Format::PerfScript, perf[..8 << 10].to_vec()),
        (
            Format::Heaptrack,
            include_bytes!("../data/heaptrack.work.txt").to_vec(),
        ),
    ]
}

#[test]
fn damage_does_no_harm() {
    let mut rng = Rng::new(23);
    for (format, seed) in seeds() {
        let (mut accepted, mut refused) = (0, 0);
        for _ in 0..ROUNDS {
            let mut bytes = seed.clone();
            for _ in 0..=rng.below(3) {
                damage(&mut bytes, &mut rng);
            }
            match decode(format, &bytes) {
                Ok(decoded) => {
                    accepted += 1;
                    check(&decoded);
                }
                Err(error) => {
                    refused += 1;
                    let text = error.to_string();
                    assert!(text.len() < 250 && !text.contains('\n'), "{text:?}");
                }
            }
        }
        let is_lenient = format == Format::Lines;
        assert!(
            accepted > ROUNDS / 100,
            "{format:?}: {accepted} accepted, {refused} refused"
        );
        assert!(
            is_lenient || refused > ROUNDS / 100,
            "{format:?}: {accepted} accepted, {refused} refused"
        );
    }
}

#[test]
fn inputs_of_other_formats_do_no_harm() {
    for (_, seed) in seeds() {
        for format in FORMATS {
            if let Ok(decoded) = decode(format, &seed) {
                check(&decoded);
            }
        }
    }
}

static SEEDS: LazyLock<Vec<(Format, Vec<u8>)>> = LazyLock::new(seeds);

proptest! {
    #[test]
    fn bytes_written_over_others_do_no_harm(
        seed in any::<prop::sample::Index>(),
        format in prop::sample::select(&FORMATS[..]),
        is_other in prop::bool::weighted(0.2),
        writes in prop::collection::vec((any::<prop::sample::Index>(), "[\\PC\n\t]{1,6}"), 0..8),
    ) {
        let (own, bytes) = &SEEDS[seed.index(SEEDS.len())];
        let mut bytes = bytes.clone();
        for (at, text) in writes {
            let at = at.index(bytes.len());
            let end = (at + text.len()).min(bytes.len());
            bytes.splice(at..end, text.bytes());
        }
        if let Ok(decoded) = decode(if is_other { format } else { *own }, &bytes) {
            check(&decoded);
        }
    }
}

/// That all positions are in their tables.
fn check(decoded: &Decoded) {
    for described in &decoded.profiles {
        let profile = &described.profile;
        let samples = &profile.samples;
        assert_eq!(samples.values.len(), samples.len() * profile.types.len());
        assert!(samples.values.iter().all(|value| *value >= 0));
        for sample in 0..samples.len() {
            assert!(profile.values(sample).iter().any(|value| *value != 0));
            for location in profile.stack(sample) {
                let row = profile.tables.locations[*location as usize];
                assert!(
                    row.mapping == NONE || (row.mapping as usize) < profile.tables.mappings.len()
                );
                for line in profile.lines(*location) {
                    let function = profile.tables.functions[line.function as usize];
                    assert!(!profile.str(function.name).is_empty());
                }
            }
        }
        assert!(profile.duration >= 0);
    }
}

fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    if bytes.is_empty() {
        bytes.push(rng.next() as u8);
        return;
    }
    let at = rng.below(bytes.len() as u64) as usize;
    let end = (at + 1 + rng.below(16) as usize).min(bytes.len());
    match rng.below(9) {
        0 | 1 => bytes[at] ^= 1 << rng.below(8),
        2 => bytes[at] = rng.next() as u8,
        3 => bytes[at] = bytes[at].wrapping_add(1),
        4 => bytes.insert(at, rng.next() as u8),
        5 => drop(bytes.drain(at..end)),
        6 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        7 => {
            // Characters that mean something.
            let all = b"{}[],:\"\\;0129.-e \n()+";
            bytes[at] = all[rng.below(all.len() as u64) as usize];
        }
        _ => bytes.truncate(at),
    }
}
