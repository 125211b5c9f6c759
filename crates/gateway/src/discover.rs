//! `server/discover` and what `initialize` is answered from.

use std::time::Instant;

use identity::Verified;
use mcp::{Json, JsonBuf, Patch, meta, quote};

use crate::{
    Gateway,
    call::{Call, Reply, Scope},
    refusal::{Refusal, versions},
};

/// What a door says of itself and of what stands behind it.
pub struct Introduction {
    /// `capabilities`, an object, in the stateless form.
    pub capabilities: String,
    /// `serverInfo`, an object.
    pub info: String,
    /// For the model.
    pub instructions: Option<String>,
}

/// What the aggregate can carry. It is the same whatever servers are up, so that one that is down
/// neither delays a client's first request nor hides what it brings when it is back.
const AGGREGATE: &str = r#"{"completions":{},"logging":{},"prompts":{"listChanged":true},"resources":{"listChanged":true,"subscribe":true},"tools":{"listChanged":true},"extensions":{"io.modelcontextprotocol/tasks":{},"io.modelcontextprotocol/ui":{}}}"#;

/// Bartizan itself.
pub(crate) fn own_info() -> String {
    format!(
        "{{\"name\":\"bartizan\",\"title\":\"Bartizan\",\"version\":{}}}",
        quote(env!("CARGO_PKG_VERSION"))
    )
}

impl Gateway {
    /// `server/discover`.
    pub(crate) async fn discover(&self, caller: &Verified, call: &Call) -> Result<Reply, Refusal> {
        let said = self.introduced(caller, call).await?;
        let mut text = format!(
            "{{\"resultType\":\"complete\",\"supportedVersions\":{},\"capabilities\":{}",
            versions(),
            said.capabilities
        );
        if let Some(instructions) = &said.instructions {
            text.push_str(",\"instructions\":");
            text.push_str(&quote(instructions));
        }
        text.push_str(",\"ttlMs\":0,\"cacheScope\":\"private\",\"_meta\":{");
        text.push_str(&quote(meta::SERVER_INFO));
        text.push(':');
        text.push_str(&said.info);
        text.push_str("}}");
        Ok(Reply::result(crate::made(text)))
    }

    /// The introduction, recorded like any other answer.
    pub(crate) async fn introduced(
        &self,
        caller: &Verified,
        call: &Call,
    ) -> Result<Introduction, Refusal> {
        let began = Instant::now();
        let id = self.next_call_id();
        let mut facts = self.facts(caller, call, &id);
        let intent = self.record_intent(&facts).await?;
        let said = self.introduce(caller, call).await;
        let reply = match &said {
            Ok(_) => Ok(Reply::result(Json::EMPTY.into())),
            Err(refusal) => Err(refusal.clone()),
        };
        self.record_outcome(intent, &mut facts, began, &reply).await?;
        said
    }

    /// Behind the aggregate's door stands Bartizan; behind a single server's, that server.
    async fn introduce(&self, caller: &Verified, call: &Call) -> Result<Introduction, Refusal> {
        let Scope::One(name) = &call.scope else { return Ok(self.aggregate(caller)) };
        let served = self.served_to(caller, name.as_str());
        let served = served.ok_or_else(|| Refusal::UnknownServer(name.to_string()))?;
        let offer = match served.offer(caller, &call.client).await {
            // The server says nothing before this caller has signed in there. Whatever is asked for next
            // tells them so; an introduction that fails is not shown to people by most clients.
            Err(Refusal::Connect { .. }) => {
                return Ok(Introduction {
                    capabilities: AGGREGATE.to_owned(),
                    info: own_info(),
                    instructions: None,
                });
            }
            offer => offer?,
        };
        let capabilities = carried(&offer.capabilities);
        Ok(match self.judge_introduction(&served, &offer).await? {
            Ok(_) => Introduction {
                capabilities,
                info: offer.info.json().text().to_owned(),
                instructions: offer.instructions,
            },
            // What nobody approved is not told to the model; the server keeps the name it has here.
            Err(_) => Introduction {
                capabilities,
                info: format!("{{\"name\":{},\"version\":\"\"}}", quote(name.as_str())),
                instructions: None,
            },
        })
    }

    fn aggregate(&self, caller: &Verified) -> Introduction {
        let current = self.current();
        let servers: Vec<_> = self.touchable(caller).collect();
        let names: Vec<_> = servers.iter().map(|served| served.name().as_str()).collect();
        let instructions = format!(
            "Bartizan joins the servers {}. Their tools and prompts are named server{}name, their resources server+uri.",
            names.join(", "),
            current.config.separator.as_str()
        );
        Introduction {
            capabilities: AGGREGATE.to_owned(),
            info: own_info(),
            instructions: (!names.is_empty()).then_some(instructions),
        }
    }
}

/// A server's capabilities less what can't be carried: the handshake era's own tasks, which no other
/// revision understands.
fn carried(capabilities: &JsonBuf) -> String {
    let json = capabilities.json();
    if json.kind() != mcp::Kind::Object {
        return Json::EMPTY.text().to_owned();
    }
    Patch::of(json).remove("tasks").text()
}
