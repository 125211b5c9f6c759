//! From what is written to what the gateway serves.

use std::path::{Path, PathBuf};

use gateway::config as resolved;
use upstream::EraChoice;

use super::{
    Loaded,
    egress::{DescriptorText, EgressHost, EnvValue, SecretEnv, ShapeText},
    file::{self, Era, File, Loopback, Provider},
    flow::{Conversation, labels},
    provider,
    trust::Trust,
    value::ProviderKey,
};
use crate::lock;

/// The name of the server that is offered where there is no configuration file.
pub const DEMO: &str = "demo";

/// Why a configuration that was checked can't be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveFault {
    /// The demo server is this very program.
    #[error("this program's own file is not known: {0}")]
    OwnFile(#[from] std::io::Error),
    /// A name that only the gateway knows to refuse.
    #[error(transparent)]
    Name(#[from] mcp::NameFault),
    /// What was locked does not fit the configuration.
    #[error("{0}")]
    Lock(String),
    /// What `[sign-in]` needs can't be had.
    #[error("[sign-in] {0}")]
    SignIn(String),
    /// Rules of the detectors.
    #[error("{0}")]
    Rules(String),
    /// What an exchange needs can't be had.
    #[error("exchange: {0}")]
    Exchange(String),
    /// A key that can't be used.
    #[error(transparent)]
    Key(#[from] super::trust::KeyFault),
    /// A header that can't be a credential.
    #[error(transparent)]
    Credential(#[from] vault::VaultFault),
}

/// What the gateway serves: the file's servers, or the demo server where there is no file.
pub fn resolve(loaded: &Loaded, state_dir: &Path) -> Result<resolved::Config, ResolveFault> {
    let folder = std::path::absolute(loaded.folder())?;
    let File {
        listen,
        separator,
        hosts,
        public_url,
        origins,
        tls,
        identity,
        sign_in: _,
        roles,
        policy: _,
        network,
        servers,
        models,
        vault: _,
        secrets: _,
        trust,
        flow,
        call_stack,
        limits,
        approvals,
        inspect,
        leaks,
        audit,
        alerts,
        telemetry,
        export,
    } = &loaded.file;
    let mut entries = Vec::new();
    for (key, server) in servers {
        if server.get_ref().enabled {
            entries.extend(entry(key.0.clone(), server.get_ref(), trust, &folder)?);
        }
    }
    if loaded.path.is_none() {
        entries.push(demo()?);
    } else {
        locked(&mut entries, &folder, state_dir)?;
    }
    let mut config = resolved::Config {
        digest: loaded.path.is_some().then(|| loaded.digest()),
        listen: listen.get_ref().0,
        tls: tls.as_ref().map(|tls| resolved::Tls {
            cert: folder.join(tls.cert.get_ref()),
            key: folder.join(tls.key.get_ref()),
            client_ca: tls.client_ca.as_ref().map(|path| folder.join(path.get_ref())),
        }),
        hosts: hosts.iter().map(|host| host.0.clone()).collect(),
        origins: origins.iter().map(|origin| origin.0.clone()).collect(),
        separator: separator.separator.clone(),
        public_url: public_url.as_ref().map(|url| url.get_ref().as_str().to_owned()),
        identity: resolved::Identity {
            loopback_open: identity.loopback == Loopback::Open,
            recheck: identity.recheck.get_ref().0,
            providers: Vec::new(),
        },
        sign_in: super::sign_in::resolve(&loaded.file, &folder)?,
        roles: super::roles::resolved(roles).collect(),
        policies: loaded.policies.clone(),
        read_roles: super::roles::read_shared,
        network: network.resolve(),
        servers: entries,
        models: super::models::resolve(models, &folder)?,
        limits: resolve_limits(limits),
        limits_on: limits.on.iter().map(|(key, on)| on.resolve(&key.0)).collect(),
        approvals: approvals.resolve(),
        inspection: inspect.resolve(&folder).map_err(ResolveFault::Rules)?,
        alerts: alerts.resolve(&folder),
        audit: audit.resolve(&folder),
        on_leak: leaks.resolve(),
        telemetry: telemetry.resolve(),
        exports: super::export::resolve(export, &folder)?,
        trust: resolved::Trust {
            pass: trust.pass.iter().map(|class| class.0).collect(),
            recheck: trust.recheck.0,
            keys: trust.key_ring(&folder)?,
        },
        flow: resolved::Flow {
            rules: flow.rules.iter().map(|rule| rule.0).collect(),
            conversations: match flow.conversation {
                Conversation::Principal => resolved::Conversations::Principal,
                Conversation::Session => resolved::Conversations::Session,
            },
            forget_after: flow.forget_after.0,
        },
        call_stack: call_stack.as_ref().map(|rules| rules.resolve()),
        secrets: super::vault::resolve(&loaded.file, &folder, state_dir)?,
        store: state_dir.join(resolved::STORE),
        state_dir: state_dir.to_owned(),
    };
    let ours = config.resources();
    let provider = |(key, written): (&ProviderKey, &toml::Spanned<Provider>)| {
        provider::resolve(&key.0, written.get_ref(), &ours, &folder)
    };
    config.identity.providers = identity.providers.iter().filter_map(provider).collect();
    Ok(config)
}

fn resolve_limits(limits: &file::Limits) -> resolved::Limits {
    resolved::Limits {
        message_bytes: limits.body.0,
        header_bytes: limits.header.0,
        depth: limits.depth.0 as usize,
        argument_bytes: limits.arguments.0,
        connections: limits.connections.0 as usize,
        sessions: limits.sessions.0 as usize,
        sessions_per_principal: limits.sessions_per_principal.0 as usize,
        session_idle: limits.session_idle.0,
        in_flight_per_principal: limits.in_flight_per_principal.0 as usize,
        list_deadline: limits.list_deadline.0,
    }
}

/// `None` for an entry that has no way to be reached, which the check has refused already.
fn entry(
    name: mcp::ServerName,
    server: &file::Server,
    trust: &Trust,
    folder: &Path,
) -> Result<Option<resolved::Server>, ResolveFault> {
    let reach = match (&server.url, &server.command) {
        (Some(url), _) => resolved::Reach::Http {
            url: url.get_ref().0.clone(),
            allow_private: server.allow_private,
        },
        (None, Some(command)) => resolved::Reach::Stdio {
            command: program(command.get_ref(), folder),
            args: server.args.iter().map(|arg| arg.get_ref().clone()).collect(),
            env: plain(server),
            descriptors: descriptors(server),
            egress: resolve_egress(server).map(Box::new),
            package: None,
            cwd: server.cwd.as_ref().map(|cwd| folder.join(cwd.get_ref())),
            sandbox: Box::new(resolve_sandbox(&server.sandbox, folder)),
        },
        (None, None) => return Ok(None),
    };
    let credentials = server.injected(name.as_str()).resolve(folder)?;
    let exchange = server.exchange.as_ref().map(|written| written.get_ref().resolve(folder));
    let era = match server.era {
        Era::Auto => EraChoice::Auto,
        Era::Handshake => EraChoice::Handshake,
        Era::Stateless => EraChoice::Stateless,
    };
    Ok(Some(resolved::Server {
        name,
        reach,
        era,
        shared: server.shared,
        prewarm: server.prewarm,
        timeout: server.timeout.0,
        credentials,
        oauth: server.oauth.as_ref().map(|oauth| resolve_oauth(oauth.get_ref())),
        exchange: exchange.transpose()?,
        first_use: server.on_first_use.unwrap_or(trust.on_first_use).into(),
        proofs: resolved::Proofs {
            definitions: server.require_signature.clone(),
            calls: server.require_signed_calls.clone(),
            bound_tokens: server.require_bound_tokens,
        },
        labels: policy::Labelled::new(
            labels(&server.reads, &server.writes),
            server.tools.iter().map(|(name, own)| (name.clone(), labels(&own.reads, &own.writes))),
        ),
    }))
}

/// Servers that were locked start from the bytes that were.
fn locked(
    entries: &mut [resolved::Server],
    folder: &Path,
    state_dir: &Path,
) -> Result<(), ResolveFault> {
    let packages = lock::read(folder).map_err(|fault| ResolveFault::Lock(fault.to_string()))?;
    for entry in entries {
        let name = entry.name.as_str();
        if let resolved::Reach::Stdio { command, args, cwd, package, .. } = &mut entry.reach {
            let Some(found) = packages.get(name) else {
                if lock::fetched(command, folder).is_some() {
                    return Err(ResolveFault::Lock(format!(
                        "the server `{name}` starts from what was locked, and nothing is: `bartizan lock {name}`"
                    )));
                }
                continue;
            };
            let launch = lock::Launch::of(command, args, cwd.as_deref().unwrap_or(folder));
            let locked = launch.and_then(|launch| found.locked(launch, state_dir));
            let mend = format!("`bartizan lock {name}` locks what the entry says now");
            let locked = locked.map_err(|why| {
                ResolveFault::Lock(format!(
                    "the lock of the server `{name}` does not hold: {why}; {mend}"
                ))
            })?;
            *package = locked.map(Box::new);
        }
    }
    Ok(())
}

/// The variables that the process gets as they are.
fn plain(server: &file::Server) -> Vec<(String, vault::Reference)> {
    let plain = server.env.iter().filter_map(|(name, value)| match value.get_ref() {
        EnvValue::Plain(template) => Some((name.clone(), template.reference.clone())),
        EnvValue::Secret(_) => None,
    });
    plain.collect()
}

/// Those that say where it reads a secret.
fn descriptors(server: &file::Server) -> Vec<resolved::Descriptor> {
    let descriptor = server.env.iter().filter_map(|(name, value)| {
        let EnvValue::Secret(secret) = value.get_ref() else { return None };
        Some(resolved::Descriptor {
            variable: name.clone(),
            value: secret.secret.reference.clone(),
            said: match secret.descriptor? {
                DescriptorText::Number => resolved::DescriptorSaid::Number,
                DescriptorText::Path => resolved::DescriptorSaid::Path,
            },
        })
    });
    descriptor.collect()
}

fn resolve_egress(server: &file::Server) -> Option<resolved::Egress> {
    let egress = server.egress.as_ref()?;
    let secrets = server.env.iter().filter_map(|(name, value)| match value.get_ref() {
        EnvValue::Plain(_) => None,
        EnvValue::Secret(secret) => {
            secret.descriptor.is_none().then(|| resolve_secret(name, secret))
        }
    });
    Some(resolved::Egress {
        rules: sandbox::gate::Rules {
            list: egress.hosts.iter().map(|host| EgressHost::rule(host.get_ref())).collect(),
            learn: egress.learn,
        },
        secrets: secrets.collect(),
        limits: sandbox::gate::Limits {
            connections: egress.connections.0,
            sent: egress.sent.0 as u64,
            received: egress.received.0 as u64,
        },
    })
}

fn resolve_secret(variable: &str, secret: &SecretEnv) -> resolved::EgressSecret {
    resolved::EgressSecret {
        variable: variable.to_owned(),
        value: secret.secret.reference.clone(),
        hosts: secret.hosts.iter().map(|host| host.pattern.clone()).collect(),
        // Each was parsed as a header's name when it was read.
        headers: secret.headers.iter().filter_map(|header| header.0.parse().ok()).collect(),
        query: secret.query.clone(),
        methods: secret.methods.iter().map(|method| method.0.clone()).collect(),
        shape: match secret.shape {
            ShapeText::Marked => sandbox::gate::Shape::Marked,
            ShapeText::Same => sandbox::gate::Shape::Same,
        },
    }
}

fn resolve_sandbox(sandbox: &file::Sandbox, folder: &Path) -> resolved::Sandbox {
    let paths = |paths: &[toml::Spanned<PathBuf>]| {
        paths.iter().map(|path| folder.join(path.get_ref())).collect()
    };
    resolved::Sandbox {
        level: match sandbox.level {
            file::Level::Strong => sandbox::Level::Strong,
            file::Level::Basic => sandbox::Level::Basic,
            file::Level::Off => sandbox::Level::Off,
        },
        read: paths(&sandbox.read),
        write: paths(&sandbox.write),
        limits: sandbox::Limits {
            memory: sandbox.memory.0 as u64,
            processes: sandbox.processes.0.into(),
            descriptors: sandbox.descriptors.0.into(),
            disk: sandbox.disk.0 as u64,
            cpu: sandbox.cpu.map(|percent| percent.0),
        },
        calls: match sandbox.calls.as_slice() {
            _ if sandbox.learn => sandbox::Calls::Learned,
            [] => sandbox::Calls::All,
            some => sandbox::Calls::Only(some.iter().map(|call| call.get_ref().clone()).collect()),
        },
    }
}

fn resolve_oauth(oauth: &file::OAuth) -> gateway::grants::OAuth {
    use gateway::grants;
    let client = oauth.client_id.clone().map(|id| grants::Registered {
        id,
        secret: oauth.client_secret.as_ref().map(|value| value.get_ref().reference.clone()),
        issuer: oauth.issuer.clone(),
    });
    grants::OAuth {
        grant: match oauth.grant {
            file::GrantKind::User => grants::GrantKind::User,
            file::GrantKind::Client => grants::GrantKind::Client,
        },
        client,
        // What is an URL for HTTP is one for the crate `url` too.
        document: oauth
            .client_document
            .as_ref()
            .and_then(|url| url.get_ref().0.to_string().parse().ok()),
        scopes: oauth.scopes.iter().map(String::as_str).collect(),
    }
}

/// A path begins at the file's folder; a bare name is looked for in PATH.
pub(super) fn program(command: &str, folder: &Path) -> String {
    let path = PathBuf::from(command);
    if command.contains("://") {
        command.to_owned()
    } else if command.contains('/') && path.is_relative() {
        folder.join(path).to_string_lossy().into_owned()
    } else {
        command.to_owned()
    }
}

fn demo() -> Result<resolved::Server, ResolveFault> {
    let server = file::Server::default();
    Ok(resolved::Server {
        name: mcp::ServerName::new(DEMO)?,
        reach: resolved::Reach::Stdio {
            command: std::env::current_exe()?.to_string_lossy().into_owned(),
            args: vec!["demo-server".to_owned()],
            env: Vec::new(),
            descriptors: Vec::new(),
            egress: None,
            package: None,
            cwd: None,
            sandbox: Box::default(),
        },
        era: EraChoice::Auto,
        shared: false,
        prewarm: false,
        timeout: server.timeout.0,
        credentials: vault::Credentials::default(),
        oauth: None,
        exchange: None,
        // It is this very program.
        first_use: trust::FirstUse::Approve,
        proofs: resolved::Proofs::default(),
        labels: policy::Labelled::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_limits_are_the_gateways_own() {
        assert_eq!(resolve_limits(&file::Limits::default()), resolved::Limits::default());
    }

    #[test]
    fn the_documented_sandbox_is_the_gateways_own() {
        let own = resolve_sandbox(&file::Sandbox::default(), Path::new("/"));
        assert_eq!(own, resolved::Sandbox::default());
    }

    #[test]
    fn paths_begin_at_the_files_folder_and_disabled_servers_are_left_out() {
        let text = "[servers.a]\ncommand = \"./run\"\ncwd = \"data\"\n[servers.b]\ncommand = \"npx\"\n[servers.c]\nurl = \"https://x/mcp\"\nenabled = false\n";
        let loaded =
            super::super::parse(Path::new("/etc/bartizan/bartizan.toml"), text.to_owned()).unwrap();
        let config = resolve(&loaded, Path::new("/state")).unwrap();
        let reached: Vec<_> =
            config.servers.iter().map(|server| (server.name.as_str(), &server.reach)).collect();
        let stdio = |command: &str, cwd: Option<&str>| resolved::Reach::Stdio {
            command: command.into(),
            args: vec![],
            env: vec![],
            descriptors: vec![],
            egress: None,
            package: None,
            cwd: cwd.map(PathBuf::from),
            sandbox: Box::default(),
        };
        assert_eq!(
            reached,
            [
                ("a", &stdio("/etc/bartizan/./run", Some("/etc/bartizan/data"))),
                ("b", &stdio("npx", None))
            ]
        );
    }

    #[test]
    fn without_a_file_there_is_the_demo_server() {
        let config = resolve(&Loaded::none(), Path::new("/state")).unwrap();
        assert_eq!(
            config.servers.iter().map(|server| server.name.as_str()).collect::<Vec<_>>(),
            [DEMO]
        );
        assert_eq!(config.listen, file::DEFAULT_LISTEN);
    }
}
