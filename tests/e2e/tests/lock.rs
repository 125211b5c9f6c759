//! `bartizan lock`: packages of a registry are installed once, and start from those bytes or not at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use e2e::{PATIENCE, binary, source};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

struct World {
    folder: TempDir,
    registry: String,
    _process: Child,
}

const SERVERS: &str = "
[servers.node]
command = \"npx\"
args = [\"-y\", \"tiny-mcp\"]
[servers.python]
command = \"uvx\"
args = [\"tiny-mcp\"]
";

impl World {
    async fn new(configuration: &str) -> World {
        let mut process = Command::new("python3")
            .arg(source("servers/registry.py"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let registry = lines.next_line().await.unwrap().unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("bartizan.toml"), configuration).unwrap();
        World { folder, registry, _process: process }
    }

    /// Runs a command of Bartizan's.
    async fn output(&self, args: &[&str]) -> Output {
        let folder = self.folder.path();
        let mut command = Command::new(binary("bartizan"));
        command
            .args(args)
            .current_dir(folder)
            .env("HOME", folder)
            .env("BARTIZAN_STATE_DIR", folder.join("state"))
            .env("npm_config_registry", format!("{}/npm/", self.registry))
            .env("PIP_INDEX_URL", format!("{}/simple", self.registry))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        tokio::time::timeout(4 * PATIENCE, command.output()).await.expect("it hangs").unwrap()
    }

    async fn run(&self, args: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.output(args).await;
        let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{args:?}: {out}\n{err}");
        out.into_owned()
    }

    /// What a command that fails says.
    async fn fault(&self, args: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.output(args).await;
        assert!(!status.success(), "{args:?}");
        format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr))
    }

    async fn release(&self) {
        let url = format!("{}/release", self.registry);
        let done = Command::new("curl").args(["-sS", "-X", "POST", &url]).status().await.unwrap();
        assert!(done.success());
    }

    /// Every file of an installed package with this name.
    fn installed(&self, name: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.folder.path().join("state/packages"), &mut found);
        found.retain(|path| path.file_name().is_some_and(|file| file == name));
        found
    }
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

#[tokio::test]
async fn packages_start_from_what_was_locked_or_not_at_all() {
    let world = World::new(SERVERS).await;
    world.run(&["lock"]).await;
    let lock = fs::read_to_string(world.folder.path().join("bartizan.lock")).unwrap();
    assert!(lock.contains("name = \"tiny-mcp\"") && lock.contains("sha512-"), "{lock}");
    assert!(lock.contains("tiny-mcp==1.0.0 --hash=sha256:"), "{lock}");
    for server in ["node", "python"] {
        assert!(world.run(&["call", server, "version"]).await.contains("1.0.0"), "{server}");
    }
    // Its install script was not run: it would have failed.
    assert_eq!(world.installed("server.js").len(), 1);

    // Something newer changes nothing until it is asked for.
    world.release().await;
    assert_eq!(world.run(&["lock"]).await.matches("1.0.0").count(), 2);
    let outdated = world.run(&["outdated", "--output", "json"]).await;
    assert_eq!(outdated.matches("\"now\": \"2.0.0\"").count(), 2, "{outdated}");
    assert!(world.run(&["call", "node", "version"]).await.contains("1.0.0"));

    // Other bytes do not start.
    for (server, file) in [("node", "server.js"), ("python", "tiny_mcp.py")] {
        let path = world.installed(file).remove(0);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("1.0.0", "6.6.6")).unwrap();
        let fault = world.fault(&["call", server, "version"]).await;
        assert!(fault.contains("not what was locked") && !fault.contains("6.6.6"), "{fault}");
    }
    // Locking again installs what was locked.
    world.run(&["lock"]).await;
    assert!(world.run(&["call", "python", "version"]).await.contains("1.0.0"));

    world.run(&["lock", "--update"]).await;
    for server in ["node", "python"] {
        assert!(world.run(&["call", server, "version"]).await.contains("2.0.0"), "{server}");
    }
    let changed = SERVERS.replace("\"-y\", \"tiny-mcp\"", "\"-y\", \"tiny-mcp@1\"");
    fs::write(world.folder.path().join("bartizan.toml"), changed).unwrap();
    let fault = world.fault(&["call", "node", "version"]).await;
    assert!(fault.contains("`bartizan lock node`"), "{fault}");
}

#[tokio::test]
async fn a_changed_program_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("server");
    fs::copy(binary("everything"), &script).unwrap();
    let world =
        World::new(&format!("[servers.own]\ncommand = {script:?}\nargs = [\"stdio\"]\n")).await;
    world.run(&["lock"]).await;
    let call = ["call", "own", "echo", "{\"text\":\"hello\"}"];
    let first = world.output(&call).await;
    let mut bytes = fs::read(&script).unwrap();
    bytes.push(0);
    fs::write(&script, bytes).unwrap();
    let fault = world.fault(&call).await;
    assert!(fault.contains("not what was locked"), "{fault}");
    assert!(!String::from_utf8_lossy(&first.stderr).contains("not what was locked"));
    let fault = world.fault(&["lock"]).await;
    assert!(fault.contains("--update"), "{fault}");
    world.run(&["lock", "--update"]).await;
    assert!(world.run(&["outdated"]).await.contains("the same"));
}
