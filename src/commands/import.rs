//! `tidegate import`: from files to closed windows.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tidegate_model::{Epoch, Schema};
use tidegate_sinks::METRICS_FILE;
use tidegate_sinks::query::{Cell, RowVisitor, query};

use super::load;
use crate::cli::args::ImportArgs;
use crate::config::Config;
use crate::exit::{CommandError, Exit};
use crate::import::engine::{Engine, Imported};
use crate::import::progress::Bar;
use crate::import::remote::{Remote, Sender, Sent};
use crate::import::report::Tally;
use crate::import::{InputSet, Item, LineEvent, LineEvents, OpenError, Options, Report};
use crate::print::grouped;

/// Lines between two looks of the progress bar at the counts.
const LINES_PER_UPDATE: u64 = 4_096;

pub(crate) fn run(args: &ImportArgs, config: &Config, out: &mut dyn Write) -> Result<Exit, CommandError> {
    let started = Instant::now();
    if args.check {
        let mut walk = Walk::over(open(args, config)?, config);
        walk.all(config.import_strict, |_| Ok(()))?;
        return walk.report(started, Went::Nowhere, config, out);
    }
    let is_stdin = args.files.iter().any(|file| file.as_os_str() == "-");
    if config.import_strict && !is_stdin {
        // Nothing is written before every line is known to be good. Standard input comes only once.
        Walk::over(open(args, config)?, config).all(true, |_| Ok(()))?;
    }
    if let Some(url) = &args.url {
        return send(url, args, config, started, out);
    }
    let input = open(args, config)?;
    let fingerprint = input.fingerprint();
    let mut walk = Walk::over(input, config);
    let mut engine = Engine::start(config, &walk.lines, fingerprint)?;
    walk.all(config.import_strict, |event| engine.event(&event))?;
    let imported = engine.finish(config)?;
    walk.report(started, Went::Into(imported), config, out)
}

/// Sends the events to a running instance.
fn send(
    url: &str,
    args: &ImportArgs,
    config: &Config,
    started: Instant,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let target = Arc::new(load::target(Some(url), config, crate::load::PATH)?);
    let mut walk = Walk::over(open(args, config)?, config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(load::find(&target, args.timeout))?;
    let remote = Remote {
        target,
        connections: args.connections.into(),
        timeout: args.timeout,
        strict: config.import_strict,
        shown_max: walk.shown_max,
    };
    let files = walk.lines.files().iter().map(|file| file.name.clone()).collect();
    let mut sender = Sender::start(remote, files)?;
    // Whatever ends the sending is told by `finish`, which knows of those under way too.
    let walked = walk.all(config.import_strict, |event| {
        sender.event(&event).map_err(|ended| CommandError::new(Exit::Failure, ended))
    });
    walk.bar.finish();
    match sender.finish() {
        Ok(sent) => match walked {
            Ok(()) => walk.report(started, Went::To(sent), config, out),
            Err(error) => {
                let count = grouped(sent.acknowledged);
                Err(CommandError::new(
                    error.exit,
                    format!("{error}\nthe {count} events before it were acknowledged"),
                ))
            }
        },
        Err(stopped) => Err(CommandError::new(stopped.exit(), stopped)),
    }
}

/// Where the events went.
enum Went {
    Nowhere,
    Into(Imported),
    To(Sent),
}

fn open(args: &ImportArgs, config: &Config) -> Result<InputSet, CommandError> {
    let stdin = || -> Box<dyn std::io::Read + Send> { Box::new(std::io::stdin()) };
    InputSet::open(&args.files, Options::of(config), stdin).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(OpenError::to_string).collect();
        CommandError::new(Exit::Usage, lines.join("\n"))
    })
}

/// A walk over every line of an input, and what was met on it.
struct Walk {
    lines: LineEvents,
    files: usize,
    bar: Bar,
    tally: Tally,
    shown_max: usize,
    read_errors: Vec<String>,
}

impl Walk {
    fn over(input: InputSet, config: &Config) -> Self {
        let bar = Bar::new(input.bytes());
        let files = input.files().len();
        let shown_max = usize::try_from(config.import_malformed_shown_max).unwrap_or(usize::MAX);
        Self {
            lines: LineEvents::new(input),
            files,
            bar,
            tally: Tally::new(shown_max),
            shown_max,
            read_errors: Vec::new(),
        }
    }

    /// Reads to the end; a strict walk ends at the first malformed line.
    fn all(
        &mut self,
        strict: bool,
        mut take: impl FnMut(LineEvent<'_>) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let progress = self.lines.progress();
        loop {
            match self.lines.next_item() {
                Ok(None) => break,
                Err(error) => self.read_errors.push(error.to_string()),
                Ok(Some(item)) => {
                    self.tally.observe(&item);
                    match item {
                        Item::Event(event) => take(event)?,
                        Item::Malformed(malformed) if strict => {
                            return Err(CommandError::new(Exit::Malformed, malformed.to_string()));
                        }
                        Item::Malformed(_) | Item::Skipped(_) => {}
                    }
                }
            }
            if self.tally.lines.is_multiple_of(LINES_PER_UPDATE) {
                self.bar.update(progress.bytes(), self.tally.events, self.tally.malformed);
            }
        }
        Ok(())
    }

    fn report(
        self,
        started: Instant,
        went: Went,
        config: &Config,
        out: &mut dyn Write,
    ) -> Result<Exit, CommandError> {
        self.bar.finish();
        let exit = if self.read_errors.is_empty() { Exit::Done } else { Exit::Failure };
        let mut report = Report {
            files: self.files,
            tally: self.tally,
            read_errors: self.read_errors,
            max_disorder: crate::config::show_span(config.import_max_disorder_ms),
            ..Report::default()
        };
        match went {
            Went::Nowhere => {}
            Went::To(sent) => report.sent = Some(sent),
            Went::Into(imported) => {
                let counts = rows_since(config, imported.before)?;
                let (sessions, windows) =
                    counts.into_iter().partition(|(table, _)| table == "session_metrics");
                let sessions: Vec<(String, u64)> = sessions;
                report.sessions = Some(sessions.iter().map(|(_, rows)| rows).sum());
                report.windows = windows;
                report.ledger = imported.ledger;
                report.resumed_events = imported.resumed;
            }
        }
        report.elapsed = started.elapsed();
        out.write_all(report.render().as_bytes())?;
        Ok(exit)
    }
}

/// The number of rows of each table that are of epochs after `before`.
fn rows_since(config: &Config, before: Epoch) -> Result<Vec<(String, u64)>, CommandError> {
    let path = Path::new(&config.data_dir).join(METRICS_FILE);
    let mut counts = Vec::new();
    for schema in Schema::ALL {
        let sql = format!("SELECT count(*) FROM {} WHERE version > ?1", schema.table);
        let mut count = Count(0);
        let before = Cell::Integer(i64::try_from(before.0).unwrap_or(i64::MAX));
        query(&path, &sql, &[before], &mut count).map_err(|error| CommandError::new(Exit::Failure, error))?;
        counts.push((schema.table.to_owned(), count.0));
    }
    Ok(counts)
}

/// Takes the one number of a result.
struct Count(u64);

impl RowVisitor for Count {
    fn columns(&mut self, _: &[&str]) -> std::io::Result<()> {
        Ok(())
    }

    fn row(&mut self, cells: &[Cell<'_>]) -> std::io::Result<()> {
        if let [Cell::Integer(count)] = cells {
            self.0 = count.unsigned_abs();
        }
        Ok(())
    }
}
