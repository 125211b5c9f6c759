//! A session's bus with a real GNOME Keyring on it, without a desktop.

use std::{path::Path, process::Stdio};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
};

use crate::{PATIENCE, eventually};

/// The password that unlocks it.
const PASSWORD: &str = "the login password";

/// A bus that starts nobody by itself: the keyring of whoever runs the tests is none of theirs.
const BUS: &str = "<busconfig><type>session</type><listen>unix:tmpdir=FOLDER</listen>\
    <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>";

/// A running keyring, killed on drop.
#[derive(Debug)]
pub struct Keyring {
    /// The session's bus: the value of `DBUS_SESSION_BUS_ADDRESS`.
    pub bus: String,
    daemon: Child,
    folder: TempDir,
    _bus: Child,
}

impl Keyring {
    /// An empty one, unlocked.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let configuration = folder.path().join("bus.conf");
        std::fs::write(&configuration, BUS.replace("FOLDER", folder.path().to_str().unwrap()))
            .unwrap();
        let mut child = Command::new("dbus-daemon")
            .args(["--nofork", "--print-address", "--config-file"])
            .arg(&configuration)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("dbus-daemon");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("an address");
        let bus = line.unwrap().expect("dbus-daemon ended");
        let daemon = daemon(folder.path(), &bus, true).await;
        Self { bus, daemon, folder, _bus: child }
    }

    /// Ends it, and starts it again with what it has kept, locked, as nobody has logged in.
    pub async fn lock(&mut self) {
        self.again(false).await;
    }

    /// As somebody logs in.
    pub async fn unlock(&mut self) {
        self.again(true).await;
    }

    async fn again(&mut self, unlocked: bool) {
        self.stop().await;
        self.daemon = daemon(self.folder.path(), &self.bus, unlocked).await;
    }

    /// Ends it.
    pub async fn stop(&mut self) {
        // It answers SIGTERM with a clean end.
        if let Some(pid) = self.daemon.id() {
            crate::run(Command::new("kill").arg(pid.to_string())).await;
        }
        self.daemon.wait().await.unwrap();
        let bus = &self.bus;
        eventually("the keyring is gone", async || !answers(bus).await).await;
    }

    /// The items that Bartizan has there for this folder.
    pub async fn items(&self, state_dir: &Path) -> usize {
        let mut command = Command::new("dbus-send");
        command.args(["--print-reply=literal", "--dest=org.freedesktop.secrets"]);
        command.args(["/org/freedesktop/secrets", "org.freedesktop.Secret.Service.SearchItems"]);
        let folder = state_dir.display();
        command.arg(format!("dict:string:string:application,bartizan,state-dir,{folder}"));
        let found = crate::run(command.env("DBUS_SESSION_BUS_ADDRESS", &self.bus)).await;
        found.matches("/org/freedesktop/secrets/collection/").count()
    }
}

async fn daemon(folder: &Path, bus: &str, unlocked: bool) -> Child {
    let mut command = Command::new("gnome-keyring-daemon");
    command.args(["--foreground", "--components=secrets"]);
    if unlocked {
        command.arg("--unlock");
    }
    let mut child = command
        .env("HOME", folder)
        .env("XDG_DATA_HOME", folder)
        .env("XDG_RUNTIME_DIR", folder)
        .env("DBUS_SESSION_BUS_ADDRESS", bus)
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("gnome-keyring-daemon");
    let mut input = child.stdin.take().unwrap();
    if unlocked {
        input.write_all(PASSWORD.as_bytes()).await.unwrap();
    }
    drop(input);
    eventually("the keyring answers", async || answers(bus).await).await;
    child
}

/// Whether somebody has the keyring's name on the bus.
async fn answers(bus: &str) -> bool {
    let mut command = Command::new("dbus-send");
    command.args(["--print-reply", "--dest=org.freedesktop.DBus", "/"]);
    command.args(["org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.secrets"]);
    let output = command.env("DBUS_SESSION_BUS_ADDRESS", bus).output().await.expect("dbus-send");
    String::from_utf8_lossy(&output.stdout).contains("boolean true")
}
