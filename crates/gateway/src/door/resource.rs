//! This gateway as an OAuth protected resource: the URLs by which clients know its doors, the metadata
//! that says where tokens for them are given out (RFC 9728), and the challenges that point there
//! (RFC 6750 §3, RFC 9470).

use http::{HeaderValue, Response, header};
use identity::{AuthFault, Verified};
use serde_json::json;

use super::{
    exchange::Body,
    http::{Route, route},
};
use crate::{Current, call::Scope, config::Config, models::ModelRoute, refusal::Refusal};

/// Where the metadata is, before a door's own path.
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// What clients are told, the same for each door.
pub(crate) struct Offered {
    /// Instead of what the client calls this gateway.
    public_url: Option<String>,
    tls: bool,
    /// The URLs under which tokens for this gateway may be issued.
    bases: Vec<String>,
    authorization_servers: Vec<String>,
    scopes: Vec<String>,
}

impl Offered {
    /// From the configuration.
    pub(crate) fn new(config: &Config) -> Offered {
        let offers = || config.identity.providers.iter().map(|provider| &provider.offer);
        let gathered = |of: fn(&crate::config::Offer) -> &Vec<String>| {
            let mut texts: Vec<String> = offers().flat_map(of).cloned().collect();
            texts.dedup();
            texts
        };
        // Where people sign in here, no provider's own tokens are asked for.
        let (authorization_servers, scopes) = match &config.sign_in {
            Some(sign_in) => (
                vec![sign_in.public_url.clone()],
                sign_in.initial_scopes.iter().map(str::to_owned).collect(),
            ),
            None => {
                (gathered(|offer| &offer.authorization_servers), gathered(|offer| &offer.scopes))
            }
        };
        Offered {
            public_url: config.public_url.clone(),
            tls: config.tls.is_some(),
            bases: config.bases(),
            authorization_servers,
            scopes,
        }
    }

    /// How this client calls this gateway: a configured URL wins, otherwise the `Host` that was checked.
    fn base(&self, host: &str) -> String {
        match &self.public_url {
            Some(url) => url.clone(),
            None => format!("http{}://{host}", if self.tls { "s" } else { "" }),
        }
    }

    /// The metadata of the door whose path follows [`WELL_KNOWN`]; of the whole gateway's where none does.
    /// `None`: no such door, or nobody gives out tokens for it.
    fn metadata(&self, host: &str, path: &str) -> Option<String> {
        let door = match path {
            "" | "/" => "/mcp",
            _ => matches!(route(path)?, Route::Mcp(_) | Route::Sse(_)).then_some(path)?,
        };
        if self.authorization_servers.is_empty() {
            return None;
        }
        let document = json!({
            "resource": format!("{}{door}", self.base(host)),
            "authorization_servers": self.authorization_servers,
            "scopes_supported": self.scopes,
            "bearer_methods_supported": ["header"],
            "resource_name": "Bartizan",
        });
        Some(document.to_string())
    }

    /// Whether a token's audiences open this door. One that is a URL of ours opens the door it names, or
    /// all of them if it names none; any other was configured as it is.
    pub(crate) fn opens(&self, caller: &Verified, scope: &Scope) -> bool {
        let audiences = caller.principal().audiences();
        audiences.is_empty() || audiences.iter().any(|audience| self.covers(audience, scope))
    }

    /// The same for the door of a model.
    pub(crate) fn opens_model(&self, caller: &Verified, model: &ModelRoute) -> bool {
        let door = format!("/models/{}", model.name);
        let audiences = caller.principal().audiences();
        let covers = |audience: &String| self.door(audience).is_none_or(|path| path == door);
        audiences.is_empty() || audiences.iter().any(covers)
    }

    /// Whether a token may decide on approvals: not one that names another door, and not one that a client got
    /// when its user signed in here, since that is for what the client does.
    pub(crate) fn opens_approvals(&self, caller: &Verified) -> bool {
        let principal = caller.principal();
        principal.grant().is_none()
            && principal.audiences().iter().all(|to| self.door(to).is_none())
    }

    fn covers(&self, audience: &str, scope: &Scope) -> bool {
        match self.door(audience).map(route) {
            None => true,
            Some(Some(Route::Mcp(door) | Route::Sse(door))) => door == *scope,
            Some(_) => false,
        }
    }

    /// The one door that an audience names, if it is a URL of ours with a path.
    fn door<'a>(&self, audience: &'a str) -> Option<&'a str> {
        let mut ours = self.bases.iter().filter_map(|base| audience.strip_prefix(base.as_str()));
        let rest = ours.find(|rest| rest.is_empty() || rest.starts_with('/'));
        rest.filter(|rest| !matches!(*rest, "" | "/"))
    }
}

