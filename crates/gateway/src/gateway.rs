//! What is shared by all requests: what is configured now, and the parts that outlive a change of it.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use audit::Journal;
use identity::{Authenticator, Credentials, Step, TokenHash, TokenRecord, Verified};
use policy::Policy;
use store::Store;
use tokio::sync::{broadcast, watch};
use upstream::HttpClient;

use crate::{
    approval::Decided,
    approved::Decisions,
    bounds::{InFlight, Noise},
    catalogue::Listed,
    config::Config,
    door::{Pairs, Sessions, oauth::Broker, resource::Offered},
    egress::Witness,
    exchange::Exchange,
    export::Exports,
    flow::Flows,
    grants,
    inspection::Inspector,
    limits::Limiters,
    models::{ModelKind, ModelRoute, ServedModel},
    providers::Providers,
    refusal::Refusal,
    seal::Sealer,
    secrets::{SafeFault, Secrets},
    served::Served,
    stack::Stacks,
    stored::{Stored, StoredFault},
    telemetry::{Context, Metrics, Tracer},
    who::Who,
};

/// What is configured now. Replaced as a whole when the configuration changes.
pub struct Current {
    /// As resolved.
    pub config: Config,
    /// The store's policies and roles.
    pub(crate) stored: Stored,
    /// How the digest of the configuration and those policies begins: in each record that was decided by them.
    pub(crate) policy_id: Box<str>,
    /// The roles, compiled.
    pub policy: Policy,
    pub(crate) providers: Providers,
    pub(crate) offered: Offered,
    /// The limits, and what they counted.
    pub limiters: Limiters,
    /// The detectors.
    pub(crate) inspector: Inspector,
    /// Whether a server is reached with tokens that stand for callers.
    acts_for_callers: bool,
    /// By name: the order in which lists show them.
    pub servers: BTreeMap<Box<str>, Arc<Served>>,
    /// Language models, by name.
    pub(crate) models: BTreeMap<Box<str>, Arc<ServedModel>>,
}

/// The gateway.
pub struct Gateway {
    current: ArcSwap<Current>,
    /// One change of it at a time, from reading what there is to putting the new in place. Which state of the store's policies was looked at last.
    pub(crate) changing: tokio::sync::Mutex<i64>,
    me: Weak<Gateway>,
    pub(crate) journal: Journal,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tracer: ArcSwapOption<Tracer>,
    pub(crate) exports: Exports,
    pub(crate) store: Store,
    pub(crate) decisions: Decisions,
    /// Where credentials come from.
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) flows: Flows,
    pub(crate) stacks: Stacks,
    pub(crate) sealer: Sealer,
    pub(crate) sessions: Sessions,
    pub(crate) pairs: Pairs,
    pub(crate) in_flight: InFlight,
    pub(crate) listening: InFlight,
    noise: Noise,
    pub(crate) changes: broadcast::Sender<Listed>,
    pub(crate) ending: watch::Sender<bool>,
    /// Counts the configurations that were applied.
    pub(crate) applied: watch::Sender<u64>,
    authenticator: ArcSwap<Authenticator>,
    /// By which the owner comes in over HTTP, once there is a door.
    run_token: OnceLock<TokenHash>,
    pub(crate) broker: ArcSwapOption<Broker>,
    pub(crate) client: HttpClient,
    witness: Witness,
    /// Counts what was decided on approvals.
    pub(crate) decided: Decided,
    /// What people let Bartizan have at servers.
    pub(crate) grants: Arc<grants::Shared>,
    boot: String,
    /// When this process began to count.
    pub(crate) started: Instant,
    calls: AtomicU64,
}

