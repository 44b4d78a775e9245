//! What Prometheus sees of a run. Gauges and counters are read off the [`Status`] when somebody scrapes,
//! so no number is kept twice; what is not known yet is left out.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, EncodeLabelValue, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use tidegate_dataflow::open::OpenCounts;
use tidegate_dataflow::survey::{Holder, Standing};
use tidegate_model::{EventTime, Ledger, PartitionId};

use crate::status::{Newest, Progress, Snapshots, Status};

/// Registers the metrics of a run; docs/operations.md lists them. `version` is that of the program.
pub fn register(registry: &mut Registry, status: Arc<Status>, version: &'static str) {
    registry.register(
        "tidegate_commit_duration_seconds",
        "Time a commit took",
        status.commit_durations.clone(),
    );
    registry.register_collector(Box::new(Run { status, version }));
}

#[derive(Debug)]
struct Run {
    status: Arc<Status>,
    version: &'static str,
}

impl Collector for Run {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let progress = self.status.progress();
        let now = self.status.now();
        let mut page = Page { encoder };
        page.info("tidegate_build", "The version that runs", &[("version", self.version)])?;
        of_run(&mut page, &progress, now)?;
        of_commits(&mut page, &progress)?;
        of_snapshots(&mut page, &progress.snapshots, now)?;
        of_ledger(&mut page, &progress.ledger)?;
        match &progress.newest {
            Some(newest) => {
                of_partitions(&mut page, newest, now)?;
                of_open(&mut page, newest)
            }
            None => Ok(()),
        }
    }
}

fn of_run(page: &mut Page<'_>, progress: &Progress, now: EventTime) -> fmt::Result {
    let started = seconds(progress.started_at.as_millis());
    page.gauge("tidegate_start_time_seconds", "When the run was started, in unix time", &started)?;
    let left = progress.replay_events.saturating_sub(progress.replayed_events);
    page.gauge("tidegate_replay_events_remaining", "Committed events that are not replayed yet", &left)?;
    if let Some(frontier) = progress.known_frontier() {
        let at = seconds(frontier.as_millis());
        page.gauge("tidegate_frontier_timestamp_seconds", "The frontier of what is committed", &at)?;
        let delay = seconds(now.since_ms(frontier));
        page.gauge("tidegate_frontier_delay_seconds", "How far the frontier is behind the clock", &delay)?;
    }
    let in_flight = progress.in_flight_bytes.iter().enumerate().map(|(worker, bytes)| (worker, *bytes));
    page.gauges("tidegate_in_flight_bytes", "Compact rows read and not committed", "worker", in_flight)?;
    let limit = progress.limits.in_flight_bytes_max;
    page.gauge("tidegate_in_flight_bytes_limit", "What one worker may have in flight", &limit)
}

fn of_commits(page: &mut Page<'_>, progress: &Progress) -> fmt::Result {
    // Before the first commit or replayed epoch there is none.
    if progress.epoch.0 > 0 {
        page.gauge("tidegate_epoch", "The newest epoch committed or replayed", &progress.epoch.0)?;
    }
    page.counter("tidegate_epochs_committed", "Epochs committed since the start", progress.epochs)?;
    page.counter("tidegate_rows_committed", "Rows committed since the start", progress.rows)?;
    let waiting = progress.uncommitted_epochs;
    page.gauge("tidegate_epochs_uncommitted", "Complete epochs that wait for their commit", &waiting)?;
    let limit = progress.limits.uncommitted_epochs_max;
    page.gauge("tidegate_epochs_uncommitted_limit", "Epochs that may wait before they get longer", &limit)?;
    let waits = i64::from(progress.waits.is_some());
    page.gauge("tidegate_commits_waiting", "Whether the last commit failed and is tried again", &waits)
}

