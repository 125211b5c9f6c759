//! The real binary, running.

use std::{
    fs::{self, DirBuilder, File},
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    process::{ExitStatus, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{Client, Era, PATIENCE, binary, run};

/// A running gateway in a folder of its own, killed on drop.
#[derive(Debug)]
pub struct Gateway {
    /// Its address, as `host:port`.
    pub address: String,
    child: Child,
    folder: TempDir,
}

/// What most tests want: anyone on the loopback may call, and definitions are trusted on first use.
const OPEN: &str = "[trust]\non-first-use = \"approve\"\n[identity]\nloopback = \"open\"\n";

impl Gateway {
    /// Starts a gateway that lets in anyone on the loopback. The text holds the sections of the
    /// configuration after `[identity]`.
    pub async fn start(configuration: &str) -> Self {
        Self::start_with(&format!("{OPEN}{configuration}"), &[]).await
    }

    /// Starts a gateway with exactly this configuration and these variables more.
    pub async fn start_with(configuration: &str, environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("bartizan.toml"), configuration).unwrap();
        Self::run_in(folder, environment).await
    }

    /// Ends it and starts another with the same files.
    pub async fn restart(mut self) -> Self {
        self.stop().await;
        Self::run_in(self.folder, &[]).await
    }

    /// Starts another one, with this configuration and the same store.
    pub async fn beside(&self, configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("bartizan.toml"), configuration).unwrap();
        let state = folder.path().join("state");
        DirBuilder::new().mode(0o700).create(&state).unwrap();
        let store = self.folder.path().join("state/bartizan.db");
        std::os::unix::fs::symlink(store, state.join("bartizan.db")).unwrap();
        Self::run_in(folder, &[]).await
    }

    /// Changes the configuration while it runs.
    pub fn configure(&self, configuration: &str) {
        self.configure_with(&format!("{OPEN}{configuration}"));
    }

    /// The same with exactly this configuration.
    pub fn configure_with(&self, text: &str) {
        fs::write(self.folder.path().join("bartizan.toml"), text).unwrap();
    }

    /// Starts one at a URL that was chosen before, since others have to know it: `http://localhost:PORT`.
    pub async fn start_at(url: &str, configuration: &str, environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("bartizan.toml"), configuration).unwrap();
        let port = url.rsplit(':').next().unwrap();
        Self::listen(folder, &format!("127.0.0.1:{port}"), environment).await
    }

    async fn run_in(folder: TempDir, environment: &[(&str, &str)]) -> Self {
        Self::listen(folder, "127.0.0.1:0", environment).await
    }

    async fn listen(folder: TempDir, address: &str, environment: &[(&str, &str)]) -> Self {
        let mut command = command(&folder);
        command.args(["up", "--listen", address]).envs(environment.iter().copied());
        let log = File::create(folder.path().join("stderr")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listening = async {
            let mut heard = String::new();
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, rest)) = line.split_once("listening on http://") {
                    return rest.split([' ', '/']).next().unwrap().to_owned();
                }
                heard += &line;
            }
            let log = fs::read_to_string(folder.path().join("stderr")).unwrap();
            panic!("the gateway ended before it listened:\n{heard}\n{log}");
        };
        let address = tokio::time::timeout(PATIENCE, listening).await.expect("its address");
        // Whatever it prints later is read, so that it never waits for us.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { address, child, folder }
    }

    /// A client of all servers together.
    pub async fn client(&self, era: Era) -> Client {
        Client::connect(&self.address, "/mcp", era).await
    }

    /// A client of one server, its names untouched.
    pub async fn client_of(&self, server: &str, era: Era) -> Client {
        Client::connect(&self.address, &format!("/mcp/{server}"), era).await
    }

    /// The URL of a door.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Mints a token for somebody.
    pub async fn token(&self, name: &str) -> String {
        let mut command = command(&self.folder);
        run(command.args(["token", "mint", name])).await.trim().to_owned()
    }

    /// Runs the binary beside the gateway, with the same files.
    pub fn command(&self) -> Command {
        command(&self.folder)
    }

    /// The one request for an approval that waits.
    pub async fn asked(&self) -> Value {
        let mut found = Value::Null;
        crate::eventually("a call waits", async || {
            let list = run(self.command().args(["approvals", "list", "--output", "json"])).await;
            let list: Value = serde_json::from_str(&list).unwrap();
            found = list[0].clone();
            !found.is_null()
        })
        .await;
        found
    }

    /// The owner's word on a request: `approve` or `deny`.
    pub async fn decide(&self, id: &str, word: &str) {
        run(self.command().args(["approvals", word, id])).await;
    }

    /// What it wrote to its standard error.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap()
    }

    /// Its folder: configuration, state, log.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the gateway still runs")
    }

    /// The most memory that it ever held, in MiB.
    pub fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(&mut self) -> ExitStatus {
        run(Command::new("kill").args(["-TERM", &self.pid().to_string()])).await;
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("an end in time").unwrap()
    }

    /// The processes that it started and that still exist, zombies too.
    pub fn children(&self) -> Vec<u32> {
        children(self.pid())
    }

    /// The same, with what they started.
    pub fn descendants(&self) -> Vec<u32> {
        let mut all = self.children();
        let mut next = 0;
        while let Some(pid) = all.get(next) {
            all.extend(children(*pid));
            next += 1;
        }
        all
    }
}

/// The children of a process; none of one that has ended.
fn children(pid: u32) -> Vec<u32> {
    // Each thread has its own list.
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let lists = threads.filter_map(|t| fs::read_to_string(t.ok()?.path().join("children")).ok());
    lists
        .flat_map(|l| l.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>())
        .collect()
}

fn command(folder: &TempDir) -> Command {
    let folder = folder.path();
    let mut command = Command::new(binary("bartizan"));
    command
        .current_dir(folder)
        .env("HOME", folder)
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_STATE_HOME")
        // Nobody's own keyring gets anything of the tests.
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
        .arg("--config")
        .arg(folder.join("bartizan.toml"))
        .arg("--state-dir")
        .arg(folder.join("state"))
        .kill_on_drop(true);
    command
}
