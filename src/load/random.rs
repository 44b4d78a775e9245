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

    /// A rank below `ranks`, which is below 2³¹, by Zipf's law with exponent 1: rank n comes about n times as
    /// seldom as rank 1. (The logarithm of the rank is uniform, which is that law as far as a workload can
    /// tell.)
    pub fn zipf(&mut self, ranks: u32) -> u32 {
        let drawn = (u128::from(self.number()) * u128::from(log2(ranks + 1))) >> 64;
        let drawn = u64::try_from(drawn).expect("it is below the logarithm");
        exp2(drawn) - 1
    }

    /// A number around `2^middle` that is seldom far from it: its logarithm is close to normal, with a standard
    /// deviation of one, and never more than 3.5 away. `middle` is from 4 to 27.
    pub fn log_normal(&mut self, middle: u32) -> u32 {
        const QUARTER: u32 = 448 << 16;
        let sum: u64 = (0..4).map(|_| u64::from(self.below(QUARTER))).sum();
        let lowest = (u64::from(middle) << 32) - (7 << 31);
        // The sum of four uniform numbers below 1.75, in units of 2⁻³².
        exp2(lowest + (sum << 8))
    }
}

/// The logarithm to base 2, in units of 2⁻³²: exact at powers of two and straight between them, in whole numbers,
/// so that it is the same on every machine.
fn log2(number: u32) -> u64 {
    let whole = number.ilog2();
    (u64::from(whole) << 32) + (((u64::from(number) << 32) >> whole) - (1 << 32))
}

/// What [`log2`] gives `logarithm` for, rounded down.
fn exp2(logarithm: u64) -> u32 {
    let (whole, rest) = (logarithm >> 32, logarithm & u64::from(u32::MAX));
    let power = (u128::from(rest | (1 << 32)) << whole) >> 32;
    u32::try_from(power).expect("callers stay below 2³²")
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
        assert!((0..100).all(|_| Random::new(9).zipf(1) == 0), "there is one rank only");
    }

    #[test]
    fn logarithms_are_undone() {
        for number in (1..5_000).chain([1 << 20, 9_999_999, u32::MAX]) {
            assert!(number - exp2(log2(number)) <= number >> 30, "{number}");
        }
    }

    #[test]
    fn log_normal_numbers_lie_around_their_middle() {
        let mut random = Random::new(2);
        let mut numbers: Vec<u32> = (0..10_000).map(|_| random.log_normal(8)).collect();
        numbers.sort_unstable();
        assert!((240..270).contains(&numbers[5_000]), "median {}", numbers[5_000]);
        assert!((110..150).contains(&numbers[1_587]), "one deviation below {}", numbers[1_587]);
        assert!((460..560).contains(&numbers[8_413]), "one deviation above {}", numbers[8_413]);
        assert!(numbers[0] >= 22 && numbers[9_999] < 3_000, "{} to {}", numbers[0], numbers[9_999]);
    }
}
