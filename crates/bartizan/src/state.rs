//! The state folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::outcome::Mistake;

/// Tokens, definitions and decisions, in the state folder.
pub use gateway::config::STORE;
/// The record of calls, in the state folder.
pub const JOURNAL: &str = "audit";

/// State folders of commands that are a gateway of their own, in the state folder.
pub const OWN: &str = "own";

/// The folder that was named, or the user's own: `$XDG_STATE_HOME/bartizan`, `~/.local/state/bartizan`.
pub fn folder(named: Option<PathBuf>) -> Result<PathBuf, Mistake> {
    if let Some(path) = named {
        return std::path::absolute(&path).map_err(|_| {
            Mistake::new("the state folder's name is empty", "name a folder with --state-dir")
        });
    }
    let base =
        std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = base.or_else(|| std::env::home_dir().map(|home| home.join(".local/state")));
    match base {
        Some(base) => Ok(base.join("bartizan")),
        None => Err(Mistake::new(
            "this user has no home folder",
            "name a state folder with --state-dir",
        )),
    }
}

/// The journals in it: of the gateway that `up` starts, and of commands that had one of their own.
pub fn journals(folder: &Path) -> Vec<PathBuf> {
    let own =
        fs::read_dir(folder.join(OWN)).into_iter().flatten().flatten().map(|entry| entry.path());
    std::iter::once(folder.to_owned())
        .chain(own)
        .map(|folder| folder.join(JOURNAL))
        .filter(|journal| journal.is_dir())
        .collect()
}

/// Makes it for its owner alone.
pub fn make(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// A state folder that goes when it is dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new one, for this user alone.
    pub fn new() -> io::Result<Scratch> {
        let stamp = jiff::Timestamp::now().as_nanosecond();
        let path = std::env::temp_dir().join(format!("bartizan-{}-{stamp}", std::process::id()));
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        // Not recursive: a folder that somebody else put there is a fault.
        builder.create(&path)?;
        Ok(Scratch(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
