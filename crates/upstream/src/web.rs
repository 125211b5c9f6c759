//! A handshake session over HTTP: Streamable HTTP (2025-03-26 and later), and the HTTP+SSE pair of 2024-11-05.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, Uri};
use hyper::body::Incoming;
use mcp::Version;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::call::lock;
use crate::detect::{self, METHOD_NOT_FOUND};
use crate::post::{Http, MCP_PROTOCOL_VERSION, MCP_SESSION_ID};
use crate::reply::{self, Reply, Stream};
use crate::session::{Session, Wire};
use crate::{Credential, LinkFault};

/// What a notification or an answer may take.
const SAY: Duration = Duration::from_secs(10);
/// What a DELETE may take while others wait for the shutdown.
const LEAVE: Duration = Duration::from_secs(2);
/// Notifications under way at once; more are dropped.
const TELLS: usize = 64;
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LEAST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(30);

/// The HTTP side of a handshake session.
pub(crate) struct Web {
    http: Arc<Http>,
    /// Where POSTs go: the target itself, or the endpoint that an HTTP+SSE server named.
    post_to: Uri,
    /// HTTP+SSE: every answer comes on the one stream.
    pair: bool,
    id: OnceLock<HeaderValue>,
    version: OnceLock<HeaderValue>,
    /// The newest one that a call brought: the session's own requests use it. A call's go out with the call's.
    credential: Mutex<Credential>,
    /// The GET stream's task.
    stream: Mutex<Option<AbortHandle>>,
    gone: AtomicBool,
    tells: Arc<Semaphore>,
}

/// Without the session id and the credential.
impl std::fmt::Debug for Web {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Web")
            .field("pair", &self.pair)
            .field("gone", &self.gone)
            .finish_non_exhaustive()
    }
}

impl Web {
    pub fn new(http: Arc<Http>, credential: Credential) -> Web {
        let post_to = http.target.url.clone();
        Web {
            http,
            post_to,
            pair: false,
            id: OnceLock::new(),
            version: OnceLock::new(),
            credential: Mutex::new(credential),
            stream: Mutex::new(None),
            gone: AtomicBool::new(false),
            tells: Arc::new(Semaphore::new(TELLS)),
        }
    }

    /// The 2024-11-05 pair: opens the stream and learns where to post.
    pub async fn pair(
        http: Arc<Http>,
        credential: Credential,
    ) -> Result<(Web, Box<Stream>), LinkFault> {
        let mut web = Web::new(http, credential);
        web.pair = true;
        let Reply::Stream(mut stream) = web.get(None, None).await? else {
            return Err(LinkFault::Garbage("no event stream".into()));
        };
        let named = loop {
            match stream.event().await? {
                Some(event) if event.name == "endpoint" => break event.data,
                Some(_) => {}
                None => return Err(LinkFault::Garbage("no endpoint event".into())),
            }
        };
        let named = std::str::from_utf8(&named).unwrap_or_default();
        web.post_to = same_origin(&web.http.target.url, named.trim())
            .ok_or_else(|| LinkFault::Forbidden("the endpoint is of another origin".into()))?;
        Ok((web, stream))
    }

    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    pub fn answers_elsewhere(&self) -> bool {
        self.pair
    }

    pub fn set_version(&self, version: Version) {
        let _ = self.version.set(HeaderValue::from_static(version.as_str()));
    }

    pub fn set_credential(&self, credential: &Credential) {
        lock(&self.credential).clone_from(credential);
    }

    /// A call's own, or the session's.
    fn credential(&self, calls: Option<&Credential>) -> Credential {
        calls.cloned().unwrap_or_else(|| lock(&self.credential).clone())
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(10);
        if let Some(id) = self.id.get() {
            headers.insert(MCP_SESSION_ID, id.clone());
        }
        if let Some(version) = self.version.get() {
            headers.insert(MCP_PROTOCOL_VERSION, version.clone());
        }
        headers
    }

    /// With a call's credential, or the session's.
    pub async fn post(
        &self,
        body: Bytes,
        credential: Option<&Credential>,
    ) -> Result<Reply, LinkFault> {
        let request = self.http.request(Method::POST, &self.post_to, self.headers(), body);
        let credential = self.credential(credential);
        let response = self.http.send(request, &credential).await?;
        self.read(response).await
    }

