//! How this gateway proves who it is to a token endpoint.

use std::{
    path::{Path, PathBuf},
    pin::Pin,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use identity::broker::assertion::{CLIENT_ASSERTION, CertificateKey};
use upstream::HttpClient;
use vault::oauth::client_assertion;

use super::machine::{self, ManagedIdentity};
use crate::secrets::Secrets;

/// What a federated credential of Entra's is for.
const FEDERATION: &str = "api://AzureADTokenExchange";

/// How this gateway proves itself as a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientProof {
    /// Not at all: a public client.
    None,
    /// A secret, in the form (`client_secret_post`).
    Secret(vault::Reference),
    /// A private key in PEM form (`private_key_jwt`, RFC 7523).
    Key(vault::Reference),
    /// A certificate, as Entra asks: `private_key_jwt`, PS256, `x5t#S256`.
    Certificate {
        /// The certificate in PEM form.
        cert: PathBuf,
        /// Its private RSA key in PEM form.
        key: PathBuf,
    },
    /// A token that somebody else (Kubernetes, SPIRE) keeps in this file: a federated credential.
    Federated(PathBuf),
    /// A token of the machine's managed identity, with this client id if it is not its own: a federated
    /// credential, and no secret anywhere.
    ManagedIdentity(Option<String>),
}

/// What proves this gateway at this token endpoint, its name included: fields of a form. `Err`: why it can't be
/// made.
pub async fn prove(
    client_id: &str,
    proof: &ClientProof,
    endpoint: &str,
    http: &HttpClient,
    secrets: &Secrets,
) -> Result<Vec<(&'static str, String)>, String> {
    prove_with(client_id, proof, endpoint, http, Some(secrets)).await
}

/// The same with what is on this machine and needs no key, where there are no secrets yet.
pub(crate) async fn prove_with(
    client_id: &str,
    proof: &ClientProof,
    endpoint: &str,
    http: &HttpClient,
    secrets: Option<&Secrets>,
) -> Result<Vec<(&'static str, String)>, String> {
    let mut form = vec![("client_id", client_id.to_owned())];
    let jti = || crate::seal::random_id().map_err(|f| f.to_string());
    let assertion = match proof {
        ClientProof::None => return Ok(form),
        ClientProof::Secret(secret) => {
            let given = resolved(secret, secrets).await?;
            form.push(("client_secret", given.expose().to_owned()));
            return Ok(form);
        }
        ClientProof::Key(key) => {
            let key = resolved(key, secrets).await?;
            client_assertion(client_id, endpoint, &key, crate::now(), &jti()?)
                .map_err(|f| f.to_string())?
        }
        ClientProof::Federated(file) => read(file).await?.trim().to_owned(),
        ClientProof::Certificate { cert, key } => {
            let (cert, key) = (read(cert).await?, read(key).await?);
            let der = certificate(&cert).ok_or("the certificate is not in PEM form")?;
            let mut digest = [0; 32];
            digest.copy_from_slice(
                aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der).as_ref(),
            );
            let jti = jti()?;
            CertificateKey::new(key.as_bytes(), digest)
                .and_then(|key| key.assertion(client_id, endpoint, &jti, crate::now()))
                .ok_or("the key is not an RSA key in PEM form")?
        }
        ClientProof::ManagedIdentity(client_id) => {
            let identity =
                ManagedIdentity { resource: FEDERATION.to_owned(), client_id: client_id.clone() };
            let token = machine::token(http, &identity, crate::now()).await;
            token.map_err(|f| f.to_string())?.access.expose().to_owned()
        }
    };
    form.push(("client_assertion_type", CLIENT_ASSERTION.to_owned()));
    form.push(("client_assertion", assertion));
    Ok(form)
}

/// Its type is written out, since a vault that is read for it may have to prove this gateway itself.
fn resolved<'a>(
    reference: &'a vault::Reference,
    secrets: Option<&'a Secrets>,
) -> Pin<Box<dyn Future<Output = Result<vault::Secret, String>> + Send + 'a>> {
    Box::pin(async move {
        let found = match secrets {
            Some(secrets) => secrets.resolve(reference).await.map(|found| found.secret),
            None => crate::secrets::local(reference).await,
        };
        found.map_err(|fault| fault.to_string())
    })
}

async fn read(path: &Path) -> Result<String, String> {
    tokio::fs::read_to_string(path).await.map_err(|f| format!("{}: {f}", path.display()))
}

/// The first certificate of a PEM file.
fn certificate(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    BASE64_STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()
}
