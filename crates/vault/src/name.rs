//! Names of sealed secrets.

use std::fmt;

use crate::VaultFault;

/// A sealed secret's name: 1 to 64 of `A-Z a-z 0-9 - _ .`, a letter or digit first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(Box<str>);

impl SecretName {
    /// Refuses what a reference could not hold.
    pub fn new(name: &str) -> Result<SecretName, VaultFault> {
        let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if first && name.len() <= 64 && name.bytes().all(plain) {
            Ok(SecretName(name.into()))
        } else {
            Err(VaultFault::SecretName(name.into()))
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