    /// A stream: the session's own, or the rest of a broken one.
    pub async fn get(
        &self,
        last: Option<&str>,
        credential: Option<&Credential>,
    ) -> Result<Reply, LinkFault> {
        self.opening(last, credential).await
    }

    /// As `get`, without a hold on the session.
    fn opening(
        &self,
        last: Option<&str>,
        credential: Option<&Credential>,
    ) -> impl Future<Output = Result<Reply, LinkFault>> + use<> {
        let request = self.http.get(&self.http.target.url, self.headers(), last);
        let (http, credential) = (self.http.clone(), self.credential(credential));
        async move {
            let response = http.send(request, &credential).await?;
            reply::read(response, http.limit).await
        }
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Reply, LinkFault> {
        if self.id.get().is_none()
            && let Some(id) = response.headers().get(MCP_SESSION_ID)
        {
            let mut id = id.clone();
            id.set_sensitive(true); // kept out of header tables and Debug output
            let _ = self.id.set(id);
        }
        let reply = reply::read(response, self.http.limit).await?;
        // A server that forgot the session says 404; the next call begins a new one. Some say 404 for
        // an unknown method too, and then the session lives.
        if let Reply::Refused(refusal) = &reply
            && refusal.status == http::StatusCode::NOT_FOUND
            && refusal.error().as_ref().and_then(detect::code) != Some(METHOD_NOT_FOUND)
            && self.id.get().is_some()
        {
            self.gone.store(true, Ordering::Relaxed);
        }
        Ok(reply)
    }

    /// Sends a notification or a response; the server must take it.
    pub async fn say(
        &self,
        message: Bytes,
        credential: Option<&Credential>,
    ) -> Result<(), LinkFault> {
        match timeout(SAY, self.post(message, credential)).await {
            Ok(Ok(Reply::Refused(refusal))) => Err(refusal.fault()),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(fault)) => Err(fault),
            Err(_) => Err(LinkFault::Deadline),
        }
    }

    /// Sends it in the background.
    pub fn tell(&self, message: Bytes, credential: Option<&Credential>) {
        let request = self.http.request(Method::POST, &self.post_to, self.headers(), message);
        self.background(request, self.credential(credential));
    }

    /// The request that ends the session at the server; once, and only if there is one.
    fn farewell(&self) -> Option<http::Request<Bytes>> {
        let gone = self.gone.swap(true, Ordering::Relaxed);
        self.id.get().filter(|_| !gone)?;
        let url = &self.http.target.url;
        Some(self.http.request(Method::DELETE, url, self.headers(), Bytes::new()))
    }

    /// Ends the session and waits until the server knows.
    pub async fn leave(&self) {
        if let Some(request) = self.farewell() {
            let credential = self.credential(None);
            let _ = timeout(LEAVE, self.http.send(request, &credential)).await;
        }
    }

    fn background(&self, request: http::Request<Bytes>, credential: Credential) {
        // Outside a runtime (a drop at the very end) there is nobody to send it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let Ok(permit) = self.tells.clone().try_acquire_owned() else { return };
        let http = self.http.clone();
        runtime.spawn(async move {
            let _permit = permit;
            if let Ok(Ok(response)) = timeout(SAY, http.send(request, &credential)).await {
                // Read to its end, so that the connection can be used again.
                let _ = timeout(SAY, reply::read(response, http.limit)).await;
            }
        });
    }

    /// Ends it: the stream closed, the server told in the background.
    pub fn end(&self) {
        if let Some(task) = lock(&self.stream).take() {
            task.abort();
        }
        if let Some(request) = self.farewell() {
            self.background(request, self.credential(None));
        }
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.end();
    }
}

/// Opens the stream on which a server speaks unasked, once a session.
pub(crate) fn open_stream(session: &Arc<Session>) {
    if let Wire::Web(web) = &session.wire
        && !web.pair
    {
        let mut task = lock(&web.stream);
        if task.is_none() {
            *task = Some(tokio::spawn(keep_stream(Arc::downgrade(session))).abort_handle());
        }
    }
}

/// Reads the one stream of an HTTP+SSE session; its end is the session's.
pub(crate) fn read_pair(session: &Arc<Session>, mut stream: Box<Stream>) {
    let Wire::Web(web) = &session.wire else { return };
    let weak = Arc::downgrade(session);
    let task = tokio::spawn(async move {
        pump(&weak, &mut stream).await;
        if let Some(session) = weak.upgrade() {
            session.close(&LinkFault::Lost("the event stream ended".into()));
        }
    });
    *lock(&web.stream) = Some(task.abort_handle());
}

