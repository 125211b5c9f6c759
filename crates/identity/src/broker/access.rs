//! The access tokens that this server mints: signed, short-lived, for one route, with the verified identity in them and never a
//! token of the provider (RFC 9068, RFC 7800).

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Scopes, opaque};
use crate::jwks::Jwks;
use crate::jwt::{Issuer, Issuers, Jwt, JwtFault, Profile, Purpose, Typ};
use crate::{Algorithm, Attributes, Grant, Principal, Subject, Verified};

/// The header's `typ`.
pub const TYPE: &str = "at+jwt";

/// Who signed in, by the word of the provider: what every token of a session says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedIn {
    /// The principal's id, such as `user:corp/alice`.
    #[serde(rename = "sub")]
    pub id: String,
    /// The provider's name in the configuration.
    #[serde(rename = "idp")]
    pub provider: String,
    /// The tenant, where the provider has tenants.
    #[serde(rename = "tid", default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Who it is in the provider's own words (`oid` for Entra, otherwise `sub`).
    #[serde(rename = "idp_sub")]
    pub subject: String,
    /// A name to show to people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The authentication context class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// How the person was authenticated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// When the person last gave their credentials, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<u64>,
}

impl SignedIn {
    /// What a provider's word proved.
    pub fn of(caller: &Principal) -> SignedIn {
        let text = |value: Option<&str>| value.map(str::to_owned);
        SignedIn {
            id: caller.id().to_owned(),
            provider: caller.provider().unwrap_or_default().to_owned(),
            tenant: text(caller.tenant()),
            subject: caller.subject().unwrap_or_default().to_owned(),
            name: text(caller.name()),
            groups: caller.groups().to_vec(),
            roles: caller.roles().to_vec(),
            acr: text(caller.acr()),
            amr: caller.amr().to_vec(),
            auth_time: caller.authenticated_at(),
        }
    }

    /// Whether a decision could turn out another way under `other`.
    pub fn differs(&self, other: &SignedIn) -> bool {
        let facts = |of: &SignedIn| SignedIn { name: None, auth_time: None, ..of.clone() };
        facts(self) != facts(other)
    }
}

/// What an access token says. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// This server.
    pub iss: String,
    /// The route that it is for.
    pub aud: String,
    /// Through which client.
    pub client_id: String,
    /// What it allows.
    pub scope: Scopes,
    /// When it was minted.
    pub iat: u64,
    /// The first second at which it is no longer valid.
    pub exp: u64,
    /// Its own name.
    pub jti: String,
    /// The session that it belongs to, whose end ends it too.
    pub sid: String,
    /// Which state of the session's identity it speaks of: when that changes, older tokens end.
    pub epoch: u64,
    /// The key that must be shown with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
    /// Who signed in.
    #[serde(flatten)]
    pub identity: SignedIn,
}

/// The key that a token is bound to (RFC 9449 §6.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// The SHA-256 thumbprint of its JWK.
    pub jkt: String,
}

/// Why an access token of ours lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessFault {
    /// The token itself.
    #[error(transparent)]
    Jwt(#[from] JwtFault),
    /// It was signed by us, and does not say what we write.
    #[error("the token's claims are incomplete")]
    Claims,
}

impl Claims {
    /// Reads a token that `issuer` minted. For which route it is, and whether its session still lives, is not looked at here.
    pub fn verify(
        jwt: &Jwt<'_>,
        issuer: &str,
        keys: &Jwks,
        now: u64,
    ) -> Result<Claims, AccessFault> {
        let audience = jwt.claim("aud").and_then(Value::as_str).ok_or(JwtFault::Audience)?;
        let profile = Profile {
            issuers: Issuers::Named(vec![Issuer::plain(issuer)]),
            audiences: vec![audience.to_owned()],
            several_audiences: false,
            algorithms: vec![Algorithm::ES256],
            types: vec![Typ::AccessToken],
            purpose: Purpose::Access,
        };
        let claims = profile.verify(jwt, keys, now)?;
        serde_json::from_value(claims.into_value()).map_err(|_| AccessFault::Claims)
    }

    /// The caller whom a token of a live session proves.
    pub fn verified(self) -> Option<Verified> {
        let SignedIn { id, provider, tenant, subject, name, groups, roles, acr, amr, auth_time } =
            self.identity;
        let attributes = Attributes {
            provider: Some(provider),
            tenant,
            subject: Some(subject),
            name,
            groups,
            roles,
            scopes: self.scope.iter().map(str::to_owned).collect(),
            client: Some(self.client_id),
            acr,
            amr,
            authenticated_at: auth_time,
            expires: Some(self.exp),
            audiences: vec![self.aud],
            grant: Some(Grant {
                session: self.sid,
                epoch: self.epoch,
                key: self.cnf.map(|cnf| cnf.jkt),
            }),
            ..Attributes::default()
        };
        Some(Subject::parse(&id)?.verified(attributes))
    }
}

/// A key to sign with: ECDSA on P-256.
#[derive(Clone)]
pub struct SigningKey {
    kid: String,
    encoding: EncodingKey,
    x: String,
    y: String,
}

/// The key or the signature failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing key can't be used: {0}")]
pub struct SigningFault(String);

