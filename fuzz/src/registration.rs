//! What strangers say about their clients: bounded, shown as text, and never a way to anywhere else.

use identity::broker::{ClientId, Description, Params, RedirectUri, Scopes};

/// A registration, a metadata document, a query, and the texts in them.
pub fn target(data: &[u8]) {
    let (described, id) = (Description::parse(data), ClientId::parse("bza_x"));
    if let (Ok(described), Ok(id)) = (described, id)
        && let Ok(client) = described.of_registration(id)
    {
        assert!((1..=16).contains(&client.redirects.len()));
        client.redirects.iter().for_each(|redirect| check_redirect(redirect.as_str()));
        assert!(client.name.len() <= 128 && !client.name.chars().any(char::is_control));
        assert!(
            client
                .uri
                .iter()
                .all(|uri| uri.to_ascii_lowercase().trim_start().starts_with("https:"))
        );
        let kept = serde_json::to_string(&client).unwrap_or_default();
        assert_eq!(serde_json::from_str(&kept).ok(), Some(client));
    }
    if let Ok(params) = Params::parse(data) {
        params.get("redirect_uri").into_iter().for_each(check_redirect);
        params.get("scope").into_iter().for_each(check_scopes);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        check_redirect(text);
        check_scopes(text);
        if let Some(url) = ClientId::parse(text).ok().and_then(|id| id.document()) {
            assert!(url.scheme() == "https" && url.as_str() == text && url.username().is_empty());
        }
    }
}

fn check_redirect(text: &str) {
    let Ok(redirect) = RedirectUri::parse(text) else { return };
    assert!(redirect.matches(text) && text.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(!text.contains(['#', '\\']) && !redirect.host().contains('@'));
    assert!(!redirect.matches("https://evil.example/") || text == "https://evil.example/");
}

fn check_scopes(text: &str) {
    if let Ok(scopes) = Scopes::parse(text) {
        assert_eq!(Scopes::parse(&scopes.to_string()), Ok(scopes.clone()));
        assert!(scopes.is_within(&scopes) && scopes.within(&scopes) == scopes);
    }
}
