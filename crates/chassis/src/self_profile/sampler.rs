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

/// The first interrupt reads the unwind tables, which allocates; in a thread that was interrupted
/// while allocating it would wait for itself. So let it hit one that does not.
pub(super) fn warm_up(clock: &Clock) -> pprof::Result<()> {
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

/// What ran in the next `span`.
pub(super) async fn sample(span: Duration) -> pprof::Result<UnresolvedReport> {
    let guard = guard()?;
    tokio::time::sleep(span).await;
    guard.report().build_unresolved()
}
