//! Where sign-ins are kept: one file, readable by its owner alone, sealed with a key in a file beside it or made from a passphrase. The first
//! keeps tokens out of what is searched, indexed or pasted by mistake, and whoever can read all of this user's files can read them; the second
//! keeps them from whoever does not know the passphrase.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, Write},
    path::Path,
};

use anyhow::Context;
use gateway::seal::{Purpose, Sealer};
use serde::{Deserialize, Serialize};
use vault::{
    Secret,
    sealed::{Passphrase, PassphraseSalt},
};

use super::passphrase;

/// One sign-in at one gateway.
#[derive(Clone, Serialize, Deserialize)]
pub struct Login {
    /// The endpoint that it is for.
    pub url: String,
    /// Who gave the tokens out.
    pub issuer: String,
    /// As which client.
    pub client_id: String,
    /// Where tokens are renewed.
    pub token_endpoint: String,
    /// Where they are taken back.
    pub revocation_endpoint: Option<String>,
    /// What is shown to the gateway.
    pub access_token: String,
    /// When that ends, in seconds since 1970.
    pub expires: u64,
    /// With which the next one is got.
    pub refresh_token: Option<String>,
}

/// Asks for the passphrase; `true` for a new one.
pub type Asking<'a> = &'a dyn Fn(bool) -> anyhow::Result<Secret>;

/// The file, locked as long as this lives: two commands that renew the same sign-in at once would look like a thief to the gateway.
pub struct Logins {
    file: File,
    sealer: Sealer,
    /// Where the key is made from a passphrase.
    salt: Option<PassphraseSalt>,
    pub list: Vec<Login>,
}

const OWNER: &str = "login";
/// What stands before the salt, in the first line of a file that a passphrase opens.
const BY_PASSPHRASE: &str = "passphrase ";

impl Logins {
    /// Opens it, waiting for other commands to be done with it.
    pub fn open(folder: &Path) -> anyhow::Result<Logins> {
        Logins::open_asking(folder, &passphrase::asked)
    }

    fn open_asking(folder: &Path, ask: Asking<'_>) -> anyhow::Result<Logins> {
        crate::state::make(folder)?;
        let path = folder.join("login");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path).with_context(|| path.display().to_string())?;
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        file.lock()?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let head = text.split_once('\n').and_then(|(head, sealed)| {
            Some((PassphraseSalt::parse(head.strip_prefix(BY_PASSPHRASE)?)?, sealed))
        });
        let (salt, sealed) = match head {
            Some((salt, sealed)) => (Some(salt), sealed),
            None => (None, text.as_str()),
        };
        let sealer = match &salt {
            Some(salt) => sealer(ask(false)?, salt)?,
            None => Sealer::persistent(&folder.join("login.key")).context("login.key")?,
        };
        let list = match sealed {
            "" => Vec::new(),
            sealed => {
                let plain = sealer.open(Purpose::Login, OWNER, 0, sealed).map_err(|_| {
                    let (path, by) = (path.display(), match salt {
                        Some(_) => "this passphrase",
                        None => "login.key",
                    });
                    anyhow::anyhow!("{path} does not open with {by}; what can't be opened any more can be deleted, to sign in again")
                })?;
                serde_json::from_slice(&plain)?
            }
        };
        Ok(Logins { file, sealer, salt, list })
    }

    /// From now on a passphrase opens it.
    pub fn lock_with_passphrase(&mut self) -> anyhow::Result<()> {
        self.lock_asking(&passphrase::asked)
    }

    fn lock_asking(&mut self, ask: Asking<'_>) -> anyhow::Result<()> {
        if self.salt.is_none() {
            let salt = PassphraseSalt::random()?;
            self.sealer = sealer(ask(true)?, &salt)?;
            self.salt = Some(salt);
        }
        self.write()
    }

    /// The sign-in at this endpoint; the only one when none is named.
    pub fn find(&self, url: Option<&str>) -> Option<&Login> {
        match (url, self.list.as_slice()) {
            (Some(url), list) => list.iter().find(|login| same(&login.url, url)),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }

    /// Keeps a sign-in in place of an earlier one.
    pub fn keep(&mut self, login: Login) -> anyhow::Result<()> {
        self.list.retain(|held| !same(&held.url, &login.url));
        self.list.push(login);
        self.write()
    }

    /// Takes one out.
    pub fn remove(&mut self, url: &str) -> anyhow::Result<()> {
        self.list.retain(|held| !same(&held.url, url));
        self.write()
    }

    fn write(&mut self) -> anyhow::Result<()> {
        let plain = serde_json::to_vec(&self.list)?;
        let mut sealed = self.sealer.seal(Purpose::Login, OWNER, u64::MAX, &plain)?;
        if let Some(salt) = &self.salt {
            sealed.insert_str(0, &format!("{BY_PASSPHRASE}{salt}\n"));
        }
        self.file.rewind()?;
        self.file.set_len(0)?;
        self.file.write_all(sealed.as_bytes())?;
        self.file.sync_all()?;
        Ok(())
    }
}

fn sealer(passphrase: Secret, salt: &PassphraseSalt) -> anyhow::Result<Sealer> {
    Ok(Sealer::from_key(Passphrase::new(passphrase)?.key(salt)?.bytes())?)
}

/// A final slash is nobody's intention.
fn same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

/// Writes a secret for a process of ours to read, never half of it.
pub fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&new)?.write_all(text.as_bytes())?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(url: &str) -> Login {
        Login {
            url: url.into(),
            issuer: "https://gw".into(),
            client_id: "c".into(),
            token_endpoint: "https://gw/oauth/token".into(),
            revocation_endpoint: None,
            access_token: "secret-text".into(),
            expires: 1,
            refresh_token: None,
        }
    }

    #[test]
    fn sign_ins_are_kept_sealed_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let mut logins = Logins::open(folder.path()).unwrap();
        logins.keep(login("https://gw/mcp")).unwrap();
        logins.keep(login("https://gw/mcp/")).unwrap();
        drop(logins);
        let text = fs::read_to_string(folder.path().join("login")).unwrap();
        assert!(!text.contains("secret-text") && !text.is_empty());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.path().join("login")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let mut logins = Logins::open(folder.path()).unwrap();
        assert_eq!(logins.list.len(), 1);
        assert_eq!(logins.find(None).unwrap().access_token, "secret-text");
        logins.keep(login("https://other/mcp")).unwrap();
        assert!(logins.find(None).is_none());
        logins.remove("https://other/mcp").unwrap();
        drop(logins);
        fs::write(folder.path().join("login.key"), [0; 32]).unwrap();
        assert!(Logins::open(folder.path()).is_err());
    }

    #[test]
    fn a_passphrase_opens_what_it_locked_and_another_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let say = |text: &'static str| move |_| Ok(Secret::new(text.into()));
        let mut logins = Logins::open(folder.path()).unwrap();
        logins.keep(login("https://gw/mcp")).unwrap();
        logins.lock_asking(&say("correct horse battery")).unwrap();
        drop(logins);
        // The key beside it is good for nothing any more.
        fs::remove_file(folder.path().join("login.key")).unwrap();
        let opened = Logins::open_asking(folder.path(), &say("correct horse battery")).unwrap();
        assert_eq!(opened.find(None).unwrap().access_token, "secret-text");
        drop(opened);
        assert!(Logins::open_asking(folder.path(), &say("another horse battery")).is_err());
        assert!(!folder.path().join("login.key").exists());
    }
}
