//! Language models behind the gateway: what reaches them, what comes back, and who may.

mod provider;
mod spelled;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{Gateway, Reply, Request, eventually, python, run, source};
use entra::{Entra, MACHINE};
use http::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use provider::{LEAKY, Provider, SPELLER};

const AZURE: &str = "https://cognitiveservices.azure.com";
const CHAT: &str = r#"{"model":"gpt-5","messages":[{"role":"user","content":"a secret plan"}]}"#;
const STREAM: &str = r#"{"model":"gpt-5","messages":[],"stream":true}"#;

/// What a token says.
fn claims(token: &str) -> Value {
    let body = token.split('.').nth(1).and_then(|body| URL_SAFE_NO_PAD.decode(body).ok());
    body.and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default()
}

/// A gateway that calls a model with a key of its own; more of the configuration may follow.
async fn with_key(provider: &Provider, kind: &str, more: &str) -> Gateway {
    let configuration = format!(
        "[models.m]\nkind = \"{kind}\"\nurl = \"{}\"\nallow-private = true\ndeployments = [\"gpt-5\", \"gpt-5-mini\", \"claude-*\"]\n\
         [models.m.credential]\nvalue = \"Bearer ${{env:MODEL_KEY}}\"\n{more}",
        provider.url
    );
    let open = "[identity]\nloopback = \"open\"\n";
    Gateway::start_with(&format!("{open}{configuration}"), &[("MODEL_KEY", "the-real-key")]).await
}

fn post(gateway: &Gateway, path: &str, body: &str) -> Request {
    Request::post(&gateway.address, path, body.to_owned())
}

async fn json_of(reply: &mut Reply) -> Value {
    let text = reply.text().await;
    serde_json::from_str(&text).unwrap_or_else(|fault| panic!("{fault}: {text}"))
}

/// The records of calls of models, oldest first.
async fn records(gateway: &Gateway) -> Vec<Value> {
    let records = run(gateway.command().args(["audit", "search", "--output", "json"])).await;
    let mut records: Vec<Value> = serde_json::from_str(&records).unwrap();
    records.retain(|record| record["method"] == "models/call");
    records
}

/// The log's last record of a call that ended.
async fn last_outcome(gateway: &Gateway) -> Value {
    let records = records(gateway).await;
    records.into_iter().rfind(|record| record["kind"] == "outcome").unwrap_or_default()
}

/// What a maker's client makes of the gateway.
async fn client(what: &str, gateway: &Gateway, key: &str, model: &str) -> Value {
    let mut command = Command::new(python("python"));
    command.arg(source("clients/model_client.py"));
    let output = run(command.args([what, &gateway.url("/models/m"), key, model])).await;
    serde_json::from_str(&output).unwrap_or_else(|fault| panic!("{fault}: {output}"))
}

