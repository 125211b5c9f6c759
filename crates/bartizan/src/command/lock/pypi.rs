//! Python packages, with pip as it is: wheels only, so that nothing is built and nothing of a package runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use sandbox::gate::{Host, HostPattern, Rule};
use serde_json::Value;

use super::install::{Installer, Stage, python, rule, rule_of, setting};
use crate::lock::{Kind, Package};

const PUBLIC: &str = "https://pypi.org/simple";
/// Where the public index keeps its files.
const PUBLIC_FILES: &str = "files.pythonhosted.org";
const TREE: &str = "tree";

pub async fn install(
    installer: &Installer<'_>,
    spec: &str,
    asked: &str,
    with: &[String],
    bin: Option<&str>,
    known: Option<&Package>,
) -> anyhow::Result<Package> {
    let index = Index::find().await?;
    let stage = installer.stage()?;
    let (name, version, requires) = match known {
        Some(known) => (known.name.clone(), known.version.clone(), known.requires.clone()),
        None => {
            let report = index.resolve(installer, &stage, asked, with).await?;
            (report.name, Some(report.version), report.requires)
        }
    };
    let list = stage.path().join("requirements.txt");
    fs::write(&list, requires.join("\n"))?;
    let list = list.display().to_string();
    let install = ["--require-hashes", "--no-deps", "--no-compile", "--target", TREE, "-r", &list];
    index.pip(installer, &stage, "install", &install).await?;
    // By their content, not by times that differ at each installation.
    let compile = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"];
    let places = ["-s", TREE, "-p", "/", TREE];
    let compile: Vec<&str> = compile.into_iter().chain(places).collect();
    installer.run(&stage, &index.rules, &index.python, &compile, &[]).await?;
    let tree = stage.path().join(TREE);
    let own = asked.split(|c: char| "[<>=!~,".contains(c)).next().unwrap_or(asked);
    let program = PathBuf::from("bin").join(bin.unwrap_or(own));
    if !tree.join(&program).is_file() {
        bail!("`{name}` has no program `{}`", bin.unwrap_or(own));
    }
    let own = format!("{name}==");
    let integrity = requires.iter().find(|line| line.starts_with(&own));
    let integrity = integrity.and_then(|line| line.rsplit_once("--hash=")).map(|(_, hash)| hash);
    Ok(Package {
        kind: Kind::Pypi,
        spec: spec.to_owned(),
        integrity: integrity.map(str::to_owned),
        name,
        version,
        program: Some(program),
        runtime: None,
        folders: BTreeMap::new(),
        args: Vec::new(),
        digest: installer.keep(&tree)?.to_string(),
        requires,
    })
}

/// The version that would be installed now, whatever was locked.
pub async fn latest(installer: &Installer<'_>, name: &str) -> anyhow::Result<String> {
    let stage = installer.stage()?;
    Ok(Index::find().await?.resolve(installer, &stage, name, &["--no-deps".into()]).await?.version)
}

struct Index {
    python: String,
    url: String,
    rules: Vec<Rule>,
}

/// What pip would install.
struct Report {
    name: String,
    version: String,
    requires: Vec<String>,
}

impl Index {
    async fn find() -> anyhow::Result<Index> {
        let url = match std::env::var("PIP_INDEX_URL") {
            Ok(url) if !url.is_empty() => Some(url),
            _ => setting("python3", &["-m", "pip", "config", "get", "global.index-url"]).await,
        };
        let url = url.unwrap_or_else(|| PUBLIC.to_owned());
        let mut rules = vec![rule_of(&url)?];
        if url.starts_with(PUBLIC) {
            rules.push(rule(HostPattern::Exact(Host::Name(PUBLIC_FILES.into())), 443));
        }
        Ok(Index { python: python().await, url, rules })
    }

    async fn pip(
        &self,
        installer: &Installer<'_>,
        stage: &Stage,
        verb: &str,
        args: &[&str],
    ) -> anyhow::Result<()> {
        let always = ["-m", "pip", verb, "--only-binary", ":all:", "--no-cache-dir", "--quiet"];
        let args: Vec<&str> = always.iter().chain(args).copied().collect();
        let env = [
            ("PIP_INDEX_URL", self.url.as_str()),
            ("PIP_CONFIG_FILE", "/dev/null"),
            ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
            ("PIP_ROOT_USER_ACTION", "ignore"),
        ];
        installer.run(stage, &self.rules, &self.python, &args, &env).await.map(drop)
    }

    async fn resolve(
        &self,
        installer: &Installer<'_>,
        stage: &Stage,
        asked: &str,
        with: &[String],
    ) -> anyhow::Result<Report> {
        let report = stage.path().join("report.json");
        let path = report.display().to_string();
        let mut args = vec!["--dry-run", "--ignore-installed", "--report", &path, asked];
        args.extend(with.iter().map(String::as_str));
        self.pip(installer, stage, "install", &args).await?;
        read(&serde_json::from_slice(&fs::read(report)?)?)
    }
}

/// Reads pip's installation report.
fn read(report: &Value) -> anyhow::Result<Report> {
    let items = report["install"].as_array().context("pip would install nothing")?;
    let mut requires = Vec::new();
    let mut asked = None;
    for item in items {
        let text = |member: &str| item["metadata"][member].as_str();
        let name = text("name").context("a package without a name")?;
        let version = text("version").context("a package without a version")?;
        let hash = item["download_info"]["archive_info"]["hashes"]["sha256"].as_str();
        let hash = hash.with_context(|| format!("the index gives no checksum for `{name}`"))?;
        requires.push(format!("{name}=={version} --hash=sha256:{hash}"));
        if item["requested"].as_bool() == Some(true) && asked.is_none() {
            asked = Some((name.to_owned(), version.to_owned()));
        }
    }
    requires.sort_unstable();
    let (name, version) = asked.context("pip would not install what was asked for")?;
    Ok(Report { name, version, requires })
}
