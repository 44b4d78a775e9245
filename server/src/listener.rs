//! A socket that listens. It is bound before anything is started, so that a port in use is told at once.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

/// Nobody can listen there.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}; {remedy} (set by {setting})")]
pub struct BindError {
    address: SocketAddr,
    reason: String,
    remedy: &'static str,
    setting: &'static str,
}

impl Listener {
    /// Binds `address`; port 0 takes any free one. `setting` is what an error tells people to change, such
    /// as `--ingest-listen`.
    ///
    /// # Errors
    /// When the address is taken, is not one of this machine's, or may not be used.
    pub async fn bind(address: SocketAddr, setting: &'static str) -> Result<Self, BindError> {
        let bound = async {
            let socket = TcpListener::bind(address).await?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        };
        bound.await.map_err(|error: io::Error| {
            let remedy = match error.kind() {
                io::ErrorKind::AddrInUse => "end the process that listens there, or choose another port",
                io::ErrorKind::AddrNotAvailable => "choose an address of this machine",
                io::ErrorKind::PermissionDenied => "choose a port from 1024 on, or run with the right to it",
                _ => "choose another address",
            };
            BindError { address, reason: error.to_string(), remedy, setting }
        })
    }

    /// The address, with the port that was found where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn socket(&self) -> &TcpListener {
        &self.socket
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_in_use_is_named_with_its_setting() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = Listener::bind(any, "--first").await.expect("a port is free");
        let error = Listener::bind(first.address(), "--second").await.expect_err("it is taken").to_string();
        let expected = format!("cannot listen on {}: ", first.address());
        assert!(error.starts_with(&expected) && error.ends_with("(set by --second)"), "{error}");
    }
}
