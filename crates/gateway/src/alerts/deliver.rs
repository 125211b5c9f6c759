//! Telling somebody: a webhook, a mail server, a command.

use std::{
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    process::Stdio,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use lettre::{
    Message,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::{Credentials, Mechanism},
        client::{
            AsyncSmtpConnection, AsyncTokioStream, Certificate, CertificateStore, TlsParameters,
        },
        extension::ClientId,
    },
};
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    process::Command,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use upstream::{Fetch, HttpClient, Reach};

use super::rule::Alert;
use crate::secrets::Secrets;

/// How long one delivery may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// Who is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A program that gets the alert on standard input.
    Command {
        /// The program.
        program: String,
        /// Its arguments.
        args: Vec<String>,
    },
    /// A mail server.
    Mail(Mail),
    /// An HTTP endpoint.
    Webhook {
        /// Where.
        url: Uri,
        /// What the signature is made with.
        secret: Option<vault::Reference>,
        /// The named loosening: its address need not be public.
        allow_private: bool,
    },
}

/// A mail server, and who gets mail.
#[derive(Clone, Debug, PartialEq)]
pub struct Mail {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: MailTls,
    /// The sender.
    pub from: Mailbox,
    /// Who gets it.
    pub to: Vec<Mailbox>,
    /// The authorities of its certificate, instead of the system's.
    pub ca: Option<PathBuf>,
    /// User name and password.
    pub login: Option<(String, vault::Reference)>,
    /// The named loosening: its address need not be public.
    pub allow_private: bool,
}

/// How the connection to a mail server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// The named loosening: not at all.
    Off,
    /// From the first byte (RFC 8314 §3.3).
    Implicit,
    /// After STARTTLS.
    StartTls,
}

impl Target {
    fn name(&self) -> &'static str {
        match self {
            Target::Command { .. } => "command",
            Target::Mail(_) => "mail",
            Target::Webhook { .. } => "webhook",
        }
    }
}

/// Brings alerts to their targets.
pub(super) struct Postman {
    client: HttpClient,
    secrets: Arc<Secrets>,
    targets: Vec<Target>,
}

impl Postman {
    pub fn new(client: HttpClient, secrets: Arc<Secrets>, targets: Vec<Target>) -> Postman {
        Postman { client, secrets, targets }
    }

    pub fn names(&self) -> Vec<&'static str> {
        self.targets.iter().map(Target::name).collect()
    }

    /// Done when the other side took it.
    pub async fn deliver(&self, name: &str, alert: &Alert) -> Result<(), String> {
        // A target that is configured no longer wants nothing.
        let Some(target) = self.targets.iter().find(|target| target.name() == name) else {
            return Ok(());
        };
        let told = async {
            match target {
                Target::Command { program, args } => command(program, args, alert).await,
                Target::Mail(mail) => send_mail(mail, &self.secrets, alert).await,
                Target::Webhook { url, secret, allow_private } => {
                    self.webhook(url, secret.as_ref(), *allow_private, alert).await
                }
            }
        };
        let told = tokio::time::timeout(DEADLINE, told).await;
        told.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    /// Signed as <https://www.standardwebhooks.com> says.
    async fn webhook(
        &self,
        url: &Uri,
        secret: Option<&vault::Reference>,
        allow_private: bool,
        alert: &Alert,
    ) -> Result<(), String> {
        let body = body(alert);
        let time = crate::now().to_string();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", &alert.id)
            .header("webhook-timestamp", &time);
        if let Some(secret) = secret {
            let given = self.secrets.resolve(secret).await.map_err(|fault| fault.to_string())?;
            let signature = signature(given.secret.expose(), &alert.id, &time, &body);
            let value = HeaderValue::from_str(&signature).map_err(|fault| fault.to_string())?;
            request = request.header("webhook-signature", value);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|f| f.to_string())?;
        let rules = Fetch { bytes: 64 << 10, deadline: DEADLINE, allow_private };
        match self.client.fetch(request, rules).await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("it answered {}", answer.status())),
            Err(fault) => Err(fault.to_string()),
        }
    }
}

fn body(alert: &Alert) -> String {
    json!({"type": "bartizan.alert", "timestamp": alert.time, "data": alert}).to_string()
}

