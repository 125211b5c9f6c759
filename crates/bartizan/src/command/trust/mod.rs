//! `trust`: which definitions are approved, what changed, and who says so.

mod affected;
mod ask;
mod decide;
mod diff;
mod labels;
mod lock;
mod sign;
mod status;

pub use ask::{approve_offer, ask, confirm, present};
pub use decide::decider;

use std::path::PathBuf;

use gateway::config as resolved;
use store::{Pin, Store};
use trust::State;

use super::{known_server, load, now, wait};
use crate::{
    cli::{Global, trust::TrustCommand},
    config::{Loaded, resolve::resolve},
    outcome::Mistake,
    state,
};

pub fn run(global: &Global, command: TrustCommand) -> anyhow::Result<()> {
    wait(async {
        let desk = Desk::open(global).await?;
        let done = match command {
            TrustCommand::Approve { server, names, yes } => {
                decide::approve(&desk, &server, &names, yes).await
            }
            TrustCommand::Diff { server, name } => diff::run(&desk, &server, name).await,
            TrustCommand::Adopt { file, yes } => lock::adopt(&desk, file, yes).await,
            TrustCommand::Lock { file, check } => lock::run(&desk, file, check).await,
            TrustCommand::Verify { file } => lock::verify(&desk, file).await,
            TrustCommand::Keys => sign::keys(&desk),
            TrustCommand::Sign { server, names, key, kid } => {
                sign::run(&desk, &server, &names, &key, &kid).await
            }
            TrustCommand::SuggestLabels { server } => labels::run(&desk, &server).await,
            TrustCommand::Reject { server, names } => {
                decide::against(&desk, &server, &names, store::Decision::Reject).await
            }
            TrustCommand::Revoke { server, names } => {
                decide::against(&desk, &server, &names, store::Decision::Revoke).await
            }
            TrustCommand::Status { server, all, check } => {
                status::run(&desk, server.as_deref(), all, check).await
            }
        };
        desk.store.close().await;
        done
    })
}

/// What every one of these commands has before it.
pub struct Desk<'a> {
    pub global: &'a Global,
    pub loaded: Loaded,
    pub folder: PathBuf,
    pub config: resolved::Config,
    pub store: Store,
}

impl<'a> Desk<'a> {
    pub async fn open(global: &'a Global) -> anyhow::Result<Desk<'a>> {
        let loaded = load(global)?;
        let folder = state::folder(global.state_dir.clone())?;
        Desk::of(global, loaded, folder).await
    }

    pub async fn of(
        global: &'a Global,
        loaded: Loaded,
        folder: PathBuf,
    ) -> anyhow::Result<Desk<'a>> {
        let config = resolve(&loaded, &folder)?;
        state::make(&folder)?;
        let store = Store::open(&config.store).await?;
        Ok(Desk { global, loaded, folder, config, store })
    }

    /// A configured server.
    fn server(&self, name: &str) -> anyhow::Result<&resolved::Server> {
        known_server(&self.loaded, name)?;
        let found = self.config.servers.iter().find(|server| server.name.as_str() == name);
        found.ok_or_else(|| {
            let what = format!("the server `{name}` is not enabled");
            Mistake::new(what, "take `enabled = false` out of its section").into()
        })
    }

    /// What is kept of it.
    async fn pins(&self, server: &resolved::Server) -> anyhow::Result<Vec<Pin>> {
        Ok(self.store.pins(&gateway::identity(&server.reach)).await?)
    }
}

/// How a definition stands.
fn state_of(pin: &Pin) -> State {
    gateway::pin(pin).state()
}

/// A definition's name as it is shown; the server itself has none.
fn shown_name(pin: &Pin) -> String {
    match pin.name.as_str() {
        "" => "(its identity and instructions)".to_owned(),
        name => trust::visible(name),
    }
}
