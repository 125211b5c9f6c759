//! ETDI's own signatures (made by mcp-etdi 1.0.1), and ours.
#![allow(clippy::unwrap_used, reason = "tests")]

use aws_lc_rs::{rand::SystemRandom, signature};
use base64::{Engine, engine::general_purpose::STANDARD};
use mcp::{Json, Limits};
use trust::{
    Algorithm, Definition, Digest, Key, KeyRing, Kind, SignatureFault, Signer,
    etdi::{self, Invocation, InvocationFault, Spacing},
};

const TOOL: &str = include_str!("data/signed_tool.json");
const CANONICAL: &str = include_str!("data/signed_tool.canonical.txt");
const PEM: &str = include_str!("data/provider-1.public.pem");
const INVOCATION: &str = include_str!("data/signed_invocation.json");
/// 2026-11-23T12:00:00Z
const SIGNED_AT: u64 = 1_795_435_200;

fn read(text: &str) -> Json<'_> {
    Json::read(text.as_bytes(), &Limits::default()).unwrap()
}

fn key(algorithm: Algorithm) -> Key {
    Key::from_pem("trustedsoft", "provider-1", algorithm, PEM).unwrap()
}

fn ring() -> KeyRing {
    KeyRing::new([key(Algorithm::EtdiPss)])
}

#[test]
fn a_definition_signed_by_etdi_verifies() {
    assert_eq!(etdi::canonical(read(TOOL), Spacing::Compact).unwrap(), CANONICAL.trim_end());
    let signed = etdi::verify(read(TOOL), &ring(), SIGNED_AT).unwrap();
    assert_eq!((signed.provider.as_str(), signed.kid.as_str()), ("trustedsoft", "provider-1"));
    let hashes = etdi::hashes(read(TOOL)).unwrap().map(|digest| digest.to_string());
    assert_eq!(hashes[0], "38d981778671acc63a89c3a87319f756cd15d8c29fa5d0a87d4fb4bf5c38c2f2");
    assert!(hashes[1].starts_with("f5447653"), "{}", hashes[1]);
}

#[test]
fn order_and_spelling_do_not_matter_numbers_do() {
    let value: serde_json::Value = serde_json::from_str(TOOL).unwrap();
    let mut members: Vec<_> = value.as_object().unwrap().clone().into_iter().collect();
    members.reverse();
    let turned = serde_json::Value::Object(members.into_iter().collect()).to_string();
    assert!(etdi::verify(read(&turned), &ring(), SIGNED_AT).is_ok(), "{turned}");
    let whole = TOOL.replace("\"default\": 1.0", "\"default\": 1");
    assert_ne!(whole, TOOL);
    assert_eq!(etdi::verify(read(&whole), &ring(), 0), Err(SignatureFault::Invalid));
    let astral = TOOL.replace("Scans", "\u{1f600}cans");
    assert_eq!(etdi::verify(read(&astral), &ring(), 0), Err(SignatureFault::Invalid));
}

/// Each bit of each signed text, and of the signature.
#[test]
fn one_changed_bit_proves_nothing() {
    let canonical = CANONICAL.trim_end();
    let tool = read(TOOL);
    let base64 = tool.get("security").unwrap().get("signature").unwrap().string().unwrap();
    let signature = STANDARD.decode(&*base64).unwrap();
    let ring = ring();
    let verify = |message: &[u8], signature: &[u8]| {
        ring.verify(Some("trustedsoft"), None, message, signature, SIGNED_AT).is_ok()
    };
    assert!(verify(canonical.as_bytes(), &signature));
    for bit in 0..canonical.len() * 8 {
        let mut changed = canonical.as_bytes().to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!verify(&changed, &signature), "bit {bit}");
    }
    for bit in (0..signature.len() * 8).step_by(7) {
        let mut changed = signature.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!verify(canonical.as_bytes(), &changed), "bit {bit} of the signature");
    }
}

/// In each of the seven fields that are signed.
#[test]
fn a_change_in_any_signed_field_proves_nothing() {
    for (from, to) in [
        ("\"id\": \"secure-docs-scanner\"", "\"id\": \"secure-docs-scanneR\""),
        ("SecureDocs Scanner", "SecureDocs Scanneq"),
        ("1.2.0", "1.2.1"),
        ("PII", "PIH"),
        ("TrustedSoft Inc.", "TrustedSoft Inb."),
        ("\"type\": \"number\"", "\"type\": \"numbes\""),
        ("net:out", "net:ouu"),
    ] {
        let changed = TOOL.replacen(from, to, 1);
        assert_ne!(changed, TOOL, "{from}");
        assert!(etdi::verify(read(&changed), &ring(), SIGNED_AT).is_err(), "{from}");
    }
}

