//! MCP bundles (`.mcpb`): an archive with a program and its manifest. It is unpacked in a sandbox that reaches nothing,
//! after its bytes were compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};
use aws_lc_rs::digest::{SHA256, digest};
use sandbox::package::Digest;
use serde_json::Value;

use super::document;
use super::install::{Installer, python};
use crate::cli::RegistryArgs;
use crate::lock::{Kind, Package, Runtime};

/// The largest archive, and the longest manifest.
const ARCHIVE: usize = 512 << 20;
const MANIFEST: u64 = 1 << 20;
const FILE: &str = "bundle.zip";
const TREE: &str = "tree";

/// The digest of a bundle's file.
pub async fn sha256(place: &str, args: &RegistryArgs) -> anyhow::Result<Digest> {
    Ok(hash(&document::bytes(place, ARCHIVE, args).await?))
}

fn hash(bytes: &[u8]) -> Digest {
    let mut found = [0; 32];
    found.copy_from_slice(digest(&SHA256, bytes).as_ref());
    Digest(found)
}

/// `expected`: what the file has to be, if somebody said so.
pub async fn install(
    installer: &Installer<'_>,
    spec: &str,
    place: &str,
    expected: Option<Digest>,
    args: &RegistryArgs,
) -> anyhow::Result<Package> {
    let archive = document::bytes(place, ARCHIVE, args).await?;
    let found = hash(&archive);
    if let Some(expected) = expected.filter(|expected| *expected != found) {
        bail!("{place} is {found}, and {expected} was expected");
    }
    let stage = installer.stage()?;
    fs::write(stage.path().join(FILE), &archive)?;
    // Python's reader takes neither links nor ways out of the folder from an archive, and has nowhere to go.
    let unpack = ["-I", "-m", "zipfile", "-e", FILE, TREE];
    installer.run(&stage, &[], &python().await, &unpack, &[]).await?;
    let tree = stage.path().join(TREE);
    let manifest = tree.join("manifest.json");
    if fs::metadata(&manifest).context("it has no manifest.json")?.len() > MANIFEST {
        bail!("its manifest is too long");
    }
    let manifest: Value = serde_json::from_slice(&fs::read(manifest)?).context("its manifest")?;
    let text = |name: &str| manifest[name].as_str().map(str::to_owned);
    let server = &manifest["server"];
    let runtime = match server["type"].as_str() {
        Some("node") => Some(Runtime::Node),
        Some("python") => Some(Runtime::Python),
        Some("binary") => None,
        other => bail!("its server is of the type {other:?}, which can't run here"),
    };
    let program = inside(server["entry_point"].as_str().context("it has no entry_point")?)?;
    if !tree.join(&program).is_file() {
        bail!("its entry_point is not in it");
    }
    #[cfg(unix)]
    if runtime.is_none() {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(tree.join(&program), fs::Permissions::from_mode(0o755))?;
    }
    Ok(Package {
        kind: Kind::Mcpb,
        spec: spec.to_owned(),
        name: text("name").context("it has no name")?,
        version: text("version"),
        integrity: Some(found.to_string()),
        program: Some(program),
        runtime,
        folders: folders(&server["mcp_config"]["env"])?,
        args: Vec::new(),
        digest: installer.keep(&tree)?.to_string(),
        requires: Vec::new(),
    })
}

/// A path below the bundle's own folder.
fn inside(text: &str) -> anyhow::Result<PathBuf> {
    let path = text.strip_prefix("${__dirname}/").unwrap_or(text);
    let parts = Path::new(path).components().filter(|part| *part != Component::CurDir);
    let path: PathBuf = parts.collect();
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    if !plain || path.as_os_str().is_empty() {
        bail!("`{text}` is not in the bundle");
    }
    Ok(path)
}

/// Variables that name a folder of the bundle. Others are the entry's to set.
fn folders(env: &Value) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let env = env.as_object().into_iter().flatten();
    let own = env.filter_map(|(name, value)| {
        let value = value.as_str().filter(|value| value.starts_with("${__dirname}/"))?;
        Some(inside(value).map(|path| (name.clone(), path)))
    });
    own.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_a_bundle() {
        assert_eq!(inside("server/index.js").unwrap(), Path::new("server/index.js"));
        assert_eq!(inside("${__dirname}/./lib").unwrap(), Path::new("lib"));
        for bad in ["", ".", "..", "/bin/sh", "a/../../b", "${__dirname}/../x"] {
            assert!(inside(bad).is_err(), "{bad}");
        }
        let env =
            serde_json::json!({"PYTHONPATH": "${__dirname}/lib", "KEY": "${user_config.key}"});
        assert_eq!(folders(&env).unwrap(), BTreeMap::from([("PYTHONPATH".into(), "lib".into())]));
    }
}
