//! A connection that can be cut so that neither side hears of it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Passes on what comes to it, in both directions, until it is cut.
pub(crate) struct Wire {
    address: SocketAddr,
    is_cut: Arc<AtomicBool>,
}

impl Wire {
    /// To whoever listens at `host`.
    pub(crate) fn to(host: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let is_cut = Arc::new(AtomicBool::new(false));
        let (host, cut) = (host.to_owned(), Arc::clone(&is_cut));
        std::thread::spawn(move || {
            for near in listener.incoming() {
                // Whoever finds nobody there tries again.
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(&host)) else { continue };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                    let cut = Arc::clone(&cut);
                    std::thread::spawn(move || pass(from, to, &cut));
                }
            }
        });
        Self { address, is_cut }
    }

    /// Where it is.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// From now on nothing passes, and nothing is closed.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_cut: &AtomicBool) {
    from.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket");
    let mut piece = [0; 16 << 10];
    loop {
        let read = from.read(&mut piece);
        while is_cut.load(Ordering::Acquire) {
            // Both sockets stay open.
            std::thread::park();
        }
        match read {
            Ok(0) => break,
            Ok(read) if to.write_all(&piece[..read]).is_ok() => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            _ => break,
        }
    }
    // The other side may be closed already.
    let _ = to.shutdown(std::net::Shutdown::Write);
}
