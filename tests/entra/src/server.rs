//! The listeners.

use std::{
    convert::Infallible,
    fs,
    sync::{Arc, Mutex},
};

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    Entra, State, Trouble,
    directory::{Directory, Given},
    keys::{Key, Keys},
    request::Asked,
    route,
};

pub(crate) async fn start() -> Entra {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Key::generate("gateway");
    fs::write(folder.path().join("gateway.crt"), &gateway.certificate_pem).unwrap();
    fs::write(folder.path().join("gateway.key"), &gateway.key_pem).unwrap();
    let (acceptor, authority) = tls();
    fs::write(folder.path().join("ca.pem"), authority).unwrap();

    let (login, machine) = (
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    );
    let url = format!("https://localhost:{}", login.local_addr().unwrap().port());
    let machine_url = format!("http://{}", machine.local_addr().unwrap());
    let state = Arc::new(Mutex::new(State {
        origin: url.clone(),
        directory: Directory::new(gateway),
        keys: Keys::generate(),
        given: Given::default(),
        trouble: Trouble::default(),
        documents: Default::default(),
        asked: Vec::new(),
    }));
    let kept = state.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = login.accept().await {
            let (acceptor, state) = (acceptor.clone(), kept.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, state).await;
                }
            });
        }
    });
    let kept = state.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = machine.accept().await {
            tokio::spawn(serve(stream, kept.clone()));
        }
    });
    Entra { url, machine_url, state, folder: Arc::new(folder) }
}

/// A certificate for `localhost` and 127.0.0.1, and the authority that signed it as PEM.
pub fn tls() -> (TlsAcceptor, String) {
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "Tests' authority");
    let authority_key = KeyPair::generate().unwrap();
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &Issuer::new(authority, authority_key))
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), authority_certificate.pem())
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    state: Arc<Mutex<State>>,
) {
    let service = service_fn(move |request| answer(request, state.clone()));
    let builder = auto::Builder::new(TokioExecutor::new());
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Response<Full<bytes::Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let asked = Asked::new(&head, &body);
    let mut state = state.lock().unwrap();
    state.asked.push(format!("{} {}", asked.method, asked.path));
    let date = jiff::Timestamp::from_second(state.now()).unwrap();
    let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let mut response = route::answer(&mut state, &asked).0;
    response.headers_mut().insert("date", date.parse().unwrap());
    response.headers_mut().insert("x-ms-request-id", crate::fault::uuid().parse().unwrap());
    Ok(response)
}
