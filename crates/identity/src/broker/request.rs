//! An authorization request (RFC 6749 §4.1.1 as OAuth 2.1 narrows it: code with PKCE, nothing else).

use serde::{Deserialize, Serialize};

use super::{Challenge, ClientId, Code, OAuthError, Params, RedirectUri, Scopes};

/// The longest `state`, `nonce` and `login_hint`.
const TEXT: usize = 2048;

/// What a client asks for, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    /// Who asks.
    pub client: ClientId,
    /// Where the answer goes.
    pub redirect: RedirectUri,
    /// What only the asker can answer.
    pub challenge: Challenge,
    /// Handed back as it is.
    pub state: Option<String>,
    /// What the tokens will be for: the canonical URL of a route.
    pub resource: String,
    /// What the tokens will allow.
    pub scopes: Scopes,
    /// The key that the code will be bound to (`dpop_jkt`, RFC 9449 §10).
    pub jkt: Option<String>,
}

/// Finds the canonical URL of the door that a `resource` names.
pub type Doors<'a> = Box<dyn Fn(&str) -> Option<String> + Send + Sync + 'a>;

/// What this server offers to whoever asks.
pub struct Offer<'a> {
    /// The scopes that exist.
    pub scopes: &'a Scopes,
    /// Those of them that are given where none is asked for.
    pub initial: Scopes,
    /// The canonical URL of the route that a `resource` names.
    pub resource: Doors<'a>,
    /// The route that is meant when none is named, as clients of 2025-03-26 do.
    pub default_resource: &'a str,
}

impl Authorization {
    /// Checks everything but who asks and where the answer goes, which must be known first: a fault in those is told to the
    /// person alone, every other is sent to `redirect`.
    pub fn parse(
        client: ClientId,
        allowed: Option<&Scopes>,
        redirect: RedirectUri,
        params: &Params,
        offer: &Offer<'_>,
    ) -> Result<Authorization, OAuthError> {
        let invalid = |text: &str| OAuthError::new(Code::InvalidRequest, text);
        match params.get("response_type") {
            Some("code") => {}
            None => return Err(invalid("response_type is missing")),
            Some(_) => {
                return Err(OAuthError::new(
                    Code::UnsupportedResponseType,
                    "only code is supported",
                ));
            }
        }
        if !matches!(params.get("response_mode"), None | Some("query")) {
            return Err(invalid("only the response mode query is supported"));
        }
        if params.get("request").is_some() || params.get("request_uri").is_some() {
            return Err(invalid("request objects are not supported"));
        }
        let challenge = params
            .get("code_challenge")
            .ok_or_else(|| invalid("code_challenge is missing: PKCE is required"))?;
        let challenge = Challenge::parse(challenge, params.get("code_challenge_method"))
            .ok_or_else(|| {
                invalid("code_challenge_method must be S256, and code_challenge 43 characters")
            })?;
        let state = params.get("state").map(str::to_owned);
        if state.as_ref().is_some_and(|state| state.len() > TEXT) {
            return Err(invalid("state is too long"));
        }
        let jkt = params.get("dpop_jkt").map(str::to_owned);
        if jkt.as_ref().is_some_and(|jkt| jkt.len() != 43) {
            return Err(invalid("dpop_jkt is not a SHA-256 thumbprint"));
        }
        Ok(Authorization {
            client,
            redirect,
            challenge,
            state,
            resource: request_resource(params, offer)?,
            scopes: request_scopes(params.get("scope"), allowed, offer)?,
            jkt,
        })
    }
}

/// The one route that the request is for.
pub fn request_resource(params: &Params, offer: &Offer<'_>) -> Result<String, OAuthError> {
    let mut named = params.all("resource");
    let found = match (named.next(), named.next()) {
        (None, _) => return Ok(offer.default_resource.to_owned()),
        (Some(resource), None) => (offer.resource)(resource),
        (Some(_), Some(_)) => None,
    };
    found.ok_or_else(|| {
        OAuthError::new(
            Code::InvalidTarget,
            "resource must be the URL of one endpoint of this server",
        )
    })
}

/// What of the scopes that were asked for there is; without any, those to begin with.
pub fn request_scopes(
    asked: Option<&str>,
    allowed: Option<&Scopes>,
    offer: &Offer<'_>,
) -> Result<Scopes, OAuthError> {
    let invalid = |text: &str| OAuthError::new(Code::InvalidScope, text);
    let there = match allowed {
        Some(allowed) => offer.scopes.within(allowed),
        None => offer.scopes.clone(),
    };
    let first = there.within(&offer.initial);
    let first = if first.is_empty() { there.clone() } else { first };
    let Some(asked) = asked else { return Ok(first) };
    let asked = Scopes::parse(asked).map_err(|fault| invalid(&fault.to_string()))?;
    let given = asked.within(&there);
    // Scopes of OpenID Connect alone ask for no more than a session.
    let foreign = |scope: &str| !matches!(scope, "openid" | "profile" | "email" | "offline_access");
    if given.is_empty() && asked.iter().any(foreign) {
        return Err(invalid("none of the scopes is offered here"));
    }
    Ok(if given.is_empty() { first } else { given })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn parsed(query: &str) -> Result<Authorization, Code> {
        let scopes = Scopes::parse("mcp admin").unwrap();
        let offer = Offer {
            scopes: &scopes,
            initial: scopes.clone(),
            resource: Box::new(|text| (text == "https://gw/mcp/a").then(|| text.to_owned())),
            default_resource: "https://gw/mcp",
        };
        let client = ClientId::parse("c").unwrap();
        let redirect = RedirectUri::parse("https://app/cb").unwrap();
        let params = Params::parse(query.as_bytes()).unwrap();
        Authorization::parse(client, None, redirect, &params, &offer).map_err(|error| error.code)
    }

    #[test]
    fn code_with_pkce_and_nothing_else() {
        let good =
            format!("response_type=code&code_challenge={CHALLENGE}&code_challenge_method=S256");
        let request = parsed(&good).unwrap();
        assert_eq!(
            (request.resource.as_str(), request.scopes.to_string().as_str()),
            ("https://gw/mcp", "mcp admin")
        );
        let request =
            parsed(&format!("{good}&resource=https://gw/mcp/a&scope=mcp+other&state=s")).unwrap();
        assert_eq!(
            (request.resource.as_str(), request.scopes.to_string().as_str()),
            ("https://gw/mcp/a", "mcp")
        );
        for (query, code) in [
            ("".to_owned(), Code::InvalidRequest),
            (good.replace("=code", "=token"), Code::UnsupportedResponseType),
            (good.replace("&code_challenge_method=S256", ""), Code::InvalidRequest),
            (good.replace("S256", "plain"), Code::InvalidRequest),
            ("response_type=code".to_owned(), Code::InvalidRequest),
            (format!("{good}&response_mode=fragment"), Code::InvalidRequest),
            (format!("{good}&request_uri=https://evil/x"), Code::InvalidRequest),
            (format!("{good}&request=e30"), Code::InvalidRequest),
            (format!("{good}&resource=https://other/mcp"), Code::InvalidTarget),
            (
                format!("{good}&resource=https://gw/mcp/a&resource=https://gw/mcp/a"),
                Code::InvalidTarget,
            ),
            (format!("{good}&scope=other"), Code::InvalidScope),
            (format!("{good}&scope=%22"), Code::InvalidScope),
            (format!("{good}&state={}", "s".repeat(3000)), Code::InvalidRequest),
            (format!("{good}&dpop_jkt=x"), Code::InvalidRequest),
        ] {
            assert_eq!(parsed(&query), Err(code), "{query}");
        }
    }
}
