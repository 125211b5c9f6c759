//! Metadata of a protected resource (RFC 9728).

use serde::Deserialize;
use url::Url;

use super::{Challenge, DOCUMENT_BYTES, OAuthFault, Scopes, endpoint, well_known};

const DOCUMENT: &str = "resource metadata";

/// What an MCP server says of how it is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its identifier: what tokens are asked for (RFC 8707).
    pub resource: Url,
    /// Who issues tokens for it, most preferred first.
    pub issuers: Vec<Url>,
    /// The scopes of which it says that they exist.
    pub scopes: Scopes,
}

#[derive(Deserialize)]
struct Document {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

impl Resource {
    /// Where its metadata may be, in the order of trying: where the challenge says, then the well-known
    /// places.
    pub fn places(server: &Url, challenge: &Challenge, allow_private: bool) -> Vec<Url> {
        const NAME: &str = "oauth-protected-resource";
        let mut root = server.clone();
        root.set_path("");
        let may = |url: &&Url| {
            url.origin() == server.origin() || endpoint(url.as_str(), server, allow_private).is_ok()
        };
        let named = challenge.resource_metadata.as_ref().filter(may);
        let mut places: Vec<Url> = named.into_iter().cloned().collect();
        for place in [well_known(server, NAME), well_known(&root, NAME)] {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    /// Reads it. `resource` must be `server` itself, or what contains it: of the same origin, with a
    /// path that is a prefix by whole segments.
    pub fn read(bytes: &[u8], server: &Url, allow_private: bool) -> Result<Resource, OAuthFault> {
        if bytes.len() > DOCUMENT_BYTES {
            return Err(OAuthFault::document(DOCUMENT, "too long"));
        }
        let document: Document =
            serde_json::from_slice(bytes).map_err(|fault| OAuthFault::document(DOCUMENT, fault))?;
        let resource = endpoint(&document.resource, server, allow_private)?;
        if !contains(&resource, server) {
            return Err(OAuthFault::ResourceMismatch {
                server: server.to_string(),
                resource: document.resource.chars().take(200).collect(),
            });
        }
        let named = document.authorization_servers.iter().take(8);
        let issuers: Vec<Url> =
            named.map(|text| endpoint(text, server, allow_private)).collect::<Result<_, _>>()?;
        if issuers.is_empty() {
            return Err(OAuthFault::WithoutIssuer(server.to_string()));
        }
        let scopes = document.scopes_supported.iter().map(String::as_str).collect();
        Ok(Resource { resource, issuers, scopes })
    }

    /// For a server of the revision 2025-03-26, which has no such metadata: its own origin issues.
    pub fn without_metadata(server: &Url) -> Resource {
        let mut origin = server.clone();
        origin.set_path("");
        origin.set_query(None);
        Resource { resource: server.clone(), issuers: vec![origin], scopes: Scopes::default() }
    }
}

fn contains(resource: &Url, server: &Url) -> bool {
    let path = resource.path().trim_end_matches('/');
    let rest = server.path().strip_prefix(path);
    resource.origin() == server.origin()
        && resource.query().is_none_or(|query| server.query() == Some(query))
        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn read(resource: &str, server: &str) -> Result<Resource, OAuthFault> {
        let document = format!(
            r#"{{"resource":"{resource}","authorization_servers":["https://as.example"],"scopes_supported":["a","b"],"more":1}}"#
        );
        Resource::read(document.as_bytes(), &url(server), false)
    }

    #[test]
    fn places_are_the_challenges_then_the_well_known() {
        let server = url("https://h.example/a/mcp?x=1");
        let at = |challenge: &Challenge| -> Vec<String> {
            Resource::places(&server, challenge, false).iter().map(Url::to_string).collect()
        };
        let path = "https://h.example/.well-known/oauth-protected-resource/a/mcp";
        let root = "https://h.example/.well-known/oauth-protected-resource";
        assert_eq!(at(&Challenge::default()), [path, root]);
        let named =
            |place| Challenge { resource_metadata: Some(url(place)), ..Challenge::default() };
        assert_eq!(at(&named(path)), [path, root]);
        assert_eq!(at(&named("https://h.example/meta")), ["https://h.example/meta", path, root]);
        assert_eq!(at(&named("http://other.example/meta")), [path, root]);
    }

    #[test]
    fn a_resource_is_the_server_or_contains_it() {
        for (resource, server) in [
            ("https://h.example/mcp", "https://h.example/mcp"),
            ("https://h.example", "https://h.example/mcp"),
            ("https://h.example/a/", "https://h.example/a/mcp"),
        ] {
            let read = read(resource, server).unwrap();
            assert_eq!(read.issuers, [url("https://as.example")]);
            assert_eq!(read.scopes, Scopes::parse("a b"));
        }
        for (resource, server) in [
            ("https://evil.example/mcp", "https://h.example/mcp"),
            ("https://h.example:444/mcp", "https://h.example/mcp"),
            ("https://h.example/mc", "https://h.example/mcp"),
            ("https://h.example/mcp/x", "https://h.example/mcp"),
        ] {
            let fault = read(resource, server).unwrap_err();
            assert!(matches!(fault, OAuthFault::ResourceMismatch { .. }), "{resource}: {fault}");
        }
    }

    /// Hosts that the guard of connections would let pass, had the operator written them.
    const WITHIN: [&str; 6] =
        ["10.0.0.5", "127.0.0.1:6443", "2130706433", "[::1]", "localhost", "LOCALHOST.:443"];

    #[test]
    fn a_stranger_names_no_address() {
        let server = url("https://h.example/mcp");
        for host in WITHIN {
            let named = Challenge {
                resource_metadata: Some(url(&format!("https://{host}/meta"))),
                ..Challenge::default()
            };
            let places = |private| Resource::places(&server, &named, private);
            assert_eq!(places(false), Resource::places(&server, &Challenge::default(), false));
            assert_eq!(places(true).len(), 3, "the operator allowed it");
            let document = |server: &str| {
                let text = format!(
                    r#"{{"resource":"{server}","authorization_servers":["https://{host}/as"]}}"#
                );
                text.into_bytes()
            };
            let read = |private| Resource::read(&document(server.as_str()), &server, private);
            assert!(matches!(read(false), Err(OAuthFault::Address(_))), "{host}");
            assert!(read(true).is_ok(), "{host}");
            // What the operator wrote as the server's own address may issue its own tokens.
            let own = url(&format!("https://{host}/mcp"));
            let places = Resource::places(&own, &named, false);
            assert_eq!(places[0].path(), "/meta");
            assert!(Resource::read(&document(own.as_str()), &own, false).is_ok(), "{host}");
        }
    }

    #[test]
    fn what_is_no_usable_document() {
        let server = url("https://h.example/mcp");
        for bytes in [
            &b"[]"[..],
            b"{}",
            br#"{"resource":"https://h.example/mcp"}"#,
            br#"{"resource":"https://h.example/mcp","authorization_servers":["http://as"]}"#,
            br#"{"resource":"https://h.example/mcp","authorization_servers":["https://u:p@as"]}"#,
            br#"{"resource":"javascript:x","authorization_servers":["https://as"]}"#,
        ] {
            assert!(Resource::read(bytes, &server, false).is_err());
        }
        let long = format!(r#"{{"resource":"{}"}}"#, "x".repeat(DOCUMENT_BYTES));
        assert!(Resource::read(long.as_bytes(), &server, false).is_err());
    }
}
