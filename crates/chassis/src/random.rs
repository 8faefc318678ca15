//! Randomness that a test can replay. Not for secrets: tokens ask the operating system.

use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A stream of random numbers, shared by all clones.
#[derive(Clone)]
pub struct Random(Arc<Mutex<StdRng>>);

impl Random {
    /// Seeded by the operating system.
    pub fn fresh() -> Self {
        Self(Arc::new(Mutex::new(rand::make_rng())))
    }

    /// The same numbers for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    pub fn u64(&self) -> u64 {
        self.0.lock().next_u64()
    }

    pub fn u128(&self) -> u128 {
        let mut rng = self.0.lock();
        (u128::from(rng.next_u64()) << 64) | u128::from(rng.next_u64())
    }
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (left, right) = (Random::seeded(7), Random::seeded(7));
        assert_eq!(left.u128(), right.u128());
        assert_ne!(left.u64(), Random::seeded(8).u64());
    }
}