/// A secret that begins with `whsec_` is base64 behind that; any other is used as it is.
fn signature(secret: &str, id: &str, time: &str, body: &str) -> String {
    let decoded = secret.strip_prefix("whsec_").and_then(|text| BASE64_STANDARD.decode(text).ok());
    let key = decoded.as_deref().unwrap_or(secret.as_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, format!("{id}.{time}.{body}").as_bytes());
    format!("v1,{}", BASE64_STANDARD.encode(tag))
}

/// The command sees the alert and none of the gateway's environment but the path.
async fn command(program: &str, args: &[String], alert: &Alert) -> Result<(), String> {
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|fault| format!("{program}: {fault}"))?;
    if let Some(mut input) = child.stdin.take() {
        // One that does not read its input is told by its exit status.
        let _ = input.write_all(body(alert).as_bytes()).await;
    }
    let status = child.wait().await.map_err(|fault| format!("{program}: {fault}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program}: {status}")) }
}

async fn send_mail(mail: &Mail, secrets: &Secrets, alert: &Alert) -> Result<(), String> {
    let message = message(mail, alert).map_err(|fault| fault.to_string())?;
    let stream =
        upstream::dial(&mail.host, mail.port, Reach::of(&mail.host, mail.allow_private)).await;
    let stream = stream.map_err(|fault| fault.to_string())?;
    let stream: Box<dyn AsyncTokioStream> = match mail.tls {
        MailTls::Implicit => Box::new(Encrypted(encrypted(mail, stream).await?)),
        MailTls::Off | MailTls::StartTls => Box::new(stream),
    };
    let fault = |fault: lettre::transport::smtp::Error| fault.to_string();
    let hello = ClientId::default();
    let mut server =
        AsyncSmtpConnection::connect_with_transport(stream, &hello).await.map_err(fault)?;
    if mail.tls == MailTls::StartTls {
        let parameters = TlsParameters::builder(mail.host.clone());
        let parameters = match &mail.ca {
            None => parameters,
            Some(path) => {
                let pem = std::fs::read(path).map_err(|fault| unread(path, &fault))?;
                let authority = Certificate::from_pem(&pem).map_err(|f| unread(path, &f))?;
                parameters.certificate_store(CertificateStore::None).add_root_certificate(authority)
            }
        };
        let parameters = parameters.build_rustls().map_err(fault)?;
        server.starttls(parameters, &hello).await.map_err(fault)?;
    }
    if let Some((user, password)) = &mail.login {
        let given = secrets.resolve(password).await.map_err(|fault| fault.to_string())?;
        let credentials = Credentials::new(user.clone(), given.secret.expose().to_owned());
        server.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await.map_err(fault)?;
    }
    server.send(message.envelope(), &message.formatted()).await.map_err(fault)?;
    let _ = server.quit().await;
    Ok(())
}

fn unread(path: &Path, fault: &dyn fmt::Display) -> String {
    format!("{}: {fault}", path.display())
}

/// TLS from the first byte.
async fn encrypted(mail: &Mail, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
    let config = HttpClient::trust_in(mail.ca.as_deref()).map_err(|fault| fault.to_string())?;
    let name = ServerName::try_from(mail.host.clone()).map_err(|fault| fault.to_string())?;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    connected.map_err(|fault| format!("TLS: {fault}"))
}

/// As the library wants a connection that it did not make.
#[derive(Debug)]
struct Encrypted(TlsStream<TcpStream>);

impl AsyncTokioStream for Encrypted {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().0.peer_addr()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

fn message(mail: &Mail, alert: &Alert) -> Result<Message, lettre::error::Error> {
    let mut message = Message::builder()
        .from(mail.from.clone())
        .subject(format!("Bartizan: {}", alert.rule))
        // The same alert told twice is one message to whoever looks at ids.
        .message_id(Some(format!("<{}@bartizan>", alert.id)))
        .header(ContentType::TEXT_PLAIN);
    for to in &mail.to {
        message = message.to(to.clone());
    }
    let records: Vec<String> = alert.records.iter().map(u64::to_string).collect();
    let Alert { text, time, .. } = alert;
    message.body(format!(
        "{text}\n\ntime: {time}\nrecords: {}\n\nbartizan audit search, or bartizan audit prove RECORD, show them.\n",
        records.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhooks_are_signed_as_the_standard_says() {
        // The example of the specification's own libraries.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let (id, time) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330");
        let signed = signature(secret, id, time, r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