#[tokio::test]
async fn azure_sees_the_machines_identity_and_nothing_of_the_clients() {
    let (entra, provider) = (Entra::start().await, Provider::start(AZURE).await);
    let configuration = format!(
        "[identity]\nloopback = \"open\"\n[models.azure]\nkind = \"azure-openai\"\nurl = \"{}\"\nallow-private = true\n\
         [models.azure.exchange]\nkind = \"managed-identity\"\nresource = \"{AZURE}\"\n",
        provider.url
    );
    let environment = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.machine_url.as_str())];
    let gateway = Gateway::start_with(&configuration, &environment).await;
    let path =
        "/models/azure/openai/deployments/gpt-5/chat/completions?api-version=2024-10-21&code=x";
    let ask = async || {
        let request = post(&gateway, path, CHAT)
            .header("authorization", "Bearer sk-of-the-editor")
            .header("api-key", "another")
            .header("x-api-key", "a third")
            .header("openai-organization", "somebody-else")
            .header("cookie", "a=b");
        let mut reply = request.send().await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("x-ratelimit-remaining-tokens"), "9");
        json_of(&mut reply).await
    };
    assert_eq!(ask().await["choices"][0]["message"]["content"], "hello");
    let seen = provider.seen().remove(0);
    let token = seen.header("authorization").trim_start_matches("Bearer ").to_owned();
    assert_eq!((&claims(&token)["aud"], &claims(&token)["oid"]), (&json!(AZURE), &json!(MACHINE)));
    for name in ["api-key", "x-api-key", "openai-organization", "cookie"] {
        assert_eq!(seen.header(name), "", "{name}");
    }
    assert_eq!(seen.path, "/openai/deployments/gpt-5/chat/completions?api-version=2024-10-21");
    assert_eq!(seen.body, serde_json::from_str::<Value>(CHAT).unwrap());

    let outcome = last_outcome(&gateway).await;
    assert_eq!((&outcome["server"], &outcome["name"]), (&json!("azure"), &json!("gpt-5")));
    assert!(outcome["detail"].as_str().unwrap().ends_with("tokens: 12 in, 8 out"), "{outcome}");
    let log = run(gateway.command().args(["audit", "search", "--output", "json"])).await;
    assert!(
        !log.contains("secret plan") && !log.contains(&token),
        "a body or a token was recorded"
    );

    // A token that is over is got anew, once.
    provider.refuse(&token);
    ask().await;
    assert_eq!(provider.seen().len(), 3);
    assert_eq!(entra.asked("GET /metadata/identity"), 2);
}

#[tokio::test]
async fn the_makers_own_clients() {
    let provider = Provider::start("").await;
    for (kind, ways) in [
        ("openai", &["openai", "openai-stream", "openai-responses"][..]),
        ("azure-openai", &["azure", "azure-stream"]),
        ("anthropic", &["anthropic", "anthropic-stream"]),
    ] {
        let gateway = with_key(&provider, kind, "").await;
        for way in ways {
            let got = client(way, &gateway, "no-key-at-all", "gpt-5").await;
            assert_eq!(got, json!({ "text": "hello", "tokens": 20 }), "{way}");
            let outcome = last_outcome(&gateway).await;
            let detail = outcome["detail"].as_str().unwrap();
            assert!(detail.ends_with("tokens: 12 in, 8 out"), "{way}: {outcome}");
        }
        let refused = client(ways[0], &gateway, "no-key-at-all", "gpt-4").await;
        assert_eq!(
            (&refused["status"], &refused["kind"]),
            (&json!(404), &json!("NotFoundError")),
            "{refused}"
        );
    }
    for seen in provider.seen() {
        assert_eq!(seen.header("authorization"), "Bearer the-real-key");
        assert_eq!((seen.header("x-api-key"), seen.header("api-key")), ("", ""));
    }
}

#[tokio::test]
async fn roles_decide_which_models_are_there() {
    let provider = Provider::start("").await;
    let more = "[roles.small]\nmembers = [\"token:ci\"]\nallow = [\"model:m/gpt-5-mini\"]\n";
    let gateway = with_key(&provider, "openai", more).await;
    let token = gateway.token("ci").await;
    let got = client("openai", &gateway, &token, "gpt-5-mini").await;
    assert_eq!(got["text"], "hello");
    let refused = client("openai", &gateway, &token, "gpt-5").await;
    assert_eq!(refused["status"], 404, "{refused}");
    assert_eq!(client("openai-models", &gateway, &token, "").await["text"], "gpt-5-mini");
    // Roles are configured, and none is the loopback's.
    let reply = post(&gateway, "/models/m/v1/chat/completions", CHAT).send().await;
    assert_eq!(reply.status, 404);
    assert_eq!(provider.seen().len(), 1, "what is refused goes nowhere");
}

