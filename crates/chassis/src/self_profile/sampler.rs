//! Interrupts the process' threads a hundred times per CPU second and notes where they are.
//! Names nothing: that takes time.

use std::time::Duration;

use pprof::{ProfilerGuard, ProfilerGuardBuilder, UnresolvedReport};

use crate::Clock;

/// Samples per CPU second. Costs well below one per cent.
const FREQUENCY: i32 = 100;
/// CPU time between two samples.
pub(super) const PERIOD: Duration = Duration::from_millis(1000 / FREQUENCY as u64);
/// Long enough for the first interrupt of a thread that does nothing but wait for it.
const WARM_UP: Duration = Duration::from_millis(4 * 1000 / FREQUENCY as u64);

fn guard() -> pprof::Result<ProfilerGuard<'static>> {
    ProfilerGuardBuilder::default().frequency(FREQUENCY).build()
}

/// Samples while it exists. A process has at most one.
pub(super) struct Sampler {
    guard: Option<ProfilerGuard<'static>>,
    since: i64,
}

/// What ran in a stretch of time.
pub(super) struct Sampled {
    pub(super) stacks: UnresolvedReport,
    /// Nanoseconds since the epoch.
    pub(super) time: i64,
    /// Nanoseconds.
    pub(super) duration: i64,
}

impl Sampler {
    pub(super) fn start(clock: &Clock) -> pprof::Result<Self> {
        warm_up(clock)?;
        Ok(Self {
            guard: Some(guard()?),
            since: clock.now(),
        })
    }

    /// What ran since the start, or since the last call.
    pub(super) fn take(&mut self, clock: &Clock) -> pprof::Result<Sampled> {
        let (now, since) = (clock.now(), self.since);
        let stacks = match self.guard.take() {
            Some(guard) => guard.report().build_unresolved()?,
            // Starting again failed last time.
            None => return Err(pprof::Error::NotRunning),
        };
        // The library forgets what it has only when it is stopped.
        self.guard = Some(guard()?);
        self.since = now;
        Ok(Sampled {
            stacks,
            time: since,
            duration: (now - since).max(0),
        })
    }
}

/// The first interrupt reads the unwind tables, which allocates; in a thread that was interrupted
/// while allocating it would wait for itself. So let it hit one that does not.
fn warm_up(clock: &Clock) -> pprof::Result<()> {
    let guard = guard()?;
    let start = clock.instant();
    let mut spins = 0_u32;
    // The bound is for clocks that stand still.
    while clock.instant() - start < WARM_UP && spins < 50_000_000 {
        spins += 1;
    }
    drop(guard);
    Ok(())
}
