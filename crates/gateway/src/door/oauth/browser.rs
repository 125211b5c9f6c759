//! The person's browser: the cookie that it is known by, and whether a form really came from our own page.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, Response, header};
use identity::broker::hash;

use crate::{door::exchange::Body, seal::random};

/// How long a browser is known, in seconds.
const LIFE: u64 = 90 * 24 * 60 * 60;

/// A browser, known by a random text that only it has.
#[derive(Clone, PartialEq, Eq)]
pub struct Browser {
    secret: String,
    new: bool,
}

impl Browser {
    /// The browser that sent these headers, or a new one.
    pub fn of(headers: &HeaderMap, secure: bool) -> Option<Browser> {
        match shown(headers, secure) {
            Some(secret) => Some(Browser { secret, new: false }),
            None => {
                let secret = BASE64_URL_SAFE_NO_PAD.encode(random::<32>()?);
                Some(Browser { secret, new: true })
            }
        }
    }

    /// The browser that sent these headers, if it has been here.
    pub fn known(headers: &HeaderMap, secure: bool) -> Option<Browser> {
        shown(headers, secure).map(|secret| Browser { secret, new: false })
    }

    /// What is kept of it.
    pub fn hash(&self) -> [u8; 32] {
        hash(&self.secret)
    }

    /// What questions and states are sealed for.
    pub fn owner(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.hash())
    }

    /// Lets the browser be known again.
    pub fn remember(&self, mut response: Response<Body>, secure: bool) -> Response<Body> {
        let (name, more) = if secure { (SECURE, "; Secure") } else { (PLAIN, "") };
        let cookie =
            format!("{name}={}; Path=/; HttpOnly; SameSite=Lax; Max-Age={LIFE}{more}", self.secret);
        if self.new
            && let Ok(value) = HeaderValue::from_str(&cookie)
        {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
        response
    }
}

/// The prefix keeps other hosts and paths, and plain HTTP, from setting it.
const SECURE: &str = "__Host-bartizan_browser";
/// Browsers take neither the prefix nor `Secure` from plain HTTP, which is served on the loopback alone.
const PLAIN: &str = "bartizan_browser";

fn shown(headers: &HeaderMap, secure: bool) -> Option<String> {
    let name = if secure { SECURE } else { PLAIN };
    let mut found = None;
    for line in headers.get_all(header::COOKIE) {
        for pair in line.to_str().ok()?.split(';') {
            let Some((key, value)) = pair.trim().split_once('=') else { continue };
            if key == name {
                // Twice: somebody planted one beside ours.
                if found.is_some() {
                    return None;
                }
                found = Some(value);
            }
        }
    }
    let whole = |value: &&str| {
        value.len() == 43
            && BASE64_URL_SAFE_NO_PAD.decode(value).is_ok_and(|bytes| bytes.len() == 32)
    };
    found.filter(whole).map(str::to_owned)
}

/// Whether a form was sent by our own page, as far as the browser says.
pub fn is_own_form(headers: &HeaderMap, public_url: &str) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let site = text("sec-fetch-site").is_none_or(|site| site == "same-origin");
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let origin = match (origins.next(), origins.next()) {
        (Some(origin), None) => {
            origin.to_str().is_ok_and(|origin| origin.eq_ignore_ascii_case(public_url))
        }
        // Every browser sends it with a form; older ones only `Referer`.
        (None, _) => text("referer").is_some_and(|from| {
            from.strip_prefix(public_url).is_some_and(|rest| rest.starts_with('/'))
        }),
        (Some(_), Some(_)) => false,
    };
    site && origin
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| {
                (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())
            })
            .collect()
    }

    #[test]
    fn a_browser_is_known_by_its_own_cookie_alone() {
        let first = Browser::of(&HeaderMap::new(), true).unwrap();
        let response = first.remember(Response::new(Body::empty()), true);
        let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
        assert!(cookie.starts_with("__Host-bartizan_browser="), "{cookie}");
        for attribute in ["; Path=/", "; HttpOnly", "; SameSite=Lax", "; Secure"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        let pair = cookie.split(';').next().unwrap();
        let again = Browser::known(&headers(&[("cookie", &format!("a=b; {pair}"))]), true).unwrap();
        assert_eq!(again.hash(), first.hash());
        assert!(again.remember(Response::new(Body::empty()), true).headers().is_empty());
        for wrong in [
            format!("{pair}; {pair}"),
            pair.replace("__Host-", ""),
            format!("{pair}x"),
            "__Host-bartizan_browser=".into(),
        ] {
            assert!(Browser::known(&headers(&[("cookie", &wrong)]), true).is_none(), "{wrong}");
        }
    }

    #[test]
    fn forms_of_other_pages_are_told_apart() {
        const OWN: &str = "https://gw.example.com";
        let own = |list: &[(&'static str, &str)]| is_own_form(&headers(list), OWN);
        assert!(own(&[("origin", OWN), ("sec-fetch-site", "same-origin")]));
        assert!(own(&[("referer", "https://gw.example.com/oauth/authorize?x")]));
        assert!(!own(&[]));
        assert!(!own(&[("origin", OWN), ("sec-fetch-site", "cross-site")]));
        assert!(!own(&[("origin", OWN), ("sec-fetch-site", "same-site")]));
        assert!(!own(&[("origin", "https://evil.example.com"), ("sec-fetch-site", "same-origin")]));
        assert!(!own(&[("origin", "null")]));
        assert!(!own(&[("referer", "https://gw.example.com.evil.org/")]));
    }
}
