//! What is added to requests to servers: a header, a parameter, a signature, a certificate. Servers that check them let the
//! calls in, and nothing that a client sends takes their place.
#![forbid(unsafe_code)]

use std::path::Path;

use e2e::{Client, Era, Gateway, Guarded, Request, Upstream, environment, eventually, source};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

const OPEN: &str = "[trust]\non-first-use = \"approve\"\n[identity]\nloopback = \"open\"\n";

async fn proved(arguments: &[&str]) -> Upstream {
    let script = source("servers/proved.py");
    let mut all = vec![script.to_str().unwrap()];
    all.extend(arguments);
    Upstream::start(&environment("py", "python"), &all).await
}

/// A gateway with one server, `s`, of this era.
async fn gateway(url: &str, era: &str, more: &str, environment: &[(&str, &str)]) -> Gateway {
    let entry =
        format!("{OPEN}[servers.s]\nurl = {url:?}\nallow-private = true\nera = \"{era}\"\n{more}");
    Gateway::start_with(&entry, environment).await
}

async fn who(client: &Client) -> Result<String, String> {
    let reply = client.call("who", json!({})).await;
    let text = reply.pointer("/result/content/0/text").and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| reply.to_string())
}

#[tokio::test]
async fn a_key_in_the_query() {
    let server = proved(&["query", "api_key", "k/e y&1-long"]).await;
    // The operator's own URL has a parameter of that name: the credential takes its place.
    let url = format!("{}&API_KEY=old", server.url);
    for era in ["stateless", "handshake"] {
        let entry = "query = { api_key = \"${env:KEY}\" }\n";
        let gateway = gateway(&url, era, entry, &[("KEY", "k/e y&1-long")]).await;
        let client = gateway.client_of("s", Era::Stateless).await;
        assert_eq!(who(&client).await.unwrap(), "it is k/e , 12 letters", "{era}");
        assert!(!gateway.log().contains("k/e y&1-long"));
    }
    let wrong = gateway(&url, "stateless", "query = { api_key = \"no\" }\n", &[]).await;
    assert!(who(&wrong.client_of("s", Era::Stateless).await).await.is_err());
}

#[tokio::test]
async fn requests_are_signed_as_aws_signs_them() {
    let (secret, token) = ("wJalrXUtnFEMI/K7MDENG", "lent/for+a=while");
    let server = proved(&["aws", "eu-west-1", "execute-api", "AKIDEXAMPLE", secret, token]).await;
    let entry = "aws = { access-key = \"AKIDEXAMPLE\", secret-key = \"${env:SECRET}\", session-token = \"${env:TOKEN}\", \
                 region = \"eu-west-1\", service = \"execute-api\" }\n";
    for era in ["stateless", "handshake"] {
        let given = [("SECRET", secret), ("TOKEN", token)];
        let gateway = gateway(&server.url, era, entry, &given).await;
        let client = gateway.client_of("s", Era::Stateless).await;
        assert_eq!(who(&client).await.unwrap(), "it is AKID, 11 letters", "{era}");
    }
    let given = [("SECRET", "another"), ("TOKEN", token)];
    let wrong = gateway(&server.url, "stateless", entry, &given).await;
    assert!(who(&wrong.client_of("s", Era::Stateless).await).await.is_err());
}

/// An authority, and a way to have certificates of it.
struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    fn new() -> Authority {
        let mut made = CertificateParams::new([]).unwrap();
        made.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = made.self_signed(&key).unwrap().pem();
        Authority(Issuer::new(made, key), pem)
    }

    /// Writes `NAME.pem` and `NAME.key`, which their owner alone may read.
    fn issue(&self, folder: &Path, file: &str, name: &str) {
        let mut asked = CertificateParams::new(["localhost".to_owned()]).unwrap();
        asked.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = asked.signed_by(&key, &self.0).unwrap().pem();
        write(&folder.join(format!("{file}.pem")), &pem);
        write(&folder.join(format!("{file}.key")), &key.serialize_pem());
    }
}

fn write(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_can_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let authority = Authority::new();
    write(&folder.path().join("clients.pem"), &authority.1);
    authority.issue(folder.path(), "server", "server");
    authority.issue(folder.path(), "client", "first");
    let server = proved(&["tls", folder.path().to_str().unwrap()]).await;
    let entry = format!(
        "certificate = {{ cert = \"${{file:{}}}\", key = \"${{file:{}}}\", ca = {:?} }}\n[vault]\nttl = \"1ms\"\n",
        at("client.pem"),
        at("client.key"),
        at("clients.pem")
    );
    for era in ["stateless", "handshake"] {
        authority.issue(folder.path(), "client", "first");
        let gateway = gateway(&server.url, era, &entry, &[]).await;
        let client = gateway.client_of("s", Era::Stateless).await;
        assert_eq!(who(&client).await.unwrap(), "it is firs, 5 letters", "{era}");
        authority.issue(folder.path(), "client", "the second");
        eventually("the new one is shown", async || {
            // Between the two files it fits nothing.
            who(&client).await == Ok("it is the , 10 letters".to_owned())
        })
        .await;
        // Nobody else's certificate counts.
        Authority::new().issue(folder.path(), "client", "stranger");
        eventually("a stranger is not let in", async || who(&client).await.is_err()).await;
    }
    let without = gateway(&server.url, "stateless", "", &[]).await;
    assert!(who(&without.client_of("s", Era::Stateless).await).await.is_err());
}

#[tokio::test]
async fn nothing_that_a_client_sends_takes_their_place() {
    let server = Guarded::bearer("ours").await;
    let entry = "headers = { X-Org = \"acme\", X-Org-Key = \"${env:KEY}\" }\nquery = { api_key = \"q-${env:KEY}\" }\n\
                 credential = { scheme = \"bearer\", value = \"ours\" }\n";
    let gateway = gateway(&server.url, "stateless", entry, &[("KEY", "canary-8c1f")]).await;
    let client = gateway.client_of("s", Era::Stateless).await;
    let ready = client.call("echo", json!({"text": "x"})).await;
    assert!(ready["result"].is_object(), "{ready}");
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "echo", "arguments": {"text": "x"},
        "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
                  "io.modelcontextprotocol/clientCapabilities": {},
                  "io.modelcontextprotocol/clientInfo": {"name": "e2e", "version": "1"}},
    }});
    let sent = Request::post(&gateway.address, "/mcp/s?api_key=theirs&more=1", body.to_string())
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "echo")
        .header("accept", "application/json, text/event-stream")
        .header("x-org", "theirs")
        .header("x-org-key", "theirs")
        .header("x-more", "theirs")
        .header("cookie", "api_key=theirs");
    let mut reply = sent.send().await;
    let said = reply.text().await;
    assert_eq!(reply.status, 200, "{said}");
    let calls = server.calls();
    assert_eq!(calls.len(), 2);
    for call in calls {
        let all = |name| -> Vec<&str> {
            call.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
        };
        assert_eq!(all("authorization"), ["Bearer ours"]);
        assert_eq!((all("x-org"), all("x-org-key")), (vec!["acme"], vec!["canary-8c1f"]));
        assert_eq!(call.uri.query(), Some("api_key=q-canary-8c1f"));
        assert!(all("cookie").is_empty() && all("x-more").is_empty());
    }
}
