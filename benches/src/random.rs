//! Random numbers that are the same in every run: `SplitMix64`, a few lines and good enough for test data.

/// A generator.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator; equal seeds give equal numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`, which is at least 1. Its bias is far below what a workload shows.
    pub fn below(&mut self, bound: u32) -> u32 {
        let scaled = ((self.number() >> 32) * u64::from(bound)) >> 32;
        u32::try_from(scaled).expect("the product of two 32-bit numbers, divided by 2^32")
    }

    /// Whether something happens that happens once in `times`.
    pub fn one_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }

    /// One of `choices`.
    pub fn choose<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let count = u32::try_from(choices.len()).expect("a short list");
        &choices[self.below(count) as usize]
    }

    /// A rank below `ranks`, by Zipf's law with exponent 1: rank n comes about n times as seldom as rank 1.
    /// (The logarithm of the rank is uniform, which is that law as far as a workload can tell.)
    pub fn zipf(&mut self, ranks: u32) -> u32 {
        let unit = f64::from(self.below(u32::MAX)) / f64::from(u32::MAX);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it lies between 1 and `ranks`"
        )]
        let rank = f64::from(ranks).powf(unit) as u32;
        rank.min(ranks) - 1
    }
}

/// Spreads the bits of a number over all 64.
pub fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ranks_are_the_frequent_ones_and_all_are_in_range() {
        let mut random = Random::new(1);
        let mut counts = [0_u32; 1000];
        for _ in 0..100_000 {
            counts[random.zipf(1000) as usize] += 1;
        }
        assert!(counts[0] > 5 * counts[9] && counts[9] > 3 * counts[99], "{:?}", &counts[..10]);
        assert!(counts.iter().filter(|count| **count > 0).count() > 900);
    }
}
