//! One request for a document: keys, metadata, a token. Bounded, guarded, without redirects.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};

use crate::{HttpClient, LinkFault};

/// What a document may cost, and where it may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The longest body.
    pub bytes: usize,
    /// From the connection's beginning to the body's end.
    pub deadline: Duration,
    /// The named loosening: addresses that are not public are allowed.
    pub allow_private: bool,
}

impl HttpClient {
    /// Sends one request and reads the whole answer, whatever its status. Redirects are answers like any
    /// other: nobody is sent elsewhere.
    pub async fn fetch(
        &self,
        request: Request<Full<Bytes>>,
        rules: Fetch,
    ) -> Result<Response<Bytes>, LinkFault> {
        let exchange = async {
            let (head, mut body) = self.send(request, rules.allow_private).await?.into_parts();
            let mut whole = BytesMut::new();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|fault| LinkFault::Lost(fault.to_string()))?;
                let Ok(data) = frame.into_data() else { continue };
                if whole.len() + data.len() > rules.bytes {
                    return Err(LinkFault::Garbage(format!("longer than {} bytes", rules.bytes)));
                }
                whole.extend_from_slice(&data);
            }
            Ok(Response::from_parts(head, whole.freeze()))
        };
        tokio::time::timeout(rules.deadline, exchange).await.unwrap_or(Err(LinkFault::Deadline))
    }
}
