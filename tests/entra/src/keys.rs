//! Its RSA keys, each with a certificate, and how they are published.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, jwk::Jwk};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use serde_json::{Value, json};

use crate::directory::CONSUMERS;

/// With which key a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// The one that signs now.
    Current,
    /// The one that belongs to personal accounts alone.
    Consumers,
    /// One that is not published, under the name of the one that is.
    Unpublished,
}

/// A key with its certificate.
pub(crate) struct Key {
    pub private: EncodingKey,
    pub public: DecodingKey,
    pub certificate: Vec<u8>,
    pub certificate_pem: String,
    pub key_pem: String,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.sha1())
    }
}

impl Key {
    pub fn generate(name: &str) -> Key {
        let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let mut parameters = CertificateParams::new([]).unwrap();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        let certificate = parameters.self_signed(&pair).unwrap();
        let key_pem = pair.serialize_pem();
        Key {
            private: EncodingKey::from_rsa_pem(key_pem.as_bytes()).unwrap(),
            public: DecodingKey::from_rsa_pem(pair.public_key_pem().as_bytes()).unwrap(),
            certificate: certificate.der().to_vec(),
            certificate_pem: certificate.pem(),
            key_pem,
        }
    }

    /// `x5t`, which is Entra's `kid` too.
    pub fn sha1(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.certificate))
    }

    /// `x5t#S256`.
    pub fn sha256(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.certificate))
    }

    fn published(&self, issuer: &str) -> Value {
        let jwk = Jwk::from_encoding_key(&self.private, Algorithm::RS256).unwrap();
        let jwk = serde_json::to_value(jwk).unwrap();
        json!({
            "kty": "RSA", "use": "sig", "kid": self.sha1(), "x5t": self.sha1(), "n": jwk["n"], "e": jwk["e"],
            "x5c": [STANDARD.encode(&self.certificate)], "cloud_instance_name": "microsoftonline.com",
            "issuer": issuer,
        })
    }

    fn sign(&self, name: &str, version: &str, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(name.to_owned());
        if version == "1.0" {
            header.x5t = Some(name.to_owned());
        }
        jsonwebtoken::encode(&header, claims, &self.private).unwrap()
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Keys {
    /// The newest last.
    login: Vec<Key>,
    consumers: Key,
    unpublished: Key,
}

impl Keys {
    pub fn generate() -> Keys {
        let [login, consumers, unpublished] =
            ["login", "consumers", "unpublished"].map(Key::generate);
        Keys { login: vec![login], consumers, unpublished }
    }

    fn current(&self) -> &Key {
        self.login.last().unwrap()
    }

    pub fn rotate(&mut self) {
        self.login.push(Key::generate("login"));
    }

    pub fn forget_old(&mut self) {
        self.login.drain(..self.login.len() - 1);
    }

    /// The key set. Its members name no algorithm.
    pub fn published(&self, origin: &str) -> Value {
        let ours =
            self.login.iter().map(|key| key.published(&format!("{origin}/{{tenantid}}/v2.0")));
        let consumers = self.consumers.published(&format!("{origin}/{CONSUMERS}/v2.0"));
        json!({ "keys": ours.chain([consumers]).collect::<Vec<_>>() })
    }

    pub fn sign(&self, signer: Signer, version: &str, claims: &Value) -> String {
        let name = self.current().sha1();
        match signer {
            Signer::Current => self.current().sign(&name, version, claims),
            Signer::Consumers => self.consumers.sign(&self.consumers.sha1(), version, claims),
            Signer::Unpublished => self.unpublished.sign(&name, version, claims),
        }
    }

    /// The claims of a token that one of the login keys signed, whatever else it says.
    pub fn read(&self, token: &str) -> Option<Value> {
        self.login.iter().find_map(|key| verify(token, &key.public, &[Algorithm::RS256]))
    }
}

/// The claims of a token that this key signed; nothing else of it is looked at.
pub(crate) fn verify(token: &str, key: &DecodingKey, algorithms: &[Algorithm]) -> Option<Value> {
    let mut validation = Validation::new(algorithms[0]);
    validation.algorithms = algorithms.to_vec();
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    Some(jsonwebtoken::decode::<Value>(token, key, &validation).ok()?.claims)
}