/// Reads the GET stream of a session, and opens it again when it ends, until the server says that it has none.
async fn keep_stream(session: Weak<Session>) {
    let mut last: Option<String> = None;
    let mut pause = RETRY_FIRST;
    loop {
        let opening = match session.upgrade().as_deref() {
            Some(Session { wire: Wire::Web(web), .. }) if !web.is_gone() => {
                web.opening(last.as_deref(), None)
            }
            _ => return,
        };
        match opening.await {
            Ok(Reply::Stream(mut stream)) => {
                pump(&session, &mut stream).await;
                if stream.last_id.is_some() {
                    last = stream.last_id;
                }
                pause = retry_pause(stream.retry);
            }
            Ok(Reply::Refused(refusal)) if refusal.status == http::StatusCode::NOT_FOUND => {
                if let Some(session) = session.upgrade()
                    && let Wire::Web(web) = &session.wire
                    && web.id.get().is_some()
                {
                    session.close(&LinkFault::Lost("the server forgot the session".into()));
                }
                return;
            }
            // 405: it has none. Other refusals will not mend by asking again.
            Ok(Reply::Refused(refusal)) if refusal.status.is_client_error() => return,
            Ok(_) | Err(_) => pause = (pause * 2).min(RETRY_LAST),
        }
        sleep(pause).await;
    }
}

/// How long to wait before a stream is opened again: what its server wishes (`retry`, in ms), within
/// bounds. A wish of 0 would make a loop without rest of it.
pub(crate) fn retry_pause(wish: Option<u64>) -> Duration {
    wish.map_or(RETRY_FIRST, Duration::from_millis).clamp(RETRY_LEAST, RETRY_LAST)
}

/// Routes a stream's messages until it ends.
async fn pump(session: &Weak<Session>, stream: &mut Stream) {
    loop {
        let message = stream.message().await;
        let Some(session) = session.upgrade() else { return };
        match message {
            Ok(Some(message)) => drop(session.route(&message, None)),
            Ok(None) => return,
            Err(fault) => {
                if matches!(fault, LinkFault::Garbage(_)) {
                    session.counters.garbage();
                }
                tracing::debug!(server = %session.name, %fault, "event stream");
                return;
            }
        }
    }
}

/// A reference on the same scheme, host and port.
fn same_origin(base: &Uri, reference: &str) -> Option<Uri> {
    let (scheme, authority) = (base.scheme()?, base.authority()?);
    if reference.starts_with('/') && !reference.starts_with("//") {
        let built = Uri::builder().scheme(scheme.clone()).authority(authority.clone());
        return built.path_and_query(reference).build().ok();
    }
    let other: Uri = reference.parse().ok()?;
    let port = |uri: &Uri| uri.port_u16().or((uri.scheme_str() == Some("https")).then_some(443));
    let same = other.scheme() == Some(scheme)
        && other.authority()?.host().eq_ignore_ascii_case(authority.host())
        && !other.authority()?.as_str().contains('@')
        && port(&other).unwrap_or(80) == port(base).unwrap_or(80);
    same.then_some(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_pauses() {
        let pause = |wish| retry_pause(wish).as_millis();
        assert_eq!(pause(None), 1000);
        assert_eq!((pause(Some(0)), pause(Some(500)), pause(Some(700))), (500, 500, 700));
        assert_eq!(pause(Some(u64::MAX)), 30_000);
    }

    #[test]
    fn endpoints() {
        let base: Uri = "http://h.example:8080/sse".parse().unwrap();
        let same = |reference| same_origin(&base, reference).map(|uri| uri.to_string());
        assert_eq!(same("/messages?s=1").as_deref(), Some("http://h.example:8080/messages?s=1"));
        assert_eq!(same("http://H.example:8080/m").as_deref(), Some("http://H.example:8080/m"));
        for foreign in [
            "http://h.example/m",
            "https://h.example:8080/m",
            "//evil.example/m",
            "http://evil.example:8080/m",
            "http://u@h.example:8080/m",
            "messages",
            "",
        ] {
            assert_eq!(same(foreign), None, "{foreign}");
        }
        let tls: Uri = "https://h.example/sse".parse().unwrap();
        assert!(same_origin(&tls, "https://h.example:443/m").is_some());
    }
}
