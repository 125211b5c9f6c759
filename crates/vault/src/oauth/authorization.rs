//! The road of one person's browser: to the authorization server and back.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use url::{Url, form_urlencoded};

use super::{OAuthFault, Scopes, Terms, TokenRequest};
use crate::Secret;

/// A sign-in that is under way: kept by the gateway under its `state`, used once.
#[derive(Clone, Debug)]
pub struct Authorization {
    /// What is asked for; the `iss` of its issuer is the one expected back (RFC 9207).
    pub terms: Terms,
    redirect: Url,
    verifier: Secret,
}

/// What the browser brought back.
#[derive(Debug, Default)]
pub struct Callback {
    /// `code`
    pub code: Option<Secret>,
    /// `state`
    pub state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

impl Authorization {
    /// `random` becomes the PKCE verifier (RFC 7636). What brings a refresh token is asked for as well,
    /// where the server has such a scope.
    pub fn begin(mut terms: Terms, redirect: Url, random: &[u8; 32]) -> Authorization {
        if terms.issuer.scopes.contains(Scopes::OFFLINE) {
            terms.scopes = terms.scopes.union(&Scopes::parse(Scopes::OFFLINE));
        }
        let verifier = Secret::new(URL_SAFE_NO_PAD.encode(random).into_boxed_str());
        Authorization { terms, redirect, verifier }
    }

    /// Where the browser goes.
    pub fn url(&self, state: &str) -> Url {
        let challenge = digest(&SHA256, self.verifier.expose().as_bytes());
        let terms = &self.terms;
        let mut url = terms.issuer.authorization_endpoint.clone();
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &terms.client.id)
            .append_pair("redirect_uri", self.redirect.as_str())
            .append_pair("state", state)
            .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(challenge))
            .append_pair("code_challenge_method", "S256")
            .append_pair("resource", resource_text(&terms.resource));
        if !terms.scopes.is_empty() {
            query.append_pair("scope", &terms.scopes.to_string());
        }
        if terms.scopes.contains(Scopes::OFFLINE) {
            // OpenID Connect Core 1.0 §11: offline access asks for consent.
            query.append_pair("prompt", "consent");
        }
        drop(query);
        url
    }

    /// What the token endpoint is asked with the code that it brought.
    pub fn request<'a>(&'a self, code: &'a Secret) -> TokenRequest<'a> {
        TokenRequest::Code { code, redirect: &self.redirect, verifier: &self.verifier }
    }

    /// The code, if this callback is the answer to this authorization. The sender is checked first: an
    /// error from somebody else is nothing to act on.
    pub fn code<'c>(&self, callback: &'c Callback) -> Result<&'c Secret, OAuthFault> {
        match &callback.iss {
            Some(iss) if *iss != self.terms.issuer.issuer => return Err(OAuthFault::IssMismatch),
            None if self.terms.issuer.iss_in_callback => return Err(OAuthFault::IssMismatch),
            _ => {}
        }
        if let Some(error) = &callback.error {
            return Err(OAuthFault::Denied(error.clone()));
        }
        callback.code.as_ref().ok_or_else(|| OAuthFault::Denied("no code".to_owned()))
    }
}

impl Callback {
    /// Reads the query of the redirect URI. A parameter that comes twice makes it nobody's.
    pub fn read(query: &str) -> Result<Callback, OAuthFault> {
        let mut callback = Callback::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()).take(32) {
            let slot = match &*name {
                "code" => {
                    let code = Secret::new(value.into_owned().into_boxed_str());
                    if callback.code.replace(code).is_some() {
                        return Err(OAuthFault::State);
                    }
                    continue;
                }
                "state" => &mut callback.state,
                "iss" => &mut callback.iss,
                "error" => &mut callback.error,
                _ => continue,
            };
            // Only the error's code is shown, and only if it looks like one (RFC 6749 §4.1.2.1).
            let value = match &*name {
                "error" if !is_code(&value) => "an error".to_owned(),
                _ => value.into_owned(),
            };
            if slot.replace(value).is_some() {
                return Err(OAuthFault::State);
            }
        }
        Ok(callback)
    }
}

