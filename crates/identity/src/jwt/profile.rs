//! What a token must be to be believed.

use serde_json::{Map, Value};

use super::{Claims, Jwt, JwtFault, audiences, claims::seconds, text};
use crate::Algorithm;
use crate::jwks::Jwks;

/// Allowed difference between two clocks, in seconds.
pub const LEEWAY: u64 = 30;

/// What a token must be to be believed. Made from configuration once.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Who may have issued it.
    pub issuers: Issuers,
    /// What `aud` may be, each compared exactly.
    pub audiences: Vec<String>,
    /// Whether `aud` may name others beside us.
    pub several_audiences: bool,
    /// What keys may sign with. A key that names no algorithm of its own is used with the first that fits.
    pub algorithms: Vec<Algorithm>,
    /// What the header's `typ` may be.
    pub types: Vec<Typ>,
    /// What the token is for.
    pub purpose: Purpose,
}

/// Who may have issued a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Issuers {
    /// Whom `iss` names, compared exactly.
    Named(Vec<Issuer>),
    /// Whoever holds the keys of this SPIFFE trust domain, for subjects inside it; `iss` need not be there
    /// (JWT-SVID §3).
    TrustDomain(Issuer),
}

/// One trusted issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// `iss`
    pub name: String,
    /// The tenant that it stands for: the claim `tid` must then be the same.
    pub tenant: Option<String>,
    /// What a key that names its issuer must name, `{tenantid}` filled in.
    pub keys: String,
}

impl Issuer {
    /// An issuer without tenants.
    pub fn plain(name: &str) -> Issuer {
        Issuer { name: name.into(), tenant: None, keys: name.into() }
    }
}

/// The header's `typ`, without regard to case and to a prefix `application/` (RFC 7515 §4.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typ {
    /// No `typ` at all.
    Absent,
    /// `at+jwt`: RFC 9068.
    AccessToken,
    /// `JWT`
    Jwt,
    /// `JOSE`, as SPIFFE allows.
    Jose,
    /// `oauth-id-jag+jwt`
    IdJag,
    /// `dpop+jwt`: RFC 9449.
    Dpop,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Opens a door. What only an ID token has is refused.
    Access,
    /// Tells who signed in. The caller compares [`Claims::text`]`("nonce")` with its own.
    SignIn,
    /// A grant or a client's proof of itself (RFC 7523).
    Assertion,
}

impl Profile {
    /// Believes a token or says why not. `now` is in seconds since 1970.
    pub fn verify(&self, jwt: &Jwt<'_>, keys: &Jwks, now: u64) -> Result<Claims, JwtFault> {
        let issuer = self.claimed(jwt)?;
        jwt.signed_by(keys, &self.algorithms, Some(issuer))?;
        self.claims(jwt, issuer, now)
    }

    /// All but the signature: for a token that its issuer is asked about. Nothing of it is to be believed before the answer.
    pub(crate) fn examine(&self, jwt: &Jwt<'_>, now: u64) -> Result<Claims, JwtFault> {
        self.claims(jwt, self.claimed(jwt)?, now)
    }

    fn claimed(&self, jwt: &Jwt<'_>) -> Result<&Issuer, JwtFault> {
        let issuer = self.issuer_of(jwt)?;
        if !self.types.contains(&Typ::of(text(&jwt.header, "typ")?).ok_or(JwtFault::Type)?) {
            return Err(JwtFault::Type);
        }
        Ok(issuer)
    }

    fn claims(&self, jwt: &Jwt<'_>, issuer: &Issuer, now: u64) -> Result<Claims, JwtFault> {
        let audiences = self.audiences_of(&jwt.claims)?;
        let expires = check_times(&jwt.claims, now)?;
        if let Some(tenant) = &issuer.tenant
            && text(&jwt.claims, "tid")? != Some(tenant.as_str())
        {
            return Err(JwtFault::Claim("tid"));
        }
        if self.purpose == Purpose::Access && is_id_token(&jwt.claims) {
            return Err(JwtFault::IdToken);
        }
        Ok(Claims { issuer: issuer.clone(), expires, audiences, claims: jwt.claims.clone() })
    }

