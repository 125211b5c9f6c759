//! Keys in the keyring of the person's session. On Linux that is the Secret Service over D-Bus (GNOME Keyring,
//! KWallet, KeePassXC); elsewhere there is none that this program can use.

#[cfg(not(target_os = "linux"))]
mod nowhere;
#[cfg(target_os = "linux")]
mod secret_service;

use std::path::Path;

#[cfg(not(target_os = "linux"))]
pub use nowhere::Keyring;
#[cfg(target_os = "linux")]
pub use secret_service::Keyring;

/// Whether there may be a keyring on this system at all.
pub const MAY_BE: bool = cfg!(target_os = "linux");

/// What a key is for: attributes of its item in the keyring, which are no secret.
#[derive(Clone, Copy, Debug)]
pub struct Shelf<'a> {
    /// What it opens.
    pub purpose: &'static str,
    /// The folder whose files it opens, as an absolute path.
    pub folder: &'a Path,
}

/// Why a keyring gives or takes no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyringFault {
    /// Nobody answers, or there is no session at all.
    #[error("no keyring answers on this session's D-Bus ({0})")]
    Absent(String),
    /// It is there, and has no place for keys.
    #[error("the keyring has no default collection; make one with the desktop's keyring manager")]
    Empty,
    /// Nobody unlocked it.
    #[error("the keyring is locked, and nobody unlocked it; unlock it and try again")]
    Locked,
    /// What it has under this name is no key.
    #[error("what the keyring has under the name of this key is none")]
    NoKey,
    /// It said no, or something that no keyring says.
    #[error("the keyring refused: {0}")]
    Refused(String),
    /// This system's keyring is not known here.
    #[error("Bartizan can use the keyring of Linux desktops alone (the Secret Service)")]
    Unsupported,
}
