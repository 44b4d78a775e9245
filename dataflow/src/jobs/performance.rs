//! `PerformanceTracker`: mean and 95th percentile of load times by device category, exact.
//!
//! The load times of an epoch are combined where they were read, sorted and counted; only these small
//! runs travel to the worker that keeps the window.

use std::collections::BTreeMap;
use std::rc::Rc;

use tidegate_model::binding::Definition;
use tidegate_model::event::Fields;
use tidegate_model::row::PerformanceMetrics;
use tidegate_model::{DeviceCategory, EventTime, MetricRow, Schema, Tumbling, names};
use timely::dataflow::channels::pact::Exchange;

use crate::batch::{Batch, LoadTime};
use crate::control::Decided;
use crate::epochs::{Change, per_epoch};
use crate::fold::{Fold, Tally};
use crate::job::{Building, Common, Job, definition};
use crate::settings::JobSettings;
use crate::snapshot::{LoadTimeRow, Restored, RunRow, Windows, device_of};
use crate::view::{Windowed, gate, own};

/// The largest load time that counts, in milliseconds.
const LOAD_TIME_MAX_MS: u32 = 3_600_000;

/// The job.
#[derive(Clone, Debug)]
pub struct PerformanceTracker {
    windows: Tumbling,
    common: Common,
}

impl PerformanceTracker {
    /// The job under `settings`.
    pub fn new(settings: &JobSettings) -> Self {
        Self { windows: Tumbling::new(settings.performance_window_ms), common: Common::of(settings) }
    }
}

impl Job for PerformanceTracker {
    fn name(&self) -> &'static str {
        names::PERFORMANCE_TRACKER
    }

    fn schema(&self) -> &'static Schema {
        &PerformanceMetrics::SCHEMA
    }

    fn fields(&self) -> Fields {
        Fields::EVENT_TYPE | Fields::USER_AGENT | Fields::LOAD_TIME
    }

    fn definition(&self) -> Definition {
        definition(&self.common, &[("performance_window_ms", self.windows.size_ms().to_string())])
    }

    fn closed_at(&self, time: EventTime) -> EventTime {
        self.windows.window_of(time).end
    }

    fn build(&self, graph: &mut Building<'_, '_>) {
        let start = graph.start_of(self.name());
        let combine = Combine { job: self.clone(), after: start.after, open: BTreeMap::new() };
        let runs = graph.local.fold(self.name(), start.epoch, combine);
        let mut kept = self.restored(graph);
        let captures = Rc::clone(graph.captures);
        captures.register();
        let job = self.clone();
        let pact = Exchange::new(|((key, _), _, _): &Change<(Key, Run)>| key_hash(key));
        let name = format!("{}: merge", self.name());
        // What a snapshot held is said in the first epoch.
        let mut unsaid: BTreeMap<Key, ()> = kept.keys().map(|key| (*key, ())).collect();
        let values = per_epoch(&name, runs, pact, graph.decided.clone(), move |decided, runs, out| {
            let epoch = decided.epoch.0;
            let mut touched = std::mem::take(&mut unsaid);
            for ((key, run), _) in runs {
                let kept = kept.entry(key).or_default();
                kept.merge(run);
                touched.insert(key, ());
            }
            for key in touched.keys() {
                let kept = kept.get_mut(key).expect("merged above");
                let now = kept.summary();
                if let Some(before) = kept.said.replace(now.clone()) {
                    out.push(((*key, before), epoch, -1));
                }
                out.push(((*key, now), epoch, 1));
            }
            while let Some(oldest) = kept.first_entry() {
                if job.final_at(oldest.key()).plus_ms(job.common.lateness_ms) > decided.close_to {
                    break;
                }
                oldest.remove();
            }
            if decided.snapshot {
                captures.add(decided.epoch, |captured| capture(&kept, &mut captured.windows));
            }
        });
        graph.reports.push(gate(self.name(), values, graph.decided.clone(), self.clone()));
    }
}

impl PerformanceTracker {
    /// What this worker keeps of what a snapshot held.
    fn restored(&self, graph: &Building<'_, '_>) -> BTreeMap<Key, Kept> {
        let restored = graph.restored_for(self.name()).into_iter().flat_map(Restored::windows);
        let is_own = own::<Key>(key_hash, graph);
        let runs = restored.flat_map(Windows::each_run).map(|(run, values)| {
            let value =
                |row: &LoadTimeRow| (u32::try_from(row.millis).expect("decoding looked at it"), row.count);
            let kept = Kept { values: values.iter().map(value).collect(), said: None };
            ((run.start_ms, device_of(u64::from(run.device))), kept)
        });
        runs.filter(|(key, _)| is_own(key)).collect()
    }
}

fn capture(kept: &BTreeMap<Key, Kept>, windows: &mut Windows) {
    for ((start_ms, device), kept) in kept {
        let values = u32::try_from(kept.values.len()).expect("each is a different u32");
        windows.runs.push(RunRow { start_ms: *start_ms, values, device: *device as u32 });
        let row = |(millis, count): &(u32, u64)| LoadTimeRow { count: *count, millis: u64::from(*millis) };
        windows.load_times.extend(kept.values.iter().map(row));
    }
}

/// Start of the window, and the device category.
type Key = (i64, DeviceCategory);
/// Load times in milliseconds, ascending, each with its number.
type Run = Vec<(u32, u64)>;

/// Spreads the few keys that there are over the workers.
fn key_hash((start, device): &Key) -> u64 {
    (start.unsigned_abs() / 1000).wrapping_mul(4).wrapping_add(*device as u64)
}

