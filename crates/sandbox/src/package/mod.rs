//! What would run: the bytes of a local server, known by their digest before it starts.
//!
//! A package's tree, or a single program, is copied while it is hashed, and the copy is what runs: whoever
//! changes the original between the check and the use changes nothing.

mod copy;
mod tree;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use copy::Sealed;
pub use tree::{TreeFault, file_digest, tree_digest};

use crate::Profile;

/// A SHA-256, written as `sha256:` and hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Its digits alone.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ();

    fn from_str(text: &str) -> Result<Digest, ()> {
        let digits = text.strip_prefix("sha256:").ok_or(())?.as_bytes();
        if digits.len() != 64 || !digits.iter().all(|d| matches!(d, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| ())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| ())?;
        }
        Ok(Digest(bytes))
    }
}

/// A local server whose bytes are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    /// A folder with everything, or a program's file.
    pub source: PathBuf,
    /// What it has to be.
    pub digest: Digest,
    /// In a folder: what runs. Empty for a file.
    pub program: PathBuf,
    /// What runs it, found on `PATH`, and the arguments before the program; it runs by itself when `None`.
    pub interpreter: Option<(String, Vec<String>)>,
    /// Variables that name folders below the source.
    pub env: Vec<(String, PathBuf)>,
    /// The arguments behind the program.
    pub args: Vec<String>,
}

impl Locked {
    /// Makes a checked copy below `runs`, and a profile that runs the copy. The copy goes when what comes back
    /// is dropped.
    pub fn seal(&self, runs: &Path, profile: &mut Profile) -> Result<Sealed, TreeFault> {
        let sealed = Sealed::make(&self.source, runs, self.digest)?;
        let text = |path: PathBuf| {
            path.into_os_string().into_string().map_err(|path| {
                let error = io::Error::other("the path is not UTF-8");
                TreeFault::Io { path: path.into(), error }
            })
        };
        let program = match self.program.as_os_str().is_empty() {
            true => sealed.path().to_owned(),
            false => sealed.path().join(&self.program),
        };
        let program = text(program)?;
        let (command, mut args) = match &self.interpreter {
            Some((interpreter, flags)) => (interpreter.clone(), flags.clone()),
            None => (program.clone(), Vec::new()),
        };
        if self.interpreter.is_some() {
            args.push(program);
        }
        args.extend(self.args.iter().cloned());
        profile.command = command;
        profile.args = args;
        for (name, folder) in &self.env {
            profile.env.push((name.clone(), text(sealed.path().join(folder))?));
        }
        profile.read.push(sealed.path().to_owned());
        Ok(sealed)
    }
}
