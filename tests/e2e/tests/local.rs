//! Local servers through the whole gateway: what they are made of, and what they reach.

use std::{fs, path::Path};

use e2e::{Era, Gateway, Upstream, environment, eventually, run, source};
use serde_json::{Value, json};
use tokio::process::Command;

/// The fixture's registry, and a gateway whose servers come from it.
struct Supply {
    registry: Upstream,
    folder: tempfile::TempDir,
    gateway: Gateway,
}

const SERVERS: &str = "
[servers.npm]
command = \"npx\"
args = [\"-y\", \"greeter\"]
[servers.pypi]
command = \"uvx\"
args = [\"greeter-py\"]
";

impl Supply {
    async fn new() -> Supply {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("version"), "0").unwrap();
        let registry = Upstream::script("servers/registry.py", folder.path()).await;
        Supply { registry, folder, gateway: Gateway::start(SERVERS).await }
    }

    async fn bartizan(&self, arguments: &[&str]) -> String {
        run(&mut self.command(arguments)).await
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.gateway.command();
        command.args(arguments);
        command.env("npm_config_registry", &self.registry.url);
        command.env("PIP_INDEX_URL", format!("{}/simple", self.registry.url));
        command
    }

    async fn restarted(self) -> Supply {
        Supply { gateway: self.gateway.restart().await, ..self }
    }

    async fn greet(&self, server: &str) -> Value {
        self.gateway.client_of(server, Era::Stateless).await.call("greet", json!({})).await
    }
}

fn said(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_default()
}

/// Every file below a folder.
fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[tokio::test]
async fn a_server_starts_from_the_bytes_that_were_locked_or_not_at_all() {
    let supply = Supply::new().await;
    let warned = supply.gateway.command().arg("check").output().await.unwrap();
    let warned = String::from_utf8(warned.stderr).unwrap();
    assert!(warned.contains("bartizan lock npm") && warned.contains("bartizan lock pypi"));

    let told = supply.gateway.command().args(["call", "npm", "greet"]).output().await.unwrap();
    assert_eq!(told.status.code(), Some(2), "it would hang, since it has no network");
    supply.bartizan(&["lock", "--allow-private"]).await;
    // The running gateway takes the lock up by itself.
    eventually("the lock is taken up", async || {
        supply.gateway.log().contains("the changed configuration is in use")
    })
    .await;
    let checked = supply.gateway.command().arg("check").output().await.unwrap();
    assert!(!String::from_utf8(checked.stderr).unwrap().contains("bartizan lock"));
    let supply = supply.restarted().await;
    assert_eq!(said(&supply.greet("npm").await), "npm 1.0.0", "{}", supply.gateway.log());
    assert_eq!(said(&supply.greet("pypi").await), "pypi 1.0.0", "{}", supply.gateway.log());

    // Somebody swaps the installed program: nothing starts until it is what was locked again.
    let mut installed = Vec::new();
    files(&supply.gateway.folder().join("state/packages"), &mut installed);
    for path in installed {
        let name = path.file_name().unwrap().to_str().unwrap();
        if ["index.js", "greeter_py.py"].contains(&name) {
            let swapped = fs::read_to_string(&path).unwrap().replace("1.0.0", "6.6.6");
            fs::write(&path, swapped).unwrap();
        }
    }
    let supply = supply.restarted().await;
    for server in ["npm", "pypi"] {
        let answer = supply.greet(server).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains("could not be started"), "{answer}");
    }
    assert!(supply.gateway.log().contains("lock"), "{}", supply.gateway.log());
    supply.bartizan(&["lock", "--allow-private"]).await;
    let supply = supply.restarted().await;
    assert_eq!(said(&supply.greet("npm").await), "npm 1.0.0", "{}", supply.gateway.log());
    assert_eq!(said(&supply.greet("pypi").await), "pypi 1.0.0", "{}", supply.gateway.log());

    // Something newer is shown, and taken when somebody says so.
    fs::write(supply.folder.path().join("version"), "1").unwrap();
    let newer = supply.bartizan(&["outdated", "--allow-private", "--output", "json"]).await;
    assert_eq!(newer.matches("1.0.1").count(), 2, "{newer}");
    supply.bartizan(&["lock", "--allow-private"]).await;
    let supply = supply.restarted().await;
    assert_eq!(said(&supply.greet("npm").await), "npm 1.0.0");
    supply.bartizan(&["lock", "--allow-private", "--update"]).await;
    let supply = supply.restarted().await;
    assert_eq!(said(&supply.greet("npm").await), "npm 1.0.1", "{}", supply.gateway.log());
    assert_eq!(said(&supply.greet("pypi").await), "pypi 1.0.1", "{}", supply.gateway.log());
}

