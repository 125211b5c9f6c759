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

/// Which configuration the gateway that runs on the state folder uses, in the state folder.
const CONFIGURATION: &str = "configuration";

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

/// Writes down which configuration the gateway uses that runs on this folder.
pub fn tell_configuration(folder: &Path, file: Option<&Path>) -> io::Result<()> {
    let file = file.map(std::path::absolute).transpose()?.unwrap_or_default();
    fs::write(folder.join(CONFIGURATION), file.as_os_str().as_encoded_bytes())
}

/// The configuration file of the gateway that runs on this folder; `None` when none runs, or one that found no file.
#[cfg(unix)]
pub fn configuration_in_use(folder: &Path) -> Option<PathBuf> {
    // What a gateway left behind that has ended says nothing.
    std::os::unix::net::UnixStream::connect(folder.join(gateway::door::SOCKET)).ok()?;
    let file = fs::read(folder.join(CONFIGURATION)).ok().filter(|file| !file.is_empty())?;
    Some(std::os::unix::ffi::OsStringExt::from_vec(file))
        .map(|file: std::ffi::OsString| file.into())
}

/// A running gateway can't be found on this system.
#[cfg(not(unix))]
pub fn configuration_in_use(_: &Path) -> Option<PathBuf> {
    None
}

/// The command that closes the folder to others, where it is open to them.
#[cfg(unix)]
pub fn open_to_others(folder: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let mode = fs::metadata(folder).ok()?.mode();
    (mode & 0o077 != 0).then(|| format!("chmod 700 {}", folder.display()))
}

#[cfg(not(unix))]
pub fn open_to_others(_: &Path) -> Option<String> {
    None
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
