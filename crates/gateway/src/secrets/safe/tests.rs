use std::os::unix::fs::PermissionsExt;

use store::RootKey;

use super::*;

struct Place {
    folder: tempfile::TempDir,
    store: Store,
}

impl Place {
    async fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap(), store: Store::memory().await.unwrap() }
    }

    fn safe(&self) -> Safe {
        self.safe_by(Config::bare(self.folder.path()))
    }

    fn safe_by(&self, config: Config) -> Safe {
        Safe::new(self.store.clone(), config, &HttpClient::new().unwrap())
    }

    fn key_file(&self) -> PathBuf {
        self.folder.path().join(crate::secrets::KEY_FILE)
    }

    async fn row(&self, name: &str) -> SealedSecret {
        self.store.secret(name).await.unwrap().unwrap()
    }

    /// Puts rows in the place of those that are there, as somebody could who writes to the file.
    async fn forge(&self, rows: &[SealedSecret]) {
        let root = self.store.root_key().await.unwrap().unwrap();
        assert!(self.store.secrets_reseal(&root.id.clone(), &root, rows, "x", 0).await.unwrap());
    }
}

fn name(text: &str) -> SecretName {
    SecretName::new(text).unwrap()
}

fn fresh(text: &str, value: &str) -> Fresh {
    let value = Secret::new(value.into());
    Fresh { name: name(text), value, expires: Some(5000), owner: Some("alice".into()) }
}

async fn value(safe: &Safe, text: &str) -> String {
    safe.open(&name(text)).await.unwrap().value.expose().to_owned()
}

fn is_forged<T>(opened: Result<T, SafeFault>) -> bool {
    matches!(opened, Err(SafeFault::Seal(SealFault::Forged)))
}

#[tokio::test]
async fn values_are_set_replaced_and_removed() {
    let place = Place::new().await;
    let safe = place.safe();
    assert!(matches!(safe.open(&name("a")).await, Err(SafeFault::Unknown(_))));
    assert!(matches!(safe.rotate(fresh("a", "x"), "me", 10).await, Err(SafeFault::Unknown(_))));
    assert_eq!(safe.set(fresh("a", "one"), "me", 10).await.unwrap(), 1);
    assert!(matches!(safe.set(fresh("a", "x"), "me", 10).await, Err(SafeFault::Exists(_))));
    assert_eq!(value(&safe, "a").await, "one");
    let second = Fresh { owner: None, expires: None, ..fresh("a", "two") };
    assert_eq!(safe.rotate(second, "me", 11).await.unwrap(), 2);
    // Another process, with the same files.
    assert_eq!(value(&place.safe(), "a").await, "two");
    let row = place.row("a").await;
    assert_eq!((row.owner.as_str(), row.expires, row.set), ("alice", None, 11));
    safe.remove(&name("a"), "me", 12).await.unwrap();
    assert!(matches!(safe.open(&name("a")).await, Err(SafeFault::Unknown(_))));
}

#[tokio::test]
async fn what_is_stored_opens_in_its_place_and_unchanged_alone() {
    let place = Place::new().await;
    let safe = place.safe();
    safe.set(fresh("a", "of a"), "me", 10).await.unwrap();
    safe.set(fresh("b", "of b"), "me", 10).await.unwrap();
    let (a, b) = (place.row("a").await, place.row("b").await);

    // The value of one under the name of the other.
    place.forge(&[SealedSecret { name: "a".into(), ..b.clone() }, b.clone()]).await;
    assert!(is_forged(safe.open(&name("a")).await));
    assert_eq!(value(&safe, "b").await, "of b");

    let mut flipped = Vec::new();
    for bit in 0..8 {
        flipped.push(SealedSecret { set: a.set ^ (1 << bit), ..a.clone() });
        flipped.push(SealedSecret { expires: a.expires.map(|at| at ^ (1 << bit)), ..a.clone() });
        let owner =
            String::from_utf8(vec![b'a' ^ (1 << (bit % 5)), b'l', b'i', b'c', b'e']).unwrap();
        flipped.push(SealedSecret { owner, ..a.clone() });
    }
    flipped.push(SealedSecret { expires: None, ..a.clone() });
    for at in 0..a.key.len() {
        let mut changed = a.clone();
        changed.key[at] ^= 1;
        flipped.push(changed);
    }
    for at in 0..a.value.len() {
        let mut changed = a.clone();
        changed.value[at] ^= 1;
        flipped.push(changed);
    }
    for changed in flipped {
        assert_ne!(changed, a);
        place.forge(&[changed.clone(), b.clone()]).await;
        assert!(is_forged(place.safe().open(&name("a")).await), "{changed:?}");
    }
    place.forge(&[a.clone(), b]).await;
    assert_eq!(value(&safe, "a").await, "of a");

    // An old value, called the next.
    let root = place.store.root_key().await.unwrap().unwrap();
    let next = SealedSecret { version: 2, ..a };
    assert!(place.store.secret_keep(&next, &root.id, "rotate", "x").await.unwrap());
    assert!(is_forged(safe.open(&name("a")).await));
}

