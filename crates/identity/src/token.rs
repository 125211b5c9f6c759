//! Bearer tokens: minted here, kept only as hashes.

use std::fmt;
use std::hash::{Hash, Hasher};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::{AuthFault, Verified};

/// What every token begins with: people, log scrubbers and secret scanners know it by that.
const PREFIX: &str = "bzt_";

/// SHA-256 of a token's text: what is stored and looked up. Compared in constant time.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of a token's text.
    pub fn of(token: &str) -> TokenHash {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        TokenHash(bytes)
    }

    /// As read from the store.
    pub fn from_bytes(bytes: [u8; 32]) -> TokenHash {
        TokenHash(bytes)
    }

    /// For the store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Enough of it to tell tokens apart, too little to be of use.
    pub(crate) fn short(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(&self.0[..9])
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &TokenHash) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for TokenHash {}

impl Hash for TokenHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[token hash]")
    }
}

/// A token's text as the client sent it. It has no `Display`, and `Debug` hides it.
#[derive(Clone, Copy)]
pub struct Bearer<'a>(&'a str);

impl<'a> Bearer<'a> {
    /// The longest `Authorization` header that is looked at.
    pub const LIMIT: usize = 16 << 10;

    /// Reads an `Authorization` header: `Bearer`, in any case, and one token of visible ASCII.
    pub fn parse(header: &'a [u8]) -> Result<Bearer<'a>, AuthFault> {
        if header.len() > Self::LIMIT {
            return Err(AuthFault::TooLong);
        }
        let header = header.trim_ascii();
        let end = header.iter().position(|&byte| byte == b' ').unwrap_or(header.len());
        let (scheme, token) = header.split_at(end);
        // A token that is bound to a key comes with its own scheme (RFC 9449 §7.1); whether it fits is checked with the proof.
        if !scheme.eq_ignore_ascii_case(b"bearer") && !scheme.eq_ignore_ascii_case(b"dpop") {
            return Err(AuthFault::Scheme);
        }
        let token = token.trim_ascii_start();
        if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
            return Err(AuthFault::Malformed);
        }
        std::str::from_utf8(token).map(Bearer).map_err(|_| AuthFault::Malformed)
    }

    /// What to look the token up by.
    pub fn hash(self) -> TokenHash {
        TokenHash::of(self.0)
    }

    pub(crate) fn text(self) -> &'a str {
        self.0
    }

    /// Whether it could be a token of ours at all: if not, the store need not be asked.
    pub fn is_ours(self) -> bool {
        self.0.starts_with(PREFIX) && self.0.len() == PREFIX.len() + 43
    }
}

impl fmt::Debug for Bearer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A token as the store knows it. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// Unique among the live tokens.
    pub name: String,
    /// What the token's holder is.
    pub roles: Vec<String>,
    /// The token's hash.
    pub hash: TokenHash,
    /// When it was minted.
    pub created: u64,
    /// The first second at which it is no longer valid.
    pub expires: Option<u64>,
    /// When it was revoked.
    pub revoked: Option<u64>,
}

impl TokenRecord {
    /// Proves the caller who showed a token with this `hash` at `now`. A revoked token is
    /// refused whatever the clock says.
    pub fn verify(&self, hash: &TokenHash, now: u64) -> Result<Verified, AuthFault> {
        if self.hash != *hash {
            return Err(AuthFault::Unknown);
        }
        if self.revoked.is_some() {
            return Err(AuthFault::Revoked);
        }
        if self.expires.is_some_and(|expires| now >= expires) {
            return Err(AuthFault::Expired);
        }
        Ok(Verified::token(self))
    }
}

/// Why a token's name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token name is 1 to 64 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit")]
pub struct TokenNameFault;

/// A token's name, checked: it becomes a part of the principal's id, `token:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenName(String);