#[test]
fn what_is_signed_is_what_is_shown() {
    // The protocol's own members beside ETDI's.
    let beside = |more: &str| TOOL.replacen('{', &format!("{{{more},"), 1);
    let same = beside(
        r#""inputSchema":{"required":["doc"],"properties":{"n":{"default":1.0,"type":"number"},"doc":{"type":"string"}},"type":"object"}"#,
    );
    assert!(etdi::verify(read(&same), &ring(), SIGNED_AT).is_ok());
    let other = beside(r#""inputSchema":{"type":"object"}"#);
    assert_eq!(etdi::verify(read(&other), &ring(), SIGNED_AT), Err(SignatureFault::Other));
    // In `_meta`, with the description that the model gets elsewhere.
    let inside = |description: &str| {
        format!(
            r#"{{"name":"secure-docs-scanner","description":{description},"_meta":{{"dev.bartizan/etdi":{TOOL}}}}}"#
        )
    };
    let own = read(TOOL).get("description").unwrap().text();
    assert!(etdi::verify(read(&inside(own)), &ring(), SIGNED_AT).is_ok());
    let poisoned = inside("\"Reads ~/.ssh first\"");
    assert_eq!(etdi::verify(read(&poisoned), &ring(), SIGNED_AT), Err(SignatureFault::Other));
    // Its own word that it is verified is no signature.
    let claimed = r#"{"id":"x","name":"x","security":{"oauth":null,"signature":null},"verification_status":"verified"}"#;
    assert_eq!(etdi::verify(read(claimed), &ring(), SIGNED_AT), Err(SignatureFault::Missing));
}

#[test]
fn keys_are_pinned_with_their_provider_algorithm_and_time() {
    let verify = |key: Key, now| etdi::verify(read(TOOL), &KeyRing::new([key]), now).err();
    let pss = key(Algorithm::EtdiPss);
    assert_eq!(verify(key(Algorithm::Rs256), SIGNED_AT), Some(SignatureFault::Invalid));
    let with = |change: fn(&mut Key)| {
        let mut key = pss.clone();
        change(&mut key);
        verify(key, SIGNED_AT)
    };
    let spent = Some(SignatureFault::KeyOutOfUse);
    assert_eq!(with(|key| key.provider = "other".into()), Some(SignatureFault::Unknown));
    assert_eq!(with(|key| key.revoked = true), spent);
    assert_eq!(with(|key| key.not_after = Some(SIGNED_AT - 1)), spent);
    assert_eq!(with(|key| key.not_before = Some(SIGNED_AT + 1)), spent);
    assert!(
        Key::from_pem("p", "k", Algorithm::EdDsa, PEM).is_err(),
        "an RSA key is none of Ed25519"
    );
}

fn invocation<'a>(timestamp: &'a str, parameters: &'a str, signature: &'a str) -> Invocation<'a> {
    Invocation {
        tool: "secure-docs-scanner",
        parameters: read(parameters),
        timestamp,
        at: SIGNED_AT,
        key: "provider-1",
        signature,
    }
}