/// Everything that a row is made of, in integers: equal inputs give equal bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Summary {
    count: u64,
    sum: u64,
    /// The values at the ranks around 0.95 · (count − 1), and how many hundredths of the way lie between.
    below: u32,
    above: u32,
    hundredths: u64,
}

impl Windowed for PerformanceTracker {
    type Key = Key;
    type Value = Summary;
    type Row = PerformanceMetrics;

    const PROVISIONAL: bool = true;

    fn final_at(&self, (start, _): &Key) -> EventTime {
        self.windows.starting_at(EventTime::from_millis(*start)).end
    }

    fn grace_ms(&self) -> i64 {
        self.common.lateness_ms
    }

    fn row(&self, (start, device): &Key, summary: &Summary) -> PerformanceMetrics {
        let window = self.windows.starting_at(EventTime::from_millis(*start));
        let between = u64::from(summary.above - summary.below) * summary.hundredths;
        PerformanceMetrics {
            window_start: window.start,
            window_end: window.end,
            device_category: device.as_str().to_owned(),
            avg_load_time: summary.sum as f64 / summary.count as f64,
            p95_load_time: f64::from(summary.below) + between as f64 / 100.0,
        }
    }
}

/// Combines the load times that this worker read in an epoch.
struct Combine {
    job: PerformanceTracker,
    /// Windows begin after this.
    after: EventTime,
    open: BTreeMap<Key, Vec<u32>>,
}

impl Fold for Combine {
    type Data = (Key, Run);
    type Diff = isize;

    fn rows(&mut self, batch: &Batch, close_before: EventTime, tally: &mut Tally) {
        // Neighbours mostly share a window; with four devices that makes few look-ups.
        let mut last: Option<(Key, Vec<u32>)> = None;
        for row in batch.rows() {
            let load_time = match row.load_time() {
                LoadTime::Missing => None,
                _ if !row.is_page_view() => None,
                other => Some(other),
            };
            let Some(load_time) = load_time else {
                tally.counts.filtered += 1;
                continue;
            };
            let window = self.job.windows.window_of(row.time());
            if window.start <= self.after {
                tally.counts.filtered += 1;
                continue;
            }
            let LoadTime::Millis(load_time @ 0..=LOAD_TIME_MAX_MS) = load_time else {
                tally.reject(row.position());
                continue;
            };
            if window.end.plus_ms(self.job.common.lateness_ms) <= close_before {
                tally.expire(row.position());
                continue;
            }
            tally.counts.counted += 1;
            let key = (window.start.as_millis(), row.device());
            match &mut last {
                Some((last_key, values)) if *last_key == key => values.push(load_time),
                _ => {
                    if let Some((key, values)) = last.take() {
                        self.open.insert(key, values);
                    }
                    let mut values = self.open.remove(&key).unwrap_or_default();
                    values.push(load_time);
                    last = Some((key, values));
                }
            }
        }
        self.open.extend(last);
    }

    fn finish(&mut self, _: &Decided, _: &mut Tally, out: &mut Vec<((Key, Run), isize)>) {
        for (key, mut values) in std::mem::take(&mut self.open) {
            values.sort_unstable();
            let run = values.chunk_by(|a, b| a == b).map(|equal| (equal[0], equal.len() as u64)).collect();
            out.push(((key, run), 1));
        }
    }
}

/// The load times of one window and device.
#[derive(Default)]
struct Kept {
    values: Run,
    said: Option<Summary>,
}

impl Kept {
    /// Merges an ascending run in.
    fn merge(&mut self, run: Run) {
        if self.values.is_empty() {
            self.values = run;
            return;
        }
        let mut merged = Vec::with_capacity(self.values.len() + run.len());
        let mut ours = std::mem::take(&mut self.values).into_iter().peekable();
        for (value, count) in run {
            while let Some(smaller) = ours.next_if(|(own, _)| *own < value) {
                merged.push(smaller);
            }
            let equal = ours.next_if(|(own, _)| *own == value).map_or(0, |(_, count)| count);
            merged.push((value, count + equal));
        }
        merged.extend(ours);
        self.values = merged;
    }

    /// Mean and percentile: rank 0.95 · (n − 1), interpolated between the values at its two sides.
    fn summary(&self) -> Summary {
        let count: u64 = self.values.iter().map(|(_, count)| count).sum();
        let sum = self.values.iter().map(|(value, count)| u64::from(*value) * count).sum();
        let rank_hundredths = 95 * (count - 1);
        let rank = rank_hundredths / 100;
        Summary {
            count,
            sum,
            below: self.at_rank(rank),
            above: self.at_rank((rank + 1).min(count - 1)),
            hundredths: rank_hundredths % 100,
        }
    }

    fn at_rank(&self, rank: u64) -> u32 {
        let mut before = 0;
        for (value, count) in &self.values {
            before += count;
            if rank < before {
                return *value;
            }
        }
        unreachable!("a rank is below the number of values")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentile_lies_between_the_ranks() {
        let mut kept = Kept::default();
        kept.merge(vec![(10, 1), (30, 1)]);
        kept.merge(vec![(20, 1), (30, 2)]);
        assert_eq!(kept.values, [(10, 1), (20, 1), (30, 3)]);
        let job = PerformanceTracker::new(&JobSettings::default());
        let row = job.row(&(0, DeviceCategory::Mobile), &kept.summary());
        assert!((row.avg_load_time - 24.0).abs() < f64::EPSILON);
        assert!((row.p95_load_time - 30.0).abs() < f64::EPSILON);

        let two = Kept { values: vec![(100, 1), (200, 1)], said: None };
        let row = job.row(&(0, DeviceCategory::Mobile), &two.summary());
        assert!((row.p95_load_time - 195.0).abs() < f64::EPSILON, "{row:?}");
    }
}
