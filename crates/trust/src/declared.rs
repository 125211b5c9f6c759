//! Signed capability declarations: one signature of a publisher over the hashes of everything that a server declares.
//!
//! This is SEP-3140, which is a draft: each form of it has its date as a tag, and a text is read under the tag that
//! somebody configured, never under one that it names itself. Keys are pinned beforehand like any other; what the
//! draft says of finding them at the server is not followed, since whoever serves a poisoned declaration serves its
//! key too. A publisher's labels are what the publisher says, no more.

mod labels;

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SecureRandom,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use mcp::{Json, Patch, quote};

pub use labels::{Effect, Egress, Labels, Sensitivity};

use crate::{KeyRing, SignatureFault, Signed, Signer, digest::canonical, signature};

/// A form of the draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draft {
    /// As it was proposed on 2026-07-27.
    Of20260727,
}

impl Draft {
    /// Its tag, in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Draft::Of20260727 => "sep-3140/2026-07-27",
        }
    }

    /// By its tag.
    pub fn named(tag: &str) -> Option<Draft> {
        Some(Draft::Of20260727).filter(|draft| draft.as_str() == tag)
    }
}

/// Why a manifest, or a declaration beside it, proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeclaredFault {
    /// Its time is over.
    #[error("the manifest has expired")]
    Expired,
    /// It is for another server.
    #[error("the manifest is of another server")]
    OtherServer,
    /// A member is missing, or has no canonical form.
    #[error("the manifest can't be read")]
    Malformed,
    /// It was made in the future.
    #[error("the manifest's time is in the future")]
    Early,
    /// The declaration is another one than the manifest's, or not in it.
    #[error("the declaration is not the one in the manifest")]
    OtherDeclaration,
    /// The signature itself.
    #[error(transparent)]
    Signature(#[from] SignatureFault),
}

/// Of what a declaration is, as the manifest groups them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the protocol's own")]
pub enum Declares {
    Prompt,
    Resource,
    Tool,
}

impl Declares {
    fn group(self) -> &'static str {
        match self {
            Declares::Prompt => "prompts",
            Declares::Resource => "resources",
            Declares::Tool => "tools",
        }
    }
}

/// How far clocks may be apart, in seconds.
const SKEW: u64 = 60;
/// The longest signature that is read.
const LONGEST: usize = 4096;

/// A manifest whose signature holds.
#[derive(Clone, Copy, Debug)]
pub struct Manifest<'a> {
    manifest: Json<'a>,
}

impl<'a> Manifest<'a> {
    /// Verifies what `declarations/manifest` answered: the signature by a pinned key, that it is for the server at
    /// this canonical address, and that it holds at this time, in seconds since 1970. Whoever wants each manifest
    /// once remembers its [`Manifest::nonce`].
    pub fn verify(
        draft: Draft,
        answer: Json<'a>,
        server: &str,
        keys: &KeyRing,
        now: u64,
    ) -> Result<(Manifest<'a>, Signed), DeclaredFault> {
        let Draft::Of20260727 = draft;
        let [manifest, signature] = answer.pick(["manifest", "signature"]);
        let manifest = manifest.ok_or(DeclaredFault::Malformed)?;
        let signature = signature.and_then(Json::string).ok_or(SignatureFault::Missing)?;
        if signature.len() > LONGEST {
            return Err(SignatureFault::Malformed.into());
        }
        let payload = canonical(manifest.text()).ok_or(DeclaredFault::Malformed)?;
        let signed = signature::verify_detached(&signature, &payload, keys, now)?;
        let text = |name| manifest.get(name).and_then(Json::string).ok_or(DeclaredFault::Malformed);
        if text("server")? != server {
            return Err(DeclaredFault::OtherServer);
        }
        let time = |name| {
            let time: jiff::Timestamp =
                text(name)?.parse().map_err(|_| DeclaredFault::Malformed)?;
            u64::try_from(time.as_second()).map_err(|_| DeclaredFault::Malformed)
        };
        if time("issuedAt")? > now.saturating_add(SKEW) {
            return Err(DeclaredFault::Early);
        }
        if time("expiresAt")? < now {
            return Err(DeclaredFault::Expired);
        }
        let manifest = Manifest { manifest };
        (!text("nonce")?.is_empty()).then_some((manifest, signed)).ok_or(DeclaredFault::Malformed)
    }

    /// What tells this manifest from the others of its server.
    pub fn nonce(&self) -> String {
        self.manifest.get("nonce").and_then(Json::string).unwrap_or_default().into_owned()
    }

    /// Whether a declaration is the one that was signed: of this name and version, with the content that hashes to
    /// what the manifest says. What the declaration says of its own hash does not count.
    pub fn vouches(&self, of: Declares, declaration: Json<'_>) -> Result<(), DeclaredFault> {
        let hash = content_hash(declaration).ok_or(DeclaredFault::OtherDeclaration)?;
        let same = |entry: Json<'_>, name: &str| {
            let [entry, shown] = [entry, declaration].map(|of| of.get(name).and_then(Json::string));
            entry.is_some() && entry == shown
        };
        let mut entries = self.manifest.get(of.group()).into_iter().flat_map(Json::items);
        let known = entries.any(|entry| {
            same(entry, "name")
                && same(entry, "version")
                && entry.get("contentHash").and_then(Json::string).as_deref() == Some(&hash)
        });
        known.then_some(()).ok_or(DeclaredFault::OtherDeclaration)
    }
}

/// The hash of a declaration: of its canonical form (RFC 8785) without its member `contentHash`. `None` where two
/// texts could share that form.
pub fn content_hash(declaration: Json<'_>) -> Option<String> {
    let own = declaration.get("contentHash").is_some();
    let canonical = match own {
        true => canonical(&Patch::of(declaration).remove("contentHash").text())?,
        false => canonical(declaration.text())?,
    };
    let hash = digest(&SHA256, &canonical);
    Some(format!("sha256-{}", URL_SAFE_NO_PAD.encode(hash)))
}

/// Signs a manifest: the text that answers `declarations/manifest`.
pub fn sign(
    draft: Draft,
    manifest: Json<'_>,
    signer: &Signer,
    random: &dyn SecureRandom,
) -> Result<String, DeclaredFault> {
    let Draft::Of20260727 = draft;
    let payload = canonical(manifest.text()).ok_or(DeclaredFault::Malformed)?;
    let signature = signer.detached(&payload, random)?;
    Ok(format!(r#"{{"manifest":{},"signature":{}}}"#, manifest.text(), quote(&signature)))
}

/// Whether a change asks for consent again: what the model reads or a host decides by is another. Titles and icons
/// are not.
pub fn is_material(before: Json<'_>, after: Json<'_>) -> bool {
    let form = |of: Json<'_>, name: &str| {
        let value = of.get(name)?.text();
        Some(canonical(value).unwrap_or_else(|| value.as_bytes().to_vec()))
    };
    ["inputSchema", "description", "annotations", "trust"]
        .into_iter()
        .any(|name| form(before, name) != form(after, name))
}
