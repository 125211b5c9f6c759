//! `outdated`: what changed upstream since it was locked.

use serde::Serialize;

use super::lock::{
    PackageInstaller, bundle_sha256, local_servers, npm_latest, pypi_latest, read_document,
};
use super::{load, wait};
use crate::cli::{Global, RegistryArgs};
use crate::lock::{self, Kind, Package, Source};
use crate::outcome::Mistake;
use crate::{print, state};

pub fn run(global: &Global, args: &RegistryArgs) -> anyhow::Result<()> {
    let loaded = load(global)?;
    let folder = loaded.folder();
    let packages = lock::read(&folder)?;
    if packages.is_empty() {
        let mend = "`bartizan lock` locks what the servers are made of";
        return Err(Mistake::new("nothing is locked yet", mend).into());
    }
    let state = state::folder(global.state_dir.clone())?;
    let installer = PackageInstaller::new(&state, args)?;
    let mut rows = Vec::new();
    for (name, server) in local_servers(&loaded, args.server.as_deref())? {
        let Some(package) = packages.get(name) else { continue };
        let launch = super::lock::launch(server, &folder);
        let bar = print::waiting(&format!("{name}: asking"));
        let now = wait(async { now(&installer, package, launch?.source).await });
        bar.finish_and_clear();
        rows.push(Row::new(name, package, now));
    }
    print::rows(global.output, &rows, "nothing is locked")
}

/// What would be locked now: a version, or a digest.
async fn now(
    installer: &PackageInstaller<'_>,
    package: &Package,
    source: Source,
) -> anyhow::Result<String> {
    Ok(match (package.kind, source) {
        (_, Source::Document { place }) => read_document(&place, installer.args()).await?.version,
        (_, Source::Bundle { place }) => bundle_sha256(&place, installer.args()).await?.to_string(),
        (Kind::Npm, _) => npm_latest(installer, &package.name).await?,
        (Kind::Pypi, _) => pypi_latest(installer, &package.name).await?,
        (_, Source::File { path, .. }) => sandbox::package::file_digest(&path)?.to_string(),
        (_, Source::Folder { folder, .. }) => sandbox::package::tree_digest(&folder)?.to_string(),
        _ => package.digest.clone(),
    })
}

#[derive(Serialize)]
struct Row {
    server: String,
    package: String,
    locked: String,
    /// `None` when nobody could tell.
    now: Option<String>,
    changed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

impl Row {
    fn new(server: &str, package: &Package, now: anyhow::Result<String>) -> Row {
        let digest = || package.integrity.as_ref().unwrap_or(&package.digest).clone();
        // A bundle says what version it is, but what it is its digest says.
        let by_digest = package.kind == Kind::Mcpb && package.spec.starts_with("mcpb:");
        let version = package.version.clone().filter(|_| !by_digest);
        let locked = version.unwrap_or_else(digest);
        let (now, fault) = match now {
            Ok(now) => (Some(now), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        Row {
            server: server.to_owned(),
            package: package.name.clone(),
            changed: now.as_ref().is_some_and(|now| *now != locked),
            locked,
            now,
            fault,
        }
    }
}

impl print::Row for Row {
    const TITLES: &'static [&'static str] = &["SERVER", "PACKAGE", "LOCKED", "NOW"];

    fn cells(&self) -> Vec<String> {
        let now = match (&self.now, &self.fault) {
            (Some(_), _) if !self.changed => "the same".to_owned(),
            (Some(now), _) => print::tame(now),
            (None, fault) => {
                format!("unknown: {}", print::tame(fault.as_deref().unwrap_or_default()))
            }
        };
        vec![self.server.clone(), self.package.clone(), self.locked.clone(), now]
    }
}
