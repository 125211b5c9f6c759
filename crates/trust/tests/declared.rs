//! SEP-3140 as it was proposed on 2026-07-27. The manifest, its hashes and its signature were made from the text of
//! the proposal with Python's `json` and `hashlib` and OpenSSL, with the key of RFC 8037, appendix A.
#![allow(clippy::unwrap_used, reason = "tests")]

use aws_lc_rs::rand::SystemRandom;
use mcp::{Json, Limits};
use trust::{
    Algorithm, Key, KeyRing, SignatureFault, Signer,
    declared::{
        self, DeclaredFault, Declares, Draft, Effect, Egress, Labels, Manifest, Sensitivity,
    },
};

const TOOL: &str = include_str!("data/sep3140_tool.json");
const MANIFEST: &str = include_str!("data/sep3140_manifest.json");
const PUBLIC: &str = include_str!("data/sep3140.public.pem");
const PRIVATE: &str = include_str!("data/sep3140.private.pem");
const SERVER: &str = "https://mcp.example.com/mcp";
/// 2026-08-01T00:00:00Z
const NOW: u64 = 1_785_542_400;

fn read(text: &str) -> Json<'_> {
    Json::read(text.as_bytes(), &Limits::default()).unwrap()
}

fn ring() -> KeyRing {
    KeyRing::new([Key::from_pem("publisher", "pub-1", Algorithm::EdDsa, PUBLIC).unwrap()])
}

fn verify(text: &str, server: &str, now: u64) -> Result<String, DeclaredFault> {
    let (manifest, signed) = Manifest::verify(DRAFT, read(text), server, &ring(), now)?;
    assert_eq!(signed.provider, "publisher");
    Ok(manifest.nonce())
}

const DRAFT: Draft = Draft::Of20260727;

#[test]
fn a_manifest_of_another_implementation_verifies_and_vouches() {
    assert_eq!(verify(MANIFEST, SERVER, NOW).unwrap(), "b1e9");
    let hash = declared::content_hash(read(TOOL)).unwrap();
    assert_eq!(read(TOOL).get("contentHash").unwrap().string().unwrap(), hash);
    let (manifest, _) = Manifest::verify(DRAFT, read(MANIFEST), SERVER, &ring(), NOW).unwrap();
    assert_eq!(manifest.vouches(Declares::Tool, read(TOOL)), Ok(()));
    let other = Err(DeclaredFault::OtherDeclaration);
    assert_eq!(manifest.vouches(Declares::Prompt, read(TOOL)), other);
    for (from, to) in [
        ("Permanently", "permanently"),
        ("\"3\"", "\"2\""),
        ("destructive", "read-only"),
        ("Delete a", "Remove a"),
    ] {
        let changed = TOOL.replace(from, to);
        assert_ne!(changed, TOOL);
        assert_eq!(manifest.vouches(Declares::Tool, read(&changed)), other, "{to}");
    }
    // What a declaration says of its own hash does not count.
    let silent = TOOL.replace("contentHash", "x");
    assert_eq!(manifest.vouches(Declares::Tool, read(&silent)), other);
    let lying = TOOL.replace(&hash, "sha256-AAAA");
    assert_eq!(manifest.vouches(Declares::Tool, read(&lying)), Ok(()));
}

#[test]
fn a_manifest_holds_for_one_server_and_time() {
    assert_eq!(
        verify(MANIFEST, "https://mcp.example.com/other", NOW),
        Err(DeclaredFault::OtherServer)
    );
    assert_eq!(verify(MANIFEST, SERVER, NOW - 40 * 86_400), Err(DeclaredFault::Early));
    assert_eq!(verify(MANIFEST, SERVER, NOW + 40 * 86_400), Err(DeclaredFault::Expired));
}

#[test]
fn whatever_is_changed_is_not_signed() {
    let invalid = Err(DeclaredFault::Signature(SignatureFault::Invalid));
    for (from, to) in [
        ("b1e9", "b1e8"),
        ("2026-08-27", "2027-08-27"),
        ("delete_resource", "delete_resources"),
        ("\"prompts\": []", "\"prompts\": [{}]"),
    ] {
        let changed = MANIFEST.replace(from, to);
        assert_ne!(changed, MANIFEST);
        assert_eq!(verify(&changed, SERVER, NOW), invalid, "{to}");
    }
    let unsigned = format!(r#"{{"manifest":{}}}"#, read(MANIFEST).get("manifest").unwrap().text());
    let missing = Err(DeclaredFault::Signature(SignatureFault::Missing));
    assert_eq!(verify(&unsigned, SERVER, NOW), missing);
    assert_eq!(verify("[]", SERVER, NOW), Err(DeclaredFault::Malformed));
}

#[test]
fn what_is_signed_here_is_what_the_other_implementation_signed() {
    let signer = Signer::from_pem("pub-1", PRIVATE).unwrap();
    let manifest = read(MANIFEST).get("manifest").unwrap();
    let made = declared::sign(DRAFT, manifest, &signer, &SystemRandom::new()).unwrap();
    let signature =
        |text: &str| read(text).get("signature").unwrap().string().unwrap().into_owned();
    assert_eq!(signature(&made), signature(MANIFEST));
}

#[test]
fn words_that_nobody_knows_count_as_the_worst() {
    let labels = Labels::of(read(TOOL)).unwrap();
    assert_eq!(labels.effect, Effect::Destructive);
    assert_eq!(labels.sensitivity, Sensitivity::Confidential);
    let text = r#"{"trust":{"effect":"read-only","egress":"mostly none","idempotent":"yes"}}"#;
    let expected = Labels {
        effect: Effect::ReadOnly,
        egress: Egress::External,
        sensitivity: Sensitivity::Secret,
        reversible: false,
        idempotent: false,
    };
    assert_eq!(Labels::of(read(text)), Some(expected));
    assert_eq!(Labels::of(read("{}")), None);
}

#[test]
fn titles_and_icons_may_change_alone() {
    let changed = |from: &str, to: &str| {
        let text = TOOL.replace(from, to);
        assert_ne!(text, TOOL);
        declared::is_material(read(TOOL), read(&text))
    };
    assert!(!changed("Delete a", "Remove a"));
    assert!(!changed("\"type\": \"object\",", "\"type\":   \"object\","));
    for (from, to) in [("named", "one"), ("\"id\"", "\"ids\""), ("external", "internal")] {
        assert!(changed(from, to), "{to}");
    }
    assert!(declared::is_material(read(r#"{"annotations":{}}"#), read("{}")));
}

#[test]
fn a_form_is_read_under_its_tag_alone() {
    assert_eq!(Draft::named("sep-3140/2026-07-27"), Some(DRAFT));
    assert_eq!(Draft::named("sep-3140"), None);
}
