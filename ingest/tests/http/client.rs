//! A client that can misbehave: it writes bytes to a socket and reads answers off it.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long anything may take that is waited for; far longer than it does.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Where events go.
pub(crate) const TRACK: &str = "/v1/analytics/track";

/// An event that fits.
pub(crate) const VALID: &str = r#"{"event":{"type":"page_view"},"user":{"id":"user-1"},"device":{"user_agent":"Mozilla/5.0","screen_width":1920,"screen_height":1080},"context":{"url":"https://example.com","session_id":"sess-1"},"metrics":{}}"#;

/// An answer, whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header, whose name is written small.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The detail of a problem, after a look at whether it is a proper one.
    pub(crate) fn detail(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        assert_eq!(problem["type"], "about:blank", "{problem}");
        assert!(problem["title"].is_string(), "{problem}");
        problem["detail"].as_str().expect("a problem has a detail").to_owned()
    }

    /// Pointer and detail of every fault.
    pub(crate) fn faults(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        let problem = self.json();
        let errors = problem["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().map(|fault| (text(&fault["pointer"]), text(&fault["detail"]))).collect()
    }
}

/// A connection.
pub(crate) struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("it listens");
        Self { stream, unread: Vec::new() }
    }

    /// Sends bytes. The other side may have answered and closed before it read them all.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let sent = tokio::time::timeout(PATIENCE, self.stream.write_all(bytes)).await;
        let _ = sent.expect("the other side reads or closes");
    }

    /// Says that nothing more will come.
    pub(crate) async fn finish(&mut self) {
        // A connection that was closed by the other side is finished as well.
        let _ = self.stream.shutdown().await;
    }

    /// The next answer; `None` when the connection was closed instead.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        self.answer_to("POST").await
    }

    /// The next answer, which has no body when `method` is HEAD.
    pub(crate) async fn answer_to(&mut self, method: &str) -> Option<Answer> {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.read_more().await {
                return None;
            }
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).expect("a head is ASCII");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
        let mut answer = Answer { status, head, body: String::new() };
        if status == 100 {
            return Box::pin(self.answer_to(method)).await;
        }
        let length = answer.header("content-length").map_or(0, |text| text.parse().expect("a length"));
        if method != "HEAD" {
            while self.unread.len() < length {
                assert!(self.read_more().await, "the answer is cut: {answer:?}");
            }
            answer.body = String::from_utf8_lossy(&self.unread[..length]).into_owned();
            self.unread.drain(..length);
        }
        Some(answer)
    }

    /// Waits until the other side closes.
    pub(crate) async fn closed(&mut self) {
        while self.read_more().await {}
    }

    async fn read_more(&mut self) -> bool {
        self.unread.reserve(16 << 10);
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.unread)).await;
        // A connection that was reset is closed.
        let count = read.expect("the other side answers or closes").unwrap_or(0);
        count > 0
    }
}

/// The bytes of a request.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: test\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// The bytes of a request that tracks an event.
pub(crate) fn track(body: &[u8]) -> Vec<u8> {
    request("POST", TRACK, &[("content-type", "application/json")], body)
}

/// Asks over a connection of its own.
pub(crate) async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut connection = Connection::open(address).await;
    connection.send(&request(method, path, headers, body)).await;
    connection.answer_to(method).await.unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

/// Asks for a page.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path, &[], b"").await
}

/// Sends an event over a connection of its own.
pub(crate) async fn send(address: SocketAddr, body: &[u8]) -> Answer {
    ask(address, "POST", TRACK, &[("content-type", "application/json")], body).await
}