impl SigningKey {
    /// From PKCS#8.
    pub fn from_pkcs8(der: &[u8]) -> Result<SigningKey, SigningFault> {
        let fault = |what: &str| SigningFault(what.to_owned());
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
            .map_err(|error| fault(&error.to_string()))?;
        // An uncompressed point: 4, x, y.
        let point = pair.public_key().as_ref();
        let (x, y) = match point {
            [4, rest @ ..] if rest.len() == 64 => rest.split_at(32),
            _ => return Err(fault("not an uncompressed point")),
        };
        let (x, y) = (BASE64_URL_SAFE_NO_PAD.encode(x), BASE64_URL_SAFE_NO_PAD.encode(y));
        // The thumbprint of RFC 7638.
        let thumbprint =
            opaque::hash(&format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#));
        let kid = BASE64_URL_SAFE_NO_PAD.encode(thumbprint);
        Ok(SigningKey { kid, encoding: EncodingKey::from_ec_der(der), x, y })
    }

    /// Its thumbprint, which is also its name.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half, as a JWK.
    pub fn jwk(&self) -> serde_json::Value {
        serde_json::json!({"kty": "EC", "crv": "P-256", "x": self.x, "y": self.y, "kid": self.kid, "use": "sig", "alg": "ES256"})
    }

    /// Signs an access token.
    pub fn mint(&self, claims: &Claims) -> Result<String, SigningFault> {
        let mut header = Header::new(jsonwebtoken::Algorithm::ES256);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.encoding)
            .map_err(|error| SigningFault(error.to_string()))
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.kid)
    }
}

/// The key set document of these keys.
pub fn jwks<'a>(keys: impl IntoIterator<Item = &'a SigningKey>) -> String {
    let keys: Vec<_> = keys.into_iter().map(SigningKey::jwk).collect();
    serde_json::json!({ "keys": keys }).to_string()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;

    use super::*;
    use crate::jwks::KeyUse;

    fn key() -> SigningKey {
        let alg = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(alg, &SystemRandom::new()).unwrap();
        SigningKey::from_pkcs8(pkcs8.as_ref()).unwrap()
    }

    fn claims() -> Claims {
        Claims {
            iss: "https://gw".into(),
            aud: "https://gw/mcp".into(),
            client_id: "c".into(),
            scope: Scopes::parse("mcp admin").unwrap(),
            iat: 1000,
            exp: 1600,
            jti: "j".into(),
            sid: "s".into(),
            epoch: 3,
            cnf: Some(Confirmation { jkt: "k".into() }),
            identity: SignedIn {
                id: "user:corp/alice".into(),
                provider: "corp".into(),
                subject: "alice".into(),
                groups: vec!["staff".into()],
                roles: vec!["dev".into(), "all".into()],
                auth_time: Some(990),
                ..SignedIn::default()
            },
        }
    }

    fn verify(
        token: &str,
        key: &SigningKey,
        issuer: &str,
        now: u64,
    ) -> Result<Claims, AccessFault> {
        let keys = Jwks::read(jwks([key]).as_bytes(), KeyUse::Signature).unwrap();
        Claims::verify(&Jwt::read(token).unwrap(), issuer, &keys, now)
    }

    #[test]
    fn what_is_minted_is_read_back_by_its_own_issuer_in_its_time() {
        let key = key();
        let token = key.mint(&claims()).unwrap();
        let read = verify(&token, &key, "https://gw", 1599).unwrap();
        assert_eq!(read, claims());
        let fault = |result: Result<Claims, AccessFault>| result.unwrap_err();
        let jwt = AccessFault::Jwt;
        assert_eq!(fault(verify(&token, &key, "https://gw", 1700)), jwt(JwtFault::Expired));
        assert_eq!(fault(verify(&token, &key, "https://other", 1500)), jwt(JwtFault::Issuer));
        assert_eq!(
            fault(verify(&token, &self::key(), "https://gw", 1500)),
            jwt(JwtFault::UnknownKey)
        );
    }

    #[test]
    fn it_proves_a_caller_with_its_session_and_never_with_the_built_in_role() {
        let caller = claims().verified().unwrap();
        let caller = caller.principal();
        assert_eq!((caller.id(), caller.client()), ("user:corp/alice", Some("c")));
        assert_eq!(
            (caller.roles(), caller.groups()),
            (&["dev".to_owned()][..], &["staff".to_owned()][..])
        );
        assert_eq!(caller.scopes(), ["mcp", "admin"]);
        assert_eq!(caller.audiences(), ["https://gw/mcp"]);
        let grant = caller.grant().unwrap();
        assert_eq!((grant.session.as_str(), grant.key.as_deref()), ("s", Some("k")));
        let nobody = SignedIn { id: "owner".into(), ..claims().identity };
        assert!(Claims { identity: nobody, ..claims() }.verified().is_none());
    }

    #[test]
    fn only_what_decides_makes_a_difference() {
        let now = claims().identity;
        assert!(!now.differs(&SignedIn { name: Some("A".into()), auth_time: None, ..now.clone() }));
        assert!(now.differs(&SignedIn { groups: vec![], ..now.clone() }));
        assert!(now.differs(&SignedIn { acr: Some("c1".into()), ..now.clone() }));
    }
}
