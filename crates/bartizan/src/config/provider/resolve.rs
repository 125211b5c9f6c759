//! From what is written to what the gateway believes.

use std::path::Path;

use gateway::config::{GraphAccess, KeysFrom, Offer, Provider as Resolved};
use identity::{
    ProviderName,
    provider::{self, ClaimNames, ClientProof, Entra, Groups, Kubernetes, Oidc, Spiffe},
};

use super::{Callers, ClientAuthentication, Cloud, GroupsFrom, Kind, Provider};
use crate::config::value::WebUrl;

/// `ours`: this gateway's own URLs, for which tokens are issued unless the provider's section says otherwise.
/// `None` for a section that lacks what its kind needs, which the check has refused already.
pub fn resolve(
    name: &ProviderName,
    written: &Provider,
    ours: &[String],
    folder: &Path,
) -> Option<Resolved> {
    let own = || match written.audiences.as_slice() {
        [] => ours.to_vec(),
        some => some.iter().map(|audience| audience.get_ref().clone()).collect(),
    };
    let issuer = || Some(written.issuer.as_ref()?.get_ref().as_str().to_owned());
    let name = name.clone();
    let (provider, offer) = match written.kind.get_ref() {
        Kind::Entra => return Some(resolve_entra(name, written, folder)),
        Kind::Oidc => {
            let oidc = oidc(written, issuer()?, own());
            let offer =
                Offer { authorization_servers: vec![issuer()?], scopes: written.scopes.clone() };
            (provider::Provider::oidc(name, oidc), offer)
        }
        Kind::Kubernetes => {
            let namespaces = written.namespaces.clone();
            let kubernetes = Kubernetes { issuer: issuer()?, audiences: own(), namespaces };
            (provider::Provider::kubernetes(name, kubernetes), Offer::default())
        }
        Kind::Spiffe => {
            let trust_domain = written.trust_domain.as_ref()?.get_ref().as_str().to_owned();
            let spiffe = Spiffe { trust_domain, audiences: own() };
            (provider::Provider::spiffe(name, spiffe), Offer::default())
        }
    };
    let keys = match (&written.review_url, &written.jwks_url, &written.jwks_file) {
        (Some(server), ..) => KeysFrom::Review {
            server: server.get_ref().as_str().to_owned(),
            token: folder.join(&written.review_token_file),
        },
        (None, Some(url), _) => KeysFrom::Url(url.get_ref().as_str().to_owned()),
        (None, None, Some(file)) => KeysFrom::File(folder.join(file.get_ref())),
        (None, None, None) => {
            let issuer = issuer()?;
            let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
            KeysFrom::Discovery { url, issuer, same_origin: false }
        }
    };
    Some(resolved(written, provider, keys, None, offer, folder))
}

fn resolved(
    written: &Provider,
    provider: provider::Provider,
    keys: KeysFrom,
    graph: Option<GraphAccess>,
    offer: Offer,
    folder: &Path,
) -> Resolved {
    Resolved {
        provider,
        keys,
        refresh: written.refresh.get_ref().0,
        stale: written.stale.0,
        allow_private: written.allow_private,
        ca: written.ca.as_ref().map(|file| folder.join(file.get_ref())),
        graph,
        offer,
    }
}

fn oidc(written: &Provider, issuer: String, audiences: Vec<String>) -> Oidc {
    Oidc {
        issuer,
        audiences,
        several_audiences: written.several_audiences,
        algorithms: written.algorithms.iter().map(|algorithm| algorithm.0).collect(),
        clients: written.clients.clone(),
        claims: ClaimNames {
            subject: written.subject_claim.clone(),
            groups: written.groups_claim.clone(),
            roles: written.roles_claim.clone(),
            scopes: written.scopes_claim.clone(),
            client: written.client_claim.clone(),
            tenant: written.tenant_claim.clone(),
            ..ClaimNames::default()
        },
        callers: match written.callers {
            Callers::UsersAndClients => provider::Callers::UsersAndClients,
            Callers::Users => provider::Callers::Users,
            Callers::Workloads => provider::Callers::Workloads,
        },
    }
}

fn resolve_entra(name: ProviderName, written: &Provider, folder: &Path) -> Resolved {
    let cloud = cloud(written);
    let tenants: Vec<String> =
        written.tenants.iter().map(|tenant| tenant.get_ref().as_str().to_owned()).collect();
    let only = match tenants.as_slice() {
        [one] => Some(one.as_str()),
        _ => None,
    };
    let keys = KeysFrom::Discovery {
        url: cloud.discovery(only),
        issuer: cloud.discovery_issuer(only),
        same_origin: true,
    };
    let client_id = written.client_id.as_ref().map(|id| id.get_ref().as_str().to_owned());
    let graph = client_id.clone().zip(written.graph_secret.as_ref()).map(|(client_id, secret)| {
        GraphAccess {
            cloud: cloud.clone(),
            client_id,
            secret: secret.get_ref().reference.clone(),
            allow_private: written.allow_private,
        }
    });
    let audiences = match (written.audiences.as_slice(), &client_id) {
        ([], Some(id)) => vec![id.clone(), format!("api://{id}")],
        (some, _) => some.iter().map(|audience| audience.get_ref().clone()).collect(),
    };
    let offer = Offer {
        authorization_servers: tenants
            .iter()
            .map(|tenant| format!("{}/{tenant}/v2.0", cloud.login))
            .collect(),
        scopes: offered_scopes(&written.scopes, client_id.as_deref()),
    };
    let entra = Entra {
        cloud,
        tenants,
        audiences,
        clients: written.clients.clone(),
        client_proof: match written.client_authentication {
            ClientAuthentication::Any => ClientProof::Any,
            ClientAuthentication::Secret => ClientProof::Secret,
            ClientAuthentication::Certificate => ClientProof::Certificate,
        },
        scopes: written.scopes.clone(),
        applications: written.applications,
        groups: match written.groups {
            GroupsFrom::Ignore => Groups::Ignore,
            GroupsFrom::Token => Groups::Token,
            GroupsFrom::Overage => Groups::Overage,
            GroupsFrom::Graph => Groups::Graph,
        },
    };
    resolved(written, provider::Provider::entra(name, entra), keys, graph, offer, folder)
}

/// A client asks for `api://APPLICATION/SCOPE`; in the token there is `SCOPE`.
fn offered_scopes(scopes: &[String], client_id: Option<&str>) -> Vec<String> {
    let whole = |scope: &String| match client_id {
        Some(id) => format!("api://{id}/{scope}"),
        None => scope.clone(),
    };
    scopes.iter().map(whole).collect()
}

fn cloud(written: &Provider) -> provider::Cloud {
    let named = match written.cloud {
        Cloud::Public => provider::Cloud::public(),
        Cloud::UsGovernment => provider::Cloud::us_government(),
        Cloud::UsDod => provider::Cloud::us_dod(),
        Cloud::China => provider::Cloud::china(),
    };
    let instead = |url: &Option<toml::Spanned<WebUrl>>, own: String| {
        url.as_ref().map_or(own, |url| url.get_ref().as_str().trim_end_matches('/').to_owned())
    };
    provider::Cloud {
        login: instead(&written.login_url, named.login),
        sts: instead(&written.sts_url, named.sts),
        graph: instead(&written.graph_url, named.graph),
        graph_audience: named.graph_audience,
    }
}