    /// The trusted issuer that the token names. Proves nothing yet.
    pub fn issuer_of(&self, jwt: &Jwt<'_>) -> Result<&Issuer, JwtFault> {
        match &self.issuers {
            Issuers::Named(issuers) => {
                let claimed = jwt.claimed_issuer().ok_or(JwtFault::Claim("iss"))?;
                issuers.iter().find(|issuer| issuer.name == claimed).ok_or(JwtFault::Issuer)
            }
            Issuers::TrustDomain(domain) => {
                let subject = text(&jwt.claims, "sub")?.ok_or(JwtFault::Claim("sub"))?;
                let inside =
                    subject.strip_prefix(&domain.name).is_some_and(|rest| rest.starts_with('/'));
                inside.then_some(domain).ok_or(JwtFault::Issuer)
            }
        }
    }

    fn audiences_of(&self, claims: &Map<String, Value>) -> Result<Vec<String>, JwtFault> {
        let alone = match claims.get("aud") {
            Some(Value::String(_)) => true,
            Some(Value::Array(many)) => {
                if !many.iter().all(Value::is_string) {
                    return Err(JwtFault::Claim("aud"));
                }
                many.len() == 1
            }
            _ => return Err(JwtFault::Claim("aud")),
        };
        let ours = |audience: &&str| self.audiences.iter().any(|own| own == audience);
        let taken: Vec<String> = audiences(claims).filter(ours).map(str::to_owned).collect();
        if taken.is_empty() || !(alone || self.several_audiences) {
            return Err(JwtFault::Audience);
        }
        Ok(taken)
    }
}

impl Issuer {
    /// Whether a key that names `own` as its issuer may sign for this one.
    pub(super) fn owns(&self, own: &str) -> bool {
        match (own.split_once("{tenantid}"), &self.tenant) {
            (Some((before, after)), Some(tenant)) => {
                let rest = self.keys.strip_prefix(before);
                rest.and_then(|rest| rest.strip_suffix(after)) == Some(tenant)
            }
            _ => own == self.keys,
        }
    }
}

impl Typ {
    fn of(typ: Option<&str>) -> Option<Typ> {
        let Some(typ) = typ else { return Some(Typ::Absent) };
        let lower = typ.to_ascii_lowercase();
        match lower.strip_prefix("application/").unwrap_or(&lower) {
            "at+jwt" => Some(Typ::AccessToken),
            "jwt" => Some(Typ::Jwt),
            "jose" => Some(Typ::Jose),
            "oauth-id-jag+jwt" => Some(Typ::IdJag),
            "dpop+jwt" => Some(Typ::Dpop),
            _ => None,
        }
    }
}

/// `exp` must be there; `nbf` and `iat` hold where they are. Gives `exp`.
fn check_times(claims: &Map<String, Value>, now: u64) -> Result<u64, JwtFault> {
    let time = |name: &'static str| match claims.get(name) {
        None => Ok(None),
        Some(value) => seconds(value).map(Some).ok_or(JwtFault::Claim(name)),
    };
    let expires = time("exp")?.ok_or(JwtFault::Claim("exp"))?;
    if now >= expires.saturating_add(LEEWAY) {
        return Err(JwtFault::Expired);
    }
    for begin in [time("nbf")?, time("iat")?].into_iter().flatten() {
        if begin > now.saturating_add(LEEWAY) {
            return Err(JwtFault::NotYet);
        }
    }
    Ok(expires)
}

/// What OpenID Connect puts into ID tokens only, and what Keycloak calls them. (Its older releases put a
/// `nonce` into access tokens too, and call those `Bearer`.)
fn is_id_token(claims: &Map<String, Value>) -> bool {
    let typ = claims.get("typ").and_then(Value::as_str).unwrap_or_default();
    typ.eq_ignore_ascii_case("id")
        || ["at_hash", "c_hash", "s_hash"].iter().any(|name| claims.contains_key(*name))
        || (claims.contains_key("nonce") && !typ.eq_ignore_ascii_case("bearer"))
}
