//! Task ids are bearer-like: what a client holds is sealed to it and names the server and the tool,
//! so that every later step asks the same policy again (SEP-2663).

use identity::Verified;
use mcp::{Json, JsonBuf, Patch, quote};
use policy::{Action, Operation};

use crate::{Gateway, call::Call, refusal::Refusal, resolve::Target, seal::Purpose};

/// Tasks are kept by servers for at most this long, in seconds.
const TTL: u64 = 7 * 24 * 3600;

impl Gateway {
    /// Seals the task id of a result that has one; a task that the client already knows keeps the id
    /// that the client knows it by.
    pub(crate) fn seal_task(
        &self,
        caller: &Verified,
        call: &Call,
        target: &Target,
        result: JsonBuf,
    ) -> Result<JsonBuf, Refusal> {
        let json = result.json();
        let known = target.task.as_deref();
        let Some(task) = json.get("taskId").and_then(Json::string) else { return Ok(result) };
        let sealed = match known {
            Some(known) => known.to_owned(),
            None => self.seal_task_id(caller, call, target, &task)?,
        };
        Ok(Patch::of(json).set("taskId", quote(&sealed)).build())
    }

    fn seal_task_id(
        &self,
        caller: &Verified,
        call: &Call,
        target: &Target,
        task: &str,
    ) -> Result<String, Refusal> {
        if !declared(call) {
            return Err(Refusal::ServerAsked {
                server: target.served.name().clone(),
                method: "tasks".into(),
            });
        }
        let plain = format!(
            "{{\"server\":{},\"tool\":{},\"task\":{}}}",
            quote(target.served.name().as_str()),
            quote(&target.name),
            quote(task)
        );
        let owner = caller.principal().partition();
        let expires = crate::now() + TTL;
        self.sealer
            .seal(Purpose::Task, owner, expires, plain.as_bytes())
            .map_err(|_| Refusal::UnknownTask)
    }

    /// The server's own id of a task that this caller may listen to, as policy is now.
    pub(crate) fn own_task(&self, caller: &Verified, call: &Call, sealed: &str) -> Option<OwnTask> {
        let owner = caller.principal().partition();
        let plain = self.sealer.open(Purpose::Task, owner, crate::now(), sealed).ok()?;
        let plain = Json::read(&plain, &mcp::Limits::default()).ok()?;
        let member = |name| Some(plain.get(name)?.string()?.into_owned());
        let (server, tool) = (member("server")?, member("tool")?);
        let annotations =
            self.served(&server).map(|served| served.annotations(&tool)).unwrap_or_default();
        let action = Action::tool(&server, &tool, annotations).with(Operation::TaskGet);
        if !self.foresee(caller, call, &action).is_possible() {
            return None;
        }
        Some(OwnTask { task: member("task")?, server })
    }
}

/// A task as its server knows it.
pub(crate) struct OwnTask {
    /// The server's name.
    pub server: String,
    /// The server's id.
    pub task: String,
}

/// The extension's name.
pub(crate) const EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// Whether this request's client declared the extension.
pub(crate) fn declared(call: &Call) -> bool {
    let extensions = call.client.capabilities.json().get("extensions");
    extensions.is_some_and(|extensions| extensions.get(EXTENSION).is_some())
}
