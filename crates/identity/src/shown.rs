//! The token that a caller showed, kept with the caller where somebody has to show it on: a token endpoint
//! that gives tokens on behalf of people asks for it.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// A provider's token: zeroed when the last caller that holds it goes. `Debug` prints `[token]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown {
    text: Zeroizing<Box<str>>,
    key: Arc<str>,
}

impl Shown {
    pub(crate) fn new(text: &str) -> Shown {
        let key = URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes())).into();
        Shown { text: Zeroizing::new(text.into()), key }
    }

    /// The token. For the token endpoint of the configuration, and nowhere else.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What only this token has: for caches.
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[token]")
    }
}
