//! Signatures of providers and organisations: keys that were pinned beforehand, and statements that a
//! definition with this digest is theirs.

mod keys;

use aws_lc_rs::{
    rand::SecureRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use mcp::{Json, quote};

pub use keys::{Algorithm, Key, KeyRing, Signed};

use crate::{Digest, Kind};

/// Why a signature proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// Not the algorithm that the key is pinned with.
    #[error("the algorithm is not the pinned key's")]
    Algorithm,
    /// No pinned key made it.
    #[error("no pinned key of this provider made it")]
    Invalid,
    /// The key is not usable at this time.
    #[error("the key is revoked, or not valid at this time")]
    KeyOutOfUse,
    /// Not in any form that is read here.
    #[error("the signature can't be read")]
    Malformed,
    /// There is none.
    #[error("there is no signature")]
    Missing,
    /// It is over something else than what is shown.
    #[error("what is signed is not what is shown")]
    Other,
    /// Nobody pinned such a key.
    #[error("no such key is pinned")]
    Unknown,
}

/// What a statement signs: that a definition of this kind with this digest is approved by the signer. Signed
/// as a detached JWS (RFC 7515, appendix F), so that anyone can recompute it.
pub fn statement(kind: Kind, digest: &Digest) -> String {
    format!("bartizan/definition/v1 {} sha256:{digest}", kind.as_str())
}

/// The longest statement that is read.
const LONGEST: usize = 4096;

/// Verifies one detached JWS over a definition's digest.
pub fn verify(
    jws: &str,
    kind: Kind,
    digest: &Digest,
    keys: &KeyRing,
    now: u64,
) -> Result<Signed, SignatureFault> {
    verify_detached(jws, statement(kind, digest).as_bytes(), keys, now)
}

/// Verifies one detached JWS over a payload.
pub(crate) fn verify_detached(
    jws: &str,
    payload: &[u8],
    keys: &KeyRing,
    now: u64,
) -> Result<Signed, SignatureFault> {
    let parts: Vec<&str> = jws.split('.').collect();
    let [header, "", signature] = parts[..] else { return Err(SignatureFault::Malformed) };
    if jws.len() > LONGEST {
        return Err(SignatureFault::Malformed);
    }
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| SignatureFault::Malformed);
    let text = decode(header)?;
    let signature = decode(signature)?;
    let read = Json::read(&text, &mcp::Limits::default()).map_err(|_| SignatureFault::Malformed)?;
    // What says that it must be understood is not understood here.
    if read.get("crit").is_some() || read.get("b64").is_some() {
        return Err(SignatureFault::Malformed);
    }
    let member = |name: &str| read.get(name).and_then(Json::string);
    let (Some(alg), Some(kid)) = (member("alg"), member("kid")) else {
        return Err(SignatureFault::Malformed);
    };
    let algorithm = Algorithm::of_jws(&alg).ok_or(SignatureFault::Algorithm)?;
    if keys.find(&kid).is_some_and(|key| key.algorithm != algorithm) {
        return Err(SignatureFault::Algorithm);
    }
    let payload = URL_SAFE_NO_PAD.encode(payload);
    keys.verify(None, Some(&kid), format!("{header}.{payload}").as_bytes(), &signature, now)
}

/// The signatures that a definition carries in its `_meta`: one text, or a list.
pub fn carried(definition: Json<'_>) -> Vec<String> {
    /// More than anyone needs.
    const MOST: usize = 16;
    let Some(held) =
        definition.get(mcp::meta::META).and_then(|meta| meta.get(crate::SIGNATURE_KEY))
    else {
        return Vec::new();
    };
    match held.string() {
        Some(one) => vec![one.into_owned()],
        None => {
            held.items().filter_map(Json::string).take(MOST).map(|jws| jws.into_owned()).collect()
        }
    }
}

/// A private key to sign with.
pub struct Signer {
    kid: String,
    pair: Pair,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({:?})", self.kid)
    }
}

impl Signer {
    /// From PKCS#8 in PEM form: P-256 (ES256) or Ed25519 (EdDSA).
    pub fn from_pem(kid: &str, pem: &str) -> Result<Signer, SignatureFault> {
        let der = der(pem, "PRIVATE KEY").ok_or(SignatureFault::Malformed)?;
        let pair = match Ed25519KeyPair::from_pkcs8(&der) {
            Ok(pair) => Pair::Ed25519(pair),
            Err(_) => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der)
                .map(Pair::Ecdsa)
                .map_err(|_| SignatureFault::Malformed)?,
        };
        Ok(Signer { kid: kid.to_owned(), pair })
    }

    /// The public key's bytes, as its algorithm has them.
    pub fn public(&self) -> &[u8] {
        match &self.pair {
            Pair::Ecdsa(pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        }
    }

    /// A detached JWS over a definition's digest.
    pub fn sign(
        &self,
        kind: Kind,
        digest: &Digest,
        random: &dyn SecureRandom,
    ) -> Result<String, SignatureFault> {
        self.detached(statement(kind, digest).as_bytes(), random)
    }

    /// A detached JWS over a payload.
    pub(crate) fn detached(
        &self,
        payload: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<String, SignatureFault> {
        let alg = match self.pair {
            Pair::Ecdsa(_) => "ES256",
            Pair::Ed25519(_) => "EdDSA",
        };
        let header = format!("{{\"alg\":\"{alg}\",\"kid\":{}}}", quote(&self.kid));
        let header = URL_SAFE_NO_PAD.encode(header);
        let payload = URL_SAFE_NO_PAD.encode(payload);
        let input = format!("{header}.{payload}");
        let signature = match &self.pair {
            Pair::Ed25519(pair) => pair.sign(input.as_bytes()).as_ref().to_vec(),
            Pair::Ecdsa(pair) => {
                let signed = pair.sign(random, input.as_bytes());
                signed.map_err(|_| SignatureFault::Malformed)?.as_ref().to_vec()
            }
        };
        Ok(format!("{header}..{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The first block of this kind in a PEM text.
pub(crate) fn der(pem: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let body: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(body).ok()
}
