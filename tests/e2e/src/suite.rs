//! The conformance suite, run against a URL or with a client.

use std::{collections::BTreeSet, path::Path, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::{PATIENCE, Person, node, node_module};

const SUITE: &str = "@modelcontextprotocol/conformance";

/// What the suite said.
#[derive(Debug)]
pub struct Verdict {
    /// Required scenarios that failed or never ran.
    pub failed: Vec<String>,
    /// Checks that gave a warning.
    pub warned: Vec<String>,
    /// Scenarios that do not count for this revision, and failed.
    pub unscored: Vec<String>,
    /// Everything it printed.
    pub output: String,
}

impl Verdict {
    /// Fails the test unless every required scenario passed.
    pub fn assert_perfect(&self, what: &str) {
        println!("{what}: warnings {:?}", self.warned);
        println!("{what}: not scored, and failed: {:?}", self.unscored);
        assert!(self.failed.is_empty(), "{what}: failed {:?}\n{}", self.failed, self.output);
    }
}

/// Runs the required server scenarios of a revision against a URL.
pub async fn server_suite(url: &str, revision: &str) -> Verdict {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["server", "--url", url, "--requirements", revision];
    let output = run(&arguments, folder.path()).await;
    let required = required(revision, "server");
    let passed = lines_marked(&output, "✓ ");
    let failed = required.difference(&passed).cloned().collect();
    let unscored = lines_marked(&output, "✗ ").difference(&required).cloned().collect();
    let (warned, details) = checks(folder.path());
    Verdict { failed, warned, unscored, output: details + &without_progress(&output) }
}

/// Runs the required client scenarios of a revision. The suite adds the URL of its server to the command.
pub async fn client_suite(command: &str, revision: &str) -> Verdict {
    let mut verdict =
        Verdict { failed: vec![], warned: vec![], unscored: vec![], output: String::new() };
    for scenario in required(revision, "client") {
        let folder = tempfile::tempdir().unwrap();
        let arguments =
            ["client", "--command", command, "--scenario", &scenario, "--spec-version", revision];
        let output = run(&arguments, folder.path()).await;
        if output.contains("OVERALL: PASSED") {
            println!("{revision}: passed {scenario}");
        } else {
            verdict.failed.push(scenario);
            verdict.output += &output;
        }
    }
    verdict
}

/// Runs the scenarios for authorization servers, with somebody who signs in. The client must be registered with
/// `http://127.0.0.1:PORT/callback`.
pub async fn authorization_suite(
    issuer: &str,
    client: &str,
    resource: &str,
    port: u16,
    person: &Person,
) -> Verdict {
    let folder = tempfile::tempdir().unwrap();
    let port = port.to_string();
    let arguments = [
        "authorization",
        "--url",
        issuer,
        "--client-id",
        client,
        "--resource",
        resource,
        "--port",
        &port,
    ];
    let mut command = command(&arguments, folder.path());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut output = String::new();
    let listen = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.starts_with("http") {
                person.visit(&line).await;
            }
            output += &line;
            output += "\n";
        }
    };
    tokio::time::timeout(4 * PATIENCE, listen).await.expect("the suite took too long");
    let (warned, details) = checks(folder.path());
    let scenarios = ["authorization-server-metadata-endpoint", "authorization-code-grant"];
    let passed = lines_marked(&output, "✓ ");
    let failed = scenarios.iter().filter(|name| !passed.contains(**name));
    let failed = failed.map(|name| (*name).to_owned()).collect();
    Verdict { failed, warned, unscored: vec![], output: details + &output }
}

async fn run(arguments: &[&str], folder: &Path) -> String {
    let output = tokio::time::timeout(4 * PATIENCE, command(arguments, folder).output()).await;
    let output = output.expect("the suite took too long").unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn command(arguments: &[&str], folder: &Path) -> Command {
    let node = node();
    let mut command = Command::new(&node);
    let path = format!("{}:{}", node.parent().unwrap().display(), std::env::var("PATH").unwrap());
    command
        .arg(node_module(SUITE).join("dist/index.js"))
        .args(arguments)
        .arg("-o")
        .arg(folder)
        .env("PATH", path)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// The checks that gave a warning, and what the failed ones complain of.
fn checks(folder: &Path) -> (Vec<String>, String) {
    let (mut warned, mut details) = (Vec::new(), String::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path().join("checks.json");
        let text = std::fs::read_to_string(&file).unwrap_or("[]".into());
        let checks: Vec<Value> = serde_json::from_str(&text).unwrap();
        for check in &checks {
            match check["status"].as_str() {
                Some("FAILURE") => details += &format!("{}: {check:#}\n", file.display()),
                Some("WARNING") => warned.push(check["id"].to_string()),
                _ => {}
            }
        }
    }
    (warned, details)
}

/// The scenarios that a revision requires of one side, from the suite's own list.
fn required(revision: &str, side: &str) -> BTreeSet<String> {
    let list = node_module(SUITE).join(format!("requirements/{revision}.yaml"));
    let text = std::fs::read_to_string(list).unwrap();
    let section = text.lines().skip_while(|line| *line != format!("{side}:")).skip(1);
    let items = section.take_while(|line| line.starts_with("  - "));
    let items: BTreeSet<_> = items.map(|line| line[4..].trim().to_owned()).collect();
    assert!(!items.is_empty(), "no {side} scenarios for {revision}");
    items
}

/// The scenarios that the summary marks so. A warning is marked like a failure.
fn lines_marked(output: &str, mark: &str) -> BTreeSet<String> {
    let marked = output.lines().filter_map(|line| line.strip_prefix(mark));
    marked.filter_map(|line| Some(line.split_once(": ")?.0.to_owned())).collect()
}

fn without_progress(output: &str) -> String {
    let dull = ["Running client scenario", "Results saved", "=== Running"];
    let lines = output.lines().filter(|line| !dull.iter().any(|start| line.starts_with(start)));
    lines.collect::<Vec<_>>().join("\n")
}
