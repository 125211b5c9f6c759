//! Keys in a real keyring: the vault's master key, and the key of the sign-ins.

use std::{fs, process::Stdio};

use e2e::{
    Client, Era, Gateway, Guarded, Keyring, OidcProvider, PROVIDER_SECRET, Person, free_url, run,
};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

const BUS: &str = "DBUS_SESSION_BUS_ADDRESS";
const KEYRING: &str = "[vault]\nmaster = \"keyring\"\n";

/// A command beside the gateway, in the keyring's session, with something on standard input: whether it worked, and all that it said.
async fn command(
    gateway: &Gateway,
    keyring: &Keyring,
    arguments: &[&str],
    input: &str,
) -> (bool, String) {
    let mut command = gateway.command();
    command.args(arguments).env(BUS, &keyring.bus);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut standard = child.stdin.take().unwrap();
    let _ = standard.write_all(input.as_bytes()).await;
    drop(standard);
    let done = child.wait_with_output().await.unwrap();
    let said = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
    (done.status.success(), said)
}

async fn works(gateway: &Gateway, keyring: &Keyring, arguments: &[&str], input: &str) -> String {
    let (worked, said) = command(gateway, keyring, arguments, input).await;
    assert!(worked, "{said}");
    said
}

async fn calls(gateway: &Gateway) -> bool {
    let client = Client::connect(&gateway.address, "/mcp/guarded", Era::Stateless).await;
    client.call("echo", json!({"text": "hello"})).await.pointer("/result/content").is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_key_is_in_the_keyring_and_in_no_file() {
    let (mut keyring, server) = (Keyring::start().await, Guarded::bearer("the-token").await);
    let entry = format!(
        "[trust]\non-first-use = \"approve\"\n[identity]\nloopback = \"open\"\n[servers.guarded]\nurl = {:?}\n\
         allow-private = true\nera = \"stateless\"\ncredential = {{ value = \"Bearer ${{secret:api}}\" }}\n",
        server.url
    );
    let with_keyring = format!("{entry}{KEYRING}");
    let mut gateway = Gateway::start_with(&with_keyring, &[(BUS, &keyring.bus)]).await;
    let state = gateway.folder().join("state");
    works(&gateway, &keyring, &["secret", "set", "api"], "the-token").await;
    assert!(calls(&gateway).await);
    assert_eq!(keyring.items(&state).await, 1, "and it names the state folder");
    assert!(!state.join("vault.key").exists());

    // A new one takes its place while the gateway runs.
    works(&gateway, &keyring, &["secret", "rotate-master"], "").await;
    assert_eq!(keyring.items(&state).await, 1, "the old one is gone");
    works(&gateway, &keyring, &["secret", "rotate", "api"], "the-token").await;
    assert!(calls(&gateway).await);

    // Locked, and not there at all: each says what to do, and nothing is made anew.
    keyring.lock().await;
    let rotate = ["secret", "rotate", "api"];
    let (worked, said) = command(&gateway, &keyring, &rotate, "another").await;
    assert!(!worked && said.contains("the keyring is locked"), "{said}");
    assert!(said.contains("unlock it") && said.contains("\"passphrase\""), "{said}");
    assert!(calls(&gateway).await, "what is opened stays open");
    keyring.stop().await;
    let (worked, said) = command(&gateway, &keyring, &rotate, "another").await;
    assert!(!worked && said.contains("no keyring answers"), "{said}");
    gateway.stop().await;
    let up = ["up", "--listen", "127.0.0.1:0"];
    let (worked, said) = command(&gateway, &keyring, &up, "").await;
    assert!(!worked && said.contains("no keyring answers"), "{said}");

    // Another keyring has another person's keys.
    let other = Keyring::start().await;
    let (worked, said) = command(&gateway, &other, &up, "").await;
    assert!(!worked && said.contains("does not have the master key"), "{said}");
    keyring.unlock().await;

    // To a file, and back: what was set is the same.
    gateway.configure_with(&entry);
    works(&gateway, &keyring, &["secret", "rotate-master"], "").await;
    assert!(state.join("vault.key").exists());
    works(&gateway, &other, &["secret", "rotate", "api"], "the-token").await;
    gateway.configure_with(&with_keyring);
    works(&gateway, &keyring, &["secret", "rotate-master"], "").await;
    fs::remove_file(state.join("vault.key")).unwrap();
    works(&gateway, &keyring, &["secret", "rotate", "api"], "the-token").await;
}

/// A gateway at which people sign in.
async fn with_sign_in(url: &str, issuer: &str) -> Gateway {
    let configuration = format!(
        r#"
        public-url = "{url}"
        [identity.providers.id]
        kind = "oidc"
        issuer = "{issuer}"
        allow-private = true
        [sign-in]
        provider = "id"
        client-id = "bartizan"
        client-secret = "${{env:PROVIDER_SECRET}}"
        [roles.everybody]
        members = ["user:id/alice"]
        allow = ["*"]
        "#
    );
    Gateway::start_at(url, &configuration, &[("PROVIDER_SECRET", PROVIDER_SECRET)]).await
}

/// Signs in with a code that alice types into her browser; what the command said at the end.
async fn login(mut command: Command, url: &str, alice: &Person) -> String {
    command.args(["login", url, "--device"]).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut told = Vec::new();
    while told.len() < 3 {
        told.push(lines.next_line().await.unwrap().unwrap_or_else(|| panic!("{told:?}")));
    }
    alice.visit_with(told[0].split(' ').nth(1).unwrap(), told[2].trim()).await;
    while let Some(line) = lines.next_line().await.unwrap() {
        told.push(line);
    }
    assert!(child.wait().await.unwrap().success(), "{told:?}");
    told.split_off(3).join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_open_with_a_key_in_the_keyring_where_there_is_one() {
    let (mut keyring, url) = (Keyring::start().await, free_url());
    let provider = OidcProvider::start(&format!("{url}/oauth/callback")).await;
    let gateway = with_sign_in(&url, &provider.issuer).await;
    let (state, remote) = (gateway.folder().join("state"), format!("{url}/mcp"));
    let alice = Person::new("alice", "any password", &[&url, &provider.issuer]);
    let whoami = ["whoami", "--output", "json"];
    let beside = state.join("login.key");

    // Without one, in a file, and the command says so.
    let said = login(gateway.command(), &remote, &alice).await;
    assert!(said.contains("no keyring answers") && said.contains("--passphrase"), "{said}");
    assert!(beside.exists());
    assert!(run(gateway.command().args(whoami)).await.contains(&url));

    // With one, the next sign-in moves it there.
    let mut command_there = gateway.command();
    command_there.env(BUS, &keyring.bus);
    let said = login(command_there, &remote, &alice).await;
    assert!(said.contains("this session's keyring"), "{said}");
    assert!(!beside.exists());
    assert_eq!(keyring.items(&state).await, 1);
    assert!(works(&gateway, &keyring, &whoami, "").await.contains(&url));
    keyring.lock().await;
    let (worked, said) = command(&gateway, &keyring, &whoami, "").await;
    assert!(!worked && said.contains("locked") && !said.contains("eyJ"), "{said}");
    keyring.unlock().await;

    works(&gateway, &keyring, &["logout"], "").await;
    assert_eq!(keyring.items(&state).await, 0, "the key is gone with the sign-in");
    assert_eq!(fs::read_to_string(state.join("login")).unwrap(), "");
}