/// Why the gateway can't start, or can't take a new configuration.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// The log.
    #[error("the audit log in {path} can't be opened: {fault}")]
    Audit {
        /// The folder.
        path: std::path::PathBuf,
        /// Why.
        fault: audit::AuditFault,
    },
    /// A server's credentials or environment.
    #[error("server {server}: {fault}")]
    Credential {
        /// Which.
        server: String,
        /// Why.
        fault: vault::VaultFault,
    },
    /// The address.
    #[error("can't listen on {address}: {fault}")]
    Listen {
        /// Which.
        address: std::net::SocketAddr,
        /// Why.
        fault: io::Error,
    },
    /// Rules of the detectors.
    #[error("[inspect]: {0}")]
    Inspect(#[from] inspect::ScannerFault),
    /// Roles and policies.
    #[error(transparent)]
    Policy(#[from] StoredFault),
    /// An identity provider.
    #[error("provider {provider}: {fault}")]
    Provider {
        /// Which.
        provider: String,
        /// Why.
        fault: String,
    },
    /// The state folder.
    #[error("the state folder {path} can't be used: {fault}")]
    State {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        fault: io::Error,
    },
    /// Sealed secrets.
    #[error("the sealed secrets: {0}")]
    Secrets(#[from] SafeFault),
    /// The store.
    #[error("the store can't be opened: {0}")]
    Store(#[from] store::StoreFault),
    /// The outgoing HTTP client.
    #[error("the HTTP client can't be made: {0}")]
    Client(String),
    /// The authorization server's keys.
    #[error("sign-in: {0}")]
    SignIn(String),
    /// Certificate and key.
    #[error("TLS: {0}")]
    Tls(String),
}

impl Current {
    /// Whether there is such a model, and anything of it could be allowed to this caller.
    pub(crate) fn offers_model(&self, caller: &Verified, route: &ModelRoute) -> bool {
        let name = route.name.as_str();
        self.models.contains_key(name) && self.policy.may_touch(&crate::decide::view(caller), name)
    }

    /// In whose words a client of this route is refused.
    pub(crate) fn model_kind(&self, route: &ModelRoute) -> ModelKind {
        let model = self.models.get(route.name.as_str());
        model.map_or(ModelKind::OpenAi, |model| model.entry.kind)
    }

    /// Who a provider's token proves; with the token, where a server is reached on callers' behalf.
    async fn prove(&self, token: &str, now: u64) -> Result<Verified, Refusal> {
        let verified = self.providers.prove(token, now).await?;
        Ok(if self.acts_for_callers { verified.showing(token) } else { verified })
    }
}

impl Gateway {
    /// Opens the state folder and prepares the servers; nothing is started or contacted yet.
    pub async fn open(config: Config) -> Result<Arc<Gateway>, StartFault> {
        let path = config.state_dir.clone();
        let state = |fault| StartFault::State { path: path.clone(), fault };
        make_private(&config.state_dir).map_err(state)?;
        let options = audit::Options {
            fsync: config.audit.sync,
            strict: config.audit.strict,
            sealed: config.audit.sealed,
            ..audit::Options::default()
        };
        let journal = Journal::open(&path.join("audit"), options)
            .map_err(|fault| StartFault::Audit { path: path.join("audit"), fault })?;
        let store = Store::open(&config.store).await?;
        let sealer = Sealer::persistent(&path.join("seal.key")).map_err(state)?;
        let sessions = Sessions::new(Sealer::ephemeral().map_err(state)?);
        let boot = crate::seal::random_id().map_err(|f| state(io::Error::other(f)))?;
        let client = HttpClient::new().map_err(|fault| StartFault::Client(fault.to_string()))?;
        let runs = path.join("runs");
        // Left over from a gateway that was killed: the journal's lock says that no other one is using them.
        let _ = std::fs::remove_dir_all(&runs);
        let metrics = Arc::new(Metrics::new());
        let commits = metrics.journal_commits.clone();
        journal.watch_commits(move |took| commits.observe(took.as_secs_f64()));
        let secrets = Arc::new(Secrets::new(store.clone(), config.secrets.clone(), client.clone()));
        secrets.unlock().await?;
        let witness = Witness::new(&journal, &store, &metrics, &secrets, runs);
        let grants = Sealer::persistent(&path.join("seal.key")).map_err(state)?;
        let grants =
            Arc::new(grants::Shared::new(store.clone(), grants, client.clone(), secrets.clone()));
        let stored = Stored::read(&store).await?;
        let current = assemble(config, stored, None, &client, &witness, &grants)?;
        let authenticator = Authenticator::new(current.config.identity.loopback_open, None);
        let gateway = Arc::new_cyclic(|me| Gateway {
            changing: tokio::sync::Mutex::new(current.stored.generation),
            current: ArcSwap::from_pointee(current),
            me: me.clone(),
            journal,
            metrics,
            tracer: ArcSwapOption::empty(),
            exports: Exports::default(),
            store,
            decisions: Decisions::default(),
            secrets,
            flows: Flows::default(),
            stacks: Stacks::default(),
            sealer,
            sessions,
            pairs: Pairs::default(),
            in_flight: InFlight::default(),
            listening: InFlight::default(),
            noise: Noise::default(),
            changes: broadcast::channel(64).0,
            ending: watch::channel(false).0,
            applied: watch::channel(0).0,
            authenticator: ArcSwap::from_pointee(authenticator),
            run_token: OnceLock::new(),
            broker: ArcSwapOption::empty(),
            client,
            witness,
            decided: watch::channel(0).0,
            grants,
            boot: boot[..12].to_owned(),
            started: Instant::now(),
            calls: AtomicU64::new(1),
        });
        let current = gateway.current();
        gateway.journal.under(&current.policy_id);
        let note = audit::Record {
            kind: audit::Kind::System,
            detail: &format!("the gateway started, with {}", current.stored.named(&current.config)),
            ..audit::Record::default()
        };
        gateway
            .journal
            .append(&note)
            .await
            .map_err(|fault| StartFault::Audit { path: path.join("audit"), fault })?;
        let _ = gateway.grants.gateway.set(gateway.me.clone());
        gateway.serve_sign_in().await?;
        Ok(gateway)
    }

    /// Takes a new configuration: servers whose entry did not change keep their processes, sessions
    /// and catalogues. The address, TLS and the state folder need a restart.
    pub async fn apply(&self, config: Config) -> Result<(), StartFault> {
        let _alone = self.changing.lock().await;
        let stored = Stored::read(&self.store).await?;
        self.put_in_place(config, stored).await
    }

    /// Whoever calls it holds `changing`.
    pub(crate) async fn put_in_place(
        &self,
        config: Config,
        stored: Stored,
    ) -> Result<(), StartFault> {
        let old = self.current.load_full();
        self.secrets.apply(&config.secrets);
        let current =
            assemble(config, stored, Some(&old), &self.client, &self.witness, &self.grants)?;
        let run_token = self.run_token.get().copied();
        let authenticator = Authenticator::new(current.config.identity.loopback_open, run_token);
        let current = Arc::new(current);
        self.authenticator.store(Arc::new(authenticator));
        self.current.store(current.clone());
        self.journal.under(&current.policy_id);
        self.serve_sign_in().await?;
        if self.exports.are_served() {
            self.export();
            self.prewarm();
        }
        for (name, served) in &old.servers {
            let kept = current.servers.get(name).is_some_and(|now| Arc::ptr_eq(now, served));
            if !kept {
                served.shutdown().await;
            }
        }
        self.applied.send_modify(|count| *count += 1);
        let note = audit::Record {
            kind: audit::Kind::Config,
            detail: &format!("applied: {}", current.stored.named(&current.config)),
            ..audit::Record::default()
        };
        // The change holds already; a log that fails refuses the calls that follow.
        if let Err(fault) = self.append(&note).await {
            tracing::error!(%fault, "the change of configuration could not be recorded");
        }
        Ok(())
    }

    /// Starts what is to run before anybody calls.
    pub(crate) fn prewarm(&self) {
        for served in self.current().servers.values() {
            served.prewarm();
        }
    }

    /// Serves the configured destinations of the journal's records. A gateway without doors, which a command has
    /// for a moment, serves none.
    pub(crate) fn export(&self) {
        let config = &self.current().config;
        let folder = config.state_dir.join("export");
        let (journal, client, secrets) = (&self.journal, &self.client, &self.secrets);
        self.exports.serve(&config.exports, journal, client, secrets, &self.metrics, &folder);
    }

    /// Ends streams, sessions and processes.
    pub async fn shutdown(&self) {
        self.ending.send_replace(true);
        let current = self.current.load_full();
        futures_util::future::join_all(current.servers.values().map(|served| served.shutdown()))
            .await;
        let note = audit::Record {
            kind: audit::Kind::System,
            detail: "the gateway stopped",
            ..audit::Record::default()
        };
        let _ = self.append(&note).await;
        let _ = self.journal.close();
        self.exports.finish().await;
        self.store.close().await;
    }

    /// Lets the owner in over HTTP by this token from now on.
    pub(crate) fn take_run_token(&self, hash: TokenHash) {
        let hash = self.run_token.get_or_init(|| hash);
        let open = self.current().config.identity.loopback_open;
        self.authenticator.store(Arc::new(Authenticator::new(open, Some(*hash))));
    }

    /// Proves who is calling.
    pub async fn authenticate(
        &self,
        authorization: Option<&[u8]>,
        peer_is_loopback: bool,
        certificate: Option<&Verified>,
    ) -> Result<Verified, Refusal> {
        let authenticator = self.authenticator.load_full();
        let credentials = Credentials { authorization, peer_is_loopback, certificate };
        let now = crate::now();
        let lookup = match authenticator.begin(credentials, now) {
            Ok(Step::Verified(verified)) => return Ok(verified),
            Ok(Step::Lookup(lookup)) => lookup,
            Ok(Step::Jwt(token)) => {
                let current = self.current();
                let (verified, believed) = match Box::pin(self.own_token(token.text())).await {
                    Some(own) => (own?, Authenticator::CACHE_SECONDS),
                    None => (
                        Box::pin(current.prove(token.text(), now)).await?,
                        current.config.identity.recheck.as_secs(),
                    ),
                };
                let until = now + believed;
                authenticator.keep(token, &verified, until);
                return Ok(verified);
            }
            Err(fault) => return Err(Refusal::Authentication(fault)),
        };
        let record = self.token_record(lookup.hash()).await?;
        authenticator.finish(lookup, record.as_ref(), now).map_err(Refusal::Authentication)
    }

    /// A minted token as the store has it now.
    pub(crate) async fn token_record(
        &self,
        hash: &TokenHash,
    ) -> Result<Option<TokenRecord>, Refusal> {
        let found = self
            .store
            .token_find(hash.as_bytes())
            .await
            .map_err(|fault| Refusal::StoreUnavailable(fault.to_string()))?;
        Ok(found.map(|token| TokenRecord {
            name: token.name,
            roles: token.roles,
            hash: TokenHash::from_bytes(token.hash),
            created: token.created,
            expires: token.expires,
            revoked: token.revoked,
        }))
    }

    /// Forgets whom tokens proved: some of them no longer do.
    pub(crate) fn forget_verified(&self) {
        self.authenticator.load().forget();
    }

    /// What the record of somebody who was refused says. `None`: too many were refused who never got in; they are
    /// counted, not written line by line.
    pub(crate) fn admit_refusal(&self, known: bool, mut detail: String) -> Option<String> {
        let unwritten = self.noise.admit(known, crate::now())?;
        if unwritten > 0 {
            detail.push_str(&format!(" (and {unwritten} more refusals before it)"));
        }
        Some(detail)
    }

    /// Records a refusal that no call's record holds, and gives it back; the reply may leave then.
    /// A flood of requests that never got in is counted, not written line by line.
    pub async fn refuse(&self, caller: Option<&Verified>, refusal: Refusal) -> Refusal {
        self.refuse_in(None, caller, refusal).await
    }

    /// The same of a request that says in which trace it stands.
    pub(crate) async fn refuse_in(
        &self,
        trace: Option<&Context>,
        caller: Option<&Verified>,
        refusal: Refusal,
    ) -> Refusal {
        self.metrics.refused("", refusal.label());
        let Some(detail) = self.admit_refusal(caller.is_some(), refusal.to_string()) else {
            return refusal;
        };
        let kind = match &refusal {
            Refusal::Authentication(_) => audit::Kind::Auth,
            _ => audit::Kind::Refusal,
        };
        let principal = caller.map(|caller| caller.principal().id()).unwrap_or_default();
        let dropped = self
            .tracer
            .load()
            .as_ref()
            .is_some_and(|tracer| tracer.refused(trace, principal, refusal.label()));
        if dropped {
            self.metrics.span_dropped();
        }
        let who = caller.map(Who::new);
        let record = audit::Record {
            kind,
            outcome: Some(audit::Outcome::Refused),
            refusal: refusal.label(),
            trace: trace.map_or("", |place| place.parent.trace()),
            detail: &detail,
            ..who.as_ref().map(Who::record).unwrap_or_default()
        };
        match self.append(&record).await {
            Ok(()) => refusal,
            Err(fault) => fault,
        }
    }

    /// Whether a handshake client may subscribe to a URI as its door shows it.
    pub(crate) fn may_subscribe(
        &self,
        caller: &Verified,
        call: &crate::call::Call,
        uri: &str,
    ) -> bool {
        match &call.scope {
            crate::call::Scope::One(server) => self.may_read(caller, call, server, uri),
            crate::call::Scope::All => {
                mcp::ServerName::unwrap_uri(uri).is_some_and(|(server, own)| {
                    self.served(server)
                        .is_some_and(|served| self.may_read(caller, call, served.name(), &own))
                })
            }
        }
    }

    /// What is configured now.
    pub fn current(&self) -> Arc<Current> {
        self.current.load_full()
    }

    /// The same, for a look that is over before the next `await`.
    pub(crate) fn glance(&self) -> Guard<Arc<Current>> {
        self.current.load()
    }

    /// A server by its name.
    pub fn served(&self, name: &str) -> Option<Arc<Served>> {
        self.glance().servers.get(name).cloned()
    }

    /// The servers of which anything could be allowed to this caller. Others are not even contacted.
    pub(crate) fn touchable(&self, caller: &Verified) -> impl Iterator<Item = Arc<Served>> + use<> {
        let current = self.current.load_full();
        let may = |served: &&Arc<Served>| {
            current.policy.may_touch(&crate::decide::view(caller), served.name().as_str())
        };
        let servers: Vec<_> = current.servers.values().filter(may).cloned().collect();
        servers.into_iter()
    }

    /// A server by its name, if anything of it could be allowed to this caller.
    pub fn served_to(&self, caller: &Verified, name: &str) -> Option<Arc<Served>> {
        let current = self.glance();
        let may = current.policy.may_touch(&crate::decide::view(caller), name);
        current.servers.get(name).filter(|_| may).cloned()
    }

    pub(crate) fn arc(&self) -> Option<Arc<Gateway>> {
        self.me.upgrade()
    }

    pub(crate) fn next_call_id(&self) -> String {
        format!("{}-{}", self.boot, self.next_number())
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    /// Differs each time that a gateway starts.
    pub(crate) fn boot(&self) -> &str {
        &self.boot
    }

    /// Tells listeners that a list is not what it was.
    pub(crate) fn changed(&self, listed: Listed) {
        // No listener is no fault.
        let _ = self.changes.send(listed);
    }
}

fn assemble(
    config: Config,
    stored: Stored,
    old: Option<&Current>,
    client: &HttpClient,
    witness: &Witness,
    grants: &Arc<grants::Shared>,
) -> Result<Current, StartFault> {
    let policy = stored.policy(&config)?;
    let mut servers = BTreeMap::new();
    for entry in &config.servers {
        let name: Box<str> = entry.name.as_str().into();
        let kept = old
            .filter(|old| old.config.limits == config.limits)
            .and_then(|old| old.servers.get(&name))
            .filter(|served| served.entry == *entry && served.guard.acts(config.on_leak))
            .cloned();
        let served = match kept {
            Some(served) => served,
            None => Arc::new(
                Served::new(entry.clone(), client, witness, &config.limits, config.on_leak, grants)
                    .map_err(|fault| StartFault::Credential { server: name.to_string(), fault })?,
            ),
        };
        servers.insert(name, served);
    }
    let kept = old.map(|old| &old.providers);
    let providers = Providers::new(&config.identity.providers, kept, client, witness.secrets())?;
    let offered = Offered::new(&config);
    let limiters = Limiters::new(&config.limits_on, old.map(|old| &old.limiters));
    let inspector = Inspector::new(config.inspection.clone(), client, witness.secrets())?;
    let mut models = BTreeMap::new();
    for entry in &config.models {
        let name: Box<str> = entry.name.as_str().into();
        let kept = old
            .and_then(|old| old.models.get(&name))
            .filter(|held| held.entry == *entry && held.guard.acts(config.on_leak));
        let served = match kept {
            Some(kept) => kept.clone(),
            None => {
                let journal = witness.journal();
                Arc::new(ServedModel::new(entry.clone(), config.on_leak, journal, grants))
            }
        };
        models.insert(name, served);
    }
    let exchanges = config.servers.iter().filter_map(|entry| entry.exchange.as_ref());
    let mut exchanges = exchanges.chain(config.models.iter().filter_map(|entry| entry.exchange()));
    let acts_for_callers = exchanges.any(Exchange::is_for_callers);
    let policy_id = stored.digest(&config).map(|digest| digest[..16].into()).unwrap_or_default();
    Ok(Current {
        config,
        stored,
        policy_id,
        policy,
        limiters,
        providers,
        offered,
        inspector,
        acts_for_callers,
        servers,
        models,
    })
}

/// The state folder belongs to its owner alone.
fn make_private(path: &std::path::Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
