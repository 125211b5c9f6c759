//! `lock`: which bytes each local server is made of, installed and written down.

mod bundle;
mod document;
mod install;
mod npm;
mod pypi;

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::Path;

use anyhow::Context as _;
use sandbox::package::{Digest, file_digest, tree_digest};
use serde::Serialize;

use super::{load, wait};
use crate::cli::{Global, LockArgs, Output};
use crate::config::{Loaded, file::Server};
use crate::lock::{self, Kind, Launch, Package, Source};
use crate::outcome::{Mistake, Told};
use crate::{print, state};

use install::Installer;

pub fn run(global: &Global, args: &LockArgs) -> anyhow::Result<()> {
    let loaded = load(global)?;
    let wanted = local_servers(&loaded, args.registry.server.as_deref())?;
    let state = state::folder(global.state_dir.clone())?;
    state::make(&state)?;
    let folder = loaded.folder();
    let mut packages = if args.update && args.registry.server.is_none() {
        BTreeMap::new()
    } else {
        lock::read(&folder)?
    };
    let installer = Installer::new(&state, &args.registry)?;
    let mut rows = Vec::new();
    for (name, server) in &wanted {
        let known = packages.get(*name).filter(|_| !args.update).cloned();
        if !std::io::stderr().is_terminal() {
            eprintln!("{name}: finding out what would run");
        }
        let bar = print::waiting(&format!("{name}: finding out what would run"));
        let locked = wait(lock_one(&installer, server, &folder, known));
        bar.finish_and_clear();
        match locked {
            Ok(package) => {
                rows.push(Row::locked(name, &package));
                packages.insert((*name).to_owned(), package);
            }
            Err(error) => {
                let row = Row::failed(name, &error);
                if global.output == Output::Table {
                    let fault = row.fault.as_deref().unwrap_or_default();
                    eprintln!("error: {name} is not locked: {}", print::tame(fault));
                    if fault.contains("private") && !args.registry.allow_private {
                        eprintln!(
                            "  = help: --allow-private, if the registry is in the local network"
                        );
                    }
                }
                rows.push(row);
            }
        }
    }
    packages.retain(|name, _| loaded.file.servers.keys().any(|key| key.0.as_str() == name));
    lock::write(&folder, &packages).context("bartizan.lock can't be written")?;
    print::rows(global.output, &rows, "no server is started by a command")?;
    if rows.iter().any(|row| row.fault.is_some()) { Err(Told::failure().into()) } else { Ok(()) }
}

/// The enabled servers with a command: all, or the one that was named.
pub(super) fn local_servers<'a>(
    loaded: &'a Loaded,
    named: Option<&str>,
) -> Result<Vec<(&'a str, &'a Server)>, Mistake> {
    let all = loaded.file.servers.iter().map(|(key, server)| (key.0.as_str(), server.get_ref()));
    let local = all.filter(|(_, server)| server.enabled && server.command.is_some());
    let found: Vec<_> =
        local.filter(|(name, _)| named.is_none_or(|named| named == *name)).collect();
    match named {
        Some(named) if found.is_empty() => {
            let mend = "`bartizan list --offline` shows the servers";
            Err(Mistake::new(format!("no server that is started here is called `{named}`"), mend))
        }
        _ => Ok(found),
    }
}

/// What a server's entry starts.
pub(super) fn launch(server: &Server, folder: &Path) -> anyhow::Result<Launch> {
    let command = server.command.as_ref().map(|command| command.get_ref().as_str());
    let args: Vec<String> = server.args.iter().map(|arg| arg.get_ref().clone()).collect();
    let folder = std::path::absolute(folder)?;
    let folder = server.cwd.as_ref().map_or(folder.clone(), |cwd| folder.join(cwd.get_ref()));
    Launch::of(command.unwrap_or_default(), &args, &folder).map_err(anyhow::Error::msg)
}

/// `known`: what was locked before. Then the same is installed, or nothing.
async fn lock_one(
    installer: &Installer<'_>,
    server: &Server,
    folder: &Path,
    known: Option<Package>,
) -> anyhow::Result<Package> {
    let launch = launch(server, folder)?;
    let spec = launch.spec();
    let known = known.filter(|known| known.spec == spec);
    let package = match launch.source {
        Source::Npm { spec: asked, bin } => {
            if let Some(known) = installed(installer, known.as_ref())? {
                return Ok(known);
            }
            npm::install(installer, &spec, &asked, bin.as_deref(), known.as_ref()).await?
        }
        Source::Pypi { spec: asked, with, bin } => {
            if let Some(known) = installed(installer, known.as_ref())? {
                return Ok(known);
            }
            pypi::install(installer, &spec, &asked, &with, bin.as_deref(), known.as_ref()).await?
        }
        Source::Bundle { place } => {
            if let Some(known) = installed(installer, known.as_ref())? {
                return Ok(known);
            }
            let expected =
                known.as_ref().and_then(|known| known.integrity.as_deref()?.parse().ok());
            bundle::install(installer, &spec, &place, expected, installer.args()).await?
        }
        Source::Document { place } => {
            if let Some(known) = installed(installer, known.as_ref())? {
                return Ok(known);
            }
            documented(installer, &spec, &place, known.as_ref()).await?
        }
        Source::File { path, .. } => here(Kind::File, spec, &path, file_digest(&path)?),
        Source::Folder { folder, .. } => here(Kind::Folder, spec, &folder, tree_digest(&folder)?),
        Source::Oci { image } => {
            let (name, digest) = image.split_once('@').unwrap_or((&image, ""));
            let digest: Digest =
                digest.parse().map_err(|()| anyhow::anyhow!("`{image}` has no whole digest"))?;
            here(Kind::Oci, spec, Path::new(name), digest)
        }
    };
    match known {
        Some(known) if known.digest != package.digest && !is_same(&known, &package) => {
            Err(anyhow::anyhow!(
                "it is {} now, and {} was locked; `bartizan lock --update` takes the new one",
                package.digest,
                known.digest
            ))
        }
        _ => Ok(package),
    }
}

