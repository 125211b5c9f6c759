//! Where packages are installed: in a sandbox that holds no secret and reaches the registry alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use sandbox::gate::{GateSpec, Host, HostPattern, Limits, Prepared, Rule, Rules, Tls, Verdict};
use sandbox::package::{Digest, tree_digest};
use tokio::time::timeout;

use crate::cli::RegistryArgs;
use crate::lock::PACKAGES;
use crate::state::Scratch;

/// For one step of an installation.
const PATIENCE: Duration = Duration::from_secs(600);

pub struct Installer<'a> {
    state: &'a Path,
    args: &'a RegistryArgs,
    trust: Arc<rustls::ClientConfig>,
}

/// A place to install in, which goes when it is dropped unless it was kept.
pub struct Stage {
    scratch: Scratch,
}

impl Stage {
    pub fn path(&self) -> &Path {
        self.scratch.path()
    }
}

impl<'a> Installer<'a> {
    pub fn new(state: &'a Path, args: &'a RegistryArgs) -> anyhow::Result<Installer<'a>> {
        let trust = Arc::new(upstream::HttpClient::trust()?);
        Ok(Installer { state, args, trust })
    }

    /// What was asked for on the command line.
    pub fn args(&self) -> &RegistryArgs {
        self.args
    }

    /// Where a package with this digest is.
    pub fn installed(&self, digest: Digest) -> PathBuf {
        self.state.join(PACKAGES).join(digest.hex())
    }

    pub fn stage(&self) -> anyhow::Result<Stage> {
        Ok(Stage { scratch: Scratch::new()? })
    }

    /// Runs a package manager on a stage. It reaches `registry` and nothing else.
    pub async fn run(
        &self,
        stage: &Stage,
        registry: &[Rule],
        command: &str,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> anyhow::Result<Output> {
        let refused: Arc<Mutex<Vec<String>>> = Arc::default();
        let gate = self.gate(registry, refused.clone())?;
        let mut profile = sandbox::Profile::new("lock", command);
        profile.args = args.iter().map(|&arg| arg.to_owned()).collect();
        profile.env = gate.environment();
        let home = ("HOME", "/tmp");
        let own = env.iter().chain([&home]);
        profile.env.extend(own.map(|&(name, value)| (name.to_owned(), value.to_owned())));
        profile.files = gate.files();
        profile.network = gate.network();
        profile.write = vec![stage.path().to_owned()];
        profile.cwd = Some(stage.path().to_owned());
        profile.limits.memory = 2 << 30;
        profile.limits.disk = 2 << 30;
        profile.limits.processes = 256;
        let spawned = sandbox::spawn(&profile)?;
        let gate = gate.start(spawned.gate.context("the sandbox has no network of its own")?);
        let mut child = spawned.child;
        drop(child.stdin.take());
        let output = timeout(PATIENCE, child.wait_with_output()).await;
        drop(gate);
        let output = output.with_context(|| format!("{command} took more than ten minutes"))??;
        if output.status.success() {
            return Ok(output);
        }
        let refused = refused.lock().unwrap_or_else(PoisonError::into_inner).join("; ");
        let refused = match refused.is_empty() {
            true => String::new(),
            false => format!(" (refused on the way: {refused})"),
        };
        bail!("{command} {} failed{refused}: {}", args[0], tail(&output.stderr));
    }

    fn gate(
        &self,
        registry: &[Rule],
        refused: Arc<Mutex<Vec<String>>>,
    ) -> anyhow::Result<Prepared> {
        let mut list = registry.to_vec();
        for host in &self.args.host {
            list.push(rule(host.pattern.clone(), host.port.unwrap_or(443)));
        }
        for rule in &mut list {
            rule.allow_private |= self.args.allow_private;
        }
        let spec = GateSpec {
            rules: Rules { list, learn: false },
            secrets: Vec::new(),
            limits: Limits { connections: 128, sent: 1 << 30, received: 8 << 30 },
            dial: gateway::egress::dial(),
            trust: self.trust.clone(),
            roots: String::new(),
            record: Arc::new(move |event| {
                if let Verdict::Refused(reason) = &event.verdict {
                    let mut refused = refused.lock().unwrap_or_else(PoisonError::into_inner);
                    if refused.len() < 8 {
                        refused.push(format!("{} {reason}", event.subject.host));
                    }
                }
                Box::pin(async { true })
            }),
        };
        Ok(Prepared::new(spec)?)
    }

    /// Moves a finished tree to where packages are, by its digest.
    pub fn keep(&self, tree: &Path) -> anyhow::Result<Digest> {
        let digest = tree_digest(tree)?;
        let folder = self.installed(digest);
        let packages = self.state.join(PACKAGES);
        fs::create_dir_all(&packages)?;
        if folder.is_dir() {
            self.remove(&folder)?;
        }
        // A stage may be on another file system than the state folder.
        let beside = packages.join(format!(".{}.new", std::process::id()));
        let _ = fs::remove_dir_all(&beside);
        copy(tree, &beside).with_context(|| format!("{}", beside.display()))?;
        fs::rename(&beside, &folder)?;
        Ok(digest)
    }

    pub fn remove(&self, folder: &Path) -> anyhow::Result<()> {
        fs::remove_dir_all(folder).with_context(|| format!("{}", folder.display()))
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&path, &copied)?;
        } else if kind.is_symlink() {
            #[cfg(unix)]
            std::os::unix::fs::symlink(fs::read_link(&path)?, &copied)?;
        } else {
            fs::copy(&path, &copied)?;
        }
    }
    Ok(())
}

/// A registry only answers.
pub fn rule(host: HostPattern, port: u16) -> Rule {
    Rule {
        host,
        ports: vec![port],
        methods: vec![http::Method::GET, http::Method::HEAD],
        paths: Vec::new(),
        tls: Tls::Terminate,
        allow_private: false,
    }
}

/// The rule for a registry's URL.
pub fn rule_of(url: &str) -> anyhow::Result<Rule> {
    let uri: http::Uri = url.parse().with_context(|| format!("`{url}`"))?;
    let tls = uri.scheme_str() == Some("https");
    let host = uri.host().and_then(Host::parse);
    let host = host.with_context(|| format!("`{url}` names no host"))?;
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    Ok(rule(HostPattern::Exact(host), port))
}

/// The setting of a tool that the user has configured, read outside of the sandbox: it runs nobody's package.
pub async fn setting(command: &str, args: &[&str]) -> Option<String> {
    let mut command = tokio::process::Command::new(command);
    let output = command.args(args).stdin(std::process::Stdio::null()).output();
    let output = timeout(Duration::from_secs(60), output).await.ok()?.ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty() && text != "undefined").then_some(text)
}

/// The interpreter itself: a version manager's shim looks for it in places that are not in the sandbox.
pub async fn python() -> String {
    let own = ["-c", "import sys; print(sys.executable)"];
    setting("python3", &own).await.unwrap_or_else(|| "python3".to_owned())
}

fn tail(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(6)..].join(" / ")
}
