//! Every trap that a token can hold, and the document that carries its keys.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test"))]

#[path = "support/signer.rs"]
mod signer;

use identity::Algorithm;
use identity::jwks::{Jwks, JwksFault, KeyUse};
use identity::jwt::{Issuer, Issuers, Jwt, JwtFault, LEEWAY, Profile, Purpose, Typ};
use serde_json::{Value, json};
use signer::{Signer, key_set};

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://id.example.com";
const AUDIENCE: &str = "https://mcp.example.com/mcp";

fn profile() -> Profile {
    Profile {
        issuers: Issuers::Named(vec![Issuer::plain(ISSUER)]),
        audiences: vec![AUDIENCE.into()],
        several_audiences: false,
        algorithms: vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA],
        types: vec![Typ::AccessToken, Typ::Jwt],
        purpose: Purpose::Access,
    }
}

fn claims() -> Value {
    json!({"iss":ISSUER,"aud":AUDIENCE,"sub":"alice","exp":NOW + 600,"iat":NOW,"nbf":NOW})
}

/// The usual claims, with these put in place, or taken out where they are null.
fn with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn verify(profile: &Profile, keys: &Jwks, token: &str) -> Result<(), JwtFault> {
    profile.verify(&Jwt::read(token)?, keys, NOW).map(drop)
}

fn published(signers: &[&Signer]) -> Jwks {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
    Jwks::read(&key_set(&keys), KeyUse::Signature).unwrap()
}

#[test]
fn a_good_token_of_each_kind_of_key_is_believed() {
    for signer in [Signer::rsa("k"), Signer::ec("k"), Signer::ed("k")] {
        let keys = published(&[&signer]);
        let token = signer.sign(&claims());
        let verified = profile().verify(&Jwt::read(&token).unwrap(), &keys, NOW).unwrap();
        assert_eq!(verified.text("sub"), Some("alice"));
        assert_eq!(verified.expires(), NOW + 600);
        assert_eq!(verified.issuer().name, ISSUER);
    }
}

#[test]
fn claims_that_prove_nothing_are_refused() {
    let signer = Signer::ed("k");
    let keys = published(&[&signer]);
    let late = NOW + LEEWAY + 1;
    for (changes, fault) in [
        (json!({"exp":null}), JwtFault::Claim("exp")),
        (json!({"exp":"1900000000"}), JwtFault::Claim("exp")),
        (json!({"exp":-1}), JwtFault::Claim("exp")),
        (json!({"exp":1e300}), JwtFault::Claim("exp")),
        (json!({"exp":NOW - LEEWAY}), JwtFault::Expired),
        (json!({"exp":0}), JwtFault::Expired),
        (json!({"nbf":late}), JwtFault::NotYet),
        (json!({"nbf":"soon"}), JwtFault::Claim("nbf")),
        (json!({"iat":late}), JwtFault::NotYet),
        (json!({"iat":[]}), JwtFault::Claim("iat")),
        (json!({"iss":null}), JwtFault::Claim("iss")),
        (json!({"iss":[ISSUER]}), JwtFault::Claim("iss")),
        (json!({"iss":"https://id.example.com/"}), JwtFault::Issuer),
        (json!({"iss":"https://ID.example.com"}), JwtFault::Issuer),
        (json!({"iss":"https://evil.example.com"}), JwtFault::Issuer),
        (json!({"aud":null}), JwtFault::Claim("aud")),
        (json!({"aud":7}), JwtFault::Claim("aud")),
        (json!({"aud":[AUDIENCE, 7]}), JwtFault::Claim("aud")),
        (json!({"aud":[]}), JwtFault::Audience),
        (json!({"aud":""}), JwtFault::Audience),
        (json!({"aud":"https://mcp.example.com/mcp/"}), JwtFault::Audience),
        (json!({"aud":"https://other.example.com"}), JwtFault::Audience),
        (json!({"aud":[AUDIENCE, "https://other.example.com"]}), JwtFault::Audience),
        (json!({"nonce":"n"}), JwtFault::IdToken),
        (json!({"at_hash":"h"}), JwtFault::IdToken),
        (json!({"c_hash":"h"}), JwtFault::IdToken),
        (json!({"typ":"ID"}), JwtFault::IdToken),
    ] {
        let token = signer.sign(&with(changes.clone()));
        assert_eq!(verify(&profile(), &keys, &token), Err(fault), "{changes}");
    }
    for changes in [
        json!({"exp":NOW - LEEWAY + 1}),
        json!({"exp":(NOW + 9) as f64 + 0.5}),
        json!({"nbf":NOW + LEEWAY, "iat":NOW + LEEWAY}),
        json!({"nbf":null, "iat":null}),
        json!({"aud":[AUDIENCE]}),
        json!({"nonce":"n", "typ":"Bearer"}),
    ] {
        let token = signer.sign(&with(changes.clone()));
        assert_eq!(verify(&profile(), &keys, &token), Ok(()), "{changes}");
    }
    let several = Profile { several_audiences: true, ..profile() };
    let token = signer.sign(&with(json!({"aud":["https://other.example.com", AUDIENCE]})));
    assert_eq!(verify(&several, &keys, &token), Ok(()));
    let sign_in = Profile { purpose: Purpose::SignIn, ..profile() };
    assert_eq!(verify(&sign_in, &keys, &signer.sign(&with(json!({"nonce":"n"})))), Ok(()));
}

