//! The Secret Service of freedesktop.org, as far as keys need it: <https://specifications.freedesktop.org/secret-service/latest/>.
//!
//! Values cross the session's bus as they are (the algorithm `plain`): whoever may watch that bus may as well ask the
//! unlocked keyring.

use std::collections::HashMap;
use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::StreamExt;
use zbus::{Connection, ObjectPath, OwnedObjectPath, OwnedVariant, Variant, connection, fdo};
use zeroize::Zeroizing;

use super::{KeyringFault, Shelf};
use crate::sealed::Key;

/// How long the service may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a person may take to unlock it.
const PERSON: Duration = Duration::from_secs(60);
/// An attribute of everything that this program keeps there.
const APPLICATION: (&str, &str) = ("application", "bartizan");
/// What stands for "none" where a path is expected.
const NONE: &str = "/";

/// What the specification calls a secret: the session, parameters of its algorithm, the value, the value's type.
type Kept = (OwnedObjectPath, Vec<u8>, Vec<u8>, String);

#[zbus::proxy(
    interface = "org.freedesktop.Secret.Service",
    default_service = "org.freedesktop.secrets",
    default_path = "/org/freedesktop/secrets"
)]
trait Service {
    fn open_session(
        &self,
        algorithm: &str,
        input: Variant<'_>,
    ) -> zbus::Result<(OwnedVariant, OwnedObjectPath)>;

    /// The unlocked ones, and the locked ones.
    fn search_items(
        &self,
        attributes: &HashMap<&str, &str>,
    ) -> zbus::Result<(Vec<OwnedObjectPath>, Vec<OwnedObjectPath>)>;

    /// What was unlocked at once, and the prompt for the rest.
    fn unlock(
        &self,
        objects: &[&ObjectPath<'_>],
    ) -> zbus::Result<(Vec<OwnedObjectPath>, OwnedObjectPath)>;

    fn read_alias(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
}

#[zbus::proxy(
    interface = "org.freedesktop.Secret.Collection",
    default_service = "org.freedesktop.secrets"
)]
trait Collection {
    fn create_item(
        &self,
        properties: &HashMap<&str, Variant<'_>>,
        secret: &Kept,
        replace: bool,
    ) -> zbus::Result<(OwnedObjectPath, OwnedObjectPath)>;
}

#[zbus::proxy(
    interface = "org.freedesktop.Secret.Item",
    default_service = "org.freedesktop.secrets"
)]
trait Item {
    fn get_secret(&self, session: &ObjectPath<'_>) -> zbus::Result<Kept>;

    fn delete(&self) -> zbus::Result<OwnedObjectPath>;
}

#[zbus::proxy(
    interface = "org.freedesktop.Secret.Prompt",
    default_service = "org.freedesktop.secrets"
)]
trait Prompt {
    fn prompt(&self, window: &str) -> zbus::Result<()>;

    #[zbus(signal)]
    fn completed(&self, dismissed: bool, result: Variant<'_>) -> zbus::Result<()>;
}

/// A session with the keyring.
pub struct Keyring {
    connection: Connection,
    service: ServiceProxy<'static>,
    session: OwnedObjectPath,
}

impl Keyring {
    /// Finds the keyring of this user's session. Nothing is unlocked yet.
    pub async fn open() -> Result<Keyring, KeyringFault> {
        let opened = async {
            let connection = connection::Builder::session().method_timeout(ANSWER).build().await?;
            let service = ServiceProxy::new(&connection).await?;
            let (_, session) = service.open_session("plain", Variant::from("")).await?;
            zbus::Result::Ok(Keyring { connection, service, session })
        };
        let opened = tokio::time::timeout(ANSWER, opened).await;
        let silent = |_| KeyringFault::Absent("it does not answer".into());
        opened.map_err(silent)?.map_err(|fault| KeyringFault::Absent(fault.to_string()))
    }

    /// The key that is called so, whatever its folder was called; `None` where there is none.
    pub async fn key(&self, purpose: &str, id: &str) -> Result<Option<Key>, KeyringFault> {
        let named = HashMap::from([APPLICATION, ("purpose", purpose), ("key", id)]);
        let Some(path) = self.items(&named).await?.into_iter().next() else { return Ok(None) };
        self.unlock(&path).await?;
        let item = ItemProxy::new(&self.connection, path).await?;
        let (_, _, value, _) = item.get_secret(&self.session).await?;
        let value = Zeroizing::new(value);
        let bytes = BASE64_STANDARD.decode(&*value).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| KeyringFault::NoKey)?;
        match Key::from_bytes(&bytes) {
            Ok(key) if key.id() == id => Ok(Some(key)),
            _ => Err(KeyringFault::NoKey),
        }
    }

