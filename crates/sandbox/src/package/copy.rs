//! A copy whose bytes were checked while they were copied.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use super::Digest;
use super::tree::{self, Entry, TreeFault, fault};

/// A checked copy. Removed when it is dropped.
#[derive(Debug)]
pub struct Sealed {
    folder: PathBuf,
    path: PathBuf,
}

impl Sealed {
    /// Copies a file or a folder into a fresh folder below `runs` that only this user can enter. Refused, and
    /// removed, when what was copied is not what was expected.
    pub(super) fn make(source: &Path, runs: &Path, expected: Digest) -> Result<Sealed, TreeFault> {
        let folder = fresh(runs).map_err(fault(runs))?;
        let name = source.file_name().unwrap_or(source.as_os_str());
        let sealed = Sealed { path: folder.join(name), folder };
        let metadata = source.symlink_metadata().map_err(fault(source))?;
        let found = if metadata.is_dir() { sealed.tree(source)? } else { sealed.file(source)? };
        if found != expected {
            return Err(TreeFault::Digest { path: source.to_owned(), found, expected });
        }
        Ok(sealed)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn tree(&self, source: &Path) -> Result<Digest, TreeFault> {
        tree::walk(source, |relative, entry| {
            let path = self.path.join(relative);
            let made = match entry {
                Entry::Folder => fs::create_dir(&path).map(|()| None),
                Entry::File { executable } => create(&path, *executable).map(Some),
                Entry::Link { target } => link(target, &path).map(|()| None),
            };
            made.map_err(fault(&path))
        })
    }

    fn file(&self, source: &Path) -> Result<Digest, TreeFault> {
        let mut copy = create(&self.path, true).map_err(fault(&self.path))?;
        let mut context = Context::new(&SHA256);
        let mut left = tree::BYTES;
        tree::read(source, &mut context, Some(&mut copy), &mut left)?;
        Ok(tree::finish(context))
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(folder = %self.folder.display(), %error, "a copy can't be removed");
        }
    }
}

/// A folder of a name that nobody can guess.
fn fresh(runs: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(runs)?;
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no randomness"))?;
    let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = runs.join(name);
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&folder)?;
    Ok(folder)
}

fn create(path: &Path, executable: bool) -> io::Result<fs::File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if executable { 0o500 } else { 0o400 });
    let _ = executable;
    options.open(path)
}

#[cfg(unix)]
fn link(target: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(not(unix))]
fn link(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::super::{Locked, file_digest, tree_digest};
    use super::*;
    use crate::Profile;

    fn package() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (source, runs) = (folder.path().join("package"), folder.path().join("runs"));
        fs::create_dir_all(source.join("bin")).unwrap();
        fs::write(source.join("bin/server.js"), "good").unwrap();
        (folder, source, runs)
    }

    fn locked(source: &Path) -> Locked {
        Locked {
            source: source.to_owned(),
            digest: tree_digest(source).unwrap(),
            program: "bin/server.js".into(),
            interpreter: Some(("node".into(), vec![])),
            env: vec![("NODE_PATH".into(), "bin".into())],
            args: vec!["--flag".into()],
        }
    }

    #[test]
    fn what_runs_is_the_copy_that_was_checked() {
        let (_folder, source, runs) = package();
        let mut profile = Profile::new("s", "npx");
        let sealed = locked(&source).seal(&runs, &mut profile).unwrap();
        // A swap behind the check: nothing that runs is changed by it.
        fs::write(source.join("bin/server.js"), "evil").unwrap();
        assert_eq!(profile.command, "node");
        assert_eq!(fs::read_to_string(&profile.args[0]).unwrap(), "good");
        assert_eq!(profile.args[1], "--flag");
        assert_eq!(profile.env[0].1, sealed.path().join("bin").to_str().unwrap());
        assert_eq!(profile.read, [sealed.path()]);
        drop(sealed);
        assert_eq!(fs::read_dir(&runs).unwrap().count(), 0, "the copy is gone");
    }

    #[test]
    fn other_bytes_do_not_start() {
        let (_folder, source, runs) = package();
        let locked = locked(&source);
        fs::write(source.join("bin/server.js"), "evil").unwrap();
        let fault = locked.seal(&runs, &mut Profile::new("s", "npx")).unwrap_err();
        assert!(matches!(fault, TreeFault::Digest { .. }), "{fault}");
        assert_eq!(fs::read_dir(&runs).unwrap().count(), 0);
    }

    #[test]
    fn a_single_program() {
        let (_folder, source, runs) = package();
        let file = source.join("bin/server.js");
        let locked = Locked {
            source: file.clone(),
            digest: file_digest(&file).unwrap(),
            program: PathBuf::new(),
            interpreter: None,
            env: vec![],
            args: vec![],
        };
        let mut profile = Profile::new("s", "server.js");
        let sealed = locked.seal(&runs, &mut profile).unwrap();
        assert_eq!(Path::new(&profile.command), sealed.path());
        assert!(profile.command.ends_with("/server.js"));
    }
}
