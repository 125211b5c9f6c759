//! What shows this gateway to a server.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, request::Parts};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::{HttpClient, LinkFault};

/// Writes itself into a request that is complete otherwise, by its head and its body: a signature, a parameter of the
/// query. `Err`: why it can't.
pub type Finish = Arc<dyn Fn(&mut Parts, &[u8]) -> Result<(), String> + Send + Sync>;

/// A credential, and nothing that the client sent.
#[derive(Clone, Default)]
pub struct Credential {
    /// Headers. They replace what is there.
    pub headers: HeaderMap,
    /// What is done last.
    pub finish: Option<Finish>,
    /// The connections that show a certificate of their own, instead of everybody's.
    pub client: Option<HttpClient>,
}

impl From<HeaderMap> for Credential {
    fn from(headers: HeaderMap) -> Credential {
        Credential { headers, ..Credential::default() }
    }
}

/// Without anything of it.
impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").finish_non_exhaustive()
    }
}

impl Credential {
    /// Sends a request with it, and gives the answer when its head is here: whoever has a deadline keeps it themselves.
    /// Redirects are answers like any other.
    pub async fn send(
        &self,
        everybodys: &HttpClient,
        request: Request<Bytes>,
        allow_private: bool,
    ) -> Result<Response<Incoming>, LinkFault> {
        let (mut head, body) = request.into_parts();
        for (name, value) in &self.headers {
            head.headers.insert(name, value.clone());
        }
        if let Some(finish) = &self.finish {
            finish(&mut head, &body).map_err(LinkFault::Unreachable)?;
        }
        let client = self.client.as_ref().unwrap_or(everybodys);
        client.send(Request::from_parts(head, Full::new(body)), allow_private).await
    }
}
