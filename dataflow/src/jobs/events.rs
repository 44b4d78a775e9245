//! `EventAggregator`: events and distinct users by type, in tumbling windows.
//!
//! A user lives on one worker, so the numbers of distinct users of the workers add up.

mod users;

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_model::binding::Definition;
use tidegate_model::event::Fields;
use tidegate_model::row::EventMetrics;
use tidegate_model::{EventTime, MetricRow, Schema, Tumbling, names};

use self::users::UserSet;
use crate::batch::{Batch, TYPE_NOT_LISTED};
use crate::control::Decided;
use crate::fold::{Fold, Tally};
use crate::job::{Building, Common, Job, definition};
use crate::open::OpenCounts;
use crate::settings::JobSettings;
use crate::snapshot::{Captured, Keyed, SumRow, UsersRow, Windows};
use crate::view::{Summed, Windowed, summed_view};

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
        let mut partials = Partials::new(self, start.after);
        if let Some(restored) = graph.restored_for(self.name()) {
            let keyed = restored.keyed(graph.scope.index(), graph.scope.peers());
            keyed.for_each(|keyed| partials.restore(keyed));
        }
        let partials = graph.by_user.fold(self.name(), start.epoch, partials);
        summed_view(self.name(), partials, self, graph);
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

impl Summed for EventAggregator {
    fn sum_row((start_ms, event_type): &Key, (events, users): &Sums) -> SumRow {
        SumRow { start_ms: *start_ms, label: u64::from(*event_type), sums: [*events, *users, 0, 0] }
    }

    fn sum_of(row: &SumRow) -> (Key, Sums) {
        let event_type = u8::try_from(row.label).expect("decoding looked at it");
        ((row.start_ms, event_type), (row.sums[0], row.sums[1]))
    }

    fn sums_in(windows: &Windows) -> &Vec<SumRow> {
        &windows.events
    }

    fn sums_in_mut(windows: &mut Windows) -> &mut Vec<SumRow> {
        &mut windows.events
    }
}

/// Events and users of one type, of this worker's users.
#[derive(Default)]
struct Partial {
    events: i64,
    users: UserSet,
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

    fn window(&mut self, start: EventTime) -> &mut OpenWindow {
        let types = self.types;
        self.open.entry(start).or_insert_with(|| OpenWindow {
            types: (0..types).map(|_| Partial::default()).collect(),
            touched: false,
        })
    }

    /// Takes in what a snapshot holds. Of the events it holds none: all were reported, and are in the sums.
    fn restore(&mut self, keyed: &Keyed) {
        for (row, hashes) in keyed.sets() {
            let window = self.window(EventTime::from_millis(row.start_ms));
            let partial = &mut window.types[row.event_type as usize];
            partial.users.extend(hashes.iter().copied());
            partial.reported.1 = count(&partial.users);
        }
    }
}

fn count(users: &UserSet) -> i64 {
    i64::try_from(users.len()).expect("fewer users than i64 can count")
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
            let mut open = (!expired && !before_start).then(|| self.window(window.start));
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
                let sums = (partial.events, count(&partial.users));
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

    fn capture(&self, captured: &mut Captured) {
        let keyed = &mut captured.keyed;
        for (start, window) in &self.open {
            for (event_type, partial) in (0..).zip(&window.types) {
                if !partial.users.is_empty() {
                    let users = u32::try_from(partial.users.len()).expect("fewer users than fit into memory");
                    keyed.users.push(UsersRow { start_ms: start.as_millis(), users, event_type });
                    keyed.hashes.extend(partial.users.iter());
                }
            }
        }
    }
}
