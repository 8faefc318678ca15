//! Many runs, each in a process of its own: so that each is the same as when it is repeated alone,
//! and one that hangs or dies takes none with it.

use std::ops::Range;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// No run takes so long; in real time.
const TIME_MAX: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What came of one run.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) is_well: bool,
    /// The last lines that it wrote.
    pub(crate) said: String,
}

impl Run {
    /// The line with which it sums itself up.
    pub(crate) fn figures(&self) -> &str {
        let lines = self.said.lines();
        let mut figures = lines.filter(|line| line.starts_with("seed ") && line.contains("digest"));
        figures.next().unwrap_or("it did not come to an end")
    }

    /// Profiles that were stored twice, as far as merges found them.
    pub(crate) fn stored_twice(&self) -> u64 {
        let before = self.figures().split_once(" stored twice");
        let number = before.and_then(|(before, _)| before.rsplit(' ').next());
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// The number that stands for everything that happened.
    pub(crate) fn digest(&self) -> &str {
        let after = self.said.split_once("digest ").map(|(_, after)| after);
        after.map_or("none", |after| &after[..16])
    }
}

/// One run per seed, as many at once as there are cores. Calls `ended` after each; returns the
/// seeds of those that failed.
pub(crate) fn all(
    seeds: Range<u64>,
    variables: &[(&str, &str)],
    ended: impl Fn(&Run) + Sync,
) -> Vec<u64> {
    let next = AtomicU64::new(seeds.start);
    let failed = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let run = one(seed, variables);
            ended(&run);
            if !run.is_well {
                failed.lock().expect("nobody panics holding it").push(seed);
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        (0..cores).for_each(|_| drop(scope.spawn(work)));
    });
    let mut failed = failed.into_inner().expect("nobody panics holding it");
    failed.sort_unstable();
    failed
}

/// One run.
pub(crate) fn one(seed: u64, variables: &[(&str, &str)]) -> Run {
    let folder = tempfile::tempdir().expect("a folder for its output");
    let path = folder.path().join("output");
    let output = std::fs::File::create(&path).expect("a file for its output");
    let errors = output.try_clone().expect("a second handle on the file");
    let mut child = Command::new(std::env::current_exe().expect("this program has a path"))
        .args(["--exact", "one_seed", "--nocapture"])
        .env("CAIRN_SIM_SEED", seed.to_string())
        .env("CAIRN_SIM_SHOW", "nothing")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .expect("this program can be started again");
    let mut waited = Duration::ZERO;
    let ended = loop {
        match child.try_wait().expect("it is our child") {
            Some(status) => break Some(status),
            None if waited > TIME_MAX => break None,
            None => std::thread::sleep(LOOK_EVERY),
        }
        waited += LOOK_EVERY;
    };
    if ended.is_none() {
        // It may have ended by itself in the last moment.
        let _ = child.kill();
        let _ = child.wait();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let from = text.len().saturating_sub(4000);
    let said = text.get(from..).unwrap_or(&text);
    Run {
        seed,
        is_well: ended.is_some_and(|status| status.success()),
        said: match ended {
            Some(_) => said.to_owned(),
            None => format!("{said}\nit did not end within {TIME_MAX:?}"),
        },
    }
}
