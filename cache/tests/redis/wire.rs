//! A way to a server that counts what goes over it, and whose connections can be cut so that neither side hears of it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Passes on what comes to it, in both directions.
pub(crate) struct Wire {
    pub(crate) address: String,
    /// How often it was cut.
    cuts: Arc<AtomicU64>,
    exchanges: Arc<Exchanges>,
}

/// Whoever asks waits for the answer before asking again, on each connection and, in tests that count, over all of them.
#[derive(Debug, Default)]
struct Exchanges {
    count: AtomicU64,
    /// Whether something was asked, and no answer came since.
    is_asked: AtomicBool,
}

impl Exchanges {
    fn note(&self, is_question: bool) {
        let was_asked = self.is_asked.swap(is_question, Ordering::AcqRel);
        self.count.fetch_add(u64::from(is_question && !was_asked), Ordering::AcqRel);
    }
}

impl Wire {
    /// To the server at `address`.
    pub(crate) fn to(address: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let own = listener.local_addr().expect("it listens").to_string();
        let (cuts, exchanges) = (Arc::new(AtomicU64::new(0)), Arc::new(Exchanges::default()));
        let (address, counted, noted) = (address.to_owned(), Arc::clone(&cuts), Arc::clone(&exchanges));
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(&address)) else { continue };
                let began = counted.load(Ordering::Acquire);
                for (from, to, is_question) in [(&near, &far, true), (&far, &near, false)] {
                    let (from, to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                    let (cuts, exchanges) = (Arc::clone(&counted), Arc::clone(&noted));
                    let is_cut = move || cuts.load(Ordering::Acquire) > began;
                    std::thread::spawn(move || pass(from, to, is_cut, || exchanges.note(is_question)));
                }
            }
        });
        Self { address: own, cuts, exchanges }
    }

    /// How often something was asked after an answer.
    pub(crate) fn exchanges(&self) -> u64 {
        self.exchanges.count.load(Ordering::Acquire)
    }

    /// Nothing passes any more over the connections that there are, and none is closed. Later ones are well.
    pub(crate) fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::Release);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_cut: impl Fn() -> bool, note: impl Fn()) {
    from.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket");
    let mut piece = [0; 16 << 10];
    loop {
        let read = from.read(&mut piece);
        while is_cut() {
            // Both sockets stay open.
            std::thread::park();
        }
        match read {
            Ok(0) => break,
            Ok(read) => {
                note();
                if to.write_all(&piece[..read]).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
}
