//! What a person let Bartizan have at one server: kept sealed, used for that person alone.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use url::Url;

use super::{Client, ClientAuth, Issuer, Scopes, TokenError, token};
use crate::{Fetched, Secret, VaultFault};

/// How long before its end an access token is renewed, in seconds.
const EARLY: u64 = 60;

/// What is asked of an authorization server.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Which one.
    pub issuer: Issuer,
    /// As which client: a refresh token is good for the client that got it and for no other
    /// (RFC 6749 §10.4).
    pub client: Client,
    /// For which resource (RFC 8707).
    pub resource: Url,
    /// For which scopes.
    pub scopes: Scopes,
}

/// Tokens of one principal for one server.
#[derive(Clone, Debug)]
pub struct Grant {
    /// What was asked for.
    pub terms: Terms,
    /// The scopes that were given.
    pub scopes: Scopes,
    /// The refresh token.
    pub refresh: Option<Secret>,
    /// When the access token ends, in seconds since 1970.
    pub expires: Option<u64>,
    access: Secret,
}

impl Grant {
    /// From what a token endpoint answered. A server that does not say which scopes it gave, gave those
    /// that were asked for (RFC 6749 §5.1).
    pub fn read(terms: Terms, status: u16, bytes: &[u8], now: u64) -> Result<Grant, TokenError> {
        let tokens = token::read(status, bytes, now)?;
        Ok(Grant {
            scopes: tokens.scopes.unwrap_or_else(|| terms.scopes.clone()),
            access: tokens.access,
            refresh: tokens.refresh,
            expires: tokens.expires,
            terms,
        })
    }

    /// After a refresh. Without a new refresh token the old one stays good (RFC 6749 §6).
    pub fn renewed(&self, status: u16, bytes: &[u8], now: u64) -> Result<Grant, TokenError> {
        let mut renewed = Grant::read(self.terms.clone(), status, bytes, now)?;
        renewed.refresh = renewed.refresh.or_else(|| self.refresh.clone());
        Ok(renewed)
    }

    /// Whether the access token is still good for a call that begins now.
    pub fn is_fresh(&self, now: u64) -> bool {
        self.expires.is_none_or(|expires| now.saturating_add(EARLY) < expires)
    }

    /// The access token, as it goes out (RFC 6750 §2.1).
    pub fn fetched(&self) -> Result<Fetched, VaultFault> {
        Fetched::bearer(&self.access)
    }

    /// What is given back when the grant is (RFC 7009 §2.1): with the refresh token all that came of it ends.
    pub fn revocable(&self) -> &Secret {
        self.refresh.as_ref().unwrap_or(&self.access)
    }

    /// As text, to be sealed: it holds the secrets.
    pub fn to_plain(&self) -> Secret {
        let Terms { issuer, client, resource, scopes } = &self.terms;
        let (auth, secret) = match &client.auth {
            ClientAuth::None => ("none", None),
            ClientAuth::Basic(secret) => ("basic", Some(secret)),
            ClientAuth::Post(secret) => ("post", Some(secret)),
            ClientAuth::PrivateKeyJwt(key) => ("private_key_jwt", Some(key)),
        };
        let kept = Kept {
            issuer: Cow::Borrowed(issuer),
            client: client.id.as_str().into(),
            auth: auth.into(),
            secret: secret.map(|secret| secret.expose().into()),
            resource: Cow::Borrowed(resource),
            asked: Cow::Borrowed(scopes),
            given: Cow::Borrowed(&self.scopes),
            access: self.access.expose().into(),
            refresh: self.refresh.as_ref().map(|token| token.expose().into()),
            expires: self.expires,
        };
        // A struct of texts and numbers always has a JSON form.
        Secret::new(serde_json::to_string(&kept).unwrap_or_default().into_boxed_str())
    }

    /// Reads it back. `None`: it is of another time and has to be made anew.
    pub fn from_plain(plain: &Secret) -> Option<Grant> {
        let kept: Kept<'_> = serde_json::from_str(plain.expose()).ok()?;
        let own = |text: Cow<'_, str>| Secret::new(text.into_owned().into_boxed_str());
        let auth = match (&*kept.auth, kept.secret) {
            ("none", _) => ClientAuth::None,
            ("basic", Some(secret)) => ClientAuth::Basic(own(secret)),
            ("post", Some(secret)) => ClientAuth::Post(own(secret)),
            ("private_key_jwt", Some(key)) => ClientAuth::PrivateKeyJwt(own(key)),
            _ => return None,
        };
        let terms = Terms {
            issuer: kept.issuer.into_owned(),
            client: Client { id: kept.client.into_owned(), auth },
            resource: kept.resource.into_owned(),
            scopes: kept.asked.into_owned(),
        };
        Some(Grant {
            terms,
            scopes: kept.given.into_owned(),
            access: own(kept.access),
            refresh: kept.refresh.map(own),
            expires: kept.expires,
        })
    }
}

/// How a grant is written down.
#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    issuer: Cow<'a, Issuer>,
    client: Cow<'a, str>,
    auth: Cow<'a, str>,
    secret: Option<Cow<'a, str>>,
    resource: Cow<'a, Url>,
    asked: Cow<'a, Scopes>,
    given: Cow<'a, Scopes>,
    access: Cow<'a, str>,
    refresh: Option<Cow<'a, str>>,
    expires: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::authorization::tests::begun;

    fn grant(answer: &str) -> Grant {
        let terms = begun(serde_json::json!({}), "a b").terms;
        Grant::read(terms, 200, answer.as_bytes(), 1000).unwrap()
    }

    #[test]
    fn scopes_are_those_given_else_those_asked_for() {
        let given = r#"{"access_token":"t","token_type":"bearer","scope":"a"}"#;
        assert_eq!(grant(given).scopes, Scopes::parse("a"));
        let silent = r#"{"access_token":"t","token_type":"bearer"}"#;
        assert_eq!(grant(silent).scopes, Scopes::parse("a b"));
    }

    #[test]
    fn it_is_renewed_early_and_keeps_its_refresh_token() {
        let first = grant(
            r#"{"access_token":"t","token_type":"bearer","expires_in":100,"refresh_token":"r"}"#,
        );
        assert!(first.is_fresh(1039) && !first.is_fresh(1040));
        let answer = br#"{"access_token":"u","token_type":"bearer"}"#;
        let second = first.renewed(200, answer, 2000).unwrap();
        assert_eq!(second.refresh.as_ref().map(Secret::expose), Some("r"));
        assert!(second.is_fresh(u64::MAX - 1));
        let rotated = br#"{"access_token":"v","token_type":"bearer","refresh_token":"s"}"#;
        let third = second.renewed(200, rotated, 2000).unwrap();
        assert_eq!(third.refresh.as_ref().map(Secret::expose), Some("s"));
        assert_eq!(
            first.renewed(400, br#"{"error":"invalid_grant"}"#, 0).unwrap_err(),
            TokenError::Grant
        );
    }

    #[test]
    fn what_is_kept_comes_back() {
        let one = grant(
            r#"{"access_token":"t","token_type":"bearer","expires_in":100,"refresh_token":"r"}"#,
        );
        let back = Grant::from_plain(&one.to_plain()).unwrap();
        assert_eq!(back.access.expose(), "t");
        assert_eq!(back.terms.issuer, one.terms.issuer);
        assert_eq!((back.scopes, back.expires), (one.scopes, one.expires));
        assert!(Grant::from_plain(&Secret::new("{}".into())).is_none());
        assert!(
            !format!("{back:?}", back = grant(r#"{"access_token":"hush","token_type":"bearer"}"#))
                .contains("hush")
        );
    }
}
