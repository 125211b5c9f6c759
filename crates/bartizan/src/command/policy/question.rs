//! A caller, a thing and circumstances, as the command line names them.

use policy::{Action, Annotations, Context, Hint, Kind, PrincipalView};

use crate::{
    cli::{ExplainArgs, Global},
    command::known_server,
    config::Loaded,
    outcome::Mistake,
};

/// A caller, by what the credential would say.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    pub id: String,
    pub provider: String,
    pub tenant: String,
    pub subject: String,
    pub client: String,
    pub groups: Vec<String>,
    pub roles: Vec<String>,
    pub scopes: Vec<String>,
    pub acr: String,
    pub amr: Vec<String>,
    pub authenticated_at: Option<u64>,
}

impl Caller {
    pub fn view(&self) -> PrincipalView<'_> {
        PrincipalView {
            id: &self.id,
            provider: &self.provider,
            tenant: &self.tenant,
            subject: &self.subject,
            client: &self.client,
            groups: &self.groups,
            roles: &self.roles,
            scopes: &self.scopes,
            acr: &self.acr,
            amr: &self.amr,
            authenticated_at: self.authenticated_at,
            digest: None,
        }
    }
}

/// A question to policy.
pub struct Question {
    pub caller: Caller,
    pub server: String,
    pub name: String,
    pub kind: Kind,
    pub annotations: Annotations,
    pub arguments: String,
    pub labels: Vec<String>,
    pub findings: Vec<String>,
    pub network: Option<std::net::IpAddr>,
    pub time: u64,
}

impl Question {
    pub fn of(global: &Global, loaded: &Loaded, args: &ExplainArgs) -> anyhow::Result<Question> {
        let named = [
            (Kind::Tool, &args.tool),
            (Kind::Prompt, &args.prompt),
            (Kind::Resource, &args.resource),
            (Kind::Model, &args.model),
        ];
        let named = named.into_iter().find_map(|(kind, name)| Some((kind, name.as_deref()?)));
        let (kind, text) = named.ok_or_else(|| {
            Mistake::new(
                "nothing is asked about",
                "name it: --tool SERVER__TOOL, --prompt, --resource or --model",
            )
        })?;
        let (server, name) = thing(loaded, text)?;
        let known = match kind {
            Kind::Model => loaded.file.models.keys().any(|key| key.0.as_str() == server),
            _ => known_server(loaded, &server).is_ok(),
        };
        if !known {
            eprintln!(
                "note: the configuration has no `{server}`; this is what the rules would say of one"
            );
        }
        if !args.who.contains(':') && !["owner", "loopback"].contains(&args.who.as_str()) {
            return Err(Mistake::new(
                format!("`{0}` does not say what kind of caller it is", args.who),
                format!("write token:{0}, user:…, workload:…, loopback or owner", args.who),
            )
            .into());
        }
        let mut caller = Caller {
            id: args.who.clone(),
            tenant: args.tenant.clone().unwrap_or_default(),
            client: args.client.clone().unwrap_or_default(),
            groups: args.groups.clone(),
            roles: args.roles.clone(),
            scopes: args.scopes.clone(),
            acr: args.acr.clone().unwrap_or_default(),
            amr: args.amr.clone(),
            ..Caller::default()
        };
        if let Some(token) = args.who.strip_prefix("token:")
            && args.roles.is_empty()
        {
            match token_roles(global, token)? {
                Some(roles) => caller.roles = roles,
                None => eprintln!(
                    "note: there is no valid token `{token}`; this is what the rules say of its name"
                ),
            }
        }
        let mut annotations = Annotations::default();
        for hint in &args.annotated {
            annotate(&mut annotations, hint)?;
        }
        Ok(Question {
            caller,
            server,
            name,
            kind,
            annotations,
            arguments: args.arguments.clone(),
            labels: args.labels.clone(),
            findings: args.findings.clone(),
            network: args.from,
            time: args.at.map_or_else(super::super::now, |at| {
                u64::try_from(at.as_second()).unwrap_or_default()
            }),
        })
    }

    /// Puts it.
    pub fn ask<T>(
        &self,
        answer: impl FnOnce(&PrincipalView<'_>, &Action<'_>, &Context<'_>) -> T,
    ) -> anyhow::Result<T> {
        let arguments = mcp::Json::read(self.arguments.as_bytes(), &mcp::Limits::default())
            .map_err(|fault| {
                Mistake::new(format!("the arguments: {fault}"), "write a JSON object")
            })?;
        let labels: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        let findings: Vec<&str> = self.findings.iter().map(String::as_str).collect();
        let context = Context {
            time: self.time,
            network: self.network,
            arguments: Some(arguments),
            labels: &labels,
            findings: &findings,
            ..Context::default()
        };
        let action = Action::new(&self.server, self.kind, &self.name);
        let action = Action { annotations: self.annotations, ..action };
        Ok(answer(&self.caller.view(), &action, &context))
    }
}

/// This moment, on this machine.
pub fn now() -> Context<'static> {
    Context { time: super::super::now(), ..Context::default() }
}

/// `server__name` or `server/name`.
pub fn thing(loaded: &Loaded, text: &str) -> anyhow::Result<(String, String)> {
    let joined = loaded.file.separator.separator.split(text);
    let (server, name) = joined.or_else(|| text.split_once('/')).ok_or_else(|| {
        Mistake::new(format!("`{text}` names no server"), "write server__name or server/name")
    })?;
    Ok((server.to_owned(), name.to_owned()))
}

/// Sets what a hint says.
pub fn annotate(annotations: &mut Annotations, hint: &str) -> Result<(), Mistake> {
    let found = Hint::ALL.iter().find(|(name, _)| *name == hint);
    let (_, hint) = found.ok_or_else(|| {
        let known = Hint::ALL.map(|(name, _)| name).join(", ");
        Mistake::new(
            format!("`{hint}` is nothing that a tool says of itself"),
            format!("write one of {known}"),
        )
    })?;
    match hint {
        Hint::ReadOnly => (annotations.read_only, annotations.destructive) = (true, false),
        Hint::Writes => annotations.read_only = false,
        Hint::Destructive => annotations.destructive = true,
        Hint::NotDestructive => annotations.destructive = false,
        Hint::Idempotent => annotations.idempotent = true,
        Hint::OpenWorld => annotations.open_world = true,
        Hint::ClosedWorld => annotations.open_world = false,
    }
    Ok(())
}

/// The roles that a valid token was minted with.
pub fn token_roles(global: &Global, name: &str) -> anyhow::Result<Option<Vec<String>>> {
    let tokens = super::super::wait(super::super::token::valid(global))?;
    let live = tokens.into_iter().find(|token| token.name == name);
    Ok(live.map(|token| token.roles))
}
