//! The time from an event's 202 to its value in the cache, as the instance itself measures it.

use anyhow::{Context, ensure};

const NAME: &str = "tidegate_visible_latency_seconds_bucket{le=\"";

/// The median and the 99th percentile, each the upper end of its bucket, in words.
pub(super) fn latency(metrics: &str) -> anyhow::Result<String> {
    let mut buckets = Vec::new();
    for line in metrics.lines().filter_map(|line| line.strip_prefix(NAME)) {
        let (end, count) = line.split_once("\"} ").with_context(|| format!("{line:?} is no bucket"))?;
        let count: f64 = count.split(' ').next().unwrap_or_default().parse()?;
        buckets.push((end.to_owned(), count));
    }
    let total = buckets.last().map_or(0.0, |(_, count)| *count);
    ensure!(total > 0.0, "nothing became visible");
    let quantile = |share: f64| {
        let found = buckets.iter().find(|(_, count)| *count >= total * share);
        found.map_or("?".to_owned(), |(end, _)| match end.parse::<f64>() {
            Ok(seconds) if seconds.is_finite() => format!("≤ {:.0} ms", seconds * 1e3),
            _ => "beyond the last bucket".to_owned(),
        })
    };
    Ok(format!("visible p50 {}, p99 {}", quantile(0.5), quantile(0.99)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_ends_of_buckets() {
        let metrics = "# TYPE x histogram\n\
             tidegate_visible_latency_seconds_bucket{le=\"0.1\"} 3\n\
             tidegate_visible_latency_seconds_bucket{le=\"0.25\"} 9\n\
             tidegate_visible_latency_seconds_bucket{le=\"+Inf\"} 10\n";
        let said = latency(metrics).expect("buckets");
        assert_eq!(said, "visible p50 ≤ 250 ms, p99 beyond the last bucket");
        assert!(latency("tidegate_visible_latency_seconds_bucket{le=\"+Inf\"} 0\n").is_err());
        assert!(latency("").is_err());
    }
}
