//! From a command's name to the file that will run.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

/// The absolute path of a command: as written when it is a path, else the first match on `path`.
/// Relative entries of `path` are skipped: what runs must not depend on where the gateway stands.
pub(crate) fn resolve(
    command: &str,
    path: Option<&OsStr>,
    cwd: Option<&Path>,
) -> io::Result<PathBuf> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, "command not found");
    if command.is_empty() || command.contains('\0') {
        return Err(missing());
    }
    let written = Path::new(command);
    if written.components().count() > 1 || written.is_absolute() {
        let base = match cwd {
            Some(folder) => std::path::absolute(folder)?,
            None => std::env::current_dir()?,
        };
        let full = base.join(written);
        return if is_program(&full) { Ok(full) } else { Err(missing()) };
    }
    std::env::split_paths(path.unwrap_or_default())
        .filter(|folder| folder.is_absolute())
        .flat_map(|folder| candidates(&folder, command))
        .find(|file| is_program(file))
        .ok_or_else(missing)
}

#[cfg(not(windows))]
fn candidates(folder: &Path, command: &str) -> Vec<PathBuf> {
    vec![folder.join(command)]
}

#[cfg(windows)]
fn candidates(folder: &Path, command: &str) -> Vec<PathBuf> {
    ["", ".exe", ".cmd", ".bat"].iter().map(|end| folder.join(format!("{command}{end}"))).collect()
}

#[cfg(unix)]
fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(file: &Path) -> bool {
    file.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn looks_on_the_path_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tool");
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        let path = std::env::join_paths([Path::new("relative"), folder.path()]).unwrap();
        let found = |name: &str| resolve(name, Some(&path), None);
        assert!(found("tool").is_err(), "not executable");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(found("tool").unwrap(), file);
        assert_eq!(found(file.to_str().unwrap()).unwrap(), file);
        assert_eq!(
            resolve("./tool", None, Some(folder.path())).unwrap().file_name(),
            file.file_name()
        );
        assert!(found("other").is_err());
        assert!(found("").is_err());
        assert!(resolve("tool", None, None).is_err());
    }
}
