//! How secrets are kept and fetched.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vault::Source;

use super::Master;

/// How secrets are kept and fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What seals the store's secrets.
    pub master: Master,
    /// The state folder, which names the master key in the keyring.
    pub folder: PathBuf,
    /// Where the master key is, when it is in a file.
    pub key_file: PathBuf,
    /// Where the passphrase is, when nobody is to type it.
    pub passphrase_file: Option<PathBuf>,
    /// The way to HashiCorp Vault, for `${vault:…}` and [`Master::Transit`].
    pub hashicorp: Option<super::hashicorp::Config>,
    /// The way to Azure's vaults, for `${keyvault:…}` and [`Master::KeyVault`].
    pub key_vault: Option<super::key_vault::Config>,
    /// How long what was read is used, where nothing else is said.
    pub ttl: Duration,
    /// How long before its end a secret is warned of.
    pub warn_before: Duration,
    /// What is said of single secrets.
    pub of: HashMap<Source, Rules>,
    /// Who must act before single secrets end.
    pub owners: HashMap<Source, String>,
}

/// How one secret is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long what was read is used.
    pub ttl: Duration,
    /// How much longer, while the place that it is read from does not answer.
    pub use_stale_for: Duration,
}

/// The usual key file, in the state folder.
pub const KEY_FILE: &str = "vault.key";

impl Config {
    /// Everything at its default.
    pub fn bare(state_dir: &Path) -> Config {
        Config {
            master: Master::default(),
            folder: state_dir.to_owned(),
            key_file: state_dir.join(KEY_FILE),
            passphrase_file: None,
            hashicorp: None,
            key_vault: None,
            ttl: Duration::from_secs(60),
            warn_before: Duration::from_secs(14 * 24 * 3600),
            of: HashMap::new(),
            owners: HashMap::new(),
        }
    }

    pub(super) fn rules(&self, source: &Source) -> Rules {
        let usual = Rules { ttl: self.ttl, use_stale_for: Duration::ZERO };
        self.of.get(source).copied().unwrap_or(usual)
    }
}
