//! What is counted, by our names and the old service's; and what is never said in a log line.

use std::io;
use std::sync::{Arc, Mutex};

use tidegate_ingest::Config;
use tracing_subscriber::fmt::MakeWriter;

use crate::client::{TRACK, VALID, ask, get, send};
use crate::service::{Deployment, Service, Stub, parts};

#[tokio::test]
async fn events_faults_and_requests_are_counted() {
    let deployment = Deployment::with(Config::default()).await;
    let address = deployment.address();
    let page = get(address, "/metrics").await.body;
    assert!(page.contains("tidegate_ingest_faults_total{field=\"/user/id\"} 0"), "{page}");
    for _ in 0..3 {
        send(address, VALID.as_bytes()).await;
    }
    send(address, VALID.replace("\"user-1\"", "5").replace("1920", "null").as_bytes()).await;
    let members = VALID.strip_suffix('}').expect("an object");
    send(address, format!("{members},\"properties\":{{\"made/up\":null}}}}").as_bytes()).await;
    send(address, b"nonsense").await;
    send(address, b"[]").await;
    get(address, "/v1/healthz").await;
    get(address, "/docs/").await;
    get(address, "/made/up").await;
    ask(address, "POST", &format!("{TRACK}/"), &[], VALID.as_bytes()).await;
    get(address, TRACK).await;

    let answer = get(address, "/metrics").await;
    let content_type = answer.header("content-type").expect("a type");
    assert!(content_type.starts_with("application/openmetrics-text; version=1.0.0"), "{content_type}");
    for line in [
        "tidegate_ingest_events_accepted_total 4",
        r#"tidegate_ingest_faults_total{field="/user/id"} 1"#,
        r#"tidegate_ingest_faults_total{field="/device/screen_width"} 1"#,
        r#"tidegate_ingest_faults_total{field="/properties"} 1"#,
        r#"tidegate_ingest_faults_total{field="body"} 2"#,
        r#"tidegate_ingest_faults_total{field="other"} 0"#,
        r#"tidegate_ingest_appends_failed_total{reason="log_full"} 0"#,
        "tidegate_ingest_append_duration_seconds_count 4",
        "tidegate_ingest_in_flight 0",
        "tidegate_ingest_in_flight_max 2048",
        r#"tidegate_http_requests_total{route="/v1/analytics/track",method="POST",status="202"} 3"#,
        r#"tidegate_http_requests_total{route="/v1/analytics/track",method="POST",status="422"} 3"#,
        r#"tidegate_http_requests_total{route="none",method="GET",status="404"} 1"#,
        "ingestion_requests_total 4",
        "ingestion_request_latency_seconds_count 4",
        "kafka_producer_errors_total 0",
        r#"http_requests_total{handler="/v1/analytics/track",method="POST",status="2xx"} 4"#,
        r#"http_requests_total{handler="/v1/analytics/track",method="POST",status="4xx"} 4"#,
        r#"http_requests_total{handler="/v1/analytics/track",method="GET",status="4xx"} 1"#,
        r#"http_requests_total{handler="/v1/healthz",method="GET",status="2xx"} 1"#,
        r#"http_request_duration_seconds_count{handler="/v1/analytics/track",method="POST"} 8"#,
    ] {
        assert!(answer.body.lines().any(|found| found == line), "{line} is missing in\n{}", answer.body);
    }
    for never in ["made/up", "http_requests_total{handler=\"/docs", "http_requests_total{handler=\"/metrics"]
    {
        let told = |line: &&str| line.starts_with("http_requests") && line.contains(never);
        assert_eq!(answer.body.lines().find(told), None);
    }
    assert!(!answer.body.contains("made/up"), "a client made a label");
}

/// Where log lines go to in a test.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics with the lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("nobody panics with the lock").clone()).expect("UTF-8")
    }
}

/// The lines that are written while events with recognisable people in them are sent.
async fn lines_at(level: tracing::Level, parts: tidegate_ingest::Parts<Stub>) -> String {
    let lines = Lines::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(level).with_writer(lines.clone()).with_ansi(false).finish();
    // For this thread only, on which everything of the test runs.
    let _guard = tracing::subscriber::set_default(subscriber);
    let service = Service::start(Config::default(), parts).await;
    let personal = VALID
        .replace("user-1", "jane@example.com")
        .replace("sess-1", "secret-session")
        .replace("\"url\"", "\"ip_address\":\"203.0.113.77\",\"url\"");
    for body in [
        personal.clone(),
        personal.replace("203.0.113.77", "203.0.113.77:80"),
        personal.replace("\"jane@example.com\"", "[\"jane@example.com\"]"),
        personal.replace("1920", "\"jane@example.com\""),
        format!("{personal}jane@example.com"),
    ] {
        for content_type in ["application/json", "jane@example.com/json"] {
            let headers = [("content-type", content_type), ("x-forwarded-for", "203.0.113.77")];
            ask(service.address, "POST", TRACK, &headers, body.as_bytes()).await;
        }
    }
    get(service.address, "/jane@example.com").await;
    service.stop().await;
    lines.text()
}

#[tokio::test]
async fn no_line_says_who_was_there_and_none_is_written_per_request() {
    let taking = || {
        let log = Stub::waiting();
        log.answers.add_permits(100);
        parts(log)
    };
    let failing = || {
        let (path, reason) = ("events/0".to_owned(), "I/O error".to_owned());
        parts(Stub::failing(tidegate_log::AppendError::Storage { path, reason }))
    };
    let panicking = || tidegate_ingest::Parts { clock: Arc::new(|| panic!("a fault of ours")), ..taking() };
    for (parts, at_info) in [(taking as fn() -> _, 0), (failing, 1)] {
        let lines = lines_at(tracing::Level::INFO, parts()).await;
        assert_eq!(lines.lines().count(), at_info, "{lines}");
    }
    for parts in [taking(), failing(), panicking()] {
        let lines = lines_at(tracing::Level::TRACE, parts).await;
        for personal in ["jane", "203.0.113.77", "secret-session"] {
            assert!(!lines.contains(personal), "{personal}: {lines}");
        }
    }
}
