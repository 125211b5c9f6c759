//! One keep-alive HTTP/1.1 connection, as lean as can be: the load generator shares its cores with what it measures.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    echo::Era,
    wire::{Endpoint, excerpt},
};

const LONGEST_HEAD: usize = 16 << 10;
const LONGEST_BODY: usize = 16 << 20;

/// What the head of a response says.
#[derive(Debug)]
pub struct Head {
    /// The HTTP status.
    pub status: u16,
    /// Whether the body is an event stream.
    pub sse: bool,
    /// The value of `Mcp-Session-Id`.
    pub session: Option<String>,
}

/// A connection that serves one exchange at a time.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    unread: BytesMut,
    body: BytesMut,
    first: Option<Instant>,
}

enum Length {
    Chunked,
    Exactly(usize),
}

impl Connection {
    /// Connects with `TCP_NODELAY`.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn open(authority: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(authority)
            .await
            .with_context(|| format!("connecting to {authority}"))?;
        stream.set_nodelay(true)?;
        let unread = BytesMut::with_capacity(64 << 10);
        Ok(Self { stream, unread, body: BytesMut::new(), first: None })
    }

    /// When the first chunk of the last response's body was here, or all of it where it had no chunks.
    #[must_use]
    pub fn first(&self) -> Option<Instant> {
        self.first
    }

    /// The body of the last response.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Sends a complete request and reads the complete response.
    ///
    /// # Errors
    /// When the connection breaks or the response is no HTTP.
    pub async fn exchange(&mut self, request: &str) -> anyhow::Result<Head> {
        self.stream.write_all(request.as_bytes()).await?;
        self.body.clear();
        self.first = None;
        let (head, length) = self.head().await?;
        match length {
            Length::Exactly(length) => self.exactly(length).await?,
            Length::Chunked => self.chunks().await?,
        }
        Ok(head)
    }

    async fn head(&mut self) -> anyhow::Result<(Head, Length)> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut response = httparse::Response::new(&mut headers);
            if let httparse::Status::Complete(consumed) = response.parse(&self.unread)? {
                let parsed = read_head(&response)?;
                self.unread.advance(consumed);
                return Ok(parsed);
            }
            ensure!(
                self.unread.len() < LONGEST_HEAD,
                "a response head beyond {LONGEST_HEAD} bytes"
            );
            self.more().await?;
        }
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        self.unread.reserve(16 << 10);
        ensure!(self.stream.read_buf(&mut self.unread).await? > 0, "the connection was closed");
        Ok(())
    }

    async fn exactly(&mut self, length: usize) -> anyhow::Result<()> {
        ensure!(self.body.len() + length <= LONGEST_BODY, "a body beyond {LONGEST_BODY} bytes");
        let buffered = length.min(self.unread.len());
        self.body.extend_from_slice(&self.unread[..buffered]);
        self.unread.advance(buffered);
        let mut missing = length - buffered;
        self.body.reserve(missing);
        while missing > 0 {
            let read = (&mut self.stream).take(missing as u64).read_buf(&mut self.body).await?;
            ensure!(read > 0, "the connection was closed inside a body");
            missing -= read;
        }
        self.first.get_or_insert_with(Instant::now);
        Ok(())
    }

    async fn chunks(&mut self) -> anyhow::Result<()> {
        loop {
            let line = loop {
                match memchr::memmem::find(&self.unread, b"\r\n") {
                    Some(end) => break self.unread.split_to(end + 2),
                    None => self.more().await?,
                }
            };
            let digits =
                line[..].split(|byte| matches!(byte, b';' | b'\r')).next().unwrap_or_default();
            let size = usize::from_str_radix(std::str::from_utf8(digits)?.trim(), 16)
                .context("a chunk's size")?;
            self.exactly(size).await?;
            while self.unread.len() < 2 {
                self.more().await?;
            }
            ensure!(
                self.unread.starts_with(b"\r\n"),
                "a chunk without an end (trailers are not expected)"
            );
            self.unread.advance(2);
            if size == 0 {
                return Ok(());
            }
        }
    }

    /// Performs the handshake of the era; the session's id, if there is one.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn greet(&mut self, endpoint: &Endpoint) -> anyhow::Result<Option<String>> {
        if endpoint.era == Era::Stateless {
            return Ok(None);
        }
        let mut request = String::new();
        endpoint.initialize().write(0, &mut request);
        let head = self.exchange(&request).await?;
        ensure!(head.status == 200, "initialize: {} {}", head.status, excerpt(&self.body));
        let session = head.session.context("initialize gave no session id")?;
        let head = self.exchange(&endpoint.initialized(&session)).await?;
        ensure!(
            head.status == 202,
            "notifications/initialized: {} {}",
            head.status,
            excerpt(&self.body)
        );
        Ok(Some(session))
    }
}

fn read_head(response: &httparse::Response<'_, '_>) -> anyhow::Result<(Head, Length)> {
    let status = response.code.unwrap_or_default();
    let (mut length, mut sse, mut session) = (None, false, None);
    for header in response.headers.iter() {
        let value = std::str::from_utf8(header.value).unwrap_or_default();
        match header.name {
            name if name.eq_ignore_ascii_case("content-length") => {
                length = Some(Length::Exactly(value.parse()?))
            }
            name if name.eq_ignore_ascii_case("transfer-encoding") => {
                length = Some(Length::Chunked)
            }
            name if name.eq_ignore_ascii_case("content-type") => {
                sse = value.starts_with("text/event-stream")
            }
            name if name.eq_ignore_ascii_case("mcp-session-id") => session = Some(value.to_owned()),
            _ => {}
        }
    }
    let length = match length {
        Some(length) => length,
        None if matches!(status, 202 | 204) => Length::Exactly(0),
        None => bail!("a response without a length"),
    };
    Ok((Head { status, sse, session }, length))
}

/// Asks until the first request of the era is answered with 200; the instant is the caller's to take.
///
/// # Errors
/// When that takes longer than `patience`.
pub async fn first_answer(endpoint: &Endpoint, patience: Duration) -> anyhow::Result<()> {
    let mut request = String::new();
    endpoint.first().write(0, &mut request);
    let asking = async {
        loop {
            if let Ok(mut connection) = Connection::open(&endpoint.authority).await
                && connection.exchange(&request).await.is_ok_and(|head| head.status == 200)
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(patience, asking)
        .await
        .with_context(|| format!("no answer from {}", endpoint.authority))
}
