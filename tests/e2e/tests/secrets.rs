//! Secrets on their way: from where they are kept to where they belong, and nowhere else.
#![forbid(unsafe_code)]

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use e2e::{Client, Era, Gateway, Guarded, Request, eventually, run};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

const CANARY: &str = "canary-0d9e81c4";

/// `bartizan secret …` beside the gateway, with a value on standard input.
async fn secret(gateway: &Gateway, arguments: &[&str], value: &str) -> String {
    let mut command = gateway.command();
    command.arg("secret").args(arguments);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let _ = input.write_all(value.as_bytes()).await;
    drop(input);
    let done = child.wait_with_output().await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

async fn call(client: &Client, text: &str) -> Result<String, String> {
    let reply = client.call("echo", json!({"text": text})).await;
    match reply.pointer("/result/content/0/text").and_then(Value::as_str) {
        Some(text) => Ok(text.to_owned()),
        None => Err(reply.to_string()),
    }
}

fn entry(server: &Guarded, credential: &str) -> String {
    format!(
        "[servers.guarded]\nurl = {:?}\nallow-private = true\nera = \"stateless\"\ncredential = {{ {credential} }}\n",
        server.url
    )
}

fn bearer(head: &http::request::Parts) -> Option<&str> {
    head.headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")
}

const SEALED: &str = "value = \"Bearer ${secret:api}\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_secret_is_set_replaced_and_removed_while_the_gateway_runs() {
    let server = Guarded::bearer("first").await;
    let gateway = Gateway::start(&entry(&server, SEALED)).await;
    let client = gateway.client_of("guarded", Era::Stateless).await;
    assert!(call(&client, "x").await.is_err(), "there is no secret yet");
    secret(&gateway, &["set", "api"], "first").await;
    eventually("the secret is in force", async || call(&client, "x").await.is_ok()).await;

    // Calls go on while it changes: what was refused for the old value is sent once more with the new one.
    let changed = Arc::new(AtomicBool::new(false));
    let until = changed.clone();
    let calls = tokio::spawn(async move {
        let (mut made, mut failed) = (0, Vec::new());
        while !until.load(Ordering::Relaxed) {
            failed.extend(call(&client, "x").await.err());
            made += 1;
        }
        (client, made, failed)
    });
    let mut old = "first";
    for new in ["second", "third", "fourth"] {
        server.want(move |head, _| bearer(head) == Some(old) || bearer(head) == Some(new));
        secret(&gateway, &["rotate", "api"], new).await;
        server.want_bearer(new);
        secret(&gateway, &["rotate-master"], "").await;
        old = new;
    }
    changed.store(true, Ordering::Relaxed);
    let (client, made, failed) = calls.await.unwrap();
    assert!(
        made > 0 && failed.is_empty(),
        "{} of {made} failed: {:?}",
        failed.len(),
        failed.first()
    );
    assert_eq!(call(&client, "x").await.unwrap(), "x");

    secret(&gateway, &["remove", "api", "--force"], "").await;
    eventually("it is gone", async || call(&client, "x").await.is_err()).await;
    let journal = journal(&gateway);
    for line in ["set value 1", "rotate value 4", "rotate-master", "remove value 4"] {
        assert!(journal.contains(line), "{line}");
    }
}

