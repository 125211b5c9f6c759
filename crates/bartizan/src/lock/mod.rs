//! `bartizan.lock`: which bytes each local server is made of. The section `[packages.NAME]` is written by
//! `bartizan lock`; what else stands in the file is left alone.

mod source;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use sandbox::package::{Digest, Locked};
use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml_edit::DocumentMut;

pub use source::{Launch, Source, fetched};

use crate::config::{
    Loaded, edit,
    file::{File, Level, Server},
    value::ServerKey,
};
use crate::outcome::Mistake;

/// The file's name, beside the configuration.
pub const FILE_NAME: &str = "bartizan.lock";
/// Installed packages, in the state folder, each by its digest.
pub const PACKAGES: &str = "packages";

/// What one server is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Package {
    /// Where it comes from.
    pub kind: Kind,
    /// What the configuration asked for.
    pub spec: String,
    /// The package's name, the image's, or the program's path.
    pub name: String,
    /// The package's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The registry's own checksum of the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity: Option<String>,
    /// The program, in the package's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<PathBuf>,
    /// What runs the program, where the package says it itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// Variables that name folders of the package.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub folders: BTreeMap<String, PathBuf>,
    /// Arguments that stand before the entry's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Of the installed folder, the program or the image.
    pub digest: String,
    /// Everything that was installed, with the registry's checksums.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
}

/// What runs a bundle's program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    /// Node.
    Node,
    /// Python 3.
    Python,
}

/// Where a server comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A program on this machine.
    File,
    /// A folder on this machine.
    Folder,
    /// An MCP bundle.
    Mcpb,
    /// An npm package.
    Npm,
    /// A container image.
    Oci,
    /// A Python package.
    Pypi,
}

/// The part of the file that is ours.
#[derive(Default, Deserialize)]
struct Document {
    #[serde(default)]
    packages: BTreeMap<String, Package>,
}

/// Where the file is.
pub fn path(folder: &Path) -> PathBuf {
    folder.join(FILE_NAME)
}

/// What is locked, by the server's name. Nothing when there is no file.
pub fn read(folder: &Path) -> Result<BTreeMap<String, Package>, Mistake> {
    let path = path(folder);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => {
            let mend = "make it readable for this user";
            return Err(Mistake::new(format!("{}: {error}", path.display()), mend));
        }
    };
    toml::from_str(&text).map(|document: Document| document.packages).map_err(|error| {
        let mend = "`bartizan lock --update` writes the section [packages] anew";
        Mistake::new(format!("{}: {}", path.display(), error.message()), mend)
    })
}

/// Enabled servers whose launcher fetches a package when they start, since nobody locked it; and where the
/// configuration says so.
pub fn unlocked<'a>(file: &'a File, folder: &Path) -> Vec<(&'a str, &'a Spanned<String>)> {
    // A lockfile that can't be read is an error elsewhere.
    let packages = read(folder).unwrap_or_default();
    let loose = |(key, server): (&'a ServerKey, &'a Spanned<Server>)| {
        let (name, server) = (key.0.as_str(), server.get_ref());
        let command = server.command.as_ref().filter(|_| server.enabled)?;
        let args: Vec<String> = server.args.iter().map(|arg| arg.get_ref().clone()).collect();
        let launch = Launch::of(command.get_ref(), &args, folder).ok()?;
        let fetched = matches!(
            launch.source,
            Source::Bundle { .. }
                | Source::Document { .. }
                | Source::Npm { .. }
                | Source::Pypi { .. }
        );
        (fetched && !packages.contains_key(name)).then_some((name, command))
    };
    file.servers.iter().filter_map(loose).collect()
}

/// A mistake when a server would fetch its package at its start from within a sandbox that lets it reach nothing: it would
/// hang until somebody loses patience.
pub fn must_be_locked(loaded: &Loaded, name: &str) -> Result<(), Mistake> {
    let loose =
        unlocked(&loaded.file, &loaded.folder()).into_iter().any(|(known, _)| known == name);
    let server = loaded.file.servers.iter().find(|(key, _)| key.0.as_str() == name);
    let alone = server.is_some_and(|(_, server)| {
        server.get_ref().sandbox.level != Level::Off && server.get_ref().egress.is_none()
    });
    if loose && alone {
        return Err(Mistake::new(
            format!("`{name}` is fetched when it starts, and has no network to fetch it from"),
            format!("run `bartizan lock {name}`, which installs it"),
        ));
    }
    Ok(())
}

