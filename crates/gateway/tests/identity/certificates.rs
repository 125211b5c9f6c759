//! Client certificates at the TLS door.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use gateway::config::Tls;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};
use tokio_rustls::TlsConnector;

use crate::Gate;

type Authority = CertifiedIssuer<'static, KeyPair>;
type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

fn authority() -> Authority {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn certificate(
    authority: &Authority,
    names: Vec<SanType>,
    usage: ExtendedKeyUsagePurpose,
) -> (String, String, Identity) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.subject_alt_names = names;
    params.extended_key_usages = vec![usage];
    let made = params.signed_by(&key, authority).unwrap();
    let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    (made.pem(), key.serialize_pem(), (made.der().clone(), der))
}

fn client(authority: &Authority, names: &[&str]) -> Identity {
    let name = |name: &&str| match name.contains("://") {
        true => SanType::URI((*name).try_into().unwrap()),
        false => SanType::DnsName((*name).try_into().unwrap()),
    };
    let names = names.iter().map(name).collect();
    certificate(authority, names, ExtendedKeyUsagePurpose::ClientAuth).2
}

/// The status of a GET without a session: 400 for whoever is in. `None`: there was no conversation.
async fn status(
    address: SocketAddr,
    root: &Authority,
    identity: Option<Identity>,
) -> Option<StatusCode> {
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let request = Request::get("/mcp").header(header::HOST, "localhost");
    let answer = sender.send_request(request.body(Full::<Bytes>::default()).unwrap()).await.ok()?;
    Some(answer.status())
}

fn journal(folder: &Path) -> String {
    let files = std::fs::read_dir(folder.join("audit")).unwrap();
    let lines = files.filter_map(|file| std::fs::read_to_string(file.unwrap().path()).ok());
    lines.collect()
}

#[tokio::test]
async fn a_certificate_of_a_trusted_authority_lets_its_program_in() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (authority(), authority());
    let localhost = vec![SanType::DnsName("localhost".try_into().unwrap())];
    let (cert, key, _) = certificate(&ours, localhost, ExtendedKeyUsagePurpose::ServerAuth);
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let tls = Tls {
        cert: file("cert.pem", &cert),
        key: file("key.pem", &key),
        client_ca: Some(file("clients.pem", &ours.pem())),
    };
    let gate = Gate::with(Duration::from_secs(300), vec![], |config| config.tls = Some(tls)).await;
    let running = gate.gateway.listen_on_doors().await.unwrap();
    let asks = async |identity| status(running.address(), &ours, identity).await;

    let svid = "spiffe://prod.example.org/ns/a/sa/worker";
    assert_eq!(asks(Some(client(&ours, &[svid]))).await, Some(StatusCode::BAD_REQUEST));
    assert_eq!(
        asks(Some(client(&ours, &[svid, "a.example.org"]))).await,
        Some(StatusCode::BAD_REQUEST)
    );
    assert_eq!(asks(Some(client(&ours, &["b.example.org"]))).await, Some(StatusCode::BAD_REQUEST));
    // Nobody by name: no certificate, none in it, several.
    assert_eq!(asks(None).await, Some(StatusCode::UNAUTHORIZED));
    assert_eq!(asks(Some(client(&ours, &[]))).await, Some(StatusCode::UNAUTHORIZED));
    let two = client(&ours, &[svid, "spiffe://prod.example.org/ns/b"]);
    assert_eq!(asks(Some(two)).await, Some(StatusCode::UNAUTHORIZED));
    let hosts = client(&ours, &["a.example.org", "b.example.org"]);
    assert_eq!(asks(Some(hosts)).await, Some(StatusCode::UNAUTHORIZED));
    // Another authority's: no conversation at all.
    assert_eq!(asks(Some(client(&theirs, &[svid]))).await, None);
    let written = journal(&gate.config.state_dir);
    assert!(written.contains(&format!("workload:tls/{svid}")));
    assert!(written.contains("workload:tls/b.example.org"));
    assert!(!written.contains("workload:tls/a.example.org"));
}
