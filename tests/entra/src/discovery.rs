//! The two discovery documents.

use serde_json::{Value, json};

use crate::{State, directory::TENANT, request::Answer};

/// A tenant's id, or the template that stands for all.
fn issuer_tenant(tenant: &str) -> &str {
    match tenant {
        "common" | "organizations" => "{tenantid}",
        "consumers" => crate::directory::CONSUMERS,
        _ => TENANT,
    }
}

pub(crate) fn v2(state: &State, tenant: &str) -> Answer {
    let at = &state.origin;
    let path =
        if matches!(tenant, "common" | "organizations" | "consumers") { tenant } else { TENANT };
    let region = if path == TENANT { json!("EU") } else { Value::Null };
    Answer::json(
        200,
        &json!({
            "token_endpoint": format!("{at}/{path}/oauth2/v2.0/token"),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": format!("{at}/{path}/discovery/v2.0/keys"),
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "issuer": format!("{at}/{}/v2.0", issuer_tenant(tenant)),
            "request_uri_parameter_supported": false,
            "userinfo_endpoint": format!("{at}/oidc/userinfo"),
            "authorization_endpoint": format!("{at}/{path}/oauth2/v2.0/authorize"),
            "device_authorization_endpoint": format!("{at}/{path}/oauth2/v2.0/devicecode"),
            "http_logout_supported": true,
            "frontchannel_logout_supported": true,
            "end_session_endpoint": format!("{at}/{path}/oauth2/v2.0/logout"),
            "claims_supported": [
                "sub", "iss", "cloud_instance_name", "cloud_instance_host_name", "cloud_graph_host_name",
                "msgraph_host", "aud", "exp", "iat", "auth_time", "acr", "nonce", "preferred_username", "name",
                "tid", "ver", "at_hash", "c_hash", "email"
            ],
            "kerberos_endpoint": format!("{at}/{path}/kerberos"),
            "tenant_region_scope": region,
            "cloud_instance_name": "microsoftonline.com",
            "cloud_graph_host_name": "graph.windows.net",
            "msgraph_host": "graph.microsoft.com",
            "rbac_url": "https://pas.windows.net",
        }),
    )
}

pub(crate) fn v1(state: &State, tenant: &str) -> Answer {
    let at = &state.origin;
    Answer::json(
        200,
        &json!({
            "token_endpoint": format!("{at}/{tenant}/oauth2/token"),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": format!("{at}/common/discovery/keys"),
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "id_token", "code id_token", "token id_token", "token"],
            "scopes_supported": ["openid"],
            "issuer": format!("https://sts.windows.net/{}/", issuer_tenant(tenant)),
            "microsoft_multi_refresh_token": true,
            "authorization_endpoint": format!("{at}/{tenant}/oauth2/authorize"),
            "device_authorization_endpoint": format!("{at}/{tenant}/oauth2/devicecode"),
            "http_logout_supported": true,
            "frontchannel_logout_supported": true,
            "end_session_endpoint": format!("{at}/{tenant}/oauth2/logout"),
            "userinfo_endpoint": format!("{at}/openid/userinfo"),
            "tenant_region_scope": "EU",
            "cloud_instance_name": "microsoftonline.com",
            "cloud_graph_host_name": "graph.windows.net",
            "msgraph_host": "graph.microsoft.com",
            "rbac_url": "https://pas.windows.net",
        }),
    )
}
