//! What a peer may not do to a listener, over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use tidegate_server::{Limits, Listener, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

async fn start(router: Router, limits: Limits) -> Server {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Listener::bind(any, "--listen").await.expect("a port is free");
    let (address, shutdown) = (listener.address(), CancellationToken::new());
    let task = tokio::spawn(serve(listener, router, limits, shutdown.clone()));
    Server { address, shutdown, task }
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

/// Reads until the other side closes.
async fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("it is closed");
    // A connection that was reset has been closed as well.
    let _ = read;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() {
    let limits = Limits { header_timeout: Duration::from_millis(50), ..Limits::default() };
    let server = start(hello(), limits).await;
    for beginning in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\n"] {
        let mut stream = TcpStream::connect(server.address).await.expect("it listens");
        stream.write_all(beginning.as_bytes()).await.expect("it is open");
        let answer = read_all(&mut stream).await;
        assert!(!answer.contains("hello"), "{beginning:?}: {answer}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = start(hello(), Limits::default()).await;
    let mut stream = TcpStream::connect(server.address).await.expect("it listens");
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "a".repeat(20 << 10));
    // The answer may come before everything is sent.
    let _ = stream.write_all(head.as_bytes()).await;
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn a_connection_beyond_the_limit_waits_for_another_to_end() {
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let server = start(hello(), limits).await;
    let ask = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let first = TcpStream::connect(server.address).await.expect("it listens");
    let mut second = TcpStream::connect(server.address).await.expect("the system keeps it waiting");
    second.write_all(ask).await.expect("the system takes it");
    let mut nothing = [0; 1];
    let early = tokio::time::timeout(Duration::from_millis(100), second.read(&mut nothing)).await;
    assert!(early.is_err(), "it was served beyond the limit");
    drop(first);
    assert!(read_all(&mut second).await.ends_with("hello"));
}

#[tokio::test]
async fn a_peer_that_does_not_read_its_answer_is_closed() {
    let (ended, mut end) = tokio::sync::mpsc::channel::<()>(1);
    let endless = get(async move || {
        let chunk = Bytes::from(vec![b'x'; 64 << 10]);
        let ended = ended.clone();
        // The stream is dropped with its connection, and the channel ends with it.
        Body::from_stream(futures_util::stream::unfold(ended, move |ended| {
            let chunk = chunk.clone();
            async move { Some((Ok::<_, std::io::Error>(chunk), ended)) }
        }))
    });
    let limits = Limits { write_timeout: Duration::from_millis(100), ..Limits::default() };
    let server = start(Router::new().route("/", endless), limits).await;
    let mut stream = TcpStream::connect(server.address).await.expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it is open");
    // The route holds a sender until the server is gone.
    server.shutdown.cancel();
    let outcome = tokio::time::timeout(PATIENCE, server.task).await.expect("the connection is closed");
    outcome.expect("it does not panic");
    assert_eq!(end.recv().await, None);
}

#[tokio::test]
async fn shutting_down_answers_what_was_asked_and_closes_what_is_idle() {
    let (asked, mut was_asked) = tokio::sync::mpsc::channel::<()>(1);
    let answer = std::sync::Arc::new(tokio::sync::Notify::new());
    let may_answer = std::sync::Arc::clone(&answer);
    let slow = get(async move || {
        asked.send(()).await.expect("the test waits");
        may_answer.notified().await;
        "at last"
    });
    let server = start(hello().route("/slow", slow), Limits::default()).await;
    let mut idle = TcpStream::connect(server.address).await.expect("it listens");
    let mut busy = TcpStream::connect(server.address).await.expect("it listens");
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it is open");
    was_asked.recv().await.expect("it was asked");
    server.shutdown.cancel();
    assert_eq!(read_all(&mut idle).await, "");
    answer.notify_one();
    assert!(read_all(&mut busy).await.ends_with("at last"));
    tokio::time::timeout(PATIENCE, server.task).await.expect("it ends").expect("it does not panic");
    assert!(TcpStream::connect(server.address).await.is_err(), "it listens still");
}
