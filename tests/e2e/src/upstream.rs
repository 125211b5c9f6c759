//! Servers that listen on HTTP, to put behind the gateway.

use std::{path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{PATIENCE, binary, environment, eventually, node, node_module, source};

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

    /// Starts the server whose definitions stand in a file.
    pub async fn shifting(file: &Path) -> Self {
        let script = source("servers/shifting.py");
        let arguments = [script.to_str().unwrap(), "http", file.to_str().unwrap()];
        Self::start(Path::new("python3"), &arguments).await
    }

    /// Starts a script of this crate that works in a folder.
    pub async fn script(script: &str, folder: &Path) -> Self {
        let script = source(script);
        let arguments = [script.to_str().unwrap(), folder.to_str().unwrap()];
        Self::start(&environment("py", "python"), &arguments).await
    }

    /// Starts the npm package server-everything in one of its HTTP modes.
    pub async fn npm_everything(mode: &str, path: &str) -> Self {
        // It takes a port number and does not say which it got, so a free one is found first.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let child = Command::new(node())
            .arg(node_module("@modelcontextprotocol/server-everything/dist/index.js"))
            .arg(mode)
            .env("PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        eventually("server-everything listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        Self { url: format!("http://127.0.0.1:{port}{path}"), _child: child }
    }

    /// Starts a program that says `listening URL`.
    pub async fn start(program: &Path, arguments: &[&str]) -> Self {
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
