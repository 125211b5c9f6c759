//! People who sign in: a browser that they use, and clients that ask for it.

use std::{path::PathBuf, process::Stdio};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
};

use crate::{PATIENCE, node, node_module, python, run, source};

/// Somebody with a browser.
#[derive(Clone, Debug)]
pub struct Person {
    /// How they sign in at the provider.
    pub name: String,
    /// With which password.
    pub password: String,
    /// The origins that belong to the sign-in: the gateway's and the provider's.
    pub inside: Vec<String>,
    /// Whether they say no when they are asked.
    pub deny: bool,
    /// Where pictures of the pages go.
    pub shots: Option<PathBuf>,
}

impl Person {
    /// Somebody who agrees.
    pub fn new(name: &str, password: &str, inside: &[&str]) -> Self {
        let inside = inside.iter().map(|&origin| origin.to_owned()).collect();
        let shots = std::env::var_os("SIGNIN_SHOTS").map(PathBuf::from);
        Self { name: name.into(), password: password.into(), inside, deny: false, shots }
    }

    /// Opens a page and goes on until the sign-in is over. Returns where it ended: `url`, `status`, `title`, `text`, and
    /// the kinds of pages that were `seen`.
    pub async fn visit(&self, url: &str) -> Value {
        self.visit_with(url, "").await
    }

    /// The same, where a page asks for a device's code.
    pub async fn visit_with(&self, url: &str, code: &str) -> Value {
        let options = json!({
            "name": self.name, "password": self.password, "inside": self.inside, "deny": self.deny, "code": code,
            "shots": self.shots,
        });
        let mut command = Command::new(node());
        command.arg(source("clients/browser.mjs")).arg(url).arg(options.to_string());
        let output = run(&mut command).await;
        serde_json::from_str(&output).unwrap_or_else(|e| panic!("{e}: {output}"))
    }
}

/// Which client signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sdk {
    /// The Python SDK's.
    Python,
    /// The TypeScript SDK's.
    TypeScript,
}

impl Sdk {
    /// Both of them.
    pub const ALL: [Sdk; 2] = [Sdk::Python, Sdk::TypeScript];
}

/// A client that runs, and the person who uses it.
#[derive(Debug)]
pub struct SigningClient {
    /// Who is called when a page must be visited.
    pub person: Person,
    /// What they saw, a visit each.
    pub visits: Vec<Value>,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    log: Lines<BufReader<ChildStderr>>,
    heard: String,
    _child: Child,
}

impl SigningClient {
    /// Connects a client of an SDK, and signs in if it is asked to. The options are those of the scripts in `clients`.
    pub async fn connect(sdk: Sdk, url: &str, person: Person, options: &Value) -> Self {
        let mut command = match sdk {
            Sdk::Python => Command::new(python("python")),
            Sdk::TypeScript => Command::new(node()),
        };
        let script = if sdk == Sdk::Python { "oauth_client.py" } else { "oauth_client.mjs" };
        command.arg(source("clients").join(script)).arg(url).arg(options.to_string());
        let mut client = Self::start(command, person);
        let ready = client.answer().await;
        assert_eq!(ready, "ready", "{}", client.heard);
        client
    }

    /// Starts `mcp-remote`, which speaks MCP on its standard input and output.
    pub fn remote(url: &str, home: &std::path::Path, person: Person) -> Self {
        let mut command = Command::new(node());
        command
            .arg(node_module(".bin/mcp-remote"))
            .arg(url)
            .args(["--allow-http", "--auth-timeout", "60"])
            .env("HOME", home)
            .env("MCP_REMOTE_CONFIG_DIR", home)
            // Nobody's browser opens by itself.
            .env("PATH", node().parent().unwrap());
        Self::start(command, person)
    }

    fn start(mut command: Command, person: Person) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        Self {
            person,
            visits: Vec::new(),
            commands: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()).lines(),
            log: BufReader::new(child.stderr.take().unwrap()).lines(),
            heard: String::new(),
            _child: child,
        }
    }

    /// Gives the client a command, and waits for what comes back. On the way the person visits what must be visited.
    pub async fn ask(&mut self, command: &str) -> Value {
        self.tell(command).await;
        self.answer().await
    }

    /// Sends a request of MCP to a client that is a server on its standard input, and waits for its result.
    pub async fn request(&mut self, method: &str, params: Value) -> Value {
        let message = json!({ "jsonrpc": "2.0", "id": method, "method": method, "params": params });
        self.tell(&message.to_string()).await;
        loop {
            let answer = self.answer().await;
            if answer["id"] == method {
                assert!(answer.get("result").is_some(), "{answer}");
                return answer["result"].clone();
            }
        }
    }

    /// Gives the client a line that nobody answers.
    pub async fn tell(&mut self, line: &str) {
        self.commands.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// Waits until the client has ended, and returns what it said.
    pub async fn ends(&mut self) -> String {
        let ending = async {
            while let Some(line) = self.log.next_line().await.unwrap() {
                self.hear(&line).await;
            }
        };
        tokio::time::timeout(2 * PATIENCE, ending).await.expect("an end in time");
        self.heard.clone()
    }

    /// Waits until the person has visited a page.
    pub async fn visit_once(&mut self) {
        let visit = async {
            while self.visits.is_empty() {
                let line = self.log.next_line().await.unwrap().expect("the client ended");
                self.hear(&line).await;
            }
        };
        tokio::time::timeout(2 * PATIENCE, visit).await.expect("a visit in time");
    }

    /// What it says on standard error: our scripts say `visit URL`; mcp-remote writes the URL on a line of its own.
    async fn hear(&mut self, line: &str) {
        self.heard += line;
        self.heard += "\n";
        let url = line.strip_prefix("visit ").unwrap_or(line);
        if url.starts_with("http") && url.contains("/oauth/authorize?") {
            let visit = self.person.visit(url).await;
            self.visits.push(visit);
        }
    }

    async fn answer(&mut self) -> Value {
        tokio::time::timeout(2 * PATIENCE, self.next_answer()).await.unwrap_or_else(|_| {
            panic!("no answer in time: {}\n{:?}", self.heard, self.visits);
        })
    }

    async fn next_answer(&mut self) -> Value {
        let mut quiet = false;
        loop {
            tokio::select! {
                line = self.answers.next_line() => {
                    let line = line.unwrap().unwrap_or_else(|| panic!("the client ended: {}", self.heard));
                    return serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
                }
                line = self.log.next_line(), if !quiet => {
                    let Some(line) = line.unwrap() else {
                        quiet = true;
                        continue;
                    };
                    self.hear(&line).await;
                }
            }
        }
    }
}
