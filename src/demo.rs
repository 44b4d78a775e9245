//! `tidegate demo`: the whole service in this process, and traffic that reaches it as anybody's would.
//!
//! Nothing here is privileged: events go in over HTTP, and what is checked at the end is read back over
//! HTTP.

mod check;
mod scratch;
mod screen;
mod view;

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_cache::{Ask, CacheReader as _};
use tidegate_model::{Ledger, names};
use tidegate_runner::Accept;
use tidegate_runner::clock::SystemClock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::audience::Audience;
use crate::client::Target;
use crate::config::{Config, TimeMode, size};
use crate::exit::{CommandError, Exit};
use crate::load::{self, LoadConfig, LoadStats, PATH, Totals, TrafficConfig};
use crate::print::ledger_table;
use crate::service::{Roles, Service};
use check::{ByWindow, Scope};
use scratch::Scratch;
use screen::Screen;
use view::Frame;

/// What the demo is asked for.
#[derive(Clone, Debug)]
pub(crate) struct DemoConfig {
    /// How often an event is sent.
    pub(crate) rate: load::Rate,
    /// Users that there are.
    pub(crate) users: u32,
    /// What the traffic is made from.
    pub(crate) seed: u64,
    /// How long there is traffic; until the demo is told to end where this is `None`.
    pub(crate) duration: Option<Duration>,
}

/// The settings of a demo: windows that close while somebody watches, and late events that are corrected.
/// Flags override them.
pub(crate) const SETTINGS: [(&str, &str); 8] = [
    ("jobs.event_window", "5s"),
    ("jobs.performance_window", "10s"),
    ("jobs.session_window", "10s"),
    ("jobs.session_gap", "10s"),
    ("jobs.allowed_lateness", "15s"),
    ("time.mode", "event_time"),
    ("time.watermark_bound", "2s"),
    ("time.idle_timeout", "2s"),
];

/// Events are up to so far out of order: less than the watermark's bound, so that they are all on time.
const DISORDER_MS: u32 = 1_500;
/// One event in a hundred comes from a device that was offline…
const LATE: f64 = 0.01;
/// …for at most so long: some of them in time for a correction, some too late for one.
const LATE_MS_MAX: u32 = 30_000;
/// Requests under way at once.
const CONNECTIONS: usize = 32;
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often the screen is drawn.
const FRAME_EVERY: Duration = Duration::from_millis(200);
/// How long it may take until everything is closed after the traffic ended. Twice what the windows above
/// and their lateness need.
const CLOSING_MAX: Duration = Duration::from_mins(1);

/// Runs the demo until its time is over, it is told to end, or nobody looks any more.
pub(crate) fn run(demo: &DemoConfig, config: &Config, out: &mut dyn Write) -> Result<Exit, CommandError> {
    // Declared before the service, and so removed after it.
    let scratch = Scratch::create()?;
    let config = Config { data_dir: scratch.path().to_owned(), ..config.clone() };
    let stop = CancellationToken::new();
    let service = Service::start(&config, Roles::ALL, Accept::default(), stop.clone())?;
    let mut out = Audience::new(out);
    let watched = watch(demo, &config, &service, &stop, &mut out);
    // Whatever was met on the way, the service ends in order; what ended the engine explains the rest.
    let ledger = service.shut_down()?.expect("it runs the dataflow");
    report(&watched?, &ledger, &config, &mut out)
}

/// What was seen while there was traffic.
struct Watched {
    totals: Totals,
    /// Whether everything was to be seen closing, and was.
    closing: Closing,
    /// What the API said then, where it can be compared.
    read_back: Option<ByWindow>,
}

/// What became of the windows after the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    /// Nobody waited for them: the demo was told to end.
    NotWaitedFor,
    /// All of them closed.
    Seen,
    /// Some were still open when the patience was at its end.
    TookTooLong,
}

