//! Entra's tokens, of both versions, of users and of applications: what is believed, and what is not.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test"))]

#[path = "support/signer.rs"]
mod signer;

use std::sync::LazyLock;

use identity::jwks::{Jwks, KeyUse};
use identity::jwt::{Jwt, JwtFault};
use identity::provider::{ClientProof, Cloud, Entra, Groups, Proof, ProofFault, Provider};
use identity::{PrincipalKind, ProviderName, Verified};
use serde_json::{Value, json};
use signer::{Signer, key_set};

const NOW: u64 = 1_800_000_000;
const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const OTHER_TENANT: &str = "99999999-2222-3333-4444-555555555555";
const APP: &str = "aaaaaaaa-0000-0000-0000-000000000001";
const CLIENT: &str = "aaaaaaaa-0000-0000-0000-000000000002";
const USER: &str = "bbbbbbbb-0000-0000-0000-000000000001";
const PRINCIPAL: &str = "cccccccc-0000-0000-0000-000000000001";
const CONSUMERS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// Key generation takes a while: one of each for all tests of a process.
static KEY: LazyLock<Signer> = LazyLock::new(|| Signer::rsa("entra-1"));
static CONSUMER_KEY: LazyLock<Signer> = LazyLock::new(|| Signer::rsa("consumers"));

fn entra() -> Entra {
    Entra {
        cloud: Cloud::public(),
        tenants: vec![TENANT.into()],
        audiences: vec![APP.into(), format!("api://{APP}")],
        clients: vec![],
        client_proof: ClientProof::Any,
        scopes: vec![],
        applications: true,
        groups: Groups::Overage,
    }
}

fn keys() -> Jwks {
    let of = |signer: &Signer, tenant: &str| {
        let mut jwk = signer.jwk();
        jwk["issuer"] = format!("https://login.microsoftonline.com/{tenant}/v2.0").into();
        jwk["x5t"] = signer.kid.clone().into();
        jwk
    };
    let set = [of(&KEY, "{tenantid}"), of(&CONSUMER_KEY, CONSUMERS)];
    Jwks::read(&key_set(&set), KeyUse::Signature).unwrap()
}

fn prove(entra: Entra, token: &str) -> Result<Proof, ProofFault> {
    let provider = Provider::entra(ProviderName::new("entra").unwrap(), entra);
    provider.prove(&Jwt::read(token)?, &keys(), NOW)
}

fn caller(entra: Entra, token: &str) -> Verified {
    match prove(entra, token) {
        Ok(Proof::Caller(caller)) => caller,
        other => panic!("{other:?}"),
    }
}

/// The four kinds of token, as Entra makes them.
fn token(version: &str, kind: &str) -> Value {
    let mut claims = json!({
        "tid":TENANT, "iat":NOW, "nbf":NOW, "exp":NOW + 4000, "uti":"u", "rh":"0.A", "aio":"a",
    });
    let (client, proof) = match version {
        "1.0" => {
            claims["iss"] = format!("https://sts.windows.net/{TENANT}/").into();
            claims["aud"] = format!("api://{APP}").into();
            claims["acr"] = "1".into();
            ("appid", "appidacr")
        }
        _ => {
            claims["iss"] = format!("https://login.microsoftonline.com/{TENANT}/v2.0").into();
            claims["aud"] = APP.into();
            ("azp", "azpacr")
        }
    };
    claims["ver"] = version.into();
    claims[client] = CLIENT.into();
    claims[proof] = "1".into();
    if kind == "user" {
        claims["oid"] = USER.into();
        claims["sub"] = "pairwise-text".into();
        claims["scp"] = "mcp.access profile".into();
        claims["name"] = "Alice".into();
        claims["groups"] = json!(["dddddddd-0000-0000-0000-000000000001"]);
        claims["roles"] = json!(["Tools.User"]);
    } else {
        claims["oid"] = PRINCIPAL.into();
        claims["sub"] = PRINCIPAL.into();
        claims["roles"] = json!(["Tools.Worker"]);
        claims["idtyp"] = "app".into();
    }
    claims
}

