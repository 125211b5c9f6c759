//! Giving a grant back to the authorization server that gave it (RFC 7009), as somebody revokes it here.

use std::path::Path;

use upstream::HttpClient;
use url::Url;
use vault::oauth::revocation;

use super::{Shared, opened, send};
use crate::{
    config::{Reach, Server},
    seal::{Sealer, random_id},
};

/// What became of it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GivenBack {
    /// Its tokens are good no longer.
    Done,
    /// It could not be said, for this reason.
    Failed(String),
    /// The authorization server takes nothing back.
    NotTaken,
}

impl std::fmt::Display for GivenBack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            GivenBack::Done => f.write_str("given back"),
            GivenBack::Failed(why) => write!(f, "not given back: {why}"),
            GivenBack::NotTaken => f.write_str("its authorization server takes nothing back"),
        }
    }
}

/// Gives back a grant that the store still has.
pub async fn give_back(state_dir: &Path, kept: &store::Grant, server: &Server) -> GivenBack {
    let sealer = Sealer::persistent(&state_dir.join("seal.key")).map_err(|f| f.to_string());
    let client = HttpClient::new().map_err(|f| f.to_string());
    match (sealer, client) {
        (Ok(sealer), Ok(client)) => given_back(&sealer, &client, kept, server).await,
        (Err(why), _) | (_, Err(why)) => GivenBack::Failed(why),
    }
}

/// The same in a running gateway.
pub(super) async fn to(shared: &Shared, kept: &store::Grant, server: &Server) -> GivenBack {
    given_back(&shared.sealer, &shared.client, kept, server).await
}

async fn given_back(
    sealer: &Sealer,
    client: &HttpClient,
    kept: &store::Grant,
    server: &Server,
) -> GivenBack {
    let given = try_give_back(sealer, client, kept, server).await;
    given.unwrap_or_else(GivenBack::Failed)
}

async fn try_give_back(
    sealer: &Sealer,
    client: &HttpClient,
    kept: &store::Grant,
    server: &Server,
) -> Result<GivenBack, String> {
    let failed = |fault: &dyn std::fmt::Display| fault.to_string();
    let Reach::Http { url, allow_private } = &server.reach else {
        return Err("the entry of that name starts a program now".to_owned());
    };
    let url = Url::parse(&url.to_string()).map_err(|f| failed(&f))?;
    let now = crate::now();
    let grant = opened(sealer, &url, &kept.owner, &kept.sealed, now);
    let grant = grant.ok_or("it was made for another URL, or under another key")?;
    let id = random_id().map_err(|f| failed(&f))?;
    let form = revocation(&grant.terms, grant.revocable(), now, &id).map_err(|f| failed(&f))?;
    let Some(form) = form else { return Ok(GivenBack::NotTaken) };
    match send(client, form, *allow_private).await.map_err(|f| failed(&f))? {
        (200, _) => Ok(GivenBack::Done),
        (status, _) => Err(format!("HTTP {status}")),
    }
}
