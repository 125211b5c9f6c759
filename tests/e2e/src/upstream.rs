//! Servers that listen on HTTP, to put behind the gateway.

use std::{path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{PATIENCE, binary};

/// A running HTTP server, killed on drop.
#[derive(Debug)]
pub struct Upstream {
    /// Its MCP endpoint.
    pub url: String,
    _child: Child,
}

impl Upstream {
    /// Starts a fixture of this workspace: `everything` or `hostile`.
    pub async fn fixture(name: &str, arguments: &[&str]) -> Self {
        let mut all = vec!["http"];
        all.extend(arguments);
        Self::start(&binary(name), &all).await
    }

    async fn start(program: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
        let line = line.expect("the server ended at once");
        let url = line.strip_prefix("listening ").expect("the line with the address").to_owned();
        Self { url, _child: child }
    }
}
