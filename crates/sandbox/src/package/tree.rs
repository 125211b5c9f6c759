//! The digest of a folder: of every name, kind, executable bit, link and byte in it.

use std::fs;
use std::io::{self, Read as _, Write};
use std::path::{Component, Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use super::Digest;

/// Why a tree has no digest, or not the one that was expected.
#[derive(Debug, thiserror::Error)]
pub enum TreeFault {
    /// It is not what was locked.
    #[error("{path} is not what was locked: it is {found}, and {expected} was expected", path = .path.display())]
    Digest {
        /// Which.
        path: PathBuf,
        /// What it is.
        found: Digest,
        /// What it should be.
        expected: Digest,
    },
    /// It can't be read.
    #[error("{path}: {error}", path = .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A device, a socket, a pipe.
    #[error("{} is neither a file nor a folder nor a link", .0.display())]
    Kind(PathBuf),
    /// A link that leads out of the tree.
    #[error("the link {} leads out of its package", .0.display())]
    Link(PathBuf),
    /// More than 200 000 entries or 4 GiB, or deeper than 64 folders.
    #[error("{} is larger than a package may be", .0.display())]
    Size(PathBuf),
}

const ENTRIES: usize = 200_000;
pub(super) const BYTES: u64 = 4 << 30;
const DEPTH: usize = 64;

/// One entry of a tree, in the order of their digest.
#[derive(Debug)]
pub(super) enum Entry {
    Folder,
    File { executable: bool },
    Link { target: PathBuf },
}

pub(super) fn fault(path: &Path) -> impl FnOnce(io::Error) -> TreeFault {
    move |error| TreeFault::Io { path: path.to_owned(), error }
}

/// The digest of a folder's content. Owners, times and permissions other than the executable bit do not count.
pub fn tree_digest(root: &Path) -> Result<Digest, TreeFault> {
    walk(root, |_, _| Ok(None))
}

/// The digest of a file's content.
pub fn file_digest(path: &Path) -> Result<Digest, TreeFault> {
    let mut context = Context::new(&SHA256);
    let mut left = BYTES;
    read(path, &mut context, None, &mut left)?;
    Ok(finish(context))
}

/// Visits everything below a folder, in order, and hashes it. Where `into` gives a file, the bytes that are
/// hashed are written to it.
pub(super) fn walk(
    root: &Path,
    mut into: impl FnMut(&Path, &Entry) -> Result<Option<fs::File>, TreeFault>,
) -> Result<Digest, TreeFault> {
    let mut context = Context::new(&SHA256);
    let mut left = BYTES;
    let mut waiting = vec![PathBuf::new()];
    let mut seen = 0;
    while let Some(relative) = waiting.pop() {
        let path = root.join(&relative);
        seen += 1;
        if seen > ENTRIES || relative.components().count() > DEPTH {
            return Err(TreeFault::Size(path));
        }
        let metadata = path.symlink_metadata().map_err(fault(&path))?;
        let entry = entry(&relative, &path, &metadata)?;
        let mut copy = into(&relative, &entry)?;
        name(&mut context, &relative);
        match &entry {
            Entry::Folder => {
                context.update(b"d");
                let mut inside = Vec::new();
                for found in fs::read_dir(&path).map_err(fault(&path))? {
                    inside.push(relative.join(found.map_err(fault(&path))?.file_name()));
                    if inside.len() > ENTRIES {
                        return Err(TreeFault::Size(path));
                    }
                }
                // The last one is visited first.
                inside.sort_unstable_by(|a, b| b.cmp(a));
                waiting.extend(inside);
            }
            Entry::File { executable } => {
                context.update(if *executable { b"x" } else { b"f" });
                let mut content = Context::new(&SHA256);
                read(&path, &mut content, copy.as_mut(), &mut left)?;
                context.update(content.finish().as_ref());
            }
            Entry::Link { target } => {
                context.update(b"l");
                name(&mut context, target);
            }
        }
    }
    Ok(finish(context))
}

/// A name with its length before it, so that no two trees are written alike.
fn name(context: &mut Context, name: &Path) {
    let bytes = name.as_os_str().as_encoded_bytes();
    context.update(&(bytes.len() as u64).to_le_bytes());
    context.update(bytes);
}

fn entry(relative: &Path, path: &Path, metadata: &fs::Metadata) -> Result<Entry, TreeFault> {
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Ok(Entry::Folder);
    }
    if kind.is_file() {
        return Ok(Entry::File { executable: is_executable(metadata) });
    }
    if !kind.is_symlink() {
        return Err(TreeFault::Kind(path.to_owned()));
    }
    let target = fs::read_link(path).map_err(fault(path))?;
    if stays(relative, &target) {
        Ok(Entry::Link { target })
    } else {
        Err(TreeFault::Link(path.to_owned()))
    }
}

