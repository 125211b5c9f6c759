//! Service accounts whose tokens an API server is asked about. The one here is a stand-in that answers as Kubernetes does.

use std::{
    convert::Infallible,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use gateway::config::{KeysFrom, Offer, Provider};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use identity::{
    ProviderName,
    provider::{self, Kubernetes},
};
use serde_json::{Value, json};

use crate::{Gate, issuer::now, signer::Signer, until};

const AUDIENCE: &str = "https://mcp.example.com/mcp";
const HOUR: Duration = Duration::from_secs(3600);
const OWN: &str = "the-gateways-own-token";

/// The API server: it knows the tokens that it gave out, by their text.
#[derive(Clone)]
struct Cluster {
    url: String,
    state: Arc<Mutex<State>>,
    own: Arc<tempfile::TempDir>,
}

#[derive(Default)]
struct State {
    /// Token, account, audience.
    good: Vec<(String, String, String)>,
    /// What was asked: who asked, and about which audiences.
    asked: Vec<(String, Value)>,
    knows_audiences: bool,
    broken: bool,
}

impl Cluster {
    async fn start() -> Cluster {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = tempfile::tempdir().unwrap();
        std::fs::write(own.path().join("token"), format!("{OWN}\n")).unwrap();
        let cluster = Cluster {
            url: format!("http://{}", listener.local_addr().unwrap()),
            state: Arc::new(Mutex::new(State { knows_audiences: true, ..State::default() })),
            own: Arc::new(own),
        };
        let served = cluster.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let cluster = served.clone();
                let service = service_fn(move |request| {
                    let cluster = cluster.clone();
                    async move { Ok::<_, Infallible>(cluster.answer(request).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        cluster
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let reply = |status: u16, body: Value| {
            Response::builder().status(status).body(Full::from(body.to_string())).unwrap()
        };
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        if head.uri.path() != "/apis/authentication.k8s.io/v1/tokenreviews" {
            return reply(404, json!({"kind": "Status", "code": 404}));
        }
        let asker = head.headers["authorization"].to_str().unwrap().to_owned();
        let mut review: Value = serde_json::from_slice(&body).unwrap();
        let mut state = self.state.lock().unwrap();
        state.asked.push((asker.clone(), review["spec"]["audiences"].clone()));
        if state.broken {
            return reply(500, json!({"kind": "Status", "code": 500}));
        }
        if asker != format!("Bearer {OWN}") {
            return reply(403, json!({"kind": "Status", "code": 403}));
        }
        let wanted = review["spec"]["audiences"].as_array().unwrap().clone();
        let found = state.good.iter().find(|(token, _, audience)| {
            review["spec"]["token"] == **token && wanted.iter().any(|one| one == audience)
        });
        review["status"] = match found {
            Some((_, account, audience)) => {
                let mut status = json!({
                    "authenticated": true,
                    "user": {"username": account, "uid": "1", "groups": ["system:authenticated"]},
                });
                if state.knows_audiences {
                    status["audiences"] = json!([audience]);
                }
                status
            }
            None => json!({"user": {}, "error": "invalid bearer token"}),
        };
        reply(201, review)
    }

    fn provider(&self) -> Provider {
        Provider {
            provider: provider::Provider::kubernetes(
                ProviderName::new("cluster").unwrap(),
                Kubernetes {
                    issuer: "https://kubernetes.default.svc".into(),
                    audiences: vec![AUDIENCE.into()],
                    namespaces: vec!["agents".into()],
                },
            ),
            keys: KeysFrom::Review { server: self.url.clone(), token: self.own_token() },
            refresh: HOUR,
            stale: HOUR,
            allow_private: true,
            ca: None,
            graph: None,
            offer: Offer::default(),
        }
    }

    fn own_token(&self) -> PathBuf {
        self.own.path().join("token")
    }

    /// A token that the cluster gave out.
    fn gives(&self, namespace: &str, account: &str, audience: &str) -> String {
        let token = token(namespace, account, audience, now() + 600);
        let account = format!("system:serviceaccount:{namespace}:{account}");
        self.state.lock().unwrap().good.push((token.clone(), account, audience.into()));
        token
    }

    fn asked(&self) -> usize {
        self.state.lock().unwrap().asked.len()
    }
}

/// Signed by nobody of whom anybody here knows: the API server alone can tell.
fn token(namespace: &str, account: &str, audience: &str, expires: u64) -> String {
    Signer::ec("unknown").sign(&json!({
        "iss": "https://kubernetes.default.svc",
        "sub": format!("system:serviceaccount:{namespace}:{account}"),
        "aud": [audience],
        "exp": expires,
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": account, "uid": "1"}},
    }))
}

#[tokio::test]
async fn whom_the_api_server_vouches_for_comes_in_and_is_remembered() {
    let cluster = Cluster::start().await;
    let gate = Gate::open(HOUR, vec![cluster.provider()]).await;
    let token = cluster.gives("agents", "worker", AUDIENCE);
    for _ in 0..3 {
        let caller = gate.shows(&token).await.unwrap();
        assert_eq!(caller.principal().id(), "workload:cluster/system:serviceaccount:agents:worker");
        assert_eq!(caller.principal().tenant(), Some("agents"));
    }
    let asked = cluster.state.lock().unwrap().asked.clone();
    assert_eq!(asked, [(format!("Bearer {OWN}"), json!([AUDIENCE]))], "once, as ourselves");
}

#[tokio::test]
async fn whom_it_does_not_vouch_for_stays_out() {
    let cluster = Cluster::start().await;
    let gate = Gate::open(HOUR, vec![cluster.provider()]).await;
    let invented = token("agents", "worker", AUDIENCE, now() + 600);
    assert_eq!(gate.refuses(&invented).await, "token_review");
    // Somebody else's token with another's name in it: the answer is about the token's owner.
    let other = cluster.gives("agents", "other", AUDIENCE);
    cluster.state.lock().unwrap().good[0].1 = "system:serviceaccount:agents:worker".into();
    assert_eq!(gate.refuses(&other).await, "token_review");
    let asked = cluster.asked();
    // What the token itself shows to be no good here is not asked about.
    for (bad, fault) in [
        (cluster.gives("kube-system", "admin", AUDIENCE), "token_client"),
        (cluster.gives("agents", "worker", "https://other.example.com"), "token_audience"),
        (token("agents", "worker", AUDIENCE, now() - 600), "token_expired"),
    ] {
        assert_eq!(gate.refuses(&bad).await, fault);
    }
    assert_eq!(cluster.asked(), asked);
    // A server that knows of no audiences would take a token for any of them.
    let token = cluster.gives("agents", "worker", AUDIENCE);
    cluster.state.lock().unwrap().knows_audiences = false;
    assert_eq!(gate.refuses(&token).await, "token_review");
}

#[tokio::test]
async fn a_token_ends_with_its_pod_within_recheck() {
    let cluster = Cluster::start().await;
    let gate = Gate::open(Duration::from_secs(1), vec![cluster.provider()]).await;
    let token = cluster.gives("agents", "worker", AUDIENCE);
    gate.shows(&token).await.unwrap();
    cluster.state.lock().unwrap().good.clear();
    until("it is believed for ever", async || gate.shows(&token).await.is_err()).await;
    assert_eq!(gate.refuses(&token).await, "token_review");
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_lets_nobody_in() {
    let cluster = Cluster::start().await;
    let gate = Gate::open(HOUR, vec![cluster.provider()]).await;
    let token = cluster.gives("agents", "worker", AUDIENCE);
    cluster.state.lock().unwrap().broken = true;
    assert_eq!(gate.refuses(&token).await, "identity-unavailable");
    cluster.state.lock().unwrap().broken = false;
    std::fs::write(cluster.own_token(), "another").unwrap();
    assert_eq!(gate.refuses(&token).await, "identity-unavailable");
    // The kubelet writes a new one, which is read without a restart.
    std::fs::write(cluster.own_token(), OWN).unwrap();
    gate.shows(&token).await.unwrap();
}
