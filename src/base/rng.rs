//! Chance as an argument.

/// Where random bytes come from: the system's generator in the server, a counted one in tests.
pub trait Rng: Send + Sync + 'static {
    /// Fills the buffer with unpredictable bytes.
    fn fill(&self, buffer: &mut [u8]);

    /// A number below `bound` (which must not be 0), without bias.
    fn below(&self, bound: u64) -> u64 {
        let bound = bound.max(1);
        let zone = u64::MAX - (u64::MAX % bound);
        loop {
            let mut bytes = [0; 8];
            self.fill(&mut bytes);
            let n = u64::from_le_bytes(bytes);
            if n < zone {
                return n % bound;
            }
        }
    }
}
