//! Sockets that live in a jail's network namespace while threads outside accept on them.

use std::io;
use std::net::{TcpListener, UdpSocket};

/// Sockets of a jail. A socket keeps the network namespace that it was made in, so what a server
/// connects to inside arrives here, outside.
#[derive(Debug)]
pub struct GateSockets {
    /// A listener for each port that was asked for and each of IPv4 and IPv6 (where the kernel has
    /// it); the local address of an accepted connection is the address that the server dialled.
    pub tcp: Vec<tokio::net::TcpListener>,
    /// 127.0.0.1:3128.
    pub proxy: Option<tokio::net::TcpListener>,
    /// 127.0.0.1:53.
    pub dns: Option<(tokio::net::UdpSocket, tokio::net::TcpListener)>,
}

/// The port of the proxy inside.
pub const PROXY_PORT: u16 = 3128;

impl GateSockets {
    /// In the order in which the jail makes them. Must be called inside a tokio runtime.
    #[cfg(target_os = "linux")]
    pub(crate) fn adopt(
        tcp: Vec<TcpListener>,
        proxy: Option<TcpListener>,
        dns: Option<(UdpSocket, TcpListener)>,
    ) -> io::Result<GateSockets> {
        let listener = |socket: TcpListener| {
            socket.set_nonblocking(true)?;
            tokio::net::TcpListener::from_std(socket)
        };
        let datagrams = |socket: UdpSocket| {
            socket.set_nonblocking(true)?;
            tokio::net::UdpSocket::from_std(socket)
        };
        Ok(GateSockets {
            tcp: tcp.into_iter().map(listener).collect::<io::Result<_>>()?,
            proxy: proxy.map(listener).transpose()?,
            dns: dns
                .map(|(udp, tcp)| Ok::<_, io::Error>((datagrams(udp)?, listener(tcp)?)))
                .transpose()?,
        })
    }
}
