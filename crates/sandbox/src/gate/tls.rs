//! TLS towards the sandbox: an authority that only this server's processes trust, and that lives as long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ServerConfig};

use super::rule::Host;

/// Certificates that are kept.
const KEPT: usize = 256;
/// A process of months gets new ones in time.
const LEAF_DAYS: u64 = 30;
const LEAF_REUSED: Duration = Duration::from_secs(86_400);
const AUTHORITY_DAYS: u64 = 3650;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// A certificate can't be made.
    #[error("a certificate can't be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A configuration that the library refuses.
    #[error("TLS: {0}")]
    Configuration(#[from] rustls::Error),
}

/// One sandbox's certificate authority. Its key exists in this process' memory alone.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    /// All leaves share a key: it protects the way from the sandbox to its gate, on one machine.
    key: KeyPair,
    /// By host and protocol.
    made: Mutex<HashMap<(Host, Vec<u8>), Made>>,
}

struct Made {
    since: SystemTime,
    config: Arc<ServerConfig>,
}

impl Authority {
    pub fn new() -> Result<Authority, TlsFault> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Bartizan egress gate");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid_for(&mut params, AUTHORITY_DAYS);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Authority {
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
            key: KeyPair::generate()?,
            made: Mutex::default(),
        })
    }

    /// What a program in the sandbox has to trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// How to be `host` towards the sandbox, speaking `protocol` (an ALPN name; empty for none).
    pub fn server(&self, host: &Host, protocol: &[u8]) -> Result<Arc<ServerConfig>, TlsFault> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let now = SystemTime::now();
        let key = (host.clone(), protocol.to_vec());
        if let Some(Made { since, config }) = made.get(&key)
            && now.duration_since(*since).is_ok_and(|age| age < LEAF_REUSED)
        {
            return Ok(config.clone());
        }
        let config = Arc::new(self.configure(host, protocol)?);
        if made.len() >= KEPT {
            made.clear();
        }
        made.insert(key, Made { since: now, config: config.clone() });
        Ok(config)
    }

    fn configure(&self, host: &Host, protocol: &[u8]) -> Result<ServerConfig, TlsFault> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![self.leaf(host)?], key)?;
        if !protocol.is_empty() {
            config.alpn_protocols = vec![protocol.to_vec()];
        }
        Ok(config)
    }

    fn leaf(&self, host: &Host) -> Result<CertificateDer<'static>, TlsFault> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.subject_alt_names = vec![match host {
            Host::Address(address) => SanType::IpAddress(*address),
            Host::Name(name) => SanType::DnsName(name.to_string().try_into()?),
        }];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        valid_for(&mut params, LEAF_DAYS);
        Ok(params.signed_by(&self.key, &self.issuer)?.der().clone())
    }
}

fn valid_for(params: &mut CertificateParams, days: u64) {
    let day = Duration::from_secs(86_400);
    let now = SystemTime::now();
    params.not_before = (now - day).into();
    params.not_after = (now + day * u32::try_from(days).unwrap_or(u32::MAX)).into();
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The same trust, offering these protocols.
pub(super) fn client(trust: &ClientConfig, protocols: Vec<Vec<u8>>) -> Arc<ClientConfig> {
    let mut config = trust.clone();
    config.alpn_protocols = protocols;
    Arc::new(config)
}