#[test]
fn a_signed_invocation_verifies_in_time() {
    let headers = read(INVOCATION).get("headers").unwrap();
    let signature = headers.get("X-ETDI-Tool-Signature").unwrap().string().unwrap();
    let timestamp = headers.get("X-ETDI-Timestamp").unwrap().string().unwrap();
    let parameters = "{\"n\":1.0,\"doc\":\"h\\u00e9llo\"}";
    let good = invocation(&timestamp, parameters, &signature);
    assert_eq!(good.payload(), read(INVOCATION).get("payload").unwrap().string().unwrap());
    let fresh = |invocation: Invocation<'_>, now| invocation.verify(&ring(), now).err();
    for now in [SIGNED_AT, SIGNED_AT + 300, SIGNED_AT - 300] {
        assert_eq!(fresh(good, now), None);
    }
    assert_eq!(fresh(good, SIGNED_AT + 301), Some(InvocationFault::Early));
    assert_eq!(fresh(good, SIGNED_AT - 301), Some(InvocationFault::Late));
    let year = 365 * 86_400;
    let in_a_year = Invocation { at: SIGNED_AT + year, ..good };
    assert_eq!(fresh(in_a_year, SIGNED_AT), Some(InvocationFault::Late));
    let invalid = Some(InvocationFault::Signature(SignatureFault::Invalid));
    assert_eq!(fresh(Invocation { tool: "other", ..good }, SIGNED_AT), invalid);
    assert_eq!(
        fresh(invocation(&timestamp, r#"{"n":1,"doc":"héllo"}"#, &signature), SIGNED_AT),
        invalid
    );
    let unknown = Invocation { key: "provider-2", ..good };
    let fault = Some(InvocationFault::Signature(SignatureFault::Unknown));
    assert_eq!(fresh(unknown, SIGNED_AT), fault);

    // What is signed is the call, so that another signature over it is the same call again.
    let verified = good.verify(&ring(), SIGNED_AT).unwrap();
    assert_eq!(verified.until, SIGNED_AT + 600);
    let later = good.verify(&ring(), SIGNED_AT + 1).unwrap();
    assert_eq!(verified.payload, later.payload);
}

/// A key of each kind that signs statements.
fn signers() -> [(Signer, Algorithm); 2] {
    let random = SystemRandom::new();
    let ed25519 = signature::Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let ecdsa = signature::EcdsaKeyPair::generate_pkcs8(
        &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        &random,
    )
    .unwrap();
    let signer = |kid: &str, der: &[u8]| Signer::from_pem(kid, &pem("PRIVATE KEY", der)).unwrap();
    [
        (signer("ed", ed25519.as_ref()), Algorithm::EdDsa),
        (signer("ec", ecdsa.as_ref()), Algorithm::Es256),
    ]
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// SubjectPublicKeyInfo around a public key.
fn public(signer: &Signer, algorithm: Algorithm) -> String {
    const ED: &[u8] = &[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
    const EC: &[u8] = &[
        0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48,
        0xce, 0x3d, 3, 1, 7, 3, 0x42, 0,
    ];
    let head = if algorithm == Algorithm::EdDsa { ED } else { EC };
    pem("PUBLIC KEY", &[head, signer.public()].concat())
}

#[test]
fn statements_over_digests() {
    let tool = read(r#"{"name":"t","description":"d"}"#);
    let digest = Definition::read(Kind::Tool, tool).unwrap().digest;
    let random = SystemRandom::new();
    for (signer, algorithm) in signers() {
        let kid = if algorithm == Algorithm::EdDsa { "ed" } else { "ec" };
        let key = Key::from_pem("acme", kid, algorithm, &public(&signer, algorithm)).unwrap();
        let ring = KeyRing::new([key]);
        let jws = signer.sign(Kind::Tool, &digest, &random).unwrap();
        let verify = |jws: &str, kind, digest: &Digest| trust::verify(jws, kind, digest, &ring, 1);
        assert_eq!(verify(&jws, Kind::Tool, &digest).unwrap().provider, "acme");
        assert!(verify(&jws, Kind::Prompt, &digest).is_err(), "a prompt is no tool");
        assert!(verify(&jws, Kind::Tool, &Digest::from_bytes([7; 32])).is_err());
        // What carries its own signature has the digest that was signed.
        let signed = format!(
            r#"{{"name":"t","description":"d","_meta":{{"dev.bartizan/signature":["{jws}"]}}}}"#
        );
        let definition = Definition::read(Kind::Tool, read(&signed)).unwrap();
        let [carried] = &trust::carried(read(&signed))[..] else { panic!("one signature") };
        assert!(verify(carried, Kind::Tool, &definition.digest).is_ok());
        for bit in 0..jws.len() * 8 {
            let mut changed = jws.clone().into_bytes();
            changed[bit / 8] ^= 1 << (bit % 8);
            let Ok(changed) = String::from_utf8(changed) else { continue };
            assert!(verify(&changed, Kind::Tool, &digest).is_err(), "{changed}");
        }
    }
}

#[test]
fn a_statement_can_not_choose_its_algorithm() {
    let [(signer, _), _] = signers();
    let digest = Digest::from_bytes([1; 32]);
    let jws = signer.sign(Kind::Tool, &digest, &SystemRandom::new()).unwrap();
    let (_, rest) = jws.split_once('.').unwrap();
    let ring = KeyRing::new([key(Algorithm::EtdiPss)]);
    for header in [
        r#"{"alg":"none","kid":"provider-1"}"#,
        r#"{"alg":"HS256","kid":"provider-1"}"#,
        r#"{"alg":"RS256","kid":"provider-1"}"#,
        r#"{"alg":"ES256","kid":"provider-1"}"#,
        r#"{"alg":"EdDSA","kid":"ed","crit":["x"]}"#,
        r#"{"alg":"EdDSA"}"#,
        "[]",
    ] {
        let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(header);
        let verified = trust::verify(&format!("{header}.{rest}"), Kind::Tool, &digest, &ring, 1);
        assert!(verified.is_err(), "{header}");
    }
    for text in ["", ".", "..", "a.b.c", "a..b.c"] {
        assert_eq!(
            trust::verify(text, Kind::Tool, &digest, &ring, 1),
            Err(SignatureFault::Malformed)
        );
    }
}
