//! A small MCP server on standard input and output, so that the first call works on a bare machine.
//! It speaks both eras, on nothing but the `mcp` crate.

use std::{
    collections::HashMap,
    io::{self, BufRead, Write},
};

use mcp::{
    Code, Era, Id, Json, Limits, Message, Method, Request, Response, RpcError, Version,
    error_reply, meta, quote, request, result_reply,
};

const TOOLS: &str = r#"[
{"name":"add","title":"Add two numbers","description":"Adds a and b.","inputSchema":{"type":"object","properties":{"a":{"type":"number","description":"the first"},"b":{"type":"number","description":"the second"}},"required":["a","b"]},"annotations":{"readOnlyHint":true,"openWorldHint":false}},
{"name":"echo","title":"Echo","description":"Returns the given text.","inputSchema":{"type":"object","properties":{"text":{"type":"string","description":"any text"}},"required":["text"]},"annotations":{"readOnlyHint":true,"openWorldHint":false}},
{"name":"greet","title":"Greet","description":"Asks for your name, then greets you by it.","inputSchema":{"type":"object","properties":{}},"annotations":{"readOnlyHint":true,"openWorldHint":false}},
{"name":"time","title":"Time","description":"Tells the time, in UTC.","inputSchema":{"type":"object","properties":{}},"annotations":{"readOnlyHint":true,"openWorldHint":false}}
]"#;

/// What `greet` asks, as the parameters of `elicitation/create`.
const QUESTION: &str = r#"{"mode":"form","message":"What is your name?","requestedSchema":{"type":"object","properties":{"name":{"type":"string","title":"Name","maxLength":100}},"required":["name"]}}"#;

/// Calls of a handshake client that wait for its answer; more are not asked at once.
const WAITING: usize = 100;

/// Serves until standard input ends.
pub fn run() -> io::Result<()> {
    let mut demo = Demo { version: None, can_ask: false, asked: 0, waiting: HashMap::new() };
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        if let Some(reply) = demo.answer(line.as_bytes()) {
            // One message is one line, whatever line breaks its parts had.
            writeln!(out, "{}", reply.replace('\n', ""))?;
            out.flush()?;
        }
    }
    Ok(())
}

struct Demo {
    /// Agreed on by `initialize`.
    version: Option<Version>,
    /// Whether the handshake client can be asked.
    can_ask: bool,
    asked: u64,
    /// Our question's id → the call that waits.
    waiting: HashMap<String, String>,
}

impl Demo {
    fn answer(&mut self, line: &[u8]) -> Option<String> {
        let json = match Json::read(line, &Limits::default()) {
            Ok(json) => json,
            Err(fault) => {
                return Some(error_reply(None, &RpcError::new(Code::Parse, fault.to_string())));
            }
        };
        match Message::of(json) {
            Ok(Message::Request(request)) => self.request(&request),
            Ok(Message::Response(response)) => self.response(&response),
            Ok(Message::Notification(_)) => None,
            Err(fault) => {
                Some(error_reply(None, &RpcError::new(Code::InvalidRequest, fault.to_string())))
            }
        }
    }

    fn request(&mut self, request: &Request<'_>) -> Option<String> {
        let stated = request
            .params
            .get(meta::META)
            .and_then(|meta| meta.get(meta::PROTOCOL_VERSION))
            .and_then(Json::string);
        let outcome = match stated {
            Some(version)
                if Version::parse(&version)
                    .is_some_and(|version| version.era() == Era::Stateless) =>
            {
                stateless(request)
            }
            Some(version) => Err(unsupported(&version)),
            None => self.handshake(request),
        };
        Some(match outcome {
            Ok(Outcome::Result(result)) => result_reply(request.id.raw(), &result),
            Ok(Outcome::Ask(question)) => question,
            Err(error) => error_reply(Some(request.id.raw()), &error),
        })
    }

    fn handshake(&mut self, request: &Request<'_>) -> Result<Outcome, RpcError> {
        let method = Method::of(&request.method);
        if method == Method::Initialize {
            return Ok(Outcome::Result(self.initialize(request.params)));
        }
        if method == Method::Ping {
            return Ok(Outcome::Result("{}".to_owned()));
        }
        if self.version.is_none() {
            return Err(RpcError::new(Code::InvalidRequest, "initialize first"));
        }
        match method {
            Method::ToolsList => Ok(Outcome::Result(format!("{{\"tools\":{TOOLS}}}"))),
            Method::ToolsCall if tool_of(request)? == "greet" => self.ask(request.id),
            Method::ToolsCall => Ok(Outcome::Result(format!("{{{}}}", call(request)?))),
            _ => Err(RpcError::new(Code::MethodNotFound, "this server has tools only")),
        }
    }

    fn initialize(&mut self, params: Json<'_>) -> String {
        let wanted = params
            .get("protocolVersion")
            .and_then(Json::string)
            .and_then(|text| Version::parse(&text));
        let version = wanted
            .filter(|version| version.era() == Era::Handshake)
            .unwrap_or(Version::LAST_HANDSHAKE);
        self.version = Some(version);
        self.can_ask = params
            .get("capabilities")
            .is_some_and(|capabilities| capabilities.get("elicitation").is_some());
        format!(
            "{{\"protocolVersion\":{},\"capabilities\":{{\"tools\":{{}}}},\"serverInfo\":{}}}",
            quote(version.as_str()),
            server_info()
        )
    }