impl TokenName {
    /// Checks and keeps.
    pub fn new(name: &str) -> Result<TokenName, TokenNameFault> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let first = name.bytes().next().is_some_and(plain);
        let all = name.bytes().all(|byte| plain(byte) || matches!(byte, b'.' | b'_' | b'-'));
        if first && all && name.len() <= 64 {
            Ok(TokenName(name.into()))
        } else {
            Err(TokenNameFault)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Makes a token from 32 random bytes: its text, to be shown once, and its hash, to be kept.
pub fn mint(random: [u8; 32]) -> (String, TokenHash) {
    let text = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(random));
    let hash = TokenHash::of(&text);
    (text, hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(hash: TokenHash) -> TokenRecord {
        TokenRecord {
            name: "ci".into(),
            roles: vec!["dev".into()],
            hash,
            created: 10,
            expires: None,
            revoked: None,
        }
    }

    #[test]
    fn a_minted_token_is_read_back_from_its_header() {
        let (text, hash) = mint([7; 32]);
        assert!(text.starts_with("bzt_"));
        for header in [format!("Bearer {text}"), format!("bEARER  {text} ")] {
            let bearer = Bearer::parse(header.as_bytes()).unwrap();
            assert!(bearer.is_ours());
            assert_eq!(bearer.hash(), hash);
        }
    }

    #[test]
    fn headers_that_are_not_one_bearer_token_are_refused() {
        let long = format!("Bearer {}", "a".repeat(Bearer::LIMIT));
        for (header, fault) in [
            (&b""[..], AuthFault::Scheme),
            (b"Basic dTpw", AuthFault::Scheme),
            (b"Bearerx abc", AuthFault::Scheme),
            (b"Bearer", AuthFault::Malformed),
            (b"Bearer ", AuthFault::Malformed),
            (b"Bearer a b", AuthFault::Malformed),
            (b"Bearer a\tb", AuthFault::Malformed),
            (b"Bearer a\x7f", AuthFault::Malformed),
            ("Bearer ä".as_bytes(), AuthFault::Malformed),
            (b"Bearer \xff", AuthFault::Malformed),
            (long.as_bytes(), AuthFault::TooLong),
        ] {
            assert_eq!(
                Bearer::parse(header).unwrap_err(),
                fault,
                "{}",
                String::from_utf8_lossy(header)
            );
        }
    }

    #[test]
    fn a_record_proves_only_the_holder_of_its_token_in_its_time() {
        let (_, hash) = mint([1; 32]);
        let (_, other) = mint([2; 32]);
        let live = TokenRecord { expires: Some(100), ..record(hash) };
        let verified = live.verify(&hash, 99).unwrap();
        assert_eq!(verified.principal().id(), "token:ci");
        assert_eq!(verified.principal().roles(), ["dev"]);
        assert_eq!(live.verify(&other, 99).unwrap_err(), AuthFault::Unknown);
        assert_eq!(live.verify(&hash, 100).unwrap_err(), AuthFault::Expired);
        let revoked = TokenRecord { revoked: Some(50), ..live };
        assert_eq!(revoked.verify(&hash, 20).unwrap_err(), AuthFault::Revoked);
    }

    #[test]
    fn a_token_minted_anew_under_an_old_name_is_another_partition() {
        let (_, old) = mint([1; 32]);
        let (_, new) = mint([2; 32]);
        let old = record(old).verify(&old, 1).unwrap();
        let new = record(new).verify(&new, 1).unwrap();
        assert_eq!(old.principal().id(), new.principal().id());
        assert_ne!(old.principal().partition(), new.principal().partition());
    }

    #[test]
    fn debug_output_holds_no_token() {
        let (text, hash) = mint([1; 32]);
        let header = format!("Bearer {text}");
        let bearer = Bearer::parse(header.as_bytes()).unwrap();
        assert_eq!(format!("{bearer:?} {hash:?}"), "[secret] [token hash]");
        assert!(!format!("{:?}", record(hash)).contains(&text));
    }

    #[test]
    fn token_names() {
        for name in ["ci", "0", "a.b_c-d", &"a".repeat(64)] {
            assert_eq!(TokenName::new(name).unwrap().as_str(), name);
        }
        for name in ["", "-a", "CI", "a b", "a#b", "ä", &"a".repeat(65)] {
            assert!(TokenName::new(name).is_err(), "{name}");
        }
    }
}
