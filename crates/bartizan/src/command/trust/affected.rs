//! Who may call a definition once it is approved.

use gateway::Stored;
use policy::{Action, Context, PrincipalView};
use trust::Kind;

use super::{Desk, now};

/// The owner, members of roles and holders of tokens, by their ids.
pub async fn by(
    desk: &Desk<'_>,
    server: &str,
    kind: Kind,
    name: &str,
) -> anyhow::Result<Vec<String>> {
    let stored = Stored::read(&desk.store).await?;
    let (policy, roles) = (stored.policy(&desk.config)?, stored.roles(&desk.config)?);
    let kind = match kind {
        Kind::Prompt => policy::Kind::Prompt,
        Kind::ResourceTemplate | Kind::UiContent | Kind::UiResource => policy::Kind::Resource,
        // Whoever may use anything of the server hears what it says of itself.
        Kind::Server => return Ok(vec![format!("everybody who may use {server}")]),
        Kind::Tool => policy::Kind::Tool,
    };
    let action = Action::new(server, kind, name);
    let may = |id: &str, roles: &[String]| {
        let view = PrincipalView { id, roles, ..PrincipalView::default() };
        policy.foresee(&view, &action, &Context::default()).is_possible()
    };
    let mut found = Vec::new();
    let members = roles.iter().flat_map(|role| role.members.iter().map(ToString::to_string));
    let now = now();
    let live = |token: &store::Token| {
        token.revoked.is_none() && token.expires.is_none_or(|expires| expires > now)
    };
    for token in desk.store.tokens().await?.into_iter().filter(live) {
        let id = format!("token:{}", token.name);
        if may(&id, &token.roles) {
            found.push(id);
        }
    }
    let known = ["owner".to_owned(), "loopback".to_owned()];
    for id in known.into_iter().chain(members) {
        let let_in = id != "loopback" || desk.config.identity.loopback_open;
        if let_in && !found.contains(&id) && !id.starts_with("token:") && may(&id, &[]) {
            found.push(id);
        }
    }
    found.sort();
    Ok(found)
}