/// Sends traffic and shows what becomes of it.
fn watch(
    demo: &DemoConfig,
    config: &Config,
    service: &Service,
    stop: &CancellationToken,
    out: &mut Audience<'_>,
) -> Result<Watched, CommandError> {
    let traffic = Traffic::start(service, demo, config)?;
    for line in service.addresses().lines() {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "\nCtrl-C ends the demo. Its data are in {} until then.\n", config.data_dir.display())?;

    let mut screen = Screen::new(out);
    let looking = Looking { service, traffic: &traffic, stop };
    looking.until(&mut screen, || traffic.is_over());
    // Without a duration there is no end but being told; with one, everything is to be seen closing.
    let mut closing = Closing::NotWaitedFor;
    if !stop.is_cancelled() && demo.duration.is_some() {
        let began = Instant::now();
        looking.until(&mut screen, || began.elapsed() > CLOSING_MAX || is_all_closed(service, &traffic));
        closing = match (stop.is_cancelled(), is_all_closed(service, &traffic)) {
            (true, _) => Closing::NotWaitedFor,
            (false, true) => Closing::Seen,
            (false, false) => Closing::TookTooLong,
        };
    }
    let totals = traffic.finish(service)?;
    let read_back = if closing == Closing::Seen && is_comparable(config) {
        Some(check::read_back(service)?)
    } else {
        None
    };
    screen.finish();
    Ok(Watched { totals, closing, read_back })
}

/// In processing time an event is in the window of its arrival, which its sender does not know.
fn is_comparable(config: &Config) -> bool {
    config.time_mode == TimeMode::Event
}

/// Says how it went.
fn report(
    watched: &Watched,
    ledger: &Ledger,
    config: &Config,
    out: &mut Audience<'_>,
) -> Result<Exit, CommandError> {
    let totals = &watched.totals;
    write!(out, "{}", totals.render())?;
    writeln!(out, "\nledger")?;
    write!(out, "{}", ledger_table(ledger))?;
    let mut sums_hold = ledger.adds_up();
    if let Some(found) = &watched.read_back {
        let counts = ledger.jobs.get(names::EVENT_AGGREGATOR).copied().unwrap_or_default();
        let scope =
            Scope { types: &config.allowed_event_types, windows_kept: size(config.cache_windows_kept) };
        let verdict = check::verdict(found, totals, &counts, scope);
        writeln!(out, "\n{verdict}")?;
        sums_hold &= verdict.holds;
    } else if watched.closing == Closing::TookTooLong {
        let patience = CLOSING_MAX.as_secs();
        writeln!(out, "\nnot compared with what was sent: windows were still open after {patience} s")?;
        sums_hold = false;
    } else if watched.closing == Closing::Seen && !is_comparable(config) {
        writeln!(out, "\nnot compared with what was sent: time.mode is processing_time")?;
    }
    Ok(if sums_hold { Exit::Done } else { Exit::Failure })
}

/// Whether everything that was sent is in closed windows and sessions.
fn is_all_closed(service: &Service, traffic: &Traffic) -> bool {
    let progress = service.status().progress();
    let sent = traffic.stats.snapshot().acknowledged;
    let accepted = progress.ledger.jobs.get(names::EVENT_AGGREGATOR).map_or(0, |counts| counts.accepted);
    let open = progress.newest.as_ref().map(|newest| newest.open.total());
    accepted >= sent && open.is_some_and(|open| open.windows == 0 && open.sessions == 0)
}

/// The traffic under way.
struct Traffic {
    stats: Arc<LoadStats>,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<Totals>>,
}

