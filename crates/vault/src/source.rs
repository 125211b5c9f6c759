//! Where a secret is.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::{Secret, SecretName, VaultFault};

/// The longest file that is read.
const FILE_LIMIT: usize = 64 << 10;

/// Where a secret is: what stands between `${` and `}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// In this process's environment.
    Env(String),
    /// In a file, by its absolute path.
    File(PathBuf),
    /// In an Azure Key Vault, by the vault's and the secret's name.
    KeyVault {
        /// The vault.
        vault: String,
        /// The secret in it.
        name: String,
    },
    /// Sealed in the store.
    Secret(SecretName),
    /// In a HashiCorp Vault or OpenBao (KV version 2).
    Vault {
        /// Where its secrets engine is mounted.
        mount: String,
        /// The secret's path in it.
        path: String,
        /// Which of its fields.
        field: String,
    },
}

impl Source {
    /// Reads `kind:place`; `None` where there is no such kind.
    pub fn parse(text: &str) -> Result<Option<Source>, VaultFault> {
        let Some((kind, place)) = text.split_once(':') else { return Ok(None) };
        let malformed = || VaultFault::Place(text.into());
        Ok(Some(match kind {
            "env" => Source::Env(env_name(place)?.into()),
            "file" if Path::new(place).is_absolute() => Source::File(place.into()),
            "file" => return Err(VaultFault::PathRelative(place.into())),
            "keyvault" => {
                let (vault, name) = place.split_once('/').ok_or_else(malformed)?;
                if !(is_word(vault, 24) && is_word(name, 127)) {
                    return Err(malformed());
                }
                Source::KeyVault { vault: vault.to_ascii_lowercase(), name: name.into() }
            }
            "secret" => Source::Secret(SecretName::new(place)?),
            "vault" => {
                let (path, field) = place.split_once('#').ok_or_else(malformed)?;
                let (mount, path) = path.split_once('/').ok_or_else(malformed)?;
                if !(is_path(mount) && is_path(path) && is_path(field) && field.len() <= 128) {
                    return Err(malformed());
                }
                Source::Vault { mount: mount.into(), path: path.into(), field: field.into() }
            }
            _ => return Ok(None),
        }))
    }

    /// Whether it is on this machine and needs no key.
    pub fn is_local(&self) -> bool {
        matches!(self, Source::Env(_) | Source::File(_))
    }

    /// Reads it, if it is on this machine and needs no key. Blocks for as long as a small local file takes.
    pub fn read(&self) -> Option<Result<Secret, VaultFault>> {
        match self {
            Source::Env(name) => Some(read_env(name)),
            Source::File(path) => Some(read_file(path)),
            Source::KeyVault { .. } | Source::Secret(_) | Source::Vault { .. } => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Env(name) => write!(f, "env:{name}"),
            Source::File(path) => write!(f, "file:{}", path.display()),
            Source::KeyVault { vault, name } => write!(f, "keyvault:{vault}/{name}"),
            Source::Secret(name) => write!(f, "secret:{name}"),
            Source::Vault { mount, path, field } => write!(f, "vault:{mount}/{path}#{field}"),
        }
    }
}

/// Letters, digits and `-`: what Azure lets vaults and secrets be called.
fn is_word(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Segments of plain characters; none of them leads elsewhere.
fn is_path(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= 512
        && text
            .split('/')
            .all(|segment| !matches!(segment, "" | "." | "..") && segment.bytes().all(plain))
}

fn read_env(name: &str) -> Result<Secret, VaultFault> {
    let value = std::env::var_os(name).ok_or_else(|| VaultFault::EnvMissing(name.into()))?;
    let what = || format!("environment variable {name}");
    let value = value.into_string().map_err(|_| VaultFault::NotUtf8(what()))?;
    let value = Secret::new(value.into_boxed_str());
    if value.expose().is_empty() { Err(VaultFault::Empty(what())) } else { Ok(value) }
}

/// A secret from a file that not every user can read, without one line end at its end.
pub fn read_file(path: &Path) -> Result<Secret, VaultFault> {
    let bytes = read(path)?;
    let what = || path.display().to_string();
    let text = std::str::from_utf8(&bytes).map_err(|_| VaultFault::NotUtf8(what()))?;
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() { Err(VaultFault::Empty(what())) } else { Ok(Secret::new(text.into())) }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, VaultFault> {
    let fault = |source| VaultFault::File { path: path.into(), source };
    // Looked at before it is opened, since opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(fault)?.is_file() {
        return Err(fault(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "not a regular file",
        )));
    }
    let file = std::fs::File::open(path).map_err(fault)?;
    private(path, &file.metadata().map_err(fault)?)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_LIMIT + 1));
    let mut taken = 0;
    bytes.resize(FILE_LIMIT + 1, 0);
    let mut file = file;
    loop {
        match file.read(&mut bytes[taken..]) {
            Ok(0) => break,
            Ok(more) => taken += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(fault(error)),
        }
    }
    if taken > FILE_LIMIT {
        return Err(VaultFault::FileTooLong(path.into()));
    }
    bytes.truncate(taken);
    Ok(bytes)
}

/// Refuses a file that every user of the machine can read.
#[cfg(unix)]
fn private(path: &Path, metadata: &std::fs::Metadata) -> Result<(), VaultFault> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 == 0 { Ok(()) } else { Err(VaultFault::FileMode { path: path.into(), mode }) }
}

#[cfg(not(unix))]
fn private(_path: &Path, _metadata: &std::fs::Metadata) -> Result<(), VaultFault> {
    Ok(())
}

/// `A-Z a-z 0-9 _`, no digit first.
pub(crate) fn env_name(name: &str) -> Result<&str, VaultFault> {
    let digit_first = name.bytes().next().is_none_or(|byte| byte.is_ascii_digit());
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if digit_first || !plain { Err(VaultFault::EnvName(name.into())) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_written() {
        for text in [
            "env:A_1",
            "file:/run/secrets/key",
            "keyvault:prod/github-token",
            "secret:github",
            "secret:GITHUB_TOKEN.2",
            "vault:secret/team/app#token",
        ] {
            assert_eq!(Source::parse(text).unwrap().unwrap().to_string(), text);
        }
        for unknown in ["", "x", "cmd:ls", "ENV:X"] {
            assert_eq!(Source::parse(unknown).unwrap(), None, "{unknown}");
        }
        for wrong in [
            "keyvault:prod",
            "keyvault:/x",
            "keyvault:evil.example.com/x",
            "keyvault:prod/x/y",
            "keyvault:prod/x?y",
            "secret:",
            "secret:../x",
            "secret:a b",
            "vault:secret/app",
            "vault:app#f",
            "vault:secret/../sys/raw#f",
            "vault:secret//app#f",
            "vault:secret/app#",
            "vault:secret/a?b#f",
            "vault:secret/a%2fb#f",
        ] {
            assert!(Source::parse(wrong).is_err(), "{wrong}");
        }
    }
}
