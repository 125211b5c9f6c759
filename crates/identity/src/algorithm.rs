//! The signature algorithms (RFC 7518 §3.1, RFC 8037): asymmetric ones only, so that neither `none`
//! nor a public key used as a shared secret can be asked for.

use jsonwebtoken::Algorithm as Signature;

/// What a key signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the specification's own")]
pub enum Algorithm {
    EdDSA,
    ES256,
    ES384,
    PS256,
    PS384,
    PS512,
    RS256,
    RS384,
    RS512,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Algorithm; 9] = [
        Algorithm::EdDSA,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
    ];

    /// By its exact name in a header or a key.
    pub fn named(name: &str) -> Option<Algorithm> {
        // RFC 9864 gives EdDSA over this curve a name of its own.
        let name = if name == "Ed25519" { "EdDSA" } else { name };
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::EdDSA => "EdDSA",
            Algorithm::ES256 => "ES256",
            Algorithm::ES384 => "ES384",
            Algorithm::PS256 => "PS256",
            Algorithm::PS384 => "PS384",
            Algorithm::PS512 => "PS512",
            Algorithm::RS256 => "RS256",
            Algorithm::RS384 => "RS384",
            Algorithm::RS512 => "RS512",
        }
    }

    pub(crate) fn signature(self) -> Signature {
        match self {
            Algorithm::EdDSA => Signature::EdDSA,
            Algorithm::ES256 => Signature::ES256,
            Algorithm::ES384 => Signature::ES384,
            Algorithm::PS256 => Signature::PS256,
            Algorithm::PS384 => Signature::PS384,
            Algorithm::PS512 => Signature::PS512,
            Algorithm::RS256 => Signature::RS256,
            Algorithm::RS384 => Signature::RS384,
            Algorithm::RS512 => Signature::RS512,
        }
    }
}