/// What a `server.json` names, installed as if the entry had named it.
async fn documented(
    installer: &Installer<'_>,
    spec: &str,
    place: &str,
    known: Option<&Package>,
) -> anyhow::Result<Package> {
    let document::Named { from, version, sha256, args } =
        document::read(place, installer.args()).await?;
    if let Some(Package { version: Some(known), .. }) = known
        && *known != version
    {
        anyhow::bail!(
            "it is of version {version} now, and {known} was locked; `bartizan lock --update` takes the new one"
        );
    }
    let mut package = match &from {
        document::From::Npm(name) => {
            let asked = format!("{name}@{version}");
            let package = npm::install(installer, spec, &asked, None, known).await?;
            if let Some(sha256) = sha256
                && npm::archive(installer, &package).await? != sha256
            {
                anyhow::bail!("the registry has other bytes than its fileSha256 says");
            }
            package
        }
        document::From::Pypi(name) => {
            let asked = format!("{name}=={version}");
            let package = pypi::install(installer, spec, &asked, &[], None, known).await?;
            // Of a wheel, as the index's own.
            if let Some(sha256) = sha256
                && package.integrity.as_deref() != Some(sha256.to_string().as_str())
            {
                anyhow::bail!("the index has other bytes than its fileSha256 says");
            }
            package
        }
        document::From::Bundle(url) => {
            bundle::install(installer, spec, url, sha256, installer.args()).await?
        }
    };
    package.version = Some(version);
    package.args = args;
    Ok(package)
}

/// Whether the registry's checksums say that two installations are of the same bytes: then they differ in how they
/// were laid out alone, by another npm, Python or Bartizan.
fn is_same(known: &Package, now: &Package) -> bool {
    let facts = |package: &Package| {
        (package.kind, package.version.clone(), package.integrity.clone(), package.program.clone())
    };
    let checked = known.integrity.is_some() && !known.requires.is_empty();
    checked && facts(known) == facts(now) && known.requires == now.requires
}

fn here(kind: Kind, spec: String, path: &Path, digest: Digest) -> Package {
    Package {
        kind,
        spec,
        name: path.display().to_string(),
        version: None,
        integrity: None,
        program: None,
        runtime: None,
        folders: BTreeMap::new(),
        args: Vec::new(),
        digest: digest.to_string(),
        requires: Vec::new(),
    }
}

/// What was locked, if these bytes are installed.
fn installed(
    installer: &Installer<'_>,
    known: Option<&Package>,
) -> anyhow::Result<Option<Package>> {
    let Some(known) = known else { return Ok(None) };
    let digest: Digest =
        known.digest.parse().map_err(|()| anyhow::anyhow!("its digest can't be read"))?;
    let folder = installer.installed(digest);
    if !folder.is_dir() {
        return Ok(None);
    }
    if tree_digest(&folder)? == digest {
        return Ok(Some(known.clone()));
    }
    // Somebody changed it: what was locked is installed anew.
    installer.remove(&folder)?;
    Ok(None)
}

#[derive(Serialize)]
struct Row {
    server: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<Package>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

impl Row {
    fn locked(server: &str, package: &Package) -> Row {
        Row { server: server.to_owned(), package: Some(package.clone()), fault: None }
    }

    fn failed(server: &str, error: &anyhow::Error) -> Row {
        Row { server: server.to_owned(), package: None, fault: Some(format!("{error:#}")) }
    }
}

impl print::Row for Row {
    const TITLES: &'static [&'static str] = &["SERVER", "PACKAGE", "VERSION", "DIGEST"];

    fn cells(&self) -> Vec<String> {
        match &self.package {
            Some(package) => vec![
                self.server.clone(),
                package.name.clone(),
                package.version.clone().unwrap_or_default(),
                package.digest.clone(),
            ],
            None => {
                vec![self.server.clone(), "not locked".to_owned(), String::new(), String::new()]
            }
        }
    }
}

pub(super) use bundle::sha256 as bundle_sha256;
pub(super) use document::read as read_document;
pub(super) use install::Installer as PackageInstaller;
pub(super) use npm::latest as npm_latest;
pub(super) use pypi::latest as pypi_latest;