#[test]
fn headers_that_steer_are_refused() {
    let signer = Signer::rsa("k");
    let other = Signer::rsa("k");
    let keys = published(&[&signer]);
    let sign = |header: Value| signer.sign_with(&header, &claims());
    let own = other.jwk();
    for (token, fault) in [
        (sign(json!({"alg":"none","typ":"JWT","kid":"k"})), JwtFault::Algorithm),
        (sign(json!({"alg":"None","typ":"JWT","kid":"k"})), JwtFault::Algorithm),
        (sign(json!({"typ":"JWT","kid":"k"})), JwtFault::Algorithm),
        (sign(json!({"alg":"HS256","typ":"JWT","kid":"k"})), JwtFault::Algorithm),
        (signer.confused(&claims()), JwtFault::Algorithm),
        // A good signature, by an algorithm that the key is not pinned to.
        (sign(json!({"alg":"PS256","typ":"JWT","kid":"k"})), JwtFault::Algorithm),
        (sign(json!({"alg":"ES256","typ":"JWT","kid":"k"})), JwtFault::Algorithm),
        (sign(json!({"alg":"RS256","typ":"JWT","kid":"z"})), JwtFault::UnknownKey),
        (sign(json!({"alg":"RS256","typ":"JWT","kid":["k"]})), JwtFault::Malformed),
        (sign(json!({"alg":"RS256","typ":"JWT","kid":"k","crit":["exp"]})), JwtFault::Critical),
        (sign(json!({"alg":"RS256","typ":"JWT","kid":"k","crit":[]})), JwtFault::Critical),
        (
            sign(json!({"alg":"RS256","typ":"JWT","kid":"k","crit":["b64"],"b64":false})),
            JwtFault::Critical,
        ),
        (sign(json!({"alg":"RS256","kid":"k"})), JwtFault::Type),
        (sign(json!({"alg":"RS256","kid":"k","typ":"id+jwt"})), JwtFault::Type),
        (sign(json!({"alg":"RS256","kid":"k","typ":"logout+jwt"})), JwtFault::Type),
        (sign(json!({"alg":"RS256","kid":"k","typ":"dpop+jwt"})), JwtFault::Type),
        (sign(json!({"alg":"RS256","kid":"k","typ":7})), JwtFault::Malformed),
        // Keys that the token brings along, or says where to get, are not looked at.
        (
            other.sign_with(&json!({"alg":"RS256","typ":"JWT","kid":"k","jwk":own}), &claims()),
            JwtFault::Signature,
        ),
        (
            other.sign_with(
                &json!({"alg":"RS256","typ":"JWT","kid":"k","jku":"https://evil.example.com/keys"}),
                &claims(),
            ),
            JwtFault::Signature,
        ),
        (other.sign(&claims()), JwtFault::Signature),
    ] {
        assert_eq!(verify(&profile(), &keys, &token), Err(fault), "{token}");
    }
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt", "AT+JWT"] {
        let token = sign(json!({"alg":"RS256","typ":typ,"kid":"k"}));
        assert_eq!(verify(&profile(), &keys, &token), Ok(()), "{typ}");
    }
    // A set's only key needs no name.
    assert_eq!(verify(&profile(), &keys, &sign(json!({"alg":"RS256","typ":"JWT"}))), Ok(()));
    let two = published(&[&signer, &Signer::ed("e")]);
    let unnamed = sign(json!({"alg":"RS256","typ":"JWT"}));
    assert_eq!(verify(&profile(), &two, &unnamed), Err(JwtFault::UnknownKey));
}

