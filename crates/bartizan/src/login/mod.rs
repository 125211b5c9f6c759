//! Sign-ins of this person at gateways elsewhere: found, begun, kept, renewed, ended.

mod device;
mod discovery;
mod file;
mod loopback;
mod oauth;
mod opening;
mod passphrase;

pub use device::by_device;
pub use discovery::{Server, discover};
pub use file::{Login, Logins};
pub use loopback::by_browser;
pub use oauth::{ended, registered};
pub use opening::Opening;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use gateway::now;
use upstream::HttpClient;

use crate::outcome::Mistake;

/// Renews the sign-in at `url` (the only one, where none is named) if it is time, puts its token into a file, and gives its URL.
pub async fn renewed(folder: &Path, url: Option<&str>, token: &Path) -> anyhow::Result<String> {
    let mut logins = Logins::open(folder).await?;
    let Some(mut login) = logins.find(url).cloned() else {
        let what = match url {
            Some(url) => format!("you are not signed in at {url}"),
            None => format!("you are signed in at {} gateways", logins.list.len()),
        };
        return Err(Mistake::new(
            what,
            "`bartizan whoami` shows where; `bartizan login URL` signs in",
        )
        .into());
    };
    if let Some(fresh) = oauth::fresh(&HttpClient::new()?, &login).await? {
        logins.keep(fresh.clone()).await?;
        login = fresh;
    }
    file::write_private(token, &login.access_token)?;
    Ok(login.url)
}

/// Goes on renewing it as long as this process lives.
pub async fn keep_renewed(folder: PathBuf, url: String, token: PathBuf) {
    loop {
        tokio::time::sleep(Duration::from_secs(20)).await;
        if let Err(fault) = renewed(&folder, Some(&url), &token).await {
            tracing::warn!(%fault, "the sign-in can't be renewed");
        }
    }
}

/// Random text that nobody can guess.
fn random() -> anyhow::Result<String> {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| anyhow::anyhow!("the machine gives no random numbers"))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}
