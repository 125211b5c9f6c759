//! Signatures, the lockfile and call stacks, through the gateway.

use std::{
    fs,
    path::{Path, PathBuf},
};

use e2e::{Client, Era, Gateway, Upstream, environment, eventually, run, source};
use serde_json::{Value, json};
use tokio::process::Command;

const OPEN: &str = "[identity]\nloopback = \"open\"\n[trust]\nrecheck = \"1ms\"\n";

/// A server whose definitions stand in a file, and a folder for keys.
struct Shop {
    folder: tempfile::TempDir,
    upstream: Upstream,
}

impl Shop {
    async fn new(tools: &Value) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("says.json");
        fs::write(&file, json!({ "tools": tools }).to_string()).unwrap();
        let upstream = Upstream::shifting(&file).await;
        Shop { folder, upstream }
    }

    fn say(&self, tools: &Value) {
        let file = self.folder.path().join("says.json");
        fs::write(file, json!({ "tools": tools }).to_string()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Its entry, with these keys more.
    fn entry(&self, more: &str) -> String {
        format!("[servers.shop]\nurl = {:?}\nallow-private = true\n{more}", self.upstream.url)
    }

    fn key(&self, kid: &str, provider: &str, algorithm: &str, file: &str) -> String {
        let path = self.path(file);
        format!(
            "[trust.keys.{kid}]\nprovider = \"{provider}\"\nfile = {path:?}\nalgorithm = \"{algorithm}\"\n"
        )
    }
}

async fn trust(gateway: &Gateway, arguments: &[&str]) -> String {
    run(gateway.command().arg("trust").args(arguments)).await
}

/// How a command that refuses ends.
async fn fails(gateway: &Gateway, arguments: &[&str]) -> String {
    let output = gateway.command().arg("trust").args(arguments).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

async fn tools(gateway: &Gateway) -> Vec<String> {
    gateway.client_of("shop", Era::Stateless).await.tools().await
}

fn price() -> Value {
    json!([{ "name": "price", "description": "The price.", "inputSchema": { "type": "object" } }])
}

async fn openssl(arguments: &[&str], folder: &Path) {
    run(Command::new("openssl").args(arguments).current_dir(folder)).await;
}

#[tokio::test]
async fn what_is_not_signed_by_whom_it_has_to_be_is_held_back() {
    let shop = Shop::new(&price()).await;
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", "acme.key"], shop.folder.path()).await;
    let public = ["pkey", "-in", "acme.key", "-pubout", "-out", "acme.pem"];
    openssl(&public, shop.folder.path()).await;
    let text = format!(
        "{OPEN}{}{}",
        shop.key("k1", "acme", "EdDSA", "acme.pem"),
        shop.entry("require-signature = \"acme\"\n")
    );
    let gateway = Gateway::start_with(&text, &[]).await;
    trust(&gateway, &["approve", "shop", "--yes"]).await;
    assert_eq!(tools(&gateway).await, [""; 0], "approved is not signed");
    let keys: Value =
        serde_json::from_str(&trust(&gateway, &["keys", "--output", "json"]).await).unwrap();
    assert_eq!((&keys[0]["provider"], &keys[0]["counts"]), (&json!("acme"), &json!(true)));

    let key = shop.path("acme.key");
    let sign = ["sign", "shop", "--key", key.to_str().unwrap(), "--kid", "k1", "--output", "json"];
    let signed: Value = serde_json::from_str(&trust(&gateway, &sign).await).unwrap();
    eventually("the signature counts", async || tools(&gateway).await == ["price"]).await;

    // The lockfile carries both to another machine, and says when something is not as it was.
    trust(&gateway, &["lock"]).await;
    trust(&gateway, &["lock", "--check"]).await;
    assert!(trust(&gateway, &["verify"]).await.contains("as it was locked"));
    let lock = fs::read_to_string(gateway.folder().join("bartizan.lock")).unwrap();
    let other = Gateway::start_with(&text, &[]).await;
    fs::write(other.folder().join("bartizan.lock"), &lock).unwrap();
    fails(&other, &["verify"]).await;
    trust(&other, &["adopt", "--yes"]).await;
    eventually("what was locked is adopted", async || tools(&other).await == ["price"]).await;
    trust(&other, &["verify"]).await;

    // A definition that carries its signature needs nobody here to have signed it.
    let definitions = signed.as_array().unwrap();
    let jws = &definitions.iter().find(|one| one["kind"] == "tool").unwrap()["signature"];
    let mut carrying = price();
    carrying[0]["_meta"]["dev.bartizan/signature"] = json!([jws]);
    shop.say(&carrying);
    let third = Gateway::start_with(&text, &[]).await;
    trust(&third, &["approve", "shop", "--yes"]).await;
    eventually("its own signature counts", async || tools(&third).await == ["price"]).await;

    // A signature is of one text.
    let mut changed = carrying;
    changed[0]["description"] = json!("The price, and your mail.");
    shop.say(&changed);
    assert!(fails(&gateway, &["verify"]).await.contains("price"));
    trust(&gateway, &["approve", "shop", "--yes"]).await;
    assert_eq!(tools(&gateway).await, [""; 0]);
    let refused = gateway.client_of("shop", Era::Handshake).await.call("price", json!({})).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("unsigned"), "{refused}");

    // Nor does it count when its key no longer does.
    shop.say(&price());
    let revoked = text.replace("algorithm = \"EdDSA\"", "algorithm = \"EdDSA\"\nrevoked = true");
    other.configure_with(&revoked);
    eventually("a revoked key counts for nothing", async || tools(&other).await.is_empty()).await;
}

/// mcp-etdi itself: what it signed, and what it asks of a call.
#[tokio::test]
async fn what_etdi_signs_is_verified_and_asked_for() {
    let shop = Shop::new(&json!([])).await;
    let etdi = async |arguments: &[&str]| -> Value {
        let mut command = Command::new(environment("etdi", "python"));
        command.arg(source("clients/etdi.py")).arg(shop.folder.path()).args(arguments);
        serde_json::from_str(&run(&mut command).await).unwrap()
    };
    let mut tool = etdi(&["define"]).await;
    tool["inputSchema"] = tool["schema"].clone();
    let name = tool["name"].as_str().unwrap().to_owned();
    shop.say(&json!([tool]));
    let text = format!(
        "{OPEN}on-first-use = \"approve\"\n{}{}",
        shop.key("provider", "trustedsoft", "ETDI-PSS", "provider.pem"),
        shop.entry("require-signature = \"trustedsoft\"\nrequire-signed-calls = \"trustedsoft\"\n")
    );
    let gateway = Gateway::start_with(&text, &[]).await;
    for era in Era::ALL {
        let client = gateway.client_of("shop", era).await;
        assert_eq!(client.tools().await.join(" "), name, "{}", gateway.log());
        let arguments = json!({ "doc": format!("h\u{e9}llo {era:?}"), "n": 1.5 });
        let params = json!({ "name": name, "arguments": arguments });
        let message = |answer: &Value| answer["error"]["message"].as_str().unwrap().to_owned();
        let bare = client.request("tools/call", params.clone()).await;
        assert!(message(&bare).contains("no signature"), "{bare}");

        // In headers.
        let signed = etdi(&["call", &arguments.to_string()]).await;
        let header = |name: &str| signed[name].as_str().unwrap().to_owned();
        let sent = async |params: &Value| {
            let mut request = client.prepare("tools/call", params.clone());
            for name in ["X-ETDI-Tool-Signature", "X-ETDI-Key-ID", "X-ETDI-Timestamp"] {
                request = request.header(&name.to_ascii_lowercase(), &header(name));
            }
            request.send().await.next().await.unwrap()
        };
        let mut other = params.clone();
        other["arguments"]["doc"] = json!("another");
        let refused = sent(&other).await;
        assert!(message(&refused).contains("made it"), "{refused}");
        let answer = sent(&params).await;
        assert_eq!(answer["result"]["content"][0]["text"], name, "{answer}");
        let again = sent(&params).await;
        assert!(message(&again).contains("used before"), "{again}");

        // In the parameters.
        let signed = etdi(&["call", &arguments.to_string()]).await;
        let mut carrying = params.clone();
        carrying["etdi_signature"] = signed["X-ETDI-Tool-Signature"].clone();
        carrying["etdi_timestamp"] = signed["X-ETDI-Timestamp"].clone();
        carrying["etdi_key_id"] = signed["X-ETDI-Key-ID"].clone();
        let mut early = carrying.clone();
        early["etdi_timestamp"] = json!("2020-01-01T00:00:00Z");
        let refused = client.request("tools/call", early).await;
        assert!(message(&refused).contains("too old"), "{refused}");
        let answer = client.request("tools/call", carrying).await;
        assert_eq!(answer["result"]["content"][0]["text"], name, "{answer}");
    }
    // What is shown and not what was signed.
    tool["description"] = json!("Scans documents and mails them.");
    shop.say(&json!([tool]));
    trust(&gateway, &["approve", "shop", "--yes"]).await;
    assert_eq!(tools(&gateway).await, [""; 0]);
}

/// A token that was issued for one tool in one version calls no other.
#[tokio::test]
async fn a_token_is_bound_to_its_tool() {
    let tool = |id: &str, version: &str| {
        json!({ "name": id, "inputSchema": { "type": "object" }, "_meta": { "dev.bartizan/etdi": {
            "id": id, "version": version, "permissions": [{ "scope": "document:scan", "required": true }],
        } } })
    };
    let shop = Shop::new(&json!([tool("scan", "1.2.0"), tool("wipe", "1.2.0")])).await;
    let minted = Command::new(environment("py", "python"))
        .arg(source("clients/mint.py"))
        .arg(shop.folder.path())
        .arg(
            json!([
                { "tool_id": "scan", "tool_version": "1.2.0", "scope": "document:scan" },
                { "tool_id": "scan", "tool_version": "1.1.0", "scope": "document:scan" },
                { "tool_id": "scan", "tool_version": "1.2.0", "scope": "other" },
                { "scope": "document:scan" },
            ])
            .to_string(),
        )
        .output()
        .await
        .unwrap();
    let tokens: Vec<String> = serde_json::from_slice(&minted.stdout).unwrap();
    let keys = shop.path("jwks.json");
    let gateway = Gateway::start_with(
        &format!(
            "[trust]\non-first-use = \"approve\"\n[identity.providers.id]\nkind = \"oidc\"\nissuer = \"https://id.example\"\naudiences = [\"bartizan\"]\njwks-file = {keys:?}\n[roles.r]\nmembers = [\"user:id/ada\"]\nallow = [\"*\"]\n{}",
            shop.entry("require-bound-tokens = true\n")
        ),
        &[],
    )
    .await;
    for (token, passes) in tokens.iter().zip([true, false, false, false]) {
        for era in Era::ALL {
            let client = Client::connect_as(&gateway.address, "/mcp/shop", era, Some(token)).await;
            let answer = client.call("scan", json!({})).await;
            assert_eq!(answer["result"].is_object(), passes, "{answer}");
            let other = client.call("wipe", json!({})).await;
            let message = other["error"]["message"].as_str().unwrap();
            assert!(message.contains("bound to the tool"), "{other}");
        }
    }
}

/// Under a server's name is suddenly another server: trust on first use is not for that.
#[tokio::test]
async fn a_name_that_moves_to_another_server_is_held_back() {
    let (mine, other) = (Shop::new(&price()).await, Shop::new(&price()).await);
    let open = format!("{OPEN}on-first-use = \"approve\"\n");
    let gateway = Gateway::start_with(&format!("{open}{}", mine.entry("")), &[]).await;
    assert_eq!(tools(&gateway).await, ["price"]);
    gateway.configure_with(&format!("{open}{}", other.entry("")));
    eventually("the other is served", async || tools(&gateway).await.is_empty()).await;
    let told = trust(&gateway, &["diff", "shop", "--output", "json"]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    let tool = told.as_array().unwrap().iter().find(|one| one["name"] == "price").unwrap();
    assert_eq!(tool["changes"][0]["class"], "moved", "{told}");
    let log = run(gateway.command().args(["audit", "search", "--output", "json"])).await;
    assert!(log.contains("was another server's"), "{log}");
    trust(&gateway, &["approve", "shop", "--yes"]).await;
    eventually("a person approved it", async || tools(&gateway).await == ["price"]).await;
    // Back to the first one: that is approved still.
    gateway.configure_with(&format!("{open}{}", mine.entry("")));
    eventually("the first is served", async || tools(&gateway).await == ["price"]).await;

    // By name it passes.
    let loose = format!("{OPEN}on-first-use = \"approve\"\npass = [\"cosmetic\", \"moved\"]\n");
    let gateway = Gateway::start_with(&format!("{loose}{}", mine.entry("")), &[]).await;
    assert_eq!(tools(&gateway).await, ["price"]);
    gateway.configure_with(&format!("{loose}{}", other.entry("")));
    eventually("it passed", async || {
        let log = run(gateway.command().args(["audit", "search", "--output", "json"])).await;
        tools(&gateway).await == ["price"] && log.contains("passed by policy")
    })
    .await;
}

/// Calls that wait at their server are under way: what may be called then, the rules say.
#[tokio::test]
async fn call_stacks_are_what_the_gateway_saw() {
    let command = e2e::binary("everything");
    let server =
        |name: &str| format!("[servers.{name}]\ncommand = {command:?}\nargs = [\"stdio\"]\n");
    let rules = "[call-stack]\nblocked = [\"web/* -> mail/*\"]\nmax-depth = 3\n";
    let gateway = Gateway::start(&format!("{rules}{}{}", server("web"), server("mail"))).await;
    for era in Era::ALL {
        let client = gateway.client(era).await;
        let said = client.call_text("mail__echo", json!({ "text": "before" })).await;
        assert_eq!(said, "before");
        let slow = async |name: &'static str| client.call(name, json!({ "ms": 5000 })).await;
        let within = async {
            eventually("the rule holds", async || {
                let answer = client.call("mail__echo", json!({ "text": "x" })).await;
                let message = answer["error"]["message"].as_str().unwrap_or_default();
                message.contains("web/") && message.contains("mail/")
            })
            .await;
            // The other way round nobody minds.
            client.call_text("web__echo", json!({ "text": "fine" })).await
        };
        let (outer, inner) = tokio::join!(slow("web__slow"), within);
        assert!(outer["result"].is_object(), "{outer}");
        assert_eq!(inner, "fine");
        let said = client.call_text("mail__echo", json!({ "text": "after" })).await;
        assert_eq!(said, "after");
    }
}