#[tokio::test]
async fn tokens_are_counted_for_each_caller() {
    let provider = Provider::start("").await;
    let more = "[limits.on.tokens]\nmatch = [\"model:m/*\"]\nper = [\"principal\"]\ntokens = \"40/1h\"\n\
                [roles.users]\nmembers = [\"token:a\", \"token:b\"]\nallow = [\"model:*\"]\n";
    let gateway = with_key(&provider, "openai", more).await;
    let (a, b) = (gateway.token("a").await, gateway.token("b").await);
    for way in ["openai", "openai-stream"] {
        assert_eq!(client(way, &gateway, &a, "gpt-5").await["text"], "hello");
    }
    let refused = client("openai", &gateway, &a, "gpt-5").await;
    assert_eq!(
        (&refused["status"], &refused["kind"]),
        (&json!(429), &json!("RateLimitError")),
        "{refused}"
    );
    let request = post(&gateway, "/models/m/v1/chat/completions", CHAT);
    let reply = request.header("authorization", &format!("Bearer {a}")).send().await;
    assert!(reply.header("retry-after").parse::<u64>().unwrap() > 0);
    assert_eq!(client("openai", &gateway, &b, "gpt-5").await["text"], "hello", "another's");
}

#[tokio::test]
async fn a_stream_passes_as_it_comes_and_ends_with_its_reader() {
    let provider = Provider::holding("", 0).await;
    let gateway = with_key(&provider, "openai", "").await;
    let path = "/models/m/v1/chat/completions";
    let mut reply = post(&gateway, path, STREAM).send().await;
    assert_eq!(reply.header("content-type"), "text/event-stream");
    assert_eq!((reply.header("x-request-id"), reply.header("set-cookie")), ("req-7", ""));
    // The first part is here although the model has not gone on.
    let first = loop {
        let event = reply.event().await.unwrap();
        if event.starts_with("data:") {
            break event;
        }
    };
    assert!(first.contains("hel"), "{first}");
    drop(reply);
    eventually("the model's side ends too", async || provider.left() == 1).await;
    eventually("it is recorded", async || last_outcome(&gateway).await["outcome"] == "unknown")
        .await;

    // To its end, byte for byte.
    provider.let_go(3);
    let mut reply = post(&gateway, path, STREAM).send().await;
    let text = reply.text().await;
    assert!(text.ends_with("data: [DONE]\n\n") && text.contains("\"total_tokens\":20"), "{text}");
    let outcome = last_outcome(&gateway).await;
    assert_eq!(outcome["outcome"], "ok");

    // One that breaks off is no whole answer.
    let reply = post(&gateway, path, STREAM).send().await;
    assert_eq!(reply.status, 200);
    provider.break_off();
    eventually("it is recorded", async || last_outcome(&gateway).await["outcome"] == "error").await;
}

