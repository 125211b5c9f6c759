//! `[audit.payloads]`: what calls say, sealed for an auditor; and `fields`, what is recorded of it in clear.

use gateway::payloads as resolved;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use toml::Spanned;

use super::{
    fault::Finding,
    value::{ByteSize, PatternText, Period, ValueFault},
};

/// What calls say, sealed for an auditor. Nothing is kept while nobody is named in `recipients`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Payloads {
    /// Public keys, as `age-keygen` writes them: each of them can open what is sealed, nobody else can. Keep the private ones away from this machine.
    #[schemars(with = "Vec<String>", extend("examples" = [json!(["age1xmwwc06ly3ee5rytxm9mflaz2u56jjj36s0mypdrwsvlul66mv4q47ryef"])]))]
    pub recipients: Vec<RecipientText>,
    /// Of which calls, as in roles.
    #[schemars(with = "Vec<String>", extend("examples" = [json!(["payments/*", "tool:files/write_*"])]))]
    pub of: Spanned<Vec<PatternText>>,
    /// But not of these.
    #[schemars(with = "Vec<String>", extend("examples" = [json!(["files/read_photo"])]))]
    pub except: Vec<PatternText>,
    /// Whether arguments are kept.
    pub arguments: bool,
    /// Whether results are kept.
    pub results: bool,
    /// Of what is longer nothing is kept, and the record says so.
    pub limit: ByteSize,
    /// For how long; without it, as long as the records. Whole files are removed, oldest first, and it is recorded. The log verifies without them.
    #[schemars(extend("examples" = ["90d"]))]
    pub keep: Option<Period>,
    /// How much, in the same way.
    #[schemars(extend("examples" = ["10GiB"]))]
    pub keep_bytes: Option<ByteSize>,
}

impl Default for Payloads {
    fn default() -> Self {
        let everything = PatternText::try_from("*".to_owned());
        Payloads {
            recipients: Vec::new(),
            of: Spanned::new(0..0, everything.into_iter().collect()),
            except: Vec::new(),
            arguments: true,
            results: true,
            limit: ByteSize(256 << 10),
            keep: None,
            keep_bytes: None,
        }
    }
}

impl Payloads {
    pub(super) fn check(&self, findings: &mut Vec<Finding>) {
        if self.of.get_ref().is_empty() && !self.recipients.is_empty() {
            findings.push(Finding::warning(
                "nothing is sealed: `of` names no calls",
                self.of.span(),
                "write of = [\"*\"] for all, or take the section out",
            ));
        }
    }

    /// As the gateway takes it.
    pub fn resolve(&self) -> resolved::Payloads {
        let patterns = |texts: &[PatternText]| texts.iter().map(|text| text.0.clone()).collect();
        resolved::Payloads {
            recipients: self.recipients.iter().map(|recipient| recipient.0.clone()).collect(),
            of: patterns(self.of.get_ref()),
            except: patterns(&self.except),
            arguments: self.arguments,
            results: self.results,
            limit: self.limit.0,
            keep: audit::Retention {
                age: self.keep.map(|Period(age)| age),
                bytes: self.keep_bytes.map(|ByteSize(bytes)| bytes as u64),
            },
        }
    }
}

/// A public key of age's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecipientText(audit::Recipient);

impl TryFrom<String> for RecipientText {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        text.parse().map(RecipientText).map_err(|_| {
            if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
                return ValueFault::new(
                    "a private key, which can open everything that is sealed",
                    "write the public key that `age-keygen -y` prints for it, and make a new pair",
                );
            }
            ValueFault::new(
                format!("`{text}` is not a public key of age's"),
                "write it as age-keygen prints it, `age1…`; of an auditor's own tool, only X25519 keys are known",
            )
        })
    }
}

impl From<RecipientText> for String {
    fn from(recipient: RecipientText) -> String {
        recipient.0.to_string()
    }
}

/// Arguments by name, of some calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FieldsText(pub resolved::Fields);

/// Names in one text.
const NAMES: usize = 16;

impl TryFrom<String> for FieldsText {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        let mend = "write a pattern and names of arguments, such as \"github/*: owner, repo\"";
        let fault = |why: &str| ValueFault::new(format!("`{text}` {why}"), mend);
        let (of, names) = text.rsplit_once(": ").ok_or_else(|| fault("names no arguments"))?;
        let of = of.trim().parse().map_err(|_| fault("begins with no pattern"))?;
        let names: Vec<Box<str>> = names.split(',').map(|name| name.trim().into()).collect();
        if names.iter().any(|name| name.is_empty() || name.len() > 128) {
            return Err(fault("has a name that can't be one"));
        }
        if names.len() > NAMES {
            return Err(fault("names more than 16 arguments"));
        }
        Ok(FieldsText(resolved::Fields { of, names }))
    }
}

impl From<FieldsText> for String {
    fn from(text: FieldsText) -> String {
        format!("{}: {}", text.0.of, text.0.names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_they_are_read() {
        for text in ["github/*: owner, repo", "tool:a/b: x", "resource:web/https://*: uri"] {
            let read = FieldsText::try_from(text.to_owned()).unwrap();
            assert_eq!(String::from(read), text);
        }
        for wrong in ["github/*", "github/*:", "github/*: ", "github/*: a,,b", "github: a", ": a"] {
            assert!(FieldsText::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_private_key_is_told_from_a_public_one() {
        let identity = "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";
        let fault = RecipientText::try_from(identity.to_owned()).unwrap_err();
        assert!(format!("{fault:?}").contains("private key"), "{fault:?}");
        assert!(!format!("{fault:?}").contains("EGTZV"));
    }
}
