//! Ports that nobody listens on.

use std::net::TcpListener;

use anyhow::Context;

/// So many ports of the local address, each another one. Somebody else may take one before it is used: whoever
/// starts a server tries again then.
pub(crate) fn free<const N: usize>() -> anyhow::Result<[u16; N]> {
    let listeners: Vec<_> = (0..N)
        .map(|_| TcpListener::bind(("127.0.0.1", 0)))
        .collect::<Result<_, _>>()
        .context("no port is free")?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr().context("a listener has no address")?.port();
    }
    Ok(ports)
}