#[tokio::test]
async fn what_was_asked_and_answered_is_sealed_for_the_auditor() {
    // The key pair of age's own test vectors.
    const IDENTITY: &str =
        "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";
    const RECIPIENT: &str = "age1xmwwc06ly3ee5rytxm9mflaz2u56jjj36s0mypdrwsvlul66mv4q47ryef";
    let provider = Provider::holding("", 0).await;
    let kept =
        format!("[audit.payloads]\nrecipients = [{RECIPIENT:?}]\nexcept = [\"m/gpt-5-mini\"]\n");
    let roles = "[roles.users]\nmembers = [\"token:ci\"]\nallow = [\"model:*\"]\ndeny = [\"model:m/claude-*\"]\n";
    let more = format!("{roles}{kept}limit = \"1KiB\"\n");
    let gateway = with_key(&provider, "openai", &more).await;
    let bearer = format!("Bearer {}", gateway.token("ci").await);
    let path = "/models/m/v1/chat/completions";
    let ask =
        async |body: &str| post(&gateway, path, body).header("authorization", &bearer).send().await;
    let key = gateway.folder().join("auditor.key");
    std::fs::write(&key, IDENTITY).unwrap();
    let opened = async |record: &Value| {
        let mut command = gateway.command();
        command.args(["audit", "open", &record["seq"].to_string(), "--identity"]).arg(&key);
        run(&mut command).await
    };

    // A whole answer, and what was asked.
    let answer = ask(CHAT).await.text().await;
    let [intent, outcome] = &records(&gateway).await[..] else { panic!("not one call") };
    assert_eq!(opened(intent).await, CHAT);
    assert_eq!(opened(outcome).await, answer);

    // A stream whose client leaves: what it had got, and no more.
    let mut reply = ask(STREAM).await;
    let mut got = String::new();
    while !got.contains("hel") {
        got += &reply.event().await.unwrap();
    }
    drop(reply);
    eventually("it is recorded", async || last_outcome(&gateway).await["outcome"] == "unknown")
        .await;
    let said = opened(&last_outcome(&gateway).await).await;
    assert!(said.contains("hel") && !said.contains("[DONE]"), "{said}");

    // One to its end.
    provider.let_go(100);
    let streamed = ask(STREAM).await.text().await;
    assert_eq!(opened(&last_outcome(&gateway).await).await, streamed);

    // What is refused is evidence; what is excepted or too long is not kept.
    let denied = r#"{"model":"claude-5","messages":[{"role":"user","content":"let me in"}]}"#;
    assert_eq!(ask(denied).await.status, 404);
    let refusal = records(&gateway).await.pop().unwrap();
    assert_eq!(refusal["kind"], "refusal");
    assert_eq!(opened(&refusal).await, denied);
    let excepted = r#"{"model":"gpt-5-mini","messages":[]}"#;
    assert_eq!(ask(excepted).await.status, 200);
    let long = chat("gpt-5", &"y".repeat(1024), false);
    assert_eq!(ask(&long).await.status, 200);
    let all = records(&gateway).await;
    let [.., excepted, _, long, _] = &all[..] else { panic!("{all:#?}") };
    assert_eq!((excepted.get("payload_sha256"), excepted.get("payload")), (None, None));
    assert_eq!(long["payload"], "too_large");
    let small = with_key(&provider, "openai", &format!("{kept}limit = \"300B\"\n")).await;
    let mut reply = post(&small, path, STREAM).send().await;
    assert!(reply.text().await.ends_with("data: [DONE]\n\n"), "it passes");
    assert_eq!(last_outcome(&small).await["payload"], "too_large");
}

