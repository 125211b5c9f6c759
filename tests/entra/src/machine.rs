//! The endpoints from which a machine in Azure gets its managed identity's tokens.

use serde_json::json;

use crate::{
    State, mint,
    request::{Answer, Asked},
};

/// What App Service puts in `IDENTITY_HEADER`.
pub const MACHINE_SECRET: &str = "853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a";

/// The instance metadata service: `Metadata: true`, and every value is text.
pub(crate) fn imds(state: &State, asked: &Asked) -> Answer {
    if asked.header("metadata") != "true" {
        return refuse("Required metadata header not specified");
    }
    if asked.query.find("api-version") != Some("2018-02-01") {
        return refuse("api-version is missing or not supported");
    }
    let Some(resource) = asked.query.find("resource") else {
        return refuse("Required audience parameter not specified");
    };
    let minted = machine_token(state, resource);
    let now = state.now();
    Answer::json(
        200,
        &json!({
            "access_token": minted.token, "client_id": crate::MACHINE, "refresh_token": "",
            "expires_in": minted.expires_in.to_string(), "ext_expires_in": minted.expires_in.to_string(),
            "expires_on": (now + minted.expires_in).to_string(), "not_before": now.to_string(),
            "resource": resource, "token_type": "Bearer",
        }),
    )
}

/// App Service and Container Apps: a secret header instead.
pub(crate) fn app_service(state: &State, asked: &Asked) -> Answer {
    if asked.header("x-identity-header") != MACHINE_SECRET {
        return Answer::empty(403);
    }
    let (Some("2019-08-01"), Some(resource)) =
        (asked.query.find("api-version"), asked.query.find("resource"))
    else {
        return refuse("api-version or resource is missing");
    };
    let minted = machine_token(state, resource);
    Answer::json(
        200,
        &json!({
            "access_token": minted.token, "client_id": crate::MACHINE, "resource": resource,
            "expires_on": (state.now() + minted.expires_in).to_string(), "token_type": "Bearer",
        }),
    )
}

/// The token that stands in for a client's secret is one of version 2.0.
fn machine_token(state: &State, resource: &str) -> mint::Minted {
    let version = if resource == "api://AzureADTokenExchange" { "2.0" } else { "1.0" };
    mint::for_machine(state, resource, version)
}

fn refuse(description: &str) -> Answer {
    Answer::json(400, &json!({ "error": "invalid_request", "error_description": description }))
}
