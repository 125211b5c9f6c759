//! Is the tests' stand-in for Entra ID one? Microsoft's own client, MSAL for Python, uses it for everything that it
//! can do; what MSAL does not do is asked for by hand.

use std::{io::Write, process::Stdio};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{python, source};
use entra::{
    ALICE, CAROL, DAVE, Entra, GATEWAY, GATEWAY_SECRET, MACHINE, MACHINE_SECRET, ORDERS, PASSWORD,
    TENANT, TERMINAL,
};
use serde_json::{Value, json};

const REDIRECT: &str = "https://gateway.example/oauth/callback";

/// What MSAL got; `more` changes what it is given.
async fn msal(entra: &Entra, what: &str, more: Value) -> Value {
    let (certificate, key) = entra.client_certificate();
    let mut given = json!({
        "authority": entra.authority_url(), "ca": entra.authority(), "client": GATEWAY, "secret": GATEWAY_SECRET,
        "terminal": TERMINAL, "certificate": certificate, "key": key, "user": ALICE, "password": PASSWORD,
        "redirect": REDIRECT, "scopes": [format!("api://{GATEWAY}/mcp")],
    });
    for (name, value) in more.as_object().unwrap() {
        given[name] = value.clone();
    }
    let mut command = std::process::Command::new(python("python"));
    command.arg(source("clients/msal_client.py")).arg(what);
    for (name, value) in given["environment"].as_object().into_iter().flatten() {
        command.env(name, value.as_str().unwrap());
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (what, given) = (what.to_owned(), given.to_string());
    let run = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(given.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{what}: {e}: {error}"))
    });
    run.await.unwrap()
}

async fn directory() -> Entra {
    let entra = Entra::start().await;
    entra.register_redirect(REDIRECT);
    entra
}

/// What the access token in an answer says; its signature is not looked at.
fn claims(got: &Value) -> Value {
    let token = got["access_token"].as_str().unwrap_or_else(|| panic!("no token: {got}"));
    claims_of(token)
}