#[test]
fn a_key_is_pinned_to_its_own_algorithm() {
    let signer = Signer::rsa("k");
    let mut jwk = signer.jwk();
    jwk["alg"] = "PS256".into();
    let keys = Jwks::read(&key_set(&[jwk]), KeyUse::Signature).unwrap();
    let pss = signer.sign_with(&json!({"alg":"PS256","typ":"JWT","kid":"k"}), &claims());
    assert_eq!(
        verify(&profile(), &keys, &pss),
        Err(JwtFault::Algorithm),
        "not allowed by the profile"
    );
    let profile = Profile { algorithms: vec![Algorithm::RS256, Algorithm::PS256], ..profile() };
    assert_eq!(verify(&profile, &keys, &pss), Ok(()));
    assert_eq!(verify(&profile, &keys, &signer.sign(&claims())), Err(JwtFault::Algorithm));
}

#[test]
fn texts_that_are_no_tokens_are_refused() {
    let signer = Signer::ed("k");
    let keys = published(&[&signer]);
    let good = signer.sign(&claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let header = signer.header().to_string();
    let twice = format!(r#"{{"iss":"https://evil.example.com",{}"#, &claims().to_string()[1..]);
    let escaped = format!(r#"{{"\u0069ss":"x",{}"#, &claims().to_string()[1..]);
    let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
    for token in [
        String::new(),
        ".".into(),
        "..".into(),
        "a.b.c".into(),
        signed.into(),
        format!("{good}.{signature}"),
        format!("{good}="),
        format!(" {good}"),
        signer.sign_text(&header, &twice),
        signer.sign_text(&header, &escaped),
        signer.sign_text(&header, "[]"),
        signer.sign_text(&header, ""),
        signer.sign_text(&header, &format!(r#"{{"a":{deep}}}"#)),
        signer.sign_text(r#"{"alg":"EdDSA","alg":"none"}"#, &claims().to_string()),
        signer.sign_text("7", &claims().to_string()),
    ] {
        let fault = verify(&profile(), &keys, &token).unwrap_err();
        assert!(matches!(fault, JwtFault::Malformed | JwtFault::Signature), "{fault:?} {token}");
    }
    let long = signer.sign(&with(json!({"pad":"x".repeat(Jwt::LIMIT)})));
    assert_eq!(verify(&profile(), &keys, &long), Err(JwtFault::TooLong));
}

#[test]
fn no_bit_of_a_token_can_be_changed() {
    let signer = Signer::ec("k");
    let keys = published(&[&signer]);
    let good = signer.sign(&claims());
    for at in 0..good.len() {
        for flip in [1, 2, 4, 32] {
            let mut bytes = good.clone().into_bytes();
            bytes[at] ^= flip;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            assert!(verify(&profile(), &keys, &changed).is_err(), "byte {at}: {changed}");
        }
    }
}

#[test]
fn a_tenants_token_needs_its_tenant_and_its_issuers_key() {
    const TENANT: &str = "11111111-2222-3333-4444-555555555555";
    let signer = Signer::rsa("k");
    let issuer = Issuer {
        name: format!("https://sts.example.com/{TENANT}/"),
        tenant: Some(TENANT.into()),
        keys: format!("https://login.example.com/{TENANT}/v2.0"),
    };
    let profile = Profile { issuers: Issuers::Named(vec![issuer.clone()]), ..profile() };
    let token = |tid: Value| signer.sign(&with(json!({"iss":issuer.name,"tid":tid})));
    let keys = |issuer: Value| {
        let mut jwk = signer.jwk();
        jwk["issuer"] = issuer;
        Jwks::read(&key_set(&[jwk]), KeyUse::Signature).unwrap()
    };
    let template = keys("https://login.example.com/{tenantid}/v2.0".into());
    assert_eq!(verify(&profile, &template, &token(TENANT.into())), Ok(()));
    assert_eq!(verify(&profile, &keys(issuer.keys.clone().into()), &token(TENANT.into())), Ok(()));
    assert_eq!(verify(&profile, &published(&[&signer]), &token(TENANT.into())), Ok(()));
    for tid in [Value::Null, "99999999-2222-3333-4444-555555555555".into()] {
        assert_eq!(verify(&profile, &template, &token(tid)), Err(JwtFault::Claim("tid")));
    }
    for other in [
        "https://login.example.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
        "https://evil.example.com/{tenantid}/v2.0",
        "https://login.example.com/{tenantid}/v2.0/more",
        "{tenantid}",
    ] {
        let fault = verify(&profile, &keys(other.into()), &token(TENANT.into()));
        assert_eq!(fault, Err(JwtFault::KeyIssuer), "{other}");
    }
}

#[test]
fn key_sets_hold_what_can_verify_and_nothing_else() {
    let (rsa, ec, ed) = (Signer::rsa("r").jwk(), Signer::ec("e").jwk(), Signer::ed("d").jwk());
    let change = |key: &Value, name: &str, value: Value| {
        let mut key = key.clone();
        key[name] = value;
        key
    };
    let weak = change(&rsa, "n", rsa["n"].as_str().unwrap()[..172].into());
    let unusable = [
        change(&rsa, "use", "enc".into()),
        change(&rsa, "use", 7.into()),
        change(&rsa, "key_ops", json!(["encrypt"])),
        change(&rsa, "alg", "ES256".into()),
        change(&rsa, "alg", "HS256".into()),
        change(&rsa, "alg", "none".into()),
        change(&rsa, "alg", json!(["RS256"])),
        change(&rsa, "kid", 7.into()),
        change(&rsa, "kty", "EC".into()),
        change(&rsa, "n", "".into()),
        change(&rsa, "n", "+/+/".into()),
        change(&ec, "crv", "secp256k1".into()),
        change(&ec, "crv", "P-384".into()),
        change(&ec, "x", "AA".into()),
        change(&ed, "crv", "X25519".into()),
        json!({"kty":"oct","kid":"o","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}),
        json!({"kty":"RSA","kid":"x"}),
        json!({}),
        json!(7),
        weak,
    ];
    for key in &unusable {
        let alone = Jwks::read(&key_set(std::slice::from_ref(key)), KeyUse::Signature);
        assert_eq!(alone.unwrap_err(), JwksFault::NoneUsable, "{key}");
    }
    let mut all = unusable.to_vec();
    all.extend([rsa.clone(), ec, ed]);
    assert_eq!(Jwks::read(&key_set(&all), KeyUse::Signature).unwrap().len(), 3);
    let many = vec![rsa; Jwks::LIMIT + 1];
    let read = Jwks::read(&key_set(&many), KeyUse::Signature);
    assert_eq!(read.unwrap_err(), JwksFault::TooMany);
    for text in ["", "{}", "[]", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, "\u{feff}{}"] {
        assert!(Jwks::read(text.as_bytes(), KeyUse::Signature).is_err(), "{text}");
    }
    assert!(Jwks::read(&vec![b' '; Jwks::BYTES + 1], KeyUse::Signature).is_err());
}
