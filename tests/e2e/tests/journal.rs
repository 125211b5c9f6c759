//! What the records of a call say, and what they never say.

use std::{path::Path, process::Stdio};

use e2e::{Era, Gateway, Upstream, binary, eventually, python, run, source};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{io::AsyncWriteExt, process::Command};

const SECRET: &str = "sk-never-in-a-record";

async fn records(gateway: &Gateway, filters: &[&str]) -> Vec<Value> {
    let mut command = gateway.command();
    let text = run(command.args(["--output", "json", "audit", "search"]).args(filters)).await;
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_record_says_under_which_rules_with_which_credential_and_how_long() {
    let upstream = Upstream::fixture("everything", &[]).await;
    let configuration = format!(
        r#"
        [trust]
        on-first-use = "approve"
        [identity]
        loopback = "open"
        [servers.new]
        url = "{}"
        allow-private = true
        [servers.new.credential]
        value = "Bearer ${{env:NEW_TOKEN}}"
        "#,
        upstream.url
    );
    let gateway = Gateway::start_with(&configuration, &[("NEW_TOKEN", SECRET)]).await;
    let client = gateway.client(Era::Stateless).await;
    assert_eq!(client.call_text("new__echo", json!({"text": "hi"})).await, "hi");
    client.call("new__nothing", json!({})).await;

    let found = records(&gateway, &["--tool", "new__echo"]).await;
    let [.., intent, outcome] = &found[..] else { panic!("{found:?}") };
    let digest = Sha256::digest(&configuration);
    let policy: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&intent["v"], &intent["policy"]), (&json!(3), &json!(policy[..16])));
    assert_eq!(intent.get("credential"), None);
    for member in ["request_sha256", "catalogue", "definition", "arguments_sha256"] {
        assert_eq!(intent[member].as_str().map(str::len), Some(64), "{member}: {intent}");
    }
    assert_ne!(intent["request_sha256"], intent["arguments_sha256"]);
    assert_eq!(outcome.get("request_sha256"), None);
    assert_eq!(outcome["credential"], "authorization [text]${env:NEW_TOKEN}");
    let time = |member: &str| outcome[member].as_u64().unwrap_or_else(|| panic!("{outcome}"));
    assert!(time("duration_us") >= time("before_us") + time("upstream_us"), "{outcome}");

    let refused = &records(&gateway, &["--refused"]).await[0];
    assert_eq!((&refused["kind"], &refused["policy"]), (&json!("refusal"), &intent["policy"]));
    // The start has all of the digest.
    let whole = records(&gateway, &[]).await;
    let kinds = ["intent", "refusal", "spawn", "system", "trust"];
    let decided = whole.iter().filter(|record| kinds.contains(&record["kind"].as_str().unwrap()));
    assert!(decided.clone().count() > 5);
    assert!(decided.clone().all(|record| record["policy"] == policy[..16]), "{whole:#?}");
    let started = whole.iter().find(|record| record["kind"] == "system").unwrap();
    assert!(started["detail"].as_str().unwrap().ends_with(&policy), "{started}");
    assert!(!serde_json::to_string(&whole).unwrap().contains(SECRET));
}

/// A program that reads standard input.
async fn piped(mut command: Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).await.unwrap();
    let done = child.wait_with_output().await.unwrap();
    assert!(done.status.success());
    done.stdout
}

/// What `pyrage` says: an auditor's own tool, without Bartizan.
async fn age(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(python("python"));
    command.arg(source("clients/age.py")).args(arguments);
    piped(command, input).await
}

async fn opened(gateway: &Gateway, seq: &Value, key: &Path) -> std::process::Output {
    let mut command = gateway.command();
    command.args(["audit", "open", &seq.to_string(), "--identity"]).arg(key);
    command.output().await.unwrap()
}

fn grep(folder: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return grep(&path, needle);
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        bytes.windows(needle.len()).any(|part| part == needle)
    })
}

