//! Syslog: RFC 5424 messages with octet counting (RFC 6587) over TLS (RFC 5425).
//!
//! The protocol has no acknowledgement. So each batch has a connection of its own, which this side closes for
//! writing when all is sent; the receiver closes it when it has read all, and that is its answer.

use std::{fmt::Write, sync::Arc, time::Duration};

use audit::{
    Followed, Format,
    format::{Severity, key},
};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use upstream::{HttpClient, Reach, dial};

use super::{Syslog, deliver::Verdict};

/// From the connection's beginning to its end.
const DEADLINE: Duration = Duration::from_secs(60);
/// What a receiver may say before it closes; it has nothing to say.
const SAID: u64 = 4096;
/// "log audit"
const FACILITY: u8 = 13;

pub(super) struct SyslogSink {
    to: Syslog,
    format: Format,
    origin: String,
    host: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl SyslogSink {
    pub(super) fn new(to: Syslog, format: Format, origin: String) -> Result<SyslogSink, String> {
        let tls = match to.tls {
            true => Some(connector(&to)?),
            false => None,
        };
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = match host.trim() {
            "" => "-".to_owned(),
            host => host.to_owned(),
        };
        Ok(SyslogSink { to, format, origin, host, tls })
    }

    pub(super) async fn send(&mut self, records: &[Followed]) -> Verdict {
        let mut bytes = Vec::new();
        for record in records {
            match self.message(record) {
                Ok(message) => {
                    bytes.extend_from_slice(format!("{} ", message.len()).as_bytes());
                    bytes.extend_from_slice(message.as_bytes());
                }
                Err(fault) => return Verdict::later(fault),
            }
        }
        match tokio::time::timeout(DEADLINE, self.deliver(&bytes)).await {
            Ok(Ok(())) => Verdict::Taken(Vec::new()),
            Ok(Err(fault)) => Verdict::later(fault),
            Err(_) => Verdict::later("the receiver did not read everything in time"),
        }
    }

    fn message(&self, record: &Followed) -> Result<String, audit::AuditFault> {
        let text = self.format.render(&self.origin, record)?;
        let entry = record.entry().ok_or(audit::AuditFault::NoRecord(record.seq))?;
        let severity = match Severity::of(&entry) {
            Severity::Informational => 6,
            Severity::Low => 5,
            Severity::Medium => 4,
        };
        let mut message = String::with_capacity(text.len() + 256);
        // Writing to a String can't fail. The number is the one that RFC 5612 has for examples: a key needs one.
        let _ = write!(
            message,
            "<{}>1 {} {} bartizan {} {} [bartizan@32473 key=\"{}\"] {text}",
            FACILITY * 8 + severity,
            entry.time,
            self.host,
            std::process::id(),
            entry.kind.as_str(),
            key(&self.origin, record.seq),
        );
        Ok(message)
    }

    async fn deliver(&self, bytes: &[u8]) -> Result<(), String> {
        let Syslog { host, port, allow_private, .. } = &self.to;
        let stream = dial(host, *port, Reach::of(host, *allow_private))
            .await
            .map_err(|fault| fault.to_string())?;
        let exchanged = match &self.tls {
            None => exchange(stream, bytes).await,
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await;
                exchange(stream.map_err(|fault| format!("TLS: {fault}"))?, bytes).await
            }
        };
        exchanged.map_err(|fault| format!("{host}:{port}: {fault}"))
    }
}

/// Sends everything and waits until the peer has read it.
async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    bytes: &[u8],
) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await?;
    stream.shutdown().await?;
    let mut said = stream.take(SAID);
    match tokio::io::copy(&mut said, &mut tokio::io::sink()).await {
        // Many receivers end the connection without ending TLS first; they have read our end before.
        Err(fault) if fault.kind() != std::io::ErrorKind::UnexpectedEof => Err(fault),
        _ => Ok(()),
    }
}

fn connector(to: &Syslog) -> Result<(TlsConnector, ServerName<'static>), String> {
    let config = HttpClient::trust_in(to.ca.as_deref()).map_err(|fault| fault.to_string())?;
    let bare = to.host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(&to.host);
    let name = ServerName::try_from(bare.to_owned()).map_err(|fault| fault.to_string())?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}
