//! Latencies in a histogram of fixed size, and the figures that are read off it.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies from 1 µs to an hour, to three digits.
#[derive(Clone, Debug)]
pub(super) struct Latencies(Histogram<u64>);

const HOUR_MICROS: u64 = 3_600_000_000;

/// Quantiles of latencies, in milliseconds; 0 where there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// How many there are.
    pub count: u64,
    /// The smallest.
    pub min_ms: f64,
    /// Half of them are at most so long.
    pub p50_ms: f64,
    /// Nine in ten.
    pub p90_ms: f64,
    /// 99 in a hundred.
    pub p99_ms: f64,
    /// 999 in a thousand.
    pub p999_ms: f64,
    /// The largest.
    pub max_ms: f64,
}

impl Latencies {
    pub(super) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, HOUR_MICROS, 3).expect("the bounds are a constant that fits"))
    }

    pub(super) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros);
    }

    pub(super) fn clear(&mut self) {
        self.0.reset();
    }

    pub(super) fn read(&self) -> Latency {
        if self.0.is_empty() {
            return Latency::default();
        }
        let ms = |micros: u64| micros as f64 / 1e3;
        let quantile = |q: f64| ms(self.0.value_at_quantile(q));
        Latency {
            count: self.0.len(),
            min_ms: ms(self.0.min()),
            p50_ms: quantile(0.5),
            p90_ms: quantile(0.9),
            p99_ms: quantile(0.99),
            p999_ms: quantile(0.999),
            max_ms: ms(self.0.max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.read(), Latency::default());
        (1..=1_000).for_each(|ms| latencies.record(Duration::from_millis(ms)));
        let found = latencies.read();
        let near = |found: f64, expected: f64| (found - expected).abs() <= expected / 500.0;
        assert_eq!(found.count, 1_000);
        assert!(
            near(found.min_ms, 1.0) && near(found.p50_ms, 500.0) && near(found.p90_ms, 900.0),
            "{found:?}"
        );
        assert!(near(found.p99_ms, 990.0) && near(found.p999_ms, 999.0), "{found:?}");
        assert!(near(found.max_ms, 1_000.0), "{found:?}");
        latencies.clear();
        assert_eq!(latencies.read(), Latency::default());
        latencies.record(Duration::from_hours(9));
        assert!(near(latencies.read().max_ms, 3.6e6));
    }
}