/// A token in a file of its own.
fn token_file(folder: &std::path::Path, name: &str, token: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(name);
    std::fs::write(&path, token).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_vaults_secret_is_read_rotated_and_bridged_over_an_outage() {
    let folder = tempfile::tempdir().unwrap();
    let token = token_file(folder.path(), "token", "aad");
    let vault = vaults::KeyVault::start("aad").await;
    vault.put("api", "first", None);
    let server = Guarded::bearer("first").await;
    let text = format!(
        "{}[vault.key-vault]\ntoken = \"${{file:{token}}}\"\nurls = {{ prod = {:?} }}\nca = {:?}\nallow-private = true\n\
         [secrets.\"keyvault:prod/api\"]\nttl = \"1ms\"\nuse-stale-for = \"1h\"\n",
        entry(&server, "value = \"Bearer ${keyvault:prod/api}\""),
        vault.url(),
        vault.authority(),
    );
    let gateway = Gateway::start(&text).await;
    let client = gateway.client_of("guarded", Era::Stateless).await;
    assert_eq!(call(&client, "x").await.unwrap(), "x");
    vault.put("api", "second", None);
    server.want_bearer("second");
    assert_eq!(call(&client, "y").await.unwrap(), "y");
    // The vault is away: what was read is used on, as the configuration says.
    vault.trouble(vaults::Trouble::Down);
    assert_eq!(call(&client, "z").await.unwrap(), "z");
    // A vault that says no is no outage.
    vault.trouble(vaults::Trouble::None);
    vault.set_token("another");
    eventually("it is refused", async || call(&client, "x").await.is_err()).await;
    token_file(folder.path(), "token", "another");
    eventually("the new token is used", async || call(&client, "x").await.is_ok()).await;
    // Whoever stands in for the vault gets no token of another service.
    vault.challenge_for("https://graph.microsoft.com");
    vault.set_token("third");
    eventually("nothing is sent", async || {
        call(&client, "x").await.is_err_and(|fault| !fault.contains("third"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machines_identity_opens_a_key_vault() {
    let entra = entra::Entra::start().await;
    let vault = vaults::KeyVault::start("").await;
    vault.put("api", "first", None);
    let server = Guarded::bearer("first").await;
    let text = format!(
        "[trust]\non-first-use = \"approve\"\n[identity]\nloopback = \"open\"\n{}[vault.key-vault]\nurls = {{ prod = {:?} }}\nca = {:?}\nallow-private = true\n",
        entry(&server, "value = \"Bearer ${keyvault:prod/api}\""),
        vault.url(),
        vault.authority(),
    );
    let at = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.machine_url.as_str())];
    let gateway = Gateway::start_with(&text, &at).await;
    let client = gateway.client_of("guarded", Era::Stateless).await;
    assert_eq!(call(&client, "x").await.unwrap(), "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn bartizan_proves_itself_to_a_key_vault_in_each_way() {
    use entra::{GATEWAY, GATEWAY_SECRET, MACHINE, ORDERS, TENANT};
    let folder = tempfile::tempdir().unwrap();
    let entra = entra::Entra::start().await;
    let issuer = entra.issuer();
    entra.change(|state| {
        state.directory.app_mut(ORDERS).uri = "https://localhost".into();
        state.directory.app_mut(GATEWAY).federated = vec![(issuer, MACHINE.to_owned())];
    });
    let (cert, key) = entra.client_certificate();
    let vault = vaults::KeyVault::start("").await;
    vault.put("api", "first", None);
    let server = Guarded::bearer("first").await;
    let secret = token_file(folder.path(), "secret", GATEWAY_SECRET);
    let wrong = token_file(folder.path(), "wrong", "not-the-secret");
    let ways = [
        (format!("client-secret = \"${{file:{secret}}}\""), true),
        (format!("certificate = {{ cert = {cert:?}, key = {key:?} }}"), true),
        ("client-managed-identity = \"system\"".to_owned(), true),
        (format!("client-secret = \"${{file:{wrong}}}\""), false),
    ];
    let authority = entra.authority();
    let environment = [
        ("SSL_CERT_FILE", authority.to_str().unwrap()),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.machine_url.as_str()),
    ];
    for (proof, good) in ways {
        let text = format!(
            "[trust]\non-first-use = \"approve\"\n[identity]\nloopback = \"open\"\n{}\
             [vault.key-vault]\nurls = {{ prod = {:?} }}\nca = {:?}\nallow-private = true\n\
             [vault.key-vault.exchange]\nkind = \"client-credentials\"\nallow-private = true\nclient-id = \"{GATEWAY}\"\n\
             token-endpoint = \"{}/{TENANT}/oauth2/v2.0/token\"\n{proof}\n",
            entry(&server, "value = \"Bearer ${keyvault:prod/api}\""),
            vault.url(),
            vault.authority(),
            entra.url,
        );
        let gateway = Gateway::start_with(&text, &environment).await;
        let client = gateway.client_of("guarded", Era::Stateless).await;
        assert_eq!(call(&client, "x").await.is_ok(), good, "{proof}: {}", gateway.log());
        assert!(!gateway.log().contains(GATEWAY_SECRET));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_vault_is_asked_once_however_many_calls_wait() {
    let folder = tempfile::tempdir().unwrap();
    let token = token_file(folder.path(), "token", "root");
    let vault = vaults::HashiCorp::start("root").await;
    vault.put("secret/team/app", json!({"token": "first"}));
    let server = Guarded::bearer("first").await;
    let text = format!(
        "{}[vault.hashicorp]\nurl = {:?}\ntoken = \"${{file:{token}}}\"\nca = {:?}\nallow-private = true\n",
        entry(&server, "value = \"Bearer ${vault:secret/team/app#token}\""),
        vault.url(),
        vault.authority(),
    );
    let gateway = Gateway::start(&text).await;
    vault.trouble(vaults::Trouble::Slow(std::time::Duration::from_millis(300)));
    let client = gateway.client_of("guarded", Era::Stateless).await;
    let calls = (0..32).map(|at| {
        let client = &client;
        async move { call(client, &at.to_string()).await }
    });
    let done = futures_util::future::join_all(calls).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(vault.asked(), ["GET /v1/secret/data/team/app"]);
}

/// All that was recorded.
fn journal(gateway: &Gateway) -> String {
    let mut text = String::new();
    let mut folders = vec![gateway.folder()];
    while let Some(folder) = folders.pop() {
        for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            if file.is_dir() {
                folders.push(file);
            } else if file.extension().is_some_and(|ending| ending == "jsonl") {
                text += &std::fs::read_to_string(file).unwrap();
            }
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_can_neither_replace_nor_add_to_what_is_injected() {
    let server = Guarded::bearer(CANARY).await;
    let gateway = Gateway::start(&entry(&server, SEALED)).await;
    secret(&gateway, &["set", "api"], CANARY).await;
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {
            "name": "echo", "arguments": {"text": "x"},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    });
    let reply = Request::post(&gateway.address, "/mcp/guarded", body.to_string())
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "echo")
        .header("cookie", "of=client")
        .header("x-api-key", "of-client")
        .send()
        .await;
    assert_eq!(reply.status, 200);
    let calls = server.calls();
    let sent = &calls.last().unwrap().headers;
    assert_eq!(sent.get_all("authorization").iter().count(), 1);
    assert!(!sent.contains_key("cookie") && !sent.contains_key("x-api-key"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_leaves_shows_a_secret() {
    let server = Guarded::bearer("something else").await;
    let gateway = Gateway::start(&entry(&server, SEALED)).await;
    secret(&gateway, &["set", "api"], CANARY).await;
    let client = gateway.client_of("guarded", Era::Stateless).await;
    let mut shown = vec![call(&client, "x").await.unwrap_err()];
    for arguments in [
        &["secret", "list"][..],
        &["secret", "where-used"],
        &["secret", "expiry"],
        &["list", "--offline"],
        &["check"],
        &["posture"],
    ] {
        shown.push(run(gateway.command().args(arguments)).await);
    }
    shown.push(gateway.log());
    shown.push(journal(&gateway));
    assert!(shown.iter().all(|text| !text.contains("canary")), "{shown:?}");
}

/// What is started gets its own secrets and no others, and there is no core to look into.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn no_child_and_no_core_holds_what_is_not_its_own() {
    let server = Guarded::bearer(CANARY).await;
    let everything = e2e::binary("everything");
    let text = format!(
        "{}[servers.local]\ncommand = {everything:?}\nargs = [\"stdio\"]\nenv = {{ OWN = \"${{secret:own}}\" }}\n",
        entry(&server, SEALED)
    );
    let gateway = Gateway::start(&text).await;
    secret(&gateway, &["set", "api"], CANARY).await;
    secret(&gateway, &["set", "own"], "of-the-child").await;
    let client = gateway.client_of("guarded", Era::Stateless).await;
    eventually("the credential is used", async || call(&client, "x").await.is_ok()).await;
    let local = gateway.client_of("local", Era::Stateless).await;
    eventually("the child runs", async || !local.tools().await.is_empty()).await;

    let (mut environments, mut own) = (0, false);
    for pid in gateway.descendants() {
        let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else { continue };
        let text = String::from_utf8_lossy(&environment);
        assert!(!text.contains("canary"), "{text}");
        environments += 1;
        own |= text.contains("OWN=of-the-child");
    }
    assert!(environments > 0 && own);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gateway.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}
