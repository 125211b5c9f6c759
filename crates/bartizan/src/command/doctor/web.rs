//! The doctor's requests: by the same guarded client as the gateway's, with every answer looked at.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use gateway::secrets::Secrets;
use http::{Request, Response, header};
use http_body_util::Full;
use jiff::{Timestamp, fmt::strtime};
use serde_json::Value;
use upstream::{Fetch, HttpClient, LinkFault};

use super::aadsts;

/// The longest answer, in bytes.
const BYTES: usize = 1 << 20;
const DEADLINE: Duration = Duration::from_secs(10);

/// Asks what the gateway would ask.
pub struct Web {
    client: HttpClient,
    pub secrets: Arc<Secrets>,
    pub allow_private: bool,
}

/// What came back.
pub struct Reply {
    pub status: u16,
    pub body: Bytes,
    /// When the other side says that it is.
    pub date: Option<Timestamp>,
    /// Where it sends a browser.
    pub location: Option<String>,
}

impl Web {
    pub fn new(client: &HttpClient, secrets: &Arc<Secrets>, allow_private: bool) -> Web {
        Web { client: client.clone(), secrets: secrets.clone(), allow_private }
    }

    pub async fn get(&self, url: &str) -> Result<Reply, Unreached> {
        self.send(url, Request::get(url).body(Full::default())).await
    }

    pub async fn get_as(&self, url: &str, token: &str) -> Result<Reply, Unreached> {
        let request = Request::get(url).header(header::AUTHORIZATION, format!("Bearer {token}"));
        self.send(url, request.body(Full::default())).await
    }

    pub async fn post_as(&self, url: &str, token: &str, json: String) -> Result<Reply, Unreached> {
        let request = Request::post(url)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json");
        self.send(url, request.body(Full::from(json))).await
    }

    /// What proves the gateway at a token endpoint, or why it can't.
    pub async fn prove(
        &self,
        client_id: &str,
        proof: &gateway::config::ClientProof,
        endpoint: &str,
    ) -> Result<Vec<(&'static str, String)>, String> {
        gateway::exchange::prove(client_id, proof, endpoint, &self.client, &self.secrets).await
    }

    /// A form, as token endpoints take it.
    pub async fn post(&self, url: &str, form: &[(&str, &str)]) -> Result<Reply, Unreached> {
        self.form(url, query(form)).await
    }

    /// The same, made as the gateway makes it.
    pub async fn send_form(&self, form: vault::oauth::Form) -> Result<Reply, Unreached> {
        self.form(form.url.as_str(), form.body.expose().to_owned()).await
    }

    async fn form(&self, url: &str, body: String) -> Result<Reply, Unreached> {
        let request = Request::post(url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json");
        self.send(url, request.body(Full::from(body))).await
    }

    async fn send(
        &self,
        url: &str,
        request: Result<Request<Full<Bytes>>, http::Error>,
    ) -> Result<Reply, Unreached> {
        let unreached = |fault: LinkFault| Unreached { url: url.to_owned(), fault };
        let request = request.map_err(|e| unreached(LinkFault::Unreachable(e.to_string())))?;
        let rules = Fetch { bytes: BYTES, deadline: DEADLINE, allow_private: self.allow_private };
        Ok(Reply::read(self.client.fetch(request, rules).await.map_err(unreached)?))
    }
}

impl Reply {
    fn read(response: Response<Bytes>) -> Reply {
        let (head, body) = response.into_parts();
        let text =
            |name| head.headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        // IMF-fixdate of RFC 9110 §5.6.7.
        let date = text(header::DATE)
            .and_then(|date| strtime::parse("%a, %d %b %Y %H:%M:%S GMT", date).ok())
            .and_then(|parsed| parsed.to_datetime().ok())
            .and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC).ok())
            .map(|time| time.timestamp());
        let location = text(header::LOCATION).map(str::to_owned);
        Reply { status: head.status.as_u16(), body, date, location }
    }

    /// The body, if it is JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The first line of what an error says, with its number: of an OAuth error, of Graph's, or of a page.
    pub fn complaint(&self) -> String {
        let json = self.json();
        let said = [&json["error_description"], &json["error"]["message"], &json["error"]]
            .into_iter()
            .find_map(|value| value.as_str().map(str::to_owned));
        let said = said.unwrap_or_else(|| on_page(&self.body));
        let line: String = said.lines().next().unwrap_or_default().chars().take(300).collect();
        if line.is_empty() { format!("HTTP {}", self.status) } else { line }
    }
}

/// Entra's number in a page for people, with its sentence.
fn on_page(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let found = text.find("AADSTS").and_then(|at| text.get(at..));
    let found = found.filter(|found| aadsts::code(found).is_some()).unwrap_or_default();
    found.split(['<', '\\', '"']).next().unwrap_or_default().to_owned()
}

/// Names and values, encoded.
pub fn query(pairs: &[(&str, &str)]) -> String {
    let encode = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let pairs = pairs.iter().map(|(name, value)| format!("{name}={}", encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// What could not be asked.
pub struct Unreached {
    url: String,
    fault: LinkFault,
}

impl Unreached {
    pub fn found(&self) -> String {
        format!("{}: {}", self.url, self.fault)
    }

    /// What lets it be reached.
    pub fn mend(&self) -> &'static str {
        match &self.fault {
            LinkFault::Forbidden(_) => {
                "allow-private = true, if it is meant to be at a private address"
            }
            LinkFault::Deadline => {
                "a firewall may drop it: let this machine reach the host by HTTPS"
            }
            LinkFault::Unreachable(why) if why.contains("ertificate") => {
                "this machine does not trust the certificate: add its authority to the system's, or name it in SSL_CERT_FILE"
            }
            _ => {
                "check the name, the network and the firewall: this machine must reach the host by HTTPS"
            }
        }
    }
}