impl Traffic {
    fn start(service: &Service, demo: &DemoConfig, config: &Config) -> Result<Self, CommandError> {
        let url = format!("http://{}", service.addresses().of("ingest"));
        let target = Target::parse(&url, PATH).map_err(|error| CommandError::new(Exit::Failure, error))?;
        let load = LoadConfig {
            target: Arc::new(target),
            rate: demo.rate,
            duration: demo.duration,
            connections: CONNECTIONS,
            timeout: TIMEOUT,
            traffic: TrafficConfig {
                users: demo.users,
                seed: demo.seed,
                disorder_ms: DISORDER_MS,
                late: LATE,
                late_ms_max: LATE_MS_MAX,
            },
            truth_window_ms: u32::try_from(config.event_window_ms).ok(),
        };
        let (stats, stop) = (Arc::new(LoadStats::default()), CancellationToken::new());
        let (stats_of_run, stop_of_run) = (Arc::clone(&stats), stop.clone());
        let run = async move { load::run(load, &SystemClock, stats_of_run, stop_of_run).await };
        Ok(Self { stats, stop, task: service.runtime().spawn(run) })
    }

    fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Sends nothing more, and waits for the answers under way.
    fn finish(self, service: &Service) -> Result<Totals, CommandError> {
        self.stop.cancel();
        let ended = service.runtime().block_on(self.task);
        Ok(ended.expect("the traffic does not panic")?)
    }
}

/// What is shown while time passes.
struct Looking<'a> {
    service: &'a Service,
    traffic: &'a Traffic,
    stop: &'a CancellationToken,
}

impl Looking<'_> {
    /// Draws frames until `done` says so, it is told to end, or the engine has ended by itself.
    fn until(&self, screen: &mut Screen<'_, '_>, done: impl Fn() -> bool) {
        while !done() && !self.stop.is_cancelled() && !self.service.is_over() {
            self.show(screen);
            self.service.pause(FRAME_EVERY);
        }
        self.show(screen);
    }

    /// Draws a frame. That nobody looks any more is a way to be told to end.
    fn show(&self, screen: &mut Screen<'_, '_>) {
        if let Err(error) = screen.show(&self.frame())
            && !self.stop.is_cancelled()
        {
            tracing::info!(%error, "nobody looks any more: the demo ends");
            self.stop.cancel();
        }
    }

    fn frame(&self) -> Frame {
        let sent = self.traffic.stats.snapshot();
        let progress = self.service.status().progress();
        let open = progress.newest.as_ref().map(|newest| newest.open.total()).unwrap_or_default();
        let delay_ms =
            progress.known_frontier().map(|frontier| self.service.status().now().since_ms(frontier));
        let second = sent.last_second;
        Frame {
            elapsed: sent.elapsed,
            sent: sent.sent,
            acknowledged: sent.acknowledged,
            failed: sent.refused + sent.failed + sent.unanswered,
            rate: second.acknowledged as f64,
            answer: (second.latency.count > 0)
                .then(|| (millis(second.latency.p50_ms), millis(second.latency.p99_ms))),
            visible: self.service.recent().map(|recent| (recent.p50, recent.p99)),
            frontier_delay: delay_ms.map(|ms| Duration::from_millis(ms.max(0).unsigned_abs())),
            open_windows: open.windows.max(0).unsigned_abs(),
            open_sessions: open.sessions.max(0).unsigned_abs(),
            rows: self.service.rows(),
            newest: self.newest(),
            ledger: progress.ledger,
            waits: progress.waits.map(|waits| waits.reason),
        }
    }

    /// The newest closed window of events.
    fn newest(&self) -> Option<(String, Vec<(String, String)>)> {
        let ask = Ask::Newest { kind: "event", limit: 1 };
        // A cache that does not answer has nothing to show.
        let answer = self.service.runtime().block_on(self.service.cache().read(&[ask])).ok()?;
        let window = answer.windows.first()?.first()?;
        let start = window.window.start.to_rfc3339().get(11..19)?.to_owned();
        let counts = window.fields.iter().filter(|(name, _)| name.ends_with(".count"));
        let fields = counts.map(|(name, value)| {
            let label = name.trim_end_matches(".count").to_owned();
            (label, serde_json::to_string(value).expect("a number"))
        });
        Some((start, fields.collect()))
    }
}

fn millis(ms: f64) -> Duration {
    Duration::from_secs_f64(ms.max(0.0) / 1000.0)
}