    fn ask(&mut self, call: Id<'_>) -> Result<Outcome, RpcError> {
        if !self.can_ask || self.waiting.len() >= WAITING {
            return Ok(Outcome::Result(format!(
                "{{{}}}",
                text("I would ask for your name, but I can't ask you. Hello anyway!", true)
            )));
        }
        self.asked += 1;
        let id = format!("\"ask-{}\"", self.asked);
        let question = request(&id, "elicitation/create", QUESTION);
        self.waiting.insert(id, call.raw().to_owned());
        Ok(Outcome::Ask(question))
    }

    fn response(&mut self, response: &Response<'_>) -> Option<String> {
        let call = self.waiting.remove(response.id?.raw())?;
        let greeting = greeting(response.outcome.ok());
        Some(result_reply(&call, &format!("{{{greeting}}}")))
    }
}

enum Outcome {
    Ask(String),
    Result(String),
}

fn stateless(request: &Request<'_>) -> Result<Outcome, RpcError> {
    let capabilities =
        request.params.get(meta::META).and_then(|meta| meta.get(meta::CLIENT_CAPABILITIES));
    let capabilities = capabilities
        .ok_or_else(|| RpcError::new(Code::InvalidParams, "clientCapabilities are missing"))?;
    let cached = "\"ttlMs\":3600000,\"cacheScope\":\"public\"";
    let members = match Method::of(&request.method) {
        Method::ServerDiscover => format!(
            "\"supportedVersions\":[{}],\"capabilities\":{{\"tools\":{{}}}},{cached}",
            quote(Version::LAST_STATELESS.as_str())
        ),
        Method::ToolsList => format!("\"tools\":{TOOLS},{cached}"),
        Method::ToolsCall if tool_of(request)? == "greet" => {
            return greet(request.params, capabilities).map(Outcome::Result);
        }
        Method::ToolsCall => call(request)?,
        _ => return Err(RpcError::new(Code::MethodNotFound, "this server has tools only")),
    };
    Ok(Outcome::Result(complete(&members)))
}

/// The same tool in the stateless era: the question is a result, and the answer comes with the next request.
fn greet(params: Json<'_>, capabilities: Json<'_>) -> Result<String, RpcError> {
    if let Some(answer) = params.get("inputResponses").and_then(|responses| responses.get("name")) {
        return Ok(complete(&greeting(Some(answer))));
    }
    if capabilities.get("elicitation").is_none() {
        let error = RpcError::new(Code::MissingClientCapability, "greet has to ask for your name");
        return Err(error.with_data(r#"{"requiredCapabilities":{"elicitation":{}}}"#.to_owned()));
    }
    Ok(format!(
        "{{\"resultType\":\"input_required\",\"inputRequests\":{{\"name\":{{\"method\":\"elicitation/create\",\"params\":{QUESTION}}}}},{}}}",
        own_meta()
    ))
}

fn complete(members: &str) -> String {
    format!("{{\"resultType\":\"complete\",{members},{}}}", own_meta())
}

fn own_meta() -> String {
    format!("\"{}\":{{\"{}\":{}}}", meta::META, meta::SERVER_INFO, server_info())
}

fn server_info() -> String {
    format!("{{\"name\":\"bartizan-demo\",\"version\":{}}}", quote(env!("CARGO_PKG_VERSION")))
}

fn unsupported(version: &str) -> RpcError {
    let data = format!(
        "{{\"supported\":[{}],\"requested\":{}}}",
        quote(Version::LAST_STATELESS.as_str()),
        quote(version)
    );
    RpcError::new(Code::UnsupportedVersion, "unsupported protocol version").with_data(data)
}

fn tool_of<'a>(request: &Request<'a>) -> Result<std::borrow::Cow<'a, str>, RpcError> {
    request
        .params
        .get("name")
        .and_then(Json::string)
        .ok_or_else(|| RpcError::new(Code::InvalidParams, "name is missing"))
}

/// The result's members, for every tool that answers at once.
fn call(request: &Request<'_>) -> Result<String, RpcError> {
    let arguments = request.params.get("arguments").unwrap_or(Json::EMPTY);
    match &*tool_of(request)? {
        "add" => Ok(match (number(arguments, "a"), number(arguments, "b")) {
            (Some(a), Some(b)) => text(&(a + b).to_string(), false),
            _ => text("a and b must be numbers", true),
        }),
        "echo" => Ok(match arguments.get("text").and_then(Json::string) {
            Some(said) => text(&said, false),
            None => text("text must be a string", true),
        }),
        "time" => Ok(text(&jiff::Timestamp::now().to_string(), false)),
        name => {
            Err(RpcError::new(Code::InvalidParams, format!("there is no tool {}", quote(name))))
        }
    }
}

fn number(arguments: Json<'_>, name: &str) -> Option<f64> {
    let value = arguments.get(name)?;
    (value.kind() == mcp::Kind::Number).then(|| value.text().parse().ok()).flatten()
}

fn greeting(answer: Option<Json<'_>>) -> String {
    let action = answer.and_then(|answer| answer.get("action")).and_then(Json::string);
    let name = answer
        .and_then(|answer| answer.get("content"))
        .and_then(|content| content.get("name"))
        .and_then(Json::string);
    match (action.as_deref(), name) {
        (Some("accept"), Some(name)) => text(&format!("Hello, {name}!"), false),
        _ => text("Hello, whoever you are!", false),
    }
}

fn text(said: &str, error: bool) -> String {
    format!("\"content\":[{{\"type\":\"text\",\"text\":{}}}],\"isError\":{error}", quote(said))
}
