//! Reading the metric store with SQL, beside the writer and alone, in every format.

mod common;

use std::io::{self, Write};
use std::path::Path;

use tidegate_model::EventTime;
use tidegate_model::row::Op;
use tidegate_sinks::query::{Cell, Format, QueryError, RowVisitor, query, write};
use tidegate_sinks::{Config, Sink, SqliteStore};

use common::{EVENTS, MemoryLog, Place, event_json};

const NOW: EventTime = EventTime::from_millis(0);

fn fill(log: &MemoryLog, store: SqliteStore) -> Sink<MemoryLog, SqliteStore> {
    for (minute, event_type) in [(0, "click"), (0, "page_view"), (1, "click")] {
        log.push(EVENTS, 0, 5, Op::Final, event_json(minute, event_type, 7));
    }
    let mut sink = Sink::new(log.clone(), store, Config::default());
    sink.step(NOW).expect("a step");
    sink
}

/// A store with three rows, closed.
fn filled() -> Place {
    let place = Place::new();
    drop(fill(&MemoryLog::default(), place.store()));
    place
}

fn text(path: &Path, sql: &str, format: Format) -> Result<String, QueryError> {
    let mut output = Vec::new();
    write(path, sql, &[], format, &mut output)?;
    Ok(String::from_utf8(output).expect("formats are text"))
}

fn error(path: &Path, sql: &str) -> String {
    text(path, sql, Format::Table).expect_err(sql).to_string()
}

#[test]
fn it_reads_while_another_connection_writes_and_after_it_closed() {
    let place = Place::new();
    let log = MemoryLog::default();
    let mut sink = fill(&log, place.store());
    let count =
        || text(&place.file(), "SELECT count(*) AS n FROM event_metrics", Format::Csv).expect("it reads");
    assert_eq!(count(), "n\n3\n");
    log.push(EVENTS, 0, 6, Op::Final, event_json(2, "click", 1));
    sink.step(NOW).expect("readers do not hold up the writer");
    assert_eq!(count(), "n\n4\n");
    drop(sink);
    assert!(!place.directory().join("metrics.db-wal").exists(), "a clean close leaves one file");
    assert_eq!(count(), "n\n4\n");
    let mut sink = Sink::new(log.clone(), place.store(), Config::default());
    log.push(EVENTS, 0, 7, Op::Final, event_json(3, "click", 1));
    sink.step(NOW).expect("the next writer is not disturbed by what readers left");
    assert_eq!(count(), "n\n5\n");
}

/// The writer commits while a result is being read; the result stays that of one moment.
#[test]
fn a_result_is_of_one_moment() {
    struct WritesMeanwhile<'a> {
        log: &'a MemoryLog,
        sink: Sink<MemoryLog, SqliteStore>,
        rows: usize,
    }
    impl RowVisitor for WritesMeanwhile<'_> {
        fn columns(&mut self, _: &[&str]) -> io::Result<()> {
            Ok(())
        }
        fn row(&mut self, _: &[Cell<'_>]) -> io::Result<()> {
            self.rows += 1;
            self.log.push(
                EVENTS,
                0,
                6,
                Op::Final,
                event_json(100 + self.rows.cast_signed() as i64, "click", 1),
            );
            self.sink.step(NOW).expect("the writer goes on");
            Ok(())
        }
    }
    let (place, log) = (Place::new(), MemoryLog::default());
    let mut visitor = WritesMeanwhile { sink: fill(&log, place.store()), log: &log, rows: 0 };
    let rows = query(&place.file(), "SELECT * FROM event_metrics", &[], &mut visitor).expect("it reads");
    assert_eq!((rows, visitor.rows), (3, 3));
    assert_eq!(place.dump(EVENTS).len(), 6);
}

