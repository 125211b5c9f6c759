//! The token of one run: by it programs of the owner come in over HTTP without a sign-in, and nobody else's do. It is in a file that
//! only the owner can read, is good from this machine alone, and ends with the run.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use identity::TokenHash;

use crate::seal::random;

/// Where it is, in the state folder.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("run.token")
}

/// Makes a new one.
pub fn make(state_dir: &Path) -> io::Result<TokenHash> {
    let random = random().ok_or_else(|| io::Error::other("no randomness"))?;
    let (text, hash) = identity::mint(random);
    // Of a run that was killed.
    forget(state_dir)?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path(state_dir))?.write_all(text.as_bytes())?;
    Ok(hash)
}

/// Takes the file away.
pub fn forget(state_dir: &Path) -> io::Result<()> {
    match fs::remove_file(path(state_dir)) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => Err(fault),
        _ => Ok(()),
    }
}
