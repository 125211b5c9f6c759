//! `[trust]`: which definitions may be used without a person having looked at them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::value::Period;

/// Which definitions of tools, prompts, resource templates and pages may be used, and what a server may say of itself to the model.
/// A definition that was not approved is listed to nobody and callable by nobody; `bartizan trust status` shows what waits.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Trust {
    /// What happens to definitions that were never seen. What `bartizan add` showed and a person confirmed is approved already.
    #[schemars(with = "OnFirstUse")]
    pub on_first_use: OnFirstUse,
    /// The classes of changes that pass without a person; a change of any other class holds the definition back until somebody approves it.
    /// The classes: `cosmetic`, `documentation`, `optional-parameter`, `widened-schema`, `schema`, `required-parameter`, `annotation`, `mention` (a new address, path, hidden character or order to the model), `permission`, `other`, `moved`.
    #[schemars(with = "Vec<String>", extend("examples" = [json!(["cosmetic", "documentation"])]))]
    pub pass: Vec<DriftClass>,
    /// How old the listing may be that a call is held against. A change that a server does not announce is noticed after this time
    /// at the latest; `"1ms"` asks the server before each call. A process that was started anew is always asked first.
    pub recheck: Period,
    /// Public keys of those whose signatures count, by the key's id.
    pub keys: BTreeMap<String, TrustKey>,
}

/// A public key whose signatures count.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TrustKey {
    /// Whose it is; `require-signature` names it.
    #[schemars(extend("examples" = ["acme"]))]
    pub provider: String,
    /// The key in PEM form (`PUBLIC KEY`). A relative path begins at this file's folder.
    #[schemars(extend("examples" = ["/etc/bartizan/acme.pem"]))]
    pub file: PathBuf,
    /// How it signs: `ES256`, `EdDSA`, or for definitions of ETDI also `ETDI-PSS` (what its reference code makes and calls RS256) and `RS256`.
    #[schemars(with = "String", extend("examples" = ["EdDSA"]))]
    pub algorithm: AlgorithmText,
    /// Not believed before this time.
    #[schemars(with = "Option<String>", extend("examples" = ["2026-01-01T00:00:00Z"]))]
    pub not_before: Option<jiff::Timestamp>,
    /// Not believed after this time.
    #[schemars(with = "Option<String>", extend("examples" = ["2027-01-01T00:00:00Z"]))]
    pub not_after: Option<jiff::Timestamp>,
    /// `true` when the key is known or feared to be in other hands: nothing that it ever signed counts.
    #[serde(default)]
    pub revoked: bool,
}

/// Why a key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// The file.
    #[error("[trust.keys.{kid}] {path}: {fault}", path = path.display())]
    File { kid: String, path: PathBuf, fault: std::io::Error },
    /// What is in it.
    #[error("[trust.keys.{kid}] {path}: no public key of this algorithm in PEM form", path = path.display())]
    Pem { kid: String, path: PathBuf },
}

impl Trust {
    /// The pinned keys, read from their files.
    pub fn key_ring(&self, folder: &Path) -> Result<trust::KeyRing, KeyFault> {
        let mut keys = Vec::new();
        for (kid, key) in &self.keys {
            let path = folder.join(&key.file);
            let text = std::fs::read_to_string(&path).map_err(|fault| KeyFault::File {
                kid: kid.clone(),
                path: path.clone(),
                fault,
            })?;
            let seconds = |time: jiff::Timestamp| u64::try_from(time.as_second()).unwrap_or(0);
            let read = trust::Key::from_pem(&key.provider, kid, key.algorithm.0, &text);
            let mut read = read.map_err(|_| KeyFault::Pem { kid: kid.clone(), path })?;
            read.not_before = key.not_before.map(seconds);
            read.not_after = key.not_after.map(seconds);
            read.revoked = key.revoked;
            keys.push(read);
        }
        Ok(trust::KeyRing::new(keys))
    }
}

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlgorithmText(pub trust::Algorithm);

const ALGORITHMS: [&str; 4] = ["ES256", "EdDSA", "ETDI-PSS", "RS256"];

impl Serialize for AlgorithmText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let name = ALGORITHMS.iter().find(|name| trust::Algorithm::named(name) == Some(self.0));
        serializer.serialize_str(name.copied().unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for AlgorithmText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let found = trust::Algorithm::named(&text).map(AlgorithmText);
        found.ok_or_else(|| serde::de::Error::unknown_variant(&text, &ALGORITHMS))
    }
}

impl Default for Trust {
    fn default() -> Self {
        Trust {
            on_first_use: OnFirstUse::Quarantine,
            pass: vec![DriftClass(trust::Class::Cosmetic)],
            recheck: Period(Duration::from_secs(60)),
            keys: BTreeMap::new(),
        }
    }
}

/// What happens to definitions that were never seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFirstUse {
    /// They wait until somebody runs `bartizan trust approve NAME`.
    #[default]
    Quarantine,
    /// They are approved as they are (trust on first use). Changes are still held back. A loosening that `bartizan posture` reports.
    Approve,
}

impl From<OnFirstUse> for trust::FirstUse {
    fn from(of: OnFirstUse) -> Self {
        match of {
            OnFirstUse::Approve => trust::FirstUse::Approve,
            OnFirstUse::Quarantine => trust::FirstUse::Quarantine,
        }
    }
}

/// A class of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriftClass(pub trust::Class);

impl Serialize for DriftClass {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for DriftClass {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NAMES: [&str; trust::Class::ALL.len()] = {
            let mut names = [""; trust::Class::ALL.len()];
            let mut at = 0;
            while at < names.len() {
                names[at] = trust::Class::ALL[at].as_str();
                at += 1;
            }
            names
        };
        let text = String::deserialize(deserializer)?;
        text.parse().map(DriftClass).map_err(|_| serde::de::Error::unknown_variant(&text, &NAMES))
    }
}