fn changed(mut claims: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

#[test]
fn good_tokens_of_all_four_kinds() {
    for version in ["1.0", "2.0"] {
        let user = caller(entra(), &KEY.sign(&token(version, "user")));
        let principal = user.principal();
        assert_eq!(principal.kind(), PrincipalKind::User);
        assert_eq!(principal.id(), format!("user:{TENANT}/{USER}"));
        assert_eq!(principal.tenant(), Some(TENANT));
        assert_eq!(principal.subject(), Some(USER));
        assert_eq!(principal.client(), Some(CLIENT));
        assert_eq!(principal.name(), Some("Alice"));
        assert_eq!(principal.scopes(), ["mcp.access", "profile"]);
        assert_eq!(principal.roles(), ["Tools.User"]);
        assert_eq!(principal.groups(), ["dddddddd-0000-0000-0000-000000000001"]);
        assert_eq!(principal.expires(), Some(NOW + 4000));
        assert_eq!(principal.provider(), Some("entra"));
        assert!(!principal.answers_claims_challenges());

        let app = caller(entra(), &KEY.sign(&token(version, "app")));
        let principal = app.principal();
        assert_eq!(principal.kind(), PrincipalKind::Workload);
        assert_eq!(principal.id(), format!("workload:entra/{TENANT}/{PRINCIPAL}"));
        assert_eq!(principal.roles(), ["Tools.Worker"]);
    }
}

/// Every change makes a token of every kind worthless, unless it says of which kind.
#[test]
fn hostile_tokens() {
    let late = NOW + 60;
    let everywhere = [
        (json!({"aud":"aaaaaaaa-0000-0000-0000-00000000000f"}), "token_audience"),
        (json!({"aud":format!("api://{APP}/")}), "token_audience"),
        (json!({"aud":"https://graph.microsoft.com"}), "token_audience"),
        (json!({"aud":"00000003-0000-0000-c000-000000000000"}), "token_audience"),
        (json!({"aud":[APP, "https://graph.microsoft.com"]}), "token_audience"),
        (json!({"aud":null}), "token_claim"),
        (json!({"iss":"https://login.microsoftonline.com/{tenantid}/v2.0"}), "token_issuer"),
        (
            json!({"iss":format!("https://login.microsoftonline.com/{OTHER_TENANT}/v2.0")}),
            "token_issuer",
        ),
        (json!({"iss":format!("https://sts.windows.net/{OTHER_TENANT}/")}), "token_issuer"),
        (json!({"iss":format!("https://sts.windows.net/{TENANT}")}), "token_issuer"),
        (
            json!({"iss":format!("https://login.microsoftonline.com/{TENANT}/v2.0/")}),
            "token_issuer",
        ),
        (json!({"iss":format!("https://login.microsoftonline.us/{TENANT}/v2.0")}), "token_issuer"),
        (json!({"iss":format!("https://login.microsoftonline.com/common/v2.0")}), "token_issuer"),
        (json!({"iss":format!("http://login.microsoftonline.com/{TENANT}/v2.0")}), "token_issuer"),
        (json!({"iss":null}), "token_claim"),
        (json!({"tid":OTHER_TENANT}), "token_claim"),
        (json!({"tid":TENANT.replace('1', "I")}), "token_claim"),
        (json!({"tid":null}), "token_claim"),
        (json!({"oid":null}), "token_claim"),
        (json!({"oid":"alice"}), "token_claim"),
        (json!({"oid":"alice@contoso.example"}), "token_claim"),
        (json!({"ver":null}), "token_claim"),
        (json!({"ver":"3.0"}), "token_claim"),
        (json!({"ver":2.0}), "token_claim"),
        (json!({"exp":NOW - 31}), "token_expired"),
        (json!({"exp":null}), "token_claim"),
        (json!({"nbf":late}), "token_not_yet"),
        (json!({"iat":late}), "token_not_yet"),
        (json!({"azp":null, "appid":null}), "token_claim"),
        (json!({"azpacr":null, "appidacr":null}), "token_claim"),
        (json!({"azpacr":"9", "appidacr":"9"}), "token_claim"),
        (json!({"scp":null, "roles":null}), "token_no_grant"),
        (json!({"idtyp":"device"}), "token_no_grant"),
        (json!({"nonce":"n"}), "token_id_token"),
        (json!({"at_hash":"h"}), "token_id_token"),
        (
            json!({"groups":(0..600).collect::<Vec<_>>().iter().map(|n| n.to_string()).collect::<Vec<_>>(),
                "roles":(0..600).map(|n| n.to_string()).collect::<Vec<_>>()}),
            "token_too_long",
        ),
    ];
    let of_users = [
        // A user without a scope would pass for an application, if it were not for these.
        (json!({"scp":null}), "token_claim"),
        (json!({"scp":""}), "token_claim"),
        (json!({"scp":null, "idtyp":"user"}), "token_no_grant"),
        (json!({"idtyp":"app"}), "token_no_grant"),
    ];
    let of_apps = [
        (json!({"roles":null}), "token_no_grant"),
        (json!({"roles":[]}), "token_no_grant"),
        (json!({"scp":"mcp.access"}), "token_no_grant"),
        (json!({"sub":USER}), "token_claim"),
        (json!({"sub":null}), "token_claim"),
        (json!({"idtyp":"user"}), "token_no_grant"),
    ];
    let mut tried = 0;
    for version in ["1.0", "2.0"] {
        for (kind, own) in [("user", &of_users[..]), ("app", &of_apps[..])] {
            for (changes, code) in everywhere.iter().chain(own) {
                let claims = changed(token(version, kind), changes);
                let fault = prove(entra(), &KEY.sign(&claims)).unwrap_err();
                assert_eq!(fault.code(), *code, "{version} {kind} {changes}: {fault}");
                tried += 1;
            }
        }
    }
    assert!(tried >= 160, "{tried}");
}

#[test]
fn a_version_must_be_its_issuers() {
    for (version, issuer) in [
        ("1.0", format!("https://login.microsoftonline.com/{TENANT}/v2.0")),
        ("2.0", format!("https://sts.windows.net/{TENANT}/")),
    ] {
        let claims = changed(token(version, "user"), &json!({"iss":issuer}));
        assert_eq!(prove(entra(), &KEY.sign(&claims)).unwrap_err().code(), "token_claim");
    }
}

#[test]
fn keys_and_headers_are_pinned() {
    let claims = token("2.0", "user");
    let header = |alg: &str, kid: &str| json!({"typ":"JWT","alg":alg,"kid":kid});
    let foreign = Signer::rsa("entra-1");
    for (token, code) in [
        // Personal accounts' key, for a tenant of ours.
        (CONSUMER_KEY.sign(&claims), "token_key_issuer"),
        (foreign.sign(&claims), "token_signature"),
        (Signer::ec("entra-1").sign(&claims), "token_algorithm"),
        (KEY.sign_with(&header("PS256", "entra-1"), &claims), "token_algorithm"),
        (KEY.sign_with(&header("RS384", "entra-1"), &claims), "token_algorithm"),
        (KEY.sign_with(&header("none", "entra-1"), &claims), "token_algorithm"),
        (KEY.confused(&claims), "token_algorithm"),
        (KEY.sign_with(&header("RS256", "entra-2"), &claims), "token_unknown_key"),
        (KEY.sign_with(&json!({"typ":"JWT","alg":"RS256"}), &claims), "token_unknown_key"),
        (KEY.sign_with(&json!({"alg":"RS256","kid":"entra-1"}), &claims), "token_type"),
        // What Entra puts into Graph's own tokens: a nonce in the header, signed after hashing it.
        (
            foreign.sign_with(
                &json!({"typ":"JWT","alg":"RS256","kid":"entra-1","nonce":"n"}),
                &claims,
            ),
            "token_signature",
        ),
    ] {
        assert_eq!(prove(entra(), &token).unwrap_err().code(), code, "{token}");
    }
}

#[test]
fn mutable_names_decide_nothing() {
    let claims = changed(
        token("2.0", "user"),
        &json!({"preferred_username":"root@contoso.example","email":"root@contoso.example","upn":"root@contoso.example","unique_name":"root"}),
    );
    let caller = caller(entra(), &KEY.sign(&claims));
    assert_eq!(caller.principal().id(), format!("user:{TENANT}/{USER}"));
    assert!(!format!("{caller:?}").contains("root"));
}

#[test]
fn settings_narrow_what_is_accepted() {
    let user = KEY.sign(&token("2.0", "user"));
    let app = KEY.sign(&token("1.0", "app"));
    let scopes = |scopes: &[&str]| Entra {
        scopes: scopes.iter().map(|&scope| scope.into()).collect(),
        ..entra()
    };
    assert!(prove(scopes(&["mcp.access"]), &user).is_ok());
    assert_eq!(prove(scopes(&["mcp.admin"]), &user).unwrap_err(), ProofFault::NoGrant);
    assert!(prove(scopes(&["mcp.admin"]), &app).is_ok(), "an application has roles");
    let clients = |client: &str| Entra { clients: vec![client.into()], ..entra() };
    assert!(prove(clients(CLIENT), &user).is_ok());
    assert_eq!(prove(clients(APP), &user).unwrap_err(), ProofFault::Client);
    let by = |client_proof| Entra { client_proof, ..entra() };
    assert!(prove(by(ClientProof::Secret), &user).is_ok());
    assert_eq!(prove(by(ClientProof::Certificate), &app).unwrap_err(), ProofFault::ClientProof);
    let public = KEY.sign(&changed(token("2.0", "user"), &json!({"azpacr":"0"})));
    assert_eq!(prove(by(ClientProof::Secret), &public).unwrap_err(), ProofFault::ClientProof);
    let none = Entra { applications: false, ..entra() };
    assert_eq!(prove(none, &app).unwrap_err(), ProofFault::Application);
}

#[test]
fn groups_that_are_too_many_are_never_none() {
    let elsewhere = json!({
        "groups":null,
        "_claim_names":{"groups":"src1"},
        "_claim_sources":{"src1":{"endpoint":"https://evil.example.com/getMemberObjects"}},
    });
    for changes in [elsewhere, json!({"groups":null,"hasgroups":true}), json!({"hasgroups":"true"})]
    {
        let token = KEY.sign(&changed(token("2.0", "user"), &changes));
        let with = |groups| prove(Entra { groups, ..entra() }, &token);
        assert_eq!(with(Groups::Token).unwrap_err(), ProofFault::Groups, "{changes}");
        let ignored = with(Groups::Ignore);
        assert!(matches!(&ignored, Ok(Proof::Caller(one)) if one.principal().groups().is_empty()));
        for groups in [Groups::Overage, Groups::Graph] {
            let Ok(Proof::WithoutGroups(missing)) = with(groups) else { panic!("{changes}") };
            assert_eq!((missing.id().tenant(), missing.id().object()), (TENANT, USER));
            assert!(!format!("{missing:?}").contains("evil"));
            let caller = missing.found(vec!["g".into()]);
            assert_eq!(caller.principal().groups(), ["g"]);
            assert!(caller.principal().groups_looked_up());
        }
    }
    let plain = KEY.sign(&token("2.0", "user"));
    let always = prove(Entra { groups: Groups::Graph, ..entra() }, &plain);
    assert!(matches!(always, Ok(Proof::WithoutGroups(_))));
}

#[test]
fn several_tenants_each_by_its_own_issuer() {
    let both = || Entra { tenants: vec![TENANT.into(), OTHER_TENANT.into()], ..entra() };
    let issuer = format!("https://login.microsoftonline.com/{OTHER_TENANT}/v2.0");
    let other = changed(token("2.0", "user"), &json!({"tid":OTHER_TENANT,"iss":issuer}));
    assert_eq!(
        caller(both(), &KEY.sign(&other)).principal().id(),
        format!("user:{OTHER_TENANT}/{USER}")
    );
    for mixed in [json!({"tid":TENANT,"iss":issuer}), json!({"tid":OTHER_TENANT})] {
        let token = KEY.sign(&changed(token("2.0", "user"), &mixed));
        assert_eq!(prove(both(), &token).unwrap_err(), JwtFault::Claim("tid").into(), "{mixed}");
    }
}

#[test]
fn what_a_token_says_of_how_it_came_about() {
    let claims = changed(
        token("2.0", "user"),
        &json!({"xms_cc":["cp1"],"acrs":["c1","c3"],"auth_time":NOW - 5}),
    );
    let caller = caller(entra(), &KEY.sign(&claims));
    assert!(caller.principal().answers_claims_challenges());
    assert_eq!(caller.principal().acr(), Some("c1 c3"));
    assert_eq!(caller.principal().authenticated_at(), Some(NOW - 5));
}

#[test]
fn sovereign_clouds_have_hosts_of_their_own() {
    for (cloud, issuer) in [
        (Cloud::us_government(), "https://login.microsoftonline.us"),
        (Cloud::us_dod(), "https://login.microsoftonline.us"),
        (Cloud::china(), "https://login.partner.microsoftonline.cn"),
    ] {
        let provider = Provider::entra(ProviderName::new("e").unwrap(), Entra { cloud, ..entra() });
        let claims =
            changed(token("2.0", "user"), &json!({"iss":format!("{issuer}/{TENANT}/v2.0")}));
        let token = KEY.sign(&claims);
        assert!(provider.is_claimed_by(&Jwt::read(&token).unwrap()), "{issuer}");
        let public = KEY.sign(&self::token("2.0", "user"));
        assert!(!provider.is_claimed_by(&Jwt::read(&public).unwrap()), "{issuer}");
    }
}
