//! One key.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{digest, rand};
use zeroize::Zeroizing;

use super::{Plain, SealFault};

/// 256 bits that seal; zeroed on drop, and never shown.
pub struct Key {
    bytes: Zeroizing<[u8; 32]>,
    sealing: RandomizedNonceKey,
    id: String,
}

impl Key {
    /// A fresh one.
    pub fn random() -> Result<Key, SealFault> {
        let mut bytes = Zeroizing::new([0; 32]);
        rand::fill(&mut *bytes).map_err(|_| SealFault::Random)?;
        Key::new(bytes)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Key, SealFault> {
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| SealFault::Forged)?;
        Key::new(Zeroizing::new(bytes))
    }

    pub(super) fn new(bytes: Zeroizing<[u8; 32]>) -> Result<Key, SealFault> {
        let sealing =
            RandomizedNonceKey::new(&AES_256_GCM, &*bytes).map_err(|_| SealFault::Forged)?;
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"bartizan key id\0");
        hash.update(&*bytes);
        let id = hash.finish().as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Key { bytes, sealing, id })
    }

    /// What it is called: a hash, which says nothing of the key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key itself, for a service that is to wrap it.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// A random nonce, and the sealed bytes with their tag.
    pub(super) fn seal(&self, bound: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealFault> {
        let mut sealed = Vec::with_capacity(plain.len() + 16);
        sealed.extend_from_slice(plain);
        let nonce = self
            .sealing
            .seal_in_place_append_tag(Aad::from(bound), &mut sealed)
            .map_err(|_| SealFault::Random)?;
        Ok([nonce.as_ref().as_slice(), &sealed].concat())
    }

    pub(super) fn open(&self, bound: &[u8], sealed: &[u8]) -> Result<Plain, SealFault> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealFault::Forged)?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        let length = self
            .sealing
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(bound), &mut plain)
            .map_err(|_| SealFault::Forged)?
            .len();
        plain.truncate(length);
        Ok(plain)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}
