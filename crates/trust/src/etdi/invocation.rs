//! Signed invocations: who calls, what, and when.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use mcp::Json;

use super::python::{Spacing, dumps, string};
use crate::{KeyRing, SignatureFault, Signed};

/// How far a signature's time may be from ours, before or after, in seconds.
pub const WINDOW: u64 = 300;

/// A signed call.
#[derive(Clone, Copy, Debug)]
pub struct Invocation<'a> {
    /// The tool's id.
    pub tool: &'a str,
    /// Its parameters.
    pub parameters: Json<'a>,
    /// `etdi_timestamp`: when it was signed, as it was signed.
    pub timestamp: &'a str,
    /// That time in seconds since 1970.
    pub at: u64,
    /// `etdi_key_id`
    pub key: &'a str,
    /// `etdi_signature`, base64.
    pub signature: &'a str,
}

/// Why an invocation is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvocationFault {
    /// Signed too long ago.
    #[error("the signature is too old")]
    Early,
    /// Signed in the future.
    #[error("the signature's time is in the future")]
    Late,
    /// The signature itself.
    #[error(transparent)]
    Signature(#[from] SignatureFault),
}

/// An invocation whose signature holds.
#[derive(Clone, Debug)]
pub struct Verified {
    /// By whom.
    pub signed: Signed,
    /// The hash of what was signed. Whoever takes the call remembers it, and takes it once: not the signature, since
    /// a signature of this kind is random, and one more for the same call at the same instant would be the same
    /// call again.
    pub payload: [u8; 32],
    /// Until then it has to be remembered, in seconds since 1970.
    pub until: u64,
}

impl Invocation<'_> {
    /// The text that is signed.
    pub fn payload(&self) -> String {
        let mut text = String::from("{\"parameters\":");
        text.push_str(&dumps(self.parameters, Spacing::Compact));
        text.push_str(",\"timestamp\":");
        string(&mut text, self.timestamp);
        text.push_str(",\"tool_id\":");
        string(&mut text, self.tool);
        text.push('}');
        text
    }

    /// Verifies the signature and its time. `now` is in seconds since 1970.
    pub fn verify(&self, keys: &KeyRing, now: u64) -> Result<Verified, InvocationFault> {
        if self.at > now.saturating_add(WINDOW) {
            return Err(InvocationFault::Late);
        }
        if self.at.saturating_add(WINDOW) < now {
            return Err(InvocationFault::Early);
        }
        let signature = STANDARD.decode(self.signature).map_err(|_| SignatureFault::Malformed)?;
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, self.payload().as_bytes()).as_ref());
        // Hashed once more by the signature: ETDI signs the hash as if it were the message.
        let signed = keys.verify(None, Some(self.key), &hash, &signature, now)?;
        // A window more, since gateways' clocks differ.
        Ok(Verified { signed, payload: hash, until: self.at.saturating_add(2 * WINDOW) })
    }
}
