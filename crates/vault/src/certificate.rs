//! Client certificates: who Bartizan is on a connection with mutual TLS.

use std::path::{Path, PathBuf};

use crate::{Reference, Secret, VaultFault};

/// A client certificate, by the references of its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientCertificate {
    /// The certificate, and those between it and the authority, in PEM form.
    pub cert: Reference,
    /// Its private key in PEM form.
    pub key: Reference,
    /// The authorities of the server's own certificate in PEM form, where they are not the system's.
    pub ca: Option<PathBuf>,
}

impl ClientCertificate {
    pub(crate) fn references(&self) -> impl Iterator<Item = &Reference> {
        [&self.cert, &self.key].into_iter()
    }

    pub(crate) fn name(&self) -> String {
        format!("client certificate {:?} {:?}", self.cert, self.key)
    }

    pub(crate) fn identity(&self, values: &[Secret]) -> Result<ClientIdentity, VaultFault> {
        let [cert, key] = values else { return Err(VaultFault::Certificate) };
        let (cert, key) = (cert.clone(), key.clone());
        if !(cert.expose().contains("-----BEGIN CERTIFICATE-----")
            && key.expose().contains("PRIVATE KEY-----"))
        {
            return Err(VaultFault::Certificate);
        }
        Ok(ClientIdentity { cert, key, ca: self.ca.clone() })
    }
}

/// A client certificate with its key.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    cert: Secret,
    key: Secret,
    ca: Option<PathBuf>,
}

impl ClientIdentity {
    /// The chain in PEM form.
    pub fn cert(&self) -> &Secret {
        &self.cert
    }

    /// The private key in PEM form.
    pub fn key(&self) -> &Secret {
        &self.key
    }

    /// The only authorities that are trusted; the system's where there is none.
    pub fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }
}