#[tokio::test]
async fn who_is_kept_out() {
    let provider = Provider::start("").await;
    let gateway = with_key(&provider, "anthropic", "").await;
    let path = "/models/m/v1/messages";
    let body = r#"{"model":"claude-5","max_tokens":9,"messages":[]}"#;
    assert_eq!(post(&gateway, path, body).send().await.status, 200);
    let status = async |request: Request| request.send().await.status.as_u16();
    assert_eq!(status(post(&gateway, path, body).header("host", "evil.example")).await, 403);
    assert_eq!(
        status(post(&gateway, path, body).header("origin", "https://evil.example")).await,
        403
    );
    assert_eq!(status(post(&gateway, path, body).header("x-forwarded-for", "10.0.0.1")).await, 401);
    assert_eq!(status(post(&gateway, path, body).header("content-type", "text/plain")).await, 415);
    for (path, body, expected) in [
        ("/models/m/v1/files", body, 404),
        ("/models/m/v1/messages/batches", body, 404),
        ("/models/m/v1/../v1/messages", body, 404),
        ("/models/other/v1/messages", body, 404),
        (path, r#"{"model":"claude-5","model":"gpt-4"}"#, 400),
        (path, r#"{"messages":[]}"#, 400),
        (path, r#"{"model":"gpt-4"}"#, 404),
        (path, "no json", 400),
    ] {
        assert_eq!(status(post(&gateway, path, body)).await, expected, "{path} {body}");
    }
    let get = Request::new(Method::GET, &gateway.address, path);
    assert_eq!(status(get).await, 405);
    assert_eq!(provider.seen().len(), 1);

    // Without the loosening, and in the protocol's own words.
    let configuration = format!(
        "[models.m]\nkind = \"anthropic\"\nurl = \"{}\"\nallow-private = true\n",
        provider.url
    );
    let closed = Gateway::start_with(&configuration, &[]).await;
    let refused = client("anthropic", &closed, "no-key-at-all", "claude-5").await;
    assert_eq!(
        (&refused["status"], &refused["kind"]),
        (&json!(401), &json!("AuthenticationError")),
        "{refused}"
    );
    assert_eq!(refused["body"]["type"], "error");
}

#[tokio::test]
async fn another_user_of_this_machine_spends_nothing() {
    use std::os::unix::fs::MetadataExt;
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("only root can be somebody else");
        return;
    }
    let provider = Provider::start("").await;
    let gateway = with_key(&provider, "openai", "").await;
    let script = "import sys, urllib.request as u\n\
                  r = u.Request(sys.argv[1], data=sys.argv[2].encode(), headers={'Content-Type': 'application/json'})\n\
                  try: print(u.urlopen(r).status)\n\
                  except u.HTTPError as e: print(e.code)\n";
    let url = gateway.url("/models/m/v1/chat/completions");
    let as_user = async |uid: u32| {
        let mut command = Command::new("python3");
        command.env("no_proxy", "*").current_dir("/");
        run(command.uid(uid).args(["-c", script, &url, CHAT])).await.trim().to_owned()
    };
    assert_eq!(as_user(0).await, "200");
    assert_eq!(as_user(65_534).await, "401");
}

#[tokio::test]
async fn what_the_model_says_of_bartizans_key_is_not_told() {
    let provider = Provider::start("somebody else's audience").await;
    let gateway = with_key(&provider, "openai", "").await;
    let mut reply = post(&gateway, "/models/m/v1/chat/completions", CHAT).send().await;
    assert_eq!(reply.status, 502);
    let text = reply.text().await;
    assert!(
        !text.contains("the-real-key") && text.contains("refused Bartizan's credential"),
        "{text}"
    );

    let metadata = "[identity]\nloopback = \"open\"\n[models.m]\nkind = \"openai\"\nurl = \"http://169.254.169.254\"\n";
    let gateway = Gateway::start_with(metadata, &[]).await;
    let mut reply = post(&gateway, "/models/m/v1/chat/completions", CHAT).send().await;
    assert_eq!(reply.status, 502);
    assert!(reply.text().await.contains("an address that is not allowed"));
}

/// What the log has about secrets that were found.
async fn leaks(gateway: &Gateway) -> Vec<Value> {
    let records = run(gateway.command().args(["audit", "search", "--output", "json"])).await;
    let records: Vec<Value> = serde_json::from_str(&records).unwrap();
    records.into_iter().filter(|record| record["kind"] == "leak").collect()
}

fn chat(model: &str, text: &str, stream: bool) -> String {
    json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]})
        .to_string()
}

#[tokio::test]
async fn secrets_go_to_no_model_and_come_back_from_none() {
    let provider = Provider::start("").await;
    let gateway = with_key(&provider, "openai", "").await;
    let path = "/models/m/v1/chat/completions";
    let mut reply = post(&gateway, path, &chat(LEAKY, "x", false)).send().await;
    assert_eq!(reply.header("x-request-id"), "", "a header that says it is left out");
    let said = json_of(&mut reply).await["choices"][0]["message"]["content"].clone();
    assert_eq!(said, "the key is [secret], of course");

    let mut reply = post(&gateway, path, &chat(LEAKY, "x", true)).send().await;
    let text = reply.text().await;
    assert!(
        text.contains("the key is [secret], of course") && text.ends_with("[DONE]\n\n"),
        "{text}"
    );
    assert!(!text.contains("real-key"), "{text}");

    // Somebody puts it into a prompt, in two ways.
    let prompt = "MODEL_KEY=the-real-key, or dGhlLXJlYWwta2V5";
    assert_eq!(post(&gateway, path, &chat("gpt-5", prompt, false)).send().await.status, 200);
    let seen = provider.seen();
    let sent = &seen.last().unwrap().body["messages"][0]["content"];
    assert!(sent.as_str().unwrap().starts_with("MODEL_KEY=[secret], or [secret]"), "{sent}");
    assert_eq!(seen.last().unwrap().header("authorization"), "Bearer the-real-key");

    let leaks = leaks(&gateway).await;
    assert_eq!(leaks.len(), 3);
    for leak in leaks {
        assert_eq!((&leak["server"], &leak["method"]), (&json!("m"), &json!("models/call")));
        assert!(leak["detail"].as_str().unwrap().contains("env:MODEL_KEY"), "{leak}");
    }
}

