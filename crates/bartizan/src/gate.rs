//! The way from a command to a gateway: the one that runs on this state folder, or one that lives as long as the command.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use audit::{AuditFault, Journal};
use gateway::{
    Gateway, StartFault,
    call::{Door, Scope},
};
use identity::Verified;
use tokio::io::{AsyncRead, AsyncWrite, BufReader, DuplexStream};

use crate::{
    client::Client,
    config::{Loaded, resolve::resolve},
    login, state,
};

/// Commands that may each have a gateway of their own at once.
const OWN: usize = 32;

/// What the gateway elsewhere is called here.
pub const REMOTE: &str = "remote";

/// The gateway elsewhere has deadlines of its own.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10 * 60);

/// What may wait between a command and its own gateway.
const PIPE: usize = 64 << 10;

/// A gateway within reach.
pub enum Gate {
    /// It runs on this state folder.
    Running(PathBuf),
    /// It is this process.
    Own(Arc<Gateway>),
    /// It is this process, in front of a gateway elsewhere; with it goes the folder of its token.
    Remote(Arc<Gateway>, state::Scratch),
}

/// Both directions of one channel.
pub type Channel = (Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>);

impl Gate {
    /// The running gateway, if there is one.
    pub async fn running(state_dir: &Path) -> Option<Gate> {
        #[cfg(unix)]
        if gateway::door::connect(state_dir, Door::Local, &Scope::All).await.is_some() {
            return Some(Gate::Running(state_dir.to_owned()));
        }
        let _ = state_dir;
        None
    }

    /// One of our own. Its log and its socket are in a folder beside the one that `up` uses, so that neither is
    /// in the other's way and several commands can each have theirs; the store is the same.
    pub async fn own(loaded: &Loaded, state_dir: &Path) -> anyhow::Result<Gate> {
        Ok(Gate::Own(Self::open(resolve(loaded, state_dir)?, state_dir).await?))
    }

    /// One of our own whose only server is the gateway at which this person signed in: it speaks all eras, and mirrors and inspects as
    /// always, with their token as the credential.
    pub async fn remote(url: Option<&str>, state_dir: &Path) -> anyhow::Result<Gate> {
        let scratch = state::Scratch::new()?;
        let token = scratch.path().join("token");
        let login = login::renewed(state_dir, url, &token).await?;
        let value = vault::Reference::parse(&format!("Bearer ${{file:{}}}", token.display()))?;
        let mut config = gateway::config::Config::bare(state_dir.to_owned());
        config.servers.push(gateway::config::Server {
            name: mcp::ServerName::new(REMOTE)?,
            // The person named it themselves.
            reach: gateway::config::Reach::Http { url: login.parse()?, allow_private: true },
            era: upstream::EraChoice::Auto,
            shared: true,
            prewarm: false,
            timeout: TIMEOUT,
            credentials: vault::Credentials::new(vec![vault::Credential::new(
                "Authorization",
                value,
            )?])?,
            oauth: None,
            exchange: None,
            first_use: trust::FirstUse::Approve,
            proofs: gateway::config::Proofs::default(),
            labels: policy::Labelled::default(),
        });
        // What may be used of the servers there, that gateway decides.
        config.trust.pass = trust::Class::ALL.into_iter().collect();
        let gateway = Self::open(config, state_dir).await?;
        tokio::spawn(login::keep_renewed(state_dir.to_owned(), login, token));
        Ok(Gate::Remote(gateway, scratch))
    }

    async fn open(
        mut config: gateway::config::Config,
        state_dir: &Path,
    ) -> anyhow::Result<Arc<Gateway>> {
        for number in 1..=OWN {
            config.state_dir = state_dir.join(state::OWN).join(number.to_string());
            match Gateway::open(config.clone()).await {
                Ok(gateway) => return Ok(gateway),
                Err(StartFault::Audit { fault: AuditFault::Locked(_), .. }) => {}
                Err(fault) => return Err(fault.into()),
            }
        }
        anyhow::bail!(
            "{OWN} commands have a gateway of their own already; start one for all of them with `bartizan up`"
        )
    }

    /// A channel through `door` to the servers in `scope`.
    pub async fn channel(&self, door: Door, scope: Scope) -> anyhow::Result<Channel> {
        match self {
            #[cfg(unix)]
            Gate::Running(folder) => {
                let stream = gateway::door::connect(folder, door, &scope).await;
                let (read, write) = stream
                    .ok_or_else(|| anyhow::anyhow!("the gateway has just stopped"))?
                    .into_split();
                Ok((Box::new(read), Box::new(write)))
            }
            #[cfg(not(unix))]
            Gate::Running(_) => {
                anyhow::bail!("the running gateway can't be reached on this system")
            }
            Gate::Own(gateway) | Gate::Remote(gateway, _) => {
                let (ours, theirs) = tokio::io::duplex(PIPE);
                tokio::spawn(serve(gateway.clone(), door, scope, theirs));
                let (read, write) = tokio::io::split(ours);
                Ok((Box::new(read), Box::new(write)))
            }
        }
    }

    /// A client of the servers in `scope`.
    pub async fn client(&self, scope: Scope) -> anyhow::Result<Client> {
        let (read, write) = self.channel(Door::Local, scope).await?;
        Ok(Client::new(read, write))
    }

    /// Ends our own gateway and all that it started.
    pub async fn close(self) {
        if let Gate::Own(gateway) | Gate::Remote(gateway, _) = &self {
            gateway.shutdown().await;
        }
    }
}

/// A journal of our own, for a command that has no gateway.
pub fn own_journal(state_dir: &Path) -> anyhow::Result<Journal> {
    for number in 1..=OWN {
        let folder = state_dir.join(state::OWN).join(number.to_string());
        state::make(&folder)?;
        match Journal::open(&folder.join(state::JOURNAL), audit::Options::default()) {
            Err(AuditFault::Locked(_)) => {}
            opened => return Ok(opened?),
        }
    }
    anyhow::bail!("{OWN} commands have a log of their own already")
}

async fn serve(gateway: Arc<Gateway>, door: Door, scope: Scope, stream: DuplexStream) {
    let (read, write) = tokio::io::split(stream);
    gateway.serve_lines(Verified::process_owner(), scope, door, BufReader::new(read), write).await;
}