#[test]
fn a_missing_store_is_named_with_the_remedy() {
    let place = Place::new();
    let missing = error(&place.file(), "SELECT 1");
    assert!(missing.starts_with("there is no metric store "), "{missing}");
    assert!(missing.contains("metrics.db; `tidegate import"), "{missing}");
    assert!(!place.file().exists(), "asking does not make one");
    std::fs::write(place.file(), "").expect("written");
    assert!(error(&place.file(), "SELECT 1").starts_with("there is no metric store "));
    std::fs::write(place.file(), "no database ".repeat(100)).expect("written");
    assert!(error(&place.file(), "SELECT 1").contains("is no metric store of tidegate's"));
}

#[test]
fn a_newer_store_is_refused() {
    let place = filled();
    let connection = rusqlite::Connection::open(place.file()).expect("opens");
    connection.pragma_update(None, "user_version", 9).expect("set");
    assert!(
        error(&place.file(), "SELECT 1").contains("format version 9; this version of tidegate reads up to 1")
    );
}

#[test]
fn only_one_statement_that_reads_is_carried_out() {
    let place = filled();
    let before = place.dump_all();
    for (sql, expected) in [
        ("DELETE FROM event_metrics", "the statement would write;"),
        ("UPDATE event_metrics SET event_count = 0 RETURNING *", "the statement would write;"),
        ("DROP TABLE event_metrics", "the statement would write;"),
        ("CREATE TABLE mine(a)", "the statement would write;"),
        ("CREATE TEMP TABLE mine(a)", "the statement would write;"),
        ("VACUUM", "the statement would write;"),
        ("PRAGMA user_version = 7", "the statement would write;"),
        ("PRAGMA query_only = off", "the statement gives no rows;"),
        ("BEGIN IMMEDIATE", "the statement would write;"),
        ("ATTACH 'other.db' AS other", "the statement gives no rows;"),
        ("", "the statement gives no rows;"),
        ("-- nothing", "the statement gives no rows;"),
        ("SELECT 1; SELECT 2", "there is more than one statement;"),
        ("SELECT 1; DELETE FROM event_metrics", "there is more than one statement;"),
        ("SELECT ?1", "the statement has 1 parameters, 0 values were given"),
    ] {
        let error = error(&place.file(), sql);
        assert!(error.starts_with(expected), "{sql}: {error}");
    }
    assert_eq!(place.dump_all(), before);
    assert_eq!(text(&place.file(), "SELECT 1 AS one ;  ", Format::Csv).expect("one statement"), "one\n1\n");
}

#[test]
fn a_wrong_statement_is_answered_with_the_place_and_what_there_is() {
    let place = filled();
    assert_eq!(
        error(&place.file(), "SELECT * FORM event_metrics WHERE event_type = 'click'"),
        "near \"FORM\": syntax error, at \"FORM event_metrics WHERE event…\""
    );
    let tables = error(&place.file(), "SELECT * FROM events");
    let all = "dropped_events, event_metrics, performance_metrics, session_metrics, session_window_metrics, \
               sink_gaps, sink_positions, unreadable_rows";
    assert_eq!(tables, format!("no such table: events; the tables are {all}"));
    let columns = error(&place.file(), "SELECT users FROM event_metrics");
    assert!(columns.starts_with("no such column: users, at \"users FROM event_metrics\"; event_metrics has window_start, window_end, event_type, event_count, user_count, version"), "{columns}");
    let running = error(&place.file(), "SELECT abs(-9223372036854775807 - 1)");
    assert_eq!(running, "integer overflow");
    assert!(error(&place.file(), "SELECT ünïcode FROM event_metrics").starts_with("no such column: ünïcode"));
}

#[test]
fn dates_of_sqlite_understand_the_instants() {
    let sql = "SELECT strftime('%H:%M', window_end) AS at, unixepoch(window_end) AS s FROM event_metrics ORDER BY 1";
    let found = text(&filled().file(), sql, Format::Csv).expect("it reads");
    assert_eq!(found, "at,s\n00:01,60\n00:01,60\n00:02,120\n");
}

const EVERY_TYPE: &str = "SELECT NULL AS none, -7 AS whole, 2.0 AS real, 'it''s \"x\", é' AS \"the text\", x'00ff' AS bytes, \
     char(27) || '[31m' AS esc UNION ALL SELECT 1, 1000000, 0.1, '', x'', 'two' || char(10) || 'lines'";