fn of_snapshots(page: &mut Page<'_>, snapshots: &Snapshots, now: EventTime) -> fmt::Result {
    page.counter("tidegate_snapshots_written", "Snapshots written since the start", snapshots.written)?;
    page.counter("tidegate_snapshots_failed", "Snapshots given up since the start", snapshots.failed)?;
    if let Some((_, Some(at))) = snapshots.newest {
        let age = seconds(now.since_ms(at));
        page.gauge("tidegate_snapshot_age_seconds", "Since when the newest snapshot counts", &age)?;
    }
    if let Some((bytes, took)) = snapshots.last_written {
        page.gauge("tidegate_snapshot_bytes", "Length of the newest snapshot written", &bytes)?;
        let help = "Time the newest snapshot took to write";
        page.gauge("tidegate_snapshot_write_seconds", help, &took.as_secs_f64())?;
    }
    if let Some(read) = snapshots.read {
        let help = "Time it took to read the snapshot that the run began from";
        page.gauge("tidegate_snapshot_read_seconds", help, &read.as_secs_f64())?;
    }
    Ok(())
}

fn of_ledger(page: &mut Page<'_>, ledger: &Ledger) -> fmt::Result {
    if ledger.jobs.is_empty() {
        return Ok(());
    }
    let help = "What became of the events, since the deployment began";
    let mut family =
        page.encoder.encode_descriptor("tidegate_ledger_events", help, None, MetricType::Counter)?;
    for (job, counts) in &ledger.jobs {
        for (outcome, count) in [
            ("counted", counts.counted),
            ("expired", counts.expired),
            ("future", counts.future),
            ("filtered", counts.filtered),
            ("rejected", counts.rejected),
            ("missing", counts.missing),
        ] {
            let labels = [("job", job.as_str()), ("outcome", outcome)];
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
    }
    Ok(())
}

fn of_partitions(page: &mut Page<'_>, newest: &Newest, now: EventTime) -> fmt::Result {
    const LABEL: &str = "partition";
    let standings = || newest.survey.standings.iter();
    let id = |standing: &Standing| standing.partition.0;
    let holds = |partition: &PartitionId| match &newest.survey.holder {
        Holder::Partitions(holding) => i64::from(holding.contains_key(partition)),
        _ => 0,
    };
    let offsets = standings().map(|it| (id(it), it.position.0));
    page.gauges("tidegate_partition_offset", "The offset after the last record read", LABEL, offsets)?;
    let lags = standings().filter_map(|it| Some((id(it), it.lag_records()?)));
    page.gauges("tidegate_partition_lag_records", "Records in the log that are not read", LABEL, lags)?;
    let with_record = standings().filter(|it| it.largest > EventTime::MIN);
    let delays = with_record.map(|it| (id(it), seconds(now.since_ms(it.watermark))));
    let help = "How far the watermark is behind the clock";
    page.gauges("tidegate_partition_watermark_delay_seconds", help, LABEL, delays)?;
    let idle = standings().map(|it| (id(it), i64::from(it.idle)));
    page.gauges("tidegate_partition_idle", "Whether the partition is idle", LABEL, idle)?;
    let holding = standings().map(|it| (id(it), holds(&it.partition)));
    page.gauges("tidegate_partition_holds_frontier", "Whether it holds the frontier", LABEL, holding)
}

fn of_open(page: &mut Page<'_>, newest: &Newest) -> fmt::Result {
    let jobs = &newest.open.jobs;
    let windows = jobs.iter().map(|(job, counts)| (job.as_ref(), counts.windows));
    page.gauges("tidegate_open_windows", "Windows whose row is not final, by job", "job", windows)?;
    let OpenCounts { sessions, users, .. } = newest.open.total();
    page.gauge("tidegate_open_sessions", "Sessions that are not closed", &sessions)?;
    page.gauge("tidegate_open_users", "Users held for windows, each window and type by itself", &users)
}

/// Milliseconds in seconds.
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

/// The page that is being written.
struct Page<'e> {
    encoder: DescriptorEncoder<'e>,
}

impl Page<'_> {
    fn info(&mut self, name: &str, help: &str, labels: &impl EncodeLabelSet) -> fmt::Result {
        self.encoder.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(labels)
    }

    fn gauge(&mut self, name: &str, help: &str, value: &impl EncodeGaugeValue) -> fmt::Result {
        self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(value)
    }

    /// A counter; the format adds `_total` to its name.
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    /// A gauge for each value of a label; nothing where there is none.
    fn gauges<L: EncodeLabelValue, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        samples: impl Iterator<Item = (L, V)>,
    ) -> fmt::Result {
        let mut samples = samples.peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (of, value) in samples {
            family.encode_family(&[(label, of)])?.encode_gauge(&value)?;
        }
        Ok(())
    }
}
