//! What the tests share: a scripted process, facts of a client, short ways to send.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod web;

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mcp::{Json, JsonBuf, Limits, ServerName};
use tokio::sync::mpsc;
use upstream::{
    Answer, ClientFacts, EraChoice, Event, Launch, Launched, Link, LinkFault, LinkLimits, LogWish,
    Outgoing, Partition,
};

pub fn json(text: &str) -> JsonBuf {
    JsonBuf::read(text.as_bytes().to_vec().into(), &Limits::default()).unwrap()
}

pub fn value(json: &JsonBuf) -> serde_json::Value {
    serde_json::from_slice(json.bytes()).unwrap()
}

pub fn facts(capabilities: &str) -> ClientFacts {
    ClientFacts { capabilities: json(capabilities), info: None, log: LogWish::None }
}

pub fn partition(name: &str) -> Partition {
    Partition(name.into())
}

pub fn soon(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

pub fn name() -> ServerName {
    ServerName::new("peer").unwrap()
}

/// A link to the scripted process, and how many were started.
pub fn scripted(era: &str, choice: EraChoice, limits: LinkLimits) -> (Link, Arc<AtomicUsize>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/peer.py");
    let era = era.to_owned();
    let starts = Arc::new(AtomicUsize::new(0));
    let count = starts.clone();
    let launch: Launch = Arc::new(move |_: &Partition| {
        count.fetch_add(1, Ordering::Relaxed);
        tokio::process::Command::new("python3")
            .args(["-S".as_ref(), script.as_os_str(), era.as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map(Launched::from)
            .map_err(|error| error.to_string())
    });
    (Link::stdio(name(), launch, choice, limits), starts)
}

/// One call's surroundings: change what a test is about.
pub struct Caller {
    pub partition: Partition,
    /// When it is another than the partition's own.
    pub principal: Option<&'static str>,
    pub client: ClientFacts,
    pub credential: upstream::Credential,
    pub deadline: Duration,
    pub events: mpsc::Sender<Event>,
    pub heard: mpsc::Receiver<Event>,
}

impl Caller {
    pub fn new(capabilities: &str) -> Caller {
        let (events, heard) = mpsc::channel(64);
        Caller {
            partition: partition("p"),
            principal: None,
            client: facts(capabilities),
            credential: upstream::Credential::default(),
            deadline: Duration::from_secs(20),
            events,
            heard,
        }
    }

    pub async fn send(&self, link: &Link, method: &str, params: &str) -> Result<Answer, LinkFault> {
        let params = json(params);
        self.send_json(link, method, params.json()).await
    }

    pub async fn send_json(
        &self,
        link: &Link,
        method: &str,
        params: Json<'_>,
    ) -> Result<Answer, LinkFault> {
        let out = Outgoing {
            partition: &self.partition,
            principal: self.principal.unwrap_or(&self.partition.0),
            method,
            params,
            client: &self.client,
            param_headers: Vec::new(),
            credential: self.credential.clone(),
            deadline: Instant::now() + self.deadline,
        };
        link.send(out, &self.events).await
    }

    /// Calls a tool of the scripted peer and reads the JSON in its text.
    pub async fn tool(&self, link: &Link, name: &str, arguments: &str) -> serde_json::Value {
        let params = format!(r#"{{"name":"{name}","arguments":{arguments}}}"#);
        let answer = self.send(link, "tools/call", &params).await.unwrap();
        text(&answer)
    }

    /// The events that are there.
    pub fn heard(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }
}

/// The JSON in the text of a tool's result.
pub fn text(answer: &Answer) -> serde_json::Value {
    let result = value(answer.outcome.as_ref().unwrap());
    let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{result}"));
    serde_json::from_str(text).unwrap()
}

/// Waits for a condition.
pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let end = soon(15);
    while !condition().await {
        assert!(Instant::now() < end, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process is there, and not only its entry.
pub fn runs(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

/// Children of this test process that ended and were not reaped.
pub fn zombies() -> usize {
    let mine = format!(" {} ", std::process::id());
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| stat.contains(&format!(") Z{mine}")))
        .count()
}
