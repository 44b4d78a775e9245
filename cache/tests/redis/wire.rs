//! A way to a server whose connections can be cut so that neither side hears of it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Passes on what comes to it, in both directions.
pub(crate) struct Wire {
    pub(crate) address: String,
    /// How often it was cut.
    cuts: Arc<AtomicU64>,
}

impl Wire {
    /// To the server at `address`.
    pub(crate) fn to(address: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let own = listener.local_addr().expect("it listens").to_string();
        let cuts = Arc::new(AtomicU64::new(0));
        let (address, counted) = (address.to_owned(), Arc::clone(&cuts));
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(&address)) else { continue };
                let began = counted.load(Ordering::Acquire);
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                    let cuts = Arc::clone(&counted);
                    std::thread::spawn(move || pass(from, to, || cuts.load(Ordering::Acquire) > began));
                }
            }
        });
        Self { address: own, cuts }
    }

    /// Nothing passes any more over the connections that there are, and none is closed. Later ones are well.
    pub(crate) fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::Release);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_cut: impl Fn() -> bool) {
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
            Ok(read) if to.write_all(&piece[..read]).is_ok() => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            _ => break,
        }
    }
}
