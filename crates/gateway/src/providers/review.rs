//! A Kubernetes cluster's API server, asked whether a token is good: the only one who knows that its pod is gone.

use std::path::PathBuf;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use tokio::sync::Semaphore;
use upstream::HttpClient;
use vault::Secret;

use super::{DEADLINE, fetch};
use crate::config::{self, KeysFrom};

/// Requests at the same time: what a flood of invented tokens costs the API server.
const AT_ONCE: usize = 8;
/// The longest token of this gateway's own, in bytes.
const TOKEN: u64 = 16 << 10;

/// The way to the API server.
pub(super) struct Reviewer {
    url: String,
    token: PathBuf,
    allow_private: bool,
    client: HttpClient,
    room: Semaphore,
}

impl Reviewer {
    /// For a provider whose tokens are asked about.
    pub(super) fn of(entry: &config::Provider, client: &HttpClient) -> Option<Reviewer> {
        let KeysFrom::Review { server, token } = &entry.keys else { return None };
        Some(Reviewer {
            url: format!(
                "{}/apis/authentication.k8s.io/v1/tokenreviews",
                server.trim_end_matches('/')
            ),
            token: token.clone(),
            allow_private: entry.allow_private,
            client: client.clone(),
            room: Semaphore::new(AT_ONCE),
        })
    }

    /// Asks, and gives the answer as it came.
    pub(super) async fn ask(&self, request: &str) -> Result<Bytes, String> {
        let turn = tokio::time::timeout(DEADLINE, self.room.acquire());
        let _turn = turn
            .await
            .map_err(|_| format!("{} is asked about too many tokens at once", self.url))?
            .map_err(|fault| fault.to_string())?;
        let token = self.own_token().await?;
        let request = Request::post(&self.url)
            .header(header::AUTHORIZATION, format!("Bearer {}", token.expose()))
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(request.to_owned()));
        match fetch::send(&self.client, &self.url, request, self.allow_private).await? {
            (StatusCode::OK | StatusCode::CREATED, answer) => Ok(answer),
            (status, _) => Err(fetch::refused(&self.url, status)),
        }
    }

    /// The kubelet replaces the file long before its token ends.
    async fn own_token(&self) -> Result<Secret, String> {
        let fault = |fault: std::io::Error| format!("{}: {fault}", self.token.display());
        if tokio::fs::metadata(&self.token).await.map_err(fault)?.len() > TOKEN {
            return Err(fault(std::io::Error::other("it is no token")));
        }
        let text = tokio::fs::read_to_string(&self.token).await.map_err(fault)?;
        Ok(Secret::new(text.trim().into()))
    }
}