/// The metadata, if that is what is asked for.
pub(super) fn metadata(current: &Current, host: &str, path: &str) -> Option<Response<Body>> {
    let document = current.offered.metadata(host, path.strip_prefix(WELL_KNOWN)?)?;
    let mut response = Response::new(Body::text(document));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
    Some(response)
}

/// The challenge that a refusal makes, as far as it can be told without knowing the door.
pub(crate) fn challenge(refusal: &Refusal) -> Option<HeaderValue> {
    let text = match refusal {
        Refusal::Authentication(AuthFault::Proof(fault)) => format!(
            r#"Bearer realm="bartizan", error="invalid_token", error_description="{}""#,
            quotable(&fault.to_string())
        ),
        Refusal::Authentication(fault) => return Some(HeaderValue::from_static(fault.challenge())),
        Refusal::InsufficientScope { scopes } => {
            format!(
                r#"Bearer realm="bartizan", error="insufficient_scope", scope="{}""#,
                quotable(&scopes.join(" "))
            )
        }
        Refusal::ClaimsRequired { claims } => {
            use base64::{Engine, prelude::BASE64_STANDARD};
            let claims = BASE64_STANDARD.encode(claims);
            format!(r#"Bearer realm="", error="insufficient_claims", claims="{claims}""#)
        }
        _ => return None,
    };
    HeaderValue::from_str(&text).ok()
}

/// Completes a challenge with where the door's metadata is and, where it names no scope, those to ask for.
pub(super) fn complete(
    current: &Current,
    host: &str,
    path: &str,
    mut response: Response<Body>,
) -> Response<Body> {
    let offered = &current.offered;
    let Some(begun) = response.headers().get(header::WWW_AUTHENTICATE) else { return response };
    let Ok(begun) = begun.to_str() else { return response };
    if offered.authorization_servers.is_empty() || route(path).is_none() {
        return response;
    }
    let path = path.trim_end_matches('/');
    let mut text =
        format!(r#"{begun}, resource_metadata="{}{WELL_KNOWN}{path}""#, offered.base(host));
    if !offered.scopes.is_empty() && !begun.contains(" scope=") {
        text.push_str(&format!(r#", scope="{}""#, quotable(&offered.scopes.join(" "))));
    }
    if let Ok(whole) = HeaderValue::from_str(&text) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, whole);
    }
    response
}

/// Without what would end a quoted string.
fn quotable(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\') || *c == ' ').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn current(config: Config) -> Offered {
        Offered::new(&config)
    }

    fn config() -> Config {
        Config {
            public_url: Some("https://mcp.example.com".into()),
            ..Config::bare("/nowhere".into())
        }
    }

    #[test]
    fn an_audience_that_is_a_url_of_ours_opens_its_own_door() {
        let offered = current(config());
        let demo = Scope::One(mcp::ServerName::new("demo").unwrap());
        for (audience, all, one) in [
            ("https://mcp.example.com", true, true),
            ("https://mcp.example.com/", true, true),
            ("https://mcp.example.com/mcp", true, false),
            ("https://mcp.example.com/mcp/demo", false, true),
            ("https://mcp.example.com/sse/demo", false, true),
            ("https://mcp.example.com/mcp/other", false, false),
            ("https://mcp.example.com/elsewhere", false, false),
            // Not ours: the configuration names it, so it is meant for all of us.
            ("https://mcp.example.com.evil.org/mcp", true, true),
            ("api://app", true, true),
        ] {
            assert_eq!(offered.covers(audience, &Scope::All), all, "{audience}");
            assert_eq!(offered.covers(audience, &demo), one, "{audience}");
        }
    }

    #[test]
    fn what_is_missing_is_said_in_the_challenge() {
        let text =
            |refusal: &Refusal| challenge(refusal).map(|value| value.to_str().unwrap().to_owned());
        let scopes = vec!["tools.read".to_owned(), "tools\" x=\"write".to_owned()];
        assert_eq!(
            text(&Refusal::InsufficientScope { scopes }).unwrap(),
            r#"Bearer realm="bartizan", error="insufficient_scope", scope="tools.read tools x=write""#
        );
        let claims = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#.to_owned();
        let said = text(&Refusal::ClaimsRequired { claims }).unwrap();
        assert!(said.starts_with(
            r#"Bearer realm="", error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4"#
        ));
        assert_eq!(text(&Refusal::MediaType), None);
    }

    #[test]
    fn a_claims_challenge_goes_to_clients_that_can_answer_it() {
        let caller = Verified::process_owner();
        let refusal = Refusal::claims_required(&caller, "{}".into());
        assert!(matches!(refusal, Refusal::Authentication(_)), "{refusal}");
        assert_eq!(refusal.status(), http::StatusCode::UNAUTHORIZED);
    }
}
