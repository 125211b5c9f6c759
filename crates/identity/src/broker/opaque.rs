//! Texts that mean something to this server alone: codes and refresh tokens. Only their hashes are kept.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// What a text is for; its first letters say so to people, log scrubbers and secret scanners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opaque {
    /// An authorization code.
    Code,
    /// A device code (RFC 8628).
    Device,
    /// A refresh token.
    Refresh,
}

impl Opaque {
    fn prefix(self) -> &'static str {
        match self {
            Opaque::Code => "bzc_",
            Opaque::Device => "bzd_",
            Opaque::Refresh => "bzr_",
        }
    }

    /// Makes one from 32 random bytes: the text, to be sent once, and its hash, to be kept.
    pub fn mint(self, random: [u8; 32]) -> (String, [u8; 32]) {
        let text = format!("{}{}", self.prefix(), BASE64_URL_SAFE_NO_PAD.encode(random));
        let hash = hash(&text);
        (text, hash)
    }

    /// What to look a shown text up by; `None` when it can't be one of these.
    pub fn read(self, text: &str) -> Option<[u8; 32]> {
        (text.starts_with(self.prefix()) && text.len() == self.prefix().len() + 43)
            .then(|| hash(text))
    }
}

/// SHA-256 of a text.
pub fn hash(text: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    bytes
}

/// What a person types to let a device in: letters that can't be taken for one another and spell no word (RFC 8628 §6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserCode(String);

const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

impl UserCode {
    /// From random bytes; about 34 bits. `None` when too few of the bytes are of use, which happens once in 10⁷ times.
    pub fn mint(random: &[u8; 32]) -> Option<UserCode> {
        // Bytes above are left out, so that every letter is as likely.
        let usable = random.iter().filter(|byte| **byte < 240).take(8);
        let letters: String =
            usable.map(|byte| char::from(LETTERS[usize::from(byte % 20)])).collect();
        (letters.len() == 8).then_some(UserCode(letters))
    }

    /// Reads what a person typed: case, spaces and dashes do not matter.
    pub fn parse(text: &str) -> Option<UserCode> {
        if text.len() > 32 {
            return None;
        }
        let letters: String = text
            .chars()
            .filter(|c| !matches!(c, ' ' | '-'))
            .map(|c| c.to_ascii_uppercase())
            .collect();
        let known = letters.bytes().all(|byte| LETTERS.contains(&byte));
        (letters.len() == 8 && known).then_some(UserCode(letters))
    }

    /// What to look it up by.
    pub fn hash(&self) -> [u8; 32] {
        hash(&self.0)
    }
}

impl std::fmt::Display for UserCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", &self.0[..4], &self.0[4..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_for_its_own_purpose_only() {
        let (text, hash) = Opaque::Code.mint([7; 32]);
        assert_eq!(Opaque::Code.read(&text), Some(hash));
        assert_eq!(Opaque::Refresh.read(&text), None);
        assert_eq!(Opaque::Code.read("bzc_x"), None);
    }

    #[test]
    fn a_user_code_is_read_as_people_type() {
        let code = UserCode::mint(&[21; 32]).unwrap();
        assert_eq!(code.to_string(), "CCCC-CCCC");
        assert_eq!(UserCode::parse("cccc cccc"), Some(code));
        for bad in ["", "CCCC-CCC", "CCCC-CCCA", "ÇCCC-CCCC", &"C".repeat(40)] {
            assert_eq!(UserCode::parse(bad), None, "{bad}");
        }
        assert_eq!(UserCode::mint(&[255; 32]), None);
    }
}
