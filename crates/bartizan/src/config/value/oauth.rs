//! What OAuth names: clients, redirect URIs, scopes.

use identity::broker::{ClientId, RedirectUri, Scopes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ValueFault;

/// A `client_id`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[!-~]{1,255}$"))]
pub struct ClientKey(#[schemars(with = "String")] pub ClientId);

impl TryFrom<String> for ClientKey {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        match ClientId::parse(&text) {
            Ok(id) if text.len() <= 255 => Ok(ClientKey(id)),
            _ => Err(ValueFault::new(
                format!("`{text}` can't be a client_id"),
                "write 1 to 255 letters, digits and signs without spaces, such as \"build\"",
            )),
        }
    }
}

impl From<ClientKey> for String {
    fn from(key: ClientKey) -> String {
        key.0.to_string()
    }
}

/// A redirect URI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("format" = "uri"))]
pub struct RedirectText(pub String);

impl TryFrom<String> for RedirectText {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        match RedirectUri::parse(&text) {
            Ok(_) => Ok(RedirectText(text)),
            Err(fault) => Err(ValueFault::new(
                format!("`{text}` can't be a redirect URI: {fault}"),
                "write such as \"https://app.example.com/callback\" or \"http://127.0.0.1/callback\"",
            )),
        }
    }
}

impl From<RedirectText> for String {
    fn from(uri: RedirectText) -> String {
        uri.0
    }
}

/// One scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct ScopeText(pub String);

impl TryFrom<String> for ScopeText {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        let one = Scopes::parse(&text).is_ok_and(|scopes| scopes.contains(&text));
        if one {
            return Ok(ScopeText(text));
        }
        Err(ValueFault::new(
            format!("`{text}` is not one scope"),
            "write each by itself, as in [\"mcp\", \"admin\"]",
        ))
    }
}

impl From<ScopeText> for String {
    fn from(scope: ScopeText) -> String {
        scope.0
    }
}