/// What the MCP registry says of a server is followed to its package, and the package's bytes are what it says.
#[tokio::test]
async fn a_server_json_and_a_bundle_are_locked_like_packages() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("version"), "0").unwrap();
    let registry = Upstream::script("servers/registry.py", folder.path()).await;
    let entries = |url: &str| -> String {
        let document = |kind| format!("[servers.{kind}]\ncommand = \"{url}/v0/servers/{kind}\"\n");
        ["mcpb", "npm", "pypi"].map(document).join("")
            + &format!("[servers.bundle]\ncommand = \"{url}/greeter.mcpb\"\n")
    };
    let gateway = Gateway::start("").await;
    let supply = Supply { registry, folder, gateway };
    supply.gateway.configure(&entries(&supply.registry.url));
    // Nothing is fetched at a start: what is not locked is said.
    let up =
        supply.gateway.command().args(["up", "--listen", "127.0.0.1:0"]).output().await.unwrap();
    let said_so = String::from_utf8(up.stderr).unwrap();
    assert!(said_so.contains("bartizan lock"), "{said_so}");
    // Without the word for it, no registry without TLS and at a private address.
    let refused = supply.gateway.command().arg("lock").output().await.unwrap();
    assert!(!refused.status.success());
    supply.bartizan(&["lock", "--allow-private"]).await;
    let supply = supply.restarted().await;
    for (server, text) in [
        ("mcpb", "mcpb 1.0.0"),
        ("npm", "npm 1.0.0"),
        ("pypi", "pypi 1.0.0"),
        ("bundle", "mcpb 1.0.0"),
    ] {
        assert_eq!(said(&supply.greet(server).await), text, "{}", supply.gateway.log());
    }

    fs::write(supply.folder.path().join("version"), "1").unwrap();
    let newer = supply.bartizan(&["outdated", "--allow-private", "--output", "json"]).await;
    let newer: Vec<Value> = serde_json::from_str(&newer).unwrap();
    assert!(newer.len() == 4 && newer.iter().all(|row| row["changed"] == true), "{newer:#?}");
    // Other bytes than the document says are not taken, whoever asks for them.
    fs::write(supply.folder.path().join("swapped"), "").unwrap();
    let mut update = supply.gateway.command();
    let swapped =
        update.args(["lock", "mcpb", "--allow-private", "--update"]).output().await.unwrap();
    let shown = String::from_utf8(swapped.stderr).unwrap();
    assert!(!swapped.status.success() && shown.contains("was expected"), "{shown}");
    fs::remove_file(supply.folder.path().join("swapped")).unwrap();
    // Nor are those that the package's own registry vouches for.
    fs::write(supply.folder.path().join("doubted"), "").unwrap();
    for kind in ["npm", "pypi"] {
        let mut update = supply.command(&["lock", kind, "--allow-private", "--update"]);
        let doubted = update.output().await.unwrap();
        let shown = String::from_utf8(doubted.stderr).unwrap();
        assert!(!doubted.status.success() && shown.contains("fileSha256"), "{kind}: {shown}");
    }
    fs::remove_file(supply.folder.path().join("doubted")).unwrap();
    supply.bartizan(&["lock", "--allow-private", "--update"]).await;
    let supply = supply.restarted().await;
    assert_eq!(said(&supply.greet("mcpb").await), "mcpb 1.0.1", "{}", supply.gateway.log());
    assert_eq!(said(&supply.greet("bundle").await), "mcpb 1.0.1", "{}", supply.gateway.log());
}

const SECRET: &str = "sk-live-0123456789abcdefghijklmnopqrstuvwxyz0123456789";

#[tokio::test]
async fn a_secret_stays_outside_and_every_way_out_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let web = Upstream::script("servers/recorder.py", folder.path()).await;
    let port = web.url.rsplit(':').next().unwrap().to_owned();
    let script = source("servers/fetching.py");
    let ca = folder.path().join("ca.pem").display().to_string();
    let python = environment("py", "python");
    let text = format!(
        "[identity]\nloopback = \"open\"\n[trust]\non-first-use = \"approve\"\n[servers.web]\ncommand = {python:?}\nargs = [{script:?}]\nenv.KEY = {{ secret = \"${{env:REAL_KEY}}\", hosts = [\"127.0.0.2\"] }}\n[servers.web.egress]\nhosts = [{{ host = \"127.0.0.2\", ports = [{port}], methods = [\"GET\"], paths = [\"/v1\"], allow-private = true }}]\n"
    );
    let environment = [("REAL_KEY", SECRET), ("SSL_CERT_FILE", ca.as_str())];
    let gateway = Gateway::start_with(&text, &environment).await;
    let client = gateway.client_of("web", Era::Handshake).await;
    let placeholder = client.call_text("key", json!({})).await;
    assert!(!placeholder.contains(SECRET) && placeholder.len() > 20, "{placeholder}");

    let fetch = async |path: &str, more: Value| {
        let mut arguments = json!({ "url": format!("{}{path}", web.url) });
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        client.call_text("fetch", arguments).await
    };
    let got = fetch("/v1/thing", json!({})).await;
    assert_eq!(got, format!("you showed Bearer {placeholder}"), "{}", gateway.log());
    let shown = fs::read_to_string(folder.path().join("shown")).unwrap();
    assert_eq!(shown, format!("/v1/thing Bearer {SECRET}\n"));

    // Another method, another path, another header, another host.
    for (path, more) in [
        ("/v1/thing", json!({ "method": "POST" })),
        ("/v2/thing", json!({})),
        ("/v1/thing", json!({ "headers": { "X-Key": placeholder } })),
    ] {
        let refused = fetch(path, more).await;
        assert!(refused.contains("Error"), "{path}: {refused}");
    }
    let elsewhere = json!({ "url": "https://elsewhere.example/v1/thing" });
    assert!(client.call_text("fetch", elsewhere).await.contains("Error"));
    assert_eq!(fs::read_to_string(folder.path().join("shown")).unwrap(), shown, "nothing more");

    eventually("both are on record", async || {
        let records = run(gateway.command().args(["audit", "search", "--output", "json"])).await;
        assert!(!records.contains(SECRET));
        let records: Vec<Value> = serde_json::from_str(&records).unwrap();
        let is = |outcome: &str| {
            records.iter().any(|record| record["kind"] == "egress" && record["outcome"] == outcome)
        };
        is("ok") && is("refused")
    })
    .await;
    assert!(!gateway.log().contains(SECRET));
}
