//! Master keys that this machine holds: in a file, or made from a passphrase.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::rand;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::{Key, SealFault};
use crate::Secret;

/// A master key in a file that its owner alone may read: 256 random bits in base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile(PathBuf);

impl KeyFile {
    /// At this path.
    pub fn new(path: PathBuf) -> KeyFile {
        KeyFile(path)
    }

    /// The key that is in force: `None` where there is no file.
    pub fn read(&self) -> Result<Option<Key>, SealFault> {
        read(&self.0)
    }

    /// The key in force; a fresh one is made where there is none.
    pub fn read_or_make(&self) -> Result<Key, SealFault> {
        if let Some(key) = self.read()? {
            return Ok(key);
        }
        let key = Key::random()?;
        match write(&self.0, &key) {
            // Another process was quicker: its key is the one.
            Err(SealFault::KeyFile { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {
                read(&self.0)?.ok_or_else(|| SealFault::KeyFileContent(self.0.clone()))
            }
            Err(fault) => Err(fault),
            Ok(()) => Ok(key),
        }
    }

    /// Keeps every other process from changing the key, until what this returns is dropped. Waits for them.
    pub fn lock(&self) -> Result<File, SealFault> {
        let path = self.beside(".lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let locked = || {
            let file = options.open(&path)?;
            file.lock()?;
            Ok(file)
        };
        locked().map_err(|source| SealFault::KeyFile { path: path.clone(), source })
    }

    /// A fresh key beside the one in force, on the disk before this returns. It is in force after
    /// [`KeyFile::turn`]; until then both are there, so that what is sealed under either opens. For
    /// whoever holds the lock.
    pub fn prepare(&self) -> Result<Key, SealFault> {
        let key = Key::random()?;
        let next = self.next();
        if let Err(source) = fs::remove_file(&next)
            && source.kind() != ErrorKind::NotFound
        {
            return Err(SealFault::KeyFile { path: next, source });
        }
        write(&next, &key)?;
        Ok(key)
    }

    /// The key that was prepared and is not in force: what a rotation that was cut off left.
    pub fn prepared(&self) -> Result<Option<Key>, SealFault> {
        read(&self.next())
    }

    /// Puts the prepared key in force.
    pub fn turn(&self) -> Result<(), SealFault> {
        let fault = |source| SealFault::KeyFile { path: self.0.clone(), source };
        fs::rename(self.next(), &self.0).map_err(fault)?;
        sync_folder(&self.0).map_err(fault)
    }

    fn next(&self) -> PathBuf {
        self.beside(".next")
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.0.clone().into_os_string();
        name.push(ending);
        name.into()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

fn read(path: &Path) -> Result<Option<Key>, SealFault> {
    let fault = |source| SealFault::KeyFile { path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(source) if source.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(fault)?,
    };
    ours(path, &file.metadata().map_err(fault)?)?;
    let mut text = Zeroizing::new(Vec::with_capacity(128));
    file.take(128).read_to_end(&mut text).map_err(fault)?;
    let bytes = BASE64_STANDARD.decode(text.trim_ascii_end()).map(Zeroizing::new);
    match bytes.as_deref().map(|bytes| Key::from_bytes(bytes)) {
        Ok(Ok(key)) => Ok(Some(key)),
        _ => Err(SealFault::KeyFileContent(path.to_owned())),
    }
}

fn write(path: &Path, key: &Key) -> Result<(), SealFault> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = || {
        let mut file = options.open(path)?;
        let mut text = Zeroizing::new(BASE64_STANDARD.encode(key.bytes()));
        text.push('\n');
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        sync_folder(path)
    };
    written().map_err(|source| SealFault::KeyFile { path: path.to_owned(), source })
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")),
    )?
    .sync_all()
}

/// Its owner's alone, and the owner is this user (or the system's, who can read everything anyway).
#[cfg(unix)]
fn ours(path: &Path, metadata: &fs::Metadata) -> Result<(), SealFault> {
    use std::os::unix::fs::MetadataExt;
    let (mode, owner) = (metadata.mode() & 0o777, metadata.uid());
    if mode & 0o077 != 0 {
        return Err(SealFault::KeyFileMode { path: path.to_owned(), mode });
    }
    let me = nix::unistd::geteuid().as_raw();
    if owner != me && owner != 0 {
        return Err(SealFault::KeyFileOwner { path: path.to_owned(), owner, me });
    }
    Ok(())
}

#[cfg(not(unix))]
fn ours(_path: &Path, _metadata: &fs::Metadata) -> Result<(), SealFault> {
    Ok(())
}

/// The shortest passphrase, in characters.
pub(super) const SHORTEST: usize = 12;

/// What a person knows, and a key is made from (Argon2id, RFC 9106).
#[derive(Clone, Debug)]
pub struct Passphrase(Secret);

/// What makes the same passphrase another key elsewhere, and how much work each guess is. It is no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassphraseSalt {
    memory: u32,
    passes: u32,
    salt: [u8; 16],
}

impl PassphraseSalt {
    /// 64 MiB and three passes: the second recommendation of RFC 9106 §4, for machines that have other things to do.
    pub fn random() -> Result<PassphraseSalt, SealFault> {
        let mut salt = [0; 16];
        rand::fill(&mut salt).map_err(|_| SealFault::Random)?;
        Ok(PassphraseSalt { memory: 64 << 10, passes: 3, salt })
    }

