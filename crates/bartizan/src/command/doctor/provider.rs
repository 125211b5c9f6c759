//! A provider as everybody can see it: its metadata, its keys, its clock.

use std::path::Path;

use gateway::config::{KeysFrom, Provider};
use identity::{Discovery, jwks::Jwks};
use jiff::Timestamp;

use super::{
    finding::Finding,
    web::{Reply, Web},
};

/// How far two clocks may be apart before it is spoken of, in seconds.
const DRIFT: i64 = 5;

/// Its metadata, if it can be read, and what was found.
pub async fn examine(
    entry: &Provider,
    web: &Web,
    now: Timestamp,
) -> (Option<Discovery>, Vec<Finding>) {
    let name = entry.provider.name().as_str();
    let (url, issuer) = match &entry.keys {
        KeysFrom::Discovery { url, issuer, .. } => (url, issuer),
        KeysFrom::Url(url) => return (None, keys(entry, web, url).await),
        KeysFrom::File(path) => return (None, vec![file(entry, path)]),
        KeysFrom::Review { server, token } => {
            return (None, vec![review(entry, server, token, web).await]);
        }
    };
    let check = format!("{name}: metadata");
    let reply = match web.get(url).await {
        Ok(reply) => reply,
        Err(unreached) => return (None, vec![Finding::unreached(&check, &unreached)]),
    };
    let mut findings = vec![clock(name, &reply, now)];
    if reply.status != 200 {
        findings.push(Finding::refused(&check, &reply));
        return (None, findings);
    }
    let about = match Discovery::read(&reply.body, issuer) {
        Ok(about) => about,
        Err(fault) => {
            let mend = format!("the configuration expects the issuer {issuer}");
            findings.push(Finding::fault(&check, format!("{url}: {fault}"), mend));
            return (None, findings);
        }
    };
    findings.push(Finding::ok(&check, format!("the issuer is {issuer}")));
    findings.extend(keys(entry, web, about.jwks_uri()).await);
    (Some(about), findings)
}

async fn keys(entry: &Provider, web: &Web, url: &str) -> Vec<Finding> {
    let check = format!("{}: keys", entry.provider.name().as_str());
    let reply = match web.get(url).await {
        Ok(reply) if reply.status == 200 => reply,
        Ok(reply) => return vec![Finding::refused(&check, &reply)],
        Err(unreached) => return vec![Finding::unreached(&check, &unreached)],
    };
    vec![read(&check, entry, url, &reply.body)]
}

/// Asks the API server about the very token as which it is asked.
async fn review(entry: &Provider, server: &str, token: &Path, web: &Web) -> Finding {
    let check = format!("{}: token review", entry.provider.name().as_str());
    let own = match std::fs::read_to_string(token) {
        Ok(own) => own.trim().to_owned(),
        Err(fault) => {
            let found = format!("{}: {fault}", token.display());
            let mend = "review-token-file names the file where the gateway's own token is";
            return Finding::fault(&check, found, mend);
        }
    };
    let server = server.trim_end_matches('/');
    let url = format!("{server}/apis/authentication.k8s.io/v1/tokenreviews");
    let body = serde_json::json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": own},
    });
    match web.post_as(&url, &own, body.to_string()).await {
        Err(unreached) => Finding::unreached(&check, &unreached),
        Ok(reply) if reply.json()["status"]["authenticated"] == true => {
            Finding::ok(&check, format!("{server} answers about tokens"))
        }
        Ok(reply) if reply.status == 403 => Finding::fault(
            &check,
            "the gateway's account may not ask about tokens".to_owned(),
            "kubectl create clusterrolebinding bartizan --clusterrole=system:auth-delegator --serviceaccount=NAMESPACE:ACCOUNT",
        ),
        Ok(reply) => Finding::refused(&check, &reply),
    }
}

fn file(entry: &Provider, path: &Path) -> Finding {
    let check = format!("{}: keys", entry.provider.name().as_str());
    let place = path.display().to_string();
    match std::fs::read(path) {
        Ok(bytes) => read(&check, entry, &place, &bytes),
        Err(fault) => Finding::fault(
            &check,
            format!("{place}: {fault}"),
            "the file must be readable by the gateway",
        ),
    }
}

fn read(check: &str, entry: &Provider, place: &str, bytes: &[u8]) -> Finding {
    match Jwks::read(bytes, entry.provider.key_use()) {
        Ok(_) => Finding::ok(check, format!("usable keys at {place}")),
        Err(fault) => Finding::fault(
            check,
            format!("{place}: {fault}"),
            "no token of this provider can be believed",
        ),
    }
}

fn clock(name: &str, reply: &Reply, now: Timestamp) -> Finding {
    let check = format!("{name}: clock");
    let Some(theirs) = reply.date else {
        return Finding::unknown(&check, "the provider does not say what time it is", "");
    };
    let apart = now.duration_since(theirs).as_secs();
    if apart.abs() <= DRIFT {
        return Finding::ok(&check, "this machine and the provider agree");
    }
    let ahead = if apart > 0 { "ahead of" } else { "behind" };
    let found = format!("this machine is {} s {ahead} the provider", apart.abs());
    let mend = "set the clock by NTP: tokens are refused as not yet or no longer valid otherwise";
    if apart.abs() < 60 {
        Finding::warning(&check, found, mend)
    } else {
        Finding::fault(&check, found, mend)
    }
}
