//! What a token endpoint is asked.

use url::{Url, form_urlencoded};

use crate::{Secret, oauth::Form};

/// Entra's on-behalf-of flow is this grant (RFC 7523 §2.1) with a parameter of its own; RFC 8693 it is not.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// RFC 8693 §2.1.
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub enum ExchangeRequest<'a> {
    /// A token for the client itself (RFC 6749 §4.4).
    ClientCredentials,
    /// A token for the user of this one, by Entra's on-behalf-of flow.
    OnBehalfOf {
        /// The user's token, whose audience is the client.
        assertion: &'a str,
        /// What a server wants to see in the token, as JSON (a claims challenge).
        claims: Option<&'a str>,
    },
    /// A token for the user who signed in, with the refresh token that the sign-in brought.
    Refresh(&'a Secret),
    /// A token for whoever this one is of (RFC 8693).
    TokenExchange {
        /// Their token.
        subject: &'a str,
        /// What that is.
        kind: SubjectType,
    },
}

/// `subject_token_type` (RFC 8693 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubjectType {
    /// An OAuth access token, whatever its form.
    #[default]
    AccessToken,
    /// An OpenID Connect ID token.
    IdToken,
    /// A JWT.
    Jwt,
}

impl SubjectType {
    fn urn(self) -> &'static str {
        match self {
            SubjectType::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            SubjectType::IdToken => "urn:ietf:params:oauth:token-type:id_token",
            SubjectType::Jwt => "urn:ietf:params:oauth:token-type:jwt",
        }
    }
}

/// What the token is to be good for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `scope`, separated by spaces.
    pub scope: String,
    /// `audience` (RFC 8693 §2.1).
    pub audience: Option<String>,
    /// `resource` (RFC 8707).
    pub resource: Option<String>,
}

impl Wanted {
    /// What says most about it in one word.
    pub fn name(&self) -> &str {
        let named = self.audience.as_deref().or(self.resource.as_deref());
        named.unwrap_or(&self.scope)
    }
}

impl ExchangeRequest<'_> {
    /// The request. `proof` is what shows who the client is.
    pub fn form(self, endpoint: &Url, wanted: &Wanted, proof: &[(&str, String)]) -> Form {
        let mut body = form_urlencoded::Serializer::new(String::with_capacity(8192));
        match self {
            ExchangeRequest::ClientCredentials => {
                body.append_pair("grant_type", "client_credentials");
            }
            ExchangeRequest::OnBehalfOf { assertion, claims } => {
                body.append_pair("grant_type", JWT_BEARER)
                    .append_pair("requested_token_use", "on_behalf_of")
                    .append_pair("assertion", assertion);
                if let Some(claims) = claims {
                    body.append_pair("claims", claims);
                }
            }
            ExchangeRequest::Refresh(token) => {
                body.append_pair("grant_type", "refresh_token")
                    .append_pair("refresh_token", token.expose());
            }
            ExchangeRequest::TokenExchange { subject, kind } => {
                body.append_pair("grant_type", TOKEN_EXCHANGE)
                    .append_pair("subject_token", subject)
                    .append_pair("subject_token_type", kind.urn())
                    .append_pair("requested_token_type", SubjectType::AccessToken.urn());
            }
        }
        let optional = |text: &Option<String>| text.clone().unwrap_or_default();
        for (name, value) in [
            ("scope", wanted.scope.clone()),
            ("audience", optional(&wanted.audience)),
            ("resource", optional(&wanted.resource)),
        ] {
            if !value.is_empty() {
                body.append_pair(name, &value);
            }
        }
        body.extend_pairs(proof);
        Form {
            url: endpoint.clone(),
            authorization: None,
            body: Secret::new(body.finish().into_boxed_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(request: ExchangeRequest<'_>, wanted: &Wanted) -> String {
        let endpoint = Url::parse("https://as.example/token").unwrap();
        let proof = [("client_id", "gw".to_owned()), ("client_secret", "s&s".to_owned())];
        let form = request.form(&endpoint, wanted, &proof);
        assert_eq!(form.url, endpoint);
        assert!(form.authorization.is_none());
        form.body.expose().to_owned()
    }

    #[test]
    fn each_grant_as_its_specification_has_it() {
        let entra = Wanted { scope: "api://orders/.default".into(), ..Wanted::default() };
        let proof = "&client_id=gw&client_secret=s%26s";
        let scope = "&scope=api%3A%2F%2Forders%2F.default";
        assert_eq!(
            sent(ExchangeRequest::ClientCredentials, &entra),
            format!("grant_type=client_credentials{scope}{proof}")
        );
        let on_behalf = |claims| ExchangeRequest::OnBehalfOf { assertion: "a.b.c", claims };
        let bearer = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer\
                      &requested_token_use=on_behalf_of&assertion=a.b.c";
        assert_eq!(sent(on_behalf(None), &entra), format!("{bearer}{scope}{proof}"));
        assert_eq!(
            sent(on_behalf(Some("{}")), &entra),
            format!("{bearer}&claims=%7B%7D{scope}{proof}")
        );
        let wanted = Wanted {
            audience: Some("orders".into()),
            resource: Some("https://orders.example".into()),
            ..Wanted::default()
        };
        let exchange = ExchangeRequest::TokenExchange { subject: "x", kind: SubjectType::Jwt };
        assert_eq!(
            sent(exchange, &wanted),
            format!(
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=x\
                 &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt\
                 &requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token\
                 &audience=orders&resource=https%3A%2F%2Forders.example{proof}"
            )
        );
    }
}
