//! npm packages, with npm as it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sandbox::{
    gate::Rule,
    package::{Digest, file_digest},
};
use serde_json::Value;

use super::install::{Installer, Stage, rule_of, setting};
use crate::lock::{Kind, Package};

/// No scripts of packages, nothing that is not the installation itself.
const QUIET: [&str; 4] = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
const PUBLIC: &str = "https://registry.npmjs.org/";

pub async fn install(
    installer: &Installer<'_>,
    spec: &str,
    asked: &str,
    bin: Option<&str>,
    known: Option<&Package>,
) -> anyhow::Result<Package> {
    let registry = Registry::find().await?;
    let stage = installer.stage()?;
    // Named, since npm writes the folder's name into its lock otherwise, and that differs each time.
    fs::write(stage.path().join("package.json"), "{\"name\":\"server\",\"private\":true}\n")?;
    // What was locked keeps its version, whatever the range allows by now.
    let wanted = match known {
        Some(Package { name, version: Some(version), .. }) => format!("{name}@{version}"),
        _ => asked.to_owned(),
    };
    registry
        .npm(installer, &stage, &["install", "--save-exact", "--package-lock-only", &wanted])
        .await?;
    let lock: Value = serde_json::from_slice(&fs::read(stage.path().join("package-lock.json"))?)?;
    let requires = requires(&lock)?;
    if let Some(known) = known
        && known.requires != requires
    {
        bail!(
            "what it depends on has changed since it was locked; `bartizan lock --update` takes the new ones"
        );
    }
    registry.npm(installer, &stage, &["ci", "--omit=dev"]).await?;
    let name = top(&lock)?;
    let package = &lock["packages"][format!("node_modules/{name}")];
    let text = |member: &str| package[member].as_str().map(str::to_owned);
    let program = program(stage.path(), &name, bin)?;
    // Links to programs are npm's own way to find them; one of another package may lead anywhere.
    let _ = fs::remove_dir_all(stage.path().join("node_modules/.bin"));
    Ok(Package {
        kind: Kind::Npm,
        spec: spec.to_owned(),
        version: Some(text("version").context("it has no version")?),
        integrity: Some(text("integrity").context("the registry gives no checksum for it")?),
        name,
        program: Some(program),
        runtime: None,
        folders: BTreeMap::new(),
        args: Vec::new(),
        digest: installer.keep(stage.path())?.to_string(),
        requires,
    })
}

/// The SHA-256 of an installed package's file: npm's own checksums are of other kinds.
pub async fn archive(installer: &Installer<'_>, package: &Package) -> anyhow::Result<Digest> {
    let registry = Registry::find().await?;
    let stage = installer.stage()?;
    let version = package.version.as_deref().unwrap_or_default();
    let wanted = format!("{}@{version}", package.name);
    let output = registry.npm(installer, &stage, &["pack", &wanted, "--json"]).await?;
    let packed: Value = serde_json::from_slice(&output.stdout).context("what `npm pack` says")?;
    // What was installed, and not what somebody has put in its place since.
    if packed[0]["integrity"].as_str() != package.integrity.as_deref() {
        bail!("the registry has other bytes of {wanted} than it had a moment ago");
    }
    let file = packed[0]["filename"].as_str().map(Path::new).and_then(Path::file_name);
    Ok(file_digest(&stage.path().join(file.context("`npm pack` names no file")?))?)
}

/// The version that the registry calls its latest.
pub async fn latest(installer: &Installer<'_>, name: &str) -> anyhow::Result<String> {
    let registry = Registry::find().await?;
    let stage = installer.stage()?;
    let output = registry.npm(installer, &stage, &["view", name, "dist-tags.latest"]).await?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

struct Registry {
    url: String,
    rules: [Rule; 1],
}

impl Registry {
    async fn find() -> anyhow::Result<Registry> {
        let url = setting("npm", &["config", "get", "registry"]).await;
        let url = url.unwrap_or_else(|| PUBLIC.to_owned());
        Ok(Registry { rules: [rule_of(&url)?], url })
    }

    async fn npm(
        &self,
        installer: &Installer<'_>,
        stage: &Stage,
        args: &[&str],
    ) -> anyhow::Result<std::process::Output> {
        let args: Vec<&str> = args.iter().copied().chain(QUIET).collect();
        let env = [
            ("npm_config_registry", self.url.as_str()),
            ("npm_config_cache", "/tmp/npm"),
            ("npm_config_userconfig", "/dev/null"),
            ("npm_config_update_notifier", "false"),
            // Some registries' lock files name no places otherwise, and `npm ci` asks for them again.
            ("npm_config_omit_lockfile_registry_resolved", "false"),
        ];
        installer.run(stage, &self.rules, "npm", &args, &env).await
    }
}

/// The one package that was asked for.
fn top(lock: &Value) -> anyhow::Result<String> {
    let asked = lock["packages"][""]["dependencies"].as_object();
    let name = asked.and_then(|asked| asked.keys().next());
    Ok(name.context("npm locked nothing")?.clone())
}

/// Everything that will be installed, in npm's own order.
fn requires(lock: &Value) -> anyhow::Result<Vec<String>> {
    let packages = lock["packages"].as_object().context("npm wrote no packages")?;
    let mut all = Vec::new();
    for (path, package) in packages.iter().filter(|(path, _)| !path.is_empty()) {
        let name = path.rsplit("node_modules/").next().unwrap_or(path);
        let version = package["version"].as_str().unwrap_or_default();
        let Some(integrity) = package["integrity"].as_str() else {
            bail!("`{name}` does not come from a registry: it has no checksum");
        };
        all.push(format!("{name}@{version} {integrity}"));
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// The file that npx would run.
fn program(stage: &Path, name: &str, bin: Option<&str>) -> anyhow::Result<PathBuf> {
    let folder = Path::new("node_modules").join(name);
    let text = fs::read(stage.join(&folder).join("package.json"))?;
    let manifest: Value = serde_json::from_slice(&text)?;
    let own = name.rsplit('/').next().unwrap_or(name);
    let file = match (&manifest["bin"], bin) {
        (Value::String(file), None) => Some(file),
        (Value::String(file), Some(bin)) if bin == own => Some(file),
        (Value::Object(all), bin) => {
            let only = all.values().next().filter(|_| all.len() == 1 && bin.is_none());
            all.get(bin.unwrap_or(own)).or(only).and_then(|file| match file {
                Value::String(file) => Some(file),
                _ => None,
            })
        }
        _ => None,
    };
    let file = file.with_context(|| match bin {
        Some(bin) => format!("`{name}` has no program `{bin}`"),
        None => format!("`{name}` has no program of its own name"),
    })?;
    let inside = Path::new(file)
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir));
    let program = folder.join(file.strip_prefix("./").unwrap_or(file));
    if !inside || !stage.join(&program).is_file() {
        bail!("the program of `{name}` is not in its package");
    }
    Ok(program)
}
