//! Who may do what, and with which credential.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ValueFault;

/// Who has a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^(owner|loopback|(client|group|role|scope|tenant|token|user|workload):\\S+)$"))]
#[schemars(with = "String")]
pub struct Member(pub policy::Member);

impl TryFrom<String> for Member {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        let is_token_name = |name: &str| identity::TokenName::new(name).is_ok();
        let token = text.strip_prefix("token:");
        let mend = match (token, text.parse()) {
            (Some(name), _) if !is_token_name(name) => "a token's name is 1 to 64 of a-z, 0-9, '.', '_' and '-', as in `bartizan token mint NAME`".to_owned(),
            (_, Ok(member)) => return Ok(Member(member)),
            (None, _) if is_token_name(&text) => format!("write \"token:{text}\" for a minted token, or \"loopback\""),
            _ => "write \"token:NAME\" for a minted token, \"group:ID\", \"role:NAME\", \"user:ID\", \"workload:ID\", \"client:ID\", \"tenant:ID\", \"scope:NAME\", or \"loopback\"".to_owned(),
        };
        Err(ValueFault::new(format!("`{text}` is not a member"), mend))
    }
}

impl From<Member> for String {
    fn from(member: Member) -> String {
        member.0.to_string()
    }
}

/// What a role allows or denies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct PatternText(pub policy::Pattern);

impl PatternText {
    /// The server's part, without the kind.
    pub fn server(&self) -> String {
        let text = self.0.to_string();
        let text = ["tool:", "prompt:", "resource:"]
            .iter()
            .find_map(|kind| text.strip_prefix(kind))
            .unwrap_or(&text);
        text.split('/').next().unwrap_or_default().to_owned()
    }
}

impl TryFrom<String> for PatternText {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        // Addresses of resources may have brackets.
        if text.contains(['[', ']']) && !text.contains("://") {
            return Err(ValueFault::new(
                format!("`{text}` has a bracket, which no name has"),
                "only * stands for other letters; write a line for each name",
            ));
        }
        text.parse().map(PatternText).map_err(|fault: policy::PatternFault| {
            let mend = match fault {
                policy::PatternFault::NoSlash(_) if !text.is_empty() => {
                    format!("\"{text}/*\" stands for all that the server {text} offers")
                }
                _ => "write server/name, such as \"github/get_*\"".to_owned(),
            };
            ValueFault::new(fault.to_string(), mend)
        })
    }
}

impl From<PatternText> for String {
    fn from(pattern: PatternText) -> String {
        pattern.0.to_string()
    }
}

/// The name of a header that carries a credential.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct HeaderText(pub String);

impl TryFrom<String> for HeaderText {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        let mend = "write a name such as \"Authorization\" or \"X-Api-Key\"";
        let checked =
            vault::Reference::parse("x").and_then(|value| vault::Credential::new(&text, value));
        match checked {
            Ok(_) => Ok(HeaderText(text)),
            Err(fault) => Err(ValueFault::new(fault.to_string(), mend)),
        }
    }
}

impl From<HeaderText> for String {
    fn from(header: HeaderText) -> String {
        header.0
    }
}

/// The name of a query parameter that carries a credential.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct QueryText(pub String);

impl TryFrom<String> for QueryText {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        let checked =
            vault::Reference::parse("x").and_then(|value| vault::Credential::query(&text, value));
        match checked {
            Ok(_) => Ok(QueryText(text)),
            Err(fault) => {
                Err(ValueFault::new(fault.to_string(), "write a name such as \"api_key\""))
            }
        }
    }
}

impl From<QueryText> for String {
    fn from(name: QueryText) -> String {
        name.0
    }
}

/// A region or a service, as AWS calls it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[a-z0-9-]{1,64}$"))]
#[schemars(with = "String")]
pub struct WordText(pub String);

impl TryFrom<String> for WordText {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        match (1..=64).contains(&text.len()) && text.bytes().all(plain) {
            true => Ok(WordText(text)),
            false => Err(ValueFault::new(
                format!("`{text}` is no name that AWS gives"),
                "write it in small letters, such as \"eu-central-1\" or \"execute-api\"",
            )),
        }
    }
}

impl From<WordText> for String {
    fn from(word: WordText) -> String {
        word.0
    }
}

/// Text with `${env:NAME}` and `${file:PATH}` in it. `Debug` shows the references only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    text: String,
    pub reference: vault::Reference,
}

impl Template {
    /// As it is written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.reference)
    }
}

impl TryFrom<String> for Template {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        match vault::Reference::parse(&text) {
            Ok(reference) => Ok(Template { text, reference }),
            Err(fault) => Err(ValueFault::new(
                fault.to_string(),
                "write ${env:NAME} or ${file:/PATH} for what is kept elsewhere",
            )),
        }
    }
}

impl From<Template> for String {
    fn from(template: Template) -> String {
        template.text
    }
}