    /// As [`PassphraseSalt::to_string`] wrote it. Work that nobody would have chosen is refused.
    pub fn parse(text: &str) -> Option<PassphraseSalt> {
        let mut parts = text.split(' ');
        let (memory, passes) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let salt = BASE64_STANDARD.decode(parts.next()?).ok()?.try_into().ok()?;
        let sane = (8 << 10..=4 << 20).contains(&memory) && (1..=64).contains(&passes);
        (sane && parts.next().is_none()).then_some(PassphraseSalt { memory, passes, salt })
    }
}

impl std::fmt::Display for PassphraseSalt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.memory, self.passes, BASE64_STANDARD.encode(self.salt))
    }
}

impl Passphrase {
    /// Refuses what a machine guesses at once.
    pub fn new(text: Secret) -> Result<Passphrase, SealFault> {
        if text.expose().chars().count() < SHORTEST {
            Err(SealFault::Short)
        } else {
            Ok(Passphrase(text))
        }
    }

    /// Takes a tenth of a second and 64 MiB, which is its purpose.
    pub fn key(&self, salt: &PassphraseSalt) -> Result<Key, SealFault> {
        let params =
            Params::new(salt.memory, salt.passes, 1, Some(32)).map_err(|_| SealFault::Forged)?;
        let mut bytes = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(self.0.expose().as_bytes(), &salt.salt, &mut *bytes)
            .map_err(|_| SealFault::Forged)?;
        Key::new(bytes)
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_file_is_made_once_and_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault.key");
        let file = KeyFile::new(path.clone());
        assert!(file.read().unwrap().is_none());
        let made = file.read_or_make().unwrap();
        assert_eq!(file.read_or_make().unwrap().id(), made.id());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let other = KeyFile::new(dir.path().join("other.key")).read_or_make().unwrap();
        assert_ne!(other.id(), made.id());
    }

    #[test]
    fn a_key_file_that_others_may_touch_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault.key");
        let file = KeyFile::new(path.clone());
        file.read_or_make().unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = file.read_or_make();
            assert!(
                matches!(refused, Err(SealFault::KeyFileMode { mode: found, .. }) if found == mode)
            );
        }
    }

    #[test]
    fn what_is_no_key_is_not_replaced_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault.key");
        let long = format!("{}\n", BASE64_STANDARD.encode([7; 33]));
        for wrong in ["", "\n", "AAAA\n", "not base64 at all, but as long as a key would be", &long]
        {
            fs::write(&path, wrong).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let refused = KeyFile::new(path.clone()).read_or_make();
            assert!(matches!(refused, Err(SealFault::KeyFileContent(_))), "{wrong:?}");
        }
    }

    #[test]
    fn a_prepared_key_is_in_force_after_its_turn() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeyFile::new(dir.path().join("vault.key"));
        let old = file.read_or_make().unwrap();
        file.prepare().unwrap();
        let new = file.prepare().unwrap();
        assert_eq!(file.read().unwrap().unwrap().id(), old.id());
        assert_eq!(file.prepared().unwrap().unwrap().id(), new.id());
        file.turn().unwrap();
        assert_eq!(file.read().unwrap().unwrap().id(), new.id());
        assert!(file.prepared().unwrap().is_none());
    }

    #[test]
    fn a_passphrase_makes_one_key_with_one_salt() {
        let phrase = Passphrase::new(Secret::new("correct horse battery".into())).unwrap();
        let salt = PassphraseSalt { memory: 8 << 10, passes: 1, salt: [7; 16] };
        let key = phrase.key(&salt).unwrap();
        assert_eq!(
            phrase.key(&PassphraseSalt::parse(&salt.to_string()).unwrap()).unwrap().id(),
            key.id()
        );
        let other = PassphraseSalt { salt: [8; 16], ..salt.clone() };
        assert_ne!(phrase.key(&other).unwrap().id(), key.id());
        assert!(matches!(Passphrase::new(Secret::new("short".into())), Err(SealFault::Short)));
        assert_eq!(format!("{phrase:?}"), "Passphrase([secret])");
        for wrong in [
            "",
            "1",
            "65536 3",
            "65536 3 AAAA",
            "1 3 BwcHBwcHBwcHBwcHBwcHBw==",
            "9999999 3 BwcHBwcHBwcHBwcHBwcHBw==",
        ] {
            assert_eq!(PassphraseSalt::parse(wrong), None, "{wrong}");
        }
    }
}
