//! Random numbers that stay the same for all time, which those of libraries do not promise.

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Rng(u64);

/// A well-mixed function of one number.
pub(crate) fn mix(seed: u64) -> u64 {
    Rng(seed).next()
}

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    #[expect(
        clippy::should_implement_trait,
        reason = "an endless source of numbers is no iterator to be exhausted"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Evenly from `0..end`; `end` is at least 1.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// Evenly from `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
