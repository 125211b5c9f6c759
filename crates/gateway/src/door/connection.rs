//! What is known of a connection before its requests.

use std::{net::SocketAddr, sync::OnceLock};

use identity::Verified;

use super::owner;

/// A connection.
pub struct Connection {
    /// The other end.
    pub peer: SocketAddr,
    /// Whom its client certificate proved.
    pub certificate: Option<Verified>,
    own: OnceLock<bool>,
}

impl Connection {
    pub fn new(peer: SocketAddr, certificate: Option<Verified>) -> Connection {
        Connection { peer, certificate, own: OnceLock::new() }
    }

    /// Whether it comes from this machine, from a program of the user that this gateway runs as. Found out once.
    pub fn is_own(&self) -> bool {
        *self.own.get_or_init(|| owner::is_own(self.peer))
    }
}
