//! Where a browser is sent back to (RFC 6749 §3.1.2, RFC 8252 §7.3).

use std::fmt;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// A registered redirect URI: `https`, or `http` on the loopback of the user's own machine. Kept and compared as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RedirectUri(String);

/// Why a redirect URI is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectFault {
    /// It has a fragment.
    #[error("a redirect URI has no fragment")]
    Fragment,
    /// Browsers read another host in it than people do.
    #[error("a redirect URI's host is written as browsers write it, after exactly two slashes")]
    Host,
    /// It can't be read, or is too long.
    #[error("a redirect URI is an absolute URL of at most 2048 bytes")]
    Malformed,
    /// Neither `https` nor `http` on the loopback.
    #[error(
        "a redirect URI begins with https://, or with http:// and localhost, 127.0.0.1 or [::1]"
    )]
    Scheme,
    /// It has a user or password.
    #[error("a redirect URI has no user and no password")]
    User,
}

impl RedirectUri {
    /// Bytes of one.
    pub const LENGTH: usize = 2048;

    /// Checks and keeps.
    pub fn parse(text: &str) -> Result<RedirectUri, RedirectFault> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.len() > Self::LENGTH || !visible || text.contains('\\') {
            return Err(RedirectFault::Malformed);
        }
        let url = Url::parse(text).map_err(|_| RedirectFault::Malformed)?;
        if text.contains('#') {
            return Err(RedirectFault::Fragment);
        }
        if !url.username().is_empty() || url.password().is_some() || authority(text).contains('@') {
            return Err(RedirectFault::User);
        }
        match (url.scheme(), url.host()) {
            ("https", Some(_)) => {}
            ("http", Some(host)) if is_loopback(&host) => {}
            _ => return Err(RedirectFault::Scheme),
        }
        // `Url` forgives missing slashes, capital letters in the scheme and odd spellings of hosts; then what people are shown
        // (`host`), or are warned of (`is_loopback`), would not be where the browser goes.
        if !(text.starts_with("https://") || text.starts_with("http://")) {
            return Err(RedirectFault::Scheme);
        }
        let written = portless(text).map_or("", |(host, _)| host);
        if !url.host_str().is_some_and(|read| read.eq_ignore_ascii_case(written)) {
            return Err(RedirectFault::Host);
        }
        Ok(RedirectUri(text.to_owned()))
    }

    /// Whether a request that names `shown` means this one: the same text, or, on the loopback, the same but for the port, since a
    /// native program takes the port that is free.
    pub fn matches(&self, shown: &str) -> bool {
        if self.0 == shown {
            return true;
        }
        self.is_loopback()
            && RedirectUri::parse(shown).is_ok_and(|shown| shown.is_loopback())
            && portless(&self.0).is_some_and(|own| portless(shown).as_ref() == Some(&own))
    }

    /// Whether it leads to a program on the user's own machine, which nobody can vouch for.
    pub fn is_loopback(&self) -> bool {
        self.0.starts_with("http://")
    }

    /// Host, and port if there is one, for people.
    pub fn host(&self) -> &str {
        authority(&self.0)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RedirectUri {
    type Error = RedirectFault;

    fn try_from(text: String) -> Result<Self, RedirectFault> {
        RedirectUri::parse(&text)
    }
}

impl From<RedirectUri> for String {
    fn from(uri: RedirectUri) -> String {
        uri.0
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => name.eq_ignore_ascii_case("localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

fn authority(text: &str) -> &str {
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())]
}

/// The text before and after the port.
fn portless(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let host = authority[bracket..].find(':').map_or(authority, |at| &authority[..bracket + at]);
    Some((host, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_the_loopback() {
        for good in [
            "https://app.example.com/cb",
            "https://app.example.com/cb?x=1",
            "http://127.0.0.1/cb",
            "http://127.0.0.1:3334/cb",
            "http://localhost:1/cb",
            "http://[::1]:8080/",
        ] {
            assert!(RedirectUri::parse(good).is_ok(), "{good}");
        }
        for (bad, fault) in [
            ("javascript:alert(1)", RedirectFault::Scheme),
            ("data:text/html,x", RedirectFault::Scheme),
            ("http://app.example.com/cb", RedirectFault::Scheme),
            ("http://localhost.evil.com/cb", RedirectFault::Scheme),
            ("http://127.0.0.1.evil.com/", RedirectFault::Scheme),
            ("myapp://cb", RedirectFault::Scheme),
            ("https:/evil.example/cb?u=://claude.ai/", RedirectFault::Scheme),
            ("https:evil.example/cb", RedirectFault::Scheme),
            ("HTTPS://app.example.com/cb", RedirectFault::Scheme),
            ("HTTP://127.0.0.1/cb", RedirectFault::Scheme),
            ("https:///evil.example/cb", RedirectFault::Host),
            ("https:////evil.example/cb", RedirectFault::Host),
            ("https://ev%69l.example/cb", RedirectFault::Host),
            ("https://2130706433/cb", RedirectFault::Host),
            ("http://127.1/cb", RedirectFault::Host),
            ("https://a@b/cb", RedirectFault::User),
            ("https://@b/cb", RedirectFault::User),
            ("https://b/cb#x", RedirectFault::Fragment),
            ("https://b\\@evil.com/", RedirectFault::Malformed),
            ("/cb", RedirectFault::Malformed),
            ("", RedirectFault::Malformed),
            ("https://b/c b", RedirectFault::Malformed),
            ("https://b/\r\nset-cookie:x", RedirectFault::Malformed),
        ] {
            assert_eq!(RedirectUri::parse(bad), Err(fault), "{bad}");
        }
    }

    #[test]
    fn people_see_the_host_that_browsers_go_to() {
        for (text, host) in [
            ("https://app.example.com/cb?u=://claude.ai/", "app.example.com"),
            ("https://App.Example.com:8443?x", "App.Example.com:8443"),
            ("https://app.example.com:/cb", "app.example.com:"),
            ("http://[::1]:8080/", "[::1]:8080"),
        ] {
            assert_eq!(RedirectUri::parse(text).unwrap().host(), host);
        }
    }

    #[test]
    fn a_match_is_exact_but_for_the_loopbacks_port() {
        let web = RedirectUri::parse("https://app.example.com/cb").unwrap();
        assert!(web.matches("https://app.example.com/cb"));
        for other in [
            "https://app.example.com/cb/",
            "https://app.example.com/cb?x",
            "https://app.example.com:443/cb",
            "https://APP.example.com/cb",
            "https://app.example.com/cb/../x",
            "https://app.example.com.evil.com/cb",
        ] {
            assert!(!web.matches(other), "{other}");
        }
        let native = RedirectUri::parse("http://127.0.0.1/cb?a").unwrap();
        assert!(native.matches("http://127.0.0.1:49152/cb?a"));
        for other in [
            "http://localhost:49152/cb?a",
            "http://127.0.0.1:49152/cb",
            "http://127.0.0.1:49152/cb?a&b",
            "http://127.0.0.1:1@evil.com/cb?a",
            "http://127.0.0.1:99999/cb?a",
            "https://127.0.0.1/cb?a",
        ] {
            assert!(!native.matches(other), "{other}");
        }
        let six = RedirectUri::parse("http://[::1]:1/cb").unwrap();
        assert!(six.matches("http://[::1]:2/cb") && !six.matches("http://[::2]:2/cb"));
    }
}
