//! Azure Monitor without a secret: tokens that Entra gives to the machine, to a workload, or for a client's proof.

use std::{
    io::Read,
    sync::{Arc, Mutex},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{Gateway, binary, eventually};
use entra::{Entra, GATEWAY, GATEWAY_SECRET, MACHINE, TENANT};
use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use serde_json::{Value, json};

/// A data collection endpoint: the tokens that it was shown, and the records. It refuses the first token.
#[derive(Default)]
struct Taken {
    tokens: Vec<String>,
    records: Vec<Value>,
}

async fn answer(
    taken: Arc<Mutex<Taken>>,
    request: Request<Incoming>,
) -> Result<Response<Full<bytes::Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let shown = head.headers["authorization"].to_str().unwrap();
    let token = shown.strip_prefix("Bearer ").unwrap().to_owned();
    let mut text = String::new();
    GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    let mut taken = taken.lock().unwrap();
    let first = taken.tokens.is_empty();
    taken.tokens.push(token);
    if !first {
        let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
        taken.records.extend(rows);
    }
    let status = if first { 401 } else { 204 };
    Ok(Response::builder().status(status).body(Full::default()).unwrap())
}

fn claims(token: &str) -> Value {
    let body = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// What an export with this exchange showed, once its records are there.
async fn shown(entra: &Entra, exchange: &str, environment: &[(&str, &str)]) -> Vec<Value> {
    let taken = Arc::new(Mutex::new(Taken::default()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let shared = taken.clone();
    e2e::serve(listener, service_fn(move |request| answer(shared.clone(), request)));
    let command = binary("everything");
    let configuration = format!(
        "[identity]\nloopback = \"open\"\n[servers.s]\ncommand = {command:?}\nargs = [\"stdio\"]\n\
         [export.sentinel]\nto = \"azure\"\nurl = \"{url}\"\nrule = \"dcr-0a1b\"\nallow-private = true\n\
         [export.sentinel.exchange]\n{exchange}\n"
    );
    let authority = entra.authority();
    let mut all = vec![("SSL_CERT_FILE", authority.to_str().unwrap()), ("SECRET", GATEWAY_SECRET)];
    all.extend(environment);
    let mut gateway = Gateway::start_with(&configuration, &all).await;
    // Among them the one about the token that they are sent with; it makes no further one.
    let of_tokens = || {
        let taken = taken.lock().unwrap();
        let of_token = |record: &&Value| record["method"] == "exchange";
        taken.records.iter().filter(of_token).cloned().collect::<Vec<_>>()
    };
    eventually("records arrive", async || of_tokens().len() == 2).await;
    gateway.stop().await;
    let told = of_tokens();
    assert_eq!(told.len(), 2, "the token that was refused, and another: {told:#?}");
    for record in told {
        assert_eq!(record["kind"], "grant");
        assert_eq!(
            (&record["name"], &record["outcome"]),
            (&json!("export sentinel"), &json!("ok"))
        );
        let credential = record["credential"].as_str().unwrap();
        assert!(credential.contains("https://monitor.azure.com"), "{record}");
    }
    let taken = taken.lock().unwrap();
    assert_eq!(taken.records[0]["seq"], 1);
    taken.tokens.iter().map(|token| claims(token)).collect()
}

#[tokio::test]
async fn azure_monitor_takes_the_tokens_of_machines_workloads_and_clients() {
    let entra = Entra::start().await;
    let machine = entra.machine_url.clone();
    let imds = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.as_str())];
    let tokens = shown(&entra, "kind = \"managed-identity\"", &imds).await;
    assert!(tokens.iter().all(|claims| claims["aud"] == "https://monitor.azure.com"), "{tokens:?}");
    assert!(tokens.iter().all(|claims| claims["appid"] == MACHINE), "{tokens:?}");
    // The one that was refused, and another.
    assert_eq!(entra.asked("GET /metadata/identity/oauth2/token"), 2);

    let exchange = format!(
        "kind = \"client-credentials\"\ntoken-endpoint = \"{}/{TENANT}/oauth2/v2.0/token\"\n\
         allow-private = true\nclient-id = \"{GATEWAY}\"\nclient-secret = \"${{env:SECRET}}\"",
        entra.url
    );
    let tokens = shown(&entra, &exchange, &[]).await;
    assert!(tokens.iter().all(|claims| claims["aud"] == "https://monitor.azure.com"), "{tokens:?}");
    assert!(tokens.iter().all(|claims| claims["appid"] == GATEWAY), "{tokens:?}");

    let token = entra.federate(GATEWAY, MACHINE);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), token).unwrap();
    let host = format!("{}/", entra.url);
    let environment = [
        ("AZURE_AUTHORITY_HOST", host.as_str()),
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", GATEWAY),
        ("AZURE_FEDERATED_TOKEN_FILE", file.path().to_str().unwrap()),
    ];
    let exchange = "kind = \"workload-identity\"\nallow-private = true";
    let tokens = shown(&entra, exchange, &environment).await;
    assert!(tokens.iter().all(|claims| claims["appid"] == GATEWAY), "{tokens:?}");
}