pub(crate) fn is_code(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// `Url` writes an empty path as `/`; the canonical form of a resource has none (MCP, "Canonical Server
/// URI").
pub(super) fn resource_text(resource: &Url) -> &str {
    let text = resource.as_str();
    if resource.path() == "/" && resource.query().is_none() {
        text.strip_suffix('/').unwrap_or(text)
    } else {
        text
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::oauth::issuer::tests::document;
    use crate::oauth::{Client, Issuer};

    pub fn begun(instead: serde_json::Value, scopes: &str) -> Authorization {
        let issuer = Url::parse("https://as.example").unwrap();
        let terms = Terms {
            issuer: Issuer::read(&document(instead), &issuer, false).unwrap(),
            client: Client::by_document(&Url::parse("https://gw.example/client.json").unwrap()),
            resource: Url::parse("https://h.example/mcp").unwrap(),
            scopes: Scopes::parse(scopes),
        };
        let redirect = Url::parse("https://gw.example/connect/callback").unwrap();
        Authorization::begin(terms, redirect, &[7; 32])
    }

    fn param(url: &Url, name: &str) -> Option<String> {
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    #[test]
    fn what_is_asked_for() {
        let scope = |supported, scopes| {
            let instead = serde_json::json!({ "scopes_supported": supported });
            param(&begun(instead, scopes).url("s"), "scope")
        };
        assert_eq!(scope(vec![], ""), None);
        assert_eq!(scope(vec![], "a b").as_deref(), Some("a b"));
        assert_eq!(scope(vec!["offline_access"], "a").as_deref(), Some("a offline_access"));
    }

    #[test]
    fn the_url_is_bound_by_pkce_resource_and_state() {
        let url = begun(serde_json::json!({}), "").url("the-state");
        let expected = digest(&SHA256, URL_SAFE_NO_PAD.encode([7; 32]).as_bytes());
        assert_eq!(param(&url, "code_challenge"), Some(URL_SAFE_NO_PAD.encode(expected)));
        assert_eq!(param(&url, "code_challenge_method").as_deref(), Some("S256"));
        assert_eq!(param(&url, "resource").as_deref(), Some("https://h.example/mcp"));
        assert_eq!(param(&url, "state").as_deref(), Some("the-state"));
        let root = Url::parse("https://h.example").unwrap();
        assert_eq!(resource_text(&root), "https://h.example");
    }

    #[test]
    fn a_callback_is_believed_only_from_the_one_that_was_asked() {
        let code = |advertised: bool, query: &str| {
            let instead =
                serde_json::json!({ "authorization_response_iss_parameter_supported": advertised });
            let authorization = begun(instead, "");
            let callback = Callback::read(query)?;
            authorization.code(&callback).map(|code| code.expose().to_owned())
        };
        let good = "code=c&state=s&iss=https%3A%2F%2Fas.example";
        assert_eq!(code(true, good).unwrap(), "c");
        assert_eq!(code(false, good).unwrap(), "c");
        assert_eq!(code(false, "code=c&state=s").unwrap(), "c");
        assert_eq!(code(true, "code=c&state=s"), Err(OAuthFault::IssMismatch));
        for iss in ["https://as.example/", "https://AS.example", "https://evil.example", ""] {
            let query = format!("code=c&iss={iss}");
            assert_eq!(code(false, &query), Err(OAuthFault::IssMismatch), "{iss}");
            let error = format!("error=access_denied&iss={iss}");
            assert_eq!(code(true, &error), Err(OAuthFault::IssMismatch), "{iss}");
        }
        assert_eq!(
            code(false, "error=access_denied"),
            Err(OAuthFault::Denied("access_denied".into()))
        );
        assert_eq!(code(false, "error=%3Cscript%3E"), Err(OAuthFault::Denied("an error".into())));
        for twice in ["code=a&code=b", "state=a&state=b", "iss=a&iss=a", "error=a&error=a"] {
            assert_eq!(code(false, twice), Err(OAuthFault::State), "{twice}");
        }
    }
}
