//! Random records come back as a naive reading of the rows says, and damage never panics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Once};

use cairn_model::{Described, Limits};
use cairn_parca::write::{self, Frame, Sample};
use cairn_parca::{Decoded, Error, Known, Samples, StackId, Stacks};
use proptest::prelude::*;

use crate::{kind, labels, location, named, native, sample};

/// Stacks of few frames, so that they are shared.
fn stacks() -> impl Strategy<Value = Vec<Frame>> {
    let frame = (0..6_usize).prop_map(|at| match at {
        0..3 => native("app", at as u64),
        3 => named("python", "f", 3),
        4 => named("kernel", "k", 4),
        _ => named("native", "n", 5),
    });
    proptest::collection::vec(frame, 0..5)
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let one = (
        0..4_usize,
        stacks(),
        -3..100_i64,
        0..3_i64,
        0..3_usize,
        any::<bool>(),
    );
    let one = one.prop_map(|(pod, stack, value, time, of, is_delta)| {
        let mut sample = sample(["a", "b", "c", ""][pod], &stack, value, 7 + time);
        sample.sample_type = ["samples", "space", ""][of].to_owned();
        if !is_delta {
            sample.temporality = String::new();
        }
        if pod == 3 {
            sample.labels.clear();
        }
        sample.stack_id = id(&stack);
        sample
    });
    proptest::collection::vec(one, 0..40)
}

/// A name that only equal stacks share.
fn id(stack: &[Frame]) -> StackId {
    let mut id = [0; 16];
    for (byte, frame) in id.iter_mut().zip(stack) {
        *byte = 1 + frame.address as u8 + 16 * (frame.frame_type.len() as u8);
    }
    id
}

/// Value and number of points by profile, stack, and time.
type Model = BTreeMap<(String, String), BTreeMap<(Vec<String>, i64), i64>>;

/// The rows as they are.
fn model(samples: &[Sample]) -> Model {
    let mut model = Model::new();
    for sample in samples {
        let duration = if sample.temporality == "delta" {
            sample.duration
        } else {
            0
        };
        let kind = format!("{}:{duration}", sample.sample_type);
        let labels = sample
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let labels = labels.collect::<Vec<_>>().join(",");
        let stack = sample.stack.iter().map(text).collect();
        let profile = model.entry((labels, kind)).or_default();
        *profile.entry((stack, sample.time)).or_default() += sample.value;
    }
    model
}

fn text(frame: &Frame) -> String {
    let file = match (frame.file.as_str(), frame.frame_type.as_str()) {
        ("", "native") => String::new(),
        ("", other) => format!("[{other}]()"),
        (file, _) => format!("{file}({})", frame.build_id),
    };
    let calls = frame.calls.iter().map(|call| {
        let name = &call.system_name;
        format!(
            " {name}/{name}:{}:{}:{}:{}",
            call.file, call.start_line, call.line, call.column
        )
    });
    format!("{file}{:#x}{}", frame.address, calls.collect::<String>())
}

/// The same of what was read.
fn read(decoded: &Decoded) -> Model {
    let mut model = Model::new();
    for described in &decoded.profiles {
        let profile = &described.profile;
        let kind = format!(
            "{}:{}",
            profile.str(profile.types[0].kind),
            profile.duration
        );
        let mut samples = BTreeMap::new();
        for at in 0..profile.samples.len() {
            let stack: Vec<String> = profile
                .stack(at)
                .iter()
                .map(|id| location(profile, *id))
                .collect();
            let points = profile.samples.points(at);
            let value = profile.values(at)[0];
            if points.is_empty() {
                samples.insert((stack, profile.time), value);
                continue;
            }
            assert_eq!(points.iter().map(|point| point.value).sum::<i64>(), value);
            for point in points {
                *samples.entry((stack.clone(), point.time)).or_default() += point.value;
            }
        }
        let before = model.insert((labels(described), kind), samples);
        assert_eq!(before, None, "one profile per group");
    }
    model
}

fn two_way(samples: &[Sample]) -> Decoded {
    let limits = Limits::default();
    let stacks: BTreeMap<StackId, Arc<[Frame]>> = samples
        .iter()
        .map(|sample| (sample.stack_id, Arc::clone(&sample.stack)))
        .collect();
    let stacks: Vec<_> = stacks.into_iter().collect();
    let read = cairn_parca::samples(&write::v1_samples(samples), &limits).unwrap();
    assert_eq!(read.stack_ids().count(), stacks.len());
    let stacks = cairn_parca::stacks(&write::v1_stacks(&stacks), &limits).unwrap();
    read.join(&stacks, &limits).unwrap()
}