#[test]
fn a_table_is_aligned_shows_null_and_sends_nothing_to_the_terminal() {
    let found = text(&filled().file(), EVERY_TYPE, Format::Table).expect("it reads");
    let expected = "\
none    whole  real  the text     bytes    esc
────  ───────  ────  ───────────  ───────  ──────────
NULL       -7   2.0  it's \"x\", é  x'00ff'  \\u{1b}[31m
   1  1000000   0.1               x''      two\\nlines
";
    assert_eq!(found, expected);
    let none = text(&filled().file(), "SELECT 1 AS a, 2 AS long WHERE 0", Format::Table).expect("it reads");
    assert_eq!(none, "a  long\n─  ────\n", "a result without rows still has columns");
}

#[test]
fn json_is_one_object_a_line() {
    let found = text(&filled().file(), EVERY_TYPE, Format::Json).expect("it reads");
    let lines: Vec<serde_json::Value> =
        found.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect();
    assert_eq!(
        lines[0],
        serde_json::json!({"none": null, "whole": -7, "real": 2.0, "the text": "it's \"x\", é",
            "bytes": "x'00ff'", "esc": "\u{1b}[31m"})
    );
    assert_eq!(lines[1]["esc"], "two\nlines");
    assert_eq!(lines.len(), 2);
    let twice = text(&filled().file(), "SELECT 1 AS a, 2 AS a, 3 AS a_2, 1e999 AS b", Format::Json);
    assert_eq!(twice.expect("it reads"), "{\"a\":1,\"a_2\":2,\"a_2_2\":3,\"b\":null}\n");
}

#[test]
fn csv_is_quoted_where_it_must_be() {
    let found = text(&filled().file(), EVERY_TYPE, Format::Csv).expect("it reads");
    let expected = "none,whole,real,the text,bytes,esc\n\
        ,-7,2.0,\"it's \"\"x\"\", é\",x'00ff',\u{1b}[31m\n\
        1,1000000,0.1,,x'',\"two\nlines\"\n";
    assert_eq!(found, expected);
}

#[test]
fn parameters_are_bound() {
    let mut output = Vec::new();
    let sql = "SELECT event_count FROM event_metrics WHERE event_type = ?1 AND user_count = ?2 LIMIT 1";
    let parameters = [Cell::Text("click"), Cell::Integer(1)];
    write(&filled().file(), sql, &parameters, Format::Csv, &mut output).expect("it reads");
    assert_eq!(output, b"event_count\n7\n");
}

/// Counts what it is given and takes no more than so many bytes.
struct Pipe {
    bytes: usize,
    closes_after: usize,
    largest_write: usize,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes > self.closes_after {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.bytes += bytes.len();
        self.largest_write = self.largest_write.max(bytes.len());
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, 'text' FROM n";

/// An endless result ends when the reader does, which proves that no format gathers it.
#[test]
fn results_are_streamed_and_a_closed_pipe_ends_them() {
    let place = filled();
    for format in [Format::Table, Format::Json, Format::Csv] {
        let mut pipe = Pipe { bytes: 0, closes_after: 1_000_000, largest_write: 0 };
        let error = write(&place.file(), ENDLESS, &[], format, &mut pipe).expect_err("the pipe is closed");
        let QueryError::Output(error) = error else { panic!("{format:?}: {error}") };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{format:?}");
        assert!(pipe.largest_write < 100_000, "{format:?} wrote {} bytes at once", pipe.largest_write);
    }
}

#[test]
fn formats_are_known_by_name() {
    for (name, format) in Format::NAMES.iter().zip([Format::Table, Format::Json, Format::Csv]) {
        assert_eq!(name.parse::<Format>().expect(name), format);
    }
    let error = "xml".parse::<Format>().expect_err("there is no such format").to_string();
    assert_eq!(error, "\"xml\" is no format; there are table, json, csv");
}
