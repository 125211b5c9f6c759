//! A client for the terminal: the stateless revision of the protocol, line by line.

use mcp::{Json, JsonBuf, Limits, Message, Version, meta, quote};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

/// Times that a server may ask back during one call.
const ROUNDS: usize = 20;
/// Pages of one list.
const PAGES: usize = 1000;
/// The gateway has its own limits; this one only bounds what a broken one could do to us.
const LIMITS: Limits = Limits { bytes: 1 << 30, depth: 512, values: 50_000_000 };

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientFault {
    /// The channel closed.
    #[error("the gateway closed the connection")]
    Closed,
    /// The channel broke.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Not what the protocol allows.
    #[error("the gateway's answer makes no sense: {0}")]
    Nonsense(String),
    /// An error as the answer.
    #[error("{message}")]
    Refused { code: i64, message: String },
}

/// Who answers what a server asks during a call, and hears of its progress.
pub trait Listener {
    /// The result of an `elicitation/create` with these params.
    fn elicit(&mut self, params: Json<'_>) -> String;
    /// A notification.
    fn hear(&mut self, method: &str, params: Json<'_>);
}

/// For requests during which nothing is asked.
pub struct Nobody;

impl Listener for Nobody {
    fn elicit(&mut self, _: Json<'_>) -> String {
        DECLINED.to_owned()
    }

    fn hear(&mut self, _: &str, _: Json<'_>) {}
}

/// What is answered when nobody can be asked.
pub const DECLINED: &str = r#"{"action":"decline"}"#;

/// The client.
pub struct Client {
    read: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    write: Box<dyn AsyncWrite + Send + Unpin>,
    sent: u64,
}

impl Client {
    /// Over any channel.
    pub fn new(
        read: Box<dyn AsyncRead + Send + Unpin>,
        write: Box<dyn AsyncWrite + Send + Unpin>,
    ) -> Self {
        Client { read: BufReader::new(read), write, sent: 0 }
    }

    /// Calls a tool; `arguments` is a JSON object.
    pub async fn call_tool(
        &mut self,
        tool: &str,
        arguments: Json<'_>,
        listener: &mut (dyn Listener + Send),
    ) -> Result<JsonBuf, ClientFault> {
        let members = format!("\"name\":{},\"arguments\":{}", quote(tool), arguments.text());
        let mut again = String::new();
        for _ in 0..ROUNDS {
            let result = self.request("tools/call", &format!("{members}{again}"), listener).await?;
            let json = result.json();
            if json.get("resultType").and_then(Json::string).as_deref() != Some("input_required") {
                return Ok(result);
            }
            again = answers(json, listener);
        }
        Err(ClientFault::Nonsense(format!("asked back more than {ROUNDS} times")))
    }

    /// All items of a list, and the gateway's warnings about it.
    pub async fn list(
        &mut self,
        method: &str,
        member: &str,
    ) -> Result<(Vec<JsonBuf>, Vec<String>), ClientFault> {
        let (mut items, mut warnings, mut page) = (Vec::new(), Vec::new(), String::new());
        for _ in 0..PAGES {
            let result = self.request(method, &page, &mut Nobody).await?;
            let json = result.json();
            items.extend(
                json.get(member).into_iter().flat_map(Json::items).map(|item| result.share(item)),
            );
            let told = json.get(meta::META).and_then(|meta| meta.get(meta::WARNINGS));
            warnings.extend(
                told.into_iter()
                    .flat_map(Json::items)
                    .filter_map(Json::string)
                    .map(|text| text.into_owned()),
            );
            match json.get("nextCursor").and_then(Json::string) {
                Some(cursor) => page = format!("\"cursor\":{}", quote(&cursor)),
                None => break,
            }
        }
        Ok((items, warnings))
    }

    /// One request during which nothing is asked.
    pub async fn ask(&mut self, method: &str, members: &str) -> Result<JsonBuf, ClientFault> {
        self.request(method, members, &mut Nobody).await
    }

    /// Has the gateway ask what stands behind it.
    pub async fn introduction(&mut self) -> Result<(), ClientFault> {
        self.request("server/discover", "", &mut Nobody).await.map(drop)
    }

    /// One request; `members` are those of its params but `_meta`.
    async fn request(
        &mut self,
        method: &str,
        members: &str,
        listener: &mut (dyn Listener + Send),
    ) -> Result<JsonBuf, ClientFault> {
        self.sent += 1;
        let id = self.sent.to_string();
        let comma = if members.is_empty() { "" } else { "," };
        let params = format!("{{{members}{comma}{}:{}}}", quote(meta::META), own_meta(&id));
        let mut line = mcp::request(&id, method, &params).replace(['\n', '\r'], " ");
        line.push('\n');
        self.write.write_all(line.as_bytes()).await?;
        self.write.flush().await?;
        loop {
            let message = self.message().await?;
            match Message::of(message.json()) {
                Ok(Message::Notification(notification)) => {
                    listener.hear(&notification.method, notification.params)
                }
                Ok(Message::Response(response)) if response.id.is_none_or(|of| of.raw() == id) => {
                    return response.outcome.map(|result| message.share(result)).map_err(refused);
                }
                Ok(_) => {}
                Err(fault) => return Err(ClientFault::Nonsense(fault.to_string())),
            }
        }
    }

    async fn message(&mut self) -> Result<JsonBuf, ClientFault> {
        let mut line = Vec::new();
        if self.read.read_until(b'\n', &mut line).await? == 0 {
            return Err(ClientFault::Closed);
        }
        JsonBuf::read(line.into(), &LIMITS)
            .map_err(|fault| ClientFault::Nonsense(fault.to_string()))
    }
}

fn own_meta(id: &str) -> String {
    format!(
        "{{{}:{},{}:{{\"elicitation\":{{\"form\":{{}}}}}},{}:{{\"name\":\"bartizan-cli\",\"version\":{}}},{}:\"info\",{}:{id}}}",
        quote(meta::PROTOCOL_VERSION),
        quote(Version::LAST_STATELESS.as_str()),
        quote(meta::CLIENT_CAPABILITIES),
        quote(meta::CLIENT_INFO),
        quote(env!("CARGO_PKG_VERSION")),
        quote(meta::LOG_LEVEL),
        quote(meta::PROGRESS_TOKEN),
    )
}

fn refused(error: Json<'_>) -> ClientFault {
    let code = error.get("code").and_then(Json::integer).unwrap_or_default();
    let message = error.get("message").and_then(Json::string).unwrap_or_default();
    ClientFault::Refused { code, message: message.into_owned() }
}

/// The members that the next round brings: an answer to each question, and the state as it came.
fn answers(result: Json<'_>, listener: &mut (dyn Listener + Send)) -> String {
    let mut answers = Vec::new();
    for (key, question) in result.get("inputRequests").into_iter().flat_map(Json::members) {
        let method = question.get("method").and_then(Json::string);
        // What else there is, was not declared; no answer leaves it to the server.
        if method.as_deref() == Some("elicitation/create") {
            let answer = listener.elicit(question.get("params").unwrap_or(Json::EMPTY));
            answers.push(format!("{}:{answer}", quote(&key)));
        }
    }
    let state = result
        .get("requestState")
        .map(|state| format!(",\"requestState\":{}", state.text()))
        .unwrap_or_default();
    format!(",\"inputResponses\":{{{}}}{state}", answers.join(","))
}
