//! Certificates from PEM files, taken anew when the files change.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use arc_swap::ArcSwap;
use identity::Verified;
use rustls::{
    RootCertStore, ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::config::Tls;

/// The certificates in use.
pub struct Certificates {
    files: Tls,
    seen: Mutex<Stamp>,
    config: ArcSwap<ServerConfig>,
}

type Stamp = [Option<SystemTime>; 3];

impl Certificates {
    /// Reads the files.
    pub fn load(files: &Tls) -> Result<Certificates, String> {
        let seen = stamp(files);
        let config = ArcSwap::from_pointee(read(files)?);
        Ok(Certificates { files: files.clone(), seen: Mutex::new(seen), config })
    }

    /// For the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }

    /// Takes changed files; broken ones leave what is in use.
    pub fn refresh(&self) -> Result<(), String> {
        let now = stamp(&self.files);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return Ok(());
        }
        let config = read(&self.files)?;
        *seen = now;
        self.config.store(Arc::new(config));
        tracing::info!("new certificates are in use");
        Ok(())
    }
}

fn stamp(files: &Tls) -> Stamp {
    let changed = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    [changed(&files.cert), changed(&files.key), files.client_ca.as_deref().and_then(changed)]
}

fn read(files: &Tls) -> Result<ServerConfig, String> {
    let fault = |path: &Path, fault: &dyn std::fmt::Display| format!("{}: {fault}", path.display());
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(|chain| chain.collect::<Result<Vec<_>, _>>())
        .map_err(|f| fault(&files.cert, &f))?;
    if chain.is_empty() {
        return Err(fault(&files.cert, &"holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|f| fault(&files.key, &f))?;
    let builder = match &files.client_ca {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(path) => {
            let verifier = clients(path).map_err(|f| fault(path, &f))?;
            ServerConfig::builder().with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|f| fault(&files.cert, &f))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Client certificates of these authorities are believed; a client without one may have a token.
fn clients(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, Box<dyn std::error::Error>> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(path)? {
        roots.add(authority?)?;
    }
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated();
    Ok(verifier.build()?)
}

/// Whom the client's certificate names, if it showed one: the one URI in it, or else the one DNS name.
/// The handshake has verified it. A name among several is nobody's.
pub fn client(connection: &ServerConnection) -> Option<Verified> {
    let certificate = connection.peer_certificates()?.first()?;
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let (mut uris, mut hosts) = (Vec::new(), Vec::new());
    for name in &names.value.general_names {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::DNSName(host) => hosts.push(*host),
            _ => {}
        }
    }
    let name = match (uris.as_slice(), hosts.as_slice()) {
        ([uri], _) => *uri,
        ([], [host]) => *host,
        _ => return None,
    };
    let expires = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    Verified::certificate(name, expires)
}

#[cfg(test)]
mod tests {
    use rustls::{ClientConfig, pki_types::ServerName};
    use tokio_rustls::TlsConnector;

    use super::*;

    /// Writes a fresh certificate for `localhost`; gives it.
    fn renew(files: &Tls) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&files.cert, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        made.cert.der().clone()
    }

    /// Whether a client that trusts `root` alone gets through.
    async fn trusted(certificates: &Certificates, root: &CertificateDer<'static>) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let (client, server) = tokio::io::duplex(64 << 10);
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("localhost").unwrap();
        let acceptor = certificates.acceptor();
        let (shaken, _) = tokio::join!(connector.connect(name, client), acceptor.accept(server));
        shaken.is_ok()
    }

    #[tokio::test]
    async fn changed_files_are_taken_and_broken_ones_are_not() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let files = Tls {
            cert: folder.path().join("cert"),
            key: folder.path().join("key"),
            client_ca: None,
        };
        let first = renew(&files);
        let certificates = Certificates::load(&files).unwrap();
        assert!(trusted(&certificates, &first).await);
        let second = renew(&files);
        certificates.refresh().unwrap();
        assert!(trusted(&certificates, &second).await);
        assert!(!trusted(&certificates, &first).await);
        std::fs::write(&files.cert, "not a certificate").unwrap();
        assert!(certificates.refresh().is_err());
        assert!(trusted(&certificates, &second).await);
    }
}