#[tokio::test]
async fn a_changed_root_key_opens_nothing() {
    let place = Place::new().await;
    place.safe().set(fresh("a", "one"), "me", 10).await.unwrap();
    let root = place.store.root_key().await.unwrap().unwrap();
    let rows = [place.row("a").await];
    let put = async |changed: RootKey| {
        let now = place.store.root_key().await.unwrap().unwrap();
        assert!(place.store.secrets_reseal(&now.id, &changed, &rows, "x", 0).await.unwrap());
        place.safe().open(&name("a")).await
    };
    for at in 0..root.wrapped.len() {
        let mut changed = root.clone();
        changed.wrapped[at] ^= 1;
        assert!(matches!(put(changed).await, Err(SafeFault::OtherKey(_))));
    }
    let id = root.id.replace(|c: char| c.is_ascii_digit(), "f");
    assert!(matches!(put(RootKey { id, ..root.clone() }).await, Err(SafeFault::OtherKey(_))));
    for master in ["", "File", "passphrase", "passphrase 1 1 AAAA", "elsewhere"] {
        let refused = put(RootKey { master: master.into(), ..root.clone() }).await;
        assert!(matches!(refused, Err(SafeFault::Master(_))), "{master}: {refused:?}");
    }
    assert_eq!(put(root).await.unwrap().value.expose(), "one");
}

#[tokio::test]
async fn the_key_file_is_made_kept_and_missed() {
    let place = Place::new().await;
    place.safe().set(fresh("a", "one"), "me", 10).await.unwrap();
    let path = place.key_file();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let refused = place.safe().open(&name("a")).await;
    assert!(matches!(refused, Err(SafeFault::Seal(SealFault::KeyFileMode { mode: 0o640, .. }))));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(place.safe().open(&name("a")).await, Err(SafeFault::KeyGone(_))));
    // Another one would not be what anything was sealed under: none is made.
    assert!(matches!(
        place.safe().set(fresh("b", "x"), "me", 11).await,
        Err(SafeFault::KeyGone(_))
    ));
    assert!(!path.exists());
}

#[tokio::test]
async fn master_and_data_keys_change_under_the_values() {
    let place = Place::new().await;
    let (running, command) = (place.safe(), place.safe());
    running.set(fresh("a", "one"), "me", 10).await.unwrap();
    let (before, key) = (place.row("a").await, std::fs::read(place.key_file()).unwrap());
    let root = place.store.root_key().await.unwrap().unwrap();
    assert_eq!(command.rotate_master("me", 11).await.unwrap(), 1);
    assert_eq!(value(&running, "a").await, "one");
    let after = place.row("a").await;
    assert!(after.key != before.key && after.value != before.value);
    assert_ne!(place.store.root_key().await.unwrap().unwrap().id, root.id);
    let new_key = std::fs::read(place.key_file()).unwrap();
    assert_ne!(new_key, key);
    // The old key opens nothing any more.
    std::fs::write(place.key_file(), key).unwrap();
    assert!(matches!(place.safe().open(&name("a")).await, Err(SafeFault::OtherKey(_))));
    std::fs::write(place.key_file(), new_key).unwrap();
    running.rotate(fresh("a", "two"), "me", 12).await.unwrap();
    assert_eq!(value(&place.safe(), "a").await, "two");
}

#[tokio::test]
async fn a_rotation_that_was_cut_off_loses_nothing() {
    let place = Place::new().await;
    place.safe().set(fresh("a", "one"), "me", 10).await.unwrap();
    place.safe().rotate_master("me", 11).await.unwrap();
    let (path, next) = (place.key_file(), place.folder.path().join("vault.key.next"));
    // As it is when the process ends between the two steps: stored, and the key not in force.
    std::fs::rename(&path, &next).unwrap();
    vault::sealed::KeyFile::new(path.clone()).read_or_make().unwrap();
    assert_eq!(value(&place.safe(), "a").await, "one");
    place.safe().rotate_master("me", 12).await.unwrap();
    assert!(!next.exists());
    assert_eq!(value(&place.safe(), "a").await, "one");
    // As it is when it ends before anything was stored.
    vault::sealed::KeyFile::new(path).prepare().unwrap();
    assert_eq!(value(&place.safe(), "a").await, "one");
    place.safe().rotate_master("me", 13).await.unwrap();
    assert_eq!(value(&place.safe(), "a").await, "one");
}

