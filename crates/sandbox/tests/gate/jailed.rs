//! Real clients in a real jail: what they hold is a placeholder, what arrives is the secret.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sandbox::gate::{Prepared, Rules};
use sandbox::{Profile, spawn};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Child;
use tokio::time::timeout;

use crate::origin::Origin;
use crate::support::{Events, LIMITS, SECRET, prepare, rule, secret};

const PATIENCE: Duration = Duration::from_secs(60);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn installed(path: &str) -> String {
    let path = root().join(".tests").join(path);
    assert!(path.exists(), "{} is not installed: run ./test", path.display());
    path.to_str().unwrap().to_owned()
}

struct Jailed {
    origin: Origin,
    events: Events,
    child: Child,
    placeholder: String,
    _gate: sandbox::gate::Gate,
}

impl Jailed {
    /// Runs a command that reaches `api.test` with TLS, and holds a placeholder in `TOKEN`.
    async fn start(command: &str, args: &[&str]) -> Jailed {
        let list = vec![rule("api.test", 443), rule("other.test", 443), rule("rebound.test", 443)];
        let rules = Rules { list, learn: false };
        let origin = Origin::start().await;
        let events = Events::default();
        let prepared: Prepared = prepare(&origin, &events, rules, vec![secret("api.test")], LIMITS);
        let mut profile = Profile::new("gate", command);
        profile.jailer = Some(PathBuf::from(env!("CARGO_BIN_EXE_sandbox-jail")));
        profile.args = args.iter().map(|&arg| arg.to_owned()).collect();
        profile.env = prepared.environment();
        profile.files = prepared.files();
        profile.network = prepared.network();
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gate/clients");
        profile.read = vec![clients];
        let modules = root().join(".tests/npm/node_modules/ws");
        profile.read.extend(Some(modules).filter(|modules| modules.exists()));
        let placeholder = profile.env.iter().find(|(name, _)| name == "TOKEN").unwrap().1.clone();
        let spawned = spawn(&profile).unwrap_or_else(|fault| panic!("{fault}"));
        let gate = prepared.start(spawned.gate.unwrap());
        Jailed { origin, events, child: spawned.child, placeholder, _gate: gate }
    }

    async fn output(&mut self) -> String {
        drop(self.child.stdin.take());
        let (mut out, mut err) = (String::new(), String::new());
        let mut stdout = self.child.stdout.take().unwrap();
        let mut stderr = self.child.stderr.take().unwrap();
        let both = async {
            tokio::join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut err))
        };
        let (first, second) = timeout(PATIENCE, both).await.unwrap();
        first.and(second).unwrap();
        self.child.wait().await.unwrap();
        format!("{out}{err}")
    }

    /// A client that was given its token's place as a bearer's, and printed the answer.
    async fn swapped(command: &str, args: &[&str]) {
        let mut jailed = Jailed::start(command, args).await;
        let output = jailed.output().await;
        let seen = jailed.origin.seen();
        assert_eq!(seen.len(), 1, "{output}\n{:#?}", jailed.events.all());
        assert_eq!(seen[0].headers["authorization"], format!("Bearer {SECRET}"));
        assert!(output.contains(&jailed.placeholder), "{output}");
        assert!(!output.contains(SECRET), "{output}");
    }
}

