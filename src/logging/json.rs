//! Events as JSON, one object a line.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::redact::{REDACTED, is_sensitive};

/// `{"timestamp":…,"level":…,"target":…,"message":…}` and the fields of the event beside them.
pub(super) struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let metadata = event.metadata();
        let mut line = Line(Map::new());
        line.0.insert("timestamp".to_owned(), timestamp.into());
        line.0.insert("level".to_owned(), metadata.level().as_str().into());
        line.0.insert("target".to_owned(), metadata.target().into());
        event.record(&mut line);
        writeln!(writer, "{}", Value::Object(line.0))
    }
}

/// The members of a line.
struct Line(Map<String, Value>);

impl Line {
    fn add(&mut self, field: &Field, value: Value) {
        let name = field.name();
        let value = if is_sensitive(name) { REDACTED.into() } else { value };
        self.0.insert(name.to_owned(), value);
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(lines: &Lines) -> String {
        let bytes = lines.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(bytes).expect("the log is text")
    }

    fn log_something() {
        tracing::info!(user_id = "user-1", partition = 3, db_password = %"hunter2", share = 0.5, "it \"works\"");
    }

    #[test]
    fn a_line_is_an_object_without_what_is_sensitive() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().event_format(JsonLines).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, log_something);
        let line: Value = serde_json::from_str(&written(&lines)).expect("a line of JSON");
        assert_eq!((&line["message"], &line["level"]), (&"it \"works\"".into(), &"INFO".into()));
        assert_eq!((&line["partition"], &line["share"]), (&3.into(), &0.5.into()));
        assert_eq!((&line["user_id"], &line["db_password"]), (&REDACTED.into(), &REDACTED.into()));
        let timestamp = line["timestamp"].as_str().expect("a string");
        assert!(timestamp.ends_with('Z') && timestamp.contains('T'), "{timestamp}");
    }

    #[test]
    fn people_do_not_see_what_is_sensitive_either() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .compact()
            .with_ansi(false)
            .fmt_fields(super::super::redact::HumanFields)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, log_something);
        let text = written(&lines);
        assert!(text.contains("it \"works\"") && text.contains("partition=3"), "{text}");
        assert!(!text.contains("user-1") && !text.contains("hunter2"), "{text}");
    }
}
