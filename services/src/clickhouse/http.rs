//! One request to a ClickHouse over HTTP: enough to see that it answers, and for a test to ask it something.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, ensure};

use super::Address;

/// How long a server may take to connect, and to send the next bytes.
const DEADLINE: Duration = Duration::from_secs(30);

impl Address {
    /// The lines that a statement results in, tab-separated.
    ///
    /// # Errors
    /// When nobody answers, or the answer is an error, which is told.
    pub fn query(&self, sql: &str) -> anyhow::Result<String> {
        self.request("POST", "/", sql)
    }

    /// The version that answers.
    ///
    /// # Errors
    /// Those of [`query`](Self::query).
    pub fn version(&self) -> anyhow::Result<String> {
        Ok(self.query("SELECT version()")?.trim().to_owned())
    }

    /// Whether it takes requests and carries statements out.
    pub(super) fn answers(&self) -> bool {
        self.request("GET", "/ping", "").is_ok() && self.query("SELECT 1").is_ok_and(|one| one == "1\n")
    }

    fn request(&self, method: &str, path: &str, body: &str) -> anyhow::Result<String> {
        let address = self.http_address();
        let socket = address.to_socket_addrs().ok().and_then(|mut sockets| sockets.next());
        let socket = socket.with_context(|| format!("{address} is no address"))?;
        let mut stream = TcpStream::connect_timeout(&socket, DEADLINE)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        // The end of the answer is the end of the connection, in this version of HTTP.
        let length = body.len();
        let request = format!("{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("the answer is not HTTP")?;
        let status = head.split(' ').nth(1).context("the answer has no status")?;
        ensure!(status == "200", "{address} answered {status}: {}", body.trim());
        Ok(body.to_owned())
    }
}
