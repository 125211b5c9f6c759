//! A real OpenID Connect provider, the npm package `oidc-provider`.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::{PATIENCE, node, source};

/// The secret of the client `bartizan` there.
pub const PROVIDER_SECRET: &str = "the-gateways-own-secret-at-the-provider";

/// A running provider, killed on drop. Its people are `alice` (groups `admins`, `users`) and `bob` (`users`), with any
/// password.
#[derive(Debug)]
pub struct OidcProvider {
    /// Its issuer.
    pub issuer: String,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl OidcProvider {
    /// Starts one that sends people back to this URI alone.
    pub async fn start(redirect_uri: &str) -> Self {
        let mut child = Command::new(node())
            .arg(source("clients/provider.mjs"))
            .arg(redirect_uri)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let issuer = line(&mut answers, "listening ").await;
        Self { issuer, commands, answers, _child: child }
    }

    /// Ends somebody's account.
    pub async fn disable(&mut self, name: &str) {
        self.commands.write_all(format!("disable {name}\n").as_bytes()).await.unwrap();
        line(&mut self.answers, "disabled").await;
    }
}

/// The rest of the next line that begins so.
async fn line(lines: &mut Lines<BufReader<ChildStdout>>, beginning: &str) -> String {
    let find = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the provider ended");
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
    };
    tokio::time::timeout(PATIENCE, find).await.expect("an answer of the provider")
}
