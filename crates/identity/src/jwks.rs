//! JSON Web Key Sets (RFC 7517): the public keys with which an issuer signs.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use mcp::{Json, Kind};

use crate::Algorithm;

/// Why a document is no key set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwksFault {
    /// Not strict JSON, or beyond the bounds.
    #[error("the key set is not usable JSON: {0}")]
    Json(#[from] mcp::Fault),
    /// No `keys` array.
    #[error("the key set has no `keys`")]
    NoKeys,
    /// None of its keys can verify a signature here.
    #[error("the key set has no key that can be used to verify a signature")]
    NoneUsable,
    /// More than [`Jwks::LIMIT`] keys.
    #[error("the key set has more than {} keys", Jwks::LIMIT)]
    TooMany,
}

/// What a set's keys are for, as their `use` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// `sig`, or nothing: OpenID Connect.
    Signature,
    /// `jwt-svid`: a SPIFFE bundle, which also holds keys of certificates.
    JwtSvid,
}

/// An issuer's keys.
#[derive(Clone, Debug)]
pub struct Jwks {
    keys: Vec<Key>,
}

/// One public key.
#[derive(Clone, Debug)]
pub struct Key {
    kid: Option<Box<str>>,
    issuer: Option<Box<str>>,
    shape: Shape,
    algorithm: Option<Algorithm>,
    decoding: DecodingKey,
}

/// What the key's material is: it decides which algorithms are possible at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Ed25519,
    P256,
    P384,
    Rsa,
}

impl Jwks {
    /// The longest document that is read, in bytes.
    pub const BYTES: usize = 256 << 10;
    /// The most keys that a set may have.
    pub const LIMIT: usize = 128;

    const LIMITS: mcp::Limits = mcp::Limits { bytes: Self::BYTES, depth: 8, values: 8192 };

    /// Reads a key set. Keys that can't verify a signature (for encryption, symmetric, of an unknown or
    /// too weak kind) are left out, as RFC 7517 §5 asks; a set with none left is refused.
    pub fn read(bytes: &[u8], usage: KeyUse) -> Result<Jwks, JwksFault> {
        let document = Json::read(bytes, &Self::LIMITS)?;
        let listed = document.get("keys").filter(|keys| keys.kind() == Kind::Array);
        let listed = listed.ok_or(JwksFault::NoKeys)?;
        if listed.items().nth(Self::LIMIT).is_some() {
            return Err(JwksFault::TooMany);
        }
        let keys: Vec<Key> = listed.items().filter_map(|jwk| Key::of(jwk, usage)).collect();
        if keys.is_empty() { Err(JwksFault::NoneUsable) } else { Ok(Jwks { keys }) }
    }

    /// The set of one key, written as a JWK.
    pub fn single(jwk: Json<'_>) -> Option<Jwks> {
        Key::of(jwk, KeyUse::Signature).map(|key| Jwks { keys: vec![key] })
    }

    /// The keys named `kid`. A token that names none can only mean a set's only key.
    pub(crate) fn named<'a>(&'a self, kid: Option<&'a str>) -> impl Iterator<Item = &'a Key> {
        let only = self.keys.len() == 1;
        self.keys.iter().filter(move |key| match (kid, &key.kid) {
            (Some(kid), Some(own)) => **own == *kid,
            (None, _) => only,
            (Some(_), None) => false,
        })
    }

    /// Whether a key of this name is there: if not, the set may be old.
    pub fn knows(&self, kid: Option<&str>) -> bool {
        self.named(kid).next().is_some()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Never: a set without a key is not made.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl Key {
    /// `None`: not a key to verify a signature with.
    fn of(jwk: Json<'_>, usage: KeyUse) -> Option<Key> {
        let text = |name: &str| jwk.get(name)?.string();
        // May be missing, but must be text where it is there.
        let optional =
            |name: &str| jwk.get(name).map(|value| value.string().ok_or(())).transpose().ok();
        match (usage, optional("use")?.as_deref()) {
            (KeyUse::Signature, None | Some("sig")) | (KeyUse::JwtSvid, Some("jwt-svid")) => {}
            _ => return None,
        }
        if let Some(operations) = jwk.get("key_ops")
            && !operations.items().any(|operation| operation.text() == "\"verify\"")
        {
            return None;
        }
        let (shape, decoding) = match (&*text("kty")?, text("crv").as_deref()) {
            ("RSA", _) => (Shape::Rsa, rsa(&text("n")?, &text("e")?)?),
            ("EC", Some("P-256")) => (Shape::P256, point(&text("x")?, &text("y")?, 32)?),
            ("EC", Some("P-384")) => (Shape::P384, point(&text("x")?, &text("y")?, 48)?),
            ("OKP", Some("Ed25519")) => {
                (Shape::Ed25519, DecodingKey::from_ed_der(&decoded(&text("x")?, 32..=32)?))
            }
            _ => return None,
        };
        let algorithm = match optional("alg")? {
            Some(alg) => Some(Algorithm::named(&alg).filter(|alg| shape.can(*alg))?),
            None => None,
        };
        let boxed = |name| Some(optional(name)?.map(|text| Box::from(&*text)));
        Some(Key { kid: boxed("kid")?, issuer: boxed("issuer")?, shape, algorithm, decoding })
    }

    /// The one algorithm that this key verifies, of those allowed: the key's own `alg`, or else the first
    /// allowed one that its material can. The token's header has no say in it.
    pub(crate) fn algorithm(&self, allowed: &[Algorithm]) -> Option<Algorithm> {
        match self.algorithm {
            Some(own) => allowed.contains(&own).then_some(own),
            None => allowed.iter().copied().find(|algorithm| self.shape.can(*algorithm)),
        }
    }

    /// Which issuer the key is for, as Entra says for each of its keys; `{tenantid}` stands for any tenant.
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    pub(crate) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }
}

impl Shape {
    fn can(self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::EdDSA => self == Shape::Ed25519,
            Algorithm::ES256 => self == Shape::P256,
            Algorithm::ES384 => self == Shape::P384,
            Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512
            | Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512 => self == Shape::Rsa,
        }
    }
}

/// 2048 to 8192 bits.
fn rsa(n: &str, e: &str) -> Option<DecodingKey> {
    let modulus = decoded(n, 256..=1025)?;
    let exponent = decoded(e, 1..=5)?;
    let bits = modulus.iter().skip_while(|byte| **byte == 0).count() * 8;
    (2048..=8192).contains(&bits).then(|| DecodingKey::from_rsa_raw_components(&modulus, &exponent))
}

/// An uncompressed point (SEC 1 §2.3.3).
fn point(x: &str, y: &str, length: usize) -> Option<DecodingKey> {
    let (x, y) = (decoded(x, length..=length)?, decoded(y, length..=length)?);
    Some(DecodingKey::from_ec_der(&[&[4], x.as_slice(), y.as_slice()].concat()))
}

fn decoded(text: &str, length: std::ops::RangeInclusive<usize>) -> Option<Vec<u8>> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    length.contains(&bytes.len()).then_some(bytes)
}