fn claims_of(token: &str) -> Value {
    let body = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn a_user_signs_in_and_stays_until_revoked() {
    let entra = directory().await;
    let cache = json!({ "cache": tempfile::NamedTempFile::new().unwrap().path() });
    let got = msal(&entra, "code", cache.clone()).await;
    let (token, id) = (claims(&got), &got["id_token_claims"]);
    assert_eq!(token["aud"], GATEWAY);
    assert_eq!(token["iss"], entra.issuer());
    assert_eq!((&token["ver"], &token["scp"]), (&json!("2.0"), &json!("mcp")));
    assert_eq!((&token["azp"], &token["azpacr"]), (&json!(GATEWAY), &json!("1")));
    assert_eq!(token["roles"], json!(["Tools.Admin"]));
    assert_eq!(token["groups"].as_array().unwrap().len(), 2);
    assert_eq!((&id["tid"], &id["oid"]), (&json!(TENANT), &token["oid"]));
    assert_eq!(got["accounts"], json!([ALICE]));
    assert!(token.get("xms_cc").is_none());

    let again = msal(&entra, "refresh", cache.clone()).await;
    assert_ne!(again["access_token"], got["access_token"]);
    entra.revoke(ALICE);
    let refused = msal(&entra, "refresh", cache.clone()).await;
    assert_eq!(
        (&refused["error"], &refused["error_codes"]),
        (&json!("invalid_grant"), &json!([50173]))
    );
    entra.change(|state| state.directory.user_mut(ALICE).valid_from = 0);
    entra.disable(ALICE);
    let refused = msal(&entra, "refresh", cache).await;
    assert_eq!(refused["error_codes"], json!([50057]));
}

#[tokio::test]
async fn capabilities_and_overage() {
    let entra = directory().await;
    let got = msal(&entra, "code-cp1", json!({ "user": CAROL })).await;
    let token = claims(&got);
    assert_eq!(token["xms_cc"], json!(["cp1"]));
    assert!(token.get("groups").is_none());
    assert_eq!(token["_claim_names"], json!({ "groups": "src1" }));
    let source = token["_claim_sources"]["src1"]["endpoint"].as_str().unwrap();
    assert!(source.ends_with("/getMemberObjects"), "{source}");
}

#[tokio::test]
async fn programs_have_a_secret_a_certificate_or_a_machine() {
    let entra = directory().await;
    let scopes = json!({ "scopes": ["https://graph.microsoft.com/.default"] });
    for what in ["client", "certificate"] {
        let token = claims(&msal(&entra, what, scopes.clone()).await);
        assert_eq!(token["aud"], "https://graph.microsoft.com", "{what}");
        assert_eq!(token["iss"], format!("https://sts.windows.net/{TENANT}/"));
        assert_eq!((&token["ver"], &token["appid"]), (&json!("1.0"), &json!(GATEWAY)));
        assert_eq!(token["roles"], json!(["GroupMember.Read.All", "User.Read.All"]));
        assert_eq!((token.get("scp"), &token["oid"]), (None, &token["sub"]));
    }
    let environment = json!({
        "IDENTITY_ENDPOINT": format!("{}/msi/token", entra.machine_url),
        "IDENTITY_HEADER": MACHINE_SECRET,
    });
    let mut given = scopes.clone();
    given["environment"] = environment;
    let refused = msal(&entra, "federated", given.clone()).await;
    assert_eq!(refused["error_codes"], json!([700211]));
    let issuer = entra.issuer();
    let trust = |subject: String| {
        let record = vec![(issuer.clone(), subject)];
        entra.change(|state| state.directory.app_mut(GATEWAY).federated = record);
    };
    trust(MACHINE.to_uppercase());
    let refused = msal(&entra, "federated", given.clone()).await;
    assert_eq!(refused["error_codes"], json!([7002138]));
    trust(MACHINE.to_owned());
    let token = claims(&msal(&entra, "federated", given).await);
    assert_eq!((&token["appid"], &token["appidacr"]), (&json!(GATEWAY), &json!("2")));

    let environment = json!({ "AZURE_POD_IDENTITY_AUTHORITY_HOST": entra.machine_url });
    let given = json!({ "scopes": ["https://vault.azure.net"], "environment": environment });
    let token = claims(&msal(&entra, "machine", given).await);
    assert_eq!(
        (&token["aud"], &token["oid"]),
        (&json!("https://vault.azure.net"), &json!(MACHINE))
    );
}

#[tokio::test]
async fn a_terminal_signs_in_by_code() {
    let entra = directory().await;
    let got = msal(&entra, "device", json!({})).await;
    assert_eq!(got["pending"], "authorization_pending");
    let token = claims(&got);
    assert_eq!((&token["azp"], &token["azpacr"]), (&json!(TERMINAL), &json!("0")));
}

#[tokio::test]
async fn on_behalf_of_a_user() {
    let entra = directory().await;
    let token = entra.user_token(ALICE, TERMINAL, &["mcp"]);
    let given = |token: &str| json!({ "token": token, "scopes": ["api://orders/orders.read"] });
    let got = msal(&entra, "on-behalf-of", given(&token)).await;
    let exchanged = claims(&got);
    assert_eq!((&exchanged["aud"], &exchanged["ver"]), (&json!("api://orders"), &json!("1.0")));
    assert_eq!((&exchanged["scp"], &exchanged["upn"]), (&json!("orders.read"), &json!(ALICE)));
    assert_eq!(exchanged["oid"], claims_of(&token)["oid"]);

    let code =
        async |token: &str| msal(&entra, "on-behalf-of", given(token)).await["error_codes"].clone();
    assert_eq!(code(&entra.app_token(entra::DAEMON, GATEWAY)).await, json!([7000114]));
    assert_eq!(code(&entra.app_token(GATEWAY, ORDERS)).await, json!([500131]));
    assert_eq!(code(&token[..token.len() - 4]).await, json!([50013]));
    entra.change(|state| state.trouble.second_factor = vec![ORDERS.to_owned()]);
    let refused = msal(&entra, "on-behalf-of", given(&token)).await;
    assert_eq!(
        (&refused["error"], &refused["suberror"]),
        (&json!("interaction_required"), &json!("basic_action"))
    );
    let asked: Value = serde_json::from_str(refused["claims"].as_str().unwrap()).unwrap();
    assert_eq!(asked["access_token"]["capolids"]["essential"], true);
    entra.change(|state| {
        state.trouble.second_factor.clear();
        state.directory.app_mut(ORDERS).consented.clear();
    });
    let refused = msal(&entra, "on-behalf-of", given(&token)).await;
    assert_eq!(
        (&refused["error_codes"], &refused["suberror"]),
        (&json!([65001]), &json!("consent_required"))
    );
}

#[tokio::test]
async fn what_is_wrong_has_a_number() {
    let entra = directory().await;
    let graph = json!({ "scopes": ["https://graph.microsoft.com/.default"] });
    let code = async |change: Value| {
        let mut given = graph.clone();
        given.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let got = msal(&entra, "client", given).await;
        assert!(got["error_description"].as_str().unwrap().contains("\r\nTrace ID: "), "{got}");
        got["error_codes"][0].as_u64().unwrap()
    };
    assert_eq!(code(json!({ "secret": "wrong" })).await, 7000215);
    assert_eq!(code(json!({ "client": DAVE })).await, 700016);
    assert_eq!(code(json!({ "scopes": ["https://graph.microsoft.com/User.Read"] })).await, 1002012);
    assert_eq!(code(json!({ "scopes": ["api://nowhere/.default"] })).await, 500011);
    entra.change(|state| state.directory.app_mut(GATEWAY).secrets[0].1 = 0);
    assert_eq!(code(json!({})).await, 7000222);
    entra.rotate_keys();
    entra.forget_old_keys();
}
