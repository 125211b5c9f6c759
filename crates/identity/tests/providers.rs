//! Other providers' tokens: generic ones with claim mapping, Kubernetes, SPIFFE.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test"))]

#[path = "support/signer.rs"]
mod signer;

use identity::jwks::{Jwks, KeyUse};
use identity::jwt::{Jwt, JwtFault};
use identity::provider::{
    Callers, ClaimNames, Kubernetes, Oidc, Proof, ProofFault, Provider, Spiffe, is_spiffe_id,
};
use identity::{Algorithm, PrincipalKind, ProviderName, Verified};
use serde_json::{Value, json};
use signer::{Signer, key_set};

const NOW: u64 = 1_800_000_000;
const US: &str = "https://mcp.example.com/mcp";

fn name() -> ProviderName {
    ProviderName::new("corp").unwrap()
}

fn oidc() -> Oidc {
    Oidc {
        issuer: "https://id.example.com".into(),
        audiences: vec![US.into()],
        several_audiences: false,
        algorithms: vec![Algorithm::EdDSA],
        clients: vec![],
        claims: ClaimNames::default(),
        callers: Callers::UsersAndClients,
    }
}

fn prove(
    provider: &Provider,
    signer: &Signer,
    header: &Value,
    claims: &Value,
) -> Result<Verified, ProofFault> {
    let mut jwk = signer.jwk();
    if provider.key_use() == KeyUse::JwtSvid {
        jwk["use"] = "jwt-svid".into();
    }
    let keys = Jwks::read(&key_set(&[jwk]), provider.key_use()).unwrap();
    match provider.prove(&Jwt::read(&signer.sign_with(header, claims))?, &keys, NOW)? {
        Proof::Caller(caller) => Ok(caller),
        other => panic!("{other:?}"),
    }
}

fn of(oidc: Oidc, claims: &Value) -> Result<Verified, ProofFault> {
    let signer = Signer::ed("k");
    prove(&Provider::oidc(name(), oidc), &signer, &signer.header(), claims)
}

