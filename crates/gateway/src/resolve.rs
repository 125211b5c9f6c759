//! Whom a request means: looked up in the catalogue as this caller may see it, so that what is
//! hidden does not exist.

use std::sync::Arc;

use identity::Verified;
use mcp::{Json, Method, ServerName, quote};
use policy::Kind;
use trust::Approved;

use crate::{
    Gateway,
    approved::held,
    call::{Call, Scope},
    catalogue::{Item, Listed, Listing},
    refusal::Refusal,
    seal::Purpose,
    served::Served,
    task,
};

/// What a request is about.
pub(crate) struct Target {
    /// The server.
    pub served: Arc<Served>,
    /// The kind that policy decides on.
    pub kind: Kind,
    /// The server's own name for it: a tool, a prompt, a URI, or a method.
    pub name: String,
    /// A member of params to be replaced on the way out: its name, its JSON text.
    pub renamed: Option<(&'static str, String)>,
    /// A task's id as the client knows it.
    pub task: Option<String>,
    listing: Option<Arc<Listing>>,
}

/// That the target's definition is the approved one, or that its kind has none.
pub(crate) enum ApprovedTarget {
    /// A tool or a prompt.
    Defined(#[expect(dead_code, reason = "a proof: held, never read")] Approved),
    /// Resources, tasks and extension methods have no listed definition.
    Undefined,
}

impl Target {
    /// The definition, where there is one.
    pub fn item(&self) -> Option<&Item> {
        self.listing.as_ref()?.find(&self.name)
    }

    /// The definition's digest as text, empty where there is none.
    pub fn definition(&self) -> String {
        self.item().map(|item| item.approved.digest().to_string()).unwrap_or_default()
    }

    /// The digest of the list that the definition is in.
    pub fn catalogue(&self) -> Option<[u8; 32]> {
        self.listing.as_ref().map(|listing| listing.digest)
    }

    /// Holds back what is not approved.
    pub fn require_approved(&self) -> Result<ApprovedTarget, Refusal> {
        match (self.item(), &self.listing) {
            (Some(item), _) => Ok(ApprovedTarget::Defined(item.approved)),
            (None, None) => Ok(ApprovedTarget::Undefined),
            (None, Some(listing)) => Err(match listing.held_back.get(self.name.as_str()) {
                Some(state) => held(self.served.name(), &self.name, *state),
                None => Refusal::UnknownTool { name: self.name.clone(), rule: None },
            }),
        }
    }
}

/// A kind of thing that is called by its name or URI.
struct Named {
    served: Arc<Served>,
    own: String,
    renamed: bool,
}

impl Gateway {
    pub(crate) async fn resolve(&self, caller: &Verified, call: &Call) -> Result<Target, Refusal> {
        let params = call.params.json();
        match call.method {
            Method::ToolsCall => self.defined(caller, call, Listed::Tools, call.name()?).await,
            Method::PromptsGet => self.defined(caller, call, Listed::Prompts, call.name()?).await,
            Method::ResourcesRead => {
                let named = self.by_uri(call, call.name()?)?;
                let renamed = named.renamed.then(|| ("uri", quote(&named.own)));
                Ok(target(named, Kind::Resource, renamed))
            }
            Method::CompletionComplete => Box::pin(self.completion(caller, call, params)).await,
            Method::TasksCancel | Method::TasksGet | Method::TasksUpdate => {
                self.task(caller, call, call.name()?)
            }
            _ => self.extension(call),
        }
    }