#[tokio::test]
async fn many_rotations_and_changes_at_once_leave_what_opens() {
    let place = Place::new().await;
    place.safe().set(fresh("a", "0"), "me", 10).await.unwrap();
    let rotations = (0..4).map(|_| async { place.safe().rotate_master("me", 11).await });
    let changes = (1..4).map(|at: u64| {
        let safe = place.safe();
        async move { safe.set(fresh(&format!("s{at}"), &at.to_string()), "me", 10 + at).await }
    });
    let (rotations, changes) = tokio::join!(
        futures_util::future::join_all(rotations),
        futures_util::future::join_all(changes)
    );
    assert!(rotations.iter().chain(&[]).filter(|done| done.is_ok()).count() > 0);
    for (at, done) in changes.iter().enumerate() {
        match done {
            Ok(_) => assert_eq!(
                value(&place.safe(), &format!("s{}", at + 1)).await,
                (at + 1).to_string()
            ),
            Err(fault) => assert!(matches!(fault, SafeFault::Busy), "{fault}"),
        }
    }
    assert_eq!(value(&place.safe(), "a").await, "0");
}

#[tokio::test]
async fn a_passphrase_opens_what_it_sealed_and_the_master_moves() {
    let place = Place::new().await;
    place.safe().set(fresh("a", "one"), "me", 10).await.unwrap();
    let file = place.folder.path().join("passphrase");
    let write = |text: &str| {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    write("correct horse battery staple\n");
    let config = Config {
        master: crate::secrets::Master::Passphrase,
        passphrase_file: Some(file.clone()),
        ..Config::bare(place.folder.path())
    };
    let by_passphrase = || place.safe_by(config.clone());
    // Until the rotation the old master key serves.
    assert_eq!(value(&by_passphrase(), "a").await, "one");
    by_passphrase().rotate_master("me", 11).await.unwrap();
    std::fs::remove_file(place.key_file()).unwrap();
    assert_eq!(value(&by_passphrase(), "a").await, "one");
    write("another horse battery staple\n");
    assert!(matches!(by_passphrase().open(&name("a")).await, Err(SafeFault::WrongPassphrase)));
    write("short\n");
    let refused = by_passphrase().open(&name("a")).await;
    assert!(matches!(refused, Err(SafeFault::Seal(SealFault::Short))));
    write("correct horse battery staple\n");
    assert_eq!(
        place.safe().rotate_master("me", 12).await.unwrap_or_default(),
        0,
        "no file names it"
    );
    let back = Config { master: crate::secrets::Master::File, ..config.clone() };
    assert_eq!(place.safe_by(back).rotate_master("me", 13).await.unwrap(), 1);
    assert_eq!(value(&place.safe(), "a").await, "one");
}

#[tokio::test]
async fn a_service_holds_the_master_key() {
    use crate::secrets::{Master, hashicorp, key_vault};
    let place = Place::new().await;
    let token = |name: &str, text: &str| {
        let path = place.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        vault::Reference::parse(&format!("${{file:{}}}", path.display())).unwrap()
    };
    let transit = vaults::HashiCorp::start("h").await;
    let azure = vaults::KeyVault::start("a").await;
    let config = Config {
        master: Master::Transit,
        hashicorp: Some(hashicorp::Config {
            url: transit.url().to_owned(),
            namespace: None,
            token: token("h", "h"),
            ca: Some(transit.authority()),
            allow_private: true,
            transit_key: Some("transit/bartizan".into()),
        }),
        key_vault: Some(key_vault::Config {
            suffix: "vault.azure.net".into(),
            urls: Default::default(),
            credential: key_vault::Credential::Token(token("a", "a")),
            ca: Some(azure.authority()),
            allow_private: true,
            key: Some(format!("{}/keys/bartizan", azure.url())),
        }),
        ..Config::bare(place.folder.path())
    };
    place.safe_by(config.clone()).set(fresh("a", "one"), "me", 10).await.unwrap();
    assert!(!place.key_file().exists());
    assert_eq!(value(&place.safe_by(config.clone()), "a").await, "one");
    transit.set_token("other");
    let denied = place.safe_by(config.clone()).open(&name("a")).await;
    assert!(matches!(denied, Err(SafeFault::Remote(SecretFault::Denied(..)))), "{denied:?}");
    // Whoever rotates the token need not tell anybody.
    token("h", "other");
    let by_key_vault = Config { master: Master::KeyVault, ..config };
    place.safe_by(by_key_vault.clone()).rotate_master("me", 11).await.unwrap();
    transit.trouble(vaults::Trouble::Down);
    assert_eq!(value(&place.safe_by(by_key_vault.clone()), "a").await, "one");
    azure.challenge_for("https://graph.microsoft.com");
    let refused = place.safe_by(by_key_vault.clone()).open(&name("a")).await;
    assert!(matches!(refused, Err(SafeFault::Remote(SecretFault::Challenge(..)))), "{refused:?}");
    azure.challenge_for("https://localhost");
    let root = place.store.root_key().await.unwrap().unwrap();
    let elsewhere = RootKey {
        master: "key-vault https://evil.vault.azure.net/keys/k/1".into(),
        ..root.clone()
    };
    let rows = [place.row("a").await];
    assert!(place.store.secrets_reseal(&root.id, &elsewhere, &rows, "x", 0).await.unwrap());
    let refused = place.safe_by(by_key_vault).open(&name("a")).await;
    assert!(matches!(refused, Err(SafeFault::Master(_))), "{refused:?}");
}
