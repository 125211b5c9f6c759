//! The Enhanced Tool Definition Interface: its signed definitions, its signed invocations, its hashes and
//! what its tokens claim. What a definition says of its own trustworthiness is never read.

mod invocation;
mod python;
mod token;

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use mcp::{Json, quote};

pub use invocation::{Invocation, InvocationFault, Verified, WINDOW};
pub use python::{Spacing, dumps};
pub use token::{TokenFault, bound_to};

use crate::{Digest, KeyRing, SignatureFault, Signed};

/// What is signed of a definition.
const SIGNED: [&str; 7] =
    ["id", "name", "version", "description", "provider", "schema", "permissions"];

/// Where a definition may carry ETDI's members, when not among its own.
pub const META_KEY: &str = "dev.bartizan/etdi";

/// The text that ETDI signs and hashes; `None` for a definition without its members.
pub fn canonical(definition: Json<'_>, spacing: Spacing) -> Option<String> {
    let members = members(definition)?;
    let written: Vec<String> = SIGNED
        .iter()
        .map(|name| Some(format!("{}:{}", quote(name), signed(members, name)?)))
        .collect::<Option<_>>()?;
    let text = format!("{{{}}}", written.join(","));
    let json = Json::read(text.as_bytes(), &mcp::Limits::default()).ok()?;
    Some(dumps(json, spacing))
}

/// Where ETDI's members are.
fn members(definition: Json<'_>) -> Option<Json<'_>> {
    let inside = definition.get(mcp::meta::META).and_then(|meta| meta.get(META_KEY));
    match inside {
        Some(inside) => Some(inside),
        None => definition.get("security").map(|_| definition),
    }
}

/// The id under which ETDI knows a tool: its own, else its name.
pub fn tool_id(definition: Json<'_>) -> Option<Cow<'_, str>> {
    let own = members(definition).and_then(|members| members.get("id"));
    own.or_else(|| definition.get("name"))?.string()
}

/// A signed member's text. The protocol calls the schema `inputSchema`.
fn signed<'a>(members: Json<'a>, name: &str) -> Option<&'a str> {
    let found = members.get(name);
    let found = if name == "schema" { found.or_else(|| members.get("inputSchema")) } else { found };
    found.map(Json::text)
}

/// The hashes under which ETDI's own parts know a definition: the tool provider's, and the approval manager's,
/// which is that of its `definition_hash`.
pub fn hashes(definition: Json<'_>) -> Option<[Digest; 2]> {
    let hash = |spacing| {
        let text = canonical(definition, spacing)?;
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Some(Digest::from_bytes(bytes))
    };
    Some([hash(Spacing::Compact)?, hash(Spacing::Default)?])
}

/// Verifies a definition's signature with the keys that are pinned for its provider. What is signed has to
/// be what is shown: a signed schema beside another that the model gets proves nothing.
pub fn verify(definition: Json<'_>, keys: &KeyRing, now: u64) -> Result<Signed, SignatureFault> {
    let members = members(definition).ok_or(SignatureFault::Missing)?;
    let signature = members.get("security").and_then(|security| security.get("signature"));
    let signature = signature.and_then(Json::string).ok_or(SignatureFault::Missing)?;
    let signature = STANDARD.decode(&*signature).map_err(|_| SignatureFault::Malformed)?;
    let shown = |name: &str, own: &str| {
        let (signed, shown) = (signed(members, name), definition.get(own).map(Json::text));
        match (signed, shown) {
            (Some(signed), Some(shown)) => alike(signed, shown),
            // A definition in ETDI's own form need not have the protocol's member too.
            (_, None) => true,
            (None, Some(_)) => false,
        }
    };
    let named = ["id", "name"].iter().any(|member| shown(member, "name"));
    if !named || !shown("description", "description") || !shown("schema", "inputSchema") {
        return Err(SignatureFault::Other);
    }
    let text = canonical(definition, Spacing::Compact).ok_or(SignatureFault::Malformed)?;
    let provider = members.get("provider").and_then(|provider| provider.get("id"));
    let provider = provider.and_then(Json::string).ok_or(SignatureFault::Malformed)?;
    keys.verify(Some(&provider), None, text.as_bytes(), &signature, now)
}

/// Whether two values mean the same.
fn alike(one: &str, other: &str) -> bool {
    let read = |text: &str| {
        let json = Json::read(text.as_bytes(), &mcp::Limits::default()).ok()?;
        Some(dumps(json, Spacing::Compact))
    };
    read(one).is_some_and(|one| Some(one) == read(other))
}
