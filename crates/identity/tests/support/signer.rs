//! Keys that sign tokens by hand: nothing here goes through the code under test.

use aws_lc_rs::{
    encoding::AsDer,
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
        RSA_PSS_SHA256, RsaKeyPair,
    },
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as B64};
use serde_json::{Value, json};

/// A private key and the name under which its public half is published.
pub struct Signer {
    pub kid: String,
    key: Private,
}

enum Private {
    Ed(Box<Ed25519KeyPair>),
    Es(Box<EcdsaKeyPair>),
    Rsa(Box<RsaKeyPair>),
}

#[allow(dead_code, reason = "not every test that shares this file uses all of it")]
impl Signer {
    pub fn rsa(kid: &str) -> Signer {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        Signer { kid: kid.into(), key: Private::Rsa(Box::new(key)) }
    }

    pub fn ec(kid: &str) -> Signer {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Signer { kid: kid.into(), key: Private::Es(Box::new(key)) }
    }

    pub fn ed(kid: &str) -> Signer {
        let key = Ed25519KeyPair::generate().unwrap();
        Signer { kid: kid.into(), key: Private::Ed(Box::new(key)) }
    }

    /// The public key as a JWK, without `alg`, as Entra publishes its own.
    pub fn jwk(&self) -> Value {
        let kid = &self.kid;
        match &self.key {
            Private::Ed(key) => {
                let x = B64.encode(key.public_key());
                json!({"kty":"OKP","crv":"Ed25519","use":"sig","kid":kid,"x":x})
            }
            Private::Es(key) => {
                let point = key.public_key().as_ref();
                let (x, y) = (B64.encode(&point[1..33]), B64.encode(&point[33..]));
                json!({"kty":"EC","crv":"P-256","use":"sig","kid":kid,"x":x,"y":y})
            }
            Private::Rsa(key) => {
                // RSAPublicKey: two headers, then the modulus after its zero byte, then 65537.
                let modulus = &key.public_key().as_ref()[9..265];
                json!({"kty":"RSA","use":"sig","kid":kid,"n":B64.encode(modulus),"e":"AQAB"})
            }
        }
    }

    /// The usual header for this key.
    pub fn header(&self) -> Value {
        let alg = match &self.key {
            Private::Ed(_) => "EdDSA",
            Private::Es(_) => "ES256",
            Private::Rsa(_) => "RS256",
        };
        json!({"typ":"JWT","alg":alg,"kid":self.kid})
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), claims)
    }

    /// Signs under any header, with what the key can, or with PSS where the header says so.
    pub fn sign_with(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    pub fn sign_text(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", B64.encode(header), B64.encode(claims));
        let random = SystemRandom::new();
        let signature = match &self.key {
            Private::Ed(key) => key.sign(signed.as_bytes()).as_ref().to_vec(),
            Private::Es(key) => key.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            Private::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                if header.contains("PS256") {
                    key.sign(&RSA_PSS_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
                } else {
                    key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature)
                        .unwrap();
                }
                signature
            }
        };
        format!("{signed}.{}", B64.encode(signature))
    }

    /// HMAC with the public key as the secret: the oldest trick.
    pub fn confused(&self, claims: &Value) -> String {
        let secret = match &self.key {
            Private::Ed(key) => key.public_key().as_ref().to_vec(),
            Private::Es(key) => key.public_key().as_ref().to_vec(),
            Private::Rsa(key) => key.public_key().as_der().unwrap().as_ref().to_vec(),
        };
        let header = json!({"typ":"JWT","alg":"HS256","kid":self.kid});
        let signed =
            format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
        format!("{signed}.{}", B64.encode(tag))
    }
}

/// A key set of these keys.
#[allow(dead_code, reason = "not every test that shares this file uses all of it")]
pub fn key_set(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}
