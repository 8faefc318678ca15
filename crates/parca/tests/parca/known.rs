//! Conversations that ask only for what is not known: what becomes of them, whatever was
//! remembered or forgotten before.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use cairn_model::{Described, Limits};
use cairn_parca::write::{self, Call, Frame, Sample};
use cairn_parca::{Asked, Decoded, Known, MISSING_FRAME, StackId, Stacks};
use proptest::prelude::*;

use crate::{kind, labels, named, native, rows, sample};

fn ask(known: &mut Known, samples: &[Sample]) -> Asked {
    let limits = Limits::default();
    let samples = cairn_parca::samples(&write::v1_samples(samples), &limits).unwrap();
    known.ask(samples, &limits)
}

/// What an agent sends of what it is asked for.
fn answer(asked: &[StackId], samples: &[Sample]) -> Stacks {
    let all: BTreeMap<StackId, &Arc<[Frame]>> = samples
        .iter()
        .map(|sample| (sample.stack_id, &sample.stack))
        .collect();
    let sent = asked.iter().map(|id| (*id, Arc::clone(all[id])));
    let record = write::v1_stacks(&sent.collect::<Vec<_>>());
    cairn_parca::stacks(&record, &Limits::default()).unwrap()
}

/// A whole conversation, of which the names that were asked for are given too.
fn converse(known: &mut Known, samples: &[Sample]) -> (Vec<StackId>, Decoded) {
    let asked = ask(known, samples);
    let unknown = asked.unknown().to_vec();
    let stacks = answer(&unknown, samples);
    known.add(&asked, &stacks);
    (unknown, asked.join(&stacks, &Limits::default()).unwrap())
}

/// Labels, kind and rows of each profile, and what had to be changed.
type Said = (Vec<(String, String, Vec<String>)>, Decoded);

/// Whatever the order of their tables.
fn said(decoded: &Decoded) -> Said {
    let one = |described: &Described| {
        let rows = rows(&described.profile);
        (labels(described), kind(described), rows)
    };
    let profiles = decoded.profiles.iter().map(one).collect();
    let rest = Decoded {
        profiles: Vec::new(),
        ..decoded.clone()
    };
    (profiles, rest)
}

/// The same with every stack sent.
fn plain(samples: &[Sample]) -> Said {
    let all = cairn_parca::samples(&write::v1_samples(samples), &Limits::default()).unwrap();
    let ids: Vec<StackId> = all.stack_ids().collect();
    let joined = all.join(&answer(&ids, samples), &Limits::default());
    said(&joined.unwrap())
}

fn with_id(stack_id: StackId, stack: &[Frame]) -> Sample {
    Sample {
        stack_id,
        ..sample("p", stack, 1, 9)
    }
}

const A: StackId = [0xa; 16];
const B: StackId = [0xb; 16];
const C: StackId = [0xc; 16];

/// Three stacks that share parts, with all that a frame may have.
fn three() -> [Sample; 3] {
    let inlined = Frame {
        calls: vec![
            Call {
                name: "inner".to_owned(),
                system_name: "_Zinner".to_owned(),
                line: 4,
                ..Call::default()
            },
            named("native", "outer", 5).calls[0].clone(),
        ],
        mapping_start: 0x1000,
        mapping_offset: 0x200,
        ..native("app", 0x1234)
    };
    let main = native("app", 1);
    [
        with_id(A, &[inlined.clone(), main.clone()]),
        with_id(B, &[named("python", "f", 3), inlined, main]),
        with_id(C, &[]),
    ]
}

#[test]
fn a_stack_is_asked_for_once() {
    let mut known = Known::new(1 << 20);
    let all = three();
    let (unknown, decoded) = converse(&mut known, &all[..1]);
    assert_eq!((unknown, said(&decoded)), (vec![A], plain(&all[..1])));
    let backwards: Vec<Sample> = all.iter().rev().cloned().collect();
    let (unknown, decoded) = converse(&mut known, &backwards);
    assert_eq!((unknown, said(&decoded)), (vec![C, B], plain(&backwards)));
    let (unknown, decoded) = converse(&mut known, &all);
    assert_eq!((unknown, said(&decoded)), (vec![], plain(&all)));
    let nothing_sent = ask(&mut known, &all).join(&Stacks::default(), &Limits::default());
    assert_eq!(said(&nothing_sent.unwrap()), plain(&all));
}

#[test]
fn no_stacks_may_be_sent_for_an_empty_request() {
    let empty = cairn_parca::stacks(&write::v1_stacks(&[]), &Limits::default()).unwrap();
    assert!(empty.is_empty());
    let mut known = Known::new(1 << 20);
    converse(&mut known, &three());
    let asked = ask(&mut known, &three());
    let decoded = asked.join(&empty, &Limits::default()).unwrap();
    assert_eq!(said(&decoded), plain(&three()));
}