    /// Puts a key into the default collection.
    pub async fn keep(&self, shelf: Shelf<'_>, key: &Key) -> Result<(), KeyringFault> {
        let path = self.service.read_alias("default").await?;
        if path.as_str() == NONE {
            return Err(KeyringFault::Empty);
        }
        self.unlock(&path).await?;
        let collection = CollectionProxy::new(&self.connection, path).await?;
        let folder = shelf.folder.display().to_string();
        let label = format!("Bartizan: {} of {folder}", shelf.purpose);
        let mut attributes = shelf.attributes(&folder);
        attributes.insert("key", key.id());
        let properties = HashMap::from([
            ("org.freedesktop.Secret.Item.Label", Variant::from(label)),
            ("org.freedesktop.Secret.Item.Attributes", Variant::from(attributes)),
        ]);
        let value = BASE64_STANDARD.encode(key.bytes()).into_bytes();
        let kept = (self.session.clone(), Vec::new(), value, "text/plain".to_owned());
        let created = collection.create_item(&properties, &kept, true).await;
        drop(Zeroizing::new(kept.2));
        let (_, prompt) = created?;
        self.prompted(prompt).await
    }

    /// Takes away every key of this shelf, but for one.
    pub async fn forget(&self, shelf: Shelf<'_>, but: Option<&str>) -> Result<(), KeyringFault> {
        let folder = shelf.folder.display().to_string();
        let mut attributes = shelf.attributes(&folder);
        let all = self.items(&attributes).await?;
        let kept = match but {
            Some(id) => {
                attributes.insert("key", id);
                self.items(&attributes).await?
            }
            None => Vec::new(),
        };
        for path in all.into_iter().filter(|path| !kept.contains(path)) {
            self.unlock(&path).await?;
            let item = ItemProxy::new(&self.connection, path).await?;
            self.prompted(item.delete().await?).await?;
        }
        Ok(())
    }

    async fn items(
        &self,
        attributes: &HashMap<&str, &str>,
    ) -> Result<Vec<OwnedObjectPath>, KeyringFault> {
        let (unlocked, locked) = self.service.search_items(attributes).await?;
        Ok([unlocked, locked].concat())
    }

    async fn unlock(&self, path: &ObjectPath<'_>) -> Result<(), KeyringFault> {
        let (_, prompt) = self.service.unlock(&[path]).await?;
        self.prompted(prompt).await
    }

    /// Waits until the person has answered what the keyring asks them, where it asks.
    async fn prompted(&self, prompt: OwnedObjectPath) -> Result<(), KeyringFault> {
        if prompt.as_str() == NONE {
            return Ok(());
        }
        let prompt = PromptProxy::new(&self.connection, prompt).await?;
        let mut completed = prompt.receive_completed().await?;
        prompt.prompt("").await?;
        let Ok(Some(answer)) = tokio::time::timeout(PERSON, completed.next()).await else {
            return Err(KeyringFault::Locked);
        };
        if answer.args()?.dismissed { Err(KeyringFault::Locked) } else { Ok(()) }
    }
}

impl Shelf<'_> {
    fn attributes<'a>(&'a self, folder: &'a str) -> HashMap<&'a str, &'a str> {
        HashMap::from([APPLICATION, ("purpose", self.purpose), ("state-dir", folder)])
    }
}

impl From<zbus::Error> for KeyringFault {
    fn from(fault: zbus::Error) -> KeyringFault {
        match &fault {
            zbus::Error::MethodError(name, ..)
                if name.as_str() == "org.freedesktop.Secret.Error.IsLocked" =>
            {
                KeyringFault::Locked
            }
            zbus::Error::FDO(inner) if matches!(**inner, fdo::Error::ServiceUnknown(_)) => {
                KeyringFault::Absent(fault.to_string())
            }
            _ => KeyringFault::Refused(fault.to_string()),
        }
    }
}
