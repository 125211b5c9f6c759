//! HashiCorp Vault: KV version 2, and transit with an AES-256-GCM key.

use std::{collections::HashMap, path::PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::Response;
use serde_json::{Value, json};

use crate::{
    Trouble,
    server::{Answers, Asked, Server, Wrapping, json},
};

/// A running one.
#[derive(Debug)]
pub struct HashiCorp(Server<State>);

#[derive(Debug)]
struct State {
    token: String,
    /// By `mount/path`.
    secrets: HashMap<String, Value>,
    transit: Wrapping,
}

impl HashiCorp {
    /// It lets in whoever shows this token.
    pub async fn start(token: &str) -> HashiCorp {
        let (token, transit) = (token.to_owned(), Wrapping::new());
        HashiCorp(Server::start(|_| State { token, secrets: HashMap::new(), transit }).await)
    }

    /// As `https://localhost:PORT`.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// The authority that signed its certificate, in PEM form.
    pub fn authority(&self) -> PathBuf {
        self.0.authority()
    }

    /// Sets what is at `mount/path`.
    pub fn put(&self, path: &str, fields: Value) {
        self.0.with(|state, _| state.secrets.insert(path.to_owned(), fields));
    }

    /// Only this token is good from now on.
    pub fn set_token(&self, token: &str) {
        self.0.with(|state, _| token.clone_into(&mut state.token));
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

impl Answers for State {
    fn answer(&mut self, asked: &Asked) -> Response<String> {
        if asked.header("x-vault-token") != self.token {
            return json(403, &json!({"errors": ["permission denied"]}));
        }
        let Some(rest) = asked.path.strip_prefix("/v1/") else { return nothing() };
        let parts: Vec<&str> = rest.splitn(3, '/').collect();
        match (asked.method.as_str(), parts.as_slice()) {
            ("GET", [mount, "data", path]) => match self.secrets.get(&format!("{mount}/{path}")) {
                Some(fields) => {
                    json(200, &json!({"data": {"data": fields, "metadata": {"version": 1}}}))
                }
                None => nothing(),
            },
            ("POST" | "PUT", ["transit", "encrypt", "bartizan"]) => {
                let wrapped = self.transit.wrap(&bound(asked), &bytes(&asked.body["plaintext"]));
                let ciphertext = format!("vault:v1:{}", BASE64_STANDARD.encode(wrapped));
                json(200, &json!({"data": {"ciphertext": ciphertext, "key_version": 1}}))
            }
            ("POST" | "PUT", ["transit", "decrypt", "bartizan"]) => {
                let text = asked.body["ciphertext"].as_str().unwrap_or_default();
                let sealed = text
                    .strip_prefix("vault:v1:")
                    .and_then(|text| BASE64_STANDARD.decode(text).ok());
                match sealed.and_then(|sealed| self.transit.unwrap(&bound(asked), &sealed)) {
                    Some(plain) => {
                        json(200, &json!({"data": {"plaintext": BASE64_STANDARD.encode(plain)}}))
                    }
                    None => {
                        json(400, &json!({"errors": ["invalid ciphertext: unable to decrypt"]}))
                    }
                }
            }
            _ => nothing(),
        }
    }
}

fn nothing() -> Response<String> {
    json(404, &json!({"errors": []}))
}

fn bound(asked: &Asked) -> Vec<u8> {
    bytes(&asked.body["associated_data"])
}

fn bytes(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().unwrap_or_default()).unwrap()
}
