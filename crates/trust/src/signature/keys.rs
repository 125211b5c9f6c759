//! Public keys, pinned per provider before anything they signed is looked at.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RsaParameters, RsaPssSaltLength, UnparsedPublicKey,
    VerificationAlgorithm,
};

use super::{SignatureFault, der};

/// How a key signs. It is a matter of the pinned key, never of what a signature says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519.
    EdDsa,
    /// P-256 with SHA-256.
    Es256,
    /// RSASSA-PSS with SHA-256 and a salt of any usual length: what ETDI's own code makes and calls RS256.
    EtdiPss,
    /// RSASSA-PKCS1-v1_5 with SHA-256: what RS256 is.
    Rs256,
}

impl Algorithm {
    /// As configured.
    pub fn named(name: &str) -> Option<Algorithm> {
        match name {
            "EdDSA" => Some(Algorithm::EdDsa),
            "ES256" => Some(Algorithm::Es256),
            "ETDI-PSS" => Some(Algorithm::EtdiPss),
            "RS256" => Some(Algorithm::Rs256),
            _ => None,
        }
    }

    /// The two that a statement over a digest may use.
    pub(super) fn of_jws(alg: &str) -> Option<Algorithm> {
        Algorithm::named(alg).filter(|of| matches!(of, Algorithm::EdDsa | Algorithm::Es256))
    }
}

/// A pinned key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Whose it is.
    pub provider: String,
    /// Its id: unique among all pinned keys.
    pub kid: String,
    /// How it signs.
    pub algorithm: Algorithm,
    /// From then on, in seconds since 1970.
    pub not_before: Option<u64>,
    /// Up to then.
    pub not_after: Option<u64>,
    /// Nothing that it ever signed counts any more.
    pub revoked: bool,
    spki: Vec<u8>,
}

impl Key {
    /// From a public key in PEM form.
    pub fn from_pem(
        provider: &str,
        kid: &str,
        algorithm: Algorithm,
        pem: &str,
    ) -> Result<Key, SignatureFault> {
        let spki = der(pem, "PUBLIC KEY").ok_or(SignatureFault::Malformed)?;
        let (provider, kid) = (provider.to_owned(), kid.to_owned());
        let key = Key {
            provider,
            kid,
            algorithm,
            not_before: None,
            not_after: None,
            revoked: false,
            spki,
        };
        key.bytes().map(|_| key.clone())
    }

    /// Whether it may be believed now.
    pub fn in_use(&self, now: u64) -> bool {
        !self.revoked
            && self.not_before.is_none_or(|from| from <= now)
            && self.not_after.is_none_or(|to| now <= to)
    }

    /// The key as its algorithm's verification takes it.
    fn bytes(&self) -> Result<&[u8], SignatureFault> {
        let algorithm: &'static dyn VerificationAlgorithm = match self.algorithm {
            Algorithm::EdDsa => &ED25519,
            Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
            Algorithm::EtdiPss => &RSA_PSS_2048_8192_SHA256,
            Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        };
        ParsedPublicKey::new(algorithm, &self.spki).map_err(|_| SignatureFault::Malformed)?;
        Ok(&self.spki)
    }

    fn made(&self, message: &[u8], signature: &[u8]) -> bool {
        let by = |algorithm: &'static dyn VerificationAlgorithm| {
            UnparsedPublicKey::new(algorithm, &self.spki).verify(message, signature).is_ok()
        };
        match self.algorithm {
            Algorithm::EdDsa => by(&ED25519),
            Algorithm::Es256 => by(&ECDSA_P256_SHA256_FIXED),
            Algorithm::EtdiPss => by(&PSS_LONGEST_SALT) || by(&RSA_PSS_2048_8192_SHA256),
            Algorithm::Rs256 => by(&RSA_PKCS1_2048_8192_SHA256),
        }
    }
}

/// As ETDI's code signs: with the longest salt that fits.
static PSS_LONGEST_SALT: RsaParameters =
    RSA_PSS_2048_8192_SHA256.with_pss_salt_length(RsaPssSaltLength::Max);

/// Who signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The provider.
    pub provider: String,
    /// The key.
    pub kid: String,
}

/// All pinned keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRing {
    keys: Vec<Key>,
}

impl KeyRing {
    /// Of two keys with one id the first stays.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> KeyRing {
        let mut ring = KeyRing::default();
        for key in keys {
            if ring.find(&key.kid).is_none() {
                ring.keys.push(key);
            }
        }
        ring
    }

    /// A key by its id.
    pub fn find(&self, kid: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.kid == kid)
    }

    /// Those of one provider.
    pub fn of(&self, provider: &str) -> KeyRing {
        let own = self.keys.iter().filter(|key| key.provider == provider);
        KeyRing { keys: own.cloned().collect() }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    /// Whether one of the keys that come into question made the signature, and may be believed now.
    pub fn verify(
        &self,
        provider: Option<&str>,
        kid: Option<&str>,
        message: &[u8],
        signature: &[u8],
        now: u64,
    ) -> Result<Signed, SignatureFault> {
        let meant = |key: &&Key| {
            provider.is_none_or(|provider| key.provider == provider)
                && kid.is_none_or(|kid| key.kid == kid)
        };
        let mut fault = SignatureFault::Unknown;
        for key in self.keys.iter().filter(meant) {
            match (key.made(message, signature), key.in_use(now)) {
                (true, true) => {
                    return Ok(Signed { provider: key.provider.clone(), kid: key.kid.clone() });
                }
                (true, false) => fault = SignatureFault::KeyOutOfUse,
                (false, _) if fault == SignatureFault::Unknown => fault = SignatureFault::Invalid,
                (false, _) => {}
            }
        }
        Err(fault)
    }
}