/// Writes the section `[packages]` anew.
pub fn write(folder: &Path, packages: &BTreeMap<String, Package>) -> anyhow::Result<()> {
    let path = path(folder);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            "# Made by `bartizan lock`. Keep it with bartizan.toml.\n".to_owned()
        }
        Err(error) => return Err(error.into()),
    };
    let mut document: DocumentMut = text.parse()?;
    let ours = BTreeMap::from([("packages", packages)]);
    let ours: DocumentMut = toml::to_string_pretty(&ours)?.parse()?;
    match ours.get("packages") {
        Some(section) if !packages.is_empty() => {
            document.insert("packages", section.clone());
        }
        _ => {
            document.remove("packages");
        }
    }
    Ok(edit::write(&path, &document.to_string())?)
}

impl Package {
    /// How the server starts from these bytes; `None` for an image, whose digest is in its name. `Err`: why it
    /// does not.
    pub fn locked(&self, launch: Launch, state: &Path) -> Result<Option<Locked>, String> {
        let spec = launch.spec();
        if self.spec != spec {
            return Err(format!("the entry asks for `{spec}`, and `{}` was locked", self.spec));
        }
        let unreadable = || "it can't be read".to_owned();
        let digest: Digest = self.digest.parse().map_err(|()| unreadable())?;
        let installed = state.join(PACKAGES).join(digest.hex());
        let Launch { source, args } = launch;
        let locked = match source {
            Source::Bundle { .. }
            | Source::Document { .. }
            | Source::Npm { .. }
            | Source::Pypi { .. } => {
                let runtime = match self.kind {
                    Kind::Npm => Some(Runtime::Node),
                    Kind::Pypi => Some(Runtime::Python),
                    _ => self.runtime,
                };
                let interpreter = runtime.map(|runtime| match runtime {
                    Runtime::Node => ("node".to_owned(), Vec::new()),
                    Runtime::Python => ("python3".to_owned(), Vec::new()),
                });
                let folders = self.folders.iter().map(|(name, path)| (name.clone(), path.clone()));
                let own = (self.kind == Kind::Pypi).then(|| ("PYTHONPATH".into(), PathBuf::new()));
                Locked {
                    source: installed,
                    digest,
                    program: self.program.clone().ok_or_else(unreadable)?,
                    interpreter,
                    env: folders.chain(own).collect(),
                    args: self.args.iter().cloned().chain(args).collect(),
                }
            }
            Source::File { path, interpreter } => Locked {
                source: path,
                digest,
                program: PathBuf::new(),
                interpreter,
                env: Vec::new(),
                args,
            },
            Source::Folder { folder, program, interpreter } => Locked {
                source: folder,
                digest,
                program,
                interpreter: Some(interpreter),
                env: Vec::new(),
                args,
            },
            Source::Oci { .. } => return Ok(None),
        };
        Ok(Some(locked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package() -> Package {
        Package {
            kind: Kind::Npm,
            spec: "npm:thing@^1".into(),
            name: "thing".into(),
            version: Some("1.2.3".into()),
            integrity: Some("sha512-x".into()),
            program: Some("node_modules/thing/index.js".into()),
            runtime: None,
            folders: BTreeMap::new(),
            args: vec![],
            digest: format!("sha256:{}", "ab".repeat(32)),
            requires: vec!["thing@1.2.3 sha512-x".into()],
        }
    }

    #[test]
    fn other_sections_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let packages = BTreeMap::from([("s".to_owned(), package())]);
        std::fs::write(path(folder.path()), "# mine\n[tools.x]\na = 1 # b\n").unwrap();
        write(folder.path(), &packages).unwrap();
        assert_eq!(read(folder.path()).unwrap(), packages);
        let text = std::fs::read_to_string(path(folder.path())).unwrap();
        assert!(text.starts_with("# mine\n[tools.x]\na = 1 # b\n"), "{text}");
        assert!(text.contains("[packages.s]"), "{text}");
        write(folder.path(), &BTreeMap::new()).unwrap();
        let text = std::fs::read_to_string(path(folder.path())).unwrap();
        assert_eq!(text, "# mine\n[tools.x]\na = 1 # b\n");
    }

    #[test]
    fn a_changed_entry_is_stale() {
        let launch = |spec: &str| Launch {
            source: Source::Npm { spec: spec.into(), bin: None },
            args: vec!["/srv".into()],
        };
        let state = Path::new("/state");
        let locked = package().locked(launch("thing@^1"), state).unwrap().unwrap();
        assert_eq!(locked.source, state.join(PACKAGES).join("ab".repeat(32)));
        assert_eq!(locked.args, ["/srv"]);
        let fault = package().locked(launch("thing@^2"), state).unwrap_err();
        assert!(fault.contains("thing@^2"), "{fault}");
    }
}
