//! What MCP servers and their authorization servers say of themselves: bounded, about themselves alone, and never a way to where
//! the operator did not allow.

use url::Url;
use vault::oauth::{Challenge, Issuer, Resource, registration};

/// A document or a header: read as each kind.
pub fn target(data: &[u8]) {
    let (Ok(server), Ok(issuer)) =
        (Url::parse("https://mcp.example.com/a/mcp"), Url::parse("https://as.example.com"))
    else {
        return;
    };
    if let Ok(resource) = Resource::read(data, &server, false) {
        assert_eq!(resource.resource.origin(), server.origin());
        assert!((1..=8).contains(&resource.issuers.len()));
        resource.issuers.iter().for_each(check);
    }
    if let Ok(found) = Issuer::read(data, &issuer, false) {
        let optional = found.registration_endpoint.iter().chain(&found.revocation_endpoint);
        [&found.authorization_endpoint, &found.token_endpoint]
            .into_iter()
            .chain(optional)
            .for_each(check);
        assert!(found.token_auth_methods.len() <= 32 && found.issuer.contains("as.example.com"));
        // What speaks for one issuer speaks for no other.
        let other = Url::parse("https://as.example.com/other");
        assert!(other.is_ok_and(|other| Issuer::read(data, &other, false).is_err()));
        let _ = registration::read(data, &found);
    }
    if let Ok(header) = std::str::from_utf8(data) {
        let challenge = Challenge::parse(header);
        let places = Resource::places(&server, &challenge, false);
        assert!((2..=3).contains(&places.len()));
        places.iter().for_each(check);
    }
}

fn check(url: &Url) {
    assert!(url.scheme() == "https" && url.username().is_empty() && url.has_host());
}
