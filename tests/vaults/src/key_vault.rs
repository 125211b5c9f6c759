//! Azure Key Vault: secrets, and wrapping with a key. Whoever comes without a token is told where to get one.

use std::{collections::HashMap, path::PathBuf};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::Response;
use serde_json::{Value, json};

use crate::{
    Trouble,
    server::{Answers, Asked, Server, Wrapping, json},
};

/// A running one.
#[derive(Debug)]
pub struct KeyVault(Server<State>);

#[derive(Debug)]
struct State {
    url: String,
    token: String,
    /// The resource that its challenge names.
    resource: String,
    secrets: HashMap<String, Value>,
    key: Wrapping,
}

impl KeyVault {
    /// It lets in whoever shows this token; an empty one stands for any that is for its resource.
    pub async fn start(token: &str) -> KeyVault {
        let (token, resource) = (token.to_owned(), "https://localhost".to_owned());
        let server = Server::start(|url| State {
            url: url.to_owned(),
            token,
            resource,
            secrets: HashMap::new(),
            key: Wrapping::new(),
        });
        KeyVault(server.await)
    }

    /// As `https://localhost:PORT`.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// The authority that signed its certificate, in PEM form.
    pub fn authority(&self) -> PathBuf {
        self.0.authority()
    }

    /// Sets a secret, with the end that its attributes name.
    pub fn put(&self, name: &str, value: &str, expires: Option<u64>) {
        let mut attributes = json!({"enabled": true, "recoveryLevel": "Recoverable+Purgeable"});
        if let Some(expires) = expires {
            attributes["exp"] = json!(expires);
        }
        let secret = json!({"value": value, "attributes": attributes});
        self.0.with(|state, _| state.secrets.insert(name.to_owned(), secret));
    }

    /// Only this token is good from now on.
    pub fn set_token(&self, token: &str) {
        self.0.with(|state, _| token.clone_into(&mut state.token));
    }

    /// Its challenge names this resource from now on.
    pub fn challenge_for(&self, resource: &str) {
        self.0.with(|state, _| resource.clone_into(&mut state.resource));
    }

    /// Something is wrong from now on.
    pub fn trouble(&self, trouble: Trouble) {
        self.0.with(|_, log| log.trouble = trouble);
    }

    /// What it was asked, as `GET /path`.
    pub fn asked(&self) -> Vec<String> {
        self.0.with(|_, log| log.asked.clone())
    }
}

impl State {
    fn lets_in(&self, authorization: &str) -> bool {
        let Some(token) = authorization.strip_prefix("Bearer ") else { return false };
        if !self.token.is_empty() {
            return token == self.token;
        }
        let claims =
            token.split('.').nth(1).and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok());
        let claims: Value = serde_json::from_slice(&claims.unwrap_or_default()).unwrap_or_default();
        claims["aud"] == self.resource.as_str()
    }
}

impl Answers for State {
    fn answer(&mut self, asked: &Asked) -> Response<String> {
        if !self.lets_in(asked.header("authorization")) {
            let mut refused = json(
                401,
                &fault("Unauthorized", "AKV10000: Request is missing a Bearer or PoP token."),
            );
            let challenge = format!(
                "Bearer authorization=\"https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47\", resource=\"{}\"",
                self.resource
            );
            refused.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
            return refused;
        }
        if !asked.query.contains("api-version=7.") {
            return json(400, &fault("BadParameter", "api-version must be specified"));
        }
        let parts: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
        match (asked.method.as_str(), parts.as_slice()) {
            ("GET", ["secrets", name]) => match self.secrets.get(*name) {
                Some(secret) => json(200, secret),
                None => {
                    json(404, &fault("SecretNotFound", "A secret with that name was not found."))
                }
            },
            ("POST", ["keys", "bartizan", version @ .., work])
                if asked.body["alg"] == "RSA-OAEP-256" =>
            {
                let value = asked.body["value"].as_str().unwrap_or_default();
                let value = BASE64_URL_SAFE_NO_PAD.decode(value).unwrap();
                let done = match (*work, version) {
                    ("wrapkey", _) => Some(self.key.wrap(b"", &value)),
                    ("unwrapkey", ["v1"]) => self.key.unwrap(b"", &value),
                    _ => None,
                };
                let kid = format!("{}/keys/bartizan/v1", self.url);
                match done {
                    Some(done) => json(
                        200,
                        &json!({"kid": kid, "value": BASE64_URL_SAFE_NO_PAD.encode(done)}),
                    ),
                    None => json(400, &fault("BadParameter", "Property has invalid value")),
                }
            }
            _ => json(404, &fault("NotFound", "")),
        }
    }
}

fn fault(code: &str, message: &str) -> Value {
    json!({"error": {"code": code, "message": message}})
}
