//! `[audit]`: the record of every call.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use gateway::anchors;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    fault::Finding,
    payloads::{FieldsText, Payloads},
    receiver::ExportKey,
    value::{ByteSize, Period, ValueFault, WebUrl},
};

/// The record of every call.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Audit {
    /// Forwards a call only after the intent to do so is on the disk. By default only the reply waits for its record.
    pub strict: bool,
    /// Waits until the disk has confirmed each group of records. `false` is quicker and may lose the last records when the machine (not the gateway) fails.
    pub sync: bool,
    /// How what names people is recorded: their ids, the client's and the agent's name, addresses, details. A change takes effect at the next start.
    #[schemars(with = "Personal")]
    pub personal: Personal,
    /// For how long records are kept; without it, for good. Whole files are removed, oldest first, with a signed record of it; the hashes of their records stay, so that the log still verifies.
    /// What an export has not delivered yet stays.
    #[schemars(extend("examples" = ["365d"]))]
    pub keep: Option<Period>,
    /// How much of the journal is kept, in the same way.
    #[schemars(extend("examples" = ["20GiB"]))]
    pub keep_bytes: Option<ByteSize>,
    /// Arguments that are recorded in clear, as `PATTERN: NAME, NAME`; otherwise records have only a digest of the arguments. Name none that can hold what should not be read.
    #[schemars(with = "Vec<String>", extend("examples" = [json!(["github/*: owner, repo"])]))]
    pub fields: Vec<FieldsText>,
    /// What calls say, sealed for an auditor so that nobody here can read it: docs/audit.md.
    pub payloads: Payloads,
    /// What others keep of the log: without that, whoever has the gateway's machine could put another log in its place.
    pub anchors: Anchors,
}

impl Default for Audit {
    fn default() -> Self {
        Audit {
            strict: false,
            sync: true,
            personal: Personal::Clear,
            keep: None,
            keep_bytes: None,
            fields: Vec::new(),
            payloads: Payloads::default(),
            anchors: Anchors::default(),
        }
    }
}

impl Audit {
    pub(super) fn check(&self, findings: &mut Vec<Finding>) {
        self.payloads.check(findings);
    }

    /// As the gateway takes it.
    pub fn resolve(&self, folder: &std::path::Path) -> gateway::config::Audit {
        let keep = audit::Retention {
            age: self.keep.map(|Period(age)| age),
            bytes: self.keep_bytes.map(|ByteSize(bytes)| bytes as u64),
        };
        let anchors = self.anchors.resolve(folder);
        gateway::config::Audit {
            fields: self.fields.iter().map(|fields| fields.0.clone()).collect(),
            keep,
            payloads: self.payloads.resolve(),
            sealed: self.personal == Personal::Sealed,
            strict: self.strict,
            sync: self.sync,
            anchors,
        }
    }
}

/// How what names people is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Personal {
    /// As it is.
    #[default]
    Clear,
    /// Sealed, with a key for each person or program; `bartizan audit forget WHO` destroys one. Exports get it sealed.
    Sealed,
}

/// Where signed checkpoints go besides.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Anchors {
    /// How often, when there is a new one.
    pub every: Period,
    /// A folder elsewhere, such as a file share: each checkpoint becomes a file in it. A relative path begins at this file's folder.
    #[schemars(extend("examples" = ["/mnt/share/bartizan"]))]
    pub folder: Option<PathBuf>,
    /// A work tree of git: each checkpoint becomes a commit, and is pushed where there is a remote.
    #[schemars(extend("examples" = ["/srv/anchors"]))]
    pub git: Option<PathBuf>,
    /// Witnesses, who sign that the log only ever grew (C2SP tlog-witness). They have to know this log's public key.
    pub witnesses: BTreeMap<ExportKey, Witness>,
}

impl Default for Anchors {
    fn default() -> Self {
        let every = Period(Duration::from_secs(300));
        Anchors { every, folder: None, git: None, witnesses: BTreeMap::new() }
    }
}

impl Anchors {
    /// Whether nothing is kept anywhere.
    pub fn is_empty(&self) -> bool {
        self.folder.is_none() && self.git.is_none() && self.witnesses.is_empty()
    }

    fn resolve(&self, folder: &std::path::Path) -> anchors::Anchors {
        let witness = |witness: &Witness| anchors::Witness {
            url: witness.url.as_str().to_owned(),
            key: witness.key.0.clone(),
            allow_private: witness.allow_private,
        };
        anchors::Anchors {
            every: self.every.0,
            folder: self.folder.as_ref().map(|path| folder.join(path)),
            git: self.git.as_ref().map(|path| folder.join(path)),
            witnesses: self.witnesses.values().map(witness).collect(),
        }
    }
}

/// One witness.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Witness {
    /// The prefix of its interface: `/add-checkpoint` is put behind it.
    #[schemars(extend("examples" = ["https://witness.example.com"]))]
    pub url: WebUrl,
    /// Its public key, as it publishes it.
    #[schemars(with = "String", extend("examples" = ["witness.example.com/w1+30b0eacf+BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g"]))]
    pub key: WitnessKeyText,
    /// Lets the URL lead to a private address.
    #[serde(default)]
    pub allow_private: bool,
}

/// A witness's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WitnessKeyText(pub audit::WitnessKey);

impl TryFrom<String> for WitnessKeyText {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        text.parse().map(WitnessKeyText).map_err(|_| {
            ValueFault::new(
                format!("`{text}` is not a witness's key"),
                "write it as the witness publishes it: name+hash+base64, of the type for cosignatures",
            )
        })
    }
}

impl From<WitnessKeyText> for String {
    fn from(key: WitnessKeyText) -> String {
        key.0.to_string()
    }
}
