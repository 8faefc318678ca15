//! Stored bytes go bad: answers are flagged, never wrong, and nothing falls over.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cairn_model::{Limits, TimeRange};
use cairn_pprof::canonical;
use cairn_testkit::generator::{Generator, Rng, Spec};

use crate::cairn::Cairn;

const SETTINGS: [(&str, &str); 3] = [
    ("CAIRN__SELF_PROFILE__ENABLED", "false"),
    ("CAIRN__INGESTER__TAIL__RETENTION", "0s"),
    // Nothing is merged, so that every block stays what it is.
    ("CAIRN__COMPACTOR__PLAN__JOB_BYTES_MAX", "1B"),
];
const BLOCKS: u32 = 6;
const ROUNDS: usize = 12;

type Rows = BTreeMap<(Vec<String>, Vec<(String, String)>), Vec<i64>>;

fn blocks(data: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "cairn")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Rows of the profiles whose pods are in `pods`.
fn expected(generator: &Generator, pods: &[u32]) -> Rows {
    let mut sum = Rows::new();
    for pod in pods {
        let raw = generator.pprof(0, *pod, 0);
        let sent = cairn_pprof::decode(&raw, &Limits::default(), &Default::default())
            .unwrap()
            .profile;
        for (key, values) in canonical(&sent) {
            let cells = sum.entry(key).or_insert_with(|| vec![0; values.len()]);
            cells
                .iter_mut()
                .zip(values)
                .for_each(|(cell, value)| *cell += value);
        }
    }
    sum
}

/// Flips a tenth of the bytes of a stretch, or cuts the file short.
fn damage(path: &Path, rng: &mut Rng) {
    let mut bytes = std::fs::read(path).unwrap();
    if rng.below(4) == 0 {
        let keep = rng.below(bytes.len() as u64) as usize;
        bytes.truncate(keep);
    } else {
        for _ in 0..bytes.len() / 10 {
            let at = rng.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << rng.below(8);
        }
    }
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_blocks_give_flagged_partial_answers() {
    let data = tempfile::tempdir().unwrap();
    let generator = Generator::new(Spec {
        pods: BLOCKS,
        samples: 400,
        stacks: 2_000,
        ..Spec::default()
    });
    // One start, one push, one clean stop: one block per pod.
    for pod in 0..BLOCKS {
        let cairn = Cairn::start(data.path(), &SETTINGS);
        let pod_label = pod.to_string();
        let labels = [("__name__", "process_cpu"), ("pod", pod_label.as_str())];
        cairn
            .connect()
            .await
            .push(generator.pprof(0, pod, 0), &labels)
            .await
            .unwrap();
        cairn.stop();
    }
    let files = blocks(data.path());
    assert_eq!(files.len(), BLOCKS as usize);
    let whole: Vec<Vec<u8>> = files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect();

    let mut rng = Rng::new(11);
    let range = TimeRange {
        start: 0,
        end: i64::MAX / 2,
    };
    let mut flagged = 0;
    for round in 0..ROUNDS {
        for (file, bytes) in files.iter().zip(&whole) {
            std::fs::write(file, bytes).unwrap();
        }
        let bad = rng.below(u64::from(BLOCKS)) as u32;
        damage(&files[bad as usize], &mut rng);
        let cairn = Cairn::start(data.path(), &SETTINGS);
        let query = "process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta{}";
        let (answer, warnings) = cairn.connect().await.merged(query, range).await.unwrap();
        let good: Vec<u32> = (0..BLOCKS).filter(|pod| *pod != bad).collect();
        let column = |rows: Rows, at: usize| -> Vec<_> {
            rows.into_iter()
                .map(|(key, values)| (key, values[at]))
                .filter(|(_, value)| *value != 0)
                .collect()
        };
        let cpu = cpu_column(&generator);
        assert!(
            !warnings.is_empty(),
            "round {round}: a damaged block was not flagged"
        );
        assert_eq!(
            column(canonical(&answer), 0),
            column(expected(&generator, &good), cpu),
            "round {round}"
        );
        flagged += warnings.len();
        cairn.stop();
    }
    println!("{ROUNDS} damaged blocks, {flagged} warnings, every number right");
}

fn cpu_column(generator: &Generator) -> usize {
    let profile = generator.profile(0, 0, 0);
    let found = profile
        .types
        .iter()
        .position(|value| profile.str(value.kind) == "cpu");
    found.expect("generated profiles have CPU values")
}
