//! What a token costs: `cargo test --release -p identity --test speed -- --ignored --nocapture`.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test"))]

#[path = "support/signer.rs"]
mod signer;

use std::hint::black_box;
use std::time::Instant;

use identity::jwks::{Jwks, KeyUse};
use identity::jwt::{Issuer, Issuers, Jwt, Profile, Purpose, Typ};
use identity::{Algorithm, Authenticator, Credentials, Step, Verified};
use serde_json::json;
use signer::{Signer, key_set};

const NOW: u64 = 1_800_000_000;

fn each(what: &str, count: u32, mut run: impl FnMut()) {
    let begin = Instant::now();
    (0..count).for_each(|_| run());
    println!("{what}: {:.2} µs", begin.elapsed().as_secs_f64() * 1e6 / f64::from(count));
}

#[test]
#[ignore = "a measurement"]
fn a_token() {
    let groups: Vec<String> = (0..20).map(|n| format!("6ad1b284-afc5-4e7e-9199-{n:012}")).collect();
    let claims = json!({
        "iss":"https://id.example.com","aud":"https://mcp.example.com/mcp","sub":"alice","exp":NOW + 600,
        "scope":"mcp","groups":groups,
    });
    let profile = Profile {
        issuers: Issuers::Named(vec![Issuer::plain("https://id.example.com")]),
        audiences: vec!["https://mcp.example.com/mcp".into()],
        several_audiences: false,
        algorithms: vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA],
        types: vec![Typ::Jwt],
        purpose: Purpose::Access,
    };
    for (name, signer) in
        [("RS256", Signer::rsa("k")), ("ES256", Signer::ec("k")), ("EdDSA", Signer::ed("k"))]
    {
        let keys = Jwks::read(&key_set(&[signer.jwk()]), KeyUse::Signature).unwrap();
        let token = signer.sign(&claims);
        println!("{name}: {} bytes", token.len());
        each("  read", 20_000, || drop(black_box(Jwt::read(&token))));
        each("  read and verified", 5_000, || {
            black_box(profile.verify(&Jwt::read(&token).unwrap(), &keys, NOW).unwrap());
        });
        let authenticator = Authenticator::new(false, None);
        let header = format!("Bearer {token}").into_bytes();
        let shown = || Credentials {
            authorization: Some(&header),
            peer_is_loopback: false,
            certificate: None,
        };
        let caller = Verified::certificate("x", u64::MAX).unwrap();
        let Step::Jwt(unproven) = authenticator.begin(shown(), NOW).unwrap() else { panic!() };
        authenticator.keep(unproven, &caller, u64::MAX);
        each("  remembered", 200_000, || drop(black_box(authenticator.begin(shown(), NOW))));
    }
}