fn client(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gate/clients").join(name);
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn curl() {
    let script = "curl -sS -H \"Authorization: Bearer $TOKEN\" https://api.test/";
    Jailed::swapped("sh", &["-c", script]).await;
}

#[tokio::test]
async fn node_fetch() {
    Jailed::swapped("node", &[&client("fetch.mjs")]).await;
}

#[tokio::test]
async fn node_websocket() {
    let module = installed("npm/node_modules/ws/wrapper.mjs");
    Jailed::swapped("node", &[&client("websocket.mjs"), &module]).await;
}

#[tokio::test]
async fn python_requests() {
    Jailed::swapped(&installed("py/bin/python"), &[&client("ask.py"), "requests"]).await;
}

#[tokio::test]
async fn python_httpx() {
    Jailed::swapped(&installed("py/bin/python"), &[&client("ask.py"), "httpx"]).await;
}

#[tokio::test]
async fn python_grpc() {
    Jailed::swapped(&installed("py/bin/python"), &[&client("ask.py"), "grpc"]).await;
}

#[tokio::test]
async fn git_over_https() {
    let repository = tempfile::tempdir().unwrap();
    let make = "git init -q --bare repo.git && git init -q work && cd work && echo text > file && git add file && \
                git -c user.name=x -c user.email=x@x commit -qm first && git push -q ../repo.git HEAD:refs/heads/main && \
                cd ../repo.git && git symbolic-ref HEAD refs/heads/main && git update-server-info";
    let made = tokio::process::Command::new("sh")
        .args(["-c", make])
        .current_dir(repository.path())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let clone = "cd /tmp && git clone -q https://git:$TOKEN@api.test/repo.git && cat repo/file; \
                 git -C repo config --get remote.origin.url";
    let mut jailed = Jailed::start("sh", &["-c", clone]).await;
    jailed.origin.serve_files(repository.path());
    let output = jailed.output().await;
    assert!(output.contains("text\n"), "{output}\n{:#?}", jailed.events.all());
    assert!(output.contains(&jailed.placeholder) && !output.contains(SECRET), "{output}");
    let credentials =
        base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("git:{SECRET}"));
    let seen = jailed.origin.seen();
    let last = seen.last().unwrap();
    assert_eq!(last.headers["authorization"], format!("Basic {credentials}"));
}

#[tokio::test]
async fn the_secret_is_nowhere_in_its_memory() {
    let script =
        "from ask import *\nimport sys\nprint(by_requests(), flush=True)\nsys.stdin.read()";
    let program = format!("import sys; sys.path.insert(0, {:?})\n{script}", client(""));
    let mut jailed = Jailed::start(&installed("py/bin/python"), &["-c", &program]).await;
    let mut lines = BufReader::new(jailed.child.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    assert!(line.contains(&jailed.placeholder), "{line}");
    assert_eq!(jailed.origin.seen()[0].headers["authorization"], format!("Bearer {SECRET}"));
    let tree = tree(jailed.child.id().unwrap());
    assert!(!tree.is_empty());
    let found = |text: &str| tree.iter().map(|pid| found(*pid, text.as_bytes())).sum::<usize>();
    assert!(found(&jailed.placeholder) > 0, "the search finds what is there");
    assert_eq!(found(SECRET), 0, "processes {tree:?}");
}

/// A process and all that came from it.
fn tree(root: u32) -> Vec<u32> {
    let mut all = vec![root];
    let mut at = 0;
    while let Some(pid) = all.get(at).copied() {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        all.extend(children.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
        at += 1;
    }
    all
}

/// How often a text stands in what a process can read of its own memory. Only root may look.
fn found(pid: u32, text: &[u8]) -> usize {
    use std::os::unix::fs::FileExt as _;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut count = 0;
    for line in
        maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|p| p.starts_with('r')))
    {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let (from, to) =
            (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        let mut at = from;
        let mut buffer = vec![0; 1 << 20];
        while at < to {
            let length = buffer.len().min((to - at) as usize);
            // Special mappings can't be read from outside.
            if memory.read_exact_at(&mut buffer[..length], at).is_err() {
                break;
            }
            count += memchr::memmem::find_iter(&buffer[..length], text).count();
            // What a border cuts is found from the other side.
            at += (length as u64).saturating_sub(text.len() as u64).max(1);
            if length < buffer.len() {
                break;
            }
        }
    }
    count
}

#[tokio::test]
async fn nothing_else_is_reached() {
    let mut jailed = Jailed::start(&installed("py/bin/python"), &[&client("escape.py")]).await;
    let output = jailed.output().await;
    let outcomes: Vec<&str> = output.lines().collect();
    assert!(outcomes.len() > 12, "{output}");
    for outcome in outcomes {
        assert!(outcome.ends_with(": refused"), "{output}\n{:#?}", jailed.events.all());
    }
    assert!(jailed.origin.seen().is_empty(), "{:#?}", jailed.origin.seen());
    for label in ["host", "name", "private_address", "server_name"] {
        jailed.events.refused(label).await;
    }
}
