//! Where sign-ins are kept: one file, readable by its owner alone, sealed with a key that is in the keyring of the person's session; where none
//! answers, in a file beside it, or made from a passphrase. A file beside it keeps tokens out of what is searched, indexed or pasted by mistake,
//! and whoever can read all of this user's files can read them; the others keep them from whoever does not know a passphrase.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use gateway::seal::{Purpose, Sealer};
use serde::{Deserialize, Serialize};
use vault::sealed::keyring::KeyringFault;

use super::{
    opening::{Asking, Opening},
    passphrase,
};

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

/// The file, locked as long as this lives: two commands that renew the same sign-in at once would look like a thief to the gateway.
pub struct Logins {
    file: File,
    folder: PathBuf,
    opening: Opening,
    /// Made when it is first needed.
    sealer: Option<Sealer>,
    pub list: Vec<Login>,
}

const OWNER: &str = "login";

impl Logins {
    /// Opens it, waiting for other commands to be done with it.
    pub async fn open(folder: &Path) -> anyhow::Result<Logins> {
        Logins::open_asking(folder, &passphrase::asked).await
    }

    async fn open_asking(folder: &Path, ask: Asking<'_>) -> anyhow::Result<Logins> {
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
        let (opening, sealed) = Opening::split(&text);
        let (mut sealer, mut list) = (None, Vec::new());
        if !sealed.is_empty() {
            let opened = opening.sealer(folder, ask).await?;
            let plain = opened.open(Purpose::Login, OWNER, 0, sealed).map_err(|_| {
                let (path, by) = (path.display(), match opening {
                    Opening::KeyFile => "login.key",
                    Opening::Keyring(_) => "the key in the keyring",
                    Opening::Passphrase(_) => "this passphrase",
                });
                anyhow::anyhow!("{path} does not open with {by}; what can't be opened any more can be deleted, to sign in again")
            })?;
            (sealer, list) = (Some(opened), serde_json::from_slice(&plain)?);
        }
        Ok(Logins { file, folder: folder.to_owned(), opening, sealer, list })
    }

    /// What opens it.
    pub fn opening(&self) -> &Opening {
        &self.opening
    }

    /// From now on a passphrase opens it.
    pub async fn lock_with_passphrase(&mut self) -> anyhow::Result<()> {
        self.lock_asking(&passphrase::asked).await
    }

    async fn lock_asking(&mut self, ask: Asking<'_>) -> anyhow::Result<()> {
        if matches!(self.opening, Opening::Passphrase(_)) {
            return Ok(());
        }
        let by = Opening::by_passphrase(ask)?;
        self.lock_by(by).await
    }

    /// From now on a key in the keyring opens it, where a key beside it did; or why not.
    pub async fn lock_with_keyring(&mut self) -> anyhow::Result<Option<KeyringFault>> {
        if self.opening != Opening::KeyFile {
            return Ok(None);
        }
        match Opening::by_keyring(&self.folder).await? {
            Ok(by) => self.lock_by(by).await.map(|()| None),
            Err(fault) => Ok(Some(fault)),
        }
    }

    async fn lock_by(&mut self, (opening, sealer): (Opening, Sealer)) -> anyhow::Result<()> {
        let before = std::mem::replace(&mut self.opening, opening);
        self.sealer = Some(sealer);
        self.write()?;
        before.forget(&self.folder).await
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
    pub async fn keep(&mut self, login: Login) -> anyhow::Result<()> {
        self.list.retain(|held| !same(&held.url, &login.url));
        self.list.push(login);
        if self.sealer.is_none() {
            self.sealer = Some(self.opening.sealer(&self.folder, &passphrase::asked).await?);
        }
        self.write()
    }

    /// Takes one out. With the last one the key is taken away, too.
    pub async fn remove(&mut self, url: &str) -> anyhow::Result<()> {
        self.list.retain(|held| !same(&held.url, url));
        self.write()?;
        if self.list.is_empty() {
            self.sealer = None;
            let before = std::mem::replace(&mut self.opening, Opening::KeyFile);
            before.forget(&self.folder).await?;
        }
        Ok(())
    }

    fn write(&mut self) -> anyhow::Result<()> {
        let text = match &self.sealer {
            Some(sealer) if !self.list.is_empty() => {
                let plain = serde_json::to_vec(&self.list)?;
                let sealed = sealer.seal(Purpose::Login, OWNER, u64::MAX, &plain)?;
                format!("{}{sealed}", self.opening)
            }
            _ => String::new(),
        };
        self.file.rewind()?;
        self.file.set_len(0)?;
        self.file.write_all(text.as_bytes())?;
        self.file.sync_all()?;
        Ok(())
    }
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
    use vault::Secret;

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

    #[tokio::test]
    async fn sign_ins_are_kept_sealed_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let mut logins = Logins::open(folder.path()).await.unwrap();
        logins.keep(login("https://gw/mcp")).await.unwrap();
        logins.keep(login("https://gw/mcp/")).await.unwrap();
        drop(logins);
        let text = fs::read_to_string(folder.path().join("login")).unwrap();
        assert!(!text.contains("secret-text") && !text.is_empty());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.path().join("login")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let mut logins = Logins::open(folder.path()).await.unwrap();
        assert_eq!(logins.list.len(), 1);
        assert_eq!(logins.find(None).unwrap().access_token, "secret-text");
        logins.keep(login("https://other/mcp")).await.unwrap();
        assert!(logins.find(None).is_none());
        logins.remove("https://other/mcp").await.unwrap();
        drop(logins);
        fs::write(folder.path().join("login.key"), [0; 32]).unwrap();
        assert!(Logins::open(folder.path()).await.is_err());
    }

    #[tokio::test]
    async fn with_the_last_sign_in_its_key_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut logins = Logins::open(folder.path()).await.unwrap();
        logins.keep(login("https://gw/mcp")).await.unwrap();
        assert!(folder.path().join("login.key").exists());
        logins.remove("https://gw/mcp").await.unwrap();
        drop(logins);
        assert!(!folder.path().join("login.key").exists());
        assert_eq!(fs::read_to_string(folder.path().join("login")).unwrap(), "");
        let mut logins = Logins::open(folder.path()).await.unwrap();
        logins.keep(login("https://gw/mcp")).await.unwrap();
        drop(logins);
        assert_eq!(Logins::open(folder.path()).await.unwrap().list.len(), 1);
    }

    #[tokio::test]
    async fn a_passphrase_opens_what_it_locked_and_another_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let say = |text: &'static str| move |_| Ok(Secret::new(text.into()));
        let mut logins = Logins::open(folder.path()).await.unwrap();
        logins.keep(login("https://gw/mcp")).await.unwrap();
        logins.lock_asking(&say("correct horse battery")).await.unwrap();
        drop(logins);
        // The key that was beside it would open nothing any more.
        assert!(!folder.path().join("login.key").exists());
        let asked = say("correct horse battery");
        let opened = Logins::open_asking(folder.path(), &asked).await.unwrap();
        assert_eq!(opened.find(None).unwrap().access_token, "secret-text");
        drop(opened);
        assert!(Logins::open_asking(folder.path(), &say("another horse battery")).await.is_err());
        assert!(!folder.path().join("login.key").exists());
    }
}
