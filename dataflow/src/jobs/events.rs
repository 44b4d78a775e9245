//! `EventAggregator`: events and distinct users by type, in tumbling windows.
//!
//! A user lives on one worker, so the numbers of distinct users of the workers add up.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_model::binding::Definition;
use tidegate_model::event::Fields;
use tidegate_model::row::EventMetrics;
use tidegate_model::{EventTime, MetricRow, Schema, Tumbling, names};

use crate::batch::{Batch, TYPE_NOT_LISTED};
use crate::control::Decided;
use crate::fold::{Fold, Tally};
use crate::hash::HashedSet;
use crate::job::{Building, Common, Job, definition};
use crate::open::OpenCounts;
use crate::settings::JobSettings;
use crate::view::{Windowed, summed_view};

/// The job.
#[derive(Clone, Debug)]
pub struct EventAggregator {
    windows: Tumbling,
    common: Common,
    types: Arc<[String]>,
}

impl EventAggregator {
    /// The job under `settings`.
    pub fn new(settings: &JobSettings) -> Self {
        Self {
            windows: Tumbling::new(settings.event_window_ms),
            common: Common::of(settings),
            types: settings.allowed_event_types.clone().into(),
        }
    }
}

impl Job for EventAggregator {
    fn name(&self) -> &'static str {
        names::EVENT_AGGREGATOR
    }

    fn schema(&self) -> &'static Schema {
        &EventMetrics::SCHEMA
    }

    fn fields(&self) -> Fields {
        Fields::EVENT_TYPE | Fields::USER_ID
    }

    fn definition(&self) -> Definition {
        definition(
            &self.common,
            &[
                ("event_window_ms", self.windows.size_ms().to_string()),
                ("allowed_event_types", serde_json::to_string(&*self.types).expect("names are plain JSON")),
            ],
        )
    }

    fn closed_at(&self, time: EventTime) -> EventTime {
        self.windows.window_of(time).end
    }

    fn build(&self, graph: &mut Building<'_, '_>) {
        let start = graph.start_of(self.name());
        let partials = graph.by_user.fold(self.name(), start.epoch, Partials::new(self, start.after));
        graph.reports.push(summed_view(self.name(), partials, graph.decided.clone(), self));
    }
}

/// Start of the window and index of the type.
type Key = (i64, u8);
/// Events and users.
type Sums = (i64, i64);

impl Windowed for EventAggregator {
    type Key = Key;
    type Value = Sums;
    type Row = EventMetrics;

    const PROVISIONAL: bool = true;

    fn final_at(&self, (start, _): &Key) -> EventTime {
        self.windows.starting_at(EventTime::from_millis(*start)).end
    }

    fn grace_ms(&self) -> i64 {
        self.common.lateness_ms
    }

    fn row(&self, (start, event_type): &Key, (events, users): &Sums) -> EventMetrics {
        let window = self.windows.starting_at(EventTime::from_millis(*start));
        EventMetrics {
            window_start: window.start,
            window_end: window.end,
            event_type: self.types[usize::from(*event_type)].clone(),
            event_count: events.unsigned_abs(),
            user_count: users.unsigned_abs(),
        }
    }
}

/// Events and users of one type, of this worker's users.
#[derive(Default)]
struct Partial {
    events: i64,
    users: HashedSet,
    reported: Sums,
}

/// One window on this worker: a partial for each type.
struct OpenWindow {
    types: Vec<Partial>,
    touched: bool,
}

/// This worker's share.
struct Partials {
    windows: Tumbling,
    lateness_ms: i64,
    types: usize,
    /// Windows begin after this.
    after: EventTime,
    open: BTreeMap<EventTime, OpenWindow>,
}

impl Partials {
    fn new(job: &EventAggregator, after: EventTime) -> Self {
        Self {
            windows: job.windows,
            lateness_ms: job.common.lateness_ms,
            types: job.types.len(),
            after,
            open: BTreeMap::new(),
        }
    }
}

impl Fold for Partials {
    type Data = Key;
    type Diff = Sums;

    fn rows(&mut self, batch: &Batch, close_before: EventTime, tally: &mut Tally) {
        let mut rows = batch.rows().iter().peekable();
        // Neighbours mostly share a window: it is looked up once for a run of them.
        while let Some(first) = rows.peek() {
            let window = self.windows.window_of(first.time());
            let expired = window.end.plus_ms(self.lateness_ms) <= close_before;
            let before_start = window.start <= self.after;
            let mut open = (!expired && !before_start).then(|| {
                self.open.entry(window.start).or_insert_with(|| OpenWindow {
                    types: (0..self.types).map(|_| Partial::default()).collect(),
                    touched: false,
                })
            });
            while let Some(row) = rows.next_if(|row| window.start <= row.time() && row.time() < window.end) {
                if row.event_type == TYPE_NOT_LISTED || before_start {
                    tally.counts.filtered += 1;
                } else if let Some(open) = &mut open {
                    let partial = &mut open.types[usize::from(row.event_type)];
                    partial.events += 1;
                    partial.users.insert(row.user);
                    open.touched = true;
                    tally.counts.counted += 1;
                } else {
                    tally.expire(row.position());
                }
            }
        }
    }

    fn finish(&mut self, decided: &Decided, _: &mut Tally, out: &mut Vec<(Key, Sums)>) {
        for (start, window) in self.open.iter_mut().filter(|(_, window)| window.touched) {
            window.touched = false;
            for (event_type, partial) in window.types.iter_mut().enumerate() {
                let users = i64::try_from(partial.users.len()).expect("fewer users than i64 can count");
                let sums = (partial.events, users);
                let (events, users) = (sums.0 - partial.reported.0, sums.1 - partial.reported.1);
                if events != 0 {
                    partial.reported = sums;
                    let event_type = u8::try_from(event_type).expect("at most 255 types");
                    out.push(((start.as_millis(), event_type), (events, users)));
                }
            }
        }
        while let Some(oldest) = self.open.first_entry() {
            let end = self.windows.starting_at(*oldest.key()).end;
            if end.plus_ms(self.lateness_ms) > decided.close_to {
                break;
            }
            oldest.remove();
        }
    }

    fn open(&self) -> OpenCounts {
        let partials = self.open.values().flat_map(|window| &window.types);
        let users = partials.map(|partial| partial.users.len()).sum::<usize>();
        let users = i64::try_from(users).expect("fewer users than i64 can count");
        OpenCounts { users, ..OpenCounts::default() }
    }
}
