//! Which endpoint a path is.

use http::Method;
use serde_json::json;

use crate::{
    State, authorize, device,
    directory::TENANT,
    discovery,
    fault::Fault,
    graph, machine,
    request::{Answer, Asked},
    token,
};

pub(crate) fn answer(state: &mut State, asked: &Asked) -> Answer {
    let path: Vec<&str> = asked.path.split('/').skip(1).collect();
    match path.as_slice() {
        ["v1.0", rest @ ..] => return graph::answer(state, asked, rest),
        ["oidc", "userinfo"] => return graph::userinfo(state, asked),
        ["metadata", "identity", "oauth2", "token"] => return machine::imds(state, asked),
        ["msi", "token"] => return machine::app_service(state, asked),
        ["documents", name] => {
            return state
                .documents
                .get(*name)
                .map_or(Answer::empty(404), |found| Answer::json(200, found));
        }
        ["hostile", ..] => return Answer::json(200, &json!({ "value": ["a group nobody gave"] })),
        _ => {}
    }
    if state.trouble.login {
        return Answer::empty(503);
    }
    let [tenant, rest @ ..] = path.as_slice() else { return Answer::empty(404) };
    if !matches!(*tenant, TENANT | "common" | "organizations" | "consumers" | "contoso.example") {
        return Fault::about(90002, tenant).answer(state);
    }
    match (&asked.method, rest) {
        (&Method::GET, [".well-known", "openid-configuration"]) => discovery::v1(state, tenant),
        (&Method::GET, ["v2.0", ".well-known", "openid-configuration"]) => {
            discovery::v2(state, tenant)
        }
        (&Method::GET, ["discovery", "keys"] | ["discovery", "v2.0", "keys"]) => {
            Answer::json(200, &state.keys.published(&state.origin))
        }
        (&Method::GET | &Method::POST, ["oauth2", "v2.0", "authorize"]) => {
            authorize::answer(state, asked)
        }
        (&Method::POST, ["oauth2", "v2.0", "token"]) => {
            token::answer(state, tenant, asked).unwrap_or_else(|fault| fault.answer(state))
        }
        (&Method::POST, ["oauth2", "v2.0", "devicecode"]) => {
            device::begin(state, asked).unwrap_or_else(|fault| fault.answer(state))
        }
        (&Method::GET | &Method::POST, ["oauth2", "deviceauth"]) => device::page(state, asked),
        (&Method::GET, ["oauth2", "v2.0", "logout"]) => {
            Answer::page(200, "You signed out of your account".into())
        }
        _ => Answer::empty(404),
    }
}
