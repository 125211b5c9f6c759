//! A detector of somebody else: what it says, and what happens when it says nothing.

use std::{sync::Arc, time::Duration};

use e2e::{Client, Era, Gateway, binary};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Mutex,
};

/// What it was asked, request by request.
type Asked = Arc<Mutex<Vec<String>>>;

/// Answers each text by the word in it: `attack`, `slow`, `broken`, `odd`, else that it is clean.
async fn detector(attack: &'static str, clean: &'static str) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Asked::default();
    let kept = asked.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let kept = kept.clone();
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !is_whole(&request) {
                    if stream.read_buf(&mut request).await.unwrap() == 0 {
                        return;
                    }
                }
                let request = String::from_utf8(request).unwrap();
                let has = |word: &str| request.contains(word);
                let (status, body) = match () {
                    () if has("the word attack") => ("200 OK", attack),
                    () if has("the word broken") => ("500 Internal Server Error", clean),
                    () if has("the word odd") => ("200 OK", r#"{"verdict":"fine"}"#),
                    () => ("200 OK", clean),
                };
                let slow = has("the word slow");
                kept.lock().await.push(request);
                if slow {
                    std::future::pending::<()>().await;
                }
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    (address, asked)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok());
    length.is_some_and(|length| body.len() >= length)
}

async fn gateway(external: &str) -> Gateway {
    let command = binary("everything");
    Gateway::start(&format!(
        "[servers.s]\ncommand = {command:?}\nargs = [\"stdio\"]\n\
         [inspect.modes]\ninjection = \"block\"\n[inspect.external]\n{external}"
    ))
    .await
}

async fn echo(gateway: &Gateway, text: &str) -> Value {
    let client = Client::connect(&gateway.address, "/mcp/s", Era::Stateless).await;
    client.call("echo", json!({ "text": text })).await
}

fn refused(answer: &Value, why: &str) -> bool {
    answer["error"]["message"].as_str().is_some_and(|message| message.contains(why))
}

const AZURE: [&str; 2] = [
    r#"{"userPromptAnalysis":{"attackDetected":false},"documentsAnalysis":[{"attackDetected":true}]}"#,
    r#"{"userPromptAnalysis":{"attackDetected":false},"documentsAnalysis":[{"attackDetected":false}]}"#,
];

#[tokio::test]
async fn what_prompt_shields_calls_an_attack_has_the_mode_of_injection() {
    let (address, asked) = detector(AZURE[0], AZURE[1]).await;
    let path = "contentsafety/text:shieldPrompt?api-version=2024-09-01";
    let gateway = gateway(&format!(
        "url = \"http://{address}/{path}\"\nshape = \"azure-prompt-shields\"\nkey = \"k-17\"\ndeadline = \"20s\""
    ))
    .await;
    let answer = echo(&gateway, "it holds the word attack").await;
    assert!(refused(&answer, "injection"), "{answer}");
    let answer = echo(&gateway, "it rains").await;
    assert_eq!(answer["result"]["content"][0]["text"], "it rains", "{answer}");
    // More than eight documents of 10,000 characters.
    let answer = echo(&gateway, &"rain ".repeat(20_000)).await;
    assert!(refused(&answer, "inspect.external"), "{answer}");
    let asked = asked.lock().await;
    let (head, body) = asked[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with(&format!("POST /{path} ")), "{head}");
    assert!(head.to_ascii_lowercase().contains("ocp-apim-subscription-key: k-17"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["userPrompt"], "");
    assert!(body["documents"][0].as_str().unwrap().contains("the word attack"), "{body}");
}

#[tokio::test]
async fn a_result_that_is_not_judged_is_refused_unless_released_by_name() {
    const HOOK: [&str; 2] = [r#"{"attack":true,"reason":"orders"}"#, r#"{"attack":false}"#];
    let (address, asked) = detector(HOOK[0], HOOK[1]).await;
    let external = format!("url = \"http://{address}/judge\"\nkey = \"k-18\"\ndeadline = \"2s\"\n");
    let strict = gateway(&external).await;
    let lenient = gateway(&(external + "on-failure = \"release\"")).await;
    for word in ["slow", "broken", "odd"] {
        let text = format!("it holds the word {word}");
        let answer = echo(&strict, &text).await;
        assert!(refused(&answer, "inspect.external"), "{word}: {answer}");
        let answer = echo(&lenient, &text).await;
        assert_eq!(answer["result"]["content"][0]["text"], text, "{word}: {answer}");
    }
    for gateway in [&strict, &lenient] {
        let answer = echo(gateway, "it holds the word attack").await;
        assert!(refused(&answer, "injection"), "{answer}");
        let answer = echo(gateway, "it rains").await;
        assert_eq!(answer["result"]["content"][0]["text"], "it rains", "{answer}");
    }
    let asked = asked.lock().await;
    assert!(asked[0].to_ascii_lowercase().contains("authorization: bearer k-18"));
    let body: Value = serde_json::from_str(asked[0].split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&body["server"], &body["name"]), (&json!("s"), &json!("echo")));
}

#[tokio::test]
async fn nobody_is_asked_where_injection_is_off() {
    let (address, asked) = detector("{}", "{}").await;
    let gateway =
        gateway(&format!("url = \"http://{address}/\"\n[inspect.servers.s]\ninjection = \"off\""))
            .await;
    let answer = tokio::time::timeout(Duration::from_secs(20), echo(&gateway, "x")).await.unwrap();
    assert_eq!(answer["result"]["content"][0]["text"], "x", "{answer}");
    assert!(asked.lock().await.is_empty());
}
