//! Batches by HTTP, and what answers mean.

use std::{io::Write, sync::Arc, time::Duration};

use audit::{Followed, Format, Journal};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use upstream::{Fetch, HttpClient};
use vault::Fetched;

use super::{Http, Receiver, deliver::Verdict, documents};
use crate::{
    exchange::OwnToken,
    secrets::{Injection, Secrets},
};

/// An answer may name each record of the batch.
const ANSWER_BYTES: usize = 4 << 20;
const DEADLINE: Duration = Duration::from_secs(60);

/// What shows who is sending.
enum Credential {
    Configured(Box<Injection>),
    Exchanged(Box<OwnToken>),
}

impl Credential {
    async fn fetch(&self) -> Result<Fetched, String> {
        match self {
            Credential::Configured(own) => own.fetch().await.map_err(|fault| fault.to_string()),
            Credential::Exchanged(own) => own.fetch().await.map_err(|fault| fault.to_string()),
        }
    }

    async fn forget(&self) {
        match self {
            Credential::Configured(own) => own.forget(),
            Credential::Exchanged(own) => own.forget().await,
        }
    }
}

pub(super) struct HttpSink {
    url: String,
    receiver: Receiver,
    credentials: Credential,
    allow_private: bool,
    client: HttpClient,
    format: Format,
    origin: String,
}

impl HttpSink {
    pub(super) fn new(
        name: &str,
        to: &Http,
        format: Format,
        journal: &Journal,
        shared: &HttpClient,
        secrets: &Arc<Secrets>,
    ) -> Result<HttpSink, String> {
        let client = match &to.ca {
            None => shared.clone(),
            Some(path) => HttpClient::trusting(path).map_err(|fault| fault.to_string())?,
        };
        let configured = vault::Credentials::new(to.credential.clone().into_iter().collect());
        let configured = configured.map_err(|fault| fault.to_string())?;
        let credentials = match &to.exchange {
            // The token endpoint's certificate is not of the receiver's authorities.
            Some(how) => {
                let (of, how, own) = (format!("export {name}"), (**how).clone(), shared.clone());
                let token = OwnToken::new(of, how, own, secrets.clone(), journal.clone());
                Credential::Exchanged(Box::new(token))
            }
            None => Credential::Configured(Box::new(Injection::new(configured, secrets.clone()))),
        };
        Ok(HttpSink {
            url: format!("{}{}", to.url.trim_end_matches('/'), path(&to.receiver)),
            receiver: to.receiver.clone(),
            credentials,
            allow_private: to.allow_private,
            client,
            format,
            origin: journal.origin().to_owned(),
        })
    }

    pub(super) async fn send(&mut self, records: &[Followed]) -> Verdict {
        let request = match self.request(records).await {
            Ok(request) => request,
            Err(why) => return Verdict::later(why),
        };
        let rules =
            Fetch { bytes: ANSWER_BYTES, deadline: DEADLINE, allow_private: self.allow_private };
        match self.client.fetch(request, rules).await {
            Ok(answer) => self.verdict(records, &answer).await,
            Err(fault) => Verdict::later(format!("{}: {fault}", self.url)),
        }
    }

    async fn request(&self, records: &[Followed]) -> Result<Request<Full<Bytes>>, String> {
        let body = documents::body(&self.receiver, self.format, &self.origin, records)?;
        let mut headers = HeaderMap::new();
        let credential = self.credentials.fetch().await?;
        credential.inject(&mut headers);
        let kind = match self.receiver {
            Receiver::Elastic { .. } => "application/x-ndjson",
            Receiver::Otlp(encoding) => encoding.media(),
            _ => "application/json",
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.url)
            .header(header::CONTENT_TYPE, kind)
            .header(header::CONTENT_ENCODING, "gzip")
            .body(Full::new(gzip(&body).map_err(|fault| fault.to_string())?))
            .map_err(|fault| format!("{}: {fault}", self.url))?;
        request.headers_mut().extend(headers);
        Ok(request)
    }

    async fn verdict(&self, records: &[Followed], answer: &Response<Bytes>) -> Verdict {
        let status = answer.status();
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => return Verdict::TooLarge,
            // What was read of the credential may be outdated.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => self.credentials.forget().await,
            _ => {}
        }
        if status.is_success() {
            return documents::answered(&self.receiver, records, answer.body());
        }
        let said = String::from_utf8_lossy(answer.body());
        let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
        let why = format!("{} answered HTTP {}: {said}", self.url, status.as_u16());
        Verdict::Later { after: retry_after(answer.headers()), why }
    }
}

/// `Retry-After` in seconds; a date is not taken.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn path(receiver: &Receiver) -> String {
    match receiver {
        Receiver::Azure { rule, stream } => {
            format!("/dataCollectionRules/{rule}/streams/{stream}?api-version=2023-01-01")
        }
        Receiver::Elastic { .. } => "/_bulk".to_owned(),
        Receiver::Otlp(_) => "/v1/logs".to_owned(),
        Receiver::Splunk => "/services/collector/event".to_owned(),
    }
}

fn gzip(body: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body)?;
    Ok(encoder.finish()?.into())
}
