//! Where no keyring can be used.

use super::{KeyringFault, Shelf};
use crate::sealed::Key;

/// There is none: [`Keyring::open`] says so.
pub enum Keyring {}

impl Keyring {
    /// Always [`KeyringFault::Unsupported`].
    pub async fn open() -> Result<Keyring, KeyringFault> {
        Err(KeyringFault::Unsupported)
    }

    /// Never called.
    pub async fn key(&self, _purpose: &str, _id: &str) -> Result<Option<Key>, KeyringFault> {
        match *self {}
    }

    /// Never called.
    pub async fn keep(&self, _shelf: Shelf<'_>, _key: &Key) -> Result<(), KeyringFault> {
        match *self {}
    }

    /// Never called.
    pub async fn forget(&self, _shelf: Shelf<'_>, _but: Option<&str>) -> Result<(), KeyringFault> {
        match *self {}
    }
}
