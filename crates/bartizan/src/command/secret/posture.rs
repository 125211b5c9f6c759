//! What `posture` says of secrets.

use super::expiry;
use crate::{
    cli::Global,
    command::posture::{Protection, State, protection},
    config::{self, Loaded, vault::Master},
    harden, state,
};

/// How they are kept, what ends soon, and who could read them in memory.
pub async fn protections(global: &Global, loaded: &Loaded) -> anyhow::Result<Vec<Protection>> {
    let folder = state::folder(global.state_dir.clone())?;
    let path = folder.join(state::STORE);
    let mut all = vec![kept(loaded)];
    if path.exists() {
        let store = store::Store::open(&path).await?;
        let settings = config::vault::resolve(&loaded.file, &loaded.folder(), &folder)?;
        all.extend(expiry::protection(&store, loaded, settings.warn_before).await?);
        store.close().await;
    }
    all.push(memory());
    Ok(all)
}

fn kept(loaded: &Loaded) -> Protection {
    match loaded.file.vault.master {
        Master::File => protection(
            "sealed secrets",
            State::Partial,
            "the database alone says nothing; whoever reads the key file too opens everything",
            "[vault] master = \"keyring\", \"passphrase\", \"transit\" or \"key-vault\", then `bartizan secret rotate-master`",
        ),
        Master::Keyring => protection(
            "sealed secrets",
            State::Partial,
            "the login password seals the master key; while the keyring is unlocked, every program of this session can ask it for the key",
            "[vault] master = \"passphrase\", \"transit\" or \"key-vault\", then `bartizan secret rotate-master`",
        ),
        Master::Passphrase | Master::Transit | Master::KeyVault => protection(
            "sealed secrets",
            State::On,
            "the master key is not in this machine's files",
            "",
        ),
    }
}

fn memory() -> Protection {
    if !cfg!(target_os = "linux") {
        return protection("memory", State::Partial, "no core dumps; swap is not looked at", "");
    }
    match harden::is_locked() {
        true => protection(
            "memory",
            State::On,
            "no core dumps, no debuggers of the same user, nothing in swap",
            "",
        ),
        false => protection(
            "memory",
            State::Partial,
            "no core dumps, no debuggers of the same user; memory may reach the swap",
            "LimitMEMLOCK=infinity for the service, or encrypted swap",
        ),
    }
}
