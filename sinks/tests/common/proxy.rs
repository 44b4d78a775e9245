//! A connection that breaks when it is told to.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the client to the server: a request is lost, or its end.
    There,
    /// From the server to the client: what was asked for is done, and nobody hears of it.
    Back,
}

#[derive(Debug, Default)]
struct State {
    /// Pieces that went each way.
    pieces: [AtomicU64; 2],
    /// The piece that is lost, and the connection with it.
    lost: Mutex<Option<(Way, u64)>>,
    held: Mutex<Held>,
    changed: Condvar,
}

/// A piece to the server that waits on its way.
#[derive(Debug, Default, PartialEq, Eq)]
enum Held {
    /// None does.
    #[default]
    Not,
    /// The next one that has this text will.
    Next(String),
    /// One does.
    Now,
}

/// So long may something take that a test waits for.
const PATIENCE: Duration = Duration::from_mins(1);

/// Passes bytes on between clients and one server. Its threads end with the process.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Where it listens: `host:port`.
    pub(crate) address: String,
    state: Arc<State>,
}

impl Proxy {
    /// Passes on to `server`, which is `host:port`.
    pub(crate) fn new(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let state = Arc::new(State::default());
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&server) else { continue };
                for stream in [&client, &server] {
                    stream.set_nodelay(true).expect("it is a socket");
                }
                let (client_too, server_too) = (clone(&client), clone(&server));
                let (there, back) = (shared.clone(), shared.clone());
                thread::spawn(move || there.pass(Way::There, client, &server));
                thread::spawn(move || back.pass(Way::Back, server_too, &client_too));
            }
        });
        Self { address, state }
    }

    /// From now on the `n`-th piece that goes that way is lost, counted from 0.
    pub(crate) fn lose(&self, way: Way, n: u64) {
        let now = self.state.pieces[way as usize].load(Ordering::SeqCst);
        *self.state.lost.lock().expect("nobody panics while holding it") = Some((way, now + n));
    }

    /// The next piece to the server that has `text` in it does not go on, nor what follows it, until
    /// [`let_go`](Self::let_go).
    pub(crate) fn hold(&self, text: &str) {
        self.state.set_held(Held::Next(text.to_owned()));
    }

    /// Waits until a piece is held.
    pub(crate) fn wait_until_it_holds(&self) {
        self.state.wait_while(|held| *held != Held::Now);
    }

    /// Passes on what is held.
    pub(crate) fn let_go(&self) {
        self.state.set_held(Held::Not);
    }

    /// Whether what was to be lost is. If it is not, it will not be.
    pub(crate) fn has_lost(&self) -> bool {
        self.state.lost.lock().expect("nobody panics while holding it").take().is_none()
    }
}

impl State {
    fn set_held(&self, to: Held) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = to;
        self.changed.notify_all();
    }

    fn wait_while(&self, condition: impl Fn(&Held) -> bool) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(held, PATIENCE, |held| condition(held));
        let (held, outcome) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!outcome.timed_out(), "it is still {:?}", *held);
    }

    /// Holds a piece if it is the one.
    fn hold_if_told(&self, piece: &[u8]) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Held::Next(text) = &*held else { return };
        if piece.windows(text.len()).any(|part| part == text.as_bytes()) {
            *held = Held::Now;
            drop(held);
            self.changed.notify_all();
            self.wait_while(|held| *held == Held::Now);
        }
    }

    fn pass(&self, way: Way, mut from: TcpStream, to: &TcpStream) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let piece = self.pieces[way as usize].fetch_add(1, Ordering::SeqCst);
            let mut lost = self.lost.lock().expect("nobody panics while holding it");
            if *lost == Some((way, piece)) {
                *lost = None;
                break;
            }
            drop(lost);
            if way == Way::There {
                self.hold_if_told(&buffer[..count]);
            }
            let mut writer = to;
            if writer.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        for end in [&from, to] {
            // The other thread may have been first.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

fn clone(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("there are file descriptors left")
}
