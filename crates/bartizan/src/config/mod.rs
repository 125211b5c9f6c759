//! The configuration: found, read, checked, described, edited.

pub mod alerts;
mod audit;
mod check;
pub mod confinement;
pub mod edit;
pub mod egress;
pub mod exchange;
mod export;
pub mod fault;
pub mod file;
pub mod flow;
mod injection;
mod inspect;
mod leaks;
mod mistakes;
pub mod models;
mod payloads;
pub mod policies;
mod provider;
mod receiver;
pub mod reference;
pub mod resolve;
pub mod roles;
pub mod secrets;
mod sign_in;
pub mod telemetry;
pub mod trust;
pub mod uses;
pub mod value;
pub mod vault;

use std::path::{Path, PathBuf};

pub use check::{check_listen, check_roles, find_program, is_private, is_this_machine};
pub use fault::{Faulty, Finding, Severity};
pub use file::File;
pub use roles::{Roles, Shared};

/// The file's usual name.
pub const FILE_NAME: &str = "bartizan.toml";

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Where it was read; `None` when there is no file and the defaults serve.
    pub path: Option<PathBuf>,
    /// Its text.
    pub text: String,
    /// What it says.
    pub file: File,
    /// The policies in Cedar that it names.
    pub policies: Vec<::policy::CedarFile>,
    /// Roles that the store holds, where they were asked for.
    pub shared: Vec<Shared>,
    /// What is probably not meant.
    pub warnings: Vec<Finding>,
}

impl Loaded {
    /// What serves where there is no file.
    pub fn none() -> Self {
        Loaded {
            path: None,
            text: String::new(),
            file: File::default(),
            policies: Vec::new(),
            shared: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The SHA-256 of its text and of the policies that it names, one after the other: what
    /// `cat bartizan.toml A.cedar B.cedar | sha256sum` says.
    pub fn digest(&self) -> [u8; 32] {
        let policies = self.policies.iter().map(|file| file.text.as_str());
        let texts: String = std::iter::once(self.text.as_str()).chain(policies).collect();
        ::audit::Payload::of(texts.as_bytes()).sha256
    }

    /// All roles, as policy takes them.
    pub fn roles(&self) -> Vec<::policy::Role> {
        self.role_texts().flat_map(|(_, _, roles)| roles::resolved(roles)).collect()
    }

    /// The texts that define roles, each with what it is called in messages: the file, then those of the store.
    pub fn role_texts(&self) -> impl Iterator<Item = (String, &str, &Roles)> {
        let name = self.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let shared = self.shared.iter();
        let shared = shared.map(|one| (one.file.clone(), one.text.as_str(), &one.roles));
        std::iter::once((name, self.text.as_str(), &self.file.roles)).chain(shared)
    }

    /// The folder that relative paths begin at.
    pub fn folder(&self) -> PathBuf {
        match &self.path {
            Some(path) => folder_of(path),
            None => PathBuf::from("."),
        }
    }

    /// The warnings, each at its place.
    pub fn rendered_warnings(&self, coloured: bool) -> Option<String> {
        match &self.path {
            Some(path) if !self.warnings.is_empty() => {
                Some(fault::render(path, &self.text, &self.warnings, coloured))
            }
            _ => None,
        }
    }
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Why there is no configuration to work with.
#[derive(Debug, thiserror::Error)]
pub enum LoadFault {
    /// It has errors.
    #[error(transparent)]
    Faulty(Box<Faulty>),
    /// It is not there or not readable.
    #[error("{}: {error}", path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
}

/// Where the configuration is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// In the current folder, then in the user's configuration folder.
    Here,
    /// In the user's configuration folder only: for what other programs start in a folder of their choice,
    /// whose `bartizan.toml` nobody has vouched for.
    UserOnly,
}

/// The file that serves: the one that was named, or the first that exists.
pub fn find(named: Option<&Path>, search: Search) -> Option<PathBuf> {
    if let Some(path) = named {
        return Some(path.to_owned());
    }
    let here = (search == Search::Here).then(|| PathBuf::from(FILE_NAME));
    here.into_iter().chain(user_file()).find(|path| path.exists())
}

/// The user's own file: `$XDG_CONFIG_HOME/bartizan/bartizan.toml`.
pub fn user_file() -> Option<PathBuf> {
    let base =
        std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = base.or_else(|| std::env::home_dir().map(|home| home.join(".config")))?;
    Some(base.join("bartizan").join(FILE_NAME))
}

/// Finds, reads and checks. Without a file the defaults serve.
pub fn load(named: Option<&Path>, search: Search) -> Result<Loaded, LoadFault> {
    match find(named, search) {
        Some(path) => read(&path),
        None => Ok(Loaded::none()),
    }
}

/// Reads and checks one file.
pub fn read(path: &Path) -> Result<Loaded, LoadFault> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| LoadFault::Unreadable { path: path.to_owned(), error })?;
    let mut loaded = parse(path, text).map_err(|faulty| LoadFault::Faulty(Box::new(faulty)))?;
    loaded.warnings.extend(check::check_mode(path, &loaded.file));
    Ok(loaded)
}

/// Checks a text as if it stood in the file at `path`.
pub fn parse(path: &Path, text: String) -> Result<Loaded, Faulty> {
    let file = match mistakes::read(&text) {
        Ok(file) => file,
        Err(findings) => return Err(Faulty { path: path.to_owned(), findings, text }),
    };
    let folder = folder_of(path);
    let mut findings = check::check(&file, &folder);
    vault::check(&file, &text, &mut findings);
    let policies = policies::read(&file.policy, &folder).unwrap_or_else(|finding| {
        findings.push(finding);
        Vec::new()
    });
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(Faulty { path: path.to_owned(), findings, text });
    }
    let loaded = Loaded {
        path: Some(path.to_owned()),
        text,
        file,
        policies,
        shared: Vec::new(),
        warnings: findings,
    };
    policies::policy(&loaded)?;
    Ok(loaded)
}
