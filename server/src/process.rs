//! What the system says of this process: the metrics that every Prometheus client library offers.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// Registers `process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds` and
/// `process_threads`. Where there is no `/proc`, they are left out.
pub fn register(registry: &mut Registry) {
    registry.register_collector(Box::new(Process));
}

#[derive(Debug)]
struct Process;

/// What `/proc/self` says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Facts {
    resident_bytes: Option<u64>,
    threads: Option<u64>,
    cpu_seconds: Option<f64>,
    open_fds: Option<u64>,
}

/// Linux counts CPU time for user space in hundredths of a second, on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

impl Facts {
    fn gather() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let open_fds = std::fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64);
        Self { open_fds, ..Self::parse(&status, &stat) }
    }

    fn parse(status: &str, stat: &str) -> Self {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        // The name of the program stands in brackets and may hold anything; the numbers come after it.
        let numbers: Vec<&str> =
            stat.rsplit_once(')').map_or(Vec::new(), |(_, rest)| rest.split_whitespace().collect());
        let ticks = |index: usize| numbers.get(index).and_then(|text| text.parse::<f64>().ok());
        Self {
            resident_bytes: field("VmRSS").map(|kib| kib * 1024),
            threads: field("Threads"),
            cpu_seconds: ticks(11).zip(ticks(12)).map(|(user, system)| (user + system) / TICKS_PER_SECOND),
            open_fds: None,
        }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let facts = Facts::gather();
        if let Some(seconds) = facts.cpu_seconds {
            let metric = ConstCounter::new(seconds);
            let kind = metric.metric_type();
            metric.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                "CPU time spent",
                None,
                kind,
            )?)?;
        }
        let gauges = [
            ("process_resident_memory_bytes", "Memory in use, as the system counts it", facts.resident_bytes),
            ("process_open_fds", "Open file descriptors", facts.open_fds),
            ("process_threads", "Threads", facts.threads),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                let metric = ConstGauge::new(value);
                let kind = metric.metric_type();
                metric.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_move_the_numbers() {
        let status = "Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t7\n";
        let stat = "1 (a) b (c) S 1 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0 7 0 1 1 1";
        let facts = Facts::parse(status, stat);
        let expected =
            Facts { resident_bytes: Some(2 << 20), threads: Some(7), cpu_seconds: Some(2.0), open_fds: None };
        assert_eq!(facts, expected);
    }
}