#[test]
fn what_is_forgotten_meanwhile_is_joined() {
    let all = three();
    let mut known = Known::new(16 << 10);
    converse(&mut known, &all[..2]);
    let asked = ask(&mut known, &all);
    assert_eq!(asked.unknown(), [C]);
    assert!(asked.bytes() > 0);
    for at in 0..100 {
        let id = [at as u8; 16];
        converse(
            &mut known,
            &[with_id(id, &[named("ruby", &format!("f{at:0500}"), 7)])],
        );
    }
    assert_eq!(
        ask(&mut known, &all).unknown(),
        [A, B, C],
        "all are forgotten"
    );
    let stacks = answer(asked.unknown(), &all);
    known.add(&asked, &stacks);
    let joined = asked.join(&stacks, &Limits::default()).unwrap();
    assert_eq!(said(&joined), plain(&all));
}

#[test]
fn what_is_not_sent_is_missing_and_stays_unknown() {
    let all = three();
    let mut known = Known::new(1 << 20);
    converse(&mut known, &all[1..]);
    for _ in 0..2 {
        let asked = ask(&mut known, &all);
        assert_eq!(asked.unknown(), [A]);
        known.add(&asked, &Stacks::default());
        let decoded = asked.join(&Stacks::default(), &Limits::default()).unwrap();
        assert_eq!(decoded.missing_stacks, 1);
        assert!(rows(&decoded.profiles[0].profile)[0].contains(MISSING_FRAME));
    }
    let alone = ask(&mut known, &all[..1]).join(&Stacks::default(), &Limits::default());
    assert_eq!(
        alone.unwrap().missing_stacks,
        1,
        "nothing is known, nothing is sent"
    );
}

#[test]
fn what_was_not_asked_for_is_used_and_not_kept() {
    let all = three();
    let mut known = Known::new(1 << 20);
    converse(&mut known, &all[..1]);
    let asked = ask(&mut known, &all[..2]);
    let other = [
        with_id(A, &[native("other", 7)]),
        all[1].clone(),
        all[2].clone(),
    ];
    let stacks = answer(&[A, B, C], &other);
    known.add(&asked, &stacks);
    let decoded = asked.join(&stacks, &Limits::default()).unwrap();
    assert_eq!(said(&decoded), plain(&other[..2]));
    let (unknown, decoded) = converse(&mut known, &all);
    assert_eq!((unknown, said(&decoded)), (vec![C], plain(&all)));
}

#[test]
fn stacks_that_lack_frames_are_asked_for_again() {
    let all = three();
    let ids_and_stacks: Vec<_> = all
        .iter()
        .map(|sample| (sample.stack_id, Arc::clone(&sample.stack)))
        .collect();
    let batch = write::v1_stacks_batch(&ids_and_stacks);
    let complete: ArrayRef = Arc::new(BooleanArray::from(vec![Some(false), Some(true), None]));
    let mut columns = batch.columns().to_vec();
    columns[batch.schema().index_of("is_complete").unwrap()] = complete;
    let batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
    let limits = Limits {
        depth_max: 3,
        ..Limits::default()
    };
    let stacks = cairn_parca::stacks(&write::stream(&[batch]), &limits).unwrap();
    let mut known = Known::new(1 << 20);
    let asked = ask(&mut known, &all);
    known.add(&asked, &stacks);
    let decoded = asked.join(&stacks, &limits).unwrap();
    assert_eq!(
        (decoded.incomplete_stacks, decoded.truncated_stacks),
        (1, 1)
    );
    // The first is incomplete, the second has four frames.
    assert_eq!(ask(&mut known, &all).unknown(), [A, B]);
}

/// Conversations about twenty stacks, of frames that are shared.
fn conversations() -> impl Strategy<Value = Vec<Vec<(u8, usize, i64)>>> {
    let one = (0..20_u8, 0..3_usize, 1..9_i64);
    proptest::collection::vec(proptest::collection::vec(one, 0..12), 1..20)
}

fn sample_of((stack, pod, value): (u8, usize, i64)) -> Sample {
    let frame = |depth: u8| match (stack + depth) % 4 {
        0 => native("app", u64::from(depth)),
        1 => named("python", &format!("f{stack}"), i64::from(depth)),
        2 => named("native", &format!("long name {stack:0100}"), 1),
        _ => native(&format!("lib{stack}"), 7),
    };
    let frames: Vec<Frame> = (0..stack % 6).map(frame).collect();
    Sample {
        stack_id: [stack; 16],
        ..sample(["a", "b", "c"][pod], &frames, value, 9 + value)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_is_known_changes_nothing(
        conversations in conversations(),
        bytes_max in 0..40_usize,
        is_late: bool,
    ) {
        let bytes_max = bytes_max << 10;
        let mut known = Known::new(bytes_max);
        // Conversations overlap: each is answered after the next has been asked, if it is late.
        let mut open: Option<(Asked, Vec<Sample>)> = None;
        for samples in conversations.into_iter().map(Some).chain([None]) {
            let next = samples.map(|samples| {
                let samples: Vec<Sample> = samples.into_iter().map(sample_of).collect();
                (ask(&mut known, &samples), samples)
            });
            let (due, later) = match is_late {
                true => (open.take(), next),
                false => (next, None),
            };
            open = later;
            if let Some((asked, samples)) = due {
                let stacks = answer(asked.unknown(), &samples);
                known.add(&asked, &stacks);
                prop_assert!(known.bytes() <= bytes_max);
                let decoded = asked.join(&stacks, &Limits::default()).unwrap();
                prop_assert_eq!(said(&decoded), plain(&samples));
            }
        }
    }
}
