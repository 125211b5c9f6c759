//! What a client's file was before Bartizan changed it. Keys stand in it, so it is sealed: neither a search nor
//! a copy of the state folder without its key shows them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use aws_lc_rs::digest::{SHA256, digest};
use gateway::seal::{Purpose, Sealer};
use serde::{Deserialize, Serialize};

use crate::{config::edit, state};

/// How often one file can be connected anew and still be brought back.
const MOST: usize = 20;

/// A file before one change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Backup {
    pub path: PathBuf,
    /// What stood in it; `None` when there was no file.
    pub original: Option<String>,
    /// The digest of what was written instead.
    written: String,
}

impl Backup {
    pub fn new(path: &Path, original: Option<&str>, written: &str) -> Backup {
        Backup {
            path: path.to_owned(),
            original: original.map(str::to_owned),
            written: digest_of(written),
        }
    }

    /// Whether this is what was written then.
    pub fn wrote(&self, text: &str) -> bool {
        self.written == digest_of(text)
    }
}

/// All of them, in the state folder.
pub struct Backups {
    folder: PathBuf,
    sealer: Sealer,
}

const OWNER: &str = "connected";

impl Backups {
    pub fn open(state_dir: &Path) -> anyhow::Result<Backups> {
        let folder = state_dir.join("connected");
        state::make(&folder)?;
        let sealer = Sealer::persistent(&folder.join("key")).context("the key of the backups")?;
        Ok(Backups { folder, sealer })
    }

    fn file(&self, path: &Path) -> PathBuf {
        self.folder.join(format!("{}.sealed", &digest_of(&path.to_string_lossy())[..32]))
    }

    /// The changes to a file, the last one last.
    pub fn of(&self, path: &Path) -> anyhow::Result<Vec<Backup>> {
        self.read(&self.file(path))
    }

    /// The last change to each file.
    pub fn all(&self) -> anyhow::Result<Vec<Backup>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "sealed") {
                all.extend(self.read(&path)?.pop());
            }
        }
        all.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(all)
    }

    /// Keeps one more.
    pub fn push(&self, backup: Backup) -> anyhow::Result<()> {
        let path = backup.path.clone();
        let mut list = self.of(&path)?;
        list.push(backup);
        if list.len() > MOST {
            // The first is what the user had before Bartizan.
            list.remove(1);
        }
        self.write(&path, &list)
    }

    /// Forgets the last one.
    pub fn pop(&self, path: &Path) -> anyhow::Result<()> {
        let mut list = self.of(path)?;
        list.pop();
        self.write(path, &list)
    }

    fn read(&self, file: &Path) -> anyhow::Result<Vec<Backup>> {
        let sealed = match fs::read_to_string(file) {
            Ok(sealed) => sealed,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| file.display().to_string()),
        };
        let plain = self.sealer.open(Purpose::Backup, OWNER, 0, &sealed).map_err(|_| {
            anyhow::anyhow!("{} does not open with the key beside it", file.display())
        })?;
        Ok(serde_json::from_slice(&plain)?)
    }

    fn write(&self, path: &Path, list: &[Backup]) -> anyhow::Result<()> {
        let file = self.file(path);
        if list.is_empty() {
            return Ok(fs::remove_file(file)?);
        }
        let plain = serde_json::to_vec(list)?;
        let sealed = self.sealer.seal(Purpose::Backup, OWNER, u64::MAX, &plain)?;
        Ok(edit::write(&file, &sealed)?)
    }
}

fn digest_of(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