#[tokio::test]
async fn what_a_model_spells_letter_by_letter_is_found_too() {
    let provider = Provider::start("").await;
    for (kind, ways) in [
        ("openai", &["openai-spelled", "openai-responses-spelled"][..]),
        ("anthropic", &["anthropic-spelled"]),
    ] {
        let gateway = with_key(&provider, kind, "").await;
        for way in ways {
            let got = client(way, &gateway, "no-key-at-all", SPELLER).await;
            let text = r#"the key is [secret], of course {"key":"[secret]"}"#;
            assert_eq!(got, json!({ "text": text, "tokens": 20 }), "{way}");
        }
        let leaks = leaks(&gateway).await;
        assert_eq!(leaks.len(), ways.len());
        assert!(leaks.iter().all(|leak| leak["detail"] == "env:MODEL_KEY"), "{leaks:?}");
    }
    let gateway = with_key(&provider, "openai", "[leaks]\naction = \"block\"\n").await;
    let path = "/models/m/v1/chat/completions";
    let mut reply = post(&gateway, path, &chat(SPELLER, "x", true)).send().await;
    let mut heard = String::new();
    while let Some(event) = reply.event().await {
        heard += &event;
    }
    let data = heard.lines().filter_map(|line| line.strip_prefix("data: "));
    let said = data.filter_map(|data| {
        let chunk: Value = serde_json::from_str(data).ok()?;
        chunk.pointer("/choices/0/delta/content")?.as_str().map(str::to_owned)
    });
    assert_eq!(said.collect::<String>(), "the key is ", "not its first letter: {heard}");
    assert_eq!(last_outcome(&gateway).await["outcome"], "refused");
}

#[tokio::test]
async fn where_leaks_are_blocked_neither_passes() {
    let provider = Provider::start("").await;
    let gateway = with_key(&provider, "openai", "[leaks]\naction = \"block\"\n").await;
    let path = "/models/m/v1/chat/completions";
    // The key becomes known with its first use.
    assert_eq!(post(&gateway, path, CHAT).send().await.status, 200);
    let mut reply = post(&gateway, path, &chat(LEAKY, "x", false)).send().await;
    let text = reply.text().await;
    assert!(!reply.status.is_success() && !text.contains("real-key"), "{text}");
    let reply = post(&gateway, path, &chat("gpt-5", "the-real-key", false)).send().await;
    assert!(!reply.status.is_success());
    assert_eq!(provider.seen().len(), 2, "the prompt went nowhere");
    let mut reply = post(&gateway, path, &chat(LEAKY, "x", true)).send().await;
    let mut heard = String::new();
    while let Some(event) = reply.event().await {
        heard += &event;
    }
    assert!(!heard.contains("real-key") && !heard.contains("[DONE]"), "{heard}");
    let outcome = last_outcome(&gateway).await;
    assert_eq!(outcome["outcome"], "refused", "{outcome}");
    assert_eq!(leaks(&gateway).await.len(), 3);
}

#[tokio::test]
async fn a_token_that_was_exchanged_is_known_too() {
    let (entra, provider) = (Entra::start().await, Provider::start(AZURE).await);
    let configuration = format!(
        "[identity]\nloopback = \"open\"\n[models.azure]\nkind = \"azure-openai\"\nurl = \"{}\"\nallow-private = true\n\
         [models.azure.exchange]\nkind = \"managed-identity\"\nresource = \"{AZURE}\"\n",
        provider.url
    );
    let environment = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.machine_url.as_str())];
    let gateway = Gateway::start_with(&configuration, &environment).await;
    let path = "/models/azure/openai/v1/chat/completions";
    let mut reply = post(&gateway, path, &chat(LEAKY, "x", false)).send().await;
    let said = json_of(&mut reply).await["choices"][0]["message"]["content"].clone();
    assert_eq!(said, "the key is [secret], of course");
}