fn claims(more: Value) -> Value {
    let mut claims = json!({"iss":"https://id.example.com","aud":US,"sub":"alice","exp":NOW + 60,"client_id":"cli"});
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

#[test]
fn claims_are_found_where_the_configuration_says() {
    let names = ClaimNames {
        subject: "uid".into(),
        roles: "/realm_access/roles".into(),
        groups: "/https:~1~1example.com~1claims/groups".into(),
        scopes: "scp".into(),
        tenant: Some("org".into()),
        ..ClaimNames::default()
    };
    let said = claims(json!({
        "uid":"u-1","org":"acme","scp":["a","b c"],"azp":"other","amr":["pwd","mfa"],"acr":"high",
        "realm_access":{"roles":["dev","all"]},
        "https://example.com/claims":{"groups":["g1","g2"]},
        "name":"Alice","email":"alice@example.com",
    }));
    let caller = of(Oidc { claims: names, ..oidc() }, &said).unwrap();
    let principal = caller.principal();
    assert_eq!((principal.kind(), principal.id()), (PrincipalKind::User, "user:corp/u-1"));
    assert_eq!(principal.roles(), ["dev"], "the built-in role is not a provider's to give");
    assert_eq!(principal.groups(), ["g1", "g2"]);
    assert_eq!(principal.scopes(), ["a", "b", "c"]);
    assert_eq!((principal.tenant(), principal.client()), (Some("acme"), Some("cli")));
    assert_eq!((principal.acr(), principal.amr().len()), (Some("high"), 2));
    assert_eq!(principal.audiences(), [US]);
}

#[test]
fn a_subject_that_is_its_own_client_is_a_program() {
    let itself = claims(json!({"sub":"cli"}));
    let kind = |callers, claims: &Value| {
        of(Oidc { callers, ..oidc() }, claims).map(|caller| caller.principal().kind())
    };
    assert_eq!(kind(Callers::UsersAndClients, &itself), Ok(PrincipalKind::Workload));
    assert_eq!(kind(Callers::UsersAndClients, &claims(json!({}))), Ok(PrincipalKind::User));
    assert_eq!(kind(Callers::Users, &itself), Err(ProofFault::Application));
    assert_eq!(kind(Callers::Workloads, &claims(json!({}))), Ok(PrincipalKind::Workload));
}

#[test]
fn what_a_provider_leaves_out_lets_nobody_in() {
    let long = "x".repeat(256);
    for subject in [
        json!(null),
        json!(7),
        json!(""),
        json!("a b"),
        json!("a\nb"),
        json!("\u{7f}"),
        json!(long),
    ] {
        let fault = of(oidc(), &claims(json!({"sub":subject}))).unwrap_err();
        assert_eq!(fault, JwtFault::Claim("sub").into(), "{subject}");
    }
    let tenants = Oidc {
        claims: ClaimNames { tenant: Some("org".into()), ..ClaimNames::default() },
        ..oidc()
    };
    assert_eq!(of(tenants, &claims(json!({}))).unwrap_err(), JwtFault::Claim("tenant").into());
    let clients = Oidc { clients: vec!["known".into()], ..oidc() };
    assert_eq!(of(clients, &claims(json!({}))).unwrap_err(), ProofFault::Client);
    let many: Vec<String> = (0..600).map(|number| number.to_string()).collect();
    assert_eq!(of(oidc(), &claims(json!({"groups":many}))).unwrap_err(), JwtFault::TooLong.into());
}

#[test]
fn a_service_account_is_what_its_details_say() {
    let provider = Provider::kubernetes(
        name(),
        Kubernetes {
            issuer: "https://kubernetes.default.svc".into(),
            audiences: vec![US.into()],
            namespaces: vec!["agents".into()],
        },
    );
    let signer = Signer::rsa("k");
    let bare = json!({"alg":"RS256","kid":"k"});
    let said = |sub: &str, details: Value| json!({"iss":"https://kubernetes.default.svc","aud":[US],"exp":NOW + 60,"sub":sub,"kubernetes.io":details});
    let details = |namespace: &str| json!({"namespace":namespace,"serviceaccount":{"name":"worker","uid":"1"},"pod":{"name":"p"}});
    let caller = prove(
        &provider,
        &signer,
        &bare,
        &said("system:serviceaccount:agents:worker", details("agents")),
    )
    .unwrap();
    assert_eq!(caller.principal().id(), "workload:corp/system:serviceaccount:agents:worker");
    assert_eq!(caller.principal().tenant(), Some("agents"));
    assert_eq!(
        caller.principal().groups(),
        ["system:serviceaccounts", "system:serviceaccounts:agents"]
    );
    for (sub, details) in [
        ("system:serviceaccount:agents:admin", details("agents")),
        ("system:serviceaccount:other:worker", details("other")),
        ("system:serviceaccount:agents:worker", json!(null)),
        ("system:serviceaccount:agents:worker", json!({})),
        ("system:admin", details("agents")),
    ] {
        assert!(
            prove(&provider, &signer, &bare, &said(sub, details.clone())).is_err(),
            "{sub} {details}"
        );
    }
}

#[test]
fn an_svid_speaks_for_its_own_trust_domain() {
    let spiffe = Spiffe { trust_domain: "prod.example.org".into(), audiences: vec![US.into()] };
    let provider = Provider::spiffe(name(), spiffe);
    let signer = Signer::ec("k");
    let bare = json!({"alg":"ES256","kid":"k"});
    let svid = |sub: &str| json!({"sub":sub,"aud":[US],"exp":NOW + 60});
    let caller =
        prove(&provider, &signer, &bare, &svid("spiffe://prod.example.org/ns/a/sa/b")).unwrap();
    assert_eq!(caller.principal().id(), "workload:corp/spiffe://prod.example.org/ns/a/sa/b");
    for (sub, fault) in [
        ("spiffe://test.example.org/ns/a", JwtFault::Issuer),
        ("spiffe://prod.example.org.evil.org/ns/a", JwtFault::Issuer),
        ("spiffe://prod.example.org", JwtFault::Issuer),
        ("alice", JwtFault::Issuer),
        ("spiffe://prod.example.org/", JwtFault::Claim("sub")),
        ("spiffe://prod.example.org/a/../b", JwtFault::Claim("sub")),
        ("spiffe://prod.example.org/a?b", JwtFault::Claim("sub")),
    ] {
        assert_eq!(
            prove(&provider, &signer, &bare, &svid(sub)).unwrap_err(),
            fault.into(),
            "{sub}"
        );
    }
    // A bundle's keys of certificates sign no tokens.
    let x509 = key_set(&[{
        let mut jwk = signer.jwk();
        jwk["use"] = "x509-svid".into();
        jwk
    }]);
    assert!(Jwks::read(&x509, KeyUse::JwtSvid).is_err());
    assert!(!is_spiffe_id("spiffe://Prod/a") && !is_spiffe_id("https://prod/a"));
}
