//! Where clients reach this gateway: the public URL, and what answers there.

use std::sync::Arc;

use gateway::config::{Config, SignIn};
use gateway::secrets::Secrets;
use http::Uri;
use upstream::HttpClient;

use super::{finding::Finding, web::Web};

pub async fn examine(
    config: &Config,
    sign_in: &SignIn,
    client: &HttpClient,
    secrets: &Arc<Secrets>,
) -> Vec<Finding> {
    let Ok(url) = sign_in.public_url.parse::<Uri>() else { return Vec::new() };
    let host = url.host().unwrap_or_default();
    let mut findings = vec![encryption(&url, host, config), name(host, config)];
    // It is the operator's own URL, wherever it leads.
    let web = Web::new(client, secrets, true);
    findings.push(metadata(sign_in, &web).await);
    findings
}

fn near(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn encryption(url: &Uri, host: &str, config: &Config) -> Finding {
    let check = "public URL: encryption";
    match (url.scheme_str(), near(host)) {
        (Some("https"), _) if config.tls.is_some() => Finding::ok(check, "TLS ends at the gateway"),
        (Some("https"), _) => Finding::ok(check, "TLS ends before the gateway"),
        (_, true) => Finding::ok(check, "plain HTTP, which does not leave this machine"),
        _ => Finding::fault(
            check,
            format!(
                "{url} is plain HTTP: clients refuse to sign in there, and tokens would cross the network in the open"
            ),
            "public-url = \"https://…\", with [tls] or a TLS proxy in front",
        ),
    }
}

/// A request for a name that is not ours is refused, so the public name must be among them.
fn name(host: &str, config: &Config) -> Finding {
    let check = "public URL: host";
    let accepted = near(host)
        || host.parse::<std::net::IpAddr>().is_ok()
        || config.hosts.iter().any(|known| known.eq_ignore_ascii_case(host));
    if accepted {
        return Finding::ok(check, host);
    }
    Finding::fault(
        check,
        format!("requests for {host} are refused"),
        format!("hosts = [\"{host}\"]"),
    )
}

/// What clients read first: RFC 8414's document, and whose it is.
async fn metadata(sign_in: &SignIn, web: &Web) -> Finding {
    let check = "public URL: metadata";
    let url = format!("{}/.well-known/oauth-authorization-server", sign_in.public_url);
    let reply = match web.get(&url).await {
        Ok(reply) => reply,
        Err(unreached) => {
            let mend =
                "start it with `bartizan up`; if it runs, let this machine reach its public URL";
            return Finding::unknown(check, unreached.found(), mend);
        }
    };
    let issuer = reply.json()["issuer"].as_str().map(str::to_owned);
    match issuer {
        Some(issuer) if issuer == sign_in.public_url => {
            Finding::ok(check, format!("the gateway answers as {issuer}"))
        }
        Some(issuer) => Finding::fault(
            check,
            format!("{url} says that it is {issuer}: clients refuse that"),
            "public-url must be what clients use; another gateway may answer there",
        ),
        None => Finding::fault(
            check,
            format!("{url} answered HTTP {} without the gateway's metadata", reply.status),
            "the proxy in front must pass every path on, /.well-known and /oauth too",
        ),
    }
}