fn without_times(described: &Described) -> String {
    kind(described).split(" time").next().unwrap().to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn random_rows_come_back(samples in samples()) {
        let one_way = crate::decode(&write::v2(&samples)).unwrap();
        prop_assert_eq!(read(&one_way), model(&samples));
        prop_assert_eq!(one_way.rows, samples.len() as u64);
        let two_way = two_way(&samples);
        prop_assert_eq!(two_way.missing_stacks, 0);
        prop_assert_eq!(read(&two_way), model(&samples));
        let kinds = |decoded: &Decoded| -> Vec<String> {
            decoded.profiles.iter().map(without_times).collect()
        };
        prop_assert_eq!(kinds(&one_way), kinds(&two_way));
    }

    #[test]
    fn sums_stay_whatever_is_left_out(samples in samples(), samples_max in 0..6_usize) {
        let limits = Limits { samples_max, ..Limits::default() };
        let read = cairn_parca::decode(&write::v2(&samples), &limits).unwrap();
        let whole = crate::decode(&write::v2(&samples)).unwrap();
        let sum = |described: &Described| described.profile.samples.values.iter().sum::<i64>();
        let sums = |decoded: &Decoded| decoded.profiles.iter().map(sum).collect::<Vec<_>>();
        prop_assert_eq!(sums(&read), sums(&whole));
        for (read, whole) in read.profiles.iter().zip(&whole.profiles) {
            let (kept, all) = (read.profile.samples.len(), whole.profile.samples.len());
            prop_assert_eq!(kept, all.min(samples_max + 1));
            prop_assert_eq!(read.profile.time, whole.profile.time);
        }
        let is_cut = whole.profiles.iter().any(|p| p.profile.samples.len() > samples_max);
        prop_assert_eq!(read.truncated_samples > 0, is_cut);
    }

    #[test]
    fn damage_never_panics(
        samples in samples(),
        version in 0..3_usize,
        is_compressed: bool,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), 0..8_u32), 1..4),
    ) {
        let batch = match version {
            0 => write::v2_batch(&samples),
            1 => write::v1_samples_batch(&samples),
            _ => {
                let stacks: Vec<_> = samples
                    .iter()
                    .map(|sample| (sample.stack_id, Arc::clone(&sample.stack)))
                    .collect();
                write::v1_stacks_batch(&stacks)
            }
        };
        let compression = is_compressed.then_some(arrow_ipc::CompressionType::LZ4_FRAME);
        let mut bytes = write::stream_with(&[batch], compression);
        for (at, bit) in damage {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        check(&bytes);
    }
}

/// Set once code of this crate panics, which must not hide behind what the Arrow library does.
static OURS: AtomicBool = AtomicBool::new(false);

/// Reads damaged bytes every way. Panics of the Arrow library become errors, and are many.
pub(crate) fn check(bytes: &[u8]) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map_or("", |place| place.file());
            let is_ours = place.contains("parca/src") && !place.contains("/write");
            OURS.fetch_or(is_ours, Ordering::Relaxed);
            if !place.contains("/arrow-") {
                usual(info);
            }
        }));
    });
    let limits = Limits {
        profile_bytes_max: 1 << 20,
        ..Limits::default()
    };
    if let Ok(decoded) = cairn_parca::decode(bytes, &limits) {
        for described in &decoded.profiles {
            let profile = &described.profile;
            for at in 0..profile.samples.len() {
                profile
                    .stack(at)
                    .iter()
                    .for_each(|id| drop(location(profile, *id)));
            }
        }
    }
    converse(
        cairn_parca::samples(bytes, &limits),
        cairn_parca::stacks(bytes, &limits),
        &limits,
    );
    assert!(!OURS.load(Ordering::Relaxed), "a panic of our own");
}

/// Two records that are sound.
static SOUND: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let stack: Arc<[Frame]> = Arc::from([named("python", "f", 3), native("app", 16)]);
    let one = |stack_id| Sample {
        stack_id,
        ..sample("a", &stack, 1, 7)
    };
    let ids = [[7; 16], [0; 16]];
    (
        write::v1_samples(&ids.map(one)),
        write::v1_stacks(&ids.map(|id| (id, Arc::clone(&stack)))),
    )
});

/// What is damaged meets what is not, and what was remembered of it.
fn converse(samples: Result<Samples, Error>, stacks: Result<Stacks, Error>, limits: &Limits) {
    let sound_samples = cairn_parca::samples(&SOUND.0, limits).unwrap();
    let sound_stacks = cairn_parca::stacks(&SOUND.1, limits).unwrap();
    let mut known = Known::new(20 << 10);
    let asked = known.ask(sound_samples, limits);
    match stacks {
        Ok(stacks) => {
            known.add(&asked, &stacks);
            let _ = asked.join(&stacks, limits);
        }
        Err(_) => known.add(&asked, &sound_stacks),
    }
    if let Ok(samples) = samples {
        let asked = known.ask(samples, limits);
        let _ = asked.join(&sound_stacks, limits);
    }
}

#[test]
fn a_bit_of_every_byte_may_flip() {
    let stack = [named("python", "f", 3), native("app", 16)];
    let samples = [
        sample("a", &stack, 1, 7),
        sample("b", &stack[1..], 2, 8),
        sample("a", &stack, 4, 9),
    ];
    let stacks = [([7; 16], Arc::from(stack))];
    let buffers = [
        write::v2(&samples),
        write::stream_with(&[write::v2_batch(&samples)], None),
        write::v1_samples(&samples),
        write::v1_stacks(&stacks),
    ];
    for buffer in buffers {
        let mut bytes = buffer.clone();
        for at in 0..bytes.len() {
            let bit = 1 << (at % 8);
            bytes[at] ^= bit;
            check(&bytes);
            bytes[at] ^= bit;
        }
    }
}