#[tokio::test]
async fn what_calls_say_is_sealed_for_the_auditor_and_opened_by_rage() {
    let keys = String::from_utf8(age(&["keygen"], b"").await).unwrap();
    let (identity, recipient) = keys.trim().split_once(' ').unwrap();
    let command = binary("everything");
    let gateway = Gateway::start(&format!(
        "[servers.s]\ncommand = {command:?}\nargs = [\"stdio\"]\n\
         [audit]\nfields = [\"s/echo: kind\"]\n\
         [audit.payloads]\nrecipients = [{recipient:?}]\nexcept = [\"s/test_simple_text\"]\nlimit = \"1KiB\"\n"
    ))
    .await;
    let client = gateway.client_of("s", Era::Stateless).await;
    let said = "the-patient-has-a-cold";
    let arguments = json!({"text": said, "kind": "note"});
    client.call("echo", arguments.clone()).await;
    client.call("test_simple_text", json!({})).await;
    client.call("echo", json!({"text": "y".repeat(2000)})).await;
    client.call("echo", json!({"text": said, "path": "../../etc/passwd"})).await;

    let mut echoed = records(&gateway, &["--tool", "echo"]).await;
    echoed.retain(|record| record["kind"] != "trust");
    let [intent, outcome, large, _, refused] = &echoed[..] else { panic!("{echoed:#?}") };
    assert_eq!(intent["fields"], json!({"kind": "note"}));
    assert_eq!((&large["payload"], large.get("payload_sha256")), (&json!("too_large"), None));
    let added = records(&gateway, &["--tool", "test_simple_text"]).await;
    assert!(added.iter().all(|record| record.get("payload_sha256").is_none()), "{added:?}");
    let state = gateway.folder().join("state/audit");
    assert!(!grep(&state, said.as_bytes()), "in clear");

    // Rage opens what `--sealed` prints, and `open` what the record says.
    let key = gateway.folder().join("auditor.key");
    std::fs::write(&key, format!("# the auditor's\n{identity}\n")).unwrap();
    let mut command = gateway.command();
    command.args(["audit", "open", &intent["seq"].to_string(), "--sealed"]);
    let sealed = command.output().await.unwrap().stdout;
    let digest: String = Sha256::digest(&sealed).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(intent["payload_sha256"], digest);
    let by_rage: Value = serde_json::from_slice(&age(&["open", identity], &sealed).await).unwrap();
    assert_eq!(by_rage, arguments);
    let own = opened(&gateway, &intent["seq"], &key).await;
    assert_eq!(serde_json::from_slice::<Value>(&own.stdout).unwrap(), arguments);
    let result = opened(&gateway, &outcome["seq"], &key).await;
    let result: Value = serde_json::from_slice(&result.stdout).unwrap();
    assert_eq!(result["content"][0]["text"], said);
    // What was refused is evidence, too.
    assert_eq!(refused["kind"], "refusal");
    let attack = opened(&gateway, &refused["seq"], &key).await;
    assert!(String::from_utf8_lossy(&attack.stdout).contains("../../etc/passwd"));

    // Nobody else opens it, and what was changed is named.
    let other = String::from_utf8(age(&["keygen"], b"").await).unwrap();
    std::fs::write(&key, other.split(' ').next().unwrap()).unwrap();
    let strange = opened(&gateway, &intent["seq"], &key).await;
    assert_eq!(strange.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&strange.stderr).contains("not sealed for this identity"));
    let nothing = opened(&gateway, &added[0]["seq"], &key).await;
    assert_eq!(nothing.status.code(), Some(2), "{nothing:?}");
    let files = std::fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path());
    let mut files = files.filter(|path| path.extension().is_some_and(|e| e == "sealed"));
    let file = files.next().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(16).position(|part| part == &sealed[sealed.len() - 16..]).unwrap();
    let mut changed = bytes.clone();
    changed[at] ^= 1;
    std::fs::write(&file, changed).unwrap();
    let changed = opened(&gateway, &intent["seq"], &key).await;
    assert_eq!(changed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&changed.stderr).contains("not the one that was recorded"));

    // The log is whole without any of it.
    std::fs::remove_file(&file).unwrap();
    eventually("a checkpoint over all of it", async || {
        let verified = gateway.command().args(["audit", "verify"]).output().await.unwrap();
        verified.status.success()
    })
    .await;
    let gone = opened(&gateway, &intent["seq"], &key).await;
    assert!(String::from_utf8_lossy(&gone.stderr).contains("no longer there"), "{gone:?}");
}
