//! Host and Origin, each checked on its own on every request: what keeps a web page in the user's
//! browser, and a name that was rebound to this address, out.

use std::net::IpAddr;

use http::{HeaderMap, Uri, header};

use crate::{config::Config, refusal::Refusal};

/// Checks both, and gives the host.
pub fn check<'a>(
    config: &Config,
    headers: &'a HeaderMap,
    uri: &'a Uri,
) -> Result<&'a str, Refusal> {
    let host = check_host(config, headers, uri)?;
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else { return Ok(host) };
    let text = origin.to_str().unwrap_or_default();
    if origins.next().is_some() || !origin_accepted(config, text, host) {
        return Err(Refusal::Origin(shorten(text)));
    }
    Ok(host)
}

/// Checks the host alone, for endpoints with rules of their own about origins, and gives it.
pub fn check_host<'a>(
    config: &Config,
    headers: &'a HeaderMap,
    uri: &'a Uri,
) -> Result<&'a str, Refusal> {
    let host = host(headers, uri)?;
    if host_accepted(config, host) { Ok(host) } else { Err(Refusal::Host(shorten(host))) }
}

/// The one authority that the request is for: from the request line, or the only `Host`.
fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Result<&'a str, Refusal> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let header = hosts.next().map(|value| value.to_str().unwrap_or_default());
    let several = hosts.next().is_some();
    let line = uri.authority().map(|authority| authority.as_str());
    match (line, header) {
        _ if several => Err(Refusal::Host("several".into())),
        (Some(line), Some(header)) if !line.eq_ignore_ascii_case(header) => {
            Err(Refusal::Host(shorten(header)))
        }
        (Some(host), _) | (None, Some(host)) => Ok(host),
        (None, None) => Err(Refusal::Host(String::new())),
    }
}

/// Names are what rebinding needs: an address, `localhost` or a configured name is none of its making.
fn host_accepted(config: &Config, host: &str) -> bool {
    if host.contains('@') {
        return false;
    }
    let name = without_port(host);
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || public_host(config)
            .into_iter()
            .chain(config.hosts.iter().map(String::as_str))
            .any(|held| held.eq_ignore_ascii_case(host) || held.eq_ignore_ascii_case(name))
}

/// The name in the public URL is one by which clients come.
fn public_host(config: &Config) -> Option<&str> {
    config.public_url.as_deref()?.split_once("://").map(|(_, host)| host)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// The page must have come from this very address, or from a configured origin.
fn origin_accepted(config: &Config, origin: &str, host: &str) -> bool {
    let own = origin
        .strip_prefix(if config.tls.is_some() { "https://" } else { "http://" })
        .is_some_and(|from| from.eq_ignore_ascii_case(host));
    own || listed(config, origin)
}

/// Whether the configuration names this origin.
pub fn listed(config: &Config, origin: &str) -> bool {
    config.origins.iter().any(|held| held.eq_ignore_ascii_case(origin))
}

fn shorten(text: &str) -> String {
    text.chars().take(128).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(tls: bool) -> Config {
        let tls =
            tls.then(|| crate::config::Tls { cert: "c".into(), key: "k".into(), client_ca: None });
        Config {
            tls,
            hosts: vec!["mcp.example.com".into()],
            origins: vec!["https://app.example.com".into()],
            ..Config::bare("/nowhere".into())
        }
    }

    fn checked(tls: bool, host: &[&str], origin: &[&str]) -> Result<(), &'static str> {
        let mut headers = HeaderMap::new();
        for host in host {
            headers.append(header::HOST, host.parse().unwrap());
        }
        for origin in origin {
            headers.append(header::ORIGIN, origin.parse().unwrap());
        }
        check(&config(tls), &headers, &Uri::from_static("/mcp"))
            .map(drop)
            .map_err(|refusal| refusal.label())
    }

    #[test]
    fn names_that_nobody_configured_are_not_served() {
        for host in [
            "127.0.0.1:8420",
            "localhost",
            "LOCALHOST:1",
            "[::1]:8420",
            "10.0.0.7",
            "mcp.example.com",
            "mcp.example.com:443",
        ] {
            assert_eq!(checked(false, &[host], &[]), Ok(()), "{host}");
        }
        for host in [
            "evil.example.com",
            "localhost.evil.com",
            "127.0.0.1.evil.com",
            "evil@127.0.0.1",
            "",
            "127.0.0.1:x",
        ] {
            assert_eq!(checked(false, &[host], &[]), Err("host"), "{host}");
        }
        assert_eq!(checked(false, &[], &[]), Err("host"));
        assert_eq!(checked(false, &["localhost", "localhost"], &[]), Err("host"));
    }

    #[test]
    fn origins_are_checked_whatever_the_host() {
        let host = &["127.0.0.1:8420"];
        assert_eq!(checked(false, host, &["http://127.0.0.1:8420"]), Ok(()));
        assert_eq!(checked(true, host, &["https://127.0.0.1:8420"]), Ok(()));
        assert_eq!(checked(false, host, &["https://app.example.com"]), Ok(()));
        for origin in [
            "http://evil.example.com",
            "http://127.0.0.1:9999",
            "https://127.0.0.1:8420",
            "null",
            "",
            "https://app.example.com.evil.com",
        ] {
            assert_eq!(checked(false, host, &[origin]), Err("origin"), "{origin}");
        }
        let two = &["https://app.example.com", "https://app.example.com"];
        assert_eq!(checked(false, host, two), Err("origin"));
    }
}
