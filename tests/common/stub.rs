//! A server that answers as a test wants it to: well, badly, or not before something has happened.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Its number, over all connections, counted from 0.
    pub(crate) number: usize,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// What is done about it.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A status, further lines of the head, and a body; the connection stays.
    Answer(u16, &'static str, String),
    /// These bytes, whatever they are; then the connection is closed.
    Bytes(Vec<u8>),
    /// Nothing, until the peer goes away.
    Silence,
}

impl Reply {
    /// What the tracking endpoint says.
    pub(crate) fn accepted() -> Self {
        Self::Answer(202, "", "{\"status\":\"accepted\"}".to_owned())
    }
}

/// The server. It stops taking connections when dropped.
#[derive(Debug)]
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    over: Arc<AtomicBool>,
    closed: Arc<AtomicUsize>,
}

impl Stub {
    /// Answers every request, on a thread for each connection.
    pub(crate) fn start(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let over = Arc::new(AtomicBool::new(false));
        let closed = Arc::new(AtomicUsize::new(0));
        let count = closed.clone();
        let (is_over, reply, number) = (over.clone(), Arc::new(reply), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
                let (reply, number, count) = (reply.clone(), number.clone(), count.clone());
                std::thread::spawn(move || {
                    serve(stream, &number, &*reply);
                    count.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, over, closed }
    }

    /// How many connections it has closed.
    pub(crate) fn closed(&self) -> usize {
        self.closed.load(Ordering::SeqCst)
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // So that it looks.
        drop(TcpStream::connect(self.address));
    }
}

/// Whatever goes wrong with the peer ends the connection.
fn serve(stream: TcpStream, number: &AtomicUsize, reply: &dyn Fn(&Request) -> Reply) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_mins(1))).ok()?;
    stream.set_nodelay(true).ok()?;
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).ok()?;
        let number = number.fetch_add(1, Ordering::SeqCst);
        match reply(&Request { number, head, body }) {
            Reply::Answer(status, head, body) => {
                let length = body.len();
                let answer = format!("HTTP/1.1 {status} x\r\n{head}content-length: {length}\r\n\r\n{body}");
                stream.get_mut().write_all(answer.as_bytes()).ok()?;
            }
            Reply::Bytes(bytes) => {
                stream.get_mut().write_all(&bytes).ok()?;
                return None;
            }
            Reply::Silence => {
                let _ = stream.read(&mut [0]);
                return None;
            }
        }
    }
}
