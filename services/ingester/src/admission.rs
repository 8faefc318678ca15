//! Memory before work: a push waits its turn here before it is read and before it is decoded.
//!
//! Owns how much may be in work at once, not what becomes of rows: those are the tail's.

use std::sync::Arc;

use cairn_chassis::Clock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::AdmissionConfig;
use crate::error::Error;

/// The budget of all pushes in work.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    bodies: Pool,
    turns: Pool,
    forwards: Pool,
    forwarded: Pool,
    decoding: Pool,
    config: AdmissionConfig,
    clock: Clock,
}

/// A share of the budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    share: OwnedSemaphorePermit,
}

impl Permit {
    /// Gives back what is more than `bytes` take.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let surplus = self.share.num_permits().saturating_sub(units(bytes));
        drop(self.share.split(surplus));
    }
}

/// What bytes count as.
fn units(bytes: usize) -> usize {
    (bytes as u64).div_ceil(UNIT).max(1) as usize
}

/// The budget has this many parts: of them, bodies of senders, copies on their way to other
/// ingesters and bodies from other ingesters may take so many, decoding the rest. They are apart,
/// and whoever has a share asks only for those that come later here: so pushes that are being
/// decoded never wait for those that are still arriving, and two ingesters never for each other.
const PARTS: u64 = 16;
const BODIES: u64 = 3;
const FORWARDS: u64 = 2;
const FORWARDED: u64 = 2;
/// The budget is counted in these.
const UNIT: u64 = 1024;

#[derive(Clone, Debug)]
struct Pool {
    units: Arc<Semaphore>,
    total: u32,
}

impl Admission {
    pub(crate) fn new(config: &AdmissionConfig, clock: Clock) -> Self {
        let all = config.inflight_bytes_max.as_u64();
        let part = all / PARTS;
        let before = part * (BODIES + FORWARDS + FORWARDED);
        Self {
            bodies: Pool::new(part * BODIES),
            turns: Pool::new(UNIT),
            forwards: Pool::new(part * FORWARDS),
            forwarded: Pool::new(part * FORWARDED),
            decoding: Pool::new(all - before),
            config: config.clone(),
            clock,
        }
    }

    /// Room for a request's body.
    pub(crate) async fn body(&self, bytes: usize) -> Result<Permit, Error> {
        self.admit(&self.bodies, bytes).await
    }

    /// The turn of a message whose size is known only once it is inflated: one at a time.
    pub(crate) async fn turn(&self) -> Result<Permit, Error> {
        self.admit(&self.turns, 1).await
    }

    /// Room for copies of profiles that other ingesters are sent.
    pub(crate) async fn forward(&self, bytes: usize) -> Result<Permit, Error> {
        self.admit(&self.forwards, bytes).await
    }

    /// Room for what another ingester sends.
    pub(crate) async fn forwarded(&self, bytes: usize) -> Result<Permit, Error> {
        self.admit(&self.forwarded, bytes).await
    }

    /// Room for decoding. A push that is larger than the whole budget gets all of it.
    pub(crate) async fn decoding(&self, bytes: usize) -> Result<Permit, Error> {
        self.admit(&self.decoding, bytes).await
    }

    async fn admit(&self, pool: &Pool, bytes: usize) -> Result<Permit, Error> {
        let units = u32::try_from(units(bytes))
            .unwrap_or(u32::MAX)
            .min(pool.total);
        let share = Arc::clone(&pool.units).acquire_many_owned(units);
        tokio::select! {
            biased;
            share = share => Ok(Permit { share: share.expect("the semaphore is never closed") }),
            () = self.clock.sleep(self.config.wait_max) => Err(Error::Busy {
                max: self.config.inflight_bytes_max.as_u64(),
            }),
        }
    }
}

impl Pool {
    fn new(bytes: u64) -> Self {
        let total = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX / 2).max(1);
        Self {
            units: Arc::new(Semaphore::new(total as usize)),
            total,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytesize::ByteSize;
    use cairn_chassis::FakeClock;

    use super::*;

    #[tokio::test]
    async fn a_push_beyond_the_budget_waits_and_is_refused_by_name() {
        let clock = FakeClock::at(0);
        let config = AdmissionConfig {
            inflight_bytes_max: ByteSize::mib(1),
            wait_max: Duration::from_secs(2),
        };
        let admission = Admission::new(&config, clock.clock());
        let giant = admission.decoding(1 << 40).await.expect("alone");
        let (refused, ()) = tokio::join!(admission.decoding(1), async {
            clock.advance(Duration::from_secs(2));
        });
        let error = refused.expect_err("the budget is used up");
        assert!(error.to_string().contains("inflight_bytes_max=1048576"));
        admission.body(1).await.expect("bodies are apart");
        let _forward = admission.forward(1 << 40).await.expect("copies are apart");
        admission
            .forwarded(1)
            .await
            .expect("others' bodies are apart");
        drop(giant);
        admission.decoding(1).await.expect("given back");
    }
}
