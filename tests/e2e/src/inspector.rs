//! The MCP Inspector: a page in somebody's browser, and the program that shows it.

use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{PATIENCE, Person, free_url, node, node_module, run, source};

/// A running Inspector in front of one server, killed on drop.
#[derive(Debug)]
pub struct Inspector {
    page: String,
    _child: Child,
    _home: TempDir,
}

impl Inspector {
    /// Starts one that knows nothing yet; `era` is `legacy`, `auto` or `modern`.
    pub async fn start(server: &str, era: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let port = || free_url().rsplit(':').next().unwrap().to_owned();
        let mut child = Command::new(node())
            .arg(node_module(".bin/mcp-inspector"))
            .args(["--web", "--transport", "http", "--server-url", server, "--protocol-era", era])
            .env("HOME", home.path())
            .env("MCP_AUTO_OPEN_ENABLED", "false")
            .env("CLIENT_PORT", port())
            .env("MCP_SANDBOX_PORT", port())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("?MCP_INSPECTOR_API_TOKEN=") {
                    return line.trim().to_owned();
                }
            }
            panic!("the Inspector ended");
        };
        let page = tokio::time::timeout(PATIENCE, told).await.expect("its page");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { page, _child: child, _home: home }
    }

    /// Somebody connects, signs in, and has `echo` say something: the pages that were `seen`, the `tools` that are listed,
    /// what was `said`.
    pub async fn used_by(&self, person: &Person, say: &str) -> Value {
        let options = json!({
            "say": say, "name": person.name, "password": person.password, "inside": person.inside,
            "shots": person.shots,
        });
        let mut command = Command::new(node());
        command.arg(source("clients/inspector.mjs")).arg(&self.page).arg(options.to_string());
        let output = run(&mut command).await;
        serde_json::from_str(&output).unwrap_or_else(|e| panic!("{e}: {output}"))
    }
}
