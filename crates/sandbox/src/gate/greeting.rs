//! The first bytes of a connection: what they begin, without being lost.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::event::Reason;

const PATIENCE: Duration = Duration::from_secs(10);
/// The longest TLS greeting.
const LIMIT: usize = 32 << 10;
/// No method of HTTP/1 is called so.
const HTTP2: &[u8] = b"PRI ";
const TLS_HANDSHAKE: u8 = 0x16;

/// What a connection begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    Http1,
    Http2,
    Tls { server_name: Option<String>, protocols: Vec<Vec<u8>> },
}

/// Reads as far as it takes to know.
pub(super) async fn read<S: AsyncRead + Unpin>(
    mut stream: S,
) -> Result<(Greeting, Prefixed<S>), Reason> {
    let mut prefix = Vec::with_capacity(2048);
    let mut acceptor = Acceptor::default();
    let reading = async {
        loop {
            let before = prefix.len();
            let count = stream.read_buf(&mut prefix).await;
            if count.map_err(|_| Reason::Malformed("closed before it began"))? == 0 {
                return Err(Reason::Malformed("closed before it began"));
            }
            if let Some(greeting) = recognise(&prefix, before, &mut acceptor)? {
                return Ok(greeting);
            }
            if prefix.len() > LIMIT {
                return Err(Reason::Malformed("a TLS greeting without an end"));
            }
        }
    };
    let greeting = timeout(PATIENCE, reading).await.map_err(|_| Reason::Timeout)??;
    Ok((greeting, Prefixed { prefix, taken: 0, stream }))
}

/// `None` when more has to be read; what was read up to `before` is known to the acceptor already.
pub(super) fn recognise(
    bytes: &[u8],
    before: usize,
    acceptor: &mut Acceptor,
) -> Result<Option<Greeting>, Reason> {
    match bytes {
        [TLS_HANDSHAKE, ..] => {
            let malformed = |_| Reason::Malformed("a TLS greeting");
            let mut new = &bytes[before..];
            while !new.is_empty() {
                acceptor.read_tls(&mut new).map_err(malformed)?;
            }
            let accepted = acceptor.accept().map_err(|_| Reason::Malformed("a TLS greeting"))?;
            Ok(accepted.map(|accepted| {
                let hello = accepted.client_hello();
                let protocols = hello.alpn().into_iter().flatten();
                Greeting::Tls {
                    server_name: hello.server_name().map(str::to_owned),
                    protocols: protocols.map(<[u8]>::to_vec).collect(),
                }
            }))
        }
        _ if bytes.len() < HTTP2.len() && HTTP2.starts_with(bytes) => Ok(None),
        _ if bytes.starts_with(HTTP2) => Ok(Some(Greeting::Http2)),
        [b'A'..=b'Z', ..] => Ok(Some(Greeting::Http1)),
        _ => Err(Reason::Greeting),
    }
}

/// A stream whose beginning was read already.
#[derive(Debug)]
pub(super) struct Prefixed<S> {
    prefix: Vec<u8>,
    taken: usize,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &self.prefix[self.taken..];
        if rest.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let now = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..now]);
        self.taken += now;
        if self.taken == self.prefix.len() {
            self.prefix = Vec::new();
            self.taken = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    async fn greeting(bytes: &[u8]) -> Result<Greeting, Reason> {
        let (greeting, mut stream) = read(bytes).await?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, bytes);
        Ok(greeting)
    }

    #[tokio::test]
    async fn beginnings() {
        assert_eq!(greeting(b"GET / HTTP/1.1\r\n\r\n").await, Ok(Greeting::Http1));
        assert_eq!(greeting(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await, Ok(Greeting::Http2));
        assert_eq!(greeting(b"PROPFIND / HTTP/1.1\r\n\r\n").await, Ok(Greeting::Http1));
        assert_eq!(greeting(b"SSH-2.0-x\r\n").await, Ok(Greeting::Http1), "refused by the parser");
        assert_eq!(greeting(b"\0\0\0").await, Err(Reason::Greeting));
        assert!(matches!(greeting(b"").await, Err(Reason::Malformed(_))));
        assert!(matches!(greeting(b"\x16\x03\x01").await, Err(Reason::Malformed(_))));
        assert!(matches!(greeting(&[0x16; 100]).await, Err(Reason::Malformed(_))));
    }

    /// The greeting of a TLS client for this name.
    fn hello(name: &str) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let name = name.to_owned().try_into().unwrap();
        let mut connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        connection.write_tls(&mut bytes).unwrap();
        bytes
    }

    /// What is seen of bytes that come in pieces.
    fn in_pieces(bytes: &[u8], size: usize) -> Result<Option<Greeting>, ()> {
        let mut acceptor = Acceptor::default();
        for before in (0..bytes.len()).step_by(size) {
            let until = bytes.len().min(before + size);
            match recognise(&bytes[..until], before, &mut acceptor) {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                Err(_) => return Err(()),
            }
        }
        Ok(None)
    }

    proptest::proptest! {
        /// However it comes, the same is seen; and what is not touched is seen as it is.
        #[test]
        fn any_bytes_in_any_pieces(
            mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
            usual in 0..6usize,
            place in 0..400usize,
            size in 1..64usize,
        ) {
            let beginnings = [hello("api.example"), b"GET / HTTP/1.1".to_vec(), b"PRI * HTTP/2.0".to_vec(), b"PRO".to_vec()];
            if let Some(usual) = beginnings.get(usual) {
                let mut changed = usual.clone();
                for (old, new) in changed.iter_mut().skip(place).zip(bytes.iter().take(3)) {
                    *old = *new;
                }
                bytes = changed;
            }
            let whole = in_pieces(&bytes, bytes.len().max(1));
            if let (Ok(Some(whole)), Ok(Some(pieces))) = (&whole, in_pieces(&bytes, size)) {
                proptest::prop_assert_eq!(whole, &pieces);
            }
            if bytes == beginnings[0] {
                let seen = matches!(whole, Ok(Some(Greeting::Tls { server_name: Some(name), .. })) if name == "api.example");
                proptest::prop_assert!(seen);
            }
        }
    }
}