    /// A tool or prompt by its name.
    async fn defined(
        &self,
        caller: &Verified,
        call: &Call,
        listed: Listed,
        name: &str,
    ) -> Result<Target, Refusal> {
        let kind = listed.kind();
        let unknown = |name: String, rule| match listed {
            Listed::Prompts => Refusal::UnknownPrompt { name, rule },
            Listed::Tools => Refusal::UnknownTool { name, rule },
        };
        let Some(named) = self.by_name(caller, call, name) else {
            return Err(unknown(name.to_owned(), None));
        };
        let renamed = named.renamed.then(|| ("name", quote(&named.own)));
        let mut target = target(named, kind, renamed);
        let (served, recheck) = (&target.served, self.glance().config.trust.recheck);
        let process = served.link().age(&served.partition(caller));
        let listing = match served.catalogue.for_call(listed, recheck, process) {
            Some(listing) if listing.find(&target.name).is_some() => listing,
            // Not there, or held back: the server may have got it, or a person may have approved it since.
            // One asking is shared by all who wait.
            _ => Box::pin(self.listing(caller, call, &target, listed)).await?,
        };
        if !listing.knows(&target.name) {
            return Err(unknown(name.to_owned(), None));
        }
        target.listing = Some(listing);
        match self.require_visible(caller, call, &target) {
            Ok(()) => Ok(target),
            Err(Refusal::UnknownTool { rule, .. } | Refusal::UnknownPrompt { rule, .. }) => {
                Err(unknown(name.to_owned(), rule))
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// `completion/complete` is about a prompt or a resource template, under the same rules.
    async fn completion(
        &self,
        caller: &Verified,
        call: &Call,
        params: Json<'_>,
    ) -> Result<Target, Refusal> {
        let about = params.get("ref").ok_or(Refusal::NameMissing("ref"))?;
        let patched = |member, own: &str| mcp::Patch::of(about).set(member, quote(own)).text();
        if about.get("type").is_some_and(|kind| kind.text() == "\"ref/prompt\"") {
            let mut target =
                self.defined(caller, call, Listed::Prompts, &text(about, "name")?).await?;
            target.renamed = target.renamed.map(|_| ("ref", patched("name", &target.name)));
            return Ok(target);
        }
        let named = self.by_uri(call, &text(about, "uri")?)?;
        let renamed = named.renamed.then(|| ("ref", patched("uri", &named.own)));
        Ok(target(named, Kind::Resource, renamed))
    }

    /// A task id is sealed to its principal and names its server and tool.
    fn task(&self, caller: &Verified, call: &Call, sealed: &str) -> Result<Target, Refusal> {
        if !task::declared(call) {
            return Err(Refusal::CapabilityMissing(task::EXTENSION));
        }
        let owner = caller.principal().partition();
        let plain = self.sealer.open(Purpose::Task, owner, crate::now(), sealed);
        let plain = plain.map_err(|_| Refusal::UnknownTask)?;
        let plain =
            mcp::Json::read(&plain, &mcp::Limits::default()).map_err(|_| Refusal::UnknownTask)?;
        let member = |name| text(plain, name).map_err(|_| Refusal::UnknownTask);
        let served = self.served(&member("server")?).ok_or(Refusal::UnknownTask)?;
        if let Scope::One(only) = &call.scope
            && only != served.name()
        {
            return Err(Refusal::UnknownTask);
        }
        let named = Named { served, own: member("tool")?, renamed: true };
        let mut target = target(named, Kind::Tool, Some(("taskId", quote(&member("task")?))));
        target.task = Some(sealed.to_owned());
        Ok(target)
    }

    /// A method that Bartizan does not know reaches a server only where it is clear which one.
    fn extension(&self, call: &Call) -> Result<Target, Refusal> {
        let unknown = || Refusal::MethodNotFound(call.method_name.to_string());
        let Scope::One(name) = &call.scope else { return Err(unknown()) };
        // Tasks of other revisions carry ids that nobody sealed.
        if call.method_name.starts_with("tasks/") {
            return Err(unknown());
        }
        let served = self.served(name.as_str()).ok_or_else(unknown)?;
        let named = Named { served, own: call.method_name.to_string(), renamed: false };
        Ok(target(named, Kind::Method, None))
    }

    fn by_name(&self, caller: &Verified, call: &Call, name: &str) -> Option<Named> {
        match &call.scope {
            Scope::One(server) => {
                let served = self.served_to(caller, server.as_str())?;
                Some(Named { served, own: name.to_owned(), renamed: false })
            }
            Scope::All => {
                let current = self.current();
                let (server, own) = current.config.separator.split(name)?;
                Some(Named {
                    served: self.served_to(caller, server)?,
                    own: own.to_owned(),
                    renamed: true,
                })
            }
        }
    }

    fn by_uri(&self, call: &Call, uri: &str) -> Result<Named, Refusal> {
        let unknown = || Refusal::UnknownResource { uri: uri.to_owned(), rule: None };
        match &call.scope {
            Scope::One(server) => {
                let served = self.served(server.as_str()).ok_or_else(unknown)?;
                Ok(Named { served, own: uri.to_owned(), renamed: false })
            }
            Scope::All => {
                let (server, own) = ServerName::unwrap_uri(uri).ok_or_else(unknown)?;
                Ok(Named { served: self.served(server).ok_or_else(unknown)?, own, renamed: true })
            }
        }
    }
}

fn target(named: Named, kind: Kind, renamed: Option<(&'static str, String)>) -> Target {
    Target { served: named.served, kind, name: named.own, renamed, task: None, listing: None }
}

fn text(object: Json<'_>, member: &'static str) -> Result<String, Refusal> {
    let text = object.get(member).and_then(Json::string);
    text.map(|text| text.into_owned()).ok_or(Refusal::NameMissing(member))
}