/// Whether a link's target lies below the root, by its text.
fn stays(link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count().saturating_sub(1);
    target.components().all(|component| match component {
        Component::Normal(_) => {
            depth += 1;
            true
        }
        Component::CurDir => true,
        Component::ParentDir if depth > 0 => {
            depth -= 1;
            true
        }
        _ => false,
    })
}

#[cfg(unix)]
fn is_executable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &fs::Metadata) -> bool {
    false
}

/// Hashes a file, and writes what was hashed.
pub(super) fn read(
    path: &Path,
    context: &mut Context,
    mut copy: Option<&mut fs::File>,
    left: &mut u64,
) -> Result<(), TreeFault> {
    let mut file = fs::File::open(path).map_err(fault(path))?;
    // What became a pipe since it was looked at would be read forever.
    if !file.metadata().map_err(fault(path))?.is_file() {
        return Err(TreeFault::Kind(path.to_owned()));
    }
    let mut buffer = vec![0; 128 << 10];
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(fault(path)(error)),
        };
        *left = left.checked_sub(count as u64).ok_or_else(|| TreeFault::Size(path.to_owned()))?;
        context.update(&buffer[..count]);
        if let Some(copy) = copy.as_mut() {
            copy.write_all(&buffer[..count]).map_err(fault(path))?;
        }
    }
}

pub(super) fn finish(context: Context) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    Digest(bytes)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), "text").unwrap();
        fs::write(root.join("a/other"), "").unwrap();
        symlink("b/file", root.join("a/link")).unwrap();
        folder
    }

    #[test]
    fn everything_counts() {
        let same = tree_digest(tree().path()).unwrap();
        assert_eq!(tree_digest(tree().path()).unwrap(), same);
        let changes: [fn(&Path); 7] = [
            |root| fs::write(root.join("a/b/file"), "texT").unwrap(),
            |root| fs::write(root.join("a/new"), "").unwrap(),
            |root| fs::remove_file(root.join("a/other")).unwrap(),
            |root| fs::rename(root.join("a/other"), root.join("a/b/other")).unwrap(),
            |root| fs::create_dir(root.join("empty")).unwrap(),
            |root| {
                let mode = fs::Permissions::from_mode(0o755);
                fs::set_permissions(root.join("a/other"), mode).unwrap();
            },
            |root| {
                fs::remove_file(root.join("a/link")).unwrap();
                symlink("other", root.join("a/link")).unwrap();
            },
        ];
        for (at, change) in changes.iter().enumerate() {
            let folder = tree();
            change(folder.path());
            assert_ne!(tree_digest(folder.path()).unwrap(), same, "change {at}");
        }
    }

    #[test]
    fn what_is_no_package() {
        for target in ["/etc/passwd", "../../x", "b/../../../x"] {
            let folder = tree();
            symlink(target, folder.path().join("a/out")).unwrap();
            assert!(matches!(tree_digest(folder.path()), Err(TreeFault::Link(_))), "{target}");
        }
        let folder = tree();
        nix::unistd::mkfifo(&folder.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(tree_digest(folder.path()), Err(TreeFault::Kind(_))));
        assert!(matches!(tree_digest(&folder.path().join("none")), Err(TreeFault::Io { .. })));
    }
}
